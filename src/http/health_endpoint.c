/* The admin listener's view of the server: alive, ready, metrics. */
#include "http/endpoint.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/metrics.h"

enum { METRICS_MAX = 65536 };

static bool reply_status(struct reply *reply, const char *body, struct error *err)
{
    struct text text = reply_text(reply, 64);
    text_add(&text, body);
    return reply_set_text(reply, 200, &text, err);
}

bool livez_endpoint(const struct site *site, const struct request *request, struct reply *reply,
                    struct error *err)
{
    (void)site, (void)request;
    return reply_status(reply, "{\"status\":\"live\"}", err);
}

bool readyz_endpoint(const struct site *site, const struct request *request, struct reply *reply,
                     struct error *err)
{
    (void)request;
    return service_is_ready(site->service, err)
        && reply_status(reply, "{\"status\":\"ready\"}", err);
}

static void print_end(struct text *text, const char *listener, struct tls *tls)
{
    char line[120];

    if (tls == NULL) {
        return;
    }
    scoped(release_tls_credentials) struct tls_credentials *credentials = tls_current(tls);
    (void)snprintf(line, sizeof(line),
                   "issuerd_tls_certificate_expiry_seconds{listener=\"%s\"} %" PRId64 "\n",
                   listener, tls_credentials_end_s(credentials));
    text_add(text, line);
}

static void print_ends(struct text *text, const struct site *site)
{
    if (site->public_tls != NULL || site->admin_tls != NULL) {
        metrics_print_head(text, "issuerd_tls_certificate_expiry_seconds", "gauge",
                           "When the listener's certificate or one of its issuers' expires first,"
                           " in Unix time.");
        print_end(text, "public", site->public_tls);
        print_end(text, "admin", site->admin_tls);
    }
}

bool metrics_endpoint(const struct site *site, const struct request *request, struct reply *reply,
                      struct error *err)
{
    struct text text = reply_text(reply, METRICS_MAX);
    char line[80];

    service_print_metrics(site->service, &text);
    (void)request;
    metrics_print_head(&text, "issuerd_connections", "gauge", "Open public connections.");
    (void)snprintf(line, sizeof(line), "issuerd_connections %u\n",
                   server_connections(site->public_server));
    text_add(&text, line);
    metrics_print_head(&text, "issuerd_connections_limit", "gauge", "Most of them.");
    (void)snprintf(line, sizeof(line), "issuerd_connections_limit %u\n",
                   server_connections_max(site->public_server));
    text_add(&text, line);
    metrics_print_head(&text, "issuerd_rate_limited_total", "counter", "Requests answered 429.");
    (void)snprintf(line, sizeof(line), "issuerd_rate_limited_total %" PRIu64 "\n",
                   server_rate_limited(site->public_server));
    text_add(&text, line);
    print_ends(&text, site);
    if (!reply_set_text(reply, 200, &text, err)) {
        return false;
    }
    reply->content_type = "text/plain; version=0.0.4";
    return true;
}

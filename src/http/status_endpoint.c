/* GET /api/v1/status: what the service tells of itself, and what is known here. */
#include "http/endpoint.h"

static void add_certificate(struct edge_status *edge, const char *listener, struct tls *tls)
{
    if (tls == NULL) {
        return;
    }
    scoped(release_tls_credentials) struct tls_credentials *credentials = tls_current(tls);
    edge->certificates[edge->certificate_count++] = (struct certificate_status){
        .listener = listener,
        .expires_s = tls_credentials_end_s(credentials),
    };
}

bool status_endpoint(const struct site *site, const struct request *request, struct reply *reply,
                     struct error *err)
{
    struct text text = reply_text(reply, STATUS_MAX);
    struct edge_status edge = {
        .public_address = server_address(site->public_server),
        .connections = server_connections(site->public_server),
        .connections_max = server_connections_max(site->public_server),
        .rate_limited = server_rate_limited(site->public_server),
    };

    (void)request;
    add_certificate(&edge, "public", site->public_tls);
    add_certificate(&edge, "admin", site->admin_tls);
    service_print_status(site->service, &edge, &text);
    return reply_set_text(reply, 200, &text, err);
}

/* The documents that anyone may read: keys and issuer metadata. */
#include "http/endpoint.h"

#include <stdio.h>
#include <string.h>

#include "base/base64url.h"
#include "base/digest.h"

enum { JWKS_MAX = SIGNERS_MAX * 1024 + 64, METADATA_MAX = 16384 };

/* A strong validator of the content (RFC 9110 8.8.3). */
static void set_etag(struct reply *reply, const struct text *text)
{
    const struct digest digest = sha256(text->start, text->length);
    char *at = reply->etag_text;

    *at++ = '"';
    at += base64url_encode(at, digest.bytes, sizeof(digest.bytes) / 2);
    *at++ = '"';
    *at = '\0';
    reply->etag = reply->etag_text;
}

/* If-None-Match (RFC 9110 13.1.2): our one tag among those named, or "*". */
static bool is_known_to_client(const struct request *request, const struct reply *reply)
{
    const char *tags = request_header(request, "If-None-Match");
    return tags != NULL && (strcmp(tags, "*") == 0 || strstr(tags, reply->etag) != NULL);
}

bool jwks_endpoint(const struct site *site, const struct request *request, struct reply *reply,
                   struct error *err)
{
    static _Thread_local char cache_control[48];
    struct text text = reply_text(reply, JWKS_MAX);

    service_print_jwks(site->service, &text);
    if (!reply_set_text(reply, 200, &text, err)) {
        return false;
    }
    (void)snprintf(cache_control, sizeof(cache_control), "public, max-age=%lld",
                   (long long)site->jwks_max_age_s);
    reply->cache_control = cache_control;
    set_etag(reply, &text);
    if (is_known_to_client(request, reply)) {
        reply->status = 304;
        reply->body_length = 0;
    }
    return true;
}

static void add_url(struct text *text, const char *name, const char *base, const char *path)
{
    char url[2048];
    (void)snprintf(url, sizeof(url), "%s%s", base, path);
    text_add(text, ",\"");
    text_add(text, name);
    text_add(text, "\":");
    text_add_json_string(text, url);
}

static void add_optional_url(struct text *text, const char *name, const char *url)
{
    if (url[0] != '\0') {
        add_url(text, name, url, "");
    }
}

/* OpenID4VCI 12.2; issuerd is the authorization part of the issuer, so the endpoints of the rest
 * come from the configuration. */
bool metadata_endpoint(const struct site *site, const struct request *request, struct reply *reply,
                       struct error *err)
{
    struct text text = reply_text(reply, METADATA_MAX);

    (void)request;
    text_add(&text, "{\"credential_issuer\":");
    text_add_json_string(&text, site->issuer);
    text_add(&text, ",\"authorization_servers\":[");
    text_add_json_string(&text, site->issuer);
    text_add(&text, "]");
    add_url(&text, "authorize_endpoint", site->issuer, "/api/v1/authorizations");
    add_url(&text, "token_endpoint", site->issuer, "/api/v1/tokens");
    add_optional_url(&text, "credential_endpoint", site->credential_endpoint);
    add_optional_url(&text, "schema_endpoint", site->schema_endpoint);
    add_optional_url(&text, "offering_endpoint", site->offering_endpoint);
    if (site->display_name[0] != '\0') {
        text_add(&text, ",\"display\":[{\"name\":");
        text_add_json_string(&text, site->display_name);
        text_add(&text, "}]");
    }
    text_add(&text, ",\"credential_configurations_supported\":{}}");
    reply->cache_control = "public, max-age=300";
    return reply_set_text(reply, 200, &text, err);
}

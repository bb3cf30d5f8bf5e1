/* The documents that anyone may read: keys and issuer metadata. */
#include "http/endpoint.h"

#include <stdio.h>

#include "http/document.h"

enum { JWKS_MAX = SIGNERS_MAX * 1024 + 64, METADATA_MAX = 16384 };

bool jwks_endpoint(const struct site *site, const struct request *request, struct reply *reply,
                   struct error *err)
{
    struct text text = reply_text(reply, JWKS_MAX);

    service_print_jwks(site->service, &text);
    return reply_document(request, reply, &text, site_settings(site).jwks_max_age_s, err);
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
    static const char proof_types[] =
        ",\"proof_types_supported\":{\"jwt\":{\"proof_signing_alg_values_supported\":"
        "[\"ES256\",\"ES384\",\"ES256K\",\"Ed25519\",\"EdDSA\"]}}";
    struct text text = reply_text(reply, METADATA_MAX);
    const struct site_settings settings = site_settings(site);

    text_add(&text, "{\"credential_issuer\":");
    text_add_json_string(&text, site->issuer);
    text_add(&text, ",\"authorization_servers\":[");
    text_add_json_string(&text, site->issuer);
    text_add(&text, "]");
    add_url(&text, "authorize_endpoint", site->issuer, "/api/v1/authorizations");
    add_url(&text, "token_endpoint", site->issuer, "/api/v1/tokens");
    add_optional_url(&text, "credential_endpoint", settings.credential_endpoint);
    add_optional_url(&text, "schema_endpoint", settings.schema_endpoint);
    add_optional_url(&text, "offering_endpoint", settings.offering_endpoint);
    if (settings.display_name[0] != '\0') {
        text_add(&text, ",\"display\":[{\"name\":");
        text_add_json_string(&text, settings.display_name);
        text_add(&text, "}]");
    }
    text_add(&text, ",\"credential_configurations_supported\":{}");
    text_add(&text, proof_types);
    text_add(&text, "}");
    return reply_document(request, reply, &text, DOCUMENT_MAX_AGE_S, err);
}

/* RFC 8414 2. There is no authorization_endpoint: a wallet answers a request for a presentation, no
 * browser is sent anywhere. */
bool oauth_metadata_endpoint(const struct site *site, const struct request *request,
                             struct reply *reply, struct error *err)
{
    struct text text = reply_text(reply, METADATA_MAX);

    text_add(&text, "{\"issuer\":");
    text_add_json_string(&text, site->issuer);
    add_url(&text, "token_endpoint", site->issuer, "/api/v1/tokens");
    add_url(&text, "jwks_uri", site->issuer, "/.well-known/jwks.json");
    add_url(&text, "issuerd_revoked_tokens_uri", site->issuer, "/api/v1/tokens/revoked");
    text_add(&text, ",\"response_types_supported\":[\"code\"],"
                    "\"grant_types_supported\":[\"authorization_code\"],"
                    "\"token_endpoint_auth_methods_supported\":[\"none\"]}");
    return reply_document(request, reply, &text, DOCUMENT_MAX_AGE_S, err);
}

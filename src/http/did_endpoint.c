/* GET /.well-known/did.json: the issuer as a DID of its own, did:web, whose document lists the keys
 * that sign now. */
#include "http/endpoint.h"

#include <stdio.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/memory.h"
#include "http/document.h"
#include "http/json_body.h"

enum { OUR_DID_MAX = 300, JWKS_MAX = SIGNERS_MAX * 1024 + 64, DOCUMENT_MAX = 4 * JWKS_MAX };

static void release_printed(char **text)
{
    cJSON_free(*text);
}

/* A host whose last label is a number is an IPv4 address, in one of its spellings. */
static bool is_host_name(const char *host, size_t length)
{
    static const char characters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";
    const char *dot = memrchr(host, '.', length);
    const char *last = dot != NULL ? dot + 1 : host;

    return length > 0 && strspn(host, characters) == length
        && last + strspn(last, "0123456789") < host + length;
}

/* did:web:HOST or did:web:HOST%3APORT (did:web 3.1). False for an issuer that can have none: no
 * https, an address instead of a name, or a path, whose document would not be at /.well-known. */
static bool did_from_issuer(const char *issuer, char did_out[static OUR_DID_MAX])
{
    static const char scheme[] = "https://";
    if (strncmp(issuer, scheme, strlen(scheme)) != 0) {
        return false;
    }
    const char *host = issuer + strlen(scheme);
    const size_t length = strcspn(host, ":/");
    const char *port = host[length] == ':' ? host + length + 1 : host + length;
    if (!is_host_name(host, length) || port[strspn(port, "0123456789")] != '\0') {
        return false;
    }
    const int written = snprintf(did_out, OUR_DID_MAX, "did:web:%.*s%s%s", (int)length, host,
                                 port[0] != '\0' ? "%3A" : "", port);
    return written > 0 && written < OUR_DID_MAX;
}

static bool active_keys(struct service *service, cJSON **set_out, const cJSON **keys_out,
                        struct error *err)
{
    char buffer[JWKS_MAX];
    struct text text = text_over(buffer, sizeof(buffer));

    service_print_active_jwks(service, &text);
    *set_out = text.overflowed ? NULL : cJSON_ParseWithLength(buffer, text.length);
    *keys_out = cJSON_GetObjectItemCaseSensitive(*set_out, "keys");
    return *keys_out != NULL || fail(err, ERROR_INTERNAL, "the JWK Set cannot be read");
}

static void add_key_id(struct text *text, const char *did, const cJSON *key)
{
    const char *kid = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(key, "kid"));
    char id[OUR_DID_MAX + 64];

    (void)snprintf(id, sizeof(id), "%s#%s", did, kid != NULL ? kid : "");
    text_add_json_string(text, id);
}

static void add_method(struct text *text, const char *did, const cJSON *key)
{
    scoped(release_printed) char *jwk = cJSON_PrintUnformatted(key);

    text_add(text, "{\"id\":");
    add_key_id(text, did, key);
    text_add(text, ",\"type\":\"JsonWebKey\",\"controller\":");
    text_add_json_string(text, did);
    text_add(text, ",\"publicKeyJwk\":");
    text_add(text, jwk);
    text_add(text, "}");
}

typedef void add_fn(struct text *text, const char *did, const cJSON *key);

static void add_each(struct text *text, const char *name, const char *did, const cJSON *keys,
                     add_fn *add)
{
    const char *separator = "";
    const cJSON *key = NULL;

    text_add(text, name);
    cJSON_ArrayForEach(key, keys)
    {
        text_add(text, separator);
        add(text, did, key);
        separator = ",";
    }
    text_add(text, "]");
}

bool did_endpoint(const struct site *site, const struct request *request, struct reply *reply,
                  struct error *err)
{
    scoped(release_json) cJSON *set = NULL;
    const cJSON *keys = NULL;
    char did[OUR_DID_MAX];

    if (!did_from_issuer(site->issuer, did)) {
        return fail(err, ERROR_NO_ROUTE, "there is nothing at this path");
    }
    if (!active_keys(site->service, &set, &keys, err)) {
        return false;
    }
    struct text text = reply_text(reply, DOCUMENT_MAX);
    text_add(&text, "{\"@context\":[\"https://www.w3.org/ns/did/v1\","
                    "\"https://w3id.org/security/jwk/v1\"],\"id\":");
    text_add_json_string(&text, did);
    add_each(&text, ",\"verificationMethod\":[", did, keys, add_method);
    add_each(&text, ",\"assertionMethod\":[", did, keys, add_key_id);
    text_add(&text, "}");
    if (!reply_document(request, reply, &text, site_settings(site).jwks_max_age_s, err)) {
        return false;
    }
    reply->content_type = "application/did+json";
    return true;
}

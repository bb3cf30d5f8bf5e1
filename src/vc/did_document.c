#include "vc/did_document.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/memory.h"
#include "jose/json.h"
#include "jose/jwk.h"
#include "jose/public_key.h"
#include "vc/multikey.h"

enum { METHODS_MAX = 64, POINT_LENGTH = 33, POINT_BASE64_LENGTH = 44 };

/* ---- which method ---- */

/* An id is a DID URL, absolute or relative to the document (DID Core 5.2, 3.2.2). */
static bool is_named(const cJSON *id, const struct document_query *query)
{
    const char *text = cJSON_GetStringValue(id);
    const size_t did_length = strlen(query->did);

    if (text != NULL && strncmp(text, query->did, did_length) == 0) {
        text += did_length;
    }
    return text != NULL && text[0] == '#' && strcmp(text + 1, query->fragment) == 0;
}

/* NULL: the document has no such list. */
static bool read_list(const cJSON *document, const char *name, const cJSON **list_out,
                      struct error *err)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(document, name);

    *list_out = cJSON_IsArray(list) ? list : NULL;
    return cJSON_GetArraySize(*list_out) <= METHODS_MAX
        || fail(err, ERROR_INVALID_REQUEST, "the DID document has more than %d of %s", METHODS_MAX,
                name);
}

/* How many methods of the list have the id; the last of them is *method_out. */
static unsigned count_methods(const cJSON *list, const struct document_query *query,
                              const cJSON **method_out)
{
    const cJSON *one = NULL;
    unsigned count = 0;

    cJSON_ArrayForEach(one, list)
    {
        if (cJSON_IsObject(one) && is_named(cJSON_GetObjectItemCaseSensitive(one, "id"), query)) {
            *method_out = one;
            count++;
        }
    }
    return count;
}

static bool has_reference(const cJSON *list, const struct document_query *query)
{
    const cJSON *one = NULL;

    cJSON_ArrayForEach(one, list)
    {
        if (is_named(one, query)) {
            return true;
        }
    }
    return false;
}

/* The one method of that id, if it is for the purpose: referred to, or embedded there (5.3). */
static bool find_method(const cJSON *document, const struct document_query *query,
                        const cJSON **method_out, struct error *err)
{
    const char *purpose =
        query->purpose == DID_AUTHENTICATION ? "authentication" : "assertionMethod";
    const cJSON *relationship = NULL;
    const cJSON *methods = NULL;

    if (!read_list(document, purpose, &relationship, err)
        || !read_list(document, "verificationMethod", &methods, err)) {
        return false;
    }
    const unsigned embedded = count_methods(relationship, query, method_out);
    const unsigned listed = count_methods(methods, query, method_out);

    if (embedded + listed == 0) {
        return fail(err, ERROR_INVALID_REQUEST, "the DID document has no key that kid names");
    }
    if (embedded + listed > 1) {
        return fail(err, ERROR_INVALID_REQUEST,
                    "the DID document has several keys of the name in kid");
    }
    return embedded == 1 || has_reference(relationship, query)
        || fail(err, ERROR_INVALID_REQUEST, "the key that kid names is not for %s", purpose);
}

/* ---- its key ---- */

/* 44 characters are 33 octets exactly, so there is nothing to pad. */
static bool parse_point_in_x(const cJSON *jwk, EVP_PKEY **key_out, struct error *err)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *x = json_text(jwk, "x");
    uint8_t point[POINT_LENGTH];

    if (x == NULL || strlen(x) != POINT_BASE64_LENGTH || strspn(x, digits) != POINT_BASE64_LENGTH
        || EVP_DecodeBlock(point, (const uint8_t *)x, POINT_BASE64_LENGTH) != POINT_LENGTH) {
        return fail(err, ERROR_INVALID_REQUEST, "x: not the base64 of %d octets", POINT_LENGTH);
    }
    *key_out = public_key_from_point("secp256k1", point, sizeof(point));
    ERR_clear_error();
    return *key_out != NULL || fail(err, ERROR_INVALID_REQUEST, "x: no point of secp256k1");
}

static bool has_point_in_x(const cJSON *jwk)
{
    const char *kty = json_text(jwk, "kty");
    const char *crv = json_text(jwk, "crv");
    return kty != NULL && strcmp(kty, "EC") == 0 && crv != NULL && strcmp(crv, "secp256k1") == 0
        && cJSON_GetObjectItemCaseSensitive(jwk, "y") == NULL
        && cJSON_GetObjectItemCaseSensitive(jwk, "d") == NULL;
}

static bool parse_key(const cJSON *method, const struct document_query *query, EVP_PKEY **key_out,
                      struct error *err)
{
    const cJSON *jwk = cJSON_GetObjectItemCaseSensitive(method, "publicKeyJwk");
    const char *multikey = json_text(method, "publicKeyMultibase");

    if (cJSON_IsObject(jwk) == (multikey != NULL)) {
        return fail(err, ERROR_INVALID_REQUEST,
                    "the verification method must have a publicKeyJwk or a publicKeyMultibase");
    }
    if (multikey != NULL) {
        return multikey_parse(multikey, key_out, err) || error_context(err, "publicKeyMultibase");
    }
    return (query->takes_point_in_x && has_point_in_x(jwk) ? parse_point_in_x(jwk, key_out, err)
                                                           : jwk_parse(jwk, key_out, err))
        || error_context(err, "publicKeyJwk");
}

bool document_find_key(const char *text, const struct document_query *query, EVP_PKEY **key_out,
                       struct error *err)
{
    scoped(release_cjson) cJSON *document = NULL;
    const cJSON *method = NULL;

    if (!json_parse_object(text, strlen(text), &document, err)) {
        return error_context(err, "the DID document");
    }
    const char *id = json_text(document, "id");
    if (id == NULL || strcmp(id, query->did) != 0) {
        return fail(err, ERROR_INVALID_REQUEST, "the DID document is of another DID");
    }
    if (!find_method(document, query, &method, err)) {
        return false;
    }
    const char *controller = json_text(method, "controller");
    if (controller == NULL || strcmp(controller, query->did) != 0) {
        return fail(err, ERROR_INVALID_REQUEST, "the key that kid names is controlled by another");
    }
    return parse_key(method, query, key_out, err);
}

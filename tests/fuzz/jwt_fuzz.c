/*
 * JWTs, DIDs and DID documents of anybody. The input is taken as a JWT as it is; and its lines as a
 * header, a payload, a signature and a DID document, of which a JWT is made, so that the fuzzer need
 * not find out base64url.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/base64url.h"
#include "fuzz/fuzz.h"
#include "jose/json.h"
#include "jose/jwk.h"
#include "jose/jwt.h"
#include "vc/did_keys.h"

static const char *document = "";

/* The resolver answers with the input's document. */
bool did_resolver_fetch(struct did_resolver *resolver, const char *did, int64_t now_ns,
                        char **document_out, struct error *err)
{
    (void)resolver, (void)did, (void)now_ns, (void)err;
    *document_out = strdup(document);
    return true;
}

static void find_key(const struct jwt *jwt, const char *did, enum did_purpose purpose)
{
    struct error err;
    EVP_PKEY *key = NULL;
    char somewhere;

    if (did_find_key((struct did_resolver *)&somewhere, did, jwt->kid, purpose, 0, &key, &err)) {
        FUZZ_ASSERT(key != NULL);
        (void)jwt_verify(jwt, key);
        EVP_PKEY_free(key);
    }
}

static void try_jwt(const char *text, size_t length)
{
    struct error err;
    struct jwt jwt = { .header = NULL };

    if (!jwt_parse(text, length, "vp+jwt", &jwt, &err)) {
        FUZZ_ASSERT(err.code == ERROR_INVALID_REQUEST && err.message[0] != '\0');
        return;
    }
    FUZZ_ASSERT(jwt.input_length < length && jwt.kid[0] != '\0');
    const char *issuer = json_text(jwt.claims, "iss");
    if (issuer != NULL) {
        find_key(&jwt, issuer, DID_AUTHENTICATION);
        find_key(&jwt, issuer, DID_ASSERTION_METHOD);
    }
    jwt_clear(&jwt);
}

static void try_jwk(const char *text)
{
    struct error err;
    cJSON *jwk = NULL;
    EVP_PKEY *key = NULL;

    if (json_parse_object(text, strlen(text), &jwk, &err)) {
        if (jwk_parse(jwk, &key, &err)) {
            FUZZ_ASSERT(jwk_fits(key, JOSE_ES256) || jwk_fits(key, JOSE_ES384)
                        || jwk_fits(key, JOSE_ES256K) || jwk_fits(key, JOSE_ED25519));
            EVP_PKEY_free(key);
        }
        cJSON_Delete(jwk);
    }
}

static size_t add_part(char *jwt, size_t length, const char *part)
{
    length += base64url_encode(jwt + length, part, strlen(part));
    jwt[length++] = '.';
    return length;
}

static void try_lines(char *text, size_t size)
{
    char *jwt = malloc(2 * size + 16);
    FUZZ_ASSERT(jwt != NULL);

    size_t length = add_part(jwt, 0, fuzz_line(&text));
    length = add_part(jwt, length, fuzz_line(&text));
    length = add_part(jwt, length, fuzz_line(&text));
    document = text;
    try_jwt(jwt, length - 1);
    try_jwk(text);
    free(jwt);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_text(data, size);

    try_jwt(text, size);
    try_lines(text, size);
    free(text);
    return 0;
}

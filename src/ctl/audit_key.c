#include "ctl/audit_key.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/digest.h"
#include "base/memory.h"
#include "base/text.h"
#include "ctl/files.h"
#include "jose/json.h"
#include "jose/jwk.h"

enum { FILE_MAX = 16384, NAME_MAX_LENGTH = 512, ED25519_LENGTH = 32 };

struct audit_key {
    EVP_PKEY *pkey;
    struct jwk jwk;
    struct digest spki;              /* SHA-256 of the DER SubjectPublicKeyInfo */
    uint8_t ed25519[ED25519_LENGTH]; /* if it is one */
    bool is_ed25519;
};

DEFINE_RELEASE(release_bio, BIO, BIO_free)
DEFINE_RELEASE(release_context, EVP_MD_CTX, EVP_MD_CTX_free)
DEFINE_RELEASE(release_key, struct audit_key, audit_key_free)

void audit_key_free(struct audit_key *key)
{
    if (key != NULL) {
        EVP_PKEY_free(key->pkey);
        free(key);
    }
}

/* ---- reading ---- */

static bool note_encodings(struct audit_key *key)
{
    unsigned char *der = NULL;
    size_t raw_length = ED25519_LENGTH;
    const int length = i2d_PUBKEY(key->pkey, &der);

    if (length <= 0) {
        return false;
    }
    key->spki = sha256(der, (size_t)length);
    OPENSSL_free(der);
    return !key->is_ed25519
        || (EVP_PKEY_get_raw_public_key(key->pkey, key->ed25519, &raw_length) == 1
            && raw_length == ED25519_LENGTH);
}

/* Takes the key over. */
static bool from_pkey(EVP_PKEY *pkey, struct audit_key **key_out, struct error *err)
{
    scoped(release_key) struct audit_key *key = xcalloc(1, sizeof(*key));
    const enum jose_algorithm algorithm = jwk_default_algorithm(pkey);

    key->pkey = pkey;
    key->is_ed25519 = algorithm == JOSE_ED25519;
    if (algorithm != JOSE_ES256 && algorithm != JOSE_ED25519) {
        return fail(err, ERROR_INVALID_REQUEST, "an audit key is one of P-256 or Ed25519");
    }
    if (!jwk_from_key(pkey, algorithm, &key->jwk, err)) {
        return false;
    }
    if (!note_encodings(key)) {
        return fail_openssl(err, ERROR_INVALID_REQUEST, "the key cannot be encoded");
    }
    *key_out = take(key);
    return true;
}

static bool parse_jwk(const char *text, size_t length, struct audit_key **key_out,
                      struct error *err)
{
    scoped(release_cjson) cJSON *jwk = NULL;
    EVP_PKEY *pkey = NULL;

    return json_parse_object(text, length, &jwk, err) && jwk_parse(jwk, &pkey, err)
        && from_pkey(pkey, key_out, err);
}

bool audit_key_from_jwk(const char *jwk, struct audit_key **key_out, struct error *err)
{
    scoped(release_key) struct audit_key *key = NULL;

    if (!parse_jwk(jwk, strlen(jwk), &key, err)) {
        return false;
    }
    if (strcmp(jwk, key->jwk.json) != 0) {
        return fail(err, ERROR_INVALID_REQUEST, "not as issuerd writes it: a member was changed");
    }
    *key_out = take(key);
    return true;
}

static bool parse_pem(const char *text, size_t length, struct audit_key **key_out,
                      struct error *err)
{
    scoped(release_bio) BIO *pem = BIO_new_mem_buf(text, (int)length);
    EVP_PKEY *pkey = pem != NULL ? PEM_read_bio_PUBKEY(pem, NULL, NULL, NULL) : NULL;

    return pkey != NULL
             ? from_pkey(pkey, key_out, err)
             : fail_openssl(err, ERROR_INVALID_REQUEST, "no public key in PEM, and no JWK");
}

bool audit_key_read(const char *path, struct audit_key **key_out, struct error *err)
{
    scoped(release_memory) char *text = NULL;
    size_t length = 0;

    if (!ctl_read_file(path, FILE_MAX, &text, &length, err)) {
        return false;
    }
    const bool is_jwk = text[strspn(text, " \t\r\n")] == '{';
    return (is_jwk ? parse_jwk(text, length, key_out, err) : parse_pem(text, length, key_out, err))
        || error_context(err, "%s", path);
}

/* ---- writing ---- */

const char *audit_key_jwk(const struct audit_key *key)
{
    return key->jwk.json;
}

char *audit_key_pem(const struct audit_key *key)
{
    scoped(release_bio) BIO *pem = BIO_new(BIO_s_mem());
    char *text = NULL;

    if (pem == NULL || PEM_write_bio_PUBKEY(pem, key->pkey) != 1) {
        abort(); /* it was encoded before: no memory */
    }
    const size_t length = (size_t)BIO_get_mem_data(pem, &text);
    char *copy = xcalloc(1, length + 1);
    memcpy(copy, text, length);
    return copy;
}

/* ---- signatures ---- */

/* Of an ECDSA key it does not depend on the name: so have it the logs that came before the
 * specification. */
void audit_key_id(const struct audit_key *key, const char *name,
                  uint8_t id_out[AUDIT_KEY_ID_LENGTH])
{
    char buffer[NAME_MAX_LENGTH + 2 + ED25519_LENGTH];
    struct digest digest = key->spki;

    if (key->is_ed25519) {
        struct text text = text_over(buffer, sizeof(buffer));
        text_add(&text, name);
        text_add_bytes(&text, "\n\x01", 2);
        text_add_bytes(&text, (const char *)key->ed25519, ED25519_LENGTH);
        digest = sha256(buffer, text.length);
    }
    memcpy(id_out, digest.bytes, AUDIT_KEY_ID_LENGTH);
}

bool audit_key_verifies(const struct audit_key *key, const char *text, size_t length,
                        const uint8_t *signature, size_t signature_length)
{
    scoped(release_context) EVP_MD_CTX *context = EVP_MD_CTX_new();
    const EVP_MD *hash = key->is_ed25519 ? NULL : EVP_sha256();

    const bool good = context != NULL
                   && EVP_DigestVerifyInit(context, NULL, hash, NULL, key->pkey) == 1
                   && EVP_DigestVerify(context, signature, signature_length,
                                       (const unsigned char *)text, length)
                          == 1;
    ERR_clear_error();
    return good;
}

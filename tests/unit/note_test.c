/* Checkpoints and signed notes, against notes of other logs and against OpenSSL. */
#include "core/note.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/memory.h"
#include "jose/jwk.h"
#include "support/run.h"

#define DASH "\xe2\x80\x94"

/* Rekor's log, as transparency-dev/formats has it among its tests. */
#define REKOR_BODY "Rekor\n798034\nf+7CoKgXKE/tNys9TTXcr/ad6U/K3xvznmzew9y6SP0=\n"
#define REKOR_SIGNATURE                                                                            \
    "wNI9ajBEAiARInWIWyCdyG27CO6LPnPekyw20qO0YJfoaPaowGp/XgIgc+qEHS3+GKVClgqq20uDLet7MCoTURUCRdxw" \
    "WBHHufk="
#define REKOR_KEY                                                                                  \
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE2G2Y+2tabdTV5BcGiBIx0a9fAFwrkBbmLSGtks4L3qX6yYY0zufBnhC8" \
    "Ur/iy55GhWP/9A/bY2LhC30M9+RYtw=="

/* The example of the Go module golang.org/x/mod/sumdb/note. */
#define NEUMANN_BODY                                                                               \
    "If you think cryptography is the answer to your problem,\n"                                   \
    "then you don't know what your problem is.\n"
#define NEUMANN_KEY "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW" /* the type, 32 bytes */
#define NEUMANN_SIGNATURE                                                                          \
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="

static struct {
    char buffer[2048];
    struct text text;
    EVP_PKEY *key;
    struct jwk jwk;
    struct error err;
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.text = text_over(fixture.buffer, sizeof(fixture.buffer));
}

static void tear_down(void)
{
    EVP_PKEY_free(take(fixture.key));
}

/* ---- helpers, by OpenSSL ---- */

static size_t decode(const char *base64, uint8_t *out)
{
    const size_t length = strlen(base64);
    const size_t padding = length - strcspn(base64, "=");
    const int decoded = EVP_DecodeBlock(out, (const unsigned char *)base64, (int)length);
    CU_ASSERT_TRUE_FATAL(decoded > 0);
    return (size_t)decoded - padding;
}

static void use_key(EVP_PKEY *key, enum jose_algorithm algorithm)
{
    EVP_PKEY_free(fixture.key);
    fixture.key = key;
    CU_ASSERT_PTR_NOT_NULL_FATAL(key);
    CU_ASSERT_TRUE_FATAL(jwk_from_key(key, algorithm, &fixture.jwk, &fixture.err));
}

/* R || S of an ECDSA signature in DER; the octets of any other. */
static size_t to_jose(const uint8_t *der, size_t length, uint8_t out[64])
{
    if (EVP_PKEY_get_base_id(fixture.key) != EVP_PKEY_EC) {
        memcpy(out, der, length);
        return length;
    }
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)length);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pair);
    CU_ASSERT_EQUAL(BN_bn2binpad(ECDSA_SIG_get0_r(pair), out, 32), 32);
    CU_ASSERT_EQUAL(BN_bn2binpad(ECDSA_SIG_get0_s(pair), out + 32, 32), 32);
    ECDSA_SIG_free(pair);
    return 64;
}

static const EVP_MD *digest_of(EVP_PKEY *key)
{
    return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC ? EVP_sha256() : NULL;
}

static size_t sign(const char *text, uint8_t out[80])
{
    size_t length = 80;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    CU_ASSERT_EQUAL(EVP_DigestSignInit(context, NULL, digest_of(fixture.key), NULL, fixture.key),
                    1);
    CU_ASSERT_EQUAL(
        EVP_DigestSign(context, out, &length, (const unsigned char *)text, strlen(text)), 1);
    EVP_MD_CTX_free(context);
    return length;
}

static bool verifies(const char *text, size_t length, const uint8_t *signature,
                     size_t signature_length)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    CU_ASSERT_EQUAL(EVP_DigestVerifyInit(context, NULL, digest_of(fixture.key), NULL, fixture.key),
                    1);
    const int result =
        EVP_DigestVerify(context, signature, signature_length, (const unsigned char *)text, length);
    EVP_MD_CTX_free(context);
    return result == 1;
}

/* ---- texts ---- */

static void test_the_origin_is_the_issuer_without_its_scheme_node_and_epoch(void)
{
    note_add_origin(&fixture.text, "https://issuer.example", "node-1", 1);
    CU_ASSERT_STRING_EQUAL(fixture.buffer, "issuer.example/ledger/node-1/1");
    fixture.text.length = 0;
    note_add_origin(&fixture.text, "http://127.0.0.1:8080/tenant", "a.b_C", 12);
    CU_ASSERT_STRING_EQUAL(fixture.buffer, "127.0.0.1:8080/tenant/ledger/a.b_C/12");
}

/* The example of C2SP tlog-checkpoint. */
static void test_a_body_is_three_lines(void)
{
    struct digest root;
    CU_ASSERT_EQUAL(decode("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=", root.bytes), 32);
    note_add_body(&fixture.text, "example.com/behind-the-sofa", 20852163, &root);
    CU_ASSERT_STRING_EQUAL(fixture.buffer, "example.com/behind-the-sofa\n20852163\n"
                                           "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n");
}

/* ---- the notes of others ---- */

static void test_rekors_note_is_made_again_byte_by_byte(void)
{
    uint8_t key[128];
    uint8_t line[128];
    uint8_t signature[64];
    const unsigned char *at = key;
    const long key_length = (long)decode(REKOR_KEY, key);

    use_key(d2i_PUBKEY(NULL, &at, key_length), JOSE_ES256);
    const size_t length = decode(REKOR_SIGNATURE, line);
    CU_ASSERT_TRUE_FATAL(verifies(REKOR_BODY, strlen(REKOR_BODY), line + 4, length - 4));
    CU_ASSERT_EQUAL(to_jose(line + 4, length - 4, signature), sizeof(signature));
    text_add(&fixture.text, REKOR_BODY);
    CU_ASSERT_TRUE(note_add_signature(&fixture.text, "rekor.sigstore.dev", fixture.jwk.json,
                                      signature, sizeof(signature), &fixture.err));
    CU_ASSERT_STRING_EQUAL(fixture.buffer,
                           REKOR_BODY "\n" DASH " rekor.sigstore.dev " REKOR_SIGNATURE "\n");
}

static void test_gos_note_is_made_again_byte_by_byte(void)
{
    uint8_t key[36];
    uint8_t line[72];

    CU_ASSERT_EQUAL(decode(NEUMANN_KEY, key), 33);
    use_key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key + 1, 32), JOSE_ED25519);
    CU_ASSERT_EQUAL_FATAL(decode(NEUMANN_SIGNATURE, line), 68);
    CU_ASSERT_TRUE_FATAL(verifies(NEUMANN_BODY, strlen(NEUMANN_BODY), line + 4, 64));
    text_add(&fixture.text, NEUMANN_BODY);
    CU_ASSERT_TRUE(note_add_signature(&fixture.text, "PeterNeumann", fixture.jwk.json, line + 4, 64,
                                      &fixture.err));
    CU_ASSERT_STRING_EQUAL(fixture.buffer,
                           NEUMANN_BODY "\n" DASH " PeterNeumann " NEUMANN_SIGNATURE "\n");
}

/* ---- notes of our own ---- */

/* Takes a note apart as C2SP signed-note says: the text ends at the last empty line. */
static bool note_verifies(const char *note)
{
    uint8_t line[128];
    char base64[128] = "";
    const char *end = strstr(note, "\n\n" DASH " log.example ");

    if (end == NULL || sscanf(end, "\n\n" DASH " log.example %127[A-Za-z0-9+/=]\n", base64) != 1) {
        return false;
    }
    const size_t length = decode(base64, line);
    return verifies(note, (size_t)(end + 1 - note), line + 4, length - 4);
}

static bool made_note_verifies(const char *body)
{
    uint8_t signature[80];
    uint8_t jose[64];

    const size_t jose_length = to_jose(signature, sign(body, signature), jose);
    fixture.text = text_over(fixture.buffer, sizeof(fixture.buffer));
    text_add(&fixture.text, body);
    return note_add_signature(&fixture.text, "log.example", fixture.jwk.json, jose, jose_length,
                              &fixture.err)
        && note_verifies(fixture.buffer);
}

/* Many, so that R and S begin with zeros, and with bits that look negative, too. */
static void test_every_ecdsa_signature_becomes_der_that_openssl_verifies(void)
{
    char body[64];

    use_key(EVP_EC_gen("P-256"), JOSE_ES256);
    for (int i = 0; i < 1500; i++) {
        (void)snprintf(body, sizeof(body), "log.example\n%d\nroot\n", i);
        CU_ASSERT_TRUE_FATAL(made_note_verifies(body));
    }
}

static void test_ed25519_signatures_stay_as_they_are(void)
{
    use_key(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), JOSE_ED25519);
    CU_ASSERT_TRUE(made_note_verifies("log.example\n1\nroot\n"));
}

/* R and S of the least and of the greatest DER. */
static void test_integers_have_as_few_bytes_as_they_need(void)
{
    uint8_t signature[64] = { [31] = 1, [63] = 0x7f };
    uint8_t line[128];
    char base64[128] = "";

    use_key(EVP_EC_gen("P-256"), JOSE_ES256);
    CU_ASSERT_TRUE(note_add_signature(&fixture.text, "x", fixture.jwk.json, signature,
                                      sizeof(signature), &fixture.err));
    CU_ASSERT_EQUAL(sscanf(fixture.buffer, "\n" DASH " x %127s", base64), 1);
    CU_ASSERT_EQUAL_FATAL(decode(base64, line), 4 + 8);
    CU_ASSERT_EQUAL(memcmp(line + 4, "\x30\x06\x02\x01\x01\x02\x01\x7f", 8), 0);

    memset(signature, 0xff, sizeof(signature));
    fixture.text = text_over(fixture.buffer, sizeof(fixture.buffer));
    CU_ASSERT_TRUE(note_add_signature(&fixture.text, "x", fixture.jwk.json, signature,
                                      sizeof(signature), &fixture.err));
    CU_ASSERT_EQUAL(sscanf(fixture.buffer, "\n" DASH " x %127s", base64), 1);
    CU_ASSERT_EQUAL_FATAL(decode(base64, line), 4 + 72);
    CU_ASSERT_EQUAL(memcmp(line + 4, "\x30\x46\x02\x21\x00\xff", 6), 0);
}

/* ---- refusals ---- */

static bool is_refused(const char *jwk, size_t signature_length)
{
    static const uint8_t signature[96] = { 1 };
    return !note_add_signature(&fixture.text, "x", jwk, signature, signature_length, &fixture.err)
        && fixture.err.code == ERROR_INTERNAL && fixture.text.length == 0;
}

static void test_other_keys_and_signatures_make_no_note(void)
{
    use_key(EVP_EC_gen("P-256"), JOSE_ES256);
    CU_ASSERT_TRUE(is_refused(fixture.jwk.json, 63));
    CU_ASSERT_TRUE(is_refused(fixture.jwk.json, 96));
    use_key(EVP_EC_gen("P-384"), JOSE_ES384);
    CU_ASSERT_TRUE(is_refused(fixture.jwk.json, 64));
    CU_ASSERT_TRUE(is_refused(fixture.jwk.json, 96));
    use_key(EVP_RSA_gen(2048), JOSE_PS256);
    CU_ASSERT_TRUE(is_refused(fixture.jwk.json, 64));
    CU_ASSERT_TRUE(is_refused("", 64));
    CU_ASSERT_TRUE(is_refused("{\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"}", 64));
    CU_ASSERT_TRUE(is_refused("{\"crv\":\"Ed25519\"}", 64));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "the origin is the issuer without its scheme, node and epoch",
          test_the_origin_is_the_issuer_without_its_scheme_node_and_epoch },
        { "a body is three lines", test_a_body_is_three_lines },
        { "Rekor's note is made again, byte by byte", test_rekors_note_is_made_again_byte_by_byte },
        { "Go's note is made again, byte by byte", test_gos_note_is_made_again_byte_by_byte },
        { "every ECDSA signature becomes DER that OpenSSL verifies",
          test_every_ecdsa_signature_becomes_der_that_openssl_verifies },
        { "Ed25519 signatures stay as they are", test_ed25519_signatures_stay_as_they_are },
        { "integers have as few bytes as they need", test_integers_have_as_few_bytes_as_they_need },
        { "other keys and signatures make no note", test_other_keys_and_signatures_make_no_note },
        CU_TEST_INFO_NULL,
    };
    return run_suite("note", set_up, tear_down, tests);
}

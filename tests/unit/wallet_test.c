/* A wallet's DIDs, by the vectors of the methods' specifications, and its signatures, by OpenSSL. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/base64url.h"
#include "base/memory.h"
#include "ctl/wallet_vp.h"
#include "jose/jwt.h"
#include "jose/public_key.h"
#include "support/run.h"

enum { NOW_S = 1700000000 };

DEFINE_RELEASE(release_context, EVP_MD_CTX, EVP_MD_CTX_free)
DEFINE_RELEASE(release_ecdsa, ECDSA_SIG, ECDSA_SIG_free)

static struct {
    EVP_PKEY *key;
    struct wallet_did did;
    struct error err;
    cJSON *header;
    cJSON *claims;
    char path[64];
    char buffer[JWT_MAX + 1];
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
}

static void tear_down(void)
{
    EVP_PKEY_free(take(fixture.key));
    cJSON_Delete(take(fixture.header));
    cJSON_Delete(take(fixture.claims));
    if (fixture.path[0] != '\0') {
        (void)unlink(fixture.path);
    }
}

/* ---- DIDs ---- */

/* A public key from the coordinates of a JWK; `y` NULL: an Ed25519 key. */
static EVP_PKEY *key_of(const char *group, const char *x, const char *y)
{
    uint8_t point[1 + 2 * 48] = { 4 };
    size_t x_length = 0;
    size_t y_length = 0;

    if (!base64url_decode(x, strlen(x), point + 1, 48, &x_length)) {
        return NULL;
    }
    if (y == NULL) {
        return public_key_from_ed25519(point + 1, x_length);
    }
    return base64url_decode(y, strlen(y), point + 1 + x_length, 48, &y_length)
             ? public_key_from_point(group, point, 1 + x_length + y_length)
             : NULL;
}

/* The test vectors of did-method-key. */
static const struct {
    const char *did;
    const char *group;
    const char *x;
    const char *y;
} key_vectors[] = {
    { "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp", NULL,
      "O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik", NULL },
    { "did:key:zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169", "prime256v1",
      "fyNYMN0976ci7xqiSdag3buk-ZCwgXU4kz9XNkBlNUI",
      "hW2ojTNfH7Jbi8--CJUo3OCbH3y5n91g-IMA9MLMbTU" },
    { "did:key:zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv", "prime256v1",
      "igrFmi0whuihKnj9R3Om1SoMph72wUGeFaBbzG2vzns",
      "efsX5b10x8yjyrj4ny3pGfLcY7Xby1KzgqOdqnsrJIM" },
    { "did:key:z82Lm1MpAkeJcix9K8TMiLd5NMAhnwkjjCBeWHXyu3U4oT2MVJJKXkcVBgjGhnLBn2Kaau9",
      "secp384r1", "lInTxl8fjLKp_UCrxI0WDklahi-7-_6JbtiHjiRvMvhedhKVdHBfi2HCY8t_QJyc",
      "y6N1IC-2mXxHreETBW7K3mBcw0qGr3CWHCs-yl09yCQRLcyfGv7XhqAngHOu51Zv" },
};

static void test_a_did_key_is_that_of_the_specification(void)
{
    for (size_t i = 0; i < COUNT_OF(key_vectors); i++) {
        char kid[256];

        EVP_PKEY_free(fixture.key);
        fixture.key = key_of(key_vectors[i].group, key_vectors[i].x, key_vectors[i].y);
        CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.key);
        CU_ASSERT_TRUE(wallet_did_of(fixture.key, WALLET_DID_KEY, &fixture.did, &fixture.err));
        CU_ASSERT_STRING_EQUAL(fixture.did.did, key_vectors[i].did);
        (void)snprintf(kid, sizeof(kid), "%s#%s", key_vectors[i].did, key_vectors[i].did + 8);
        CU_ASSERT_STRING_EQUAL(fixture.did.kid, kid);
    }
}

static void test_a_did_key_of_secp256k1_is_that_of_the_specification(void)
{
    static const uint8_t compressed[] = { 0x03, 0x87, 0x4c, 0x15, 0xc7, 0xfd, 0xa2, 0x0e, 0x53,
                                          0x9c, 0x6e, 0x5b, 0xa5, 0x73, 0xc1, 0x39, 0x88, 0x4c,
                                          0x35, 0x11, 0x88, 0x79, 0x9f, 0x54, 0x58, 0xb4, 0xb4,
                                          0x1f, 0x79, 0x24, 0xf2, 0x35, 0xcd };

    fixture.key = public_key_from_point("secp256k1", compressed, sizeof(compressed));
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.key);
    CU_ASSERT_TRUE(wallet_did_of(fixture.key, WALLET_DID_KEY, &fixture.did, &fixture.err));
    CU_ASSERT_STRING_EQUAL(fixture.did.did,
                           "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme");
}

static void test_a_did_jwk_is_that_of_the_specification(void)
{
    static const char did[] =
        "did:jwk:eyJjcnYiOiJQLTI1NiIsImt0eSI6IkVDIiwieCI6ImFjYklRaXVNczNpOF91c3pFakoydHBUdFJNNEVVM3"
        "l6OTFQSDZDZEgyVjAiLCJ5IjoiX0tjeUxqOXZXTXB0bm1LdG00NkdxRHo4d2Y3NEk1TEtncmwyR3pIM25TRSJ9";
    char kid[sizeof(did) + 2];

    fixture.key = key_of("prime256v1", "acbIQiuMs3i8_uszEjJ2tpTtRM4EU3yz91PH6CdH2V0",
                         "_KcyLj9vWMptnmKtm46GqDz8wf74I5LKgrl2GzH3nSE");
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.key);
    CU_ASSERT_TRUE(wallet_did_of(fixture.key, WALLET_DID_JWK, &fixture.did, &fixture.err));
    CU_ASSERT_STRING_EQUAL(fixture.did.did, did);
    (void)snprintf(kid, sizeof(kid), "%s#0", did);
    CU_ASSERT_STRING_EQUAL(fixture.did.kid, kid);
}

static void test_a_did_jwk_of_ed25519_has_no_y(void)
{
    uint8_t json[256] = { 0 };
    size_t length = 0;

    fixture.key = key_of(NULL, key_vectors[0].x, NULL);
    CU_ASSERT_TRUE_FATAL(wallet_did_of(fixture.key, WALLET_DID_JWK, &fixture.did, &fixture.err));
    const char *encoded = fixture.did.did + strlen("did:jwk:");
    CU_ASSERT_TRUE_FATAL(
        base64url_decode(encoded, strlen(encoded), json, sizeof(json) - 1, &length));
    CU_ASSERT_STRING_EQUAL((const char *)json,
                           "{\"crv\":\"Ed25519\",\"kty\":\"OKP\","
                           "\"x\":\"O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik\"}");
}

static void test_dids_of_every_algorithm_are_dids_and_differ(void)
{
    static const char *const algorithms[] = { "ES256", "ES384", "ES256K", "Ed25519" };
    char last[DID_MAX + 1] = "";

    for (size_t i = 0; i < COUNT_OF(algorithms) * 2; i++) {
        EVP_PKEY_free(fixture.key);
        fixture.key = wallet_key_new(algorithms[i / 2]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.key);
        CU_ASSERT_STRING_EQUAL(wallet_key_algorithm(fixture.key), algorithms[i / 2]);
        CU_ASSERT_TRUE(wallet_did_of(fixture.key, i % 2 == 0 ? WALLET_DID_KEY : WALLET_DID_JWK,
                                     &fixture.did, &fixture.err));
        CU_ASSERT_TRUE(did_is_valid(fixture.did.did));
        CU_ASSERT_STRING_NOT_EQUAL(fixture.did.did, last);
        (void)snprintf(last, sizeof(last), "%s", fixture.did.did);
    }
}

static void test_an_algorithm_that_is_none_makes_no_key(void)
{
    static const char *const names[] = { "", "es256", "RS256", "EdDSA", "none", "ES512" };

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        CU_ASSERT_PTR_NULL(wallet_key_new(names[i]));
    }
    fixture.key = EVP_RSA_gen(2048);
    CU_ASSERT_PTR_NULL(wallet_key_algorithm(fixture.key));
    CU_ASSERT_FALSE(wallet_did_of(fixture.key, WALLET_DID_KEY, &fixture.did, &fixture.err));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_INVALID_REQUEST);
}

/* ---- key files ---- */

static bool write_key(EVP_PKEY *key, mode_t mode)
{
    (void)snprintf(fixture.path, sizeof(fixture.path), "/tmp/issuerd wallet.XXXXXX");
    const int fd = mkstemp(fixture.path);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    const bool good =
        file != NULL && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1;

    return file != NULL && fclose(file) == 0 && chmod(fixture.path, mode) == 0 && good;
}

static void test_a_key_from_a_file_has_the_same_did_each_time(void)
{
    EVP_PKEY *read = NULL;
    struct wallet_did again;

    fixture.key = wallet_key_new("ES256K");
    CU_ASSERT_TRUE_FATAL(write_key(fixture.key, 0600));
    CU_ASSERT_TRUE(wallet_did_of(fixture.key, WALLET_DID_KEY, &fixture.did, &fixture.err));
    CU_ASSERT_TRUE_FATAL(wallet_key_read(fixture.path, &read, &fixture.err));
    CU_ASSERT_TRUE(wallet_did_of(read, WALLET_DID_KEY, &again, &fixture.err));
    CU_ASSERT_STRING_EQUAL(again.did, fixture.did.did);
    EVP_PKEY_free(read);
}

static void assert_not_read(const char *path, const char *words)
{
    EVP_PKEY *read = NULL;

    CU_ASSERT_FALSE(wallet_key_read(path, &read, &fixture.err));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_INVALID_REQUEST);
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.err.message, words));
    CU_ASSERT_PTR_NULL(read);
}

static void test_a_key_file_that_will_not_do_is_refused(void)
{
    assert_not_read("/nonexistent", "/nonexistent");
    assert_not_read("/dev/null", "regular");
    fixture.key = wallet_key_new("ES256");
    CU_ASSERT_TRUE_FATAL(write_key(fixture.key, 0644));
    assert_not_read(fixture.path, "open to others");
    CU_ASSERT_TRUE(truncate(fixture.path, 60) == 0 && chmod(fixture.path, 0600) == 0);
    assert_not_read(fixture.path, "no private key");
    (void)unlink(fixture.path);
    EVP_PKEY_free(fixture.key);
    fixture.key = EVP_RSA_gen(2048);
    CU_ASSERT_TRUE_FATAL(write_key(fixture.key, 0600));
    assert_not_read(fixture.path, "P-256");
}

/* ---- signatures ---- */

/* R || S as OpenSSL reads it; the caller frees. */
static int der_of(const uint8_t *jose, size_t length, uint8_t **der_out)
{
    scoped(release_ecdsa) ECDSA_SIG *pair = ECDSA_SIG_new();
    const int half = (int)length / 2;

    if (ECDSA_SIG_set0(pair, BN_bin2bn(jose, half, NULL), BN_bin2bn(jose + half, half, NULL))
        != 1) {
        return 0;
    }
    *der_out = NULL;
    return i2d_ECDSA_SIG(pair, der_out);
}

static bool verifies(EVP_PKEY *key, const char *digest, const void *input, size_t length,
                     const uint8_t *signature, size_t signature_length)
{
    scoped(release_context) EVP_MD_CTX *context = EVP_MD_CTX_new();
    uint8_t *der = NULL;
    int der_length = 0;

    if (digest != NULL) {
        der_length = der_of(signature, signature_length, &der);
    }
    const bool good =
        EVP_DigestVerifyInit_ex(context, NULL, digest, NULL, NULL, key, NULL) == 1
        && EVP_DigestVerify(context, der != NULL ? der : signature,
                            der != NULL ? (size_t)der_length : signature_length, input, length)
               == 1;
    OPENSSL_free(der);
    return good;
}

static const struct {
    const char *algorithm;
    const char *digest;
    size_t length;
} signature_kinds[] = {
    { "ES256", "SHA256", 64 },
    { "ES384", "SHA384", 96 },
    { "ES256K", "SHA256", 64 },
    { "Ed25519", NULL, 64 },
};

static void test_a_signature_of_every_algorithm_verifies(void)
{
    static const char input[] = "header.payload";
    struct wallet_signature signature;

    for (size_t i = 0; i < COUNT_OF(signature_kinds); i++) {
        EVP_PKEY_free(fixture.key);
        fixture.key = wallet_key_new(signature_kinds[i].algorithm);
        for (int round = 0; round < 200; round++) { /* some R and S begin with a zero byte */
            CU_ASSERT_TRUE_FATAL(
                wallet_sign(fixture.key, input, strlen(input), &signature, &fixture.err));
            CU_ASSERT_EQUAL_FATAL(signature.length, signature_kinds[i].length);
            CU_ASSERT_TRUE(verifies(fixture.key, signature_kinds[i].digest, input, strlen(input),
                                    signature.bytes, signature.length));
        }
        CU_ASSERT_FALSE(verifies(fixture.key, signature_kinds[i].digest, input, strlen(input) - 1,
                                 signature.bytes, signature.length));
    }
}

/* ---- presentations ---- */

static const char *const CREDENTIALS[] = { "eyJhIjoxfQ.e30.AA", "eyJiIjoyfQ.e30.AA" };

static bool print_vp(size_t credential_count, size_t size)
{
    struct text jwt = text_over(fixture.buffer, size);
    const struct wallet_vp vp = { .key = fixture.key,
                                  .holder = &fixture.did,
                                  .audience = "https://issuer.example",
                                  .nonce = "a-nonce",
                                  .credentials = CREDENTIALS,
                                  .credential_count = credential_count,
                                  .issued_s = NOW_S };
    return wallet_vp_print(&vp, &jwt, &fixture.err);
}

static cJSON *part(const char *at, size_t length)
{
    uint8_t bytes[4096];
    size_t decoded = 0;

    return base64url_decode(at, length, bytes, sizeof(bytes), &decoded)
             ? cJSON_ParseWithLength((const char *)bytes, decoded)
             : NULL;
}

/* Takes what was printed apart and verifies it. */
static bool is_signed_presentation(const char *digest)
{
    uint8_t signature[96];
    size_t length = 0;
    const char *first = strchr(fixture.buffer, '.');
    const char *last = strrchr(fixture.buffer, '.');

    if (first == NULL || first == last) {
        return false;
    }
    cJSON_Delete(fixture.header);
    cJSON_Delete(fixture.claims);
    fixture.header = part(fixture.buffer, (size_t)(first - fixture.buffer));
    fixture.claims = part(first + 1, (size_t)(last - first - 1));
    return fixture.header != NULL && fixture.claims != NULL
        && base64url_decode(last + 1, strlen(last + 1), signature, sizeof(signature), &length)
        && verifies(fixture.key, digest, fixture.buffer, (size_t)(last - fixture.buffer), signature,
                    length);
}

static const char *member(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    return text != NULL ? text : "";
}

static void test_a_presentation_is_signed_by_its_holder(void)
{
    for (size_t i = 0; i < COUNT_OF(signature_kinds); i++) {
        EVP_PKEY_free(fixture.key);
        fixture.key = wallet_key_new(signature_kinds[i].algorithm);
        CU_ASSERT_TRUE_FATAL(
            wallet_did_of(fixture.key, WALLET_DID_KEY, &fixture.did, &fixture.err));
        CU_ASSERT_TRUE_FATAL(print_vp(0, sizeof(fixture.buffer)));
        CU_ASSERT_TRUE_FATAL(is_signed_presentation(signature_kinds[i].digest));
        CU_ASSERT_STRING_EQUAL(member(fixture.header, "alg"), signature_kinds[i].algorithm);
        CU_ASSERT_STRING_EQUAL(member(fixture.header, "kid"), fixture.did.kid);
        CU_ASSERT_STRING_EQUAL(member(fixture.header, "typ"), "JWT");
        CU_ASSERT_STRING_EQUAL(member(fixture.claims, "iss"), fixture.did.did);
        CU_ASSERT_STRING_EQUAL(member(fixture.claims, "aud"), "https://issuer.example");
        CU_ASSERT_STRING_EQUAL(member(fixture.claims, "nonce"), "a-nonce");
    }
}

static void test_a_presentation_has_its_times_and_its_credentials(void)
{
    fixture.key = wallet_key_new("ES256");
    CU_ASSERT_TRUE_FATAL(wallet_did_of(fixture.key, WALLET_DID_JWK, &fixture.did, &fixture.err));
    CU_ASSERT_TRUE_FATAL(print_vp(2, sizeof(fixture.buffer)));
    CU_ASSERT_TRUE_FATAL(is_signed_presentation("SHA256"));
    char *claims = cJSON_PrintUnformatted(fixture.claims);
    CU_ASSERT_PTR_NOT_NULL(strstr(claims, "\"iat\":1700000000,\"exp\":1700000300,"));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(claims, "\"vp\":{\"@context\":[\"https://www.w3.org/2018/credentials/v1\"],"
                       "\"type\":[\"VerifiablePresentation\"],"
                       "\"verifiableCredential\":[\"eyJhIjoxfQ.e30.AA\",\"eyJiIjoyfQ.e30.AA\"]}}"));
    cJSON_free(claims);
    CU_ASSERT_TRUE_FATAL(print_vp(0, sizeof(fixture.buffer)));
    CU_ASSERT_TRUE_FATAL(is_signed_presentation("SHA256"));
    CU_ASSERT_FALSE(cJSON_HasObjectItem(cJSON_GetObjectItemCaseSensitive(fixture.claims, "vp"),
                                        "verifiableCredential"));
}

static void test_a_presentation_that_does_not_fit_is_refused(void)
{
    fixture.key = wallet_key_new("ES256");
    CU_ASSERT_TRUE_FATAL(wallet_did_of(fixture.key, WALLET_DID_KEY, &fixture.did, &fixture.err));
    CU_ASSERT_FALSE(print_vp(2, 300));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_INVALID_REQUEST);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a did:key is that of the specification", test_a_did_key_is_that_of_the_specification },
        { "a did:key of secp256k1 is that of the specification",
          test_a_did_key_of_secp256k1_is_that_of_the_specification },
        { "a did:jwk is that of the specification", test_a_did_jwk_is_that_of_the_specification },
        { "a did:jwk of Ed25519 has no y", test_a_did_jwk_of_ed25519_has_no_y },
        { "DIDs of every algorithm are DIDs and differ",
          test_dids_of_every_algorithm_are_dids_and_differ },
        { "an algorithm that is none makes no key", test_an_algorithm_that_is_none_makes_no_key },
        { "a key from a file has the same DID each time",
          test_a_key_from_a_file_has_the_same_did_each_time },
        { "a key file that will not do is refused", test_a_key_file_that_will_not_do_is_refused },
        { "a signature of every algorithm verifies", test_a_signature_of_every_algorithm_verifies },
        { "a presentation is signed by its holder", test_a_presentation_is_signed_by_its_holder },
        { "a presentation has its times and its credentials",
          test_a_presentation_has_its_times_and_its_credentials },
        { "a presentation that does not fit is refused",
          test_a_presentation_that_does_not_fit_is_refused },
        CU_TEST_INFO_NULL,
    };
    return run_suite("wallet", set_up, tear_down, tests);
}

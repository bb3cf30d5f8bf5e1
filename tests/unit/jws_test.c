/*
 * The verifier that guards what a device signs: OpenSSL signs here, ours verifies, and every
 * signature that is wrong in one respect is refused.
 */
#include "jose/jws.h"

#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "base/digest.h"
#include "base/memory.h"
#include "jose/es256_table.h"
#include "support/run.h"

#define INPUT "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJkaWQ6ZXhhbXBsZToxIn0"

/* n, the order of the group: one too large for a half. */
static const uint8_t ORDER[ES256_HALF] = {
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
};

/* Made once by main(): an RSA key takes long. */
static EVP_PKEY *p256;
static EVP_PKEY *rsa;

static struct {
    struct jws_verifier *verifier;
    struct jws_verifier *prepared; /* the same key, by its table */
    struct jws_verifier *clone;    /* of the prepared one */
    struct signature signature;
    struct error err;
} fixture;

static void clear(void)
{
    memset(&fixture, 0, sizeof(fixture));
}

static void free_verifier(void)
{
    jws_verifier_free(take(fixture.verifier));
    jws_verifier_free(take(fixture.prepared));
    jws_verifier_free(take(fixture.clone));
}

static void use(EVP_PKEY *key, enum jose_algorithm algorithm)
{
    free_verifier();
    CU_ASSERT_TRUE_FATAL(jws_verifier_new(key, algorithm, &fixture.verifier, &fixture.err));
    CU_ASSERT_TRUE_FATAL(jws_verifier_new(key, algorithm, &fixture.prepared, &fixture.err));
    CU_ASSERT_EQUAL(jws_verifier_prepare(fixture.prepared), algorithm == JOSE_ES256);
    CU_ASSERT_TRUE_FATAL(jws_verifier_clone(fixture.prepared, &fixture.clone, &fixture.err));
}

/* True for the signature in the fixture. All ways to verify are of one opinion. */
static bool verifies(const char *input)
{
    const bool valid = jws_verify(fixture.verifier, input, strlen(input), &fixture.signature);
    CU_ASSERT_EQUAL(jws_verify(fixture.prepared, input, strlen(input), &fixture.signature), valid);
    CU_ASSERT_EQUAL(jws_verify(fixture.clone, input, strlen(input), &fixture.signature), valid);
    CU_ASSERT_EQUAL(ERR_peek_error(), 0);
    return valid;
}

/* How an RSA signature is padded. */
struct padding {
    int mode;
    const EVP_MD *mgf1;
    int salt;
};

/* Signs INPUT into `out`; NULL `padding` for ECDSA's DER. Returns the length. */
static size_t sign(EVP_PKEY *key, const EVP_MD *md, const struct padding *padding, uint8_t *out)
{
    size_t length = SIGNATURE_MAX;
    EVP_PKEY_CTX *context = NULL;
    EVP_MD_CTX *signer = EVP_MD_CTX_new();
    bool good = EVP_DigestSignInit(signer, &context, md, NULL, key) == 1;

    if (good && padding != NULL) {
        good = EVP_PKEY_CTX_set_rsa_padding(context, padding->mode) == 1;
    }
    if (good && padding != NULL && padding->mode == RSA_PKCS1_PSS_PADDING) {
        good = EVP_PKEY_CTX_set_rsa_pss_saltlen(context, padding->salt) == 1
            && EVP_PKEY_CTX_set_rsa_mgf1_md(context, padding->mgf1) == 1;
    }
    good = good && EVP_DigestSign(signer, out, &length, (const uint8_t *)INPUT, strlen(INPUT)) == 1;
    EVP_MD_CTX_free(signer);
    CU_ASSERT_TRUE_FATAL(good);
    return length;
}

static void sign_rsa(int mode, const EVP_MD *md, const EVP_MD *mgf1, int salt)
{
    const struct padding padding = { mode, mgf1, salt };
    fixture.signature.length = sign(rsa, md, &padding, fixture.signature.bytes);
}

static void sign_rs256(void)
{
    sign_rsa(RSA_PKCS1_PADDING, EVP_sha256(), NULL, 0);
}

static void sign_ps256(void)
{
    sign_rsa(RSA_PKCS1_PSS_PADDING, EVP_sha256(), EVP_sha256(), 32);
}

static void halves_from_der(const uint8_t *der, size_t length, uint8_t *halves_out)
{
    ECDSA_SIG *halves = d2i_ECDSA_SIG(NULL, &der, (long)length);

    (void)BN_bn2binpad(ECDSA_SIG_get0_r(halves), halves_out, ES256_HALF);
    (void)BN_bn2binpad(ECDSA_SIG_get0_s(halves), halves_out + ES256_HALF, ES256_HALF);
    ECDSA_SIG_free(halves);
}

static void sign_digest(EVP_PKEY *key, const struct digest *digest, uint8_t *halves_out)
{
    uint8_t der[SIGNATURE_MAX];
    size_t length = sizeof(der);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
    const bool good =
        EVP_PKEY_sign_init(context) == 1
        && EVP_PKEY_sign(context, der, &length, digest->bytes, sizeof(digest->bytes)) == 1;

    EVP_PKEY_CTX_free(context);
    CU_ASSERT_TRUE_FATAL(good);
    halves_from_der(der, length, halves_out);
}

static void sign_es256(EVP_PKEY *key)
{
    uint8_t der[SIGNATURE_MAX];

    halves_from_der(der, sign(key, EVP_sha256(), NULL, der), fixture.signature.bytes);
    fixture.signature.length = 2 * ES256_HALF;
}

static void assert_every_flipped_bit_is_refused(void)
{
    CU_ASSERT_TRUE(verifies(INPUT));
    for (size_t bit = 0; bit < 8 * fixture.signature.length; bit++) {
        fixture.signature.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        CU_ASSERT_FALSE(verifies(INPUT));
        fixture.signature.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    CU_ASSERT_TRUE(verifies(INPUT));
}

static void assert_other_lengths_are_refused(void)
{
    const size_t length = fixture.signature.length;
    const size_t others[] = { 0, 1, length - 1, length + 1, SIGNATURE_MAX };
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        fixture.signature.length = others[i];
        CU_ASSERT_FALSE(verifies(INPUT));
    }
    fixture.signature.length = length;
    CU_ASSERT_TRUE(verifies(INPUT));
}

static void assert_other_inputs_are_refused(void)
{
    CU_ASSERT_TRUE(verifies(INPUT));
    CU_ASSERT_FALSE(verifies(""));
    CU_ASSERT_FALSE(verifies(INPUT "A"));
    CU_ASSERT_FALSE(verifies("f" INPUT));
}

static void test_an_es256_signature_verifies(void)
{
    use(p256, JOSE_ES256);
    sign_es256(p256);
    assert_other_inputs_are_refused();
}

static void test_an_rs256_signature_verifies(void)
{
    use(rsa, JOSE_RS256);
    sign_rs256();
    assert_other_inputs_are_refused();
}

static void test_a_ps256_signature_verifies(void)
{
    use(rsa, JOSE_PS256);
    sign_ps256();
    assert_other_inputs_are_refused();
}

static void test_an_es256_signature_with_any_bit_flipped_is_refused(void)
{
    use(p256, JOSE_ES256);
    sign_es256(p256);
    assert_every_flipped_bit_is_refused();
}

static void test_an_rs256_signature_with_any_bit_flipped_is_refused(void)
{
    use(rsa, JOSE_RS256);
    sign_rs256();
    assert_every_flipped_bit_is_refused();
}

static void test_a_ps256_signature_with_any_bit_flipped_is_refused(void)
{
    use(rsa, JOSE_PS256);
    sign_ps256();
    assert_every_flipped_bit_is_refused();
}

static void test_a_signature_of_another_length_is_refused(void)
{
    use(p256, JOSE_ES256);
    sign_es256(p256);
    assert_other_lengths_are_refused();
    use(rsa, JOSE_RS256);
    sign_rs256();
    assert_other_lengths_are_refused();
    use(rsa, JOSE_PS256);
    sign_ps256();
    assert_other_lengths_are_refused();
}

/* One signature in 128 has a half that begins with a zero octet. */
static void test_halves_with_a_leading_zero_verify(void)
{
    bool seen_r = false;
    bool seen_s = false;

    use(p256, JOSE_ES256);
    for (int i = 0; i < 20000 && !(seen_r && seen_s); i++) {
        sign_es256(p256);
        seen_r = seen_r || fixture.signature.bytes[0] == 0;
        seen_s = seen_s || fixture.signature.bytes[ES256_HALF] == 0;
        CU_ASSERT_TRUE(verifies(INPUT));
    }
    CU_ASSERT_TRUE(seen_r && seen_s);
}

/* ECDSA by hand with the nonce k = 379, as the x of 379 G, which becomes r, begins with a zero
 * octet; s = (e + r d) / k mod n. */
static void test_a_chosen_r_with_a_leading_zero_verifies(void)
{
    const struct digest digest = sha256(INPUT, strlen(INPUT));
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    EC_POINT *point = EC_POINT_new(group);
    BN_CTX *scratch = BN_CTX_new();
    BIGNUM *k = BN_new();
    BIGNUM *r = BN_new();
    BIGNUM *s = BN_new();
    BIGNUM *d = NULL;
    const BIGNUM *n = EC_GROUP_get0_order(group);

    CU_ASSERT_EQUAL(EVP_PKEY_get_bn_param(p256, "priv", &d), 1);
    CU_ASSERT_EQUAL(BN_set_word(k, 379), 1);
    CU_ASSERT_EQUAL(EC_POINT_mul(group, point, k, NULL, NULL, scratch), 1);
    CU_ASSERT_EQUAL(EC_POINT_get_affine_coordinates(group, point, r, NULL, scratch), 1);
    (void)BN_bin2bn(digest.bytes, sizeof(digest.bytes), s);
    CU_ASSERT_EQUAL(BN_mod_mul(d, d, r, n, scratch), 1);
    CU_ASSERT_EQUAL(BN_mod_add(s, s, d, n, scratch), 1);
    CU_ASSERT_PTR_NOT_NULL(BN_mod_inverse(k, k, n, scratch));
    CU_ASSERT_EQUAL(BN_mod_mul(s, s, k, n, scratch), 1);
    (void)BN_bn2binpad(r, fixture.signature.bytes, ES256_HALF);
    (void)BN_bn2binpad(s, fixture.signature.bytes + ES256_HALF, ES256_HALF);
    fixture.signature.length = 2 * ES256_HALF;
    BN_free(d);
    BN_free(s);
    BN_free(r);
    BN_free(k);
    BN_CTX_free(scratch);
    EC_POINT_free(point);
    EC_GROUP_free(group);

    use(p256, JOSE_ES256);
    CU_ASSERT_EQUAL(fixture.signature.bytes[0], 0);
    CU_ASSERT_TRUE(verifies(INPUT));
}

static void test_halves_out_of_range_are_refused(void)
{
    static const uint8_t ZERO[ES256_HALF] = { 0 };
    static const uint8_t *const BAD[] = { ZERO, ORDER };

    use(p256, JOSE_ES256);
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        sign_es256(p256);
        memcpy(fixture.signature.bytes, BAD[i], ES256_HALF);
        CU_ASSERT_FALSE(verifies(INPUT));
        memcpy(fixture.signature.bytes + ES256_HALF, BAD[i], ES256_HALF);
        CU_ASSERT_FALSE(verifies(INPUT));
        sign_es256(p256);
        memcpy(fixture.signature.bytes + ES256_HALF, BAD[i], ES256_HALF);
        CU_ASSERT_FALSE(verifies(INPUT));
    }
    memset(fixture.signature.bytes, 0xff, 2 * ES256_HALF);
    CU_ASSERT_FALSE(verifies(INPUT));
}

/* Digests that no input of ours has: 0, 1, n, and all ones, where u1 is 0 or has been reduced. */
static void test_a_table_verifies_digests_at_the_bounds(void)
{
    struct es256_table *table = es256_table_new(p256);
    struct digest digests[4] = { 0 };

    CU_ASSERT_PTR_NOT_NULL_FATAL(table);
    digests[1].bytes[31] = 1;
    memcpy(digests[2].bytes, ORDER, sizeof(ORDER));
    memset(digests[3].bytes, 0xff, sizeof(digests[3].bytes));
    for (size_t i = 0; i < COUNT_OF(digests); i++) {
        uint8_t halves[2 * ES256_HALF];
        sign_digest(p256, &digests[i], halves);
        CU_ASSERT_TRUE(es256_table_verify(table, &digests[i], halves));
        CU_ASSERT_FALSE(es256_table_verify(table, &digests[(i + 1) % 2], halves));
        halves[63] ^= 1;
        CU_ASSERT_FALSE(es256_table_verify(table, &digests[i], halves));
    }
    es256_table_free(table);
}

/* With u1 G + u2 Q at infinity there is no x to compare: r = 1, s = 1, e = -d for Q = d G. */
static void test_a_sum_at_infinity_is_refused(void)
{
    struct es256_table *table = es256_table_new(p256);
    BIGNUM *order = BN_bin2bn(ORDER, sizeof(ORDER), NULL);
    BIGNUM *secret = NULL;
    struct digest digest;
    uint8_t halves[2 * ES256_HALF] = { 0 };

    CU_ASSERT_PTR_NOT_NULL_FATAL(table);
    CU_ASSERT_EQUAL_FATAL(EVP_PKEY_get_bn_param(p256, OSSL_PKEY_PARAM_PRIV_KEY, &secret), 1);
    (void)BN_sub(order, order, secret);
    (void)BN_bn2binpad(order, digest.bytes, sizeof(digest.bytes));
    halves[ES256_HALF - 1] = halves[2 * ES256_HALF - 1] = 1;
    CU_ASSERT_FALSE(es256_table_verify(table, &digest, halves));
    BN_clear_free(secret);
    BN_free(order);
    es256_table_free(table);
}

static void test_der_is_not_taken_for_raw_halves(void)
{
    use(p256, JOSE_ES256);
    fixture.signature.length = sign(p256, EVP_sha256(), NULL, fixture.signature.bytes);
    CU_ASSERT_FALSE(verifies(INPUT));
    fixture.signature.length = 2 * ES256_HALF;
    CU_ASSERT_FALSE(verifies(INPUT));
}

static void test_swapped_halves_are_refused(void)
{
    struct signature signature = { .length = 2 * ES256_HALF };

    use(p256, JOSE_ES256);
    sign_es256(p256);
    memcpy(signature.bytes, fixture.signature.bytes + ES256_HALF, ES256_HALF);
    memcpy(signature.bytes + ES256_HALF, fixture.signature.bytes, ES256_HALF);
    fixture.signature = signature;
    CU_ASSERT_FALSE(verifies(INPUT));
}

static void test_the_signature_of_another_key_is_refused(void)
{
    EVP_PKEY *other = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");

    use(p256, JOSE_ES256);
    sign_es256(other);
    CU_ASSERT_FALSE(verifies(INPUT));
    use(other, JOSE_ES256);
    CU_ASSERT_TRUE(verifies(INPUT));
    EVP_PKEY_free(other);
    CU_ASSERT_TRUE(verifies(INPUT)); /* the verifier keeps what it needs */
}

static void test_ps256_with_another_salt_length_is_refused(void)
{
    static const int SALTS[] = { 0, 20, 31, 33, 48, 64, RSA_PSS_SALTLEN_MAX };

    use(rsa, JOSE_PS256);
    for (size_t i = 0; i < COUNT_OF(SALTS); i++) {
        sign_rsa(RSA_PKCS1_PSS_PADDING, EVP_sha256(), EVP_sha256(), SALTS[i]);
        CU_ASSERT_FALSE(verifies(INPUT));
    }
    sign_ps256();
    CU_ASSERT_TRUE(verifies(INPUT));
}

static void test_ps256_with_another_hash_is_refused(void)
{
    use(rsa, JOSE_PS256);
    sign_rsa(RSA_PKCS1_PSS_PADDING, EVP_sha256(), EVP_sha1(), 32);
    CU_ASSERT_FALSE(verifies(INPUT));
    sign_rsa(RSA_PKCS1_PSS_PADDING, EVP_sha384(), EVP_sha256(), 32);
    CU_ASSERT_FALSE(verifies(INPUT));
}

static void test_one_rsa_padding_is_not_taken_for_the_other(void)
{
    use(rsa, JOSE_RS256);
    sign_ps256();
    CU_ASSERT_FALSE(verifies(INPUT));
    sign_rsa(RSA_PKCS1_PADDING, EVP_sha384(), NULL, 0);
    CU_ASSERT_FALSE(verifies(INPUT));
    use(rsa, JOSE_PS256);
    sign_rs256();
    CU_ASSERT_FALSE(verifies(INPUT));
}

static void test_an_rsa_signature_above_the_modulus_is_refused(void)
{
    use(rsa, JOSE_RS256);
    memset(fixture.signature.bytes, 0xff, SIGNATURE_MAX);
    fixture.signature.length = 256;
    CU_ASSERT_FALSE(verifies(INPUT));
    memset(fixture.signature.bytes, 0, SIGNATURE_MAX);
    CU_ASSERT_FALSE(verifies(INPUT));
}

/* ---- published vectors ---- */

static size_t from_hex(const char *hex, uint8_t *out)
{
    size_t length = 0;
    CU_ASSERT_EQUAL_FATAL(OPENSSL_hexstr2buf_ex(out, SIGNATURE_MAX, &length, hex, '\0'), 1);
    return length;
}

static EVP_PKEY *p384_key(const char *point)
{
    uint8_t octets[SIGNATURE_MAX];
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char[]){ "secp384r1" }, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, octets, from_hex(point, octets)),
        OSSL_PARAM_construct_end(),
    };
    (void)EVP_PKEY_fromdata_init(context);
    (void)EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params);
    EVP_PKEY_CTX_free(context);
    CU_ASSERT_PTR_NOT_NULL_FATAL(key);
    return key;
}

static void assert_each_flipped_bit_is_refused(const char *input)
{
    for (size_t bit = 0; bit < 8 * fixture.signature.length; bit++) {
        fixture.signature.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CU_ASSERT_FALSE(verifies(input));
        fixture.signature.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CU_ASSERT_TRUE(verifies(input));
}

/* RFC 6979 A.2.6, SHA-384. */
static void test_the_es384_signature_of_the_rfc_verifies(void)
{
    EVP_PKEY *key = p384_key("04EC3A4E415B4E19A4568618029F427FA5DA9A8BC4AE92E02E06AAE5286B300C64"
                             "DEF8F0EA9055866064A254515480BC138015D9B72D7D57244EA8EF9AC0C62189"
                             "6708A59367F9DFB9F54CA84B3F1C9DB1288B231C3AE0D4FE7344FD2533264720");

    use(key, JOSE_ES384);
    EVP_PKEY_free(key);
    fixture.signature.length =
        from_hex("94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C"
                 "81A648152E44ACF96E36DD1E80FABE4699EF4AEB15F178CEA1FE40DB2603138F"
                 "130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8",
                 fixture.signature.bytes);
    CU_ASSERT_TRUE(verifies("sample"));
    CU_ASSERT_FALSE(verifies("simple"));
    assert_each_flipped_bit_is_refused("sample");
}

/* RFC 8037 A.4. */
static void test_the_ed25519_signature_of_the_rfc_verifies(void)
{
    static const char input[] = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    uint8_t point[SIGNATURE_MAX];
    const size_t length =
        from_hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", point);
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, point, length);

    use(key, JOSE_ED25519);
    EVP_PKEY_free(key);
    fixture.signature.length =
        from_hex("860c98d2297f3060a33f42739672d61b53cf3adefed3d3c672f320dc021b411e"
                 "9d59b8628dc351e248b88b29468e0e41855b0fb7d83bb15be902bfccb8cd0a02",
                 fixture.signature.bytes);
    CU_ASSERT_TRUE(verifies(input));
    CU_ASSERT_FALSE(verifies(INPUT));
    assert_each_flipped_bit_is_refused(input);
    fixture.signature.length--;
    CU_ASSERT_FALSE(verifies(input));
}

static void assert_no_verifier(EVP_PKEY *key, enum jose_algorithm algorithm)
{
    CU_ASSERT_FALSE(jws_verifier_new(key, algorithm, &fixture.verifier, &fixture.err));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_INTERNAL);
    CU_ASSERT_PTR_NULL(fixture.verifier);
}

static void test_a_key_verifies_only_its_own_algorithms(void)
{
    EVP_PKEY *p384 = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
    EVP_PKEY *empty = EVP_PKEY_new();

    assert_no_verifier(p256, JOSE_RS256);
    assert_no_verifier(p256, JOSE_PS256);
    assert_no_verifier(p256, JOSE_ALGORITHM_NONE);
    assert_no_verifier(rsa, JOSE_ES256);
    assert_no_verifier(rsa, JOSE_ALGORITHM_NONE);
    assert_no_verifier(p256, JOSE_ES384);
    assert_no_verifier(p256, JOSE_ED25519);
    assert_no_verifier(rsa, JOSE_ED25519);
    assert_no_verifier(p384, JOSE_ES256);
    assert_no_verifier(p384, JOSE_ALGORITHM_NONE);
    assert_no_verifier(empty, JOSE_ES256);
    EVP_PKEY_free(p384);
    EVP_PKEY_free(empty);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "an ES256 signature verifies", test_an_es256_signature_verifies },
        { "an RS256 signature verifies", test_an_rs256_signature_verifies },
        { "a PS256 signature verifies", test_a_ps256_signature_verifies },
        { "an ES256 signature with any bit flipped is refused",
          test_an_es256_signature_with_any_bit_flipped_is_refused },
        { "an RS256 signature with any bit flipped is refused",
          test_an_rs256_signature_with_any_bit_flipped_is_refused },
        { "a PS256 signature with any bit flipped is refused",
          test_a_ps256_signature_with_any_bit_flipped_is_refused },
        { "a signature of another length is refused",
          test_a_signature_of_another_length_is_refused },
        { "halves with a leading zero verify", test_halves_with_a_leading_zero_verify },
        { "a chosen r with a leading zero verifies", test_a_chosen_r_with_a_leading_zero_verifies },
        { "halves out of range are refused", test_halves_out_of_range_are_refused },
        { "a table verifies digests at the bounds", test_a_table_verifies_digests_at_the_bounds },
        { "a sum at infinity is refused", test_a_sum_at_infinity_is_refused },
        { "DER is not taken for raw halves", test_der_is_not_taken_for_raw_halves },
        { "swapped halves are refused", test_swapped_halves_are_refused },
        { "the signature of another key is refused", test_the_signature_of_another_key_is_refused },
        { "PS256 with another salt length is refused",
          test_ps256_with_another_salt_length_is_refused },
        { "PS256 with another hash is refused", test_ps256_with_another_hash_is_refused },
        { "one RSA padding is not taken for the other",
          test_one_rsa_padding_is_not_taken_for_the_other },
        { "an RSA signature above the modulus is refused",
          test_an_rsa_signature_above_the_modulus_is_refused },
        { "the ES384 signature of the RFC verifies", test_the_es384_signature_of_the_rfc_verifies },
        { "the Ed25519 signature of the RFC verifies",
          test_the_ed25519_signature_of_the_rfc_verifies },
        { "a key verifies only its own algorithms", test_a_key_verifies_only_its_own_algorithms },
        CU_TEST_INFO_NULL,
    };

    p256 = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    const int result = run_suite("jws", clear, free_verifier, tests);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(p256);
    return result;
}

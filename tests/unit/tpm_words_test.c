/*
 * What the TPM provider makes of a TPM's words, without a TPM: response codes, signatures, public
 * areas.
 */
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/memory.h"
#include "hsm/tpm_error.h"
#include "hsm/tpm_public.h"
#include "hsm/tpm_signature.h"
#include "jose/jwk.h"
#include "support/run.h"

static struct {
    TPMT_SIGNATURE from;
    struct signature signature;
    TPMT_PUBLIC area;
    EVP_PKEY *key;
    struct error err;
} fixture;

static void clear(void)
{
    memset(&fixture, 0, sizeof(fixture));
}

static void free_key(void)
{
    EVP_PKEY_free(take(fixture.key));
}

/* ---- response codes ---- */

enum { HANDLE_1 = 0x100, PARAMETER_1 = 0x140, SESSION_1 = 0x900, RESMGR = 12 << 16 };

static void test_each_class_of_response_codes_has_its_error_and_its_remedy(void)
{
    static const struct {
        TSS2_RC rc;
        enum error_code code;
        enum tpm_remedy remedy;
    } classes[] = {
        { TPM2_RC_RETRY, ERROR_DEVICE_UNAVAILABLE, TPM_REMEDY_PAUSE },
        { TPM2_RC_YIELDED, ERROR_DEVICE_UNAVAILABLE, TPM_REMEDY_PAUSE },
        { TPM2_RC_TESTING, ERROR_DEVICE_UNAVAILABLE, TPM_REMEDY_PAUSE },
        { TPM2_RC_CANCELED, ERROR_DEVICE_UNAVAILABLE, TPM_REMEDY_PAUSE },
        { RESMGR | TPM2_RC_RETRY, ERROR_DEVICE_UNAVAILABLE, TPM_REMEDY_PAUSE },
        { TPM2_RC_NV_RATE, ERROR_DEVICE_UNAVAILABLE, TPM_REMEDY_NONE },
        { TPM2_RC_NV_UNAVAILABLE, ERROR_DEVICE_UNAVAILABLE, TPM_REMEDY_NONE },
        { TPM2_RC_MEMORY, ERROR_DEVICE_UNAVAILABLE, TPM_REMEDY_NONE },
        { TPM2_RC_INITIALIZE, ERROR_DEVICE_UNAVAILABLE, TPM_REMEDY_CONNECT },
        { TPM2_RC_REFERENCE_H0, ERROR_DEVICE_UNAVAILABLE, TPM_REMEDY_CONNECT },
        { TPM2_RC_REFERENCE_S0, ERROR_DEVICE_UNAVAILABLE, TPM_REMEDY_CONNECT },
        { TPM2_RC_REFERENCE_S6, ERROR_DEVICE_UNAVAILABLE, TPM_REMEDY_CONNECT },
        { TPM2_RC_CONTEXT_GAP, ERROR_DEVICE_UNAVAILABLE, TPM_REMEDY_CONNECT },
        { TPM2_RC_OBJECT_MEMORY, ERROR_DEVICE_UNAVAILABLE, TPM_REMEDY_CONNECT },
        { TPM2_RC_SESSION_MEMORY, ERROR_DEVICE_UNAVAILABLE, TPM_REMEDY_CONNECT },
        { TPM2_RC_SESSION_HANDLES, ERROR_DEVICE_UNAVAILABLE, TPM_REMEDY_CONNECT },
        { TPM2_RC_FAILURE, ERROR_DEVICE_UNAVAILABLE, TPM_REMEDY_NONE },
        { TPM2_RC_REBOOT, ERROR_DEVICE_UNAVAILABLE, TPM_REMEDY_NONE },
        { TPM2_RC_UPGRADE, ERROR_DEVICE_UNAVAILABLE, TPM_REMEDY_NONE },
        { TPM2_RC_DISABLED, ERROR_DEVICE_UNAVAILABLE, TPM_REMEDY_NONE },
        { TPM2_RC_AUTH_FAIL + SESSION_1, ERROR_KEY_LOCKED, TPM_REMEDY_NONE }, /* 0x98e */
        { TPM2_RC_BAD_AUTH + SESSION_1, ERROR_KEY_LOCKED, TPM_REMEDY_NONE },  /* 0x9a2 */
        { TPM2_RC_LOCKOUT, ERROR_KEY_LOCKED, TPM_REMEDY_NONE },
        { TPM2_RC_HANDLE + HANDLE_1, ERROR_KEY_NOT_FOUND, TPM_REMEDY_NONE },
        { TPM2_RC_SIZE + PARAMETER_1, ERROR_KEY_POLICY, TPM_REMEDY_NONE },
        { TPM2_RC_SCHEME + PARAMETER_1, ERROR_KEY_POLICY, TPM_REMEDY_NONE },
        { TPM2_RC_PCR_CHANGED, ERROR_KEY_POLICY, TPM_REMEDY_NONE },
        { TPM2_RC_POLICY_FAIL + SESSION_1, ERROR_KEY_POLICY, TPM_REMEDY_NONE },
        { TSS2_TCTI_RC_IO_ERROR, ERROR_DEVICE_UNAVAILABLE, TPM_REMEDY_CONNECT },
        { TSS2_TCTI_RC_NO_CONNECTION, ERROR_DEVICE_UNAVAILABLE, TPM_REMEDY_CONNECT },
        { TSS2_ESYS_RC_BAD_SEQUENCE, ERROR_DEVICE_UNAVAILABLE, TPM_REMEDY_CONNECT },
        { TSS2_ESYS_RC_RSP_AUTH_FAILED, ERROR_DEVICE_UNAVAILABLE, TPM_REMEDY_CONNECT },
        { TSS2_SYS_RC_MALFORMED_RESPONSE, ERROR_DEVICE_UNAVAILABLE, TPM_REMEDY_CONNECT },
    };
    for (size_t i = 0; i < COUNT_OF(classes); i++) {
        CU_ASSERT_FALSE(fail_tss2(&fixture.err, classes[i].rc, "%s", "sign"));
        CU_ASSERT_EQUAL(fixture.err.code, classes[i].code);
        CU_ASSERT_EQUAL(fixture.err.cause.number, classes[i].rc);
        CU_ASSERT_NOT_EQUAL(strlen(fixture.err.cause.text), 0);
        CU_ASSERT_EQUAL(tpm_remedy_of(classes[i].rc), classes[i].remedy);
    }
}

static void test_a_code_is_known_whatever_it_points_at(void)
{
    CU_ASSERT_TRUE(tpm_rc_is(0x18b, TPM2_RC_HANDLE));
    CU_ASSERT_TRUE(tpm_rc_is(RESMGR | 0x18b, TPM2_RC_HANDLE));
    CU_ASSERT_TRUE(tpm_rc_is(0x1d5, TPM2_RC_SIZE));
    CU_ASSERT_FALSE(tpm_rc_is(0x18b, TPM2_RC_SIZE));
    CU_ASSERT_FALSE(tpm_rc_is(7 << 16 | 0x100, TPM2_RC_INITIALIZE)); /* ESYS's own words */
}

/* ---- signatures ---- */

static void use_pair(uint16_t r_size, uint16_t s_size)
{
    TPMS_SIGNATURE_ECC *pair = &fixture.from.signature.ecdsa;

    fixture.from.sigAlg = TPM2_ALG_ECDSA;
    pair->signatureR.size = r_size;
    pair->signatureS.size = s_size;
    memset(pair->signatureR.buffer, 0xaa, r_size);
    memset(pair->signatureS.buffer, 0xbb, s_size);
    memset(fixture.signature.bytes, 0xcc, sizeof(fixture.signature.bytes));
}

static bool reads(enum jose_algorithm algorithm)
{
    return tpm_signature_read(&fixture.from, algorithm, &fixture.signature, &fixture.err);
}

static void check_widened(const uint8_t *half, size_t width, size_t size, uint8_t octet)
{
    for (size_t i = 0; i < width; i++) {
        CU_ASSERT_EQUAL(half[i], i < width - size ? 0 : octet);
    }
}

static void test_short_r_and_s_are_widened_each_for_itself(void)
{
    static const enum jose_algorithm algorithms[] = { JOSE_ES256, JOSE_ES384 };

    for (size_t i = 0; i < COUNT_OF(algorithms); i++) {
        const size_t width = jose_ecdsa_half(algorithms[i]);
        const size_t sizes[] = { 1, width - 1, width };
        for (size_t j = 0; j < COUNT_OF(sizes) * COUNT_OF(sizes); j++) {
            const size_t r = sizes[j / COUNT_OF(sizes)];
            const size_t s = sizes[j % COUNT_OF(sizes)];
            use_pair((uint16_t)r, (uint16_t)s);
            CU_ASSERT_TRUE_FATAL(reads(algorithms[i]));
            CU_ASSERT_EQUAL(fixture.signature.length, 2 * width);
            check_widened(fixture.signature.bytes, width, r, 0xaa);
            check_widened(fixture.signature.bytes + width, width, s, 0xbb);
        }
    }
}

static void assert_refused(enum jose_algorithm algorithm)
{
    CU_ASSERT_FALSE(reads(algorithm));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_DEVICE_UNAVAILABLE);
}

static void test_a_signature_of_another_shape_is_refused(void)
{
    use_pair(33, 32);
    assert_refused(JOSE_ES256);
    use_pair(32, 33);
    assert_refused(JOSE_ES256);
    use_pair(0, 32);
    assert_refused(JOSE_ES256);
    use_pair(49, 48);
    assert_refused(JOSE_ES384);
    use_pair(32, 32);
    assert_refused(JOSE_RS256);
    fixture.from.sigAlg = TPM2_ALG_RSASSA;
    fixture.from.signature.rsassa.sig.size = 256;
    CU_ASSERT_TRUE(reads(JOSE_RS256));
    CU_ASSERT_EQUAL(fixture.signature.length, 256);
    assert_refused(JOSE_PS256);
    assert_refused(JOSE_ES256);
    fixture.from.sigAlg = TPM2_ALG_RSAPSS;
    CU_ASSERT_TRUE(reads(JOSE_PS256));
    assert_refused(JOSE_RS256);
    fixture.from.signature.rsapss.sig.size = 0;
    assert_refused(JOSE_PS256);
}

/* ---- public areas ---- */

enum {
    GOOD = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN
         | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_SIGN_ENCRYPT
};

static bool is_refused_for(TPMA_OBJECT attributes, const char *words)
{
    fixture.area.objectAttributes = attributes;
    return !tpm_public_check_policy(&fixture.area, "the key", &fixture.err)
        && fixture.err.code == ERROR_KEY_POLICY && strstr(fixture.err.message, "the key: ") != NULL
        && strstr(fixture.err.message, words) != NULL;
}

static void test_each_attribute_that_is_not_as_it_must_be_is_named(void)
{
    fixture.area.objectAttributes = GOOD;
    CU_ASSERT_TRUE(tpm_public_check_policy(&fixture.area, "the key", &fixture.err));
    fixture.area.objectAttributes = GOOD | TPMA_OBJECT_NODA;
    CU_ASSERT_TRUE(tpm_public_check_policy(&fixture.area, "the key", &fixture.err));
    CU_ASSERT_TRUE(is_refused_for(GOOD & ~TPMA_OBJECT_FIXEDTPM, "fixedTPM is clear"));
    CU_ASSERT_TRUE(is_refused_for(GOOD & ~TPMA_OBJECT_FIXEDPARENT, "fixedParent is clear"));
    CU_ASSERT_TRUE(
        is_refused_for(GOOD & ~TPMA_OBJECT_SENSITIVEDATAORIGIN, "sensitiveDataOrigin is clear"));
    CU_ASSERT_TRUE(is_refused_for(GOOD & ~TPMA_OBJECT_USERWITHAUTH, "userWithAuth is clear"));
    CU_ASSERT_TRUE(is_refused_for(GOOD & ~TPMA_OBJECT_SIGN_ENCRYPT, "sign is clear"));
    CU_ASSERT_TRUE(is_refused_for(GOOD | TPMA_OBJECT_DECRYPT, "decrypt is set"));
    CU_ASSERT_TRUE(is_refused_for(GOOD | TPMA_OBJECT_RESTRICTED, "restricted is set"));
}

static void test_attributes_are_printed_by_their_names(void)
{
    char buffer[200];
    struct text text = text_over(buffer, sizeof(buffer));

    fixture.area.objectAttributes = GOOD | TPMA_OBJECT_NODA;
    tpm_public_print_attributes(&fixture.area, &text);
    CU_ASSERT_STRING_EQUAL(buffer,
                           "fixedTPM fixedParent sensitiveDataOrigin userWithAuth noDA sign");
}

static void use_point(const char *curve, TPMI_ECC_CURVE id, size_t half)
{
    uint8_t point[1 + 2 * 66];
    size_t length = 0;
    EVP_PKEY *pair = EVP_PKEY_Q_keygen(NULL, NULL, "EC", curve);

    CU_ASSERT_EQUAL_FATAL(
        EVP_PKEY_get_octet_string_param(pair, "pub", point, sizeof(point), &length), 1);
    EVP_PKEY_free(pair);
    CU_ASSERT_EQUAL_FATAL(length, 1 + 2 * half);
    fixture.area.type = TPM2_ALG_ECC;
    fixture.area.parameters.eccDetail.curveID = id;
    size_t skipped = 0; /* as a TPM may give it: without leading zeros */
    while (point[1 + skipped] == 0) {
        skipped++;
    }
    fixture.area.unique.ecc.x.size = (uint16_t)(half - skipped);
    memcpy(fixture.area.unique.ecc.x.buffer, point + 1 + skipped, half - skipped);
    fixture.area.unique.ecc.y.size = (uint16_t)half;
    memcpy(fixture.area.unique.ecc.y.buffer, point + 1 + half, half);
}

static bool reads_key(void)
{
    free_key();
    return tpm_public_read_key(&fixture.area, "the key", &fixture.key, &fixture.err);
}

static void test_points_of_two_curves_are_read_with_and_without_leading_zeros(void)
{
    for (int i = 0; i < 600; i++) { /* an x with a leading zero is one in 256 */
        use_point("P-256", TPM2_ECC_NIST_P256, 32);
        CU_ASSERT_TRUE_FATAL(reads_key());
    }
    CU_ASSERT_EQUAL(jwk_default_algorithm(fixture.key), JOSE_ES256);
    use_point("P-384", TPM2_ECC_NIST_P384, 48);
    CU_ASSERT_TRUE_FATAL(reads_key());
    CU_ASSERT_EQUAL(jwk_default_algorithm(fixture.key), JOSE_ES384);
}

static void test_other_keys_and_points_off_the_curve_are_refused(void)
{
    use_point("P-521", TPM2_ECC_NIST_P521, 66);
    CU_ASSERT_FALSE(reads_key());
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_KEY_POLICY);
    use_point("P-256", TPM2_ECC_NIST_P256, 32);
    fixture.area.unique.ecc.y.buffer[31] ^= 1;
    CU_ASSERT_FALSE(reads_key());
    use_point("P-256", TPM2_ECC_NIST_P256, 32);
    fixture.area.unique.ecc.x.size = 33;
    CU_ASSERT_FALSE(reads_key());
    fixture.area.type = TPM2_ALG_KEYEDHASH;
    CU_ASSERT_FALSE(reads_key());
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_KEY_POLICY);
}

static void test_an_rsa_exponent_of_zero_is_65537(void)
{
    struct jwk jwk;

    fixture.area.type = TPM2_ALG_RSA;
    fixture.area.unique.rsa.size = 256;
    memset(fixture.area.unique.rsa.buffer, 0xff, 256);
    CU_ASSERT_TRUE_FATAL(reads_key());
    CU_ASSERT_TRUE_FATAL(jwk_from_key(fixture.key, JOSE_RS256, &jwk, &fixture.err));
    CU_ASSERT_PTR_NOT_NULL(strstr(jwk.json, "\"e\":\"AQAB\""));
    fixture.area.parameters.rsaDetail.exponent = 0x10003;
    CU_ASSERT_TRUE_FATAL(reads_key());
    CU_ASSERT_TRUE_FATAL(jwk_from_key(fixture.key, JOSE_RS256, &jwk, &fixture.err));
    CU_ASSERT_PTR_NOT_NULL(strstr(jwk.json, "\"e\":\"AQAD\""));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "each class of response codes has its error and its remedy",
          test_each_class_of_response_codes_has_its_error_and_its_remedy },
        { "a code is known whatever it points at", test_a_code_is_known_whatever_it_points_at },
        { "short r and s are widened each for itself",
          test_short_r_and_s_are_widened_each_for_itself },
        { "a signature of another shape is refused", test_a_signature_of_another_shape_is_refused },
        { "each attribute that is not as it must be is named",
          test_each_attribute_that_is_not_as_it_must_be_is_named },
        { "attributes are printed by their names", test_attributes_are_printed_by_their_names },
        { "points of two curves are read with and without leading zeros",
          test_points_of_two_curves_are_read_with_and_without_leading_zeros },
        { "other keys and points off the curve are refused",
          test_other_keys_and_points_off_the_curve_are_refused },
        { "an RSA exponent of zero is 65537", test_an_rsa_exponent_of_zero_is_65537 },
        CU_TEST_INFO_NULL,
    };
    return run_suite("tpm", clear, free_key, tests);
}

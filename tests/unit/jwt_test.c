/*
 * JWTs as attackers send them: beside each that is taken stand those that differ in one respect and
 * are refused. Signatures are made by OpenSSL here; the vectors are those of RFC 7515 appendix A,
 * RFC 7520 clause 4 and RFC 8037 appendix A.
 */
#include "jose/jwt.h"

#include <stdio.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/base64url.h"
#include "base/memory.h"
#include "base/text.h"
#include "jose/public_key.h"
#include "support/run.h"

#define KID "\"kid\":\"did:example:1#key-1\""
#define HEADER(alg) "{\"alg\":\"" alg "\"," KID "}"
#define CLAIMS "{\"iss\":\"did:example:1\",\"nonce\":\"n\"}"

enum { SIGNATURE_BYTES = 64 };

/* Made once by main(). */
static struct {
    EVP_PKEY *p256, *p384, *secp256k1, *ed25519, *rsa;
} keys;

static struct {
    char text[JWT_MAX + 1024];
    size_t length;
    struct jwt jwt;
    struct error err;
} fixture;

static void clear(void)
{
    memset(&fixture, 0, sizeof(fixture));
}

static void clear_jwt(void)
{
    jwt_clear(&fixture.jwt);
}

/* ---- making ---- */

static void use_text(const char *text)
{
    fixture.length = strlen(text);
    memcpy(fixture.text, text, fixture.length + 1);
}

static struct text written(void)
{
    return (struct text){ .start = fixture.text,
                          .length = fixture.length,
                          .size = sizeof(fixture.text) };
}

static void write_input_bytes(const char *header, size_t header_length, const char *payload,
                              size_t payload_length)
{
    struct text text = text_over(fixture.text, sizeof(fixture.text));

    text_add_base64url(&text, header, header_length);
    text_add(&text, ".");
    text_add_base64url(&text, payload, payload_length);
    fixture.length = text.length;
}

static void write_signature(const void *signature, size_t length)
{
    struct text text = written();

    text_add(&text, ".");
    text_add_base64url(&text, signature, length);
    CU_ASSERT_FALSE_FATAL(text.overflowed);
    fixture.length = text.length;
}

/* A JWS of the two texts whose signature has the form of one, and no more. */
static void write_unsigned(const char *header, const char *payload)
{
    static const uint8_t SIGNATURE[SIGNATURE_BYTES] = { 1 };

    write_input_bytes(header, strlen(header), payload, strlen(payload));
    write_signature(SIGNATURE, sizeof(SIGNATURE));
}

static size_t sign_input(EVP_PKEY *key, const EVP_MD *md, uint8_t *out, size_t size)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    size_t length = size;
    const bool good =
        EVP_DigestSignInit(context, NULL, md, NULL, key) == 1
        && EVP_DigestSign(context, out, &length, (const uint8_t *)fixture.text, fixture.length)
               == 1;

    EVP_MD_CTX_free(context);
    CU_ASSERT_TRUE_FATAL(good);
    return length;
}

static void write_ecdsa(EVP_PKEY *key, const EVP_MD *md, int half, const char *header)
{
    uint8_t der[SIGNATURE_MAX];
    uint8_t halves[2 * ECDSA_HALF_MAX];
    const uint8_t *at = der;

    write_input_bytes(header, strlen(header), CLAIMS, strlen(CLAIMS));
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)sign_input(key, md, der, sizeof(der)));
    (void)BN_bn2binpad(ECDSA_SIG_get0_r(pair), halves, half);
    (void)BN_bn2binpad(ECDSA_SIG_get0_s(pair), halves + half, half);
    ECDSA_SIG_free(pair);
    write_signature(halves, 2 * (size_t)half);
}

static void write_es256(const char *header)
{
    write_ecdsa(keys.p256, EVP_sha256(), 32, header);
}

static void write_es384(const char *header)
{
    write_ecdsa(keys.p384, EVP_sha384(), 48, header);
}

static void write_es256k(const char *header)
{
    write_ecdsa(keys.secp256k1, EVP_sha256(), 32, header);
}

static void write_ed25519(const char *header)
{
    uint8_t signature[SIGNATURE_BYTES];

    write_input_bytes(header, strlen(header), CLAIMS, strlen(CLAIMS));
    write_signature(signature, sign_input(keys.ed25519, NULL, signature, sizeof(signature)));
}

/* ---- judging ---- */

/* The text is parsed where it ends with its memory, so that the sanitizers see a read past it. */
static bool parses(void)
{
    char *copy = xcalloc(1, fixture.length > 0 ? fixture.length : 1);

    memcpy(copy, fixture.text, fixture.length);
    jwt_clear(&fixture.jwt);
    const bool good = jwt_parse(copy, fixture.length, "vp+jwt", &fixture.jwt, &fixture.err);
    release_memory(&copy);
    return good;
}

static bool verifies(EVP_PKEY *key)
{
    jwt_clear(&fixture.jwt);
    CU_ASSERT_TRUE_FATAL(
        jwt_parse(fixture.text, fixture.length, "vp+jwt", &fixture.jwt, &fixture.err));
    const bool good = jwt_verify(&fixture.jwt, key);
    CU_ASSERT_EQUAL(ERR_peek_error(), 0);
    return good;
}

static void assert_parses(void)
{
    if (!parses()) {
        (void)printf("\n    refused: %s\n", fixture.err.message);
        CU_FAIL("a sound JWT was refused");
    }
}

static void assert_refused(const char *message)
{
    if (parses()) {
        (void)printf("\n    accepted: %.200s\n", fixture.text);
        CU_FAIL("a bad JWT was accepted");
        return;
    }
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_INVALID_REQUEST);
    if (strstr(fixture.err.message, message) == NULL) {
        (void)printf("\n    said: %s\n", fixture.err.message);
        CU_FAIL("refused for another reason");
    }
}

static void assert_header_refused(const char *header, const char *message)
{
    write_unsigned(header, CLAIMS);
    assert_refused(message);
}

static void assert_payload_refused(const char *payload, const char *message)
{
    write_unsigned(HEADER("ES256"), payload);
    assert_refused(message);
}

static void assert_verifies_only_under(EVP_PKEY *key)
{
    EVP_PKEY *const all[] = { keys.p256, keys.p384, keys.secp256k1, keys.ed25519, keys.rsa };

    for (size_t i = 0; i < COUNT_OF(all); i++) {
        CU_ASSERT_EQUAL(verifies(all[i]), all[i] == key);
    }
}

/* ---- algorithms and keys ---- */

static void test_each_algorithm_verifies_under_its_key_and_no_other(void)
{
    write_es256(HEADER("ES256"));
    assert_verifies_only_under(keys.p256);
    write_es384(HEADER("ES384"));
    assert_verifies_only_under(keys.p384);
    write_es256k(HEADER("ES256K"));
    assert_verifies_only_under(keys.secp256k1);
    write_ed25519(HEADER("Ed25519"));
    assert_verifies_only_under(keys.ed25519);
    write_ed25519(HEADER("EdDSA"));
    assert_verifies_only_under(keys.ed25519);
}

static void test_what_was_parsed_can_be_read(void)
{
    write_es256(HEADER("ES256"));
    CU_ASSERT_TRUE_FATAL(verifies(keys.p256));
    CU_ASSERT_EQUAL(fixture.jwt.algorithm, JOSE_ES256);
    CU_ASSERT_STRING_EQUAL(fixture.jwt.kid, "did:example:1#key-1");
    CU_ASSERT_STRING_EQUAL(
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(fixture.jwt.claims, "iss")),
        "did:example:1");
    CU_ASSERT_PTR_EQUAL(fixture.jwt.input, fixture.text);
    CU_ASSERT_EQUAL(fixture.text[fixture.jwt.input_length], '.');
    CU_ASSERT_EQUAL(fixture.jwt.signature.length, SIGNATURE_BYTES);
}

static void test_a_signature_of_one_curve_is_none_of_another(void)
{
    write_ecdsa(keys.secp256k1, EVP_sha256(), 32, HEADER("ES256"));
    assert_verifies_only_under(NULL);
    write_ecdsa(keys.p256, EVP_sha256(), 32, HEADER("ES256K"));
    assert_verifies_only_under(NULL);
    write_ecdsa(keys.p384, EVP_sha384(), 48, HEADER("ES256"));
    assert_refused("signature: ");
    write_ecdsa(keys.p384, EVP_sha256(), 48, HEADER("ES384"));
    assert_verifies_only_under(NULL);
    write_ed25519(HEADER("ES256"));
    assert_verifies_only_under(NULL);
    write_es256(HEADER("Ed25519"));
    assert_verifies_only_under(NULL);
}

static void test_another_algorithm_is_refused_by_its_name(void)
{
    static const char *const NAMES[] = {
        "none",  "None",   "NONE",    "nOnE",  "",      "HS256",  "HS384",  "HS512", "RS256",
        "RS384", "RS512",  "PS256",   "PS384", "PS512", "ES512",  "ES256 ", "es256", " ES256",
        "ES25",  "ES2560", "ed25519", "eddsa", "Ed448", "ES256k", "ESDH",   "dir",   "ES256\\t",
    };
    char header[128];

    for (size_t i = 0; i < COUNT_OF(NAMES); i++) {
        (void)snprintf(header, sizeof(header), "{\"alg\":\"%s\"," KID "}", NAMES[i]);
        assert_header_refused(header, "header: alg is not ES256, ES384, ES256K, Ed25519 or EdDSA");
    }
    assert_header_refused("{" KID "}", "header: alg is not");
    assert_header_refused("{\"alg\":null," KID "}", "header: alg is not");
    assert_header_refused("{\"alg\":256," KID "}", "header: alg is not");
    assert_header_refused("{\"alg\":[\"ES256\"]," KID "}", "header: alg is not");
    assert_header_refused("{\"ALG\":\"ES256\"," KID "}", "header: alg is not");
}

static void test_a_jwt_without_a_signature_is_refused(void)
{
    write_input_bytes(HEADER("none"), strlen(HEADER("none")), CLAIMS, strlen(CLAIMS));
    write_signature("", 0);
    assert_refused("not a compact JWS");
    write_input_bytes(HEADER("ES256"), strlen(HEADER("ES256")), CLAIMS, strlen(CLAIMS));
    write_signature("", 0);
    assert_refused("not a compact JWS");
}

/* The classic: the public key, which all have, as the secret of an HMAC. */
static void test_an_hmac_with_the_public_key_is_refused(void)
{
    uint8_t mac[SIGNATURE_BYTES];
    unsigned length = 0;
    char *pem;
    BIO *bio = BIO_new(BIO_s_mem());

    CU_ASSERT_EQUAL_FATAL(PEM_write_bio_PUBKEY(bio, keys.p256), 1);
    const long pem_length = BIO_get_mem_data(bio, &pem);
    write_input_bytes(HEADER("HS256"), strlen(HEADER("HS256")), CLAIMS, strlen(CLAIMS));
    (void)HMAC(EVP_sha256(), pem, (int)pem_length, (const uint8_t *)fixture.text, fixture.length,
               mac, &length);
    BIO_free(bio);
    write_signature(mac, length);
    assert_refused("header: alg is not");
}

/* ---- signatures ---- */

static const uint8_t P256_ORDER[32] = {
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
};

/* `r` and `s` instead of the halves of a sound signature; NULL: as it is. */
static bool verifies_with(const uint8_t *r, const uint8_t *s)
{
    write_es256(HEADER("ES256"));
    CU_ASSERT_TRUE_FATAL(verifies(keys.p256));
    if (r != NULL) {
        memcpy(fixture.jwt.signature.bytes, r, 32);
    }
    if (s != NULL) {
        memcpy(fixture.jwt.signature.bytes + 32, s, 32);
    }
    return jwt_verify(&fixture.jwt, keys.p256);
}

static void test_zero_and_overlarge_halves_are_refused(void)
{
    static const uint8_t ZERO[32] = { 0 };
    uint8_t ones[32];

    memset(ones, 0xff, sizeof(ones));
    CU_ASSERT_TRUE(verifies_with(NULL, NULL));
    CU_ASSERT_FALSE(verifies_with(ZERO, ZERO));
    CU_ASSERT_FALSE(verifies_with(ZERO, NULL));
    CU_ASSERT_FALSE(verifies_with(NULL, ZERO));
    CU_ASSERT_FALSE(verifies_with(P256_ORDER, P256_ORDER));
    CU_ASSERT_FALSE(verifies_with(P256_ORDER, NULL));
    CU_ASSERT_FALSE(verifies_with(NULL, P256_ORDER));
    CU_ASSERT_FALSE(verifies_with(ones, ones));
}

static void test_a_der_signature_is_refused(void)
{
    uint8_t der[SIGNATURE_MAX];

    write_input_bytes(HEADER("ES256"), strlen(HEADER("ES256")), CLAIMS, strlen(CLAIMS));
    write_signature(der, sign_input(keys.p256, EVP_sha256(), der, sizeof(der)));
    assert_refused("signature: ");
}

static void test_a_signature_of_another_length_is_refused(void)
{
    static const size_t LENGTHS[] = { 1, 32, 63, 65, 96, 132, 256, 4096 };
    static const uint8_t SIGNATURE[4096] = { 1 };

    for (size_t i = 0; i < COUNT_OF(LENGTHS); i++) {
        write_input_bytes(HEADER("ES256"), strlen(HEADER("ES256")), CLAIMS, strlen(CLAIMS));
        write_signature(SIGNATURE, LENGTHS[i]);
        assert_refused("signature: not canonical base64url without padding of 64 bytes");
    }
    write_input_bytes(HEADER("ES384"), strlen(HEADER("ES384")), CLAIMS, strlen(CLAIMS));
    write_signature(SIGNATURE, 64);
    assert_refused("of 96 bytes, as ES384 has");
    write_input_bytes(HEADER("ES384"), strlen(HEADER("ES384")), CLAIMS, strlen(CLAIMS));
    write_signature(SIGNATURE, 96);
    assert_parses();
}

static void test_every_flipped_bit_of_a_signature_is_refused(void)
{
    write_es256(HEADER("ES256"));
    CU_ASSERT_TRUE_FATAL(verifies(keys.p256));
    for (size_t bit = 0; bit < 8 * fixture.jwt.signature.length; bit++) {
        fixture.jwt.signature.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        CU_ASSERT_FALSE(jwt_verify(&fixture.jwt, keys.p256));
        fixture.jwt.signature.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    CU_ASSERT_TRUE(jwt_verify(&fixture.jwt, keys.p256));
}

static void test_a_payload_that_was_not_signed_does_not_verify(void)
{
    char signature[128];

    write_es256(HEADER("ES256"));
    (void)snprintf(signature, sizeof(signature), "%s", strrchr(fixture.text, '.'));
    write_input_bytes(HEADER("ES256"), strlen(HEADER("ES256")), "{\"iss\":\"did:example:2\"}", 23);
    struct text text = written();
    text_add(&text, signature);
    fixture.length = text.length;
    CU_ASSERT_FALSE(verifies(keys.p256));
}

/* ---- header members ---- */

static void test_members_that_bring_a_key_or_change_the_rules_are_refused(void)
{
    static const char *const MEMBERS[][2] = {
        { "crit", "\"crit\":[\"exp\"]" },
        { "crit", "\"crit\":[]" },
        { "crit", "\"crit\":[\"b64\"],\"b64\":false" },
        { "b64", "\"b64\":false" },
        { "b64", "\"b64\":true" },
        { "zip", "\"zip\":\"DEF\"" },
        { "jwk", "\"jwk\":{\"kty\":\"EC\",\"crv\":\"P-256\"}" },
        { "jwk", "\"jwk\":null" },
        { "jku", "\"jku\":\"https://attacker.example/jwks.json\"" },
        { "x5u", "\"x5u\":\"https://attacker.example/cert.pem\"" },
        { "x5c", "\"x5c\":[\"MIIB\"]" },
        { "x5t", "\"x5t\":\"AAAA\"" },
        { "x5t#S256", "\"x5t#S256\":\"AAAA\"" },
    };
    char header[256];
    char message[64];

    for (size_t i = 0; i < COUNT_OF(MEMBERS); i++) {
        (void)snprintf(header, sizeof(header), "{\"alg\":\"ES256\"," KID ",%s}", MEMBERS[i][1]);
        (void)snprintf(message, sizeof(message), "header: %s is not accepted here", MEMBERS[i][0]);
        assert_header_refused(header, message);
    }
}

/* RFC 7515 4: what is not understood and not critical is ignored. */
static void test_a_member_that_says_nothing_here_is_passed_over(void)
{
    write_es256("{\"alg\":\"ES256\"," KID ",\"cty\":\"x\",\"trace\":[1,{}]}");
    CU_ASSERT_TRUE(verifies(keys.p256));
}

static void test_a_jwt_without_a_proper_kid_is_refused(void)
{
    assert_header_refused("{\"alg\":\"ES256\"}", "header: kid is missing");
    assert_header_refused("{\"alg\":\"ES256\",\"kid\":\"\"}", "header: kid is missing");
    assert_header_refused("{\"alg\":\"ES256\",\"kid\":7}", "header: kid is missing");
    assert_header_refused("{\"alg\":\"ES256\",\"kid\":null}", "header: kid is missing");
    assert_header_refused("{\"alg\":\"ES256\",\"kid\":{\"a\":1}}", "header: kid is missing");
    assert_header_refused("{\"alg\":\"ES256\",\"KID\":\"a\"}", "header: kid is missing");
    assert_header_refused("{\"alg\":\"ES256\",\"kid\":\"a\\nb\"}", "header: kid is not printable");
    assert_header_refused("{\"alg\":\"ES256\",\"kid\":\"a\\u001b[0m\"}", "kid is not printable");
    assert_header_refused("{\"alg\":\"ES256\",\"kid\":\"a\\u007f\"}", "kid is not printable");
    assert_header_refused("{\"alg\":\"ES256\",\"kid\":\"caf\xc3\xa9\"}", "kid is not printable");
    assert_header_refused("{\"alg\":\"ES256\",\"kid\":\"a\\u0000b\"}", "header: not strict JSON");
}

/* They name no key: whoever looks one up refuses them, by grammar. */
static void test_a_kid_with_the_syntax_of_other_languages_is_only_a_name(void)
{
    static const char *const KIDS[] = { "../../../../dev/null", "' OR 1=1 --", "$(id)", "%00" };
    char header[128];

    for (size_t i = 0; i < COUNT_OF(KIDS); i++) {
        (void)snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"kid\":\"%s\"}", KIDS[i]);
        write_unsigned(header, CLAIMS);
        CU_ASSERT_TRUE_FATAL(parses());
        CU_ASSERT_STRING_EQUAL(fixture.jwt.kid, KIDS[i]);
    }
}

static void test_the_type_is_the_expected_one_or_jwt(void)
{
    static const char *const TYPES[] = { "vp+jwt", "VP+JWT", "application/vp+jwt", "JWT",
                                         "jwt",    "Jwt",    "Application/JWT" };
    char header[128];

    for (size_t i = 0; i < COUNT_OF(TYPES); i++) {
        (void)snprintf(header, sizeof(header), "{\"alg\":\"ES256\"," KID ",\"typ\":\"%s\"}",
                       TYPES[i]);
        write_unsigned(header, CLAIMS);
        assert_parses();
    }
    write_unsigned(HEADER("ES256"), CLAIMS);
    assert_parses();
}

static void test_another_kind_of_jwt_is_refused(void)
{
    static const char *const TYPES[] = {
        "\"at+jwt\"",
        "\"openid4vci-proof+jwt\"",
        "\"dpop+jwt\"",
        "\"vc+jwt\"",
        "\"logout+jwt\"",
        "\"application/at+jwt\"",
        "\"application/\"",
        "\"\"",
        "\"JWT \"",
        "\"vp+jwt;q=1\"",
        "\"text/vp+jwt\"",
        "null",
        "\"JWS\"",
        "[\"JWT\"]",
        "\"application/application/jwt\"",
    };
    char header[128];

    for (size_t i = 0; i < COUNT_OF(TYPES); i++) {
        (void)snprintf(header, sizeof(header), "{\"alg\":\"ES256\"," KID ",\"typ\":%s}", TYPES[i]);
        assert_header_refused(header, "header: typ is neither vp+jwt nor JWT");
    }
}

/* ---- parts, base64url, JSON ---- */

static void test_other_than_three_parts_are_refused(void)
{
    static const char *const TEXTS[] = {
        "",     ".",    "..",      "...",    "a",      "a.b",    "a.b.",
        ".b.c", "a..c", "a.b.c.d", "a.b..d", "a.b.c.", ".a.b.c", "a.b.c.d.e",
    };
    for (size_t i = 0; i < COUNT_OF(TEXTS); i++) {
        use_text(TEXTS[i]);
        assert_refused("not a compact JWS");
    }
}

static void test_the_json_serializations_are_refused(void)
{
    use_text("{\"payload\":\"e30\",\"protected\":\"eyJhbGciOiJFUzI1NiJ9\",\"signature\":\"AA\"}");
    assert_refused("not a compact JWS");
    use_text("{\"payload\":\"e30\",\"signatures\":[{\"protected\":\"e30\",\"signature\":\"AA\"}]}");
    assert_refused("not a compact JWS");
    use_text("{\"payload\":\"e30.\",\"signature\":\"A.A\"}");
    assert_refused("header: not canonical base64url");
}

/* Puts `piece` before the byte at `index`, counted from the end if negative. */
static void insert(long index, const char *piece, size_t length)
{
    const size_t at = index >= 0 ? (size_t)index : fixture.length - (size_t)-index;

    memmove(fixture.text + at + length, fixture.text + at, fixture.length - at + 1);
    memcpy(fixture.text + at, piece, length);
    fixture.length += length;
}

static long first_dot(void)
{
    return strchr(fixture.text, '.') - fixture.text;
}

static long last_dot(void)
{
    return strrchr(fixture.text, '.') - fixture.text;
}

static void test_bytes_outside_the_alphabet_are_refused_in_each_part(void)
{
    static const char *const PIECES[] = {
        " ", "\n", "\r\n", "\t", "=", "==", "+", "/", "%", "\xff"
    };
    static const char *const PARTS[] = { "header: not canonical", "payload: not canonical",
                                         "signature: not canonical" };

    for (size_t i = 0; i < COUNT_OF(PIECES); i++) {
        for (size_t part = 0; part < COUNT_OF(PARTS); part++) {
            write_es256(HEADER("ES256"));
            const long at = part == 0 ? first_dot() : part == 1 ? last_dot() : (long)fixture.length;
            insert(at, PIECES[i], strlen(PIECES[i]));
            assert_refused(PARTS[part]);
        }
        write_es256(HEADER("ES256"));
        insert(0, PIECES[i], strlen(PIECES[i]));
        assert_refused(PARTS[0]);
    }
    write_es256(HEADER("ES256"));
    insert(-1, "", 1); /* its NUL */
    assert_refused(PARTS[2]);
    write_es256(HEADER("ES256"));
    insert((long)fixture.length, "", 1);
    assert_refused(PARTS[2]);
}

/* The last letter of a part whose low bits are not used, with one of them set. */
static void set_unused_bit(long index)
{
    static const char LETTERS[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const char *letter = strchr(LETTERS, fixture.text[index]);

    CU_ASSERT_PTR_NOT_NULL_FATAL(letter);
    CU_ASSERT_EQUAL_FATAL((letter - LETTERS) % 2, 0);
    fixture.text[index] = letter[1];
}

static void test_a_second_spelling_of_the_same_bytes_is_refused(void)
{
    /* Lengths that leave unused bits: neither is a multiple of three. */
    static const char header[] = "{\"alg\":\"ES256\",\"kid\":\"ab\"}";
    _Static_assert((sizeof(header) - 1) % 3 != 0, "unused bits");

    write_unsigned(header, "{\"a\":12}");
    assert_parses();
    set_unused_bit(first_dot() - 1);
    assert_refused("header: not canonical base64url");
    write_unsigned(header, "{\"a\":12}");
    set_unused_bit(last_dot() - 1);
    assert_refused("payload: not canonical base64url");
    write_unsigned(header, "{\"a\":12}");
    set_unused_bit((long)fixture.length - 1);
    assert_refused("signature: not canonical base64url");
}

static void test_json_that_readers_could_read_in_two_ways_is_refused(void)
{
    assert_header_refused("{\"alg\":\"none\",\"alg\":\"ES256\"," KID "}",
                          "header: not strict JSON");
    assert_header_refused("{\"alg\":\"ES256\"," KID "," KID "}", "header: not strict JSON");
    assert_header_refused("{\"alg\":\"ES256\"," KID ",}", "header: not strict JSON");
    assert_header_refused("{\"alg\":\"ES256\"," KID "} ,", "header: not strict JSON");
    assert_header_refused("\xef\xbb\xbf{\"alg\":\"ES256\"," KID "}", "header: not strict JSON");
    assert_payload_refused("{\"iss\":\"a\",\"iss\":\"b\"}", "payload: not strict JSON");
    assert_payload_refused("{\"iss\":\"a\",\"\\u0069ss\":\"b\"}", "payload: not strict JSON");
    assert_payload_refused("{\"iss\":\"\xc0\xaf\"}", "payload: not strict JSON");
    assert_payload_refused("{\"iss\":\"a\\u0000b\"}", "payload: not strict JSON");
    assert_payload_refused("{\"exp\":1e999}", "payload: not strict JSON");
    assert_payload_refused("{\"exp\":01}", "payload: not strict JSON");
    assert_payload_refused("{\"a\":1}{\"b\":2}", "payload: not strict JSON");
}

static void test_what_is_no_object_is_refused(void)
{
    static const char *const TEXTS[] = {
        "[]", "\"a\"", "1", "null", "true", "[{\"alg\":\"ES256\"}]"
    };

    for (size_t i = 0; i < COUNT_OF(TEXTS); i++) {
        assert_header_refused(TEXTS[i], "header: not a JSON object");
        assert_payload_refused(TEXTS[i], "payload: not a JSON object");
    }
    assert_payload_refused(" ", "payload: not strict JSON");
}

static void write_nested(size_t depth)
{
    char payload[256] = "{\"a\":";

    for (size_t i = 1; i < depth; i++) {
        strcat(payload, "[");
    }
    for (size_t i = 1; i < depth; i++) {
        strcat(payload, "]");
    }
    strcat(payload, "}");
    if (depth == 1) {
        strcpy(payload, "{}");
    }
    write_unsigned(HEADER("ES256"), payload);
}

static void test_nesting_is_bounded(void)
{
    write_nested(16);
    assert_parses();
    write_nested(17);
    assert_refused("payload: not strict JSON: nested too deep");
}

/* One JWT of `length` bytes in all. */
static void write_long(size_t length)
{
    char header[64];
    size_t rest = 1;

    for (int width = 1; rest % 4 == 1; width++) {
        (void)snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"kid\":\"%0*d\"}", width, 0);
        rest = length - BASE64URL_LENGTH(strlen(header)) - 2 - BASE64URL_LENGTH(SIGNATURE_BYTES);
    }
    const size_t bytes = rest * 3 / 4;
    char *payload = xcalloc(1, bytes + 1);
    memset(payload, 'a', bytes);
    memcpy(payload, "{\"a\":\"", 6);
    memcpy(payload + bytes - 2, "\"}", 2);
    write_unsigned(header, payload);
    release_memory(&payload);
    CU_ASSERT_EQUAL_FATAL(fixture.length, length);
}

static void test_the_length_is_bounded(void)
{
    write_long(JWT_MAX);
    assert_parses();
    write_long(JWT_MAX + 1);
    assert_refused("longer than 61440 bytes");
}

static void test_no_prefix_of_a_jwt_is_one(void)
{
    write_es256(HEADER("ES256"));
    assert_parses();
    for (size_t length = fixture.length; length-- > 0;) {
        fixture.length = length;
        CU_ASSERT_FALSE(parses());
    }
}

/* ---- published vectors ---- */

/* RFC 7515 appendix A; its payloads are JSON but for A.4. None has a kid. */
#define RFC7515_PAYLOAD                                                                            \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl" \
    "fQ"
#define RFC7515_A1                                                                                 \
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." RFC7515_PAYLOAD                                    \
    ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define RFC7515_A2                                                                                 \
    "eyJhbGciOiJSUzI1NiJ9." RFC7515_PAYLOAD                                                        \
    ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp" \
    "5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHl" \
    "b1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9Q" \
    "OYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
#define RFC7515_A2_N                                                                               \
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4" \
    "d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5re" \
    "xMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxX" \
    "FvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
#define RFC7515_A3                                                                                 \
    "eyJhbGciOiJFUzI1NiJ9." RFC7515_PAYLOAD                                                        \
    ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
#define RFC7515_A4                                                                                 \
    "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-" \
    "mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNr" \
    "mxYbSW9ERBXukOXolLzeO_Jn"
#define RFC7515_A5 "eyJhbGciOiJub25lIn0." RFC7515_PAYLOAD "."

/* RFC 7520 4.1 to 4.4: prose is their payload. */
#define RFC7520_PAYLOAD                                                                            \
    "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250" \
    "byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hl" \
    "cmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4"
#define RFC7520_4_1                                                                                \
    "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9." RFC7520_PAYLOAD    \
    ".MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xug" \
    "lII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6" \
    "x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQS" \
    "E_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg"
#define RFC7520_4_1_N                                                                              \
    "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmS" \
    "CpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-Of" \
    "VfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKw" \
    "uCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw"
#define RFC7520_4_2                                                                                \
    "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9." RFC7520_PAYLOAD    \
    ".cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8T" \
    "TB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqr" \
    "YRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHt" \
    "fa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw"
#define RFC7520_4_3                                                                                \
    "eyJhbGciOiJFUzUxMiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9." RFC7520_PAYLOAD    \
    ".AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJAQy" \
    "3mtPBu_u_sDDyYjnAMDxXPn7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2"
#define RFC7520_4_4                                                                                \
    "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9"             \
    "." RFC7520_PAYLOAD ".s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0"

/* RFC 8037 A.2 and A.4. */
#define RFC8037_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define RFC8037_A4                                                                                 \
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."                                    \
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"

static EVP_PKEY *rsa_key(const char *n)
{
    uint8_t modulus[SIGNATURE_MAX];
    size_t length;
    static const uint8_t EXPONENT[] = { 1, 0, 1 };

    return base64url_decode(n, strlen(n), modulus, sizeof(modulus), &length)
             ? public_key_from_rsa(modulus, length, EXPONENT, sizeof(EXPONENT))
             : NULL;
}

static EVP_PKEY *ec_key(const char *curve, const char *x, const char *y)
{
    uint8_t point[65] = { 4 };
    size_t length;

    return base64url_decode(x, strlen(x), point + 1, 32, &length)
                && base64url_decode(y, strlen(y), point + 33, 32, &length)
             ? public_key_from_point(curve, point, sizeof(point))
             : NULL;
}

static EVP_PKEY *rfc7515_a3_key(void)
{
    return ec_key("prime256v1", "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                  "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
}

static EVP_PKEY *rfc8037_key(void)
{
    uint8_t octets[32];
    size_t length;

    return base64url_decode(RFC8037_X, strlen(RFC8037_X), octets, sizeof(octets), &length)
             ? public_key_from_ed25519(octets, length)
             : NULL;
}

/* True if the JWS verifies under `key`, which is freed, and no longer with its payload changed. */
static bool vector_verifies(EVP_PKEY *key, enum jose_algorithm algorithm, const char *jws)
{
    char input[1024];
    struct signature signature;
    const char *dot = strrchr(jws, '.');
    const size_t length = (size_t)(dot - jws);

    CU_ASSERT_PTR_NOT_NULL_FATAL(key);
    memcpy(input, jws, length);
    bool good = base64url_decode(dot + 1, strlen(dot + 1), signature.bytes, SIGNATURE_MAX,
                                 &signature.length)
             && jws_verify_once(key, algorithm, input, length, &signature);
    input[length - 1] ^= 1;
    good = good && !jws_verify_once(key, algorithm, input, length, &signature);
    EVP_PKEY_free(key);
    CU_ASSERT_EQUAL(ERR_peek_error(), 0);
    return good;
}

static void assert_vector_refused(const char *jws, const char *message)
{
    use_text(jws);
    assert_refused(message);
}

static void test_the_vectors_of_rfc7515(void)
{
    CU_ASSERT_TRUE(vector_verifies(rsa_key(RFC7515_A2_N), JOSE_RS256, RFC7515_A2));
    CU_ASSERT_TRUE(vector_verifies(rfc7515_a3_key(), JOSE_ES256, RFC7515_A3));
    assert_vector_refused(RFC7515_A1, "header: alg is not");
    assert_vector_refused(RFC7515_A2, "header: alg is not");
    assert_vector_refused(RFC7515_A3, "header: kid is missing");
    assert_vector_refused(RFC7515_A4, "header: alg is not");
    assert_vector_refused(RFC7515_A5, "not a compact JWS");
    assert_vector_refused(RFC7515_A5 "AA", "header: alg is not");
}

static void test_the_vectors_of_rfc7520(void)
{
    CU_ASSERT_TRUE(vector_verifies(rsa_key(RFC7520_4_1_N), JOSE_RS256, RFC7520_4_1));
    assert_vector_refused(RFC7520_4_1, "header: alg is not");
    assert_vector_refused(RFC7520_4_2, "header: alg is not");
    assert_vector_refused(RFC7520_4_3, "header: alg is not");
    assert_vector_refused(RFC7520_4_4, "header: alg is not");
}

static void test_the_vector_of_rfc8037(void)
{
    CU_ASSERT_TRUE(vector_verifies(rfc8037_key(), JOSE_ED25519, RFC8037_A4));
    assert_vector_refused(RFC8037_A4, "header: kid is missing");
}

/* RFC 8812 has no vector: this one was signed by `openssl dgst -sha256 -sign`. */
static const char ES256K_JWT[] =
    "eyJhbGciOiJFUzI1NksiLCJraWQiOiJkaWQ6ZXhhbXBsZToxI2tleS0xIiwidHlwIjoiSldUIn0.eyJpc3MiOiJkaW"
    "Q6ZXhhbXBsZToxIiwibm9uY2UiOiJuLTBTNl9XekEyTWoifQ.Hu0JBdTZx5zIukNWb8ARrh007lppvno4leBK3K3ZN"
    "JXS1yla_57SGsu7Vj_Y1E1q6aGBI1-6ZVq2qnOlh1pElw";

static EVP_PKEY *es256k_key(void)
{
    return ec_key("secp256k1", "l-E4BWvR9OieAM8YaUVakZyGzaH7tbZb2EtuYCZ1d2w",
                  "-yw-Ko9hjbAcx3wpzXc5qQvdtM036vHChA9LiDle-Lo");
}

static void test_an_es256k_jwt_of_the_openssl_command_verifies(void)
{
    use_text(ES256K_JWT);
    assert_parses();
    CU_ASSERT_TRUE(vector_verifies(es256k_key(), JOSE_ES256K, ES256K_JWT));
}

int main(void)
{
    keys.p256 = EVP_EC_gen("P-256");
    keys.p384 = EVP_EC_gen("P-384");
    keys.secp256k1 = EVP_EC_gen("secp256k1");
    keys.ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    keys.rsa = EVP_RSA_gen(2048);
    CU_TestInfo tests[] = {
        { "each algorithm verifies under its key and no other",
          test_each_algorithm_verifies_under_its_key_and_no_other },
        { "what was parsed can be read", test_what_was_parsed_can_be_read },
        { "a signature of one curve is none of another",
          test_a_signature_of_one_curve_is_none_of_another },
        { "another algorithm is refused by its name",
          test_another_algorithm_is_refused_by_its_name },
        { "a JWT without a signature is refused", test_a_jwt_without_a_signature_is_refused },
        { "an HMAC with the public key is refused", test_an_hmac_with_the_public_key_is_refused },
        { "zero and overlarge halves are refused", test_zero_and_overlarge_halves_are_refused },
        { "a DER signature is refused", test_a_der_signature_is_refused },
        { "a signature of another length is refused",
          test_a_signature_of_another_length_is_refused },
        { "every flipped bit of a signature is refused",
          test_every_flipped_bit_of_a_signature_is_refused },
        { "a payload that was not signed does not verify",
          test_a_payload_that_was_not_signed_does_not_verify },
        { "members that bring a key or change the rules are refused",
          test_members_that_bring_a_key_or_change_the_rules_are_refused },
        { "a member that says nothing here is passed over",
          test_a_member_that_says_nothing_here_is_passed_over },
        { "a JWT without a proper kid is refused", test_a_jwt_without_a_proper_kid_is_refused },
        { "a kid with the syntax of other languages is only a name",
          test_a_kid_with_the_syntax_of_other_languages_is_only_a_name },
        { "the type is the expected one or JWT", test_the_type_is_the_expected_one_or_jwt },
        { "another kind of JWT is refused", test_another_kind_of_jwt_is_refused },
        { "other than three parts are refused", test_other_than_three_parts_are_refused },
        { "the JSON serializations are refused", test_the_json_serializations_are_refused },
        { "bytes outside the alphabet are refused in each part",
          test_bytes_outside_the_alphabet_are_refused_in_each_part },
        { "a second spelling of the same bytes is refused",
          test_a_second_spelling_of_the_same_bytes_is_refused },
        { "JSON that readers could read in two ways is refused",
          test_json_that_readers_could_read_in_two_ways_is_refused },
        { "what is no object is refused", test_what_is_no_object_is_refused },
        { "nesting is bounded", test_nesting_is_bounded },
        { "the length is bounded", test_the_length_is_bounded },
        { "no prefix of a JWT is one", test_no_prefix_of_a_jwt_is_one },
        { "the vectors of RFC 7515 verify or are refused by their alg",
          test_the_vectors_of_rfc7515 },
        { "the vectors of RFC 7520 verify or are refused by their alg",
          test_the_vectors_of_rfc7520 },
        { "the vector of RFC 8037 verifies", test_the_vector_of_rfc8037 },
        { "an ES256K JWT of the OpenSSL command verifies",
          test_an_es256k_jwt_of_the_openssl_command_verifies },
        CU_TEST_INFO_NULL,
    };
    const int status = run_suite("jwt", clear, clear_jwt, tests);
    EVP_PKEY_free(keys.p256);
    EVP_PKEY_free(keys.p384);
    EVP_PKEY_free(keys.secp256k1);
    EVP_PKEY_free(keys.ed25519);
    EVP_PKEY_free(keys.rsa);
    return status;
}

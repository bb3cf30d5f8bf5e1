/* The signer's own policy: it signs the two kinds that claims.c composes, and nothing that differs
 * from them. */
#include "hsm/lint.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "hsm/signer.h"
#include "jose/claims.h"
#include "support/run.h"

#define ISSUER "https://issuer.example"
#define AUDIENCE "https://api.example"
#define KID "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
#define NOW_S 1700000000
#define LIFETIME_S 3600

/* Pieces of a good payload, for those that differ in one. */
#define ISS "\"iss\":\"" ISSUER "\""
#define SUB "\"sub\":\"did:example:1\""
#define AUD "\"aud\":\"" AUDIENCE "\""
#define CLIENT "\"client_id\":\"did:example:1\""
#define JTI "\"jti\":\"AAECAwQFBgcICQoLDA0ODw\""
#define IAT "\"iat\":1700000000"
#define NBF "\"nbf\":1700000000"
#define EXP "\"exp\":1700003600"
#define BUT_TIMES ISS "," SUB "," AUD "," CLIENT "," JTI
#define TIMES IAT "," NBF "," EXP

/* The same for a list of revoked tokens. */
#define LIST_EXP "\"exp\":1700000300"
#define COMPLETE "\"complete\":true"
#define BUT_REVOKED ISS "," IAT "," LIST_EXP "," COMPLETE
#define REVOKED "\"revoked\":[\"AAECAwQFBgcICQoLDA0ODw\"]"
#define LIST "{" BUT_REVOKED "," REVOKED "}"

static struct {
    char header[160]; /* base64url */
    char revoked_header[160];
    char input[REVOKED_INPUT_MAX + 64];
    struct lint_policy policy;
    struct error err;
} fixture;

static void encode(char *out, size_t size, const char *json)
{
    struct text text = text_over(out, size);
    text_add_base64url(&text, json, strlen(json));
}

static void set_up(void)
{
    char json[120];
    struct text text = text_over(json, sizeof(json));

    memset(&fixture, 0, sizeof(fixture));
    access_token_header(&text, "ES256", KID);
    encode(fixture.header, sizeof(fixture.header), json);
    text = text_over(json, sizeof(json));
    revoked_tokens_header(&text, "ES256", KID);
    encode(fixture.revoked_header, sizeof(fixture.revoked_header), json);
    fixture.policy = (struct lint_policy){ .header = fixture.header,
                                           .revoked_header = fixture.revoked_header,
                                           .issuer = ISSUER,
                                           .audience = AUDIENCE,
                                           .lifetime_max_s = LIFETIME_S };
}

/* ---- asking ---- */

static bool passes_input(const char *input, size_t length)
{
    /* A copy of exactly this size, so that the address sanitizer sees a read beyond it. */
    scoped(release_memory) char *copy = malloc(length > 0 ? length : 1);
    memcpy(copy, input, length);
    fixture.err.code = ERROR_NONE;
    return lint_signing_input(&fixture.policy, copy, length, NOW_S, &fixture.err);
}

static const char *compose_with_header(const char *header_json, const char *payload)
{
    struct text text = text_over(fixture.input, sizeof(fixture.input));
    char header[160];

    encode(header, sizeof(header), header_json);
    text_add(&text, header_json != NULL && header_json[0] != '\0' ? header : fixture.header);
    text_add(&text, ".");
    text_add_base64url(&text, payload, strlen(payload));
    return fixture.input;
}

static bool passes(const char *payload)
{
    const char *input = compose_with_header("", payload);
    return passes_input(input, strlen(input));
}

/* Refused as policy, with the word that names the member or the fault. */
static bool is_refused(const char *payload, const char *word)
{
    const bool refused = !passes(payload) && fixture.err.code == ERROR_LINT
                      && strstr(fixture.err.message, word) != NULL;
    if (!refused) {
        printf("\n    %s\n    code %d: %s\n", payload, (int)fixture.err.code, fixture.err.message);
    }
    return refused;
}

static bool is_refused_input(const char *input, const char *word)
{
    return !passes_input(input, strlen(input)) && fixture.err.code == ERROR_LINT
        && strstr(fixture.err.message, word) != NULL;
}

__attribute__((format(printf, 2, 3))) static const char *print(char out[static 512],
                                                               const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(out, 512, format, args);
    va_end(args);
    return out;
}

static const char *with_times(char out[static 512], long long iat, long long nbf, long long exp)
{
    return print(out, "{" BUT_TIMES ",\"iat\":%lld,\"nbf\":%lld,\"exp\":%lld}", iat, nbf, exp);
}

/* ---- what is signed ---- */

static struct access_token_claims good_claims(void)
{
    return (struct access_token_claims){ .issuer = ISSUER,
                                         .subject = "did:example:1",
                                         .audience = AUDIENCE,
                                         .client_id = "did:example:1",
                                         .jti = "AAECAwQFBgcICQoLDA0ODw",
                                         .issued_s = NOW_S,
                                         .expires_s = NOW_S + LIFETIME_S };
}

static bool passes_claims(const struct access_token_claims *claims)
{
    char json[2300];
    struct text text = text_over(json, sizeof(json));
    access_token_payload(&text, claims);
    return !text.overflowed && passes(json);
}

static void test_what_the_server_composes_passes(void)
{
    struct access_token_claims claims = good_claims();

    CU_ASSERT_TRUE(passes_claims(&claims));
    claims.scope = "read write";
    CU_ASSERT_TRUE(passes_claims(&claims));
    claims.subject = "did:example:\"\\\xc3\xa4";
    CU_ASSERT_TRUE(passes_claims(&claims));
}

static void test_the_longest_holder_and_scope_pass(void)
{
    struct access_token_claims claims = good_claims();
    char holder[513];
    char scope[257];

    memset(holder, 'x', sizeof(holder) - 1);
    memset(scope, 's', sizeof(scope) - 1);
    holder[sizeof(holder) - 1] = scope[sizeof(scope) - 1] = '\0';
    claims.subject = claims.client_id = holder;
    claims.scope = scope;
    CU_ASSERT_TRUE(passes_claims(&claims));
}

static void test_the_order_and_blanks_of_the_payload_do_not_matter(void)
{
    CU_ASSERT_TRUE(passes("{" BUT_TIMES "," TIMES "}"));
    CU_ASSERT_TRUE(passes("{ " TIMES " , " BUT_TIMES " }"));
}

static void test_times_within_the_skew_pass_and_beyond_it_none(void)
{
    char json[512];

    for (int sign = -1; sign <= 1; sign += 2) {
        const long long edge = NOW_S + sign * LINT_CLOCK_SKEW_S;
        CU_ASSERT_TRUE(passes(with_times(json, edge, edge, edge + LIFETIME_S)));
        CU_ASSERT_TRUE(is_refused(
            with_times(json, edge + sign, edge + sign, edge + sign + LIFETIME_S), "iat"));
    }
    CU_ASSERT_TRUE(is_refused(with_times(json, 0, 0, 3600), "iat"));
    CU_ASSERT_TRUE(is_refused(with_times(json, 253402300799, 253402300799, 253402300799), "iat"));
}

static void test_a_shorter_life_passes_and_none_or_a_longer_one_does_not(void)
{
    char json[512];

    CU_ASSERT_TRUE(passes(with_times(json, NOW_S, NOW_S, NOW_S + 1)));
    CU_ASSERT_TRUE(passes(with_times(json, NOW_S, NOW_S, NOW_S + LIFETIME_S)));
    CU_ASSERT_TRUE(is_refused(with_times(json, NOW_S, NOW_S, NOW_S), "exp"));
    CU_ASSERT_TRUE(is_refused(with_times(json, NOW_S, NOW_S, NOW_S - 1), "exp"));
    CU_ASSERT_TRUE(is_refused(with_times(json, NOW_S, NOW_S, NOW_S + LIFETIME_S + 1), "exp"));
    CU_ASSERT_TRUE(is_refused(with_times(json, NOW_S, NOW_S, 253402300799), "exp"));
}

static void test_nbf_is_iat(void)
{
    char json[512];

    CU_ASSERT_TRUE(is_refused(with_times(json, NOW_S, NOW_S - 1, NOW_S + 60), "nbf"));
    CU_ASSERT_TRUE(is_refused(with_times(json, NOW_S, NOW_S + 1, NOW_S + 60), "nbf"));
    CU_ASSERT_TRUE(is_refused(with_times(json, NOW_S, 0, NOW_S + 60), "nbf"));
}

static void test_a_time_is_a_whole_number_of_our_era(void)
{
    static const char *const wrong[] = { "1700003600.5", "\"1700003600\"", "true",   "null",
                                         "[1700003600]", "{\"s\":1}",      "-1",     "1e300",
                                         "253402300800", "1.7000036005e9", "-1e300", "1e18" };
    static const char *const names[] = { "iat", "nbf", "exp" };
    static const char *const good[] = { "1700000000", "1700000000", "1700003600" };

    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        for (size_t which = 0; which < COUNT_OF(names); which++) {
            char json[512];
            (void)print(json, "{" BUT_TIMES ",\"iat\":%s,\"nbf\":%s,\"exp\":%s}",
                        which == 0 ? wrong[i] : good[0], which == 1 ? wrong[i] : good[1],
                        which == 2 ? wrong[i] : good[2]);
            CU_ASSERT_TRUE(is_refused(json, names[which]));
        }
    }
}

/* ---- what is not ---- */

static void test_each_claim_is_required(void)
{
    static const char *const claims[] = { ISS, SUB, AUD, CLIENT, JTI, IAT, NBF, EXP };

    for (size_t missing = 0; missing < COUNT_OF(claims); missing++) {
        char json[512] = "{";
        const char *comma = "";
        char name[16] = "";
        for (size_t i = 0; i < COUNT_OF(claims); i++) {
            if (i != missing) {
                strcat(strcat(json, comma), claims[i]);
                comma = ",";
            }
        }
        strcat(json, "}");
        (void)sscanf(claims[missing], "\"%15[^\"]", name);
        CU_ASSERT_TRUE(is_refused(json, name));
    }
}

static void test_each_text_is_a_text_that_is_not_empty(void)
{
    static const char *const names[] = { "iss", "sub", "aud", "client_id", "jti", "scope" };
    static const char *const values[] = { "\"\"", "1", "null", "true", "[\"x\"]", "{}" };

    for (size_t which = 0; which < COUNT_OF(names); which++) {
        for (size_t i = 0; i < COUNT_OF(values); i++) {
            char json[512] = "{" TIMES;
            for (size_t j = 0; j < COUNT_OF(names); j++) {
                const char *good = j == 0 ? "\"" ISSUER "\""
                                 : j == 2 ? "\"" AUDIENCE "\""
                                          : "\"x\"";
                const size_t length = strlen(json);
                (void)snprintf(json + length, sizeof(json) - length, ",\"%s\":%s", names[j],
                               j == which ? values[i] : good);
            }
            strcat(json, "}");
            CU_ASSERT_TRUE(is_refused(json, names[which]));
        }
    }
}

static void test_another_issuer_or_audience_is_refused(void)
{
#define BUT_ISS SUB "," CLIENT "," JTI "," TIMES "," AUD
#define BUT_AUD SUB "," CLIENT "," JTI "," TIMES "," ISS
    CU_ASSERT_TRUE(is_refused("{" BUT_ISS ",\"iss\":\"https://evil.example\"}", "iss"));
    CU_ASSERT_TRUE(is_refused("{" BUT_ISS ",\"iss\":\"" ISSUER "/\"}", "iss"));
    CU_ASSERT_TRUE(is_refused("{" BUT_ISS ",\"iss\":\"https://issuer.exampl\"}", "iss"));
    CU_ASSERT_TRUE(is_refused("{" BUT_ISS ",\"iss\":\"HTTPS://issuer.example\"}", "iss"));
    CU_ASSERT_TRUE(is_refused("{" BUT_AUD ",\"aud\":\"https://evil.example\"}", "aud"));
    CU_ASSERT_TRUE(is_refused("{" BUT_AUD ",\"aud\":\"" AUDIENCE "x\"}", "aud"));
    CU_ASSERT_TRUE(is_refused("{" BUT_AUD ",\"aud\":[\"" AUDIENCE "\"]}", "aud"));
    CU_ASSERT_TRUE(is_refused("{" BUT_AUD ",\"aud\":[\"" AUDIENCE "\",\"x\"]}", "aud"));
}

static void test_a_claim_that_tokens_do_not_have_is_refused(void)
{
    static const char *const extra[] = {
        "\"role\":\"admin\"", "\"cnf\":{}",      "\"\":1",
        "\"Sub\":\"x\"",      "\"SCOPE\":\"x\"", "\"act\":{\"sub\":\"x\"}"
    };

    for (size_t i = 0; i < COUNT_OF(extra); i++) {
        char json[512];
        CU_ASSERT_TRUE(
            is_refused(print(json, "{" BUT_TIMES "," TIMES ",%s}", extra[i]), "a claim that"));
    }
}

static void test_a_duplicate_claim_is_refused(void)
{
    CU_ASSERT_TRUE(is_refused("{" BUT_TIMES "," TIMES "," SUB "}", "payload"));
    CU_ASSERT_TRUE(is_refused("{" BUT_TIMES "," TIMES ",\"s\\u0075b\":\"x\"}", "payload"));
    CU_ASSERT_TRUE(is_refused("{\"exp\":1700000001," BUT_TIMES "," TIMES "}", "payload"));
}

static void test_a_payload_that_is_no_object_of_json_is_refused(void)
{
    static const char *const payloads[] = {
        "",
        "x",
        "{",
        "}",
        "{}{}",
        "{" BUT_TIMES "," TIMES ",}",
        "{a:1}",
        "{'a':1}",
        "\xff",
        "{\"a\":\"\\u0000\"}",
        "\xef\xbb\xbf{" BUT_TIMES "," TIMES "}",
        "{" BUT_TIMES "," TIMES "} x",
        "{" BUT_TIMES "," TIMES "},{}",
    };

    for (size_t i = 0; i < COUNT_OF(payloads); i++) {
        CU_ASSERT_TRUE(is_refused(payloads[i], "payload"));
    }
    CU_ASSERT_TRUE(is_refused("null", "not an object"));
    CU_ASSERT_TRUE(is_refused("1", "not an object"));
    CU_ASSERT_TRUE(is_refused("\"{}\"", "not an object"));
    CU_ASSERT_FALSE(passes("{}"));
    CU_ASSERT_FALSE(passes("[]"));
    CU_ASSERT_FALSE(passes("[{" BUT_TIMES "," TIMES "}]"));
}

static void test_a_nul_byte_in_the_payload_is_refused(void)
{
    static const char payload[] = "{" BUT_TIMES "," TIMES "}\0 ";
    struct text text = text_over(fixture.input, sizeof(fixture.input));

    text_add(&text, fixture.header);
    text_add(&text, ".");
    text_add_base64url(&text, payload, sizeof(payload));
    CU_ASSERT_FALSE(passes_input(fixture.input, text.length));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_LINT);
}

/* ---- the envelope ---- */

static void test_another_header_is_refused(void)
{
    static const char *const headers[] = {
        "{\"alg\":\"none\"}",
        "{\"alg\":\"ES256\"}",
        "{\"alg\":\"HS256\",\"kid\":\"" KID "\","
        "\"typ\":\"at+jwt\"}",
        "{\"alg\":\"ES256\",\"kid\":\"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs\","
        "\"typ\":\"JWT\"}",
        "{\"alg\":\"ES256\",\"kid\":\"" KID "\",\"typ\":\"revoked-tokens\"}",
        "{\"alg\":\"ES256\",\"kid\":\"another\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"ES256\",\"crit\":[\"b64\"],\"b64\":false,"
        "\"kid\":\"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs\",\"typ\":\"at+jwt\"}",
        "{\"kid\":\"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs\",\"alg\":\"ES256\","
        "\"typ\":\"at+jwt\"}",
    };

    for (size_t i = 0; i < COUNT_OF(headers); i++) {
        CU_ASSERT_TRUE(is_refused_input(
            compose_with_header(headers[i], "{" BUT_TIMES "," TIMES "}"), "header"));
    }
    CU_ASSERT_TRUE(is_refused_input(
        compose_with_header(
            "{\"alg\":\"ES256\",\"kid\":\"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9X"
            "s\",\"typ\":\"at+jwt\"} ",
            "{" BUT_TIMES "," TIMES "}"),
        "header"));
}

static void test_any_other_byte_of_the_header_is_refused(void)
{
    CU_ASSERT_TRUE_FATAL(passes("{" BUT_TIMES "," TIMES "}"));
    for (size_t i = 0; i <= strlen(fixture.header); i++) {
        const char was = fixture.input[i];
        fixture.input[i] = was == 'A' ? 'B' : 'A';
        CU_ASSERT_TRUE(is_refused_input(fixture.input, "header"));
        fixture.input[i] = was;
    }
    CU_ASSERT_TRUE(passes_input(fixture.input, strlen(fixture.input)));
}

static void test_an_input_of_one_part_is_refused(void)
{
    CU_ASSERT_FALSE(passes_input("", 0));
    CU_ASSERT_TRUE(is_refused_input(".", "header"));
    CU_ASSERT_TRUE(is_refused_input(fixture.header, "header"));
    CU_ASSERT_TRUE(is_refused_input("issuerd self-test 0123456789abcdef", "header"));
    CU_ASSERT_TRUE(is_refused("", "payload"));
}

/* "<first><second><third>", refused with the word. */
static bool is_refused_joined(const char *first, const char *second, const char *third,
                              const char *word)
{
    char input[2 * sizeof(fixture.input)];
    struct text text = text_over(input, sizeof(input));

    text_add(&text, first);
    text_add(&text, second);
    text_add(&text, third);
    return !text.overflowed && is_refused_input(input, word);
}

static void test_an_input_of_three_parts_is_refused(void)
{
    compose_with_header("", "{" BUT_TIMES "," TIMES "}");
    CU_ASSERT_TRUE(is_refused_joined(fixture.input, ".", "", "payload"));
    CU_ASSERT_TRUE(is_refused_joined(fixture.input, ".", "AAAA", "payload"));
    CU_ASSERT_TRUE(is_refused_joined(fixture.header, ".", fixture.input, "payload"));
}

static void test_a_payload_that_is_not_canonical_base64url_is_refused(void)
{
    static const char *const tails[] = { "=", "==", " ", "\n", "+", "/", "!", "\x80" };
    char header[sizeof(fixture.header) + 1];
    struct text text = text_over(header, sizeof(header));

    text_add(&text, fixture.header);
    text_add(&text, ".");
    compose_with_header("", "{" BUT_TIMES "," TIMES "}");
    for (size_t i = 0; i < COUNT_OF(tails); i++) {
        CU_ASSERT_TRUE(is_refused_joined(fixture.input, tails[i], "", "base64url"));
        CU_ASSERT_TRUE(
            is_refused_joined(header, tails[i], fixture.input + text.length, "base64url"));
    }
    CU_ASSERT_TRUE(passes_input(fixture.input, strlen(fixture.input)));
}

static void test_every_shorter_input_is_refused(void)
{
    compose_with_header("", "{" BUT_TIMES "," TIMES "}");
    for (size_t length = 0; length < strlen(fixture.input); length++) {
        CU_ASSERT_FALSE(passes_input(fixture.input, length));
        CU_ASSERT_EQUAL(fixture.err.code, ERROR_LINT);
    }
}

static void test_an_error_quotes_nothing_of_the_input(void)
{
    CU_ASSERT_FALSE(passes("{" BUT_TIMES "," TIMES ",\"secret-name\":\"secret-value\"}"));
    CU_ASSERT_PTR_NULL(strstr(error_line(&fixture.err).text, "secret"));
    CU_ASSERT_FALSE(passes("{" BUT_TIMES "," TIMES " secret"));
    CU_ASSERT_PTR_NULL(strstr(error_line(&fixture.err).text, "secret"));
}

/* ---- lists of revoked tokens ---- */

static bool passes_list(const char *payload)
{
    struct text text = text_over(fixture.input, sizeof(fixture.input));

    text_add(&text, fixture.revoked_header);
    text_add(&text, ".");
    text_add_base64url(&text, payload, strlen(payload));
    return !text.overflowed && text.length <= REVOKED_INPUT_MAX
        && passes_input(fixture.input, text.length);
}

static bool is_list_refused(const char *payload, const char *word)
{
    const bool refused = !passes_list(payload) && fixture.err.code == ERROR_LINT
                      && strstr(fixture.err.message, word) != NULL;
    if (!refused) {
        printf("\n    %s\n    code %d: %s\n", payload, (int)fixture.err.code, fixture.err.message);
    }
    return refused;
}

/* A list of `count` jtis of `length` characters, as the server composes it. */
static bool passes_composed(size_t count, size_t length, bool complete)
{
    static const char *jtis[REVOKED_TOKENS_MAX];
    static char json[REVOKED_INPUT_MAX];
    struct text text = text_over(json, sizeof(json));
    char jti[LINT_JTI_MAX + 1];

    (void)snprintf(jti, sizeof(jti), "%.*s", (int)length, "AZ_-09azAZ_-09azAZ_-09azAZ_-09az");
    for (size_t i = 0; i < count; i++) {
        jtis[i] = jti;
    }
    const struct revoked_tokens_claims claims = { .issuer = ISSUER,
                                                  .issued_s = NOW_S,
                                                  .expires_s = NOW_S + REVOKED_TOKENS_LIFETIME_S,
                                                  .complete = complete,
                                                  .jtis = jtis,
                                                  .count = count };
    revoked_tokens_payload(&text, &claims);
    return !text.overflowed && passes_list(json);
}

static void test_a_list_that_the_server_composes_passes(void)
{
    CU_ASSERT_TRUE(passes_composed(0, 22, true));
    CU_ASSERT_TRUE(passes_composed(1, 22, true));
    CU_ASSERT_TRUE(passes_composed(REVOKED_TOKENS_MAX, 22, false));
    CU_ASSERT_TRUE(passes_composed(REVOKED_TOKENS_MAX, LINT_JTI_MAX, true));
    CU_ASSERT_TRUE(passes_list(LIST));
}

static void test_each_claim_of_a_list_is_required(void)
{
    CU_ASSERT_TRUE(is_list_refused("{" IAT "," LIST_EXP "," COMPLETE "," REVOKED "}", "iss"));
    CU_ASSERT_TRUE(is_list_refused("{" ISS "," LIST_EXP "," COMPLETE "," REVOKED "}", "iat"));
    CU_ASSERT_TRUE(is_list_refused("{" ISS "," IAT "," COMPLETE "," REVOKED "}", "exp"));
    CU_ASSERT_TRUE(is_list_refused("{" ISS "," IAT "," LIST_EXP "," REVOKED "}", "complete"));
    CU_ASSERT_TRUE(is_list_refused("{" BUT_REVOKED "}", "revoked"));
}

static void test_a_list_of_another_issuer_is_refused(void)
{
    CU_ASSERT_TRUE(is_list_refused(
        "{\"iss\":\"https://evil.example\"," IAT "," LIST_EXP "," COMPLETE "," REVOKED "}", "iss"));
}

static void test_a_list_lives_300_s_from_now_at_most(void)
{
    static const struct {
        long long iat;
        long long exp;
        const char *word; /* NULL: it passes */
    } lists[] = {
        { NOW_S, NOW_S + 300, NULL },
        { NOW_S - 60, NOW_S + 240, NULL },
        { NOW_S + 60, NOW_S + 360, NULL },
        { NOW_S, NOW_S + 301, "exp" },
        { NOW_S, NOW_S, "exp" },
        { NOW_S, 253402300799, "exp" },
        { NOW_S - 61, NOW_S + 239, "iat" },
        { NOW_S + 61, NOW_S + 361, "iat" },
    };

    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        char json[512];
        (void)print(json, "{" ISS "," COMPLETE "," REVOKED ",\"iat\":%lld,\"exp\":%lld}",
                    lists[i].iat, lists[i].exp);
        CU_ASSERT_TRUE(lists[i].word == NULL ? passes_list(json)
                                             : is_list_refused(json, lists[i].word));
    }
}

static void test_complete_is_true_or_false(void)
{
    static const char *const wrong[] = { "1", "0", "null", "\"true\"", "[true]", "{}" };
    char json[512];

    CU_ASSERT_TRUE(passes_list("{" ISS "," IAT "," LIST_EXP "," REVOKED ",\"complete\":false}"));
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        CU_ASSERT_TRUE(is_list_refused(
            print(json, "{" ISS "," IAT "," LIST_EXP "," REVOKED ",\"complete\":%s}", wrong[i]),
            "complete"));
    }
}

static void test_a_list_holds_jtis_alone(void)
{
    static const char *const wrong[] = {
        "\"\"",
        "\"AAECAwQFBgcICQo\"",                   /* 15 characters */
        "\"AAECAwQFBgcICQoLDA0ODwAAECAwQFBgc\"", /* 33 */
        "\"AAECAwQFBgcICQoLDA0OD.\"",
        "\"AAECAwQFBgcICQoLDA0OD=\"",
        "\"AAECAwQFBgcICQoLDA0OD \"",
        "\"AAECAwQFBgcICQoLDA0OD\\u00e4\"",
        "1",
        "null",
        "true",
        "{}",
        "[\"AAECAwQFBgcICQoLDA0ODw\"]",
    };
    char json[512];

    CU_ASSERT_TRUE(passes_list("{" BUT_REVOKED ",\"revoked\":[]}"));
    CU_ASSERT_TRUE(passes_list("{" BUT_REVOKED ",\"revoked\":[\"AAECAwQFBgcICQoL\"]}"));
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        CU_ASSERT_TRUE(
            is_list_refused(print(json, "{" BUT_REVOKED ",\"revoked\":[%s]}", wrong[i]), "jti"));
        CU_ASSERT_TRUE(is_list_refused(
            print(json, "{" BUT_REVOKED ",\"revoked\":[\"AAECAwQFBgcICQoLDA0ODw\",%s]}", wrong[i]),
            "jti"));
    }
    CU_ASSERT_TRUE(is_list_refused(
        "{" BUT_REVOKED ",\"revoked\":{\"0\":\"AAECAwQFBgcICQoLDA0ODw\"}}", "revoked"));
    CU_ASSERT_TRUE(
        is_list_refused("{" BUT_REVOKED ",\"revoked\":\"AAECAwQFBgcICQoLDA0ODw\"}", "revoked"));
}

static void test_a_claim_that_lists_do_not_have_is_refused(void)
{
    static const char *const extra[] = { SUB, AUD, JTI, NBF, CLIENT, "\"Revoked\":[]" };
    char json[512];

    for (size_t i = 0; i < COUNT_OF(extra); i++) {
        CU_ASSERT_TRUE(is_list_refused(print(json, "{" BUT_REVOKED "," REVOKED ",%s}", extra[i]),
                                       "a claim that"));
    }
    CU_ASSERT_TRUE(is_list_refused("{" BUT_REVOKED "," REVOKED "," REVOKED "}", "payload"));
}

/* A token's header never comes over a list's claims, nor a list's over a token's, so that no verifier
 * that looks at `typ` takes one for the other. */
static void test_neither_kind_passes_under_the_others_header(void)
{
    CU_ASSERT_TRUE(passes("{" BUT_TIMES "," TIMES "}"));
    CU_ASSERT_TRUE(passes_list(LIST));
    CU_ASSERT_TRUE(is_refused(LIST, "a claim that"));
    CU_ASSERT_TRUE(is_list_refused("{" BUT_TIMES "," TIMES "}", "a claim that"));
    CU_ASSERT_TRUE(is_refused("{" BUT_TIMES "," TIMES "," REVOKED "}", "a claim that"));
    CU_ASSERT_TRUE(
        is_list_refused("{" BUT_TIMES "," TIMES "," COMPLETE "," REVOKED "}", "a claim that"));
}

static void test_any_other_byte_of_a_lists_header_is_refused(void)
{
    CU_ASSERT_TRUE_FATAL(passes_list(LIST));
    for (size_t i = 0; i <= strlen(fixture.revoked_header); i++) {
        const char was = fixture.input[i];
        fixture.input[i] = was == 'A' ? 'B' : 'A';
        CU_ASSERT_TRUE(is_refused_input(fixture.input, "header"));
        fixture.input[i] = was;
    }
    CU_ASSERT_TRUE(is_refused_input(fixture.revoked_header, "header"));
}

static void test_every_shorter_list_is_refused(void)
{
    CU_ASSERT_TRUE_FATAL(passes_list(LIST));
    for (size_t length = 0; length < strlen(fixture.input); length++) {
        CU_ASSERT_FALSE(passes_input(fixture.input, length));
        CU_ASSERT_EQUAL(fixture.err.code, ERROR_LINT);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "what the server composes passes", test_what_the_server_composes_passes },
        { "the longest holder and scope pass", test_the_longest_holder_and_scope_pass },
        { "the order and blanks of the payload do not matter",
          test_the_order_and_blanks_of_the_payload_do_not_matter },
        { "times within the skew pass and beyond it none",
          test_times_within_the_skew_pass_and_beyond_it_none },
        { "a shorter life passes and none or a longer one does not",
          test_a_shorter_life_passes_and_none_or_a_longer_one_does_not },
        { "nbf is iat", test_nbf_is_iat },
        { "a time is a whole number of our era", test_a_time_is_a_whole_number_of_our_era },
        { "each claim is required", test_each_claim_is_required },
        { "each text is a text that is not empty", test_each_text_is_a_text_that_is_not_empty },
        { "another issuer or audience is refused", test_another_issuer_or_audience_is_refused },
        { "a claim that tokens do not have is refused",
          test_a_claim_that_tokens_do_not_have_is_refused },
        { "a duplicate claim is refused", test_a_duplicate_claim_is_refused },
        { "a payload that is no object of JSON is refused",
          test_a_payload_that_is_no_object_of_json_is_refused },
        { "a NUL byte in the payload is refused", test_a_nul_byte_in_the_payload_is_refused },
        { "another header is refused", test_another_header_is_refused },
        { "any other byte of the header is refused", test_any_other_byte_of_the_header_is_refused },
        { "an input of one part is refused", test_an_input_of_one_part_is_refused },
        { "an input of three parts is refused", test_an_input_of_three_parts_is_refused },
        { "a payload that is not canonical base64url is refused",
          test_a_payload_that_is_not_canonical_base64url_is_refused },
        { "every shorter input is refused", test_every_shorter_input_is_refused },
        { "an error quotes nothing of the input", test_an_error_quotes_nothing_of_the_input },
        { "a list that the server composes passes", test_a_list_that_the_server_composes_passes },
        { "each claim of a list is required", test_each_claim_of_a_list_is_required },
        { "a list of another issuer is refused", test_a_list_of_another_issuer_is_refused },
        { "a list lives 300 s from now at most", test_a_list_lives_300_s_from_now_at_most },
        { "complete is true or false", test_complete_is_true_or_false },
        { "a list holds jtis alone", test_a_list_holds_jtis_alone },
        { "a claim that lists do not have is refused",
          test_a_claim_that_lists_do_not_have_is_refused },
        { "neither kind passes under the other's header",
          test_neither_kind_passes_under_the_others_header },
        { "any other byte of a list's header is refused",
          test_any_other_byte_of_a_lists_header_is_refused },
        { "every shorter list is refused", test_every_shorter_list_is_refused },
        CU_TEST_INFO_NULL,
    };
    return run_suite("lint", set_up, NULL, tests);
}

/*
 * Holders and issuers whose DIDs are resolved over HTTP: did:web and did:empe, by a universal resolver
 * (tests/support/resolver.py). What a resolver may answer is did_resolver's test.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/access_token.h"
#include "support/api.h"
#include "support/holder.h"
#include "support/run.h"

#define ISSUER "https://issuer.example" /* the instances' */
#define WEB "did:web:holder.example"
#define EMPE "did:empe:testnet:00112233445566778899aabbccddeeff00112233"
#define UNIVERSITY "did:web:university.example"
#define DEFINITION "{\"id\":\"d\",\"input_descriptors\":[{\"id\":\"degree\",\"constraints\":{}}]}"
#define SUBMISSION                                                                                 \
    ",\"presentation_submission\":{\"id\":\"s\",\"definition_id\":\"d\",\"descriptor_map\":[{"     \
    "\"id\":\"degree\",\"format\":\"jwt_vc\",\"path\":\"$.vp.verifiableCredential[0]\"}]}"

static struct {
    struct instance *instance;
    struct instance *lost;  /* its resolver does not answer */
    struct instance *alone; /* has none */
    struct http_client *client;
    struct holder holder;
    char state[44];
    char nonce[44];
    char path[128];
    char code[API_CODE_SIZE];
    char *text;
} fixture;

static const char *print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Lives until the next call. */
static const char *print(const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0) {
        abort();
    }
    va_end(args);
    free(fixture.text);
    fixture.text = text;
    return text;
}

/* ---- documents ---- */

static void publish(const char *did, const char *document)
{
    char path[1024];
    (void)snprintf(path, sizeof(path), "%s/%s.json", getenv("TEST_DOCUMENTS"), did);
    FILE *file = fopen(path, "we");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_TRUE(fputs(document, file) >= 0);
    CU_ASSERT_EQUAL(fclose(file), 0);
}

static void publish_key(const char *did, const char *jwk, const char *purpose)
{
    publish(did,
            print("{\"id\":\"%s\",\"verificationMethod\":[{\"id\":\"#k\",\"type\":\"JsonWebKey\","
                  "\"controller\":\"%s\",\"publicKeyJwk\":%s}],\"%s\":[\"%s#k\"]}",
                  did, did, jwk, purpose, did));
}

static void take_did(struct holder *holder, const char *did)
{
    (void)snprintf(holder->did, sizeof(holder->did), "%s", did);
    (void)snprintf(holder->kid, sizeof(holder->kid), "%s#k", did);
}

/* ---- requests ---- */

static bool create(const struct instance *instance, const char *definition)
{
    char id[API_ID_SIZE];

    http_close(fixture.client);
    fixture.client = http_connect(instance_public_port(instance));
    api_random_text(fixture.state);
    api_random_text(fixture.nonce);
    const struct http_reply *reply = http_post_json(
        fixture.client, AUTHORIZATIONS_PATH,
        print("{\"state\":\"%s\",\"nonce\":\"%s\"%s%s}", fixture.state, fixture.nonce,
              definition != NULL ? ",\"presentation_definition\":" : "",
              definition != NULL ? definition : ""));
    const bool created = reply->status == 201 && reply_member(reply, "id", id, sizeof(id));
    (void)snprintf(fixture.path, sizeof(fixture.path), AUTHORIZATIONS_PATH "/%s/validate", id);
    return created;
}

static const struct http_reply *validate(const char *vp_more, const char *more)
{
    char *vp = holder_sign(&fixture.holder,
                           "{\"iss\":\"%s\",\"aud\":\"" ISSUER "\",\"nonce\":\"%s\",\"iat\":%lld,"
                           "\"vp\":{\"type\":[\"VerifiablePresentation\"]%s}}",
                           fixture.holder.did, fixture.nonce, (long long)wall_s(), vp_more);
    const struct http_reply *reply =
        http_post_json(fixture.client, fixture.path,
                       print("{\"vp\":\"%s\",\"state\":\"%s\",\"nonce\":\"%s\"%s}", vp,
                             fixture.state, fixture.nonce, more));
    free(vp);
    return reply;
}

static bool is_validated(const struct http_reply *reply)
{
    return reply->status == 200 && reply_member(reply, "code", fixture.code, sizeof(fixture.code));
}

static void assert_refused(const struct http_reply *reply, const char *why)
{
    CU_ASSERT_PTR_NOT_NULL(strstr(reply->body, why));
    CU_ASSERT_TRUE(is_error_reply(reply, 400, API_PRESENTATION, "POST", fixture.path));
}

static void assert_token_for(const char *did)
{
    char token[API_TOKEN_SIZE];

    CU_ASSERT_TRUE_FATAL(is_token_reply(api_redeem(fixture.client, fixture.code), token));
    cJSON *claims = token_part(token, 1);
    const char *subject = cJSON_GetStringValue(cJSON_GetObjectItem(claims, "sub"));
    CU_ASSERT_STRING_EQUAL(subject != NULL ? subject : "", did);
    cJSON_Delete(claims);
}

static void set_up(void)
{
    fixture.holder = holder_new("ES256");
}

static void tear_down(void)
{
    http_close(take(fixture.client));
    holder_clear(&fixture.holder);
    free(take(fixture.text));
}

/* ---- holders ---- */

static void test_a_holder_by_did_web_gets_a_token(void)
{
    publish_key(WEB, fixture.holder.jwk, "authentication");
    take_did(&fixture.holder, WEB);
    CU_ASSERT_TRUE_FATAL(create(fixture.instance, NULL));
    CU_ASSERT_TRUE_FATAL(is_validated(validate("", "")));
    assert_token_for(WEB);
}

/* {"kty":"EC","crv":"secp256k1","x":base64 of the compressed point} */
static void print_point_in_x(char out[static 200])
{
    uint8_t point[33];
    char base64[64];
    size_t length = 0;

    (void)EVP_PKEY_set_utf8_string_param(fixture.holder.key,
                                         OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "compressed");
    (void)EVP_PKEY_get_octet_string_param(fixture.holder.key, OSSL_PKEY_PARAM_PUB_KEY, point,
                                          sizeof(point), &length);
    CU_ASSERT_EQUAL_FATAL(length, sizeof(point));
    (void)EVP_EncodeBlock((uint8_t *)base64, point, (int)length);
    (void)snprintf(out, 200, "{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"%s\"}", base64);
}

static void test_the_odd_key_of_did_empe_is_taken_there_and_only_there(void)
{
    char jwk[200];

    holder_clear(&fixture.holder);
    fixture.holder = holder_new("ES256K");
    print_point_in_x(jwk);
    publish_key(EMPE, jwk, "authentication");
    publish_key("did:web:odd.example", jwk, "authentication");
    CU_ASSERT_TRUE_FATAL(create(fixture.instance, NULL));
    take_did(&fixture.holder, "did:web:odd.example");
    assert_refused(validate("", ""), "publicKeyJwk: x");
    take_did(&fixture.holder, EMPE);
    CU_ASSERT_TRUE_FATAL(is_validated(validate("", "")));
    assert_token_for(EMPE);
}

static void test_a_key_that_is_not_for_authentication_proves_nothing(void)
{
    publish_key("did:web:asserts.example", fixture.holder.jwk, "assertionMethod");
    take_did(&fixture.holder, "did:web:asserts.example");
    CU_ASSERT_TRUE_FATAL(create(fixture.instance, NULL));
    assert_refused(validate("", ""), "authentication");
}

static void test_a_did_that_is_not_there_proves_nothing(void)
{
    take_did(&fixture.holder, "did:web:nobody.example");
    CU_ASSERT_TRUE_FATAL(create(fixture.instance, NULL));
    assert_refused(validate("", ""), "no such DID");
}

/* ---- issuers ---- */

static void test_a_trusted_issuer_by_did_web_is_verified(void)
{
    struct holder university = holder_new("Ed25519");

    publish_key(UNIVERSITY, university.jwk, "assertionMethod");
    take_did(&university, UNIVERSITY);
    char *credential = holder_sign(&university,
                                   "{\"iss\":\"" UNIVERSITY "\",\"sub\":\"%s\",\"vc\":{\"type\":["
                                   "\"VerifiableCredential\"],\"credentialSubject\":{}}}",
                                   fixture.holder.did);
    char *more = NULL;
    CU_ASSERT_TRUE_FATAL(asprintf(&more, ",\"verifiableCredential\":[\"%s\"]", credential) > 0);
    CU_ASSERT_TRUE_FATAL(create(fixture.instance, DEFINITION));
    CU_ASSERT_TRUE(is_validated(validate(more, SUBMISSION)));
    free(more);
    free(credential);
    holder_clear(&university);
}

/* ---- no answer ---- */

static void test_a_resolver_that_does_not_answer_is_no_try(void)
{
    struct holder web = fixture.holder;

    take_did(&web, WEB);
    CU_ASSERT_TRUE_FATAL(create(fixture.lost, NULL));
    const struct holder own = fixture.holder;
    fixture.holder = web;
    for (int i = 0; i < 7; i++) { /* more than there are tries */
        const struct http_reply *reply = validate("", "");
        CU_ASSERT_STRING_EQUAL(http_header(reply, "Retry-After"), "2");
        CU_ASSERT_TRUE(is_error_reply(reply, 503, API_NO_RESOLVER, "POST", fixture.path));
    }
    fixture.holder = own;
    CU_ASSERT_TRUE(is_validated(validate("", "")));
}

static void test_without_a_resolver_such_dids_are_refused(void)
{
    take_did(&fixture.holder, WEB);
    CU_ASSERT_TRUE_FATAL(create(fixture.alone, NULL));
    assert_refused(validate("", ""), "resolver");
}

static struct instance *start(const char *resolver_url)
{
    struct instance *instance = instance_new(NULL);

    if (resolver_url != NULL) {
        instance_set(instance, "did.resolver_url=%s", resolver_url);
    }
    instance_set(instance, "trust.issuer=" UNIVERSITY);
    if (!instance_start(instance)) {
        exit(1);
    }
    return instance;
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a holder by did:web gets a token", test_a_holder_by_did_web_gets_a_token },
        { "the odd key of did:empe is taken there and only there",
          test_the_odd_key_of_did_empe_is_taken_there_and_only_there },
        { "a key that is not for authentication proves nothing",
          test_a_key_that_is_not_for_authentication_proves_nothing },
        { "a DID that is not there proves nothing", test_a_did_that_is_not_there_proves_nothing },
        { "a trusted issuer by did:web is verified", test_a_trusted_issuer_by_did_web_is_verified },
        { "a resolver that does not answer is no try",
          test_a_resolver_that_does_not_answer_is_no_try },
        { "without a resolver such DIDs are refused",
          test_without_a_resolver_such_dids_are_refused },
        CU_TEST_INFO_NULL,
    };
    char url[64];

    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%s", getenv("TEST_RESOLVER_PORT"));
    fixture.instance = start(url);
    fixture.lost = start("http://127.0.0.1:1");
    fixture.alone = start(NULL);
    const int failed = run_suite("resolved", set_up, tear_down, tests);
    const int status = instance_stop(fixture.instance, 30) | instance_stop(fixture.lost, 30)
                     | instance_stop(fixture.alone, 30);
    instance_free(fixture.instance);
    instance_free(fixture.lost);
    instance_free(fixture.alone);
    return failed != 0 || status != 0;
}

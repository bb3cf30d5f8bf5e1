/*
 * The wallet's half over HTTP: a request is created, answered with a presentation, and its code is
 * redeemed. What a presentation must be is unit.presentation's; here stand lives, tries and rivals.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/access_token.h"
#include "support/api.h"
#include "support/holder.h"
#include "support/run.h"

#define ISSUER "https://issuer.example" /* the instances' */
#define UNKNOWN_ID "01890a5d-ac96-774b-bcce-b302099a8057"
#define VERIFY_PATH "/api/v1/authorize/verify"
#define DEFINITION                                                                                 \
    "{\"id\":\"d\",\"input_descriptors\":[{\"id\":\"degree\",\"constraints\":{\"fields\":[{"       \
    "\"path\":[\"$.credentialSubject.degree\"],\"filter\":{\"const\":\"MSc\"}}]}}]}"
#define SUBMISSION                                                                                 \
    "{\"id\":\"s\",\"definition_id\":\"d\",\"descriptor_map\":[{\"id\":\"degree\","                \
    "\"format\":\"jwt_vc\",\"path\":\"$.vp.verifiableCredential[0]\"}]}"

enum { RIVALS = 16 };

static struct {
    struct instance *instance;
    struct holder issuer; /* of credentials, trusted by the instance */
    struct http_client *client;
    struct holder holder;
    char id[API_ID_SIZE];
    char state[44];
    char nonce[44];
    char path[128]; /* .../{id}/validate */
    char code[API_CODE_SIZE];
    char *vp;
    char *body;
    pthread_barrier_t barrier;
} fixture;

struct rival {
    char *body;
    bool is_validated;
};

static char *print(const char *format, ...) __attribute__((format(printf, 1, 2)));

static char *print(const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0) {
        abort();
    }
    va_end(args);
    return text;
}

/* ---- requests ---- */

static bool create(const char *definition)
{
    free(fixture.body);
    fixture.body = definition != NULL
                     ? print("{\"state\":\"%s\",\"nonce\":\"%s\",\"presentation_definition\":%s}",
                             fixture.state, fixture.nonce, definition)
                     : print("{\"state\":\"%s\",\"nonce\":\"%s\"}", fixture.state, fixture.nonce);
    const struct http_reply *reply =
        http_post_json(fixture.client, AUTHORIZATIONS_PATH, fixture.body);
    const bool created =
        reply->status == 201 && reply_member(reply, "id", fixture.id, sizeof(fixture.id));
    (void)snprintf(fixture.path, sizeof(fixture.path), AUTHORIZATIONS_PATH "/%s/validate",
                   fixture.id);
    return created;
}

/* A presentation for the request at hand; `vp_more` goes into its vp. */
static const char *present(const char *vp_more)
{
    free(fixture.vp);
    fixture.vp =
        holder_sign(&fixture.holder,
                    "{\"iss\":\"%s\",\"aud\":\"%s\",\"nonce\":\"%s\",\"iat\":%lld,"
                    "\"vp\":{\"type\":[\"VerifiablePresentation\"]%s}}",
                    fixture.holder.did, ISSUER, fixture.nonce, (long long)wall_s(), vp_more);
    return fixture.vp;
}

static const char *body_of(const char *vp, const char *state, const char *nonce, const char *more)
{
    free(fixture.body);
    fixture.body =
        print("{\"vp\":\"%s\",\"state\":\"%s\",\"nonce\":\"%s\"%s}", vp, state, nonce, more);
    return fixture.body;
}

static const struct http_reply *validate(const char *vp, const char *more)
{
    return http_post_json(fixture.client, fixture.path,
                          body_of(vp, fixture.state, fixture.nonce, more));
}

static bool is_validated(const struct http_reply *reply)
{
    char holder[sizeof(fixture.holder.did)];

    return reply->status == 200 && reply_member(reply, "code", fixture.code, sizeof(fixture.code))
        && reply_member(reply, "holder_did", holder, sizeof(holder))
        && strcmp(holder, fixture.holder.did) == 0;
}

static void assert_refused(const struct http_reply *reply, int code)
{
    CU_ASSERT_TRUE(is_error_reply(reply, 400, code, "POST", fixture.path));
}

/* With a wrong signature of the right length. */
static const char *bad_vp(void)
{
    (void)present("");
    char *signature = strrchr(fixture.vp, '.') + 1;
    signature[0] = signature[0] == 'A' ? 'B' : 'A';
    return fixture.vp;
}

static void set_up(void)
{
    fixture.client = http_connect(instance_public_port(fixture.instance));
    fixture.holder = holder_new("ES256");
    api_random_text(fixture.state);
    api_random_text(fixture.nonce);
    if (!create(NULL)) {
        fixture.id[0] = '\0';
    }
}

static void tear_down(void)
{
    http_close(take(fixture.client));
    holder_clear(&fixture.holder);
    free(take(fixture.vp));
    free(take(fixture.body));
}

/* ---- the whole flow ---- */

static void test_each_kind_of_holder_gets_a_token_with_its_did(void)
{
    static const char *const algs[] = { "ES256", "ES384", "ES256K", "Ed25519", "EdDSA" };
    char token[API_TOKEN_SIZE];

    for (size_t i = 0; i < COUNT_OF(algs); i++) {
        holder_clear(&fixture.holder);
        fixture.holder = holder_new(algs[i]);
        api_random_text(fixture.state);
        CU_ASSERT_TRUE_FATAL(create(NULL));
        CU_ASSERT_TRUE_FATAL(is_validated(validate(present(""), "")));
        CU_ASSERT_TRUE_FATAL(is_token_reply(api_redeem(fixture.client, fixture.code), token));
        cJSON *claims = token_part(token, 1);
        const char *subject = cJSON_GetStringValue(cJSON_GetObjectItem(claims, "sub"));
        CU_ASSERT_STRING_EQUAL(subject != NULL ? subject : "", fixture.holder.did);
        cJSON_Delete(claims);
    }
}

static void test_the_older_paths_do_the_same(void)
{
    free(fixture.body);
    fixture.body = print("{\"state\":\"%s2\",\"nonce\":\"%s\"}", fixture.state, fixture.nonce);
    const struct http_reply *reply =
        http_post_json(fixture.client, "/api/v1/authorize", fixture.body);
    CU_ASSERT_EQUAL(reply->status, 201);
    CU_ASSERT_TRUE_FATAL(reply_member(reply, "id", fixture.id, sizeof(fixture.id)));
    char *more = print(",\"id\":\"%s\"", fixture.id);
    char *state = print("%s2", fixture.state);
    reply = http_post_json(fixture.client, VERIFY_PATH,
                           body_of(present(""), state, fixture.nonce, more));
    free(more);
    free(state);
    CU_ASSERT_TRUE_FATAL(is_validated(reply));
    char *redeem = print("{\"authorization_code\":\"%s\"}", fixture.code);
    reply = http_post_json(fixture.client, "/api/v1/connect/token", redeem);
    free(redeem);
    CU_ASSERT_TRUE(is_token_reply(reply, NULL));
}

static void test_the_older_path_wants_the_id_in_the_body(void)
{
    const struct http_reply *reply = http_post_json(
        fixture.client, VERIFY_PATH, body_of(present(""), fixture.state, fixture.nonce, ""));
    CU_ASSERT_TRUE(is_error_reply(reply, 400, API_INVALID_REQUEST, "POST", VERIFY_PATH));
    assert_refused(validate(fixture.vp, ",\"id\":\"" UNKNOWN_ID "\""), API_INVALID_REQUEST);
}

/* ---- once ---- */

static void test_a_request_is_validated_once(void)
{
    CU_ASSERT_TRUE(is_validated(validate(present(""), "")));
    assert_refused(validate(fixture.vp, ""), API_NOT_OPEN);
    assert_refused(validate(present(""), ""), API_NOT_OPEN);
    CU_ASSERT_TRUE(is_token_reply(api_redeem(fixture.client, fixture.code), NULL));
    assert_refused(validate(fixture.vp, ""), API_NOT_OPEN);
}

static void *race(void *argument)
{
    struct rival *rival = argument;
    struct http_client *client = http_connect(instance_public_port(fixture.instance));

    (void)pthread_barrier_wait(&fixture.barrier);
    const struct http_reply *reply = http_post_json(client, fixture.path, rival->body);
    rival->is_validated = reply->status == 200;
    if (reply->status != 200 && !is_error_reply(reply, 400, API_NOT_OPEN, "POST", fixture.path)) {
        rival->is_validated = true; /* counts as one too many */
    }
    http_close(client);
    return NULL;
}

static void test_of_rivals_one_gets_the_code(void)
{
    pthread_t threads[RIVALS];
    struct rival rivals[RIVALS];
    unsigned winners = 0;

    for (size_t i = 0; i < RIVALS; i++) { /* each with a presentation of its own */
        char more[32];
        (void)snprintf(more, sizeof(more), ",\"id\":\"urn:%zu\"", i);
        rivals[i].body = xstrdup(body_of(present(more), fixture.state, fixture.nonce, ""));
    }
    (void)pthread_barrier_init(&fixture.barrier, NULL, RIVALS);
    for (size_t i = 0; i < RIVALS; i++) {
        if (pthread_create(&threads[i], NULL, race, &rivals[i]) != 0) {
            abort();
        }
    }
    for (size_t i = 0; i < RIVALS; i++) {
        (void)pthread_join(threads[i], NULL);
        winners += rivals[i].is_validated;
        free(rivals[i].body);
    }
    (void)pthread_barrier_destroy(&fixture.barrier);
    CU_ASSERT_EQUAL(winners, 1);
}

static void test_a_presentation_is_not_used_for_another_request(void)
{
    CU_ASSERT_TRUE(is_validated(validate(present(""), "")));
    api_random_text(
        fixture.state); /* the pair is another; the nonce, which the VP carries, is not */
    CU_ASSERT_TRUE_FATAL(create(NULL));
    assert_refused(validate(fixture.vp, ""), API_PRESENTATION);
    CU_ASSERT_TRUE(is_validated(validate(present(",\"id\":\"urn:another\""), "")));
}

/* ---- tries ---- */

static void test_a_try_in_vain_leaves_the_request_open(void)
{
    assert_refused(validate(bad_vp(), ""), API_PRESENTATION);
    CU_ASSERT_TRUE(is_validated(validate(present(""), "")));
}

static void test_the_fifth_try_in_vain_is_the_last(void)
{
    for (unsigned i = 0; i < 5; i++) {
        assert_refused(validate(bad_vp(), ""), API_PRESENTATION);
    }
    assert_refused(validate(present(""), ""), API_NOT_OPEN);
}

static void test_a_stranger_with_the_id_alone_uses_up_no_try(void)
{
    char other[44];

    api_random_text(other);
    for (unsigned i = 0; i < 12; i++) {
        const char *body = body_of(present(""), i % 2 == 0 ? other : fixture.state,
                                   i % 2 == 0 ? fixture.nonce : other, "");
        assert_refused(http_post_json(fixture.client, fixture.path, body), API_INVALID_REQUEST);
    }
    CU_ASSERT_TRUE(is_validated(validate(present(""), "")));
}

static void test_a_body_that_is_none_is_no_try(void)
{
    static const char *const bodies[] = {
        "{}",
        "[]",
        "{\"vp\":{\"type\":[\"VerifiablePresentation\"],\"proof\":{}}}",
        "{\"vp\":7}",
    };
    for (unsigned i = 0; i < 8; i++) {
        const struct http_reply *reply =
            http_post_json(fixture.client, fixture.path, bodies[i % COUNT_OF(bodies)]);
        assert_refused(reply, API_INVALID_REQUEST);
    }
    assert_refused(validate(present(""), ",\"presentation_submission\":[]"), API_INVALID_REQUEST);
    assert_refused(validate(present(""), ",\"more\":1"), API_INVALID_REQUEST);
    CU_ASSERT_TRUE(is_validated(validate(present(""), "")));
}

static void test_an_embedded_proof_is_refused_in_words(void)
{
    const struct http_reply *reply = http_post_json(
        fixture.client, fixture.path,
        "{\"vp\":{\"proof\":{\"type\":\"EcdsaSecp256k1Signature2019\"}},\"state\":\"a\","
        "\"nonce\":\"b\"}");
    CU_ASSERT_PTR_NOT_NULL(strstr(reply->body, "embedded proof"));
    assert_refused(reply, API_INVALID_REQUEST);
}

static void test_an_unknown_request_is_not_found(void)
{
    (void)snprintf(fixture.path, sizeof(fixture.path), AUTHORIZATIONS_PATH "/%s/validate",
                   UNKNOWN_ID);
    CU_ASSERT_TRUE(is_error_reply(validate(present(""), ""), 404, API_REQUEST_NOT_FOUND, "POST",
                                  fixture.path));
    (void)snprintf(fixture.path, sizeof(fixture.path), AUTHORIZATIONS_PATH "/%s/validate", "1");
    CU_ASSERT_TRUE(is_error_reply(validate(present(""), ""), 404, API_REQUEST_NOT_FOUND, "POST",
                                  fixture.path));
}

/* ---- credentials ---- */

/* A credential for the holder at hand, in the vp. */
static const char *present_degree(const struct holder *issuer, const char *degree)
{
    char *credential =
        holder_sign(issuer,
                    "{\"iss\":\"%s\",\"sub\":\"%s\",\"exp\":%lld,\"vc\":{\"type\":"
                    "[\"VerifiableCredential\",\"DegreeCredential\"],"
                    "\"credentialSubject\":{\"degree\":\"%s\"}}}",
                    issuer->did, fixture.holder.did, (long long)wall_s() + 600, degree);
    char *more = print(",\"verifiableCredential\":[\"%s\"]", credential);
    const char *vp = present(more);
    free(more);
    free(credential);
    return vp;
}

static void test_the_credential_that_is_asked_for_validates(void)
{
    static const char submission[] = ",\"presentation_submission\":" SUBMISSION;
    struct holder stranger = holder_new("ES256");

    api_random_text(fixture.state);
    CU_ASSERT_TRUE_FATAL(create(DEFINITION));
    assert_refused(validate(present(""), submission), API_PRESENTATION);
    assert_refused(validate(present_degree(&stranger, "MSc"), submission), API_PRESENTATION);
    assert_refused(validate(present_degree(&fixture.issuer, "BSc"), submission), API_PRESENTATION);
    assert_refused(validate(present_degree(&fixture.issuer, "MSc"), ""), API_PRESENTATION);
    CU_ASSERT_TRUE(is_validated(validate(present_degree(&fixture.issuer, "MSc"), submission)));
    holder_clear(&stranger);
}

static void test_a_definition_that_cannot_be_evaluated_is_refused_at_once(void)
{
    char body[512];

    (void)snprintf(body, sizeof(body),
                   "{\"state\":\"%s\",\"nonce\":\"%s\",\"presentation_definition\":{\"id\":\"d\","
                   "\"input_descriptors\":[],\"submission_requirements\":[]}}",
                   fixture.nonce, fixture.state);
    const struct http_reply *reply = http_post_json(fixture.client, AUTHORIZATIONS_PATH, body);
    CU_ASSERT_PTR_NOT_NULL(strstr(reply->body, "submission_requirements"));
    CU_ASSERT_TRUE(is_error_reply(reply, 400, API_INVALID_REQUEST, "POST", AUTHORIZATIONS_PATH));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "each kind of holder gets a token with its DID",
          test_each_kind_of_holder_gets_a_token_with_its_did },
        { "the older paths do the same", test_the_older_paths_do_the_same },
        { "the older path wants the id in the body", test_the_older_path_wants_the_id_in_the_body },
        { "a request is validated once", test_a_request_is_validated_once },
        { "of rivals one gets the code", test_of_rivals_one_gets_the_code },
        { "a presentation is not used for another request",
          test_a_presentation_is_not_used_for_another_request },
        { "a try in vain leaves the request open", test_a_try_in_vain_leaves_the_request_open },
        { "the fifth try in vain is the last", test_the_fifth_try_in_vain_is_the_last },
        { "a stranger with the id alone uses up no try",
          test_a_stranger_with_the_id_alone_uses_up_no_try },
        { "a body that is none is no try", test_a_body_that_is_none_is_no_try },
        { "an embedded proof is refused in words", test_an_embedded_proof_is_refused_in_words },
        { "an unknown request is not found", test_an_unknown_request_is_not_found },
        { "the credential that is asked for validates",
          test_the_credential_that_is_asked_for_validates },
        { "a definition that cannot be evaluated is refused at once",
          test_a_definition_that_cannot_be_evaluated_is_refused_at_once },
        CU_TEST_INFO_NULL,
    };

    fixture.issuer = holder_new("ES384");
    fixture.instance = instance_new(NULL);
    instance_set(fixture.instance, "trust.issuer=%s DegreeCredential", fixture.issuer.did);
    if (!instance_start(fixture.instance)) {
        return 1;
    }
    const int failed = run_suite("validate", set_up, tear_down, tests);
    const int status = instance_stop(fixture.instance, 30);
    instance_free(fixture.instance);
    holder_clear(&fixture.issuer);
    return failed != 0 || status != 0;
}

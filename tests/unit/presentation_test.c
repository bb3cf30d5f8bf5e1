/*
 * A holder's presentation, and the credentials in it: what proves, and each way not to. Keys and
 * signatures are OpenSSL's (tests/support/holder.h).
 */
#include "vc/presentation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/base64url.h"
#include "base/clock.h"
#include "base/memory.h"
#include "support/holder.h"
#include "support/run.h"

#define AUDIENCE "https://issuer.example"
#define NONCE "nonce-0123456789-0123456789-0123"
#define VP "{\"type\":[\"VerifiablePresentation\"]}"
#define DEFINITION                                                                                 \
    "{\"id\":\"d\",\"input_descriptors\":[{\"id\":\"degree\",\"constraints\":{\"fields\":[{"       \
    "\"path\":[\"$.credentialSubject.degree\"],\"filter\":{\"const\":\"MSc\"}}]}}]}"
#define SUBMISSION                                                                                 \
    "{\"id\":\"s\",\"definition_id\":\"d\",\"descriptor_map\":[{\"id\":\"degree\","                \
    "\"format\":\"jwt_vc\",\"path\":\"$.vp.verifiableCredential[0]\"}]}"

enum { NOW_S = 1800000000 };

static struct {
    struct holder holder;
    struct holder other;
    struct holder issuer;
    struct presentation_rules rules;
    struct presentation_request request;
    struct trusted_issuer trusted;
    struct presentation presentation;
    char *vp;
    char *credential;
    struct error err;
} fixture;

static const char *const DEGREE[] = { "DegreeCredential" };

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.holder = holder_new("ES256");
    fixture.other = holder_new("ES256");
    fixture.issuer = holder_new("ES384");
    fixture.trusted = (struct trusted_issuer){ fixture.issuer.did, DEGREE, 1 };
    fixture.rules = (struct presentation_rules){ .audience = AUDIENCE,
                                                 .trusted = &fixture.trusted,
                                                 .trusted_count = 1 };
    fixture.request =
        (struct presentation_request){ .nonce = NONCE, .now_s = NOW_S, .now_ns = monotonic_ns() };
}

static void tear_down(void)
{
    free(take(fixture.vp));
    free(take(fixture.credential));
    holder_clear(&fixture.holder);
    holder_clear(&fixture.other);
    holder_clear(&fixture.issuer);
}

static bool verify(char *vp)
{
    free(fixture.vp);
    fixture.vp = vp;
    fixture.request.vp = vp;
    return presentation_verify(&fixture.rules, &fixture.request, &fixture.presentation,
                               &fixture.err);
}

/* A VP with these claims besides iss. */
static bool verify_claims(const char *claims)
{
    return verify(holder_sign(&fixture.holder, "{\"iss\":\"%s\",%s}", fixture.holder.did, claims));
}

/* Refused, and the message says why. */
static void assert_refused(bool verified, const char *why)
{
    CU_ASSERT_FALSE(verified);
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_PRESENTATION);
    if (strstr(fixture.err.message, why) == NULL) {
        fprintf(stderr, "\"%s\" does not say \"%s\"\n", fixture.err.message, why);
        CU_FAIL("the reason");
    }
}

#define AUD "\"aud\":\"" AUDIENCE "\","
#define GOOD AUD "\"nonce\":\"" NONCE "\",\"vp\":" VP ","

/* ---- the holder ---- */

static void test_each_algorithm_proves_its_holder(void)
{
    static const char *const algs[] = { "ES256", "ES384", "ES256K", "Ed25519", "EdDSA" };

    for (size_t i = 0; i < COUNT_OF(algs); i++) {
        holder_clear(&fixture.holder);
        fixture.holder = holder_new(algs[i]);
        CU_ASSERT_TRUE(verify_claims(GOOD "\"iat\":1800000000"));
        CU_ASSERT_STRING_EQUAL(fixture.presentation.holder_did, fixture.holder.did);
    }
}

static void test_another_key_than_the_dids_proves_nothing(void)
{
    assert_refused(verify(holder_sign(&fixture.other, "{\"iss\":\"%s\"," GOOD "\"iat\":1800000000}",
                                      fixture.holder.did)),
                   "kid");
    char header[700];
    char payload[1024];
    (void)snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"kid\":\"%s\"}",
                   fixture.holder.kid);
    (void)snprintf(payload, sizeof(payload), "{\"iss\":\"%s\"," GOOD "\"iat\":1800000000}",
                   fixture.holder.did);
    assert_refused(verify(holder_sign_parts(&fixture.other, header, payload)), "signature");
}

static void test_a_changed_byte_is_noticed(void)
{
    scoped(release_memory) char *good = holder_sign(
        &fixture.holder, "{\"iss\":\"%s\"," GOOD "\"iat\":1800000000}", fixture.holder.did);
    unsigned taken = 0;

    CU_ASSERT_TRUE(verify(xstrdup(good)));
    for (size_t i = 0; i < strlen(good); i++) {
        char *changed = xstrdup(good);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        taken += verify(changed);
    }
    CU_ASSERT_EQUAL(taken, 0);
}

static void test_the_type_of_another_jwt_is_refused(void)
{
    static const char *const types[] = {
        "at+jwt", "application/at+jwt", "openid4vci-proof+jwt", "dpop+jwt", "vc+jwt", "logout+jwt"
    };
    char header[700];
    char payload[1024];

    (void)snprintf(payload, sizeof(payload), "{\"iss\":\"%s\"," GOOD "\"iat\":1800000000}",
                   fixture.holder.did);
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        (void)snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"kid\":\"%s\",\"typ\":\"%s\"}",
                       fixture.holder.kid, types[i]);
        assert_refused(verify(holder_sign_parts(&fixture.holder, header, payload)), "typ");
    }
    (void)snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"kid\":\"%s\",\"typ\":\"vp+jwt\"}",
                   fixture.holder.kid);
    CU_ASSERT_TRUE(verify(holder_sign_parts(&fixture.holder, header, payload)));
}

static void test_the_subject_is_the_issuer(void)
{
    CU_ASSERT_TRUE(verify(holder_sign(&fixture.holder,
                                      "{\"iss\":\"%s\",\"sub\":\"%s\"," GOOD "\"iat\":1800000000}",
                                      fixture.holder.did, fixture.holder.did)));
    assert_refused(verify(holder_sign(&fixture.holder,
                                      "{\"iss\":\"%s\",\"sub\":\"%s\"," GOOD "\"iat\":1800000000}",
                                      fixture.holder.did, fixture.other.did)),
                   "sub");
    assert_refused(verify_claims(GOOD "\"sub\":7,\"iat\":1800000000"), "sub");
    assert_refused(verify_claims(AUD "\"nonce\":\"" NONCE "\",\"iat\":1800000000,\"vp\":{\"type\":"
                                     "[\"VerifiablePresentation\"],\"holder\":\"did:web:a\"}"),
                   "vp.holder");
}

static void test_an_issuer_that_is_no_did_is_refused(void)
{
    static const char *const issuers[] = { "\"\"",
                                           "\"https://wallet.example\"",
                                           "\"did:jwk:abc?service=x\"",
                                           "\"did:jwk:abc#0\"",
                                           "\"did:JWK:abc\"",
                                           "\"did:jwk:a\\nb\"",
                                           "7",
                                           "null" };
    for (size_t i = 0; i < COUNT_OF(issuers); i++) {
        assert_refused(verify(holder_sign(&fixture.holder,
                                          "{\"iss\":%s," GOOD "\"iat\":1800000000}", issuers[i])),
                       "iss");
    }
    assert_refused(verify(holder_sign(&fixture.holder, "{" GOOD "\"iat\":1800000000}")), "iss");
}

/* ---- for whom, for which request, when ---- */

static void test_the_audience_is_this_issuer_alone(void)
{
    static const char rest[] = "\"nonce\":\"" NONCE "\",\"vp\":" VP ",\"iat\":1800000000";
    char claims[512];
    static const char *const bad[] = { "",
                                       "\"aud\":\"https://other.example\",",
                                       "\"aud\":\"" AUDIENCE "/\",",
                                       "\"aud\":[\"" AUDIENCE "\",\"https://other.example\"],",
                                       "\"aud\":[],",
                                       "\"aud\":{\"a\":\"" AUDIENCE "\"}," };

    (void)snprintf(claims, sizeof(claims), "\"aud\":[\"" AUDIENCE "\"],%s", rest);
    CU_ASSERT_TRUE(verify_claims(claims));
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        (void)snprintf(claims, sizeof(claims), "%s%s", bad[i], rest);
        assert_refused(verify_claims(claims), "aud");
    }
}

static void test_the_nonce_is_the_requests(void)
{
    assert_refused(verify_claims(AUD "\"vp\":" VP ",\"iat\":1800000000"), "nonce");
    assert_refused(verify_claims(AUD "\"nonce\":\"" NONCE "4\",\"vp\":" VP ",\"iat\":1800000000"),
                   "nonce");
    assert_refused(verify_claims(AUD "\"nonce\":[\"" NONCE "\"],\"vp\":" VP ",\"iat\":1800000000"),
                   "nonce");
}

struct timing {
    const char *claims;
    const char *refusal; /* NULL: good */
    int64_t until_s;     /* where good */
};

static void test_times_hold_to_the_second(void)
{
    static const struct timing timings[] = {
        { "\"iat\":1800000000", NULL, NOW_S + 331 },
        { "\"iat\":1799999670", NULL, NOW_S + 1 },
        { "\"iat\":1799999669", "older", 0 },
        { "\"iat\":1800000030", NULL, NOW_S + 361 },
        { "\"iat\":1800000031", "future", 0 },
        { "\"iat\":1800000000.9", NULL, NOW_S + 331 },
        { "\"exp\":1800000060", NULL, NOW_S + 91 },
        { "\"exp\":1799999971", NULL, NOW_S + 2 },
        { "\"exp\":1799999970", "expired", 0 },
        { "\"exp\":1800003600", NULL, NOW_S + 3631 },
        { "\"exp\":1800003601", "without iat", 0 },
        { "\"iat\":1800000000,\"exp\":1900000000", NULL, NOW_S + 331 },
        { "\"iat\":1799999000,\"exp\":1900000000", "older", 0 },
        { "\"iat\":1800000000,\"exp\":1799999970", "expired", 0 },
        { "\"iat\":1800000000,\"nbf\":1800000030", NULL, NOW_S + 331 },
        { "\"iat\":1800000000,\"nbf\":1800000031", "nbf", 0 },
        { "\"nbf\":1800000000", "neither iat nor exp", 0 },
        { "\"iat\":\"1800000000\"", "iat", 0 },
        { "\"iat\":-1", "iat", 0 },
        { "\"iat\":1800000000,\"exp\":1e300", "exp", 0 },
        { "\"iat\":1800000000,\"exp\":null", "exp", 0 },
    };
    char claims[512];

    for (size_t i = 0; i < COUNT_OF(timings); i++) {
        (void)snprintf(claims, sizeof(claims), GOOD "%s", timings[i].claims);
        if (timings[i].refusal != NULL) {
            assert_refused(verify_claims(claims), timings[i].refusal);
        } else {
            CU_ASSERT_TRUE(verify_claims(claims));
            CU_ASSERT_EQUAL(fixture.presentation.usable_until_s, timings[i].until_s);
        }
    }
}

static void test_what_is_no_presentation_is_refused(void)
{
    static const char rest[] = AUD "\"nonce\":\"" NONCE "\",\"iat\":1800000000";
    static const char *const bad[] = { "", ",\"vp\":[]", ",\"vp\":{}",
                                       ",\"vp\":{\"type\":[\"VerifiableCredential\"]}",
                                       ",\"vp\":{\"type\":{\"a\":\"VerifiablePresentation\"}}" };
    char claims[512];

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        (void)snprintf(claims, sizeof(claims), "%s%s", rest, bad[i]);
        assert_refused(verify_claims(claims), "vp.type");
    }
    (void)snprintf(claims, sizeof(claims), "%s,\"vp\":{\"type\":\"VerifiablePresentation\"}", rest);
    CU_ASSERT_TRUE(verify_claims(claims));
}

static void test_the_same_presentation_signed_again_is_the_same(void)
{
    CU_ASSERT_TRUE_FATAL(verify_claims(GOOD "\"iat\":1800000000"));
    const struct digest first = fixture.presentation.identity;
    CU_ASSERT_TRUE_FATAL(verify_claims(GOOD "\"iat\":1800000000"));
    CU_ASSERT_TRUE(digest_equal(&first, &fixture.presentation.identity));
    CU_ASSERT_TRUE_FATAL(verify_claims(GOOD "\"iat\":1800000001"));
    CU_ASSERT_FALSE(digest_equal(&first, &fixture.presentation.identity));
}

static void test_a_did_that_needs_a_resolver_is_refused_without_one(void)
{
    char header[] = "{\"alg\":\"ES256\",\"kid\":\"did:web:wallet.example#1\"}";
    char payload[] = "{\"iss\":\"did:web:wallet.example\"," GOOD "\"iat\":1800000000}";
    assert_refused(verify(holder_sign_parts(&fixture.holder, header, payload)), "resolver");
}

/* ---- credentials ---- */

/* What differs from a good credential and its presentation; NULL: nothing. */
struct difference {
    const struct holder *signer;
    const char *issuer;
    const char *subject;
    const char *subject_id;
    const char *types;
    const char *degree;
    const char *more;
    const char *vc_more;
    const char *submission;
};

static const char *or_else(const char *text, const char *otherwise)
{
    return text != NULL ? text : otherwise;
}

static bool present(const struct difference *difference)
{
    const struct holder *signer = difference->signer != NULL ? difference->signer : &fixture.issuer;

    free(fixture.credential);
    fixture.credential =
        holder_sign(signer,
                    "{\"iss\":\"%s\",\"sub\":\"%s\",\"iat\":1700000000%s,\"vc\":{\"type\":%s,"
                    "\"credentialSubject\":{\"id\":\"%s\",\"degree\":\"%s\"}%s}}",
                    or_else(difference->issuer, fixture.issuer.did),
                    or_else(difference->subject, fixture.holder.did),
                    or_else(difference->more, ",\"exp\":1900000000"),
                    or_else(difference->types, "[\"VerifiableCredential\",\"DegreeCredential\"]"),
                    or_else(difference->subject_id, fixture.holder.did),
                    or_else(difference->degree, "MSc"), or_else(difference->vc_more, ""));
    fixture.request.definition = DEFINITION;
    fixture.request.submission = or_else(difference->submission, SUBMISSION);
    return verify(holder_sign(&fixture.holder,
                              "{\"iss\":\"%s\"," AUD "\"nonce\":\"" NONCE "\",\"iat\":1800000000,"
                              "\"vp\":{\"type\":[\"VerifiablePresentation\"],"
                              "\"verifiableCredential\":[\"%s\"]}}",
                              fixture.holder.did, fixture.credential));
}

static void test_a_credential_of_a_trusted_issuer_satisfies(void)
{
    CU_ASSERT_TRUE(present(&(struct difference){ .degree = NULL }));
    CU_ASSERT_TRUE(present(&(struct difference){ .more = ",\"nbf\":1700000000" }));
    fixture.trusted.type_count = 0;
    CU_ASSERT_TRUE(present(
        &(struct difference){ .types = "[\"VerifiableCredential\",\"AnythingCredential\"]" }));
}

static void test_a_stranger_is_not_trusted(void)
{
    assert_refused(
        present(&(struct difference){ .signer = &fixture.other, .issuer = fixture.other.did }),
        "trusted");
    assert_refused(present(&(struct difference){ .signer = &fixture.other }), "kid");
    fixture.rules.trusted_count = 0;
    assert_refused(present(&(struct difference){ .degree = NULL }), "trusted");
}

static void test_a_credential_that_was_changed_is_refused(void)
{
    struct holder forger = fixture.other;

    memcpy(forger.kid, fixture.issuer.kid, sizeof(forger.kid));
    assert_refused(present(&(struct difference){ .signer = &forger }), "signature");
}

static void test_a_type_beyond_the_trust_is_refused(void)
{
    assert_refused(
        present(&(struct difference){ .types = "[\"VerifiableCredential\",\"Passport\"]" }),
        "vc.type");
    assert_refused(present(&(struct difference){ .types = "[\"VerifiableCredential\","
                                                          "\"DegreeCredential\",\"Passport\"]" }),
                   "vc.type");
    assert_refused(present(&(struct difference){ .types = "[\"DegreeCredential\"]" }), "vc.type");
    assert_refused(present(&(struct difference){ .types = "7" }), "vc.type");
}

static void test_anothers_credential_is_refused(void)
{
    assert_refused(present(&(struct difference){ .subject = fixture.other.did }), "sub");
    assert_refused(present(&(struct difference){ .subject_id = fixture.other.did }),
                   "credentialSubject");
    assert_refused(present(&(struct difference){ .vc_more = ",\"issuer\":\"did:web:a\"" }),
                   "vc.issuer");
    assert_refused(present(&(struct difference){ .vc_more = ",\"issuer\":{\"id\":\"did:web:a\"}" }),
                   "vc.issuer");
}

static void test_a_credential_out_of_its_time_is_refused(void)
{
    assert_refused(present(&(struct difference){ .more = ",\"exp\":1799999970" }), "expired");
    assert_refused(present(&(struct difference){ .more = ",\"nbf\":1800000031" }), "nbf");
    assert_refused(present(&(struct difference){
                       .more = "", .vc_more = ",\"expirationDate\":\"2030-01-01T00:00:00Z\"" }),
                   "expirationDate");
}

static void test_what_the_definition_asks_for_must_hold(void)
{
    assert_refused(present(&(struct difference){ .degree = "BSc" }), "degree");
}

static void test_resolving_for_ever_is_not_the_presentations_fault(void)
{
    fixture.request.now_ns -= (PRESENTATION_DEADLINE_MS + 1) * (int64_t)NS_PER_MS;
    CU_ASSERT_FALSE(present(&(struct difference){ .degree = NULL }));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_RESOLVER_UNAVAILABLE);
}

static void test_a_submission_that_does_not_map_is_refused(void)
{
    assert_refused(present(&(struct difference){ .submission = "{}" }), "presentation_submission");
    (void)present(&(struct difference){ .degree = NULL });
    fixture.request.submission = NULL;
    CU_ASSERT_FALSE(
        presentation_verify(&fixture.rules, &fixture.request, &fixture.presentation, &fixture.err));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_PRESENTATION);
}

static void test_a_definition_without_descriptors_asks_for_the_did_alone(void)
{
    fixture.request.definition = "{\"id\":\"d\",\"input_descriptors\":[]}";
    CU_ASSERT_TRUE(verify_claims(GOOD "\"iat\":1800000000"));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "each algorithm proves its holder", test_each_algorithm_proves_its_holder },
        { "another key than the DID's proves nothing",
          test_another_key_than_the_dids_proves_nothing },
        { "a changed byte is noticed", test_a_changed_byte_is_noticed },
        { "the type of another JWT is refused", test_the_type_of_another_jwt_is_refused },
        { "the subject is the issuer", test_the_subject_is_the_issuer },
        { "an issuer that is no DID is refused", test_an_issuer_that_is_no_did_is_refused },
        { "the audience is this issuer alone", test_the_audience_is_this_issuer_alone },
        { "the nonce is the request's", test_the_nonce_is_the_requests },
        { "times hold to the second", test_times_hold_to_the_second },
        { "what is no presentation is refused", test_what_is_no_presentation_is_refused },
        { "the same presentation signed again is the same",
          test_the_same_presentation_signed_again_is_the_same },
        { "a DID that needs a resolver is refused without one",
          test_a_did_that_needs_a_resolver_is_refused_without_one },
        { "a credential of a trusted issuer satisfies",
          test_a_credential_of_a_trusted_issuer_satisfies },
        { "a stranger is not trusted", test_a_stranger_is_not_trusted },
        { "a credential that was changed is refused",
          test_a_credential_that_was_changed_is_refused },
        { "a type beyond the trust is refused", test_a_type_beyond_the_trust_is_refused },
        { "another's credential is refused", test_anothers_credential_is_refused },
        { "a credential out of its time is refused", test_a_credential_out_of_its_time_is_refused },
        { "what the definition asks for must hold", test_what_the_definition_asks_for_must_hold },
        { "resolving for ever is not the presentation's fault",
          test_resolving_for_ever_is_not_the_presentations_fault },
        { "a submission that does not map is refused",
          test_a_submission_that_does_not_map_is_refused },
        { "a definition without descriptors asks for the DID alone",
          test_a_definition_without_descriptors_asks_for_the_did_alone },
        CU_TEST_INFO_NULL,
    };
    return run_suite("presentation", set_up, tear_down, tests);
}

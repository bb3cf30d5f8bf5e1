/* DIDs resolved over HTTP, against tests/support/resolver.py: see there for what each DID answers.
 * Run by tests/support/with_resolver.sh. */
#include "vc/did_resolver.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/http_client.h"
#include "support/run.h"

enum {
    POLLS = 2000,
    POLL_MS = 10,
#ifdef SANITIZED
    STACK_SIZE = 2 * 1024 * 1024,
#else
    STACK_SIZE = 256 * 1024, /* of an HTTP connection's thread */
#endif
};

static struct {
    struct did_resolver *resolver;
    struct http_client *client; /* to ask what the server saw */
    char url[64];
    char *document;
    struct error err;
} fixture;

static int port_of(const char *variable)
{
    const char *port = getenv(variable);
    return port != NULL ? (int)strtol(port, NULL, 10) : 0;
}

static void use(const char *scheme, const char *host, int port)
{
    did_resolver_free(take(fixture.resolver));
    (void)snprintf(fixture.url, sizeof(fixture.url), "%s://%s:%d", scheme, host, port);
    fixture.resolver = did_resolver_new(fixture.url);
}

static void set_up(void)
{
    use("http", "127.0.0.1", port_of("TEST_RESOLVER_PORT"));
    fixture.client = http_connect(port_of("TEST_RESOLVER_PORT"));
    memset(&fixture.err, 0, sizeof(fixture.err));
}

static void tear_down(void)
{
    free(take(fixture.document));
    http_close(take(fixture.client));
    did_resolver_free(take(fixture.resolver));
}

/* True if there is a document; it replaces the last one. */
static bool fetch_at(const char *did, int64_t now_s)
{
    free(take(fixture.document));
    return did_resolver_fetch(fixture.resolver, did, now_s * NS_PER_S, &fixture.document,
                              &fixture.err);
}

static bool fetch(const char *did)
{
    return fetch_at(did, 0);
}

static bool is_document_of(const char *did)
{
    char start[128];
    (void)snprintf(start, sizeof(start), "\"%s\"", did);
    return fixture.document != NULL && strstr(fixture.document, "{\"id\":") == fixture.document
        && strstr(fixture.document, start) != NULL;
}

/* True if the DID is refused with this code and message. */
static bool is_refused(const char *did, enum error_code code, const char *message)
{
    if (fetch(did)) {
        printf("\n    resolved: %s\n", did);
        return false;
    }
    if (fixture.document != NULL || fixture.err.code != code
        || strstr(fixture.err.message, message) == NULL) {
        printf("\n    %s: code %d, '%s'\n", did, (int)fixture.err.code, fixture.err.message);
        return false;
    }
    return true;
}

/* A number that the server tells; -1: it does not. */
static long ask(const char *path)
{
    const struct http_reply *reply = http_get(fixture.client, path);
    return reply->status == 200 ? strtol(reply->body, NULL, 10) : -1;
}

static long requests_for(const char *did)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "/count/%s", did);
    return ask(path);
}

/* ---- documents ---- */

static void test_document_is_handed_out_as_it_is(void)
{
    CU_ASSERT_TRUE_FATAL(fetch("did:test:document"));
    CU_ASSERT_STRING_EQUAL(fixture.document, "{\"id\": \"did:test:document\"}");
    CU_ASSERT_TRUE_FATAL(fetch("did:test:untyped"));
    CU_ASSERT_TRUE(is_document_of("did:test:untyped"));
}

static void test_document_is_taken_out_of_a_resolution_result(void)
{
    CU_ASSERT_TRUE_FATAL(fetch("did:test:result"));
    CU_ASSERT_STRING_EQUAL(fixture.document, "{\"id\":\"did:test:result\"}");
}

static void test_request_is_what_the_specification_asks_for(void)
{
    CU_ASSERT_TRUE_FATAL(fetch("did:echo:localhost%3A8443:user"));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(fixture.document, "\"/1.0/identifiers/did:echo:localhost%253A8443:user\""));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.document,
                                  "\"Accept\": \"application/did+ld+json, application/did+json, "
                                  "application/did-resolution, application/json\""));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.document, "\"User-Agent\": \"issuerd/"));
    CU_ASSERT_PTR_NULL(strstr(fixture.document, "Accept-Encoding"));
    CU_ASSERT_PTR_NULL(strstr(fixture.document, "Cookie"));
    CU_ASSERT_PTR_NULL(strstr(fixture.document, "Authorization"));
}

static void test_proxies_of_the_environment_are_not_asked(void)
{
    (void)setenv("http_proxy", "http://127.0.0.1:1", 1);
    (void)setenv("all_proxy", "http://127.0.0.1:1", 1);
    CU_ASSERT_TRUE(fetch("did:test:document"));
    (void)unsetenv("http_proxy");
    (void)unsetenv("all_proxy");
}

static void test_connection_is_kept_for_the_next_request(void)
{
    const long before = ask("/connections");

    for (int i = 0; i < 5; i++) {
        CU_ASSERT_TRUE(fetch("did:test:document"));
    }
    CU_ASSERT_EQUAL(ask("/connections"), before + 1);
}

/* ---- refusals ---- */

static void test_did_that_is_not_there_is_the_clients_fault(void)
{
    CU_ASSERT_TRUE(is_refused("did:test:notfound", ERROR_INVALID_REQUEST, "there is no such DID"));
    CU_ASSERT_TRUE(
        is_refused("did:test:result-notfound", ERROR_INVALID_REQUEST, "there is no such DID"));
    CU_ASSERT_TRUE(is_refused("did:test:gone", ERROR_INVALID_REQUEST, "the DID is deactivated"));
    CU_ASSERT_TRUE(
        is_refused("did:test:result-deactivated", ERROR_INVALID_REQUEST, "the DID is deactivated"));
    CU_ASSERT_TRUE(is_refused("did:test:invalid", ERROR_INVALID_REQUEST, "no DIDs of this form"));
    CU_ASSERT_TRUE(
        is_refused("did:test:unsupported", ERROR_INVALID_REQUEST, "no DIDs of this form"));
}

static void test_other_statuses_are_the_resolvers_fault(void)
{
    CU_ASSERT_TRUE(is_refused("did:test:fault", ERROR_RESOLVER_UNAVAILABLE, "answered 500"));
    CU_ASSERT_TRUE(is_refused("did:test:busy", ERROR_RESOLVER_UNAVAILABLE, "answered 503"));
    CU_ASSERT_TRUE(is_refused("did:test:empty", ERROR_RESOLVER_UNAVAILABLE, "answered 204"));
    CU_ASSERT_TRUE(
        is_refused("did:test:result-fault", ERROR_RESOLVER_UNAVAILABLE, "told of an error"));
}

static void test_redirect_is_not_followed(void)
{
    CU_ASSERT_TRUE(is_refused("did:test:redirect", ERROR_RESOLVER_UNAVAILABLE, "answered 302"));
    CU_ASSERT_EQUAL(requests_for("did:test:redirected"), 0);
    CU_ASSERT_TRUE(fetch("did:test:redirected")); /* it was there */
}

static void test_answer_that_is_no_json_object_is_refused(void)
{
    static const char answer[] = "the DID resolver's answer: ";

    CU_ASSERT_TRUE(is_refused("did:test:html", ERROR_RESOLVER_UNAVAILABLE, answer));
    CU_ASSERT_TRUE(is_refused("did:test:array", ERROR_RESOLVER_UNAVAILABLE, "not a JSON object"));
    CU_ASSERT_TRUE(is_refused("did:test:twice", ERROR_RESOLVER_UNAVAILABLE, answer));
    CU_ASSERT_TRUE(is_refused("did:test:nothing", ERROR_RESOLVER_UNAVAILABLE, answer));
    CU_ASSERT_TRUE(is_refused("did:test:gzip", ERROR_RESOLVER_UNAVAILABLE, answer));
    CU_ASSERT_TRUE(is_refused("did:test:result-null", ERROR_RESOLVER_UNAVAILABLE, "is no object"));
}

static void test_answer_has_a_largest_size(void)
{
    CU_ASSERT_TRUE_FATAL(fetch("did:test:largest"));
    CU_ASSERT_EQUAL(strlen(fixture.document), DID_DOCUMENT_MAX);
    CU_ASSERT_TRUE(is_refused("did:test:too-large", ERROR_RESOLVER_UNAVAILABLE, "is too large"));
    CU_ASSERT_TRUE(is_refused("did:test:endless", ERROR_RESOLVER_UNAVAILABLE, "is too large"));
    CU_ASSERT_TRUE(is_refused("did:test:large-head", ERROR_RESOLVER_UNAVAILABLE, "is too large"));
    CU_ASSERT_TRUE(is_refused("did:test:grows", ERROR_RESOLVER_UNAVAILABLE, "more than 65536"));
}

static void test_answer_that_ends_too_early_is_refused(void)
{
    CU_ASSERT_TRUE(is_refused("did:test:broken", ERROR_RESOLVER_UNAVAILABLE, "did not answer"));
    CU_ASSERT_STRING_EQUAL(fixture.err.cause.library, "curl");
    CU_ASSERT_EQUAL(fixture.err.cause.number, 18); /* CURLE_PARTIAL_FILE */
    CU_ASSERT_TRUE(fixture.err.cause.text[0] != '\0');
}

static void test_resolver_that_does_not_listen_is_unavailable(void)
{
    use("http", "127.0.0.1", 1);
    CU_ASSERT_TRUE(is_refused("did:test:document", ERROR_RESOLVER_UNAVAILABLE, "did not answer"));
    CU_ASSERT_EQUAL(fixture.err.cause.number, 7); /* CURLE_COULDNT_CONNECT */
}

static void test_only_http_is_spoken(void)
{
    use("ftp", "127.0.0.1", port_of("TEST_RESOLVER_PORT"));
    CU_ASSERT_TRUE(is_refused("did:test:document", ERROR_RESOLVER_UNAVAILABLE, "did not answer"));
    CU_ASSERT_EQUAL(fixture.err.cause.number, 1); /* CURLE_UNSUPPORTED_PROTOCOL */
}

static void test_certificate_that_nobody_vouches_for_is_refused(void)
{
    use("https", "localhost", port_of("TEST_RESOLVER_TLS_PORT"));
    CU_ASSERT_TRUE(is_refused("did:test:document", ERROR_RESOLVER_UNAVAILABLE, "did not answer"));
    CU_ASSERT_EQUAL(fixture.err.cause.number, 60); /* CURLE_PEER_FAILED_VERIFICATION */
    CU_ASSERT_EQUAL(ERR_peek_error(), 0);
}

/* ---- what the operator is told ---- */

/* The lines of the log that a fetch of each DID leaves, at its time. */
static unsigned lines_logged(const char *const *dids, const int64_t *times_s, size_t count)
{
    char text[4096];
    int ends[2];
    const int kept = dup(STDERR_FILENO);
    unsigned lines = 0;

    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    (void)dup2(ends[1], STDERR_FILENO);
    for (size_t i = 0; i < count; i++) {
        CU_ASSERT_FALSE(fetch_at(dids[i], times_s[i]));
    }
    (void)dup2(kept, STDERR_FILENO);
    (void)close(kept);
    (void)close(ends[1]);
    const ssize_t length = read(ends[0], text, sizeof(text) - 1);
    (void)close(ends[0]);
    text[length > 0 ? length : 0] = '\0';
    for (const char *at = text; (at = strstr(at, "<4>resolver.failed ")) != NULL; at++) {
        lines++;
    }
    return lines;
}

static void test_failure_is_logged_once_a_minute(void)
{
    static const char *const dids[] = { "did:test:fault", "did:test:busy", "did:test:fault" };
    static const int64_t within_s[] = { 1000, 1000, 1059 };
    static const int64_t later_s[] = { 1060, 1119, 1120 };

    CU_ASSERT_EQUAL(lines_logged(dids, within_s, COUNT_OF(dids)), 1);
    CU_ASSERT_EQUAL(lines_logged(dids, later_s, COUNT_OF(dids)), 2);
}

static void test_what_is_the_clients_fault_is_not_logged(void)
{
    static const char *const dids[] = { "did:test:notfound", "did:test:gone", "did:test:invalid" };
    static const int64_t times_s[] = { 1000, 2000, 3000 };

    CU_ASSERT_EQUAL(lines_logged(dids, times_s, COUNT_OF(dids)), 0);
}

/* ---- time and number ---- */

/* Ten times the deadline later both would have answered with a document. */
static void test_answer_has_a_deadline(void)
{
    CU_ASSERT_TRUE(is_refused("did:test:silent", ERROR_RESOLVER_UNAVAILABLE, "did not answer"));
    CU_ASSERT_EQUAL(fixture.err.cause.number, 28); /* CURLE_OPERATION_TIMEDOUT */
}

static void test_deadline_is_for_the_whole_answer(void)
{
    CU_ASSERT_TRUE(is_refused("did:test:drip", ERROR_RESOLVER_UNAVAILABLE, "did not answer"));
    CU_ASSERT_EQUAL(fixture.err.cause.number, 28);
}

static void *fetch_held(void *argument)
{
    struct error err;
    char *document = NULL;
    (void)argument;

    const bool fetched = did_resolver_fetch(fixture.resolver, "did:test:hold", 0, &document, &err);
    free(document);
    return fetched ? fixture.url : NULL;
}

/* False if they do not all come to be held. */
static bool await_held(long count)
{
    const struct timespec pause = timespec_from_ns(POLL_MS * (int64_t)NS_PER_MS);

    for (int i = 0; i < POLLS && ask("/holding") < count; i++) {
        (void)nanosleep(&pause, NULL);
    }
    return ask("/holding") == count;
}

static unsigned join_all(pthread_t threads[DID_RESOLVER_FETCHES_MAX])
{
    unsigned fetched = 0;

    for (size_t i = 0; i < DID_RESOLVER_FETCHES_MAX; i++) {
        void *result = NULL;
        CU_ASSERT_EQUAL(pthread_join(threads[i], &result), 0);
        fetched += result != NULL;
    }
    return fetched;
}

/* On stacks as the HTTP connections have them. */
static void test_one_fetch_too_many_fails_at_once(void)
{
    pthread_t threads[DID_RESOLVER_FETCHES_MAX];
    pthread_attr_t attributes;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], &attributes, fetch_held, NULL), 0);
    }
    pthread_attr_destroy(&attributes);
    CU_ASSERT_TRUE(await_held(DID_RESOLVER_FETCHES_MAX));
    CU_ASSERT_TRUE(is_refused("did:test:one-more", ERROR_RESOLVER_UNAVAILABLE,
                              "32 DIDs are being resolved already"));
    CU_ASSERT_EQUAL(requests_for("did:test:one-more"), 0);
    CU_ASSERT_EQUAL(http_get(fixture.client, "/release")->status, 200);
    CU_ASSERT_EQUAL(join_all(threads), DID_RESOLVER_FETCHES_MAX);
    CU_ASSERT_TRUE(fetch("did:test:document"));
}

static void *fetch_largest(void *argument)
{
    struct error err;
    char *document = NULL;
    (void)argument;

    const bool fetched =
        did_resolver_fetch(fixture.resolver, "did:test:largest", 0, &document, &err);
    free(document);
    return fetched ? fixture.url : NULL;
}

static void test_largest_answers_fit_many_small_stacks(void)
{
    pthread_t threads[DID_RESOLVER_FETCHES_MAX];
    pthread_attr_t attributes;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], &attributes, fetch_largest, NULL), 0);
    }
    pthread_attr_destroy(&attributes);
    CU_ASSERT_EQUAL(join_all(threads), DID_RESOLVER_FETCHES_MAX);
}

/* ---- the cache ---- */

static void test_document_is_kept_for_its_max_age(void)
{
    CU_ASSERT_TRUE(fetch_at("did:test:kept", 1000));
    CU_ASSERT_TRUE(fetch_at("did:test:kept", 1000));
    CU_ASSERT_TRUE(fetch_at("did:test:kept", 1059));
    CU_ASSERT_TRUE(is_document_of("did:test:kept"));
    CU_ASSERT_EQUAL(requests_for("did:test:kept"), 1);
    CU_ASSERT_TRUE(fetch_at("did:test:kept", 1060));
    CU_ASSERT_EQUAL(requests_for("did:test:kept"), 2);
    CU_ASSERT_TRUE(fetch_at("did:test:kept", 1119));
    CU_ASSERT_EQUAL(requests_for("did:test:kept"), 2);
}

static void test_document_of_a_result_is_kept_alone(void)
{
    CU_ASSERT_TRUE(fetch("did:test:kept-result"));
    CU_ASSERT_TRUE(fetch("did:test:kept-result"));
    CU_ASSERT_STRING_EQUAL(fixture.document, "{\"id\":\"did:test:kept-result\"}");
    CU_ASSERT_EQUAL(requests_for("did:test:kept-result"), 1);
}

static void test_nothing_is_kept_longer_than_an_hour(void)
{
    CU_ASSERT_TRUE(fetch_at("did:test:kept-long", 0));
    CU_ASSERT_TRUE(fetch_at("did:test:kept-long", DID_RESOLVER_MAX_AGE_S - 1));
    CU_ASSERT_EQUAL(requests_for("did:test:kept-long"), 1);
    CU_ASSERT_TRUE(fetch_at("did:test:kept-long", DID_RESOLVER_MAX_AGE_S));
    CU_ASSERT_EQUAL(requests_for("did:test:kept-long"), 2);
}

static void test_age_of_an_answer_counts(void)
{
    CU_ASSERT_TRUE(fetch_at("did:test:aged", 0));
    CU_ASSERT_TRUE(fetch_at("did:test:aged", 9));
    CU_ASSERT_EQUAL(requests_for("did:test:aged"), 1);
    CU_ASSERT_TRUE(fetch_at("did:test:aged", 10));
    CU_ASSERT_EQUAL(requests_for("did:test:aged"), 2);
}

static void test_answers_that_may_not_be_kept_are_asked_for_again(void)
{
    static const char *const dids[] = { "did:test:result", "did:test:no-store", "did:test:too-old",
                                        "did:test:age-unknown" };

    for (size_t i = 0; i < COUNT_OF(dids); i++) {
        const long before = requests_for(dids[i]);
        CU_ASSERT_TRUE(fetch(dids[i]));
        CU_ASSERT_TRUE(fetch(dids[i]));
        CU_ASSERT_EQUAL(requests_for(dids[i]), before + 2);
    }
}

static void test_refusal_is_not_kept(void)
{
    CU_ASSERT_TRUE(is_refused("did:test:kept-fault", ERROR_INVALID_REQUEST, "no such DID"));
    CU_ASSERT_TRUE(is_refused("did:test:kept-fault", ERROR_INVALID_REQUEST, "no such DID"));
    CU_ASSERT_EQUAL(requests_for("did:test:kept-fault"), 2);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a document is handed out as it is", test_document_is_handed_out_as_it_is },
        { "a document is taken out of a resolution result",
          test_document_is_taken_out_of_a_resolution_result },
        { "the request is what the specification asks for",
          test_request_is_what_the_specification_asks_for },
        { "proxies of the environment are not asked",
          test_proxies_of_the_environment_are_not_asked },
        { "a connection is kept for the next request",
          test_connection_is_kept_for_the_next_request },
        { "a DID that is not there is the client's fault",
          test_did_that_is_not_there_is_the_clients_fault },
        { "other statuses are the resolver's fault", test_other_statuses_are_the_resolvers_fault },
        { "a redirect is not followed", test_redirect_is_not_followed },
        { "an answer that is no JSON object is refused",
          test_answer_that_is_no_json_object_is_refused },
        { "an answer has a largest size", test_answer_has_a_largest_size },
        { "an answer that ends too early is refused", test_answer_that_ends_too_early_is_refused },
        { "a resolver that does not listen is unavailable",
          test_resolver_that_does_not_listen_is_unavailable },
        { "only HTTP is spoken", test_only_http_is_spoken },
        { "a certificate that nobody vouches for is refused",
          test_certificate_that_nobody_vouches_for_is_refused },
        { "a failure is logged once a minute", test_failure_is_logged_once_a_minute },
        { "what is the client's fault is not logged",
          test_what_is_the_clients_fault_is_not_logged },
        { "an answer has a deadline", test_answer_has_a_deadline },
        { "the deadline is for the whole answer", test_deadline_is_for_the_whole_answer },
        { "one fetch too many fails at once", test_one_fetch_too_many_fails_at_once },
        { "the largest answers fit many small stacks", test_largest_answers_fit_many_small_stacks },
        { "a document is kept for its max-age", test_document_is_kept_for_its_max_age },
        { "the document of a result is kept alone", test_document_of_a_result_is_kept_alone },
        { "nothing is kept longer than an hour", test_nothing_is_kept_longer_than_an_hour },
        { "the age of an answer counts", test_age_of_an_answer_counts },
        { "answers that may not be kept are asked for again",
          test_answers_that_may_not_be_kept_are_asked_for_again },
        { "a refusal is not kept", test_refusal_is_not_kept },
        CU_TEST_INFO_NULL,
    };
    return run_suite("did resolver", set_up, tear_down, tests);
}

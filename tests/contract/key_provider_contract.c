/*
 * What every key provider promises. CTest runs it once per provider and algorithm:
 * tests/support/with_*.sh set TEST_KEY_URI, TEST_MISSING_KEY_URI and TEST_KEY_ALGORITHM.
 * TEST_SESSION_COPY=1 asks for session copies.
 */
#include "hsm/key_provider.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/memory.h"
#include "support/run.h"
#include "support/verify.h"

enum { WORKERS = 4, SIGNATURES = 2000 };

/* Everything a test owns lives here: CUnit's _FATAL assertions jump out of the test, past its
 * scopes, but the teardown still runs. */
static struct {
    struct key_options options;
    const struct key_provider *provider;
    struct device_key *key;
    struct error err;
    bool opened;
} fixture;

static void open_key(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.options = (struct key_options){
        .uri = getenv("TEST_KEY_URI"),
        .algorithm = jose_algorithm_from_name(getenv("TEST_KEY_ALGORITHM")),
        .sessions = WORKERS,
        .deadline_ms = 10000,
        .session_copy = getenv("TEST_SESSION_COPY") != NULL,
    };
    fixture.provider = key_provider_for(fixture.options.uri);
    fixture.opened = fixture.provider->open(&fixture.options, &fixture.key, &fixture.err);
    if (!fixture.opened) {
        fprintf(stderr, "%s\n", error_line(&fixture.err).text);
    }
}

static void close_key(void)
{
    if (fixture.key != NULL) {
        fixture.provider->close(take(fixture.key));
    }
}

static bool sign_and_verify(unsigned worker, unsigned number)
{
    char input[64];
    const int length = snprintf(input, sizeof(input), "worker %u message %u", worker, number);
    struct signature signature = { .length = 0 };
    struct error err;

    return fixture.provider->sign(fixture.key, worker, input, (size_t)length, &signature, &err)
        && signature_verifies(fixture.key->public_key, fixture.options.algorithm, input,
                              (size_t)length, &signature);
}

/* Returns NULL if each signature verified. */
static void *sign_many(void *argument)
{
    const unsigned worker = (unsigned)(uintptr_t)argument;

    for (unsigned i = 0; i < SIGNATURES / fixture.key->sessions; i++) {
        if (!sign_and_verify(worker, i)) {
            return &fixture;
        }
    }
    return NULL;
}

static void test_signatures_of_all_workers_at_once_verify_and_have_the_fixed_width(void)
{
    pthread_t threads[WORKERS];

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(fixture.key->sessions >= 1 && fixture.key->sessions <= WORKERS);
    for (unsigned i = 0; i < fixture.key->sessions; i++) {
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, sign_many, (void *)(uintptr_t)i),
                              0);
    }
    for (unsigned i = 0; i < fixture.key->sessions; i++) {
        void *failed = NULL;
        CU_ASSERT_EQUAL(pthread_join(threads[i], &failed), 0);
        CU_ASSERT_PTR_NULL(failed);
    }
}

static void test_a_signature_is_of_its_input_alone(void)
{
    struct signature signature = { .length = 0 };

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(
        fixture.provider->sign(fixture.key, 0, "one", 3, &signature, &fixture.err));
    CU_ASSERT_TRUE(signature_verifies(fixture.key->public_key, fixture.options.algorithm, "one", 3,
                                      &signature));
    CU_ASSERT_FALSE(signature_verifies(fixture.key->public_key, fixture.options.algorithm, "two", 3,
                                       &signature));
}

static void test_the_key_decides_the_algorithm_when_nobody_does(void)
{
    const enum jose_algorithm natural =
        fixture.options.algorithm == JOSE_RS256 ? JOSE_PS256 : fixture.options.algorithm;

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    close_key();
    fixture.options.algorithm = JOSE_ALGORITHM_NONE;
    CU_ASSERT_TRUE_FATAL(fixture.provider->open(&fixture.options, &fixture.key, &fixture.err));
    CU_ASSERT_EQUAL(fixture.key->algorithm, natural);
}

static void test_an_algorithm_of_another_key_type_is_refused(void)
{
    CU_ASSERT_TRUE_FATAL(fixture.opened);
    close_key();
    fixture.options.algorithm = fixture.options.algorithm == JOSE_ES256 ? JOSE_RS256 : JOSE_ES256;
    CU_ASSERT_FALSE_FATAL(fixture.provider->open(&fixture.options, &fixture.key, &fixture.err));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_KEY_POLICY);
}

static void test_a_missing_key_is_not_found(void)
{
    close_key();
    fixture.options.uri = getenv("TEST_MISSING_KEY_URI");
    CU_ASSERT_FALSE_FATAL(fixture.provider->open(&fixture.options, &fixture.key, &fixture.err));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_KEY_NOT_FOUND);
    CU_ASSERT_PTR_NULL(fixture.key);
}

static void test_a_key_that_was_closed_opens_again_and_is_the_same(void)
{
    CU_ASSERT_TRUE_FATAL(fixture.opened);
    EVP_PKEY *before = fixture.key->public_key;
    (void)EVP_PKEY_up_ref(before);
    close_key();
    const bool opened = fixture.provider->open(&fixture.options, &fixture.key, &fixture.err);
    const bool same = opened && EVP_PKEY_eq(before, fixture.key->public_key) == 1;
    EVP_PKEY_free(before);
    CU_ASSERT_TRUE_FATAL(same);
    CU_ASSERT_TRUE(sign_and_verify(fixture.key->sessions - 1, 0));
}

static void test_the_description_tells_no_query(void)
{
    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_PTR_NULL(strstr(fixture.key->description, "pin"));
    CU_ASSERT_NOT_EQUAL(strlen(fixture.key->description), 0);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "signatures of all workers at once verify and have the fixed width",
          test_signatures_of_all_workers_at_once_verify_and_have_the_fixed_width },
        { "a signature is of its input alone", test_a_signature_is_of_its_input_alone },
        { "the key decides the algorithm when nobody does",
          test_the_key_decides_the_algorithm_when_nobody_does },
        { "an algorithm of another key type is refused",
          test_an_algorithm_of_another_key_type_is_refused },
        { "a missing key is not found", test_a_missing_key_is_not_found },
        { "a key that was closed opens again and is the same",
          test_a_key_that_was_closed_opens_again_and_is_the_same },
        { "the description tells no query", test_the_description_tells_no_query },
        CU_TEST_INFO_NULL,
    };
    return run_suite("key provider", open_key, close_key, tests);
}

/*
 * What a PKCS#11 key does by itself about errors of a device that it is signing with: every value that
 * fail_pkcs11() knows, from C_SignInit and from C_Sign, once, three times, and until it is mended;
 * sessions closed and users logged out behind its back; one login for any number of waiters, and none
 * that was refused before.
 */
#include "hsm/key_provider.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "support/run.h"
#include "support/uri.h"
#include "support/verify.h"

enum { WORKERS = 8, ROUNDS = 20 };

static struct {
    struct device_key *key;
    struct error err;
    char uri[2048];
    char control[512];
    char calls[512];
} fixture;

/* ---- the device behind the shim ---- */

static void set_faults(const char *lines)
{
    char path[600];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s.new", fixture.control);
    file = fopen(path, "w");
    fputs(lines, file);
    fclose(file);
    (void)rename(path, fixture.control);
    (void)usleep(5000); /* the shim looks every 2 ms */
}

static unsigned count_logins(void)
{
    char line[256];
    unsigned count = 0;
    FILE *file = fopen(fixture.calls, "r");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        count += strncmp(line, "C_Login", 7) == 0;
    }
    if (file != NULL) {
        fclose(file);
    }
    return count;
}

static void set_up(void)
{
    const char *query = strstr(getenv("TEST_KEY_URI"), "&pin-source=");

    memset(&fixture, 0, sizeof(fixture));
    (void)snprintf(fixture.uri, sizeof(fixture.uri),
                   "pkcs11:token=issuerd%%20test;object=signer?module-path=%s%s",
                   uri_path(getenv("TEST_SHIM")).text, query);
    (void)snprintf(fixture.control, sizeof(fixture.control), "%s/faults", getenv("TEST_DIR"));
    (void)snprintf(fixture.calls, sizeof(fixture.calls), "%s/calls", getenv("TEST_DIR"));
    setenv("SHIM_MODULE", getenv("TEST_MODULE"), 1);
    setenv("SHIM_CONTROL", fixture.control, 1);
    setenv("SHIM_LOG", fixture.calls, 1);
    (void)unlink(fixture.calls);
    set_faults("");
}

static void tear_down(void)
{
    if (fixture.key != NULL) {
        fixture.key->provider->close(take(fixture.key));
    }
}

static bool open_key(bool session_copy)
{
    const struct key_options options = { .uri = fixture.uri,
                                         .sessions = WORKERS,
                                         .session_copy = session_copy,
                                         .state_dir = getenv("TEST_DIR") };
    tear_down();
    return pkcs11_provider.open(&options, &fixture.key, &fixture.err);
}

static bool sign(unsigned worker)
{
    struct signature signature = { .length = 0 };
    return pkcs11_provider.sign(fixture.key, worker, "input", 5, &signature, &fixture.err)
        && signature_verifies(fixture.key->public_key, fixture.key->algorithm, "input", 5,
                              &signature);
}

static bool fails(unsigned worker)
{
    return !sign(worker) && fixture.err.code == ERROR_DEVICE_UNAVAILABLE;
}

/* ---- each error ---- */

enum class { MENDS, WAITS, ENDS }; /* another session or login; a pause; only a fresh process */

static const struct {
    const char *rv;
    enum class class;
} errors[] = {
    /* session lost */
    { "0xb3", MENDS },
    { "0xb0", MENDS },
    { "0x90", MENDS },
    { "0x91", MENDS },
    { "0x202", MENDS },
    /* login or handle lost */
    { "0x101", MENDS },
    { "0x82", MENDS },
    { "0x60", MENDS },
    { "0x65", MENDS },
    /* ambiguous, and what nobody knows */
    { "0x30", MENDS },
    { "0x6", MENDS },
    { "0x5", MENDS },
    { "0x80000001", MENDS },
    /* a mistake, ours or the module's */
    { "0x7", MENDS },
    { "0x20", MENDS },
    { "0x21", MENDS },
    { "0x62", MENDS },
    { "0x63", MENDS },
    { "0x68", MENDS },
    { "0x70", MENDS },
    { "0x71", MENDS },
    { "0x54", MENDS },
    { "0x150", MENDS },
    { "0x1b", MENDS },
    { "0x140", MENDS },
    { "0x200", MENDS },
    /* busy */
    { "0x50", WAITS },
    { "0xa", WAITS },
    { "0x31", WAITS },
    { "0xb1", WAITS },
    /* gone */
    { "0x32", ENDS },
    { "0xe0", ENDS },
    { "0xe1", ENDS },
    { "0x3", ENDS },
    { "0x190", ENDS },
    { "0x2", ENDS },
    /* the PIN */
    { "0xa0", ENDS },
    { "0xa4", ENDS },
    { "0x102", ENDS },
};

static void befall(const char *function, const char *rv, const char *rest)
{
    char line[128];
    (void)snprintf(line, sizeof(line), "%s rv=%s %s\n", function, rv, rest);
    set_faults(line);
}

static void check_error(const char *function, const char *rv, enum class class)
{
    befall(function, rv, "count=1");
    CU_ASSERT_EQUAL(sign(0), class != ENDS);
    CU_ASSERT_TRUE(sign(0));

    befall(function, rv, "count=3"); /* one try and two more */
    CU_ASSERT_TRUE(fails(1));
    CU_ASSERT_EQUAL(sign(1), class != ENDS);
    set_faults("");
    CU_ASSERT_TRUE(sign(1));

    befall(function, rv, "");
    CU_ASSERT_TRUE(fails(2));
    CU_ASSERT_TRUE(fails(2));
    set_faults("");
    CU_ASSERT_TRUE(sign(2));
}

static void test_every_error_is_mended_as_its_class_asks(void)
{
    CU_ASSERT_TRUE_FATAL(open_key(false));
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        const unsigned before = CU_get_number_of_failures();
        check_error("C_SignInit", errors[i].rv, errors[i].class);
        check_error("C_Sign", errors[i].rv, errors[i].class);
        if (CU_get_number_of_failures() > before) {
            fprintf(stderr, "  (rv=%s)\n", errors[i].rv);
        }
    }
    CU_ASSERT_EQUAL(count_logins(), 1); /* the token never forgot it */
}

static void test_an_operation_that_stays_active_does_not_stick(void)
{
    CU_ASSERT_TRUE_FATAL(open_key(false));
    set_faults("C_Sign rv=0x30 skip count=1\n");
    CU_ASSERT_TRUE(sign(0));
    CU_ASSERT_TRUE(sign(0));
}

static void test_a_login_that_is_lost_is_restored(void)
{
    static const char *const losses[] = { "C_Sign close_sessions count=1\n",
                                          "C_SignInit close_sessions count=1\n",
                                          "C_SignInit logout count=1\n" };
    for (int copy = 0; copy < 2; copy++) {
        for (size_t i = 0; i < COUNT_OF(losses); i++) {
            (void)unlink(fixture.calls);
            CU_ASSERT_TRUE_FATAL(open_key(copy == 1));
            set_faults(losses[i]);
            for (unsigned worker = 0; worker < WORKERS; worker++) {
                CU_ASSERT_TRUE(sign(worker));
            }
            CU_ASSERT_EQUAL(count_logins(), 2);
        }
    }
}

static void *sign_again_and_again(void *argument)
{
    bool *const all_good = argument;
    static _Atomic unsigned next;
    const unsigned worker = next++ % WORKERS;
    struct signature signature = { .length = 0 };
    struct error err;

    for (int i = 0; i < 50; i++) {
        if (!pkcs11_provider.sign(fixture.key, worker, "input", 5, &signature, &err)) {
            fprintf(stderr, "worker %u: %s\n", worker, error_line(&err).text);
            *all_good = false;
        }
    }
    return NULL;
}

static void test_any_number_of_waiters_log_in_once(void)
{
    CU_ASSERT_TRUE_FATAL(open_key(false));
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t threads[WORKERS];
        bool good[WORKERS];
        (void)unlink(fixture.calls);
        set_faults("C_SignInit close_sessions after=100 count=1\n");
        for (int i = 0; i < WORKERS; i++) {
            good[i] = true;
            CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, sign_again_and_again, &good[i]),
                                  0);
        }
        for (int i = 0; i < WORKERS; i++) {
            (void)pthread_join(threads[i], NULL);
            CU_ASSERT_TRUE(good[i]);
        }
        CU_ASSERT_EQUAL(count_logins(), 1);
    }
}

/* ---- the PIN ---- */

static void test_a_pin_that_is_refused_meanwhile_is_tried_once(void)
{
    CU_ASSERT_TRUE_FATAL(open_key(false));
    (void)unlink(fixture.calls);
    set_faults("C_SignInit close_sessions count=1\nC_Login rv=0xa0\n");
    for (unsigned worker = 0; worker < WORKERS; worker++) {
        CU_ASSERT_TRUE(fails(worker));
    }
    CU_ASSERT_EQUAL(count_logins(), 1);
    set_faults("");
    CU_ASSERT_TRUE(fails(0)); /* until the file changes */
    CU_ASSERT_EQUAL(count_logins(), 1);

    FILE *file = fopen(getenv("TEST_PIN_FILE"), "w");
    fputs("71942-user\n", file);
    fclose(file);
    CU_ASSERT_TRUE(sign(0));
    CU_ASSERT_EQUAL(count_logins(), 2);
}

static void test_a_device_that_cannot_be_restored_fails_and_does_not_hang(void)
{
    static const char *const faults[] = {
        "C_SignInit close_sessions count=1\nC_OpenSession rv=0x30\n",
        "C_SignInit close_sessions count=1\nC_OpenSession rv=0xb1\n",
        "C_SignInit close_sessions count=1\nC_Login rv=0x30\n",
        "C_SignInit close_sessions count=1\nC_FindObjectsInit rv=0x30\n",
        "C_SignInit close_sessions count=1\nC_GetAttributeValue rv=0x30\n",
        "C_SignInit close_sessions count=1\nC_GetTokenInfo rv=0xe0\n",
    };
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        CU_ASSERT_TRUE_FATAL(open_key(false));
        set_faults(faults[i]);
        CU_ASSERT_TRUE(fails(0));
        CU_ASSERT_TRUE(fails(1));
        set_faults("");
        CU_ASSERT_TRUE(sign(0));
        CU_ASSERT_TRUE(sign(1));
    }
}

int main(void)
{
    static CU_TestInfo tests[] = {
        { "every error is mended as its class asks", test_every_error_is_mended_as_its_class_asks },
        { "an operation that stays active does not stick",
          test_an_operation_that_stays_active_does_not_stick },
        { "a login that is lost is restored", test_a_login_that_is_lost_is_restored },
        { "any number of waiters log in once", test_any_number_of_waiters_log_in_once },
        { "a device that cannot be restored fails and does not hang",
          test_a_device_that_cannot_be_restored_fails_and_does_not_hang },
        { "a PIN that is refused meanwhile is tried once",
          test_a_pin_that_is_refused_meanwhile_is_tried_once },
        CU_TEST_INFO_NULL,
    };
    return run_suite("pkcs11_recovery", set_up, tear_down, tests);
}

/* "This PIN was refused": what is remembered, by whom, how long, and what ends it. */
#include "hsm/pin_latch.h"

#include "hsm/signer.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base64url.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/memory.h"
#include "support/run.h"

enum { SHORT_MS = 100 };

static const char PIN[] = "71942-secret-pin";

static struct {
    char directory[64];
    char pin_path[96];
    char state_path[128];
    char uri[256];
    struct signer_options options;
    struct pin_latch latch;
    struct pin_latch second;
    bool has_second;
    struct error err;
} fixture;

static void write_pin(const char *pin)
{
    FILE *file = fopen(fixture.pin_path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    (void)fputs(pin, file);
    CU_ASSERT_EQUAL(fclose(file), 0);
}

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    (void)snprintf(fixture.directory, sizeof(fixture.directory), "/tmp/pin latch.XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(fixture.directory));
    (void)snprintf(fixture.pin_path, sizeof(fixture.pin_path), "%s/pin", fixture.directory);
    (void)snprintf(
        fixture.uri, sizeof(fixture.uri),
        "pkcs11:token=t;object=k?module-path=/m.so&pin-source=file:/tmp/pin%%20latch%s/pin",
        strchr(fixture.directory, '.'));
    fixture.options = (struct signer_options){ .name = "main", .uri = fixture.uri };
    write_pin(PIN);

    char name[BASE64URL_LENGTH(sizeof(struct digest))];
    const struct digest digest = sha256(fixture.pin_path, strlen(fixture.pin_path));
    (void)base64url_encode(name, digest.bytes, sizeof(digest.bytes));
    (void)snprintf(fixture.state_path, sizeof(fixture.state_path), "%s/pin-refused-%.16s",
                   fixture.directory, name);
    pin_latch_open(&fixture.latch, fixture.directory, fixture.options.uri);
}

static void open_again(const char *state_dir)
{
    pin_latch_close(&fixture.latch);
    pin_latch_open(&fixture.latch, state_dir, fixture.options.uri);
}

static struct pin_latch *open_second(const struct signer_options *options)
{
    pin_latch_open(&fixture.second, fixture.directory, options->uri);
    fixture.has_second = true;
    return &fixture.second;
}

static void tear_down(void)
{
    char other[128];

    pin_latch_close(&fixture.latch);
    if (fixture.has_second) {
        pin_latch_close(&fixture.second);
    }
    (void)snprintf(other, sizeof(other), "%s/other", fixture.directory);
    (void)remove(other);
    (void)remove(fixture.pin_path);
    (void)remove(fixture.state_path);
    CU_ASSERT_EQUAL(rmdir(fixture.directory), 0); /* nothing else was written */
}

static bool lock(struct pin_latch *latch)
{
    return pin_latch_lock(latch, -1, SHORT_MS, &fixture.err);
}

static bool holds(void)
{
    return pin_latch_holds(&fixture.latch);
}

/* What a signer finds that wants to try the PIN. */
static bool holds_for(struct pin_latch *latch)
{
    CU_ASSERT_TRUE_FATAL(lock(latch));
    const bool held = pin_latch_holds(latch);
    pin_latch_unlock(latch);
    return held;
}

static void set(void)
{
    CU_ASSERT_TRUE_FATAL(lock(&fixture.latch));
    pin_latch_set(&fixture.latch);
    pin_latch_unlock(&fixture.latch);
}

/* What another process, or we after a restart, find. */
static bool holds_after_a_restart(void)
{
    open_again(fixture.directory);
    return holds_for(&fixture.latch);
}

static void test_nothing_refused_holds_nothing(void)
{
    static const char *const directories[] = { fixture.directory, NULL, "/nonexistent" };
    for (size_t i = 0; i < COUNT_OF(directories); i++) {
        open_again(directories[i]);
        CU_ASSERT_FALSE(holds());
        CU_ASSERT_FALSE(holds_for(&fixture.latch));
    }
}

static void test_a_refused_pin_holds_here_and_across_a_restart(void)
{
    set();
    CU_ASSERT_TRUE(holds());
    CU_ASSERT_TRUE(holds());
    CU_ASSERT_TRUE(holds_after_a_restart());
    CU_ASSERT_TRUE(holds_after_a_restart());
}

static void test_reading_the_file_does_not_end_it(void)
{
    char pin[sizeof(PIN)] = { 0 };

    set();
    FILE *file = fopen(fixture.pin_path, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fread(pin, 1, sizeof(pin) - 1, file), sizeof(pin) - 1);
    (void)fclose(file);
    CU_ASSERT_TRUE(holds_after_a_restart());
}

static void test_a_rewritten_file_ends_it(void)
{
    set();
    (void)usleep(20000); /* the kernel's clock for files ticks every few milliseconds */
    write_pin("00000-secret-pin");
    CU_ASSERT_FALSE(holds());
    CU_ASSERT_FALSE(holds_after_a_restart());
}

static void test_a_replaced_file_ends_it(void)
{
    char other[128];

    set();
    (void)snprintf(other, sizeof(other), "%s/other", fixture.directory);
    CU_ASSERT_EQUAL(rename(fixture.pin_path, other), 0);
    write_pin(PIN); /* the same bytes, and still the operator's word */
    CU_ASSERT_FALSE(holds());
    CU_ASSERT_FALSE(holds_after_a_restart());
}

static void test_a_touched_file_ends_it(void)
{
    set();
    (void)usleep(20000);
    CU_ASSERT_EQUAL(utimensat(AT_FDCWD, fixture.pin_path, NULL, 0), 0);
    CU_ASSERT_FALSE(holds_after_a_restart());
}

static void test_a_file_with_its_old_times_put_back_ends_it(void)
{
    struct stat status;

    set();
    CU_ASSERT_EQUAL_FATAL(stat(fixture.pin_path, &status), 0);
    (void)usleep(20000);
    write_pin("00000-secret-pin"); /* as long as the first */
    const struct timespec times[] = { status.st_atim, status.st_mtim };
    CU_ASSERT_EQUAL(utimensat(AT_FDCWD, fixture.pin_path, times, 0), 0);
    CU_ASSERT_FALSE(holds_after_a_restart());
}

/* ---- who shares it ---- */

/* A credential of systemd's, made by only root; another file at every start of the service. */
static void write_credential(const char *path, const char *pin)
{
    (void)remove(path);
    FILE *file = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    (void)fputs(pin, file);
    CU_ASSERT_EQUAL(fclose(file), 0);
}

static bool is_held(const char *path)
{
    struct pin_latch latch;

    pin_latch_open_file(&latch, fixture.directory, path);
    const bool held = holds_for(&latch);
    pin_latch_close(&latch);
    return held;
}

static void test_a_credential_stays_refused_though_each_start_makes_it_anew(void)
{
    char path[64];
    char name[BASE64URL_LENGTH(sizeof(struct digest))];

    if (geteuid() != 0) {
        return;
    }
    (void)mkdir("/run/credentials", 0755);
    (void)snprintf(path, sizeof(path), "/run/credentials/issuerd-latch-%d", getpid());
    const struct digest digest = sha256(path, strlen(path));
    (void)base64url_encode(name, digest.bytes, sizeof(digest.bytes));
    (void)snprintf(fixture.state_path, sizeof(fixture.state_path), "%s/pin-refused-%.16s",
                   fixture.directory, name);

    write_credential(path, PIN);
    pin_latch_open_file(&fixture.second, fixture.directory, path);
    CU_ASSERT_TRUE_FATAL(lock(&fixture.second));
    pin_latch_set(&fixture.second);
    CU_ASSERT_PTR_NOT_NULL(strstr(pin_latch_hint(&fixture.second), "LoadCredential="));
    pin_latch_close(&fixture.second);

    write_credential(path, PIN);
    CU_ASSERT_TRUE(is_held(path));
    write_credential(path, "71942-secret-pinx");
    CU_ASSERT_FALSE(is_held(path));
    write_credential(path, PIN);
    CU_ASSERT_TRUE(is_held(path));
    CU_ASSERT_EQUAL(remove(fixture.state_path), 0); /* the operator's word */
    CU_ASSERT_FALSE(is_held(path));
    CU_ASSERT_EQUAL(remove(path), 0);
}

static void test_two_signers_of_one_pin_file_share_it(void)
{
    char uri[300];

    (void)snprintf(uri, sizeof(uri), "pkcs11:token=u%s", strchr(fixture.uri, ';'));
    const struct signer_options other = { .name = "other", .uri = uri };
    struct pin_latch *second = open_second(&other);
    CU_ASSERT_FALSE(holds_for(second));
    set();
    CU_ASSERT_TRUE(holds_for(second));
    pin_latch_close(&fixture.latch);
    pin_latch_open(&fixture.latch, NULL, other.uri); /* in memory alone */
    CU_ASSERT_TRUE(holds_for(&fixture.latch));
    (void)usleep(20000);
    write_pin("00000-right-pin");
    CU_ASSERT_FALSE(holds_for(&fixture.latch));
    CU_ASSERT_FALSE(holds_for(second));
}

static void test_a_pin_file_is_shared_by_its_path_as_well(void)
{
    set();
    pin_latch_open_file(&fixture.second, fixture.directory, fixture.pin_path);
    fixture.has_second = true;
    CU_ASSERT_TRUE(holds_for(&fixture.second));
}

static void test_another_pin_file_is_not_held_and_not_waited_for(void)
{
    char uri[300];

    (void)snprintf(uri, sizeof(uri), "%s-of-another", fixture.uri);
    fixture.options.uri = uri;
    struct pin_latch *second = open_second(&fixture.options);
    second->state_dir = NULL; /* leave nothing behind */
    CU_ASSERT_TRUE_FATAL(lock(&fixture.latch));
    CU_ASSERT_TRUE(lock(second));
    pin_latch_set(&fixture.latch);
    CU_ASSERT_FALSE(pin_latch_holds(second));
}

static void test_keys_without_a_pin_never_wait_for_each_other(void)
{
    const struct signer_options software = { .name = "soft", .uri = "file:/key.pem" };

    pin_latch_close(&fixture.latch);
    pin_latch_open(&fixture.latch, fixture.directory, software.uri);
    CU_ASSERT_TRUE(lock(&fixture.latch));
    CU_ASSERT_TRUE(lock(open_second(&software)));
}

/* ---- one at a time ---- */

static void test_the_lock_excludes_a_second_holder_until_it_is_closed(void)
{
    struct pin_latch *second = open_second(&fixture.options);

    CU_ASSERT_TRUE_FATAL(lock(&fixture.latch));
    CU_ASSERT_FALSE_FATAL(lock(second));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_DEVICE_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.err.message, "logging in with this PIN"));
    open_again(fixture.directory);
    CU_ASSERT_TRUE_FATAL(lock(second));
    CU_ASSERT_FALSE_FATAL(lock(&fixture.latch));
    pin_latch_unlock(second);
    CU_ASSERT_TRUE(lock(&fixture.latch));
}

static void test_without_a_state_directory_the_lock_excludes_within_the_process(void)
{
    open_again(NULL);
    struct pin_latch *second = open_second(&fixture.options);
    second->state_dir = NULL;
    CU_ASSERT_TRUE_FATAL(lock(second));
    CU_ASSERT_FALSE(lock(&fixture.latch));
}

/* A process that locks the latch, sets it if asked to, and stays. */
static pid_t start_holder(bool refused)
{
    int ready[2];
    char byte = 0;

    CU_ASSERT_EQUAL_FATAL(pipe(ready), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        struct error err;
        const bool locked = pin_latch_lock(&fixture.latch, -1, SHORT_MS, &err);
        if (refused) {
            pin_latch_set(&fixture.latch);
        }
        (void)!write(ready[1], locked ? "1" : "0", 1);
        for (;;) {
            (void)pause();
        }
    }
    CU_ASSERT_EQUAL(read(ready[0], &byte, 1), 1);
    CU_ASSERT_EQUAL(byte, '1');
    (void)close(ready[0]);
    (void)close(ready[1]);
    return pid;
}

static void end_holder(pid_t pid)
{
    CU_ASSERT_EQUAL(kill(pid, SIGKILL), 0);
    CU_ASSERT_EQUAL(waitpid(pid, NULL, 0), pid);
}

static void test_another_process_is_waited_for_until_it_dies(void)
{
    const pid_t pid = start_holder(false);
    const bool locked_beside_it = lock(&fixture.latch);
    end_holder(pid);
    CU_ASSERT_FALSE_FATAL(locked_beside_it);
    CU_ASSERT_FALSE(holds_for(&fixture.latch));
}

static void test_what_another_process_had_refused_is_seen_with_the_lock(void)
{
    CU_ASSERT_FALSE(holds_for(&fixture.latch));
    end_holder(start_holder(true));
    CU_ASSERT_TRUE(holds_for(&fixture.latch));
}

static void test_stop_ends_the_wait(void)
{
    struct pin_latch *second = open_second(&fixture.options);
    const int stop_fd = eventfd(1, EFD_CLOEXEC);
    const int64_t start_ns = monotonic_ns();

    CU_ASSERT_TRUE_FATAL(lock(second));
    CU_ASSERT_FALSE_FATAL(pin_latch_lock(&fixture.latch, stop_fd, -1, &fixture.err));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_SHUTTING_DOWN);
    CU_ASSERT_TRUE(monotonic_ns() - start_ns < NS_PER_S);
    (void)close(stop_fd);
}

/* ---- odd files ---- */

static void test_a_file_that_is_gone_stays_refused_until_there_is_one(void)
{
    char other[128];

    set();
    (void)snprintf(other, sizeof(other), "%s/other", fixture.directory);
    CU_ASSERT_EQUAL(rename(fixture.pin_path, other), 0);
    CU_ASSERT_TRUE(holds());
    CU_ASSERT_TRUE(holds_after_a_restart());
    (void)usleep(20000);
    write_pin("00000-right-pin");
    CU_ASSERT_FALSE(holds_after_a_restart());
}

static void test_a_pin_refused_from_a_file_that_is_gone_since_holds(void)
{
    CU_ASSERT_TRUE_FATAL(lock(&fixture.latch));
    CU_ASSERT_EQUAL(remove(fixture.pin_path), 0);
    pin_latch_set(&fixture.latch);
    CU_ASSERT_TRUE(holds());
    write_pin("00000-right-pin");
    CU_ASSERT_FALSE(holds());
}

static void test_an_empty_file_is_one_that_is_not_written_yet(void)
{
    set();
    (void)usleep(20000);
    write_pin("");
    CU_ASSERT_TRUE(holds_after_a_restart());
    write_pin("00000-right-pin");
    CU_ASSERT_FALSE(holds_after_a_restart());
}

static void test_a_file_that_changes_while_it_is_tried_is_tried_again(void)
{
    CU_ASSERT_TRUE_FATAL(lock(&fixture.latch));
    (void)usleep(20000);
    write_pin("00000-right-pin");
    pin_latch_set(&fixture.latch);
    CU_ASSERT_FALSE(holds());
    CU_ASSERT_FALSE(holds_after_a_restart());
}

static void test_a_uri_without_pin_source_stays_refused(void)
{
    fixture.options.uri = "pkcs11:token=t;object=k?module-path=/m.so";
    open_again(fixture.directory);
    set();
    CU_ASSERT_TRUE(holds());
}

static void test_without_a_state_directory_it_holds_in_memory(void)
{
    open_again(NULL);
    set();
    CU_ASSERT_TRUE(holds());
    (void)usleep(20000);
    write_pin("00000-right-pin");
    CU_ASSERT_FALSE(holds());
}

static void test_a_state_directory_that_cannot_be_written_still_holds_in_memory(void)
{
    open_again("/proc");
    set();
    CU_ASSERT_TRUE(holds());
    (void)usleep(20000);
    write_pin("00000-right-pin");
    CU_ASSERT_FALSE(holds());
}

static void test_a_newer_refusal_replaces_the_older(void)
{
    set();
    (void)usleep(20000);
    write_pin("00000-wrong-again");
    CU_ASSERT_FALSE(holds());
    set();
    CU_ASSERT_TRUE(holds_after_a_restart());
}

static void test_a_state_file_that_was_tampered_with_holds_nothing(void)
{
    FILE *file = fopen(fixture.state_path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    for (int i = 0; i < 10000; i++) {
        (void)fputc('x', file);
    }
    (void)fclose(file);
    CU_ASSERT_FALSE(holds_after_a_restart());
}

static void test_what_is_kept_is_private_and_says_nothing_of_the_pin(void)
{
    char kept[256] = { 0 };
    struct stat status;

    set();
    CU_ASSERT_EQUAL_FATAL(stat(fixture.state_path, &status), 0);
    CU_ASSERT_EQUAL(status.st_mode & 0777, 0600);
    FILE *file = fopen(fixture.state_path, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_TRUE(fread(kept, 1, sizeof(kept) - 1, file) > 0);
    (void)fclose(file);
    CU_ASSERT_EQUAL(strlen(kept), 43);
    CU_ASSERT_PTR_NULL(strstr(kept, "71942"));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "nothing refused holds nothing", test_nothing_refused_holds_nothing },
        { "a refused PIN holds here and across a restart",
          test_a_refused_pin_holds_here_and_across_a_restart },
        { "reading the file does not end it", test_reading_the_file_does_not_end_it },
        { "a rewritten file ends it", test_a_rewritten_file_ends_it },
        { "a replaced file ends it", test_a_replaced_file_ends_it },
        { "a touched file ends it", test_a_touched_file_ends_it },
        { "a file with its old times put back ends it",
          test_a_file_with_its_old_times_put_back_ends_it },
        { "a credential stays refused though each start makes it anew",
          test_a_credential_stays_refused_though_each_start_makes_it_anew },
        { "two signers of one PIN file share it", test_two_signers_of_one_pin_file_share_it },
        { "a PIN file is shared by its path as well",
          test_a_pin_file_is_shared_by_its_path_as_well },
        { "another PIN file is not held and not waited for",
          test_another_pin_file_is_not_held_and_not_waited_for },
        { "keys without a PIN never wait for each other",
          test_keys_without_a_pin_never_wait_for_each_other },
        { "the lock excludes a second holder until it is closed",
          test_the_lock_excludes_a_second_holder_until_it_is_closed },
        { "without a state directory the lock excludes within the process",
          test_without_a_state_directory_the_lock_excludes_within_the_process },
        { "another process is waited for until it dies",
          test_another_process_is_waited_for_until_it_dies },
        { "what another process had refused is seen with the lock",
          test_what_another_process_had_refused_is_seen_with_the_lock },
        { "stop ends the wait", test_stop_ends_the_wait },
        { "an empty file is one that is not written yet",
          test_an_empty_file_is_one_that_is_not_written_yet },
        { "a file that changes while it is tried is tried again",
          test_a_file_that_changes_while_it_is_tried_is_tried_again },
        { "a file that is gone stays refused until there is one",
          test_a_file_that_is_gone_stays_refused_until_there_is_one },
        { "a PIN refused from a file that is gone since holds",
          test_a_pin_refused_from_a_file_that_is_gone_since_holds },
        { "a URI without pin-source stays refused", test_a_uri_without_pin_source_stays_refused },
        { "without a state directory it holds in memory",
          test_without_a_state_directory_it_holds_in_memory },
        { "a state directory that cannot be written still holds in memory",
          test_a_state_directory_that_cannot_be_written_still_holds_in_memory },
        { "a newer refusal replaces the older", test_a_newer_refusal_replaces_the_older },
        { "a state file that was tampered with holds nothing",
          test_a_state_file_that_was_tampered_with_holds_nothing },
        { "what is kept is private and says nothing of the PIN",
          test_what_is_kept_is_private_and_says_nothing_of_the_pin },
        CU_TEST_INFO_NULL,
    };
    return run_suite("PIN latch", set_up, tear_down, tests);
}

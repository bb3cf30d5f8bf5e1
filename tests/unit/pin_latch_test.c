/* "This PIN was refused": what is remembered, how long, and what ends it. */
#include "hsm/pin_latch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/run.h"

static const char PIN[] = "71942-secret-pin";

static struct {
    char directory[64];
    char pin_path[96];
    char state_path[128];
    char uri[256];
    struct signer_options options;
    struct pin_latch latch;
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
    (void)snprintf(fixture.state_path, sizeof(fixture.state_path), "%s/signer-main.pin-refused",
                   fixture.directory);
    (void)snprintf(
        fixture.uri, sizeof(fixture.uri),
        "pkcs11:token=t;object=k?module-path=/m.so&pin-source=file:/tmp/pin%%20latch%s/pin",
        strchr(fixture.directory, '.'));
    fixture.options = (struct signer_options){ .name = "main", .uri = fixture.uri };
    write_pin(PIN);
}

static void tear_down(void)
{
    char other[128];
    (void)snprintf(other, sizeof(other), "%s/other", fixture.directory);
    (void)remove(other);
    (void)remove(fixture.pin_path);
    (void)remove(fixture.state_path);
    (void)rmdir(fixture.directory);
}

static bool holds(void)
{
    return pin_latch_holds(&fixture.latch, &fixture.options);
}

static void set(void)
{
    pin_latch_set(&fixture.latch, fixture.directory, &fixture.options);
}

/* What another process, or we after a restart, find. */
static bool holds_after_a_restart(void)
{
    memset(&fixture.latch, 0x5a, sizeof(fixture.latch));
    pin_latch_load(&fixture.latch, fixture.directory, &fixture.options);
    return holds();
}

static void test_nothing_refused_holds_nothing(void)
{
    pin_latch_load(&fixture.latch, fixture.directory, &fixture.options);
    CU_ASSERT_FALSE(holds());
    pin_latch_load(&fixture.latch, NULL, &fixture.options);
    CU_ASSERT_FALSE(holds());
    pin_latch_load(&fixture.latch, "/nonexistent", &fixture.options);
    CU_ASSERT_FALSE(holds());
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

static void test_another_uri_ends_it(void)
{
    char uri[300];

    set();
    (void)snprintf(uri, sizeof(uri), "pkcs11:token=u%s", strchr(fixture.uri, ';'));
    fixture.options.uri = uri;
    CU_ASSERT_FALSE(holds());
    CU_ASSERT_FALSE(holds_after_a_restart());
    fixture.options.uri = fixture.uri;
    CU_ASSERT_TRUE(holds_after_a_restart());
}

static void test_another_signer_is_not_held(void)
{
    set();
    fixture.options.name = "other";
    CU_ASSERT_FALSE(holds_after_a_restart());
}

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
    CU_ASSERT_EQUAL(remove(fixture.pin_path), 0);
    set();
    CU_ASSERT_TRUE(holds());
    write_pin("00000-right-pin");
    CU_ASSERT_FALSE(holds());
}

static void test_a_uri_without_pin_source_stays_refused(void)
{
    fixture.options.uri = "pkcs11:token=t;object=k?module-path=/m.so";
    set();
    CU_ASSERT_TRUE(holds());
}

static void test_without_a_state_directory_it_holds_in_memory(void)
{
    pin_latch_set(&fixture.latch, NULL, &fixture.options);
    CU_ASSERT_TRUE(holds());
    (void)usleep(20000);
    write_pin("00000-right-pin");
    CU_ASSERT_FALSE(holds());
}

static void test_a_state_directory_that_cannot_be_written_still_holds_in_memory(void)
{
    pin_latch_set(&fixture.latch, "/proc", &fixture.options);
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
        { "another URI ends it", test_another_uri_ends_it },
        { "another signer is not held", test_another_signer_is_not_held },
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

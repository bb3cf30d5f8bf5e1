/* Secrets from files: what is read, and every file that must not be trusted. */
#include "base/secret.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/run.h"

static struct {
    char directory[64];
    char path[96];
    char other[96];
    struct secret secret;
    struct error err;
} fixture;

static void make_directory(void)
{
    memset(&fixture, 0, sizeof(fixture));
    (void)strcpy(fixture.directory, "/tmp/secret_test.XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(fixture.directory));
    (void)snprintf(fixture.path, sizeof(fixture.path), "%s/secret", fixture.directory);
    (void)snprintf(fixture.other, sizeof(fixture.other), "%s/other", fixture.directory);
}

static void remove_directory(void)
{
    secret_clear(&fixture.secret);
    (void)remove(fixture.path);
    (void)remove(fixture.other);
    (void)rmdir(fixture.directory);
}

static void write_file(const char *bytes, size_t length, mode_t mode)
{
    (void)remove(fixture.path);
    const int fd = open(fixture.path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    CU_ASSERT_TRUE_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(write(fd, bytes, length), (ssize_t)length);
    CU_ASSERT_EQUAL(fchmod(fd, mode), 0);
    close(fd);
}

static bool reads(void)
{
    return secret_read(fixture.path, &fixture.secret, &fixture.err);
}

/* Refused with and without reading, and the error says where. */
static void assert_refused(const char *reason)
{
    CU_ASSERT_FALSE(secret_check_file(fixture.path, &fixture.err));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.err.message, reason));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.err.message, fixture.path));
    CU_ASSERT_FALSE(reads());
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CONFIG);
}

static void test_a_private_file_is_read(void)
{
    write_file("1234", 4, 0600);
    CU_ASSERT_TRUE(secret_check_file(fixture.path, &fixture.err));
    CU_ASSERT_TRUE(reads());
    CU_ASSERT_EQUAL(fixture.secret.length, 4);
    CU_ASSERT_STRING_EQUAL(fixture.secret.text, "1234");
    write_file("5678", 4, 0400);
    CU_ASSERT_TRUE(reads());
    CU_ASSERT_STRING_EQUAL(fixture.secret.text, "5678");
}

static void test_one_trailing_newline_is_left_out(void)
{
    write_file("1234\n", 5, 0600);
    CU_ASSERT_TRUE(reads());
    CU_ASSERT_STRING_EQUAL(fixture.secret.text, "1234");
    write_file(" 12\n34 \n\n", 9, 0600);
    CU_ASSERT_TRUE(reads());
    CU_ASSERT_STRING_EQUAL(fixture.secret.text, " 12\n34 \n");
}

static void test_the_longest_secret_is_read_and_no_longer_one(void)
{
    char bytes[SECRET_MAX + 2];
    memset(bytes, 'x', sizeof(bytes));

    write_file(bytes, SECRET_MAX, 0600);
    CU_ASSERT_TRUE(reads());
    CU_ASSERT_EQUAL(fixture.secret.length, SECRET_MAX);
    write_file(bytes, SECRET_MAX + 1, 0600);
    CU_ASSERT_FALSE(reads());
    write_file(bytes, SECRET_MAX + 2, 0600);
    assert_refused("1 to 257 are expected");
    bytes[SECRET_MAX] = '\n';
    write_file(bytes, SECRET_MAX + 1, 0600);
    CU_ASSERT_TRUE(reads());
    CU_ASSERT_EQUAL(fixture.secret.length, SECRET_MAX);
    CU_ASSERT_EQUAL(strlen(fixture.secret.text), SECRET_MAX);
}

static void test_an_empty_file_is_refused(void)
{
    write_file("", 0, 0600);
    assert_refused("0 bytes");
    write_file("\n", 1, 0600);
    CU_ASSERT_FALSE(reads());
}

static void test_a_nul_byte_is_refused(void)
{
    write_file("12\0"
               "34",
               5, 0600);
    CU_ASSERT_FALSE(reads());
}

static void test_a_file_open_to_others_is_refused(void)
{
    static const mode_t MODES[] = { 0640, 0604, 0660, 0602, 0610, 0601, 0644, 0666, 0777 };
    for (size_t i = 0; i < sizeof(MODES) / sizeof(MODES[0]); i++) {
        write_file("1234", 4, MODES[i]);
        assert_refused("chmod 600");
    }
}

/* Where only systemd, and root, can put one. */
static void test_a_credential_may_show_its_access_list(void)
{
    static const mode_t REFUSED[] = { 0460, 0450, 0444, 0640 | 0001 };

    if (geteuid() != 0) {
        return;
    }
    (void)mkdir("/run/credentials", 0755);
    (void)snprintf(fixture.path, sizeof(fixture.path), "/run/credentials/issuerd-test-%d",
                   getpid());
    write_file("1234", 4, 0440);
    CU_ASSERT_TRUE(reads());
    for (size_t i = 0; i < sizeof(REFUSED) / sizeof(REFUSED[0]); i++) {
        write_file("1234", 4, REFUSED[i]);
        assert_refused("chmod 600");
    }
    write_file("1234", 4, 0440);
    CU_ASSERT_EQUAL(chown(fixture.path, 0, 12345), 0);
    assert_refused("chmod 600");
}

static void test_a_credential_that_is_not_there_is_missed_by_its_service_alone(void)
{
    struct error err;

    (void)unsetenv("CREDENTIALS_DIRECTORY");
    CU_ASSERT_TRUE(secret_check_file("/run/credentials/issuerd-test.service/pin", &err));
    (void)setenv("CREDENTIALS_DIRECTORY", "/run/credentials/issuerd-test.service", 1);
    CU_ASSERT_FALSE(secret_check_file("/run/credentials/issuerd-test.service/pin", &err));
    (void)unsetenv("CREDENTIALS_DIRECTORY");
    CU_ASSERT_FALSE(secret_check_file("/nowhere/pin", &err));
}

static void test_a_file_of_another_user_is_refused(void)
{
    write_file("1234", 4, 0600);
    if (geteuid() != 0) {
        return; /* only root can make one */
    }
    CU_ASSERT_EQUAL(chown(fixture.path, 12345, 12345), 0);
    assert_refused("belongs to uid 12345");
}

static void test_a_missing_file_is_refused(void)
{
    assert_refused("cannot be opened");
    CU_ASSERT_STRING_EQUAL(fixture.err.cause.library, "os");
}

static void test_a_directory_is_refused(void)
{
    CU_ASSERT_EQUAL(mkdir(fixture.path, 0700), 0);
    assert_refused("not a regular file");
}

static void test_a_fifo_is_refused_without_waiting_for_its_writer(void)
{
    CU_ASSERT_EQUAL(mkfifo(fixture.path, 0600), 0);
    assert_refused("not a regular file");
}

static void test_a_device_is_refused(void)
{
    CU_ASSERT_EQUAL(symlink("/dev/zero", fixture.path), 0);
    assert_refused("not a regular file");
}

static void test_a_symbolic_link_is_judged_by_what_it_leads_to(void)
{
    write_file("1234", 4, 0600);
    CU_ASSERT_EQUAL(rename(fixture.path, fixture.other), 0);
    CU_ASSERT_EQUAL(symlink("other", fixture.path), 0);
    CU_ASSERT_TRUE(reads());
    CU_ASSERT_STRING_EQUAL(fixture.secret.text, "1234");
    CU_ASSERT_EQUAL(chmod(fixture.other, 0644), 0);
    assert_refused("chmod 600");
    CU_ASSERT_EQUAL(remove(fixture.other), 0);
    assert_refused("cannot be opened");
}

static void test_a_cleared_secret_is_gone(void)
{
    static const char NOTHING[SECRET_MAX + 1];

    write_file("1234", 4, 0600);
    CU_ASSERT_TRUE(reads());
    secret_clear(&fixture.secret);
    CU_ASSERT_EQUAL(memcmp(fixture.secret.text, NOTHING, sizeof(NOTHING)), 0);
    CU_ASSERT_EQUAL(fixture.secret.length, 0);
}

static void test_a_key_file_is_read_whole_under_the_same_rules(void)
{
    struct secret_key_file file;
    static char longest[SECRET_KEY_FILE_MAX + 1];

    write_file("-----BEGIN\n", 11, 0600);
    CU_ASSERT_TRUE(secret_read_key_file(fixture.path, &file, &fixture.err));
    CU_ASSERT_STRING_EQUAL(file.text, "-----BEGIN\n");
    CU_ASSERT_EQUAL(file.length, 11);
    secret_key_file_clear(&file);
    CU_ASSERT_EQUAL(file.text[0], '\0');
    CU_ASSERT_EQUAL(chmod(fixture.path, 0640), 0);
    CU_ASSERT_FALSE(secret_read_key_file(fixture.path, &file, &fixture.err));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.err.message, "chmod 600"));
    memset(longest, 'x', sizeof(longest));
    write_file(longest, SECRET_KEY_FILE_MAX, 0600);
    CU_ASSERT_TRUE(secret_read_key_file(fixture.path, &file, &fixture.err));
    CU_ASSERT_EQUAL(file.length, SECRET_KEY_FILE_MAX);
    write_file(longest, SECRET_KEY_FILE_MAX + 1, 0600);
    CU_ASSERT_FALSE(secret_read_key_file(fixture.path, &file, &fixture.err));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a private file is read", test_a_private_file_is_read },
        { "one trailing newline is left out", test_one_trailing_newline_is_left_out },
        { "the longest secret is read and no longer one",
          test_the_longest_secret_is_read_and_no_longer_one },
        { "an empty file is refused", test_an_empty_file_is_refused },
        { "a NUL byte is refused", test_a_nul_byte_is_refused },
        { "a file open to others is refused", test_a_file_open_to_others_is_refused },
        { "a credential may show its access list", test_a_credential_may_show_its_access_list },
        { "a credential that is not there is missed by its service alone",
          test_a_credential_that_is_not_there_is_missed_by_its_service_alone },
        { "a file of another user is refused", test_a_file_of_another_user_is_refused },
        { "a missing file is refused", test_a_missing_file_is_refused },
        { "a directory is refused", test_a_directory_is_refused },
        { "a FIFO is refused without waiting for its writer",
          test_a_fifo_is_refused_without_waiting_for_its_writer },
        { "a device is refused", test_a_device_is_refused },
        { "a symbolic link is judged by what it leads to",
          test_a_symbolic_link_is_judged_by_what_it_leads_to },
        { "a key file is read whole, under the same rules",
          test_a_key_file_is_read_whole_under_the_same_rules },
        { "a cleared secret is gone", test_a_cleared_secret_is_gone },
        CU_TEST_INFO_NULL,
    };
    return run_suite("secret", make_directory, remove_directory, tests);
}

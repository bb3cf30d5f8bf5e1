/* What the file: provider refuses. Run by tests/support/with_software.sh. */
#include "hsm/key_provider.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/memory.h"
#include "support/run.h"

static struct {
    struct device_key *key;
    struct error err;
    EVP_PKEY *made;
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
}

static void tear_down(void)
{
    if (fixture.key != NULL) {
        software_provider.close(take(fixture.key));
    }
    EVP_PKEY_free(fixture.made);
}

struct path {
    char text[512];
};

static struct path in_dir(const char *name)
{
    struct path path;
    (void)snprintf(path.text, sizeof(path.text), "%s/%s", getenv("TEST_DIR"), name);
    return path;
}

static void write_key(const char *name, const char *passphrase, mode_t mode)
{
    FILE *file = fopen(in_dir(name).text, "w");
    (void)PEM_write_PKCS8PrivateKey(file, fixture.made,
                                    passphrase == NULL ? NULL : EVP_aes_256_cbc(), passphrase,
                                    passphrase == NULL ? 0 : (int)strlen(passphrase), NULL, NULL);
    fclose(file);
    (void)chmod(in_dir(name).text, mode);
}

static bool is_refused(const char *name, enum error_code code, const char *words)
{
    char uri[600];
    (void)snprintf(uri, sizeof(uri), "file:%s", in_dir(name).text);
    const struct key_options options = { .uri = uri, .sessions = 1 };

    const bool opened = software_provider.open(&options, &fixture.key, &fixture.err);
    const struct error_line line = error_line(&fixture.err);
    const bool good = !opened && fixture.err.code == code && strstr(line.text, words) != NULL;
    if (!good) {
        fprintf(stderr, "\n%s: %s\n", uri, opened ? "opened" : line.text);
    }
    return good;
}

static void test_a_key_file_that_others_can_read_is_refused(void)
{
    fixture.made = EVP_EC_gen("P-256");
    write_key("shared.pem", NULL, 0640);
    CU_ASSERT_TRUE(is_refused("shared.pem", ERROR_CONFIG, "chmod 600"));
}

static void test_a_key_behind_a_passphrase_is_refused_and_nobody_is_asked(void)
{
    fixture.made = EVP_EC_gen("P-256");
    write_key("locked.pem", "passphrase", 0600);
    CU_ASSERT_TRUE(is_refused("locked.pem", ERROR_KEY_NOT_FOUND, "passphrase"));
}

static void test_a_file_that_holds_no_key_is_refused(void)
{
    FILE *file = fopen(in_dir("text.pem").text, "w");
    fputs("not a key\n", file);
    fclose(file);
    CU_ASSERT_TRUE(is_refused("text.pem", ERROR_KEY_NOT_FOUND, "no private key"));
    CU_ASSERT_TRUE(is_refused("", ERROR_CONFIG, "regular file"));
}

static void test_a_key_of_another_kind_is_refused(void)
{
    fixture.made = EVP_EC_gen("P-521");
    write_key("p521.pem", NULL, 0600);
    CU_ASSERT_TRUE(is_refused("p521.pem", ERROR_KEY_POLICY, "p521.pem"));
    EVP_PKEY_free(fixture.made);
    fixture.made = EVP_PKEY_Q_keygen(NULL, NULL, "ED448");
    write_key("ed448.pem", NULL, 0600);
    CU_ASSERT_TRUE(is_refused("ed448.pem", ERROR_KEY_POLICY, "ed448.pem"));
    EVP_PKEY_free(fixture.made);
    fixture.made = EVP_RSA_gen(1024);
    write_key("small.pem", NULL, 0600);
    CU_ASSERT_TRUE(is_refused("small.pem", ERROR_KEY_POLICY, "1024"));
}

static void test_a_relative_path_is_refused(void)
{
    const struct key_options options = { .uri = "file:key.pem", .sessions = 1 };
    CU_ASSERT_FALSE(software_provider.open(&options, &fixture.key, &fixture.err));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CONFIG);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a key file that others can read is refused",
          test_a_key_file_that_others_can_read_is_refused },
        { "a key behind a passphrase is refused and nobody is asked",
          test_a_key_behind_a_passphrase_is_refused_and_nobody_is_asked },
        { "a file that holds no key is refused", test_a_file_that_holds_no_key_is_refused },
        { "a key of another kind is refused", test_a_key_of_another_kind_is_refused },
        { "a relative path is refused", test_a_relative_path_is_refused },
        CU_TEST_INFO_NULL,
    };
    return run_suite("software refusals", set_up, tear_down, tests);
}

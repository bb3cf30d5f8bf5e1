/* The programs on the command line: issuerctl's commands and refusals, issuerd --check-config. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "base/memory.h"
#include "support/instance.h"
#include "support/program.h"
#include "support/run.h"

enum { DONE = 0, USAGE = 64, UNAVAILABLE = 69, CONFIG = 78, RUN_S = 60, WORDS_MAX = 16 };

static struct {
    struct instance *instance;
    cJSON *json;
    char kid[64];
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.instance = instance_new(NULL);
    instance_write_conf(fixture.instance);
}

static void tear_down(void)
{
    cJSON_Delete(take(fixture.json));
    instance_free(take(fixture.instance));
}

/* issuerctl --config FILE with these words, up to a NULL. */
__attribute__((sentinel)) static const struct program_result *ctl(const char *first, ...)
{
    const char *argv[WORDS_MAX] = { "issuerctl", "--config", instance_conf_path(fixture.instance) };
    size_t count = 3;
    va_list words;

    va_start(words, first);
    for (const char *word = first; word != NULL && count < WORDS_MAX - 1;
         word = va_arg(words, const char *)) {
        argv[count++] = word;
    }
    va_end(words);
    return program_run(argv, RUN_S);
}

__attribute__((sentinel)) static const struct program_result *run(const char *program, ...)
{
    const char *argv[WORDS_MAX] = { program };
    size_t count = 1;
    va_list words;

    va_start(words, program);
    for (const char *word; (word = va_arg(words, const char *)) != NULL && count < WORDS_MAX - 1;) {
        argv[count++] = word;
    }
    va_end(words);
    return program_run(argv, RUN_S);
}

/* The signer's key is now the object of this name, of the test's token or another one. */
static void use_key(const char *token, const char *object)
{
    instance_set(fixture.instance, "signer main.uri=pkcs11:token=%s;object=%s%s", token, object,
                 strchr(getenv("TEST_KEY_URI"), '?'));
    instance_write_conf(fixture.instance);
}

static const char *so_pin_path(void)
{
    static char path[1024];
    (void)snprintf(path, sizeof(path), "%s/so-pin", getenv("TEST_DIR"));
    return path;
}

static void write_conf(const char *text)
{
    FILE *file = fopen(instance_conf_path(fixture.instance), "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

/* ---- keys list ---- */

/* The first entry of keys list --json, whatever its status. */
static const cJSON *list_json(int status)
{
    const struct program_result *result = ctl("keys", "list", "--json", NULL);

    CU_ASSERT_EQUAL_FATAL(result->status, status);
    cJSON_Delete(fixture.json);
    fixture.json = cJSON_Parse(result->output);
    CU_ASSERT_TRUE_FATAL(cJSON_IsArray(fixture.json));
    return cJSON_GetArrayItem(fixture.json, 0);
}

static const char *member(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    return text;
}

static void test_keys_are_listed_for_people_and_for_machines(void)
{
    const cJSON *entry = list_json(DONE);

    CU_ASSERT_EQUAL(cJSON_GetArraySize(fixture.json), 1);
    CU_ASSERT_STRING_EQUAL(member(entry, "signer"), "main");
    CU_ASSERT_STRING_EQUAL(member(entry, "algorithm"), "ES256");
    CU_ASSERT_EQUAL(strlen(member(entry, "kid")), 43);
    CU_ASSERT_PTR_NOT_NULL(strstr(member(entry, "key"), "issuerd test"));
    const cJSON *jwk = cJSON_GetObjectItemCaseSensitive(entry, "jwk");
    CU_ASSERT_STRING_EQUAL(member(jwk, "kid"), member(entry, "kid"));
    CU_ASSERT_STRING_EQUAL(member(jwk, "kty"), "EC");
    CU_ASSERT_FALSE(cJSON_HasObjectItem(jwk, "d"));

    (void)snprintf(fixture.kid, sizeof(fixture.kid), "%s", member(entry, "kid"));
    const struct program_result *result = ctl("keys", "list", NULL);
    CU_ASSERT_TRUE(program_ended(result, DONE, fixture.kid));
    CU_ASSERT_TRUE(program_ended(result, DONE, "main"));
    CU_ASSERT_STRING_EQUAL(result->errors, "");
}

static void test_a_key_that_is_not_there_is_listed_with_its_error(void)
{
    use_key("issuerd%20test", "missing");
    CU_ASSERT_TRUE(program_ended(ctl("keys", "list", NULL), UNAVAILABLE, "missing"));
    const cJSON *entry = list_json(UNAVAILABLE);
    CU_ASSERT_STRING_EQUAL(member(entry, "signer"), "main");
    CU_ASSERT_PTR_NOT_NULL(strstr(member(entry, "error"), "missing"));
    CU_ASSERT_FALSE(cJSON_HasObjectItem(entry, "kid"));
}

static void test_a_good_key_is_listed_beside_one_that_is_missing(void)
{
    instance_set(fixture.instance, "signer other.uri=pkcs11:token=issuerd%%20test;object=missing%s",
                 strchr(getenv("TEST_KEY_URI"), '?'));
    instance_set(fixture.instance, "signer other.setenv=SOFTHSM2_CONF=%s", getenv("SOFTHSM2_CONF"));
    instance_write_conf(fixture.instance);
    (void)list_json(UNAVAILABLE);
    CU_ASSERT_EQUAL(cJSON_GetArraySize(fixture.json), 2);
    CU_ASSERT_TRUE(cJSON_HasObjectItem(cJSON_GetArrayItem(fixture.json, 0), "kid"));
    CU_ASSERT_TRUE(cJSON_HasObjectItem(cJSON_GetArrayItem(fixture.json, 1), "error"));
}

/* ---- keys generate ---- */

static void test_a_key_is_generated_once(void)
{
    use_key("issuerd%20test", "made-once");
    CU_ASSERT_TRUE(program_ended(ctl("keys", "generate", "main", NULL), DONE, "ES256"));
    (void)snprintf(fixture.kid, sizeof(fixture.kid), "%s", member(list_json(DONE), "kid"));
    CU_ASSERT_TRUE(program_ended(ctl("keys", "generate", "main", NULL), UNAVAILABLE, "made-once"));
    CU_ASSERT_STRING_EQUAL(member(list_json(DONE), "kid"), fixture.kid);
}

static void test_a_key_is_of_the_algorithm_and_size_asked_for(void)
{
    use_key("issuerd%20test", "made-rsa");
    CU_ASSERT_TRUE(program_ended(
        ctl("keys", "generate", "main", "--algorithm", "PS256", "--rsa-bits", "2048", NULL), DONE,
        "PS256"));
    const cJSON *jwk = cJSON_GetObjectItemCaseSensitive(list_json(DONE), "jwk");
    CU_ASSERT_STRING_EQUAL(member(jwk, "kty"), "RSA");
    CU_ASSERT_EQUAL(strlen(member(jwk, "n")), 342); /* 256 bytes */
}

static void test_an_algorithm_or_size_that_is_not_offered_is_refused(void)
{
    static const char *const algorithms[] = {
        "HS256", "none", "es256", "ES256K", "ES256ES256", ""
    };
    static const char *const sizes[] = { "1024", "2047", "8192", "-1", "0", "x", "2048x", "" };

    use_key("issuerd%20test", "never-made");
    for (size_t i = 0; i < COUNT_OF(algorithms); i++) {
        CU_ASSERT_TRUE(
            program_ended(ctl("keys", "generate", "main", "--algorithm", algorithms[i], NULL),
                          USAGE, "algorithm"));
    }
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        CU_ASSERT_TRUE(program_ended(
            ctl("keys", "generate", "main", "--algorithm", "RS256", "--rsa-bits", sizes[i], NULL),
            USAGE, "rsa-bits"));
    }
    CU_ASSERT_EQUAL(ctl("keys", "list", NULL)->status, UNAVAILABLE);
}

static void test_a_signer_that_the_configuration_does_not_have_is_refused(void)
{
    CU_ASSERT_TRUE(
        program_ended(ctl("keys", "generate", "nobody", NULL), CONFIG, "[signer nobody]"));
    CU_ASSERT_TRUE(
        program_ended(ctl("token", "init", "nobody", "--so-pin-file", so_pin_path(), NULL), CONFIG,
                      "[signer nobody]"));
}

/* ---- token init ---- */

static void test_a_token_is_initialised_once(void)
{
    use_key("made-by-ctl", "key");
    CU_ASSERT_TRUE(
        program_ended(ctl("keys", "generate", "main", NULL), UNAVAILABLE, "made-by-ctl"));
    CU_ASSERT_TRUE(program_ended(ctl("token", "init", "main", "--so-pin-file", so_pin_path(), NULL),
                                 DONE, "initialised"));
    CU_ASSERT_TRUE(program_ended(ctl("keys", "generate", "main", NULL), DONE, "made-by-ctl"));
    (void)snprintf(fixture.kid, sizeof(fixture.kid), "%s", member(list_json(DONE), "kid"));
    CU_ASSERT_TRUE(program_ended(ctl("token", "init", "main", "--so-pin-file", so_pin_path(), NULL),
                                 UNAVAILABLE, "made-by-ctl"));
    CU_ASSERT_STRING_EQUAL(member(list_json(DONE), "kid"), fixture.kid); /* it was not wiped */
}

static void test_a_token_is_not_initialised_without_the_officers_pin(void)
{
    use_key("never-made", "key");
    CU_ASSERT_TRUE(program_ended(ctl("token", "init", "main", NULL), USAGE, "--so-pin-file"));
    CU_ASSERT_TRUE(
        program_ended(ctl("token", "init", "main", "--so-pin-file", "/nonexistent", NULL), CONFIG,
                      "/nonexistent"));
    CU_ASSERT_TRUE(program_ended(ctl("keys", "generate", "main", NULL), UNAVAILABLE, "never-made"));
}

/* ---- arguments and configuration ---- */

static void test_wrong_arguments_are_refused(void)
{
    CU_ASSERT_TRUE(program_ended(run("issuerctl", NULL), USAGE, "Usage"));
    CU_ASSERT_TRUE(program_ended(run("issuerctl", "keys", "list", NULL), USAGE, "--config"));
    CU_ASSERT_TRUE(
        program_ended(run("issuerctl", "--config", NULL), USAGE, "requires an argument"));
    CU_ASSERT_TRUE(program_ended(run("issuerctl", "--nonsense", NULL), USAGE, "nonsense"));
    CU_ASSERT_EQUAL(ctl("keys", NULL)->status, USAGE);
    CU_ASSERT_EQUAL(ctl("keys", "generate", NULL)->status, USAGE);
    CU_ASSERT_EQUAL(ctl("keys", "list", "main", NULL)->status, USAGE);
    CU_ASSERT_EQUAL(ctl("keys", "steal", "main", NULL)->status, USAGE);
    CU_ASSERT_EQUAL(ctl("token", "init", NULL)->status, USAGE);
    CU_ASSERT_EQUAL(ctl("a", "b", "c", "d", "e", NULL)->status, USAGE);

    CU_ASSERT_TRUE(program_ended(run("issuerd", NULL), USAGE, "--config"));
    CU_ASSERT_TRUE(
        program_ended(run("issuerd", "--check-config", NULL), USAGE, "requires an argument"));
    CU_ASSERT_TRUE(program_ended(run("issuerd", "--nonsense", NULL), USAGE, "nonsense"));
    CU_ASSERT_EQUAL(
        run("issuerd", "--config", instance_conf_path(fixture.instance), "word", NULL)->status,
        USAGE);
}

static void test_help_and_version_are_told(void)
{
    CU_ASSERT_TRUE(program_ended(run("issuerd", "--help", NULL), DONE, "--config"));
    CU_ASSERT_TRUE(program_ended(run("issuerd", "--version", NULL), DONE, "issuerd "));
    CU_ASSERT_TRUE(program_ended(run("issuerd", "--settings", NULL), DONE, "client_secret_file"));
    CU_ASSERT_TRUE(program_ended(run("issuerctl", "--help", NULL), DONE, "keys generate"));
    CU_ASSERT_TRUE(program_ended(run("issuerctl", "--version", NULL), DONE, "issuerctl "));
}

static void test_the_signer_is_not_for_a_shell(void)
{
    CU_ASSERT_TRUE(program_ended(run("issuerd-signer", NULL), USAGE, "issuerd"));
}

static void test_a_good_configuration_is_called_good(void)
{
    const char *path = instance_conf_path(fixture.instance);
    CU_ASSERT_TRUE(program_ended(run("issuerd", "--check-config", path, NULL), DONE, "good"));
}

static void test_everything_wrong_with_a_configuration_is_told_at_once(void)
{
    static const char wrong[] = "[issuer]\n"
                                "url = ftp://issuer.example\n"
                                "colour = blue\n"
                                "[admin]\n"
                                "listen = 0.0.0.0:80\n"
                                "client_secret_file = /nonexistent\n"
                                "[tokens]\n"
                                "lifetime_s = soon\n"
                                "[signer main]\n"
                                "uri = quantum:42\n";
    static const char *const lines[] = { ":2:", ":3:", ":5:", ":6:", ":8:", ":10:" };
    const char *path = instance_conf_path(fixture.instance);

    write_conf(wrong);
    const struct program_result *result = run("issuerd", "--check-config", path, NULL);
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        CU_ASSERT_TRUE(program_ended(result, CONFIG, lines[i]));
    }
    CU_ASSERT_TRUE(program_ended(result, CONFIG, "store"));
    CU_ASSERT_TRUE(program_ended(run("issuerd", "--config", path, NULL), CONFIG, ":8:"));
    CU_ASSERT_TRUE(program_ended(ctl("keys", "list", NULL), CONFIG, ":8:"));
}

static void test_a_configuration_that_cannot_be_read_is_refused(void)
{
    CU_ASSERT_TRUE(
        program_ended(run("issuerd", "--config", "/nonexistent", NULL), CONFIG, "/nonexistent"));
    CU_ASSERT_TRUE(program_ended(run("issuerd", "--check-config", "/", NULL), CONFIG, "/"));
    CU_ASSERT_TRUE(program_ended(run("issuerctl", "--config", "/nonexistent", "keys", "list", NULL),
                                 CONFIG, "/nonexistent"));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "keys are listed for people and for machines",
          test_keys_are_listed_for_people_and_for_machines },
        { "a key that is not there is listed with its error",
          test_a_key_that_is_not_there_is_listed_with_its_error },
        { "a good key is listed beside one that is missing",
          test_a_good_key_is_listed_beside_one_that_is_missing },
        { "a key is generated once", test_a_key_is_generated_once },
        { "a key is of the algorithm and size asked for",
          test_a_key_is_of_the_algorithm_and_size_asked_for },
        { "an algorithm or size that is not offered is refused",
          test_an_algorithm_or_size_that_is_not_offered_is_refused },
        { "a signer that the configuration does not have is refused",
          test_a_signer_that_the_configuration_does_not_have_is_refused },
        { "a token is initialised once", test_a_token_is_initialised_once },
        { "a token is not initialised without the officer's PIN",
          test_a_token_is_not_initialised_without_the_officers_pin },
        { "wrong arguments are refused", test_wrong_arguments_are_refused },
        { "help and version are told", test_help_and_version_are_told },
        { "the signer is not for a shell", test_the_signer_is_not_for_a_shell },
        { "a good configuration is called good", test_a_good_configuration_is_called_good },
        { "everything wrong with a configuration is told at once",
          test_everything_wrong_with_a_configuration_is_told_at_once },
        { "a configuration that cannot be read is refused",
          test_a_configuration_that_cannot_be_read_is_refused },
        CU_TEST_INFO_NULL,
    };
    return run_suite("command line", set_up, tear_down, tests);
}

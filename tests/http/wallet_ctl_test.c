/*
 * issuerctl wallet: against a started issuerd, and against servers that answer as no server should.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/memory.h"
#include "ctl/wallet_key.h"
#include "support/access_token.h"
#include "support/api.h"
#include "support/program.h"
#include "support/run.h"

enum {
    DONE = 0,
    REFUSED = 1,
    USAGE = 64,
    UNAVAILABLE = 69,
    CANNOT_MAKE = 73,
    RUN_S = 60,
    WORDS_MAX = 24,
    ANSWER_MAX = 1 << 20,
};

#define ISSUER "https://issuer.example"

static struct {
    struct instance *instance;
    char url[64];
    char token_path[1024];
    char path[1024]; /* of what a test writes */
    cJSON *json;
    cJSON *claims; /* of the token */
    pid_t server;  /* the canned one; 0: none */
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.instance = instance_new(NULL);
    (void)snprintf(fixture.token_path, sizeof(fixture.token_path), "%s/token",
                   instance_directory(fixture.instance));
    (void)snprintf(fixture.path, sizeof(fixture.path), "%s/input",
                   instance_directory(fixture.instance));
}

static void tear_down(void)
{
    if (fixture.server > 0) {
        (void)kill(fixture.server, SIGKILL);
        (void)waitpid(fixture.server, NULL, 0);
    }
    cJSON_Delete(take(fixture.json));
    cJSON_Delete(take(fixture.claims));
    instance_free(take(fixture.instance));
}

static bool start(void)
{
    const bool started = instance_start(fixture.instance);

    (void)snprintf(fixture.url, sizeof(fixture.url), "http://127.0.0.1:%d",
                   instance_public_port(fixture.instance));
    return started;
}

/* issuerctl wallet --url URL with these words, up to a NULL. */
__attribute__((sentinel)) static const struct program_result *wallet(const char *url, ...)
{
    const char *argv[WORDS_MAX] = { "issuerctl", "wallet", "--url", url };
    size_t count = 4;
    va_list words;

    va_start(words, url);
    for (const char *word; (word = va_arg(words, const char *)) != NULL && count < WORDS_MAX - 1;) {
        argv[count++] = word;
    }
    va_end(words);
    return program_run(argv, RUN_S);
}

static bool write_file(const char *text)
{
    FILE *file = fopen(fixture.path, "w");
    return file != NULL && fputs(text, file) >= 0 && fclose(file) == 0;
}

/* ---- the walk ---- */

static const char *member(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    return text != NULL ? text : "";
}

/* The token that the wallet wrote, verified, with its claims; the file is gone then. */
static bool take_token(void)
{
    static char token[API_TOKEN_SIZE];
    struct http_client *client = http_connect(instance_public_port(fixture.instance));
    FILE *file = fopen(fixture.token_path, "r");
    const size_t length = file != NULL ? fread(token, 1, sizeof(token) - 1, file) : 0;

    token[length] = '\0';
    cJSON_Delete(fixture.claims);
    fixture.claims = token_part(token, 1);
    const bool good = token_verifies(token, http_get(client, "/.well-known/jwks.json")->body);
    http_close(client);
    return file != NULL && fclose(file) == 0 && unlink(fixture.token_path) == 0 && good;
}

/* A walk that ends with a token in its file, printed for a machine. */
static bool walk(const char *algorithm, const char *method)
{
    const struct program_result *result =
        wallet(fixture.url, "--alg", algorithm, "--did", method, "--token-file", fixture.token_path,
               "--json", NULL);

    cJSON_Delete(fixture.json);
    fixture.json = cJSON_Parse(result->output);
    return program_ended(result, DONE, "\"holder_did\"") && take_token();
}

static void test_a_wallet_of_every_algorithm_and_method_gets_its_token(void)
{
    static const char *const algorithms[] = { "ES256", "ES384", "ES256K", "Ed25519" };
    static const char *const methods[] = { "key", "jwk" };

    CU_ASSERT_TRUE_FATAL(start());
    for (size_t i = 0; i < 8; i++) {
        char beginning[16];

        CU_ASSERT_TRUE_FATAL(walk(algorithms[i / 2], methods[i % 2]));
        (void)snprintf(beginning, sizeof(beginning), "did:%s:", methods[i % 2]);
        CU_ASSERT_EQUAL(strncmp(member(fixture.json, "holder_did"), beginning, 8), 0);
        CU_ASSERT_STRING_EQUAL(member(fixture.claims, "sub"), member(fixture.json, "holder_did"));
        CU_ASSERT_STRING_EQUAL(member(fixture.json, "issuer"), ISSUER);
        CU_ASSERT_STRING_EQUAL(member(fixture.json, "algorithm"), "ES256"); /* the server's */
    }
}

static void test_a_walk_is_told_step_by_step_without_its_secrets(void)
{
    struct stat status;
    char output[PROGRAM_OUTPUT_SIZE];
    char last[1024];

    CU_ASSERT_TRUE_FATAL(start());
    const struct program_result *result =
        wallet(fixture.url, "--token-file", fixture.token_path, NULL);
    CU_ASSERT_TRUE(program_ended(result, DONE, "holder did:key:zDn"));
    CU_ASSERT_TRUE(
        program_ended(result, DONE, "GET /.well-known/openid-credential-issuer ... 200\n"));
    CU_ASSERT_TRUE(program_ended(result, DONE, "POST /api/v1/authorizations ... 201\n"));
    CU_ASSERT_TRUE(program_ended(result, DONE, "/validate ... 200\n  code: 43 characters\n"));
    CU_ASSERT_TRUE(program_ended(result, DONE, "POST /api/v1/tokens ... 201\n"));
    (void)snprintf(output, sizeof(output), "%s", result->output);
    CU_ASSERT_PTR_NULL(strstr(output, "eyJ"));
    CU_ASSERT_EQUAL_FATAL(stat(fixture.token_path, &status), 0);
    CU_ASSERT_EQUAL(status.st_mode & 07777, 0600);
    CU_ASSERT_TRUE_FATAL(take_token());
    (void)snprintf(last, sizeof(last), "token for %s, valid for 3600 s (ES256, kid ",
                   member(fixture.claims, "sub"));
    CU_ASSERT_PTR_NOT_NULL(strstr(output, last));
}

static void test_a_wallet_with_a_key_has_the_same_did_each_time(void)
{
    EVP_PKEY *key = wallet_key_new("ES256K");
    FILE *file = fopen(fixture.path, "w");
    char first[DID_MAX + 1] = "";

    CU_ASSERT_TRUE(file != NULL && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1);
    EVP_PKEY_free(key);
    CU_ASSERT_TRUE_FATAL(file != NULL && fclose(file) == 0 && start());
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_TRUE(program_ended(
            wallet(fixture.url, "--key", fixture.path, "--token-file", fixture.token_path, NULL),
            DONE, "holder did:key:zQ3s"));
        CU_ASSERT_TRUE_FATAL(take_token());
        CU_ASSERT_TRUE(i == 0 || strcmp(first, member(fixture.claims, "sub")) == 0);
        (void)snprintf(first, sizeof(first), "%s", member(fixture.claims, "sub"));
    }
    CU_ASSERT_TRUE(program_ended(wallet(fixture.url, "--key", fixture.path, "--alg", "ES256", NULL),
                                 USAGE, "is a key for ES256K, not for ES256"));
}

static void test_a_wallet_without_a_token_file_writes_none(void)
{
    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_TRUE(program_ended(wallet(fixture.url, NULL), DONE, "token for did:key:"));
    CU_ASSERT_NOT_EQUAL(access(fixture.token_path, F_OK), 0);
}

/* ---- servers that answer as no server should ---- */

_Noreturn static void serve(int listener, const char *answer)
{
    char request[4096];

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        const int connection = accept(listener, NULL, NULL);
        size_t length = 0;
        ssize_t got;

        while (length < sizeof(request) - 1
               && (got = read(connection, request + length, sizeof(request) - 1 - length)) > 0) {
            length += (size_t)got;
            request[length] = '\0';
            if (strstr(request, "\r\n\r\n") != NULL) {
                break;
            }
        }
        (void)send(connection, answer, strlen(answer), MSG_NOSIGNAL);
        (void)close(connection);
    }
}

/* One that gives every request on the bound socket the same answer. */
static bool serve_on(int listener, const char *head, const char *body)
{
    scoped(release_memory) char *answer = NULL;

    if (asprintf(&answer, "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", head,
                 strlen(body), body)
            < 0
        || listen(listener, 8) != 0) {
        return false;
    }
    fixture.server = fork();
    if (fixture.server == 0) {
        serve(listener, answer);
    }
    return fixture.server > 0;
}

static bool serve_answer(const char *head, const char *body)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(address);
    scoped(release_fd) int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (bind(listener, (const struct sockaddr *)&address, length) != 0
        || getsockname(listener, (struct sockaddr *)&address, &length) != 0) {
        return false;
    }
    (void)snprintf(fixture.url, sizeof(fixture.url), "http://127.0.0.1:%d",
                   ntohs(address.sin_port));
    return serve_on(listener, head, body);
}

static void test_a_server_on_a_socket_is_reached(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "wallet test.sock" };
    scoped(release_fd) int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    scoped(release_memory) char *url = NULL;
    scoped(release_memory) char *here = get_current_dir_name();

    CU_ASSERT_EQUAL_FATAL(chdir(instance_directory(fixture.instance)),
                          0); /* a path of any length */
    CU_ASSERT_EQUAL(bind(listener, (const struct sockaddr *)&address, sizeof(address)), 0);
    CU_ASSERT_TRUE(serve_on(listener, "404 Not Found", "{}"));
    CU_ASSERT_TRUE(asprintf(&url, "unix:/proc/self/cwd/%s", address.sun_path) > 0);
    CU_ASSERT_TRUE(program_ended(wallet(url, NULL), REFUSED, "404"));
    CU_ASSERT_TRUE(program_ended(wallet("unix:/nonexistent", NULL), UNAVAILABLE, "unix:/nonexist"));
    CU_ASSERT_EQUAL(chdir(here), 0);
}

static void test_a_server_that_is_not_there_is_named(void)
{
    const struct program_result *result = wallet("http://127.0.0.1:1", NULL);

    CU_ASSERT_TRUE(program_ended(result, UNAVAILABLE, "http://127.0.0.1:1"));
    CU_ASSERT_TRUE(program_ended(result, UNAVAILABLE, "no answer"));
}

static void test_a_proxy_of_the_environment_is_not_used(void)
{
    CU_ASSERT_EQUAL(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
    const bool served = serve_answer("404 Not Found", "{}");
    const struct program_result *result = wallet(fixture.url, NULL);
    CU_ASSERT_EQUAL(unsetenv("http_proxy"), 0);
    CU_ASSERT_TRUE(served);
    CU_ASSERT_TRUE(program_ended(result, REFUSED, "404"));
}

static void test_a_redirect_is_not_followed(void)
{
    CU_ASSERT_TRUE_FATAL(serve_answer("302 Found\r\nLocation: http://127.0.0.1:1/", "{}"));
    CU_ASSERT_TRUE(program_ended(wallet(fixture.url, NULL), REFUSED, ": 302"));
}

static void test_an_error_is_told_in_the_servers_words_made_plain(void)
{
    CU_ASSERT_TRUE_FATAL(
        serve_answer("400 Bad Request", "{\"message\":\"no\\u001b[2J \xc2\x9b\"}"));
    CU_ASSERT_TRUE(program_ended(wallet(fixture.url, NULL), REFUSED, ": 400: no?[2J ??\n"));
}

static void test_an_answer_that_does_not_end_is_given_up(void)
{
    char *body = xcalloc(1, ANSWER_MAX);

    memset(body, ' ', ANSWER_MAX - 1);
    const bool served = serve_answer("200 OK", body);
    free(body);
    CU_ASSERT_TRUE_FATAL(served);
    CU_ASSERT_TRUE(program_ended(wallet(fixture.url, NULL), UNAVAILABLE, "no answer"));
}

static void test_an_answer_that_is_no_json_is_refused(void)
{
    CU_ASSERT_TRUE_FATAL(serve_answer("200 OK", "{\"a\":1,\"a\":2}"));
    CU_ASSERT_TRUE(program_ended(wallet(fixture.url, NULL), REFUSED, "the answer"));
}

static void test_metadata_that_lead_elsewhere_are_refused(void)
{
    CU_ASSERT_TRUE_FATAL(serve_answer(
        "200 OK", "{\"credential_issuer\":\"" ISSUER "\",\"authorize_endpoint\":\"" ISSUER
                  "/api/v1/authorizations\",\"token_endpoint\":\"" ISSUER ".evil/tokens\"}"));
    CU_ASSERT_TRUE(program_ended(wallet(fixture.url, NULL), REFUSED, "token_endpoint"));
}

static void test_metadata_without_an_issuer_are_refused(void)
{
    CU_ASSERT_TRUE_FATAL(serve_answer("200 OK", "{}"));
    CU_ASSERT_TRUE(program_ended(wallet(fixture.url, NULL), REFUSED, "credential_issuer"));
}

/* ---- arguments ---- */

static void test_wrong_arguments_are_refused(void)
{
    static const char *const urls[] = {
        "127.0.0.1:80",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "http://127.0.0.1/",
        "http://127.0.0.1?a=b",
        "http://user@127.0.0.1",
        "",
    };
    const char *nowhere = "http://127.0.0.1:1";

    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        CU_ASSERT_TRUE(program_ended(wallet(urls[i], NULL), USAGE, "--url"));
    }
    CU_ASSERT_TRUE(program_ended(wallet(nowhere, "--alg", "RS256", NULL), USAGE, "--alg"));
    CU_ASSERT_TRUE(program_ended(wallet(nowhere, "--did", "web", NULL), USAGE, "--did"));
    CU_ASSERT_TRUE(
        program_ended(wallet(nowhere, "--key", "/nonexistent", NULL), USAGE, "/nonexistent"));
    CU_ASSERT_TRUE(program_ended(wallet(nowhere, "--definition", "/nonexistent", NULL), USAGE,
                                 "/nonexistent"));
    CU_ASSERT_TRUE(program_ended(wallet(nowhere, "--credential", "/nonexistent", NULL), USAGE,
                                 "/nonexistent"));
    const char *argv[] = { "issuerctl", "wallet", NULL };
    CU_ASSERT_TRUE(program_ended(program_run(argv, RUN_S), USAGE, "--url"));
}

static void test_files_that_will_not_do_are_refused(void)
{
    const char *nowhere = "http://127.0.0.1:1";

    CU_ASSERT_TRUE_FATAL(write_file("{\"id\":1}"));
    CU_ASSERT_TRUE(
        program_ended(wallet(nowhere, "--definition", fixture.path, NULL), USAGE, "has an id"));
    CU_ASSERT_TRUE(
        program_ended(wallet(nowhere, "--credential", fixture.path, NULL), USAGE, "not a JWT"));
    CU_ASSERT_TRUE_FATAL(write_file("{\"id\":\"a\",\"input_descriptors\":[{\"id\":\"b\"}]}"));
    CU_ASSERT_TRUE(program_ended(wallet(nowhere, "--definition", fixture.path, NULL), USAGE,
                                 "1 input descriptors"));
    CU_ASSERT_TRUE_FATAL(write_file("not JSON"));
    CU_ASSERT_TRUE(
        program_ended(wallet(nowhere, "--definition", fixture.path, NULL), USAGE, fixture.path));
}

static void test_a_token_file_that_is_there_is_left_alone(void)
{
    CU_ASSERT_TRUE_FATAL(write_file("mine"));
    CU_ASSERT_TRUE(program_ended(wallet("http://127.0.0.1:1", "--token-file", fixture.path, NULL),
                                 CANNOT_MAKE, fixture.path));
    CU_ASSERT_EQUAL(access(fixture.path, F_OK), 0);
}

static void test_a_walk_that_fails_leaves_no_token_file(void)
{
    CU_ASSERT_TRUE(
        program_ended(wallet("http://127.0.0.1:1", "--token-file", fixture.token_path, NULL),
                      UNAVAILABLE, "no answer"));
    CU_ASSERT_NOT_EQUAL(access(fixture.token_path, F_OK), 0);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a wallet of every algorithm and method gets its token",
          test_a_wallet_of_every_algorithm_and_method_gets_its_token },
        { "a walk is told step by step without its secrets",
          test_a_walk_is_told_step_by_step_without_its_secrets },
        { "a wallet with a key has the same DID each time",
          test_a_wallet_with_a_key_has_the_same_did_each_time },
        { "a wallet without a token file writes none",
          test_a_wallet_without_a_token_file_writes_none },
        { "a server that is not there is named", test_a_server_that_is_not_there_is_named },
        { "a server on a socket is reached", test_a_server_on_a_socket_is_reached },
        { "a proxy of the environment is not used", test_a_proxy_of_the_environment_is_not_used },
        { "a redirect is not followed", test_a_redirect_is_not_followed },
        { "an error is told in the server's words, made plain",
          test_an_error_is_told_in_the_servers_words_made_plain },
        { "an answer that does not end is given up", test_an_answer_that_does_not_end_is_given_up },
        { "an answer that is no JSON is refused", test_an_answer_that_is_no_json_is_refused },
        { "metadata that lead elsewhere are refused",
          test_metadata_that_lead_elsewhere_are_refused },
        { "metadata without an issuer are refused", test_metadata_without_an_issuer_are_refused },
        { "wrong arguments are refused", test_wrong_arguments_are_refused },
        { "files that will not do are refused", test_files_that_will_not_do_are_refused },
        { "a token file that is there is left alone",
          test_a_token_file_that_is_there_is_left_alone },
        { "a walk that fails leaves no token file", test_a_walk_that_fails_leaves_no_token_file },
        CU_TEST_INFO_NULL,
    };
    return run_suite("wallet on the command line", set_up, tear_down, tests);
}

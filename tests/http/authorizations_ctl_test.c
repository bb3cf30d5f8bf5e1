/*
 * issuerctl authorizations beside a running issuerd: what an operator sees of a request, an approval
 * whose code is in a file and nowhere else, and the end of requests and codes.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "base/memory.h"
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
    WORDS_MAX = 16,
    SAID_MAX = 1 << 18,
};

/* What a terminal may take for an order to clear itself. */
#define NAME                                                                                       \
    "\xc2\x9b"                                                                                     \
    "2J caf\xc3\xa9"
#define DEFINITION "{\"id\":\"staff\",\"input_descriptors\":[],\"name\":\"" NAME "\"}"
#define UNKNOWN_ID "01890a5d-ac96-774b-bcce-b302099a8057"

static struct {
    struct instance *instance;
    struct http_client *client;
    struct http_client *admin;
    cJSON *json;
    char code_path[1024];
    char code[API_CODE_SIZE];
    char state[44]; /* of the request made last, as is the nonce */
    char nonce[44];
    char *said; /* by issuerctl, all of it */
    int terminal;
    int input; /* our own stdin, while a terminal is in its place */
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.terminal = -1;
    fixture.input = -1;
    fixture.said = xcalloc(1, SAID_MAX);
    fixture.instance = instance_new(NULL);
    instance_set(fixture.instance, "tokens.code_lifetime_s=300");
    (void)snprintf(fixture.code_path, sizeof(fixture.code_path), "%s/code",
                   instance_directory(fixture.instance));
    if (instance_start(fixture.instance)) {
        fixture.client = http_connect(instance_public_port(fixture.instance));
        fixture.admin = http_connect(instance_admin_port(fixture.instance));
    }
}

static void tear_down(void)
{
    if (fixture.input >= 0) {
        (void)dup2(fixture.input, STDIN_FILENO);
    }
    release_fd(&fixture.input);
    release_fd(&fixture.terminal);
    http_close(take(fixture.client));
    http_close(take(fixture.admin));
    cJSON_Delete(take(fixture.json));
    free(take(fixture.said));
    instance_free(take(fixture.instance));
}

/* issuerctl --config FILE authorizations with these words, up to a NULL. */
__attribute__((sentinel)) static const struct program_result *ctl(const char *first, ...)
{
    const char *argv[WORDS_MAX] = { "issuerctl", "--config", instance_conf_path(fixture.instance),
                                    "authorizations" };
    size_t count = 4;
    va_list words;

    va_start(words, first);
    for (const char *word = first; word != NULL && count < WORDS_MAX - 1;
         word = va_arg(words, const char *)) {
        argv[count++] = word;
    }
    va_end(words);
    const struct program_result *result = program_run(argv, RUN_S);
    const size_t length = strlen(fixture.said);
    (void)snprintf(fixture.said + length, SAID_MAX - length, "%s%s", result->output,
                   result->errors);
    return result;
}

/* No output so far holds the code, or what binds the wallet's proof to the request. */
static bool has_kept_its_secrets(void)
{
    return strlen(fixture.said) > 0
        && (fixture.code[0] == '\0' || strstr(fixture.said, fixture.code) == NULL)
        && strstr(fixture.said, fixture.state) == NULL
        && strstr(fixture.said, fixture.nonce) == NULL;
}

/* An open request. `definition` NULL: none. */
static bool create(const char *definition, char id_out[static API_ID_SIZE])
{
    char body[2048];

    api_random_text(fixture.state);
    api_random_text(fixture.nonce);
    (void)snprintf(body, sizeof(body), "{\"state\":\"%s\",\"nonce\":\"%s\"%s%s}", fixture.state,
                   fixture.nonce, definition != NULL ? ",\"presentation_definition\":" : "",
                   definition != NULL ? definition : "");
    const struct http_reply *reply = http_post_json(fixture.client, AUTHORIZATIONS_PATH, body);
    return reply->status == 201 && reply_member(reply, "id", id_out, API_ID_SIZE);
}

/* One with a code, made by the server. */
static bool create_approved(char id_out[static API_ID_SIZE])
{
    return create(NULL, id_out)
        && reply_member(
               api_approve(fixture.instance, fixture.admin, id_out, HOLDER_DID, "read write"),
               "code", fixture.code, sizeof(fixture.code));
}

static bool read_code(void)
{
    FILE *file = fopen(fixture.code_path, "r");
    const size_t length = file != NULL ? fread(fixture.code, 1, sizeof(fixture.code) - 1, file) : 0;

    fixture.code[length] = '\0';
    return file != NULL && fclose(file) == 0 && length > 0;
}

static const char *member(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    return text != NULL ? text : "";
}

/* What it printed, as JSON. */
static const cJSON *json_of(const struct program_result *result)
{
    CU_ASSERT_EQUAL_FATAL(result->status, DONE);
    cJSON_Delete(fixture.json);
    fixture.json = cJSON_Parse(result->output);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.json);
    return fixture.json;
}

static const char *state_of(const char *id)
{
    return member(json_of(ctl("show", id, "--json", NULL)), "state");
}

/* ---- list and show ---- */

static void test_requests_are_listed_newest_first(void)
{
    char first[API_ID_SIZE];
    char second[API_ID_SIZE];

    CU_ASSERT_TRUE_FATAL(create(NULL, first) && create_approved(second));
    const cJSON *list = json_of(ctl("list", "--json", NULL));
    CU_ASSERT_EQUAL_FATAL(cJSON_GetArraySize(list), 2);
    const cJSON *newest = cJSON_GetArrayItem(list, 0);
    CU_ASSERT_STRING_EQUAL(member(newest, "id"), second);
    CU_ASSERT_STRING_EQUAL(member(newest, "state"), "approved");
    CU_ASSERT_STRING_EQUAL(member(newest, "holder_did"), HOLDER_DID);
    CU_ASSERT_STRING_EQUAL(member(newest, "scope"), "read write");
    CU_ASSERT_STRING_EQUAL(member(cJSON_GetArrayItem(list, 1), "id"), first);
    CU_ASSERT_STRING_EQUAL(member(cJSON_GetArrayItem(list, 1), "state"), "open");

    const struct program_result *result = ctl("list", NULL);
    CU_ASSERT_TRUE(program_ended(result, DONE, second));
    CU_ASSERT_TRUE(program_ended(result, DONE,
                                 "did:key:z6MkhaXgBZDvotDk\xe2\x80\xa6"
                                 "EGta2doK"));
    CU_ASSERT_PTR_NULL(strstr(result->output, HOLDER_DID));
    CU_ASSERT_TRUE(has_kept_its_secrets());
}

static void test_a_list_is_narrowed_by_state_and_by_number(void)
{
    char open[API_ID_SIZE];
    char approved[API_ID_SIZE];

    CU_ASSERT_TRUE_FATAL(create(NULL, open) && create_approved(approved));
    const cJSON *list = json_of(ctl("list", "--json", "--state", "open", NULL));
    CU_ASSERT_EQUAL_FATAL(cJSON_GetArraySize(list), 1);
    CU_ASSERT_STRING_EQUAL(member(cJSON_GetArrayItem(list, 0), "id"), open);
    list = json_of(ctl("list", "--json", "--limit", "1", NULL));
    CU_ASSERT_EQUAL_FATAL(cJSON_GetArraySize(list), 1);
    CU_ASSERT_STRING_EQUAL(member(cJSON_GetArrayItem(list, 0), "id"), approved);
    CU_ASSERT_EQUAL(cJSON_GetArraySize(json_of(ctl("list", "--json", "--state", "expired", NULL))),
                    0);
}

static size_t lines_of(const char *limit)
{
    const struct program_result *result = ctl("list", "--limit", limit, NULL);
    size_t lines = 0;

    for (const char *at = result->output; (at = strchr(at, '\n')) != NULL; at++) {
        lines++;
    }
    return lines;
}

static void test_a_list_of_several_pages_is_whole(void)
{
    char id[API_ID_SIZE];

    for (int i = 0; i < 130; i++) {
        CU_ASSERT_TRUE_FATAL(create(NULL, id));
    }
    CU_ASSERT_EQUAL(lines_of("1000"), 130);
    CU_ASSERT_EQUAL(lines_of("120"), 120);
    CU_ASSERT_EQUAL(lines_of("100"), 100);
}

static void test_a_request_is_shown_by_the_beginning_of_its_id(void)
{
    char id[API_ID_SIZE];
    char beginning[5];

    CU_ASSERT_TRUE_FATAL(create(DEFINITION, id));
    (void)snprintf(beginning, sizeof(beginning), "%.4s", id);
    const struct program_result *result = ctl("show", beginning, NULL);
    CU_ASSERT_TRUE(program_ended(result, DONE, id));
    CU_ASSERT_TRUE(program_ended(result, DONE, "open"));
    CU_ASSERT_TRUE(program_ended(result, DONE, "\"id\":\"staff\""));
    CU_ASSERT_PTR_NULL(strstr(result->output, NAME));

    const cJSON *shown = json_of(ctl("show", id, "--json", NULL));
    const cJSON *definition = cJSON_GetObjectItemCaseSensitive(shown, "presentation_definition");
    CU_ASSERT_STRING_EQUAL(member(definition, "id"), "staff");
    CU_ASSERT_STRING_EQUAL(member(definition, "name"), NAME);
    CU_ASSERT_TRUE(has_kept_its_secrets());
}

static void test_an_id_that_is_none_or_several_is_refused(void)
{
    char id[API_ID_SIZE];
    char beginning[5];

    CU_ASSERT_TRUE(program_ended(ctl("show", UNKNOWN_ID, NULL), REFUSED, UNKNOWN_ID));
    CU_ASSERT_TRUE_FATAL(create(NULL, id) && create(NULL, id));
    (void)snprintf(beginning, sizeof(beginning), "%.4s", id);
    CU_ASSERT_TRUE(program_ended(ctl("show", beginning, NULL), REFUSED, "write more of it"));
    beginning[3] = '\0';
    CU_ASSERT_TRUE(program_ended(ctl("show", beginning, NULL), USAGE, "at least 4"));
    CU_ASSERT_TRUE(program_ended(ctl("show", "%%%%", NULL), USAGE, "at least 4"));
    CU_ASSERT_TRUE(program_ended(ctl("show", UNKNOWN_ID "0", NULL), USAGE, "UUID"));
}

/* ---- approve ---- */

static void test_an_approved_code_is_in_its_file_alone_and_redeems(void)
{
    char id[API_ID_SIZE];
    char token[API_TOKEN_SIZE];
    struct stat status;

    CU_ASSERT_TRUE_FATAL(create(NULL, id));
    CU_ASSERT_TRUE(program_ended(ctl("approve", id, "--holder-did", HOLDER_DID, "--scope",
                                     "read write", "--code-file", fixture.code_path, NULL),
                                 DONE, id));
    CU_ASSERT_TRUE_FATAL(read_code());
    CU_ASSERT_EQUAL(strlen(fixture.code), 43);
    CU_ASSERT_EQUAL_FATAL(stat(fixture.code_path, &status), 0);
    CU_ASSERT_EQUAL(status.st_mode & 07777, 0600);
    CU_ASSERT_STRING_EQUAL(state_of(id), "approved");

    CU_ASSERT_TRUE_FATAL(is_token_reply(api_redeem(fixture.client, fixture.code), token));
    cJSON *claims = token_part(token, 1);
    CU_ASSERT_STRING_EQUAL(member(claims, "sub"), HOLDER_DID);
    CU_ASSERT_STRING_EQUAL(member(claims, "scope"), "read write");
    const bool same = strcmp(member(claims, "jti"), "") != 0
                   && program_ended(ctl("show", id, NULL), DONE, member(claims, "jti"));
    cJSON_Delete(claims);
    CU_ASSERT_TRUE(same);
    CU_ASSERT_STRING_EQUAL(state_of(id), "redeemed");
    CU_ASSERT_TRUE(is_error_reply(api_redeem(fixture.client, fixture.code), 400, API_CODE_GONE,
                                  "POST", TOKENS_PATH));
    CU_ASSERT_TRUE(has_kept_its_secrets());
}

static void test_an_approval_is_printed_for_a_machine(void)
{
    char id[API_ID_SIZE];

    CU_ASSERT_TRUE_FATAL(create(NULL, id));
    const cJSON *approved = json_of(ctl("approve", id, "--holder-did", HOLDER_DID, "--code-file",
                                        fixture.code_path, "--json", NULL));
    CU_ASSERT_STRING_EQUAL(member(approved, "id"), id);
    CU_ASSERT_STRING_EQUAL(member(approved, "state"), "approved");
    CU_ASSERT_TRUE(read_code());
    CU_ASSERT_TRUE(has_kept_its_secrets());
}

/* Refused, and nothing was made of it. */
static void assert_not_approved(const struct program_result *result, int status, const char *words)
{
    CU_ASSERT_TRUE(program_ended(result, status, words));
    CU_ASSERT_NOT_EQUAL(access(fixture.code_path, F_OK), 0);
}

static void test_an_approval_that_is_refused_leaves_no_file(void)
{
    char id[API_ID_SIZE];
    char done[API_ID_SIZE];
    const char *path = fixture.code_path;

    CU_ASSERT_TRUE_FATAL(create_approved(done) && create(NULL, id));
    assert_not_approved(ctl("approve", id, "--holder-did", "alice", "--code-file", path, NULL),
                        USAGE, "holder_did");
    assert_not_approved(ctl("approve", id, "--holder-did", HOLDER_DID, "--scope", "a  b",
                            "--code-file", path, NULL),
                        USAGE, "scope");
    assert_not_approved(
        ctl("approve", UNKNOWN_ID, "--holder-did", HOLDER_DID, "--code-file", path, NULL), REFUSED,
        UNKNOWN_ID);
    assert_not_approved(ctl("approve", done, "--holder-did", HOLDER_DID, "--code-file", path, NULL),
                        REFUSED, "approved already");
    assert_not_approved(ctl("approve", id, "--holder-did", HOLDER_DID, NULL), USAGE, "--code-file");
    assert_not_approved(ctl("approve", id, "--code-file", path, NULL), USAGE, "--holder-did");
    CU_ASSERT_STRING_EQUAL(state_of(id), "open");
    CU_ASSERT_TRUE(is_token_reply(api_redeem(fixture.client, fixture.code), NULL));
}

static void test_a_code_file_that_is_there_is_left_alone(void)
{
    char id[API_ID_SIZE];
    FILE *file = fopen(fixture.code_path, "w");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_TRUE(fputs("mine", file) >= 0 && fclose(file) == 0);
    CU_ASSERT_TRUE_FATAL(create(NULL, id));
    CU_ASSERT_TRUE(program_ended(
        ctl("approve", id, "--holder-did", HOLDER_DID, "--code-file", fixture.code_path, NULL),
        CANNOT_MAKE, fixture.code_path));
    CU_ASSERT_TRUE(program_ended(
        ctl("approve", id, "--holder-did", HOLDER_DID, "--code-file", "/nonexistent/code", NULL),
        CANNOT_MAKE, "/nonexistent/code"));
    CU_ASSERT_TRUE(read_code());
    CU_ASSERT_STRING_EQUAL(fixture.code, "mine");
    CU_ASSERT_STRING_EQUAL(state_of(id), "open");
}

/* ---- cancel ---- */

static void test_a_cancelled_request_is_not_approved_any_more(void)
{
    char id[API_ID_SIZE];
    char path[128];

    CU_ASSERT_TRUE_FATAL(create(NULL, id));
    CU_ASSERT_TRUE(program_ended(ctl("cancel", id, "--yes", NULL), DONE, "cancelled"));
    (void)snprintf(path, sizeof(path), AUTHORIZATIONS_PATH "/%s/approve", id);
    CU_ASSERT_TRUE(
        is_error_reply(api_approve(fixture.instance, fixture.admin, id, HOLDER_DID, NULL), 404,
                       API_REQUEST_NOT_FOUND, "POST", path));
    CU_ASSERT_TRUE(program_ended(
        ctl("approve", id, "--holder-did", HOLDER_DID, "--code-file", fixture.code_path, NULL),
        REFUSED, "cancelled"));
    CU_ASSERT_NOT_EQUAL(access(fixture.code_path, F_OK), 0);
    CU_ASSERT_STRING_EQUAL(state_of(id), "cancelled");
    CU_ASSERT_TRUE(program_ended(ctl("list", "--state", "cancelled", NULL), DONE, id));
    CU_ASSERT_TRUE(program_ended(ctl("cancel", id, "--yes", NULL), REFUSED, "cancelled already"));
}

static void test_a_cancelled_code_is_dead_although_the_server_remembers_it(void)
{
    char id[API_ID_SIZE];

    CU_ASSERT_TRUE_FATAL(create_approved(id));
    CU_ASSERT_STRING_EQUAL(member(json_of(ctl("cancel", id, "--yes", "--json", NULL)), "state"),
                           "cancelled");
    for (int i = 0; i < 2; i++) { /* from memory, then from the store */
        CU_ASSERT_TRUE(is_error_reply(api_redeem(fixture.client, fixture.code), 400, API_CODE_GONE,
                                      "POST", TOKENS_PATH));
    }
    CU_ASSERT_STRING_EQUAL(state_of(id), "cancelled");
    CU_ASSERT_TRUE(api_serves(fixture.instance));
    CU_ASSERT_TRUE(has_kept_its_secrets());
}

static void test_a_redeemed_code_is_not_cancelled(void)
{
    char id[API_ID_SIZE];

    CU_ASSERT_TRUE_FATAL(create_approved(id));
    CU_ASSERT_TRUE_FATAL(is_token_reply(api_redeem(fixture.client, fixture.code), NULL));
    CU_ASSERT_TRUE(program_ended(ctl("cancel", id, "--yes", NULL), REFUSED, "jti"));
    CU_ASSERT_TRUE(program_ended(ctl("cancel", id, NULL), REFUSED, "revoked"));
    CU_ASSERT_STRING_EQUAL(state_of(id), "redeemed");
    CU_ASSERT_TRUE(has_kept_its_secrets());
}

/* Puts a terminal in the place of stdin, on which someone has typed `answer`. */
static bool type(const char *answer)
{
    fixture.terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fixture.terminal < 0 || grantpt(fixture.terminal) != 0 || unlockpt(fixture.terminal) != 0) {
        return false;
    }
    scoped(release_fd) int other = open(ptsname(fixture.terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
    fixture.input = dup(STDIN_FILENO);
    return other >= 0 && dup2(other, STDIN_FILENO) >= 0
        && write(fixture.terminal, answer, strlen(answer)) == (ssize_t)strlen(answer);
}

static void test_a_cancellation_is_asked_about_on_a_terminal(void)
{
    char id[API_ID_SIZE];

    CU_ASSERT_TRUE_FATAL(create(NULL, id));
    CU_ASSERT_TRUE_FATAL(type("no\ny\n"));
    CU_ASSERT_TRUE(program_ended(ctl("cancel", id, NULL), REFUSED, "not done"));
    CU_ASSERT_STRING_EQUAL(state_of(id), "open");
    CU_ASSERT_TRUE(program_ended(ctl("cancel", id, NULL), DONE, "[y/N]"));
    CU_ASSERT_STRING_EQUAL(state_of(id), "cancelled");
}

static void test_a_cancellation_that_nobody_can_be_asked_about_wants_a_yes(void)
{
    char id[API_ID_SIZE];

    CU_ASSERT_TRUE_FATAL(create(NULL, id));
    fixture.input = dup(STDIN_FILENO);
    scoped(release_fd) int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CU_ASSERT_TRUE_FATAL(dup2(nothing, STDIN_FILENO) >= 0);
    CU_ASSERT_TRUE(program_ended(ctl("cancel", id, NULL), USAGE, "--yes"));
    CU_ASSERT_STRING_EQUAL(state_of(id), "open");
}

/* ---- arguments and the store ---- */

static void test_wrong_arguments_are_refused(void)
{
    CU_ASSERT_TRUE(program_ended(ctl("list", "--state", "done", NULL), USAGE, "--state"));
    CU_ASSERT_TRUE(program_ended(ctl("list", "--limit", "0", NULL), USAGE, "--limit"));
    CU_ASSERT_TRUE(program_ended(ctl("list", "--limit", "1x", NULL), USAGE, "--limit"));
    CU_ASSERT_TRUE(program_ended(ctl("list", UNKNOWN_ID, NULL), USAGE, "no such command"));
    CU_ASSERT_TRUE(program_ended(ctl("show", NULL), USAGE, "no such command"));
    CU_ASSERT_TRUE(program_ended(ctl("delete", UNKNOWN_ID, NULL), USAGE, "no such command"));
}

static void test_a_store_that_is_not_there_is_not_made(void)
{
    instance_set(fixture.instance, "store.url=sqlite:%s/none.db",
                 instance_directory(fixture.instance));
    instance_write_conf(fixture.instance);
    CU_ASSERT_TRUE(program_ended(ctl("list", NULL), UNAVAILABLE, "none.db"));
    CU_ASSERT_TRUE(program_ended(ctl("show", UNKNOWN_ID, NULL), UNAVAILABLE, "none.db"));
    CU_ASSERT_TRUE(program_ended(ctl("cancel", UNKNOWN_ID, "--yes", NULL), UNAVAILABLE, "none.db"));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "requests are listed newest first", test_requests_are_listed_newest_first },
        { "a list is narrowed by state and by number",
          test_a_list_is_narrowed_by_state_and_by_number },
        { "a list of several pages is whole", test_a_list_of_several_pages_is_whole },
        { "a request is shown by the beginning of its id",
          test_a_request_is_shown_by_the_beginning_of_its_id },
        { "an id that is none or several is refused",
          test_an_id_that_is_none_or_several_is_refused },
        { "an approved code is in its file alone and redeems",
          test_an_approved_code_is_in_its_file_alone_and_redeems },
        { "an approval is printed for a machine", test_an_approval_is_printed_for_a_machine },
        { "an approval that is refused leaves no file",
          test_an_approval_that_is_refused_leaves_no_file },
        { "a code file that is there is left alone", test_a_code_file_that_is_there_is_left_alone },
        { "a cancelled request is not approved any more",
          test_a_cancelled_request_is_not_approved_any_more },
        { "a cancelled code is dead although the server remembers it",
          test_a_cancelled_code_is_dead_although_the_server_remembers_it },
        { "a redeemed code is not cancelled", test_a_redeemed_code_is_not_cancelled },
        { "a cancellation is asked about on a terminal",
          test_a_cancellation_is_asked_about_on_a_terminal },
        { "a cancellation that nobody can be asked about wants a yes",
          test_a_cancellation_that_nobody_can_be_asked_about_wants_a_yes },
        { "wrong arguments are refused", test_wrong_arguments_are_refused },
        { "a store that is not there is not made", test_a_store_that_is_not_there_is_not_made },
        CU_TEST_INFO_NULL,
    };
    return run_suite("authorizations on the command line", set_up, tear_down, tests);
}

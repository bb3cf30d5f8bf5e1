/*
 * issuerctl ledger beside a running issuerd that has an audit key, on copies of its store, and on
 * copies that were tampered with. A proof is also checked without any of our code (check_proof.py).
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <sqlite3.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/access_token.h"
#include "support/api.h"
#include "support/checkpoint.h"
#include "support/health.h"
#include "support/program.h"
#include "support/run.h"

enum {
    DONE = 0,
    REFUSED = 1,
    USAGE = 64,
    UNAVAILABLE = 69,
    CANNOT_MAKE = 73,
    RUN_S = 60,
    SETTLE_S = 30 * HEALTH_SLACK,
    WORDS_MAX = 16,
    TOKENS = 5,
};

static struct {
    struct instance *instance;
    char jtis[TOKENS][64];
    struct checkpoint_seen seen;
    int64_t wanted;
    char paths[8][1024]; /* of files in the instance's directory, in turn */
    unsigned next_path;
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.instance = instance_new(NULL);
    instance_set(fixture.instance, "ledger.node=node-1");
    instance_set(fixture.instance, "ledger.checkpoint_s=1");
    instance_set(fixture.instance, "tokens.code_lifetime_s=300");
}

static void tear_down(void)
{
    instance_free(take(fixture.instance));
}

/* ---- helpers ---- */

/* A file beside the store; good for seven more calls. */
static const char *path_of(const char *name)
{
    char *path = fixture.paths[fixture.next_path++ % COUNT_OF(fixture.paths)];
    (void)snprintf(path, sizeof(fixture.paths[0]), "%s/%s", instance_directory(fixture.instance),
                   name);
    return path;
}

static const struct program_result *run_ledger(const char *const *head, size_t count, va_list words)
{
    const char *argv[WORDS_MAX];

    memcpy(argv, head, count * sizeof(*head));
    for (const char *word = va_arg(words, const char *); word != NULL && count < WORDS_MAX - 1;
         word = va_arg(words, const char *)) {
        argv[count++] = word;
    }
    argv[count] = NULL;
    return program_run(argv, RUN_S);
}

/* issuerctl --config FILE ledger with these words, up to a NULL. */
__attribute__((sentinel)) static const struct program_result *ctl(const char *command, ...)
{
    const char *const head[] = { "issuerctl", "--config", instance_conf_path(fixture.instance),
                                 "ledger", command };
    va_list words;
    va_start(words, command);
    const struct program_result *result = run_ledger(head, COUNT_OF(head), words);
    va_end(words);
    return result;
}

/* The same without a configuration. */
__attribute__((sentinel)) static const struct program_result *alone(const char *command, ...)
{
    const char *const head[] = { "issuerctl", "ledger", command };
    va_list words;
    va_start(words, command);
    const struct program_result *result = run_ledger(head, COUNT_OF(head), words);
    va_end(words);
    return result;
}

static bool write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    return file != NULL && fputs(text, file) >= 0 && fclose(file) == 0;
}

static bool copy_file(const char *from, const char *to)
{
    const char *const argv[] = { "cp", from, to, NULL };
    return program_ended(program_run(argv, RUN_S), DONE, "");
}

static bool run_sql(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    const bool good = sqlite3_open(path, &db) == SQLITE_OK
                   && sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
    (void)sqlite3_close(db);
    return good;
}

static bool redeem(int which)
{
    char code[API_CODE_SIZE];
    char token[API_TOKEN_SIZE];
    struct http_client *client = http_connect(instance_public_port(fixture.instance));
    const bool good = client != NULL && api_make_code(fixture.instance, NULL, code)
                   && is_token_reply(api_redeem(client, code), token);
    cJSON *claims = good ? token_part(token, 1) : NULL;
    const char *jti = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(claims, "jti"));

    (void)snprintf(fixture.jtis[which], sizeof(fixture.jtis[which]), "%s", jti != NULL ? jti : "");
    cJSON_Delete(claims);
    http_close(client);
    return fixture.jtis[which][0] != '\0';
}

static bool is_covered(const struct instance *instance)
{
    return checkpoint_of_store(instance, &fixture.seen) && fixture.seen.size >= fixture.wanted;
}

/* A server with tokens issued, all of them under a checkpoint. */
static bool has_issued(void)
{
    bool good =
        instance_start(fixture.instance)
        && health_await(fixture.instance, health_is_ready, monotonic_ns() + SETTLE_S * NS_PER_S);

    for (int i = 0; i < TOKENS && good; i++) {
        good = redeem(i);
    }
    fixture.wanted = checkpoint_entries(fixture.instance);
    return good && health_await(fixture.instance, is_covered, monotonic_ns() + SETTLE_S * NS_PER_S);
}

static bool start_with_audit_key(void)
{
    instance_use_audit_key(fixture.instance);
    return has_issued();
}

/* The audit key as issuerctl prints it, into a file. */
static bool keep_audit_key(const char *path)
{
    const struct program_result *result = ctl("audit-key", NULL);
    return program_ended(result, DONE, "BEGIN PUBLIC KEY") && write_file(path, result->output);
}

/* A copy of the store as it is now, while the server goes on. */
static bool copy_store(const char *to)
{
    char sql[1200];
    (void)snprintf(sql, sizeof(sql), "VACUUM INTO '%s'", to);
    return run_sql(instance_store_path(fixture.instance), sql);
}

static const char *url_of(const char *path)
{
    static char url[1100];
    (void)snprintf(url, sizeof(url), "sqlite:%s", path);
    return url;
}

/* ---- tests ---- */

static void test_the_ledger_of_a_running_issuerd_verifies(void)
{
    const char *key = path_of("audit.pem");
    const char *head = path_of("trusted");

    CU_ASSERT_TRUE_FATAL(start_with_audit_key());
    CU_ASSERT_TRUE(program_ended(ctl("verify", NULL), DONE, "verified: "));
    CU_ASSERT_TRUE(program_ended(ctl("verify", NULL), DONE, "self-asserted"));
    CU_ASSERT_TRUE_FATAL(keep_audit_key(key));
    CU_ASSERT_TRUE(copy_file(path_of("node-1.checkpoint"), head));
    CU_ASSERT_TRUE(redeem(0));
    const struct program_result *result =
        ctl("verify", "--audit-key", key, "--trusted-checkpoint", head, NULL);
    CU_ASSERT_TRUE(program_ended(result, DONE, "tree node-1/1: "));
    CU_ASSERT_TRUE(program_ended(result, DONE, "every checkpoint is signed by the audit key"));
    CU_ASSERT_TRUE(program_ended(result, DONE, "trusted checkpoints: 1"));
    CU_ASSERT_TRUE(
        program_ended(ctl("verify", "--json", NULL), DONE, "{\"verified\":true,\"entries\":"));
    /* issuerd goes on writing. */
    CU_ASSERT_TRUE(redeem(1));
}

static void test_a_token_is_proven_without_server_and_store(void)
{
    const char *key = path_of("audit.pem");
    const char *proof = path_of("proof");
    struct stat status;

    CU_ASSERT_TRUE_FATAL(start_with_audit_key());
    CU_ASSERT_TRUE_FATAL(keep_audit_key(key));
    CU_ASSERT_TRUE(
        program_ended(ctl("prove", "--out", proof, "--audit-key", key, "--", fixture.jtis[2], NULL),
                      DONE, "issuer.example/ledger/node-1/1 at size"));
    CU_ASSERT_TRUE(stat(proof, &status) == 0 && (status.st_mode & 0777) == 0600);
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, SETTLE_S), 0);

    const struct program_result *result = alone("check-proof", proof, "--audit-key", key, NULL);
    CU_ASSERT_TRUE(program_ended(result, DONE, "in issuer.example/ledger/node-1/1 at size"));
    CU_ASSERT_TRUE(program_ended(result, DONE, fixture.jtis[2]));
    /* None of our code. */
    const char *const argv[] = { "python3", getenv("TEST_CHECK_PROOF"), proof, key, NULL };
    CU_ASSERT_TRUE(program_ended(program_run(argv, RUN_S), DONE, fixture.jtis[2]));
}

static void test_a_proof_with_an_ed25519_key_is_one_to_others_too(void)
{
    const char *key = path_of("audit.pem");
    const char *proof = path_of("proof");
    const char *const argv[] = { "python3", getenv("TEST_CHECK_PROOF"), proof, key, NULL };

    instance_use_audit_file(fixture.instance, "Ed25519");
    CU_ASSERT_TRUE_FATAL(has_issued());
    CU_ASSERT_TRUE_FATAL(keep_audit_key(key));
    CU_ASSERT_TRUE(program_ended(ctl("prove", "--out", proof, "--", fixture.jtis[4], NULL), DONE,
                                 "proves entry"));
    CU_ASSERT_TRUE(program_ended(alone("check-proof", proof, "--audit-key", key, NULL), DONE,
                                 "proven: entry"));
    CU_ASSERT_TRUE(program_ended(program_run(argv, RUN_S), DONE, fixture.jtis[4]));
}

static void test_what_is_no_proof_is_refused(void)
{
    const char *key = path_of("audit.pem");
    const char *other = path_of("other.pem");
    const char *proof = path_of("proof");
    const char *changed = path_of("changed");
    const char *const make_other[] = { "sh", "-c",
                                       "openssl genpkey -algorithm EC -pkeyopt "
                                       "ec_paramgen_curve:P-256 | openssl pkey -pubout -out \"$0\"",
                                       other, NULL };
    const char *const change[] = { "sh",  "-c",    "sed '4s/^./A/;4s/^AA/B/' \"$0\" >\"$1\"",
                                   proof, changed, NULL };

    CU_ASSERT_TRUE_FATAL(start_with_audit_key());
    CU_ASSERT_TRUE_FATAL(keep_audit_key(key));
    CU_ASSERT_TRUE(
        program_ended(ctl("prove", "--out", proof, "--", fixture.jtis[0], NULL), DONE, "proves"));
    CU_ASSERT_TRUE(program_ended(ctl("prove", "--out", proof, "--", fixture.jtis[0], NULL),
                                 CANNOT_MAKE, "cannot be made"));
    CU_ASSERT_TRUE(program_ended(ctl("prove", "AAAAAAAAAAAAAAAAAAAAAA", NULL), REFUSED,
                                 "no entry of a token"));
    CU_ASSERT_TRUE(program_ended(ctl("prove", "no jti", NULL), USAGE, "member \"jti\""));

    CU_ASSERT_TRUE(program_ended(program_run(make_other, RUN_S), DONE, ""));
    CU_ASSERT_TRUE(program_ended(program_run(change, RUN_S), DONE, ""));
    CU_ASSERT_TRUE(program_ended(ctl("verify", "--audit-key", other, NULL), REFUSED, "WRONG: "));
    CU_ASSERT_TRUE(program_ended(
        ctl("prove", "--out", path_of("none"), "--audit-key", other, "--", fixture.jtis[0], NULL),
        REFUSED, "not signed by the audit key"));
    CU_ASSERT_TRUE(program_ended(alone("check-proof", proof, "--audit-key", other, NULL), REFUSED,
                                 "not signed by the audit key"));
    CU_ASSERT_TRUE(
        program_ended(alone("check-proof", changed, "--audit-key", key, NULL), REFUSED, "WRONG: "));
    CU_ASSERT_TRUE(
        program_ended(alone("check-proof", key, "--audit-key", key, NULL), REFUSED, "no proof"));
    CU_ASSERT_TRUE(program_ended(alone("check-proof", proof, NULL), USAGE, "--audit-key"));
    CU_ASSERT_TRUE(program_ended(alone("check-proof", path_of("nowhere"), "--audit-key", key, NULL),
                                 USAGE, "cannot be read"));
}

/* Nothing is made beside the copy, and not a byte of it changed. */
static void test_a_copy_is_read_and_nothing_else(void)
{
    const char *copy = path_of("copies/copy.db");
    const char *again = path_of("again.db");
    const char *const list[] = { "ls", "-A", path_of("copies"), NULL };
    const char *const compare[] = { "cmp", copy, again, NULL };

    CU_ASSERT_TRUE_FATAL(start_with_audit_key());
    CU_ASSERT_EQUAL_FATAL(mkdir(path_of("copies"), 0700), 0);
    CU_ASSERT_TRUE_FATAL(copy_store(copy));
    CU_ASSERT_TRUE_FATAL(run_sql(copy, "PRAGMA journal_mode = WAL"));
    CU_ASSERT_TRUE(copy_file(copy, again));
    CU_ASSERT_EQUAL(chmod(copy, 0400), 0);
    CU_ASSERT_TRUE(program_ended(alone("verify", "--store", url_of(copy), NULL), DONE, "verified"));
    CU_ASSERT_STRING_EQUAL(program_run(list, RUN_S)->output, "copy.db\n");
    CU_ASSERT_TRUE(program_ended(program_run(compare, RUN_S), DONE, ""));
    CU_ASSERT_TRUE(program_ended(alone("verify", "--store", url_of(path_of("nowhere.db")), NULL),
                                 UNAVAILABLE, "not there"));
    CU_ASSERT_TRUE(program_ended(alone("verify", NULL), USAGE, "which configuration"));
}

static void test_a_copy_that_was_tampered_with_names_the_entry(void)
{
    const char *copy = path_of("copy.db");

    CU_ASSERT_TRUE_FATAL(start_with_audit_key());
    CU_ASSERT_TRUE_FATAL(copy_store(copy));
    CU_ASSERT_TRUE_FATAL(run_sql(copy,
                                 "UPDATE ledger SET entry = replace(entry, 'issued', 'Issued')"
                                 " WHERE id % (1 << 40) = 3"));
    CU_ASSERT_TRUE(program_ended(alone("verify", "--store", url_of(copy), NULL), REFUSED,
                                 "WRONG: tree node-1/1, entry 3: the entry is not what its leaf"));
    CU_ASSERT_TRUE(program_ended(alone("verify", "--json", "--store", url_of(copy), NULL), REFUSED,
                                 "\"wrong\":{\"tree\":\"node-1/1\",\"index\":3,\"last_index\":3,"));
}

static void test_what_a_copy_cannot_prove_is_refused(void)
{
    const char *copy = path_of("copy.db");
    const char *proof = path_of("proof");

    CU_ASSERT_TRUE_FATAL(start_with_audit_key());
    CU_ASSERT_TRUE_FATAL(copy_store(copy));
    CU_ASSERT_TRUE_FATAL(run_sql(copy, "UPDATE ledger SET jti = 'AAAAAAAAAAAAAAAAAAAAAA'"
                                       " WHERE id % (1 << 40) = 0"));
    CU_ASSERT_TRUE(program_ended(alone("prove", "--out", proof, "--store", url_of(copy), "--",
                                       "AAAAAAAAAAAAAAAAAAAAAA", NULL),
                                 REFUSED, "no entry of a token"));
    CU_ASSERT_TRUE_FATAL(
        run_sql(copy, "UPDATE ledger SET leaf = zeroblob(32) WHERE id % (1 << 40) = 0"));
    CU_ASSERT_TRUE(program_ended(
        alone("prove", "--out", proof, "--store", url_of(copy), "--", fixture.jtis[0], NULL),
        REFUSED, "cannot be proven"));
    CU_ASSERT_TRUE_FATAL(
        run_sql(copy, "DELETE FROM checkpoints WHERE size > (SELECT min(size) FROM checkpoints)"));
    CU_ASSERT_TRUE(program_ended(alone("prove", "--out", proof, "--store", url_of(copy), "--",
                                       fixture.jtis[TOKENS - 1], NULL),
                                 REFUSED, "not covered by a checkpoint yet"));
    CU_ASSERT_TRUE_FATAL(
        run_sql(copy, "UPDATE checkpoints SET note = substr(note, 1, length(note) - 20) || 'AAAA'"
                      " || substr(note, length(note) - 15)"));
    CU_ASSERT_TRUE(program_ended(
        alone("prove", "--out", proof, "--store", url_of(copy), "--", fixture.jtis[1], NULL),
        REFUSED, "not signed by the audit key"));
    CU_ASSERT_NOT_EQUAL(access(proof, F_OK), 0);
}

static void test_an_older_copy_is_found_by_a_trusted_checkpoint(void)
{
    const char *key = path_of("audit.pem");
    const char *copy = path_of("copy.db");
    const char *head = path_of("trusted");
    const char *unsigned_head = path_of("unsigned");
    const char *const strip[] = {
        "sh", "-c", "head -n 3 \"$0\" >\"$1\"", head, unsigned_head, NULL
    };

    CU_ASSERT_TRUE_FATAL(start_with_audit_key());
    CU_ASSERT_TRUE_FATAL(keep_audit_key(key));
    CU_ASSERT_TRUE_FATAL(copy_store(copy));
    CU_ASSERT_TRUE(redeem(0));
    fixture.wanted = checkpoint_entries(fixture.instance);
    CU_ASSERT_TRUE_FATAL(
        health_await(fixture.instance, is_covered, monotonic_ns() + SETTLE_S * NS_PER_S));
    const struct program_result *newest = ctl("checkpoint", NULL);
    CU_ASSERT_TRUE(program_ended(newest, DONE, "issuer.example/ledger/node-1/1\n"));
    CU_ASSERT_TRUE(write_file(head, newest->output));
    CU_ASSERT_TRUE(program_ended(alone("verify", "--store", url_of(copy), NULL), DONE, "verified"));
    CU_ASSERT_TRUE(program_ended(alone("verify", "--store", url_of(copy), "--audit-key", key,
                                       "--trusted-checkpoint", head, NULL),
                                 REFUSED, "the ledger was cut, or the store rolled back"));
    CU_ASSERT_TRUE(program_ended(alone("consistency", "1", head, "--store", url_of(copy), NULL),
                                 REFUSED, "it was cut, or the store rolled back"));
    /* Its three lines alone are enough for who says that they are trusted, not for a key. */
    CU_ASSERT_TRUE(program_ended(program_run(strip, RUN_S), DONE, ""));
    CU_ASSERT_TRUE(program_ended(
        alone("verify", "--store", url_of(copy), "--trusted-checkpoint", unsigned_head, NULL),
        REFUSED, "the store rolled back"));
    CU_ASSERT_TRUE(program_ended(
        ctl("verify", "--audit-key", key, "--trusted-checkpoint", unsigned_head, NULL), USAGE,
        "not signed by the audit key"));
}

static void test_one_checkpoint_extends_another(void)
{
    const char *old_head = path_of("old");
    const char *forged = path_of("forged");

    CU_ASSERT_TRUE_FATAL(start_with_audit_key());
    CU_ASSERT_TRUE(write_file(old_head, ctl("checkpoint", NULL)->output));
    CU_ASSERT_TRUE(redeem(0));
    fixture.wanted = checkpoint_entries(fixture.instance);
    CU_ASSERT_TRUE_FATAL(
        health_await(fixture.instance, is_covered, monotonic_ns() + SETTLE_S * NS_PER_S));
    const char *head = path_of("node-1.checkpoint");
    CU_ASSERT_TRUE(
        program_ended(ctl("consistency", old_head, head, NULL), DONE, "extends that at size"));
    CU_ASSERT_TRUE(program_ended(ctl("consistency", "2", "5", "--json", NULL), DONE,
                                 "\"old_size\":2,\"size\":5,\"proof\":["));
    CU_ASSERT_TRUE(program_ended(ctl("consistency", "5", "2", NULL), USAGE, "the smaller one"));
    CU_ASSERT_TRUE(program_ended(ctl("consistency", "5", "1000000", NULL), REFUSED, "it was cut"));
    CU_ASSERT_TRUE(write_file(forged, "issuer.example/ledger/node-1/1\n3\n"
                                      "bsWRucJU5xJPHb5eBdOm6+DM+VelCZBuvtI3sHERJ9Y=\n"));
    CU_ASSERT_TRUE(program_ended(ctl("consistency", forged, head, NULL), REFUSED,
                                 "does not extend that at size 3"));
}

static void test_the_export_is_the_leaves(void)
{
    const char *file = path_of("export");
    const char *const argv[] = { "python3",
                                 "-c",
                                 "import hashlib, sqlite3, sys\n"
                                 "leaves = [row[0] for row in sqlite3.connect(sys.argv[2]).execute("
                                 "'SELECT leaf FROM ledger ORDER BY id')]\n"
                                 "lines = open(sys.argv[1], 'rb').read().splitlines()\n"
                                 "for line, leaf in zip(lines, leaves):\n"
                                 "    entry = line.split(b'\"entry\":', 1)[1][:-1]\n"
                                 "    assert hashlib.sha256(b'\\0' + entry).digest() == leaf\n"
                                 "print('checked', len(lines))\n",
                                 file,
                                 instance_store_path(fixture.instance),
                                 NULL };

    CU_ASSERT_TRUE_FATAL(start_with_audit_key());
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, SETTLE_S), 0);
    const struct program_result *result = ctl("export", NULL);
    CU_ASSERT_TRUE(program_ended(result, DONE, "{\"tree\":\"node-1/1\",\"index\":0,\"entry\":{"));
    CU_ASSERT_TRUE(write_file(file, result->output));
    CU_ASSERT_TRUE(program_ended(program_run(argv, RUN_S), DONE, "checked"));
    result = ctl("export", "--tree", "node-1/1", "--from", "3", NULL);
    CU_ASSERT_PTR_NOT_NULL(strstr(result->output, "\"index\":3,"));
    CU_ASSERT_PTR_NULL(strstr(result->output, "\"index\":2,"));
    CU_ASSERT_TRUE(program_ended(ctl("export", "--from", "3", NULL), USAGE, "--tree"));
    CU_ASSERT_TRUE(program_ended(ctl("export", "--tree", "node-2/1", NULL), REFUSED, "no tree"));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "the ledger of a running issuerd verifies",
          test_the_ledger_of_a_running_issuerd_verifies },
        { "a token is proven without server and store",
          test_a_token_is_proven_without_server_and_store },
        { "a proof with an ed25519 key is one to others too",
          test_a_proof_with_an_ed25519_key_is_one_to_others_too },
        { "what is no proof is refused", test_what_is_no_proof_is_refused },
        { "a copy is read and nothing else", test_a_copy_is_read_and_nothing_else },
        { "a copy that was tampered with names the entry",
          test_a_copy_that_was_tampered_with_names_the_entry },
        { "what a copy cannot prove is refused", test_what_a_copy_cannot_prove_is_refused },
        { "an older copy is found by a trusted checkpoint",
          test_an_older_copy_is_found_by_a_trusted_checkpoint },
        { "one checkpoint extends another", test_one_checkpoint_extends_another },
        { "the export is the leaves", test_the_export_is_the_leaves },
        CU_TEST_INFO_NULL,
    };
    return run_suite("issuerctl ledger", set_up, tear_down, tests);
}

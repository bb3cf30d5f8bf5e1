/*
 * Backup and restore, by the commands of systemd/README.md, beside a running issuerd: a store from an older copy
 * does not make a spent code good again.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/api.h"
#include "support/health.h"
#include "support/ledger.h"
#include "support/program.h"
#include "support/run.h"

enum { DONE = 0, REFUSED = 1, USAGE = 64, RUN_S = 60, SOON_S = 20, TOKENS = 5 };

static struct {
    struct instance *instance;
    char backup[1024];
    char kept_code[API_CODE_SIZE];   /* made before the backup, redeemed after it */
    char unused_code[API_CODE_SIZE]; /* made before the backup, never redeemed */
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.instance = instance_new(NULL);
    instance_set(fixture.instance, "tokens.code_lifetime_s=600");
    instance_set(fixture.instance, "ledger.checkpoint_s=1");
    (void)snprintf(fixture.backup, sizeof(fixture.backup), "%s/backup.db",
                   instance_directory(fixture.instance));
}

static void tear_down(void)
{
    instance_free(take(fixture.instance));
}

/* ---- requests ---- */

static bool redeem(const char *code, int status, int error_code)
{
    struct http_client *client = http_connect(instance_public_port(fixture.instance));
    const struct http_reply *reply = api_redeem(client, code);
    const bool good = status == 201
                        ? is_token_reply(reply, NULL)
                        : is_error_reply(reply, status, error_code, "POST", TOKENS_PATH);
    http_close(client);
    return good;
}

static bool redeem_fresh_ones(int count)
{
    char code[API_CODE_SIZE];
    bool good = true;

    for (int i = 0; i < count && good; i++) {
        good = api_make_code(fixture.instance, NULL, code) && redeem(code, 201, 0);
    }
    return good;
}

static bool publishes_keys(void)
{
    struct http_client *client = http_connect(instance_public_port(fixture.instance));
    const struct http_reply *reply = http_get(client, "/.well-known/jwks.json");
    const bool good = reply->status == 200 && strstr(reply->body, "\"kid\"") != NULL;

    http_close(client);
    return good;
}

static const struct program_result *accept_restore(const char *reason)
{
    const char *const argv[] = { "issuerctl",
                                 "--config",
                                 instance_conf_path(fixture.instance),
                                 "ledger",
                                 "accept-restore",
                                 "--yes",
                                 reason != NULL ? "--reason" : NULL,
                                 reason,
                                 NULL };
    return program_run(argv, RUN_S);
}

/* ---- the guide's commands ---- */

static bool is_sqlite(void)
{
    return strncmp(instance_store_url(fixture.instance), "sqlite:", strlen("sqlite:")) == 0;
}

static bool back_up(void)
{
    char sql[1100];
    const char *const sqlite[] = { "sqlite3", instance_store_path(fixture.instance), sql, NULL };
    const char *const postgresql[] = { "pg_dump",
                                       "--format=custom",
                                       "--file",
                                       fixture.backup,
                                       instance_store_url(fixture.instance),
                                       NULL };

    (void)snprintf(sql, sizeof(sql), "VACUUM INTO '%s'", fixture.backup);
    return program_ended(program_run(is_sqlite() ? sqlite : postgresql, RUN_S), DONE, "");
}

static bool restore(void)
{
    const char *const postgresql[] = {
        "pg_restore",   "--clean", "--if-exists", "--dbname", instance_store_url(fixture.instance),
        fixture.backup, NULL
    };
    char path[1100];

    if (!is_sqlite()) {
        return program_ended(program_run(postgresql, RUN_S), DONE, "");
    }

    (void)snprintf(path, sizeof(path), "%s-wal", instance_store_path(fixture.instance));
    (void)unlink(path);
    (void)snprintf(path, sizeof(path), "%s-shm", instance_store_path(fixture.instance));
    (void)unlink(path);
    return rename(fixture.backup, instance_store_path(fixture.instance)) == 0;
}

/* Backs up, goes on issuing, and comes back with the older store. */
static bool restore_older(void)
{
    return instance_start(fixture.instance) && redeem_fresh_ones(TOKENS)
        && api_make_code(fixture.instance, NULL, fixture.kept_code)
        && api_make_code(fixture.instance, NULL, fixture.unused_code) && back_up()
        && redeem(fixture.kept_code, 201, 0) && redeem_fresh_ones(TOKENS)
        && instance_stop(fixture.instance, SOON_S) == 0 && restore()
        && instance_start(fixture.instance);
}

static bool serves_soon(void)
{
    return health_await(fixture.instance, health_is_ready, monotonic_ns() + SOON_S * NS_PER_S);
}

/* ---- tests ---- */

static void test_a_backup_of_a_running_store_is_whole(void)
{
    const char *const sqlite[] = { "sqlite3", fixture.backup, "PRAGMA integrity_check", NULL };
    const char *const postgresql[] = { "pg_restore", "--list", fixture.backup, NULL };

    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && redeem_fresh_ones(TOKENS));
    CU_ASSERT_TRUE(back_up());
    CU_ASSERT_TRUE(is_sqlite()
                       ? program_ended(program_run(sqlite, RUN_S), DONE, "ok")
                       : program_ended(program_run(postgresql, RUN_S), DONE, "ledger_trees"));
    CU_ASSERT_TRUE(redeem_fresh_ones(1));
}

static void test_an_older_store_issues_nothing_and_its_keys_are_published(void)
{
    CU_ASSERT_TRUE_FATAL(restore_older());
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "ledger.rolled_back"));
    CU_ASSERT_TRUE(redeem(fixture.kept_code, 503, API_LEDGER_STOPPED));
    CU_ASSERT_TRUE(redeem(fixture.unused_code, 503, API_LEDGER_STOPPED));
    CU_ASSERT_TRUE(health_is_not_ready(fixture.instance));
    CU_ASSERT_TRUE(publishes_keys());
    CU_ASSERT_EQUAL(ledger_entries(fixture.instance), TOKENS);

    /* not by a restart either */
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, SOON_S), 0);
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_TRUE(redeem(fixture.kept_code, 503, API_LEDGER_STOPPED));
}

static void test_an_operator_accepts_it_and_no_code_is_good_again(void)
{
    CU_ASSERT_TRUE_FATAL(restore_older());
    CU_ASSERT_TRUE(program_ended(accept_restore(NULL), USAGE, "--reason"));
    CU_ASSERT_TRUE(redeem(fixture.kept_code, 503, API_LEDGER_STOPPED));
    const struct program_result *accepted = accept_restore("the disk broke");
    CU_ASSERT_TRUE(program_ended(accepted, DONE, "2 open requests and codes"));
    CU_ASSERT_STRING_EQUAL(accepted->errors, ""); /* no line of a log */
    CU_ASSERT_TRUE_FATAL(serves_soon());
    CU_ASSERT_TRUE(redeem(fixture.kept_code, 400, API_CODE_GONE));
    CU_ASSERT_TRUE(redeem(fixture.unused_code, 400, API_CODE_GONE));
    CU_ASSERT_TRUE(redeem_fresh_ones(TOKENS));
    CU_ASSERT_EQUAL(ledger_entries(fixture.instance), 2 * TOKENS);
    CU_ASSERT_TRUE(
        program_ended(accept_restore("once more"), REFUSED, "nothing is to be accepted"));

    CU_ASSERT_EQUAL(instance_stop(fixture.instance, SOON_S), 0);
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_TRUE(redeem_fresh_ones(1));
}

static void test_a_store_restored_as_it_was_is_no_older_one(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && redeem_fresh_ones(TOKENS));
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, SOON_S), 0);
    CU_ASSERT_TRUE(back_up() && restore());
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_TRUE(redeem_fresh_ones(1));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a backup of a running store is whole", test_a_backup_of_a_running_store_is_whole },
        { "an older store issues nothing and its keys are published",
          test_an_older_store_issues_nothing_and_its_keys_are_published },
        { "an operator accepts it and no code is good again",
          test_an_operator_accepts_it_and_no_code_is_good_again },
        { "a store restored as it was is no older one",
          test_a_store_restored_as_it_was_is_no_older_one },
        CU_TEST_INFO_NULL,
    };
    return run_suite("restore", set_up, tear_down, tests);
}

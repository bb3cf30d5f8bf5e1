/* The PostgreSQL store where the world is not as it should be: another schema, locks of others, a server
 * that is slow, ends its sessions, or waits for a standby that is not there. */
#include "store/store.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "contract/postgresql_fixture.h"
#include "contract/store_steps.h"
#include "support/run.h"

/* The longest wait for an answer is 1.5 s; the rest is slack for a loaded machine. */
#define ANSWER_LIMIT_NS (6 * NS_PER_S)

static struct {
    const char *url;
    struct store_options options;
    struct store *store;
    struct store *other;
    pid_t stopped;
    struct error err;
} fixture;

static bool open_url(const char *url)
{
    const bool opened = store_open(url, &fixture.options, &fixture.store, &fixture.err);
    if (!opened) {
        fixture.store = NULL;
    }
    return opened;
}

static bool open_store(void)
{
    return open_url(fixture.url);
}

static void close_store(void)
{
    store_close(take(fixture.store));
}

static bool as_superuser(const char *sql)
{
    return postgresql_fixture_run_as_superuser(sql) >= 0;
}

static bool run(const char *sql)
{
    return postgresql_fixture_run(sql) >= 0;
}

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.options = (struct store_options){ .max_open_requests = 1000, .retention_s = 10 };
    fixture.url = store_fixture_make();
}

/* Of what a test may have changed in the server. */
static void reset_server(void)
{
    (void)as_superuser("SET synchronous_commit = local; SET default_transaction_read_only = off");
    (void)as_superuser("ALTER SYSTEM RESET ALL");
    (void)as_superuser("SELECT pg_reload_conf()");
    (void)as_superuser("ALTER DATABASE issuerd RESET ALL");
    (void)as_superuser("ALTER ROLE issuerd RESET ALL");
}

static void tear_down(void)
{
    if (fixture.stopped > 0) {
        (void)kill(fixture.stopped, SIGCONT);
    }
    reset_server();
    close_store();
    store_close(take(fixture.other));
    store_fixture_remove();
}

static bool begin(void)
{
    return step_begin(fixture.store, &fixture.err);
}

static bool commit(void)
{
    return store_commit(fixture.store, &fixture.err);
}

static bool create(unsigned number)
{
    return step_create(fixture.store, number, &fixture.err);
}

static bool make_code(unsigned number, int64_t *row_out)
{
    return step_make_code(fixture.store, number, row_out, &fixture.err);
}

static bool has_failed_with(enum error_code code, const char *words)
{
    const bool right =
        fixture.err.code == code && strstr(error_line(&fixture.err).text, words) != NULL;
    if (!right) {
        fprintf(stderr, "code %d: %s\n", (int)fixture.err.code, error_line(&fixture.err).text);
    }
    return right;
}

static bool is_refused(const char *url, enum error_code code, const char *words)
{
    return !open_url(url) && has_failed_with(code, words);
}

/* The session that is in a transaction: the writer's. */
#define WRITER                                                                                     \
    " FROM pg_stat_activity WHERE application_name = 'issuerd' AND state = 'idle in transaction'"

/* ---- schemas ---- */

static void test_a_schema_newer_than_the_program_is_refused_and_left_as_it_is(void)
{
    CU_ASSERT_TRUE_FATAL(open_store());
    close_store();
    CU_ASSERT_TRUE_FATAL(run("UPDATE issuerd_schema SET version = 2000000"));
    CU_ASSERT_TRUE(is_refused(fixture.url, ERROR_CONFIG, "schema 2000000"));
    CU_ASSERT_TRUE(is_refused(fixture.url, ERROR_CONFIG, "newer issuerd"));
    CU_ASSERT_EQUAL(postgresql_fixture_run("SELECT version FROM issuerd_schema"), 2000000);
    CU_ASSERT_EQUAL(store_fixture_authorizations(), 0);
}

static void test_a_schema_that_is_older_is_migrated(void)
{
    CU_ASSERT_TRUE_FATAL(run("CREATE TABLE issuerd_schema (version BIGINT NOT NULL);"
                             "INSERT INTO issuerd_schema VALUES (0)"));
    CU_ASSERT_TRUE(open_store());
    CU_ASSERT_TRUE(postgresql_fixture_run("SELECT version FROM issuerd_schema") > 0);
    CU_ASSERT_EQUAL(postgresql_fixture_run("SELECT count(*) FROM issuerd_schema"), 1);
}

static void *open_other(void *argument)
{
    struct error err;

    if (!store_open(fixture.url, &fixture.options, &fixture.other, &err)) {
        (void)fprintf(stderr, "%s\n", error_line(&err).text);
        return NULL;
    }
    return argument;
}

static void test_two_servers_that_start_at_once_make_one_schema(void)
{
    pthread_t thread;
    void *opened = NULL;

    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, open_other, &fixture), 0);
    const bool ours = open_store();
    CU_ASSERT_EQUAL(pthread_join(thread, &opened), 0);
    CU_ASSERT_TRUE(ours);
    CU_ASSERT_PTR_NOT_NULL(opened);
    CU_ASSERT_EQUAL(postgresql_fixture_run("SELECT count(*) FROM issuerd_schema"), 1);
    CU_ASSERT_EQUAL(postgresql_fixture_run("SELECT count(*) FROM heartbeat"), 16);
}

static void test_a_schema_that_drifted_is_refused_with_the_first_difference(void)
{
    static const char *const drifts[][3] = {
        { "ALTER TABLE keys DROP COLUMN last_expiry_s", "in keys, column last_expiry_s is missing",
          "ALTER TABLE keys ADD COLUMN last_expiry_s BIGINT NOT NULL DEFAULT 0" },
        { "ALTER TABLE keys ALTER due_s TYPE INTEGER",
          "column due_s is integer NOT NULL and should",
          "ALTER TABLE keys ALTER due_s TYPE BIGINT" },
        { "ALTER TABLE ledger ALTER leaf DROP NOT NULL", "column leaf is bytea and should",
          "ALTER TABLE ledger ALTER leaf SET NOT NULL" },
        { "ALTER TABLE authorizations DROP CONSTRAINT authorizations_code_hash_key",
          "in authorizations, a unique index on (code_hash) is missing",
          "ALTER TABLE authorizations ADD UNIQUE (code_hash)" },
        { "DROP INDEX authorizations_presentation",
          "a unique index on (presentation_hash) WHERE (presentation_hash IS NOT NULL) is missing",
          "CREATE UNIQUE INDEX ON authorizations (presentation_hash)"
          " WHERE presentation_hash IS NOT NULL" },
        { "ALTER TABLE ledger DROP CONSTRAINT ledger_pkey", "a unique index on (id) is missing",
          "ALTER TABLE ledger ADD PRIMARY KEY (id)" },
        { "ALTER TABLE ledger SET UNLOGGED", "in ledger, the table is unlogged",
          "ALTER TABLE ledger SET LOGGED" },
        { "ALTER TABLE ledger_trees ALTER node TYPE TEXT COLLATE \"default\"",
          "column node is text COLLATE default NOT NULL and should",
          "ALTER TABLE ledger_trees ALTER node TYPE TEXT COLLATE \"C\"" },
        { "DROP TABLE revoked_tokens", "in revoked_tokens, the table is missing",
          "CREATE TABLE revoked_tokens (jti TEXT COLLATE \"C\" PRIMARY KEY,"
          " token_expires_s BIGINT NOT NULL, revoked_s BIGINT NOT NULL)" },
    };

    CU_ASSERT_TRUE_FATAL(open_store());
    for (size_t i = 0; i < COUNT_OF(drifts); i++) {
        close_store();
        CU_ASSERT_TRUE_FATAL(run(drifts[i][0]));
        CU_ASSERT_TRUE(is_refused(fixture.url, ERROR_CONFIG, drifts[i][1]));
        CU_ASSERT_TRUE_FATAL(run(drifts[i][2]));
        CU_ASSERT_TRUE_FATAL(open_store());
    }
}

static void test_a_table_of_another_program_is_refused(void)
{
    CU_ASSERT_TRUE_FATAL(run("CREATE TABLE authorizations (theirs TEXT)"));
    CU_ASSERT_TRUE(is_refused(fixture.url, ERROR_STORE_UNAVAILABLE, "migrate the schema"));
    CU_ASSERT_EQUAL(postgresql_fixture_run("SELECT count(*) FROM authorizations"), 0);
}

static void test_a_database_of_another_encoding_is_refused(void)
{
    char url[512];
    const char *at = strstr(fixture.url, "/issuerd?");

    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    (void)as_superuser("CREATE DATABASE latin OWNER issuerd TEMPLATE template0 ENCODING 'LATIN1'");
    (void)snprintf(url, sizeof(url), "%.*s/latin%s", (int)(at - fixture.url), fixture.url,
                   strchr(at, '?'));
    CU_ASSERT_TRUE(is_refused(url, ERROR_CONFIG, "encoding is LATIN1"));
}

/* ---- URLs ---- */

static void test_a_password_in_the_url_is_refused_and_not_repeated(void)
{
    static const char *const urls[] = { "postgresql://issuerd:s3cret@localhost/issuerd",
                                        "postgres://localhost/issuerd?password=s3cret",
                                        "postgresql://localhost/issuerd?sslpassword=s3cret" };

    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        CU_ASSERT_TRUE(is_refused(urls[i], ERROR_CONFIG, "holds a password"));
        CU_ASSERT_PTR_NULL(strstr(error_line(&fixture.err).text, "s3cret"));
    }
}

static void test_a_server_that_is_not_there_is_named(void)
{
    CU_ASSERT_TRUE(is_refused("postgresql:///issuerd?host=/no/such/place&port=1",
                              ERROR_STORE_UNAVAILABLE, "/no/such/place:1: connect"));
}

/* ---- sessions that end ---- */

static void test_what_was_not_committed_when_the_session_ended_was_not_written(void)
{
    CU_ASSERT_TRUE_FATAL(open_store() && begin() && create(1));
    CU_ASSERT_TRUE_FATAL(as_superuser("SELECT pg_terminate_backend(pid)" WRITER));
    CU_ASSERT_FALSE(create(2));
    CU_ASSERT_TRUE(has_failed_with(ERROR_STORE_UNAVAILABLE, "57P01"));
    store_rollback(fixture.store);
    CU_ASSERT_EQUAL(store_fixture_authorizations(), 0);
    CU_ASSERT_TRUE(begin() && create(1) && commit());
    CU_ASSERT_EQUAL(store_fixture_authorizations(), 1);
}

static void test_a_session_that_ended_between_transactions_costs_nothing(void)
{
    struct open_authorization found;

    CU_ASSERT_TRUE_FATAL(open_store() && begin() && create(1) && commit());
    CU_ASSERT_TRUE(store_find_authorization(fixture.store, "00000000-0000-7000-8000-000000000001",
                                            &found, &fixture.err));
    CU_ASSERT_TRUE_FATAL(as_superuser("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                                      " WHERE application_name = 'issuerd'"));
    CU_ASSERT_TRUE(begin() && create(2) && commit());
    for (int i = 0; i < 8; i++) { /* whichever reader it is */
        CU_ASSERT_TRUE(store_find_authorization(
            fixture.store, "00000000-0000-7000-8000-000000000001", &found, &fixture.err));
    }
}

static void test_a_commit_of_a_session_that_ended_is_in_doubt(void)
{
    int64_t row = 0;
    bool redeemed = true;

    CU_ASSERT_TRUE_FATAL(open_store() && make_code(1, &row) && begin());
    CU_ASSERT_TRUE(step_redeem(fixture.store, 1, row, "jti", &fixture.err));
    CU_ASSERT_TRUE_FATAL(as_superuser("SELECT pg_terminate_backend(pid)" WRITER));
    CU_ASSERT_FALSE(commit());
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_STORE_IN_DOUBT);
    const struct redemption redemption = step_redemption(1, row, "jti");
    CU_ASSERT_TRUE(begin()
                   && store_has_redeemed(fixture.store, &redemption, &redeemed, &fixture.err)
                   && commit());
    CU_ASSERT_FALSE(redeemed);
    CU_ASSERT_FALSE(step_is_spent(fixture.store, 1));
}

/* ---- waits ---- */

static void test_a_row_that_another_session_has_is_waited_for_and_then_told(void)
{
    int64_t row = 0;

    CU_ASSERT_TRUE_FATAL(open_store() && make_code(1, &row));
    CU_ASSERT_TRUE_FATAL(run("BEGIN; UPDATE authorizations SET tries = 7"));
    const int64_t start_ns = monotonic_ns();
    CU_ASSERT_TRUE(begin());
    CU_ASSERT_FALSE(step_redeem(fixture.store, 1, row, "jti", &fixture.err));
    CU_ASSERT_TRUE(has_failed_with(ERROR_STORE_UNAVAILABLE, "55P03"));
    CU_ASSERT_TRUE(monotonic_ns() - start_ns >= NS_PER_S);
    CU_ASSERT_TRUE(monotonic_ns() - start_ns < ANSWER_LIMIT_NS);
    store_rollback(fixture.store);
    CU_ASSERT_TRUE_FATAL(run("ROLLBACK"));
    CU_ASSERT_TRUE(begin() && step_redeem(fixture.store, 1, row, "jti", &fixture.err) && commit());
}

static void test_a_statement_that_takes_too_long_is_ended(void)
{
    CU_ASSERT_TRUE_FATAL(open_store());
    CU_ASSERT_TRUE_FATAL(run("CREATE FUNCTION doze() RETURNS trigger LANGUAGE plpgsql AS"
                             " 'BEGIN PERFORM pg_sleep(5); RETURN NEW; END';"
                             "CREATE TRIGGER doze BEFORE INSERT ON authorizations FOR EACH ROW"
                             " EXECUTE FUNCTION doze()"));
    const int64_t start_ns = monotonic_ns();
    CU_ASSERT_TRUE(begin());
    CU_ASSERT_FALSE(create(1));
    CU_ASSERT_TRUE(has_failed_with(ERROR_STORE_UNAVAILABLE, "57014"));
    CU_ASSERT_TRUE(monotonic_ns() - start_ns < ANSWER_LIMIT_NS);
    store_rollback(fixture.store);
    CU_ASSERT_TRUE_FATAL(run("DROP TRIGGER doze ON authorizations"));
    CU_ASSERT_TRUE(begin() && create(1) && commit());
}

static void test_a_server_that_stands_still_is_given_up(void)
{
    CU_ASSERT_TRUE_FATAL(open_store() && begin() && create(1));
    fixture.stopped = (pid_t)postgresql_fixture_run_as_superuser("SELECT pid" WRITER);
    CU_ASSERT_TRUE_FATAL(fixture.stopped > 0);
    CU_ASSERT_EQUAL(kill(fixture.stopped, SIGSTOP), 0);
    const int64_t start_ns = monotonic_ns();
    CU_ASSERT_FALSE(create(2));
    CU_ASSERT_TRUE(has_failed_with(ERROR_STORE_UNAVAILABLE, "no answer in time"));
    CU_ASSERT_TRUE(monotonic_ns() - start_ns < ANSWER_LIMIT_NS);
    store_rollback(fixture.store);
    CU_ASSERT_TRUE(begin() && create(3) && commit());
}

/* ---- conflicts ---- */

static void test_an_index_that_another_transaction_took_is_a_conflict(void)
{
    const struct ledger_row row = { .tree = 1, .entry = "{}", .leaf = merkle_leaf("{}", 2) };

    CU_ASSERT_TRUE_FATAL(open_store());
    CU_ASSERT_TRUE_FATAL(store_open(fixture.url, &fixture.options, &fixture.other, &fixture.err));
    CU_ASSERT_TRUE(begin() && store_append_entry(fixture.store, &row, &fixture.err) && commit());
    CU_ASSERT_TRUE(step_begin(fixture.other, &fixture.err)
                   && step_create(fixture.other, 1, &fixture.err)
                   && store_append_entry(fixture.other, &row, &fixture.err));
    CU_ASSERT_FALSE(store_commit(fixture.other, &fixture.err));
    CU_ASSERT_TRUE(has_failed_with(ERROR_STORE_CONFLICT, "23505"));
    CU_ASSERT_EQUAL(store_fixture_authorizations(), 0);
    CU_ASSERT_EQUAL(store_fixture_ledger_entries(NULL), 1);
    CU_ASSERT_TRUE(step_begin(fixture.other, &fixture.err)
                   && store_commit(fixture.other, &fixture.err));
}

static struct {
    int64_t row;
    struct error err;
} rival;

static void *redeem_the_first(void *argument)
{
    return step_redeem(fixture.other, 1, rival.row, "theirs", &rival.err) ? argument : NULL;
}

static void test_of_two_transactions_that_wait_for_each_other_one_is_a_conflict(void)
{
    pthread_t thread;
    void *theirs = NULL;
    int64_t row = 0;

    CU_ASSERT_TRUE_FATAL(as_superuser("ALTER SYSTEM SET deadlock_timeout = '100ms'")
                         && as_superuser("SELECT pg_reload_conf()"));
    CU_ASSERT_TRUE_FATAL(open_store() && make_code(1, &rival.row) && make_code(2, &row));
    CU_ASSERT_TRUE_FATAL(store_open(fixture.url, &fixture.options, &fixture.other, &fixture.err));
    CU_ASSERT_TRUE(step_begin(fixture.other, &fixture.err)
                   && step_redeem(fixture.other, 2, row, "theirs", &fixture.err));
    CU_ASSERT_TRUE(begin() && step_redeem(fixture.store, 1, rival.row, "ours", &fixture.err));
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, redeem_the_first, &fixture), 0);
    const bool ours = step_redeem(fixture.store, 2, row, "ours", &fixture.err);
    if (!ours) {
        store_rollback(fixture.store);
    }
    CU_ASSERT_EQUAL(pthread_join(thread, &theirs), 0);
    CU_ASSERT_TRUE(ours != (theirs != NULL));
    CU_ASSERT_EQUAL(ours ? rival.err.code : fixture.err.code, ERROR_STORE_CONFLICT);
    CU_ASSERT_TRUE(store_commit(ours ? fixture.store : fixture.other, &fixture.err));
    CU_ASSERT_EQUAL(
        postgresql_fixture_run("SELECT count(*) FROM authorizations WHERE jti IS NOT NULL"), 2);
    CU_ASSERT_EQUAL(postgresql_fixture_run("SELECT count(DISTINCT jti) FROM authorizations"), 1);
}

static void test_a_database_that_asks_for_serializable_transactions_gets_none(void)
{
    int64_t row = 0;

    CU_ASSERT_TRUE_FATAL(
        as_superuser("ALTER DATABASE issuerd SET default_transaction_isolation = serializable"));
    CU_ASSERT_TRUE_FATAL(open_store() && make_code(1, &row));
    CU_ASSERT_TRUE(begin() && create(2)); /* its snapshot is taken */
    CU_ASSERT_TRUE(run("UPDATE authorizations SET tries = 1 WHERE code_hash IS NOT NULL"));
    CU_ASSERT_TRUE(step_redeem(fixture.store, 1, row, "jti", &fixture.err) && commit());
}

static void test_a_server_that_is_read_only_is_not_used(void)
{
    CU_ASSERT_TRUE_FATAL(open_store());
    CU_ASSERT_TRUE_FATAL(as_superuser("ALTER SYSTEM SET default_transaction_read_only = on")
                         && as_superuser("SELECT pg_reload_conf()"));
    (void)usleep(200000); /* until the session has noticed */
    if (begin()) {
        CU_ASSERT_FALSE(create(1));
        CU_ASSERT_TRUE(has_failed_with(ERROR_STORE_UNAVAILABLE, "25006"));
        store_rollback(fixture.store);
    }
    CU_ASSERT_FALSE(begin());
    CU_ASSERT_TRUE(has_failed_with(ERROR_STORE_UNAVAILABLE, "read-only"));
    CU_ASSERT_TRUE_FATAL(as_superuser("ALTER SYSTEM RESET default_transaction_read_only"));
    CU_ASSERT_TRUE_FATAL(as_superuser("SELECT pg_reload_conf()"));
    (void)usleep(500000);
    CU_ASSERT_TRUE(begin() && create(1) && commit());
}

/* ---- a standby that is not there ---- */

static void test_a_commit_that_waits_for_a_standby_too_long_is_in_doubt_until_it_is_there(void)
{
    const struct redemption redemption = step_redemption(1, 1, "jti");
    int64_t row = 0;
    bool redeemed = false;

    CU_ASSERT_TRUE_FATAL(open_store() && make_code(1, &row)
                         && postgresql_fixture_wait_for_standby("nobody"));
    CU_ASSERT_EQUAL_FATAL(row, redemption.row);
    CU_ASSERT_TRUE(begin() && step_redeem(fixture.store, 1, row, "jti", &fixture.err));
    const int64_t start_ns = monotonic_ns();
    CU_ASSERT_FALSE(commit());
    CU_ASSERT_TRUE(has_failed_with(ERROR_STORE_IN_DOUBT, "no answer in time"));
    CU_ASSERT_TRUE(monotonic_ns() - start_ns < ANSWER_LIMIT_NS);

    /* Whoever has the row is waited for, in vain. */
    CU_ASSERT_TRUE(begin());
    CU_ASSERT_FALSE(store_has_redeemed(fixture.store, &redemption, &redeemed, &fixture.err));
    CU_ASSERT_TRUE(has_failed_with(ERROR_STORE_UNAVAILABLE, "55P03"));
    store_rollback(fixture.store);

    CU_ASSERT_TRUE_FATAL(postgresql_fixture_wait_for_standby(""));
    CU_ASSERT_TRUE(begin()
                   && store_has_redeemed(fixture.store, &redemption, &redeemed, &fixture.err)
                   && commit());
    CU_ASSERT_TRUE(redeemed);
}

/* Ends the wait of the one that waits, as an operator might. */
static void *end_the_wait(void *sql)
{
    for (int i = 0; i < 100; i++) {
        if (postgresql_fixture_run_as_superuser(sql) > 0) {
            return sql;
        }
        (void)usleep(10000);
    }
    return NULL;
}

static void expect_doubt(const char *sql, const char *words)
{
    const struct redemption redemption = step_redemption(1, 1, "jti");
    pthread_t thread;
    void *ended = NULL;
    int64_t row = 0;
    bool redeemed = false;

    CU_ASSERT_TRUE_FATAL(open_store() && make_code(1, &row)
                         && postgresql_fixture_wait_for_standby("nobody"));
    CU_ASSERT_TRUE(begin() && step_redeem(fixture.store, 1, row, "jti", &fixture.err));
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, end_the_wait, (void *)sql), 0);
    CU_ASSERT_FALSE(commit());
    CU_ASSERT_EQUAL(pthread_join(thread, &ended), 0);
    CU_ASSERT_PTR_NOT_NULL(ended);
    CU_ASSERT_TRUE(has_failed_with(ERROR_STORE_IN_DOUBT, words));

    /* Its row is free and spent, and still no standby has it: nor is that answer to be trusted. */
    CU_ASSERT_TRUE(begin()
                   && store_has_redeemed(fixture.store, &redemption, &redeemed, &fixture.err));
    CU_ASSERT_FALSE(commit());
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_STORE_IN_DOUBT);
    CU_ASSERT_TRUE_FATAL(postgresql_fixture_wait_for_standby(""));
    CU_ASSERT_TRUE(begin()
                   && store_has_redeemed(fixture.store, &redemption, &redeemed, &fixture.err)
                   && commit());
    CU_ASSERT_TRUE(redeemed);
}

static void test_a_cancelled_wait_for_the_standby_is_in_doubt(void)
{
    expect_doubt("SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity"
                 " WHERE wait_event = 'SyncRep'",
                 "the wait for the standby was cancelled");
}

static void test_a_session_that_ends_while_it_waits_for_the_standby_is_in_doubt(void)
{
    expect_doubt("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                 " WHERE wait_event = 'SyncRep'",
                 "commit");
}

static void test_a_role_that_turns_synchronous_commits_off_gets_them_all_the_same(void)
{
    CU_ASSERT_TRUE_FATAL(as_superuser("ALTER ROLE issuerd SET synchronous_commit = off"));
    CU_ASSERT_TRUE_FATAL(open_store() && postgresql_fixture_wait_for_standby("nobody"));
    CU_ASSERT_TRUE(begin() && create(1));
    CU_ASSERT_FALSE(commit());
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_STORE_IN_DOUBT);
    CU_ASSERT_TRUE(postgresql_fixture_wait_for_standby(""));
}

/* ---- nodes beside each other ---- */

static void test_heartbeats_and_purges_of_nodes_do_not_wait_for_each_other(void)
{
    bool more = true;

    CU_ASSERT_TRUE_FATAL(open_store() && begin() && create(1) && create(2) && commit());
    CU_ASSERT_TRUE_FATAL(store_open(fixture.url, &fixture.options, &fixture.other, &fixture.err));
    CU_ASSERT_TRUE(begin() && store_heartbeat(fixture.store, 1, &fixture.err)
                   && store_purge(fixture.store, STEPS_NOW_S + 700, 1, &more, &fixture.err));
    CU_ASSERT_TRUE(more);
    const int64_t start_ns = monotonic_ns();
    CU_ASSERT_TRUE(step_begin(fixture.other, &fixture.err)
                   && store_heartbeat(fixture.other, 2, &fixture.err)
                   && store_purge(fixture.other, STEPS_NOW_S + 700, 5, &more, &fixture.err)
                   && store_commit(fixture.other, &fixture.err));
    CU_ASSERT_FALSE(more);
    CU_ASSERT_TRUE(monotonic_ns() - start_ns < NS_PER_S);
    CU_ASSERT_TRUE(commit());
    CU_ASSERT_EQUAL(store_fixture_authorizations(), 0);
}

static void test_the_time_is_the_database_s(void)
{
    int64_t now_s = 0;
    int64_t again_s = 0;

    CU_ASSERT_TRUE_FATAL(open_store());
    CU_ASSERT_TRUE(store_begin(fixture.store, &now_s, &fixture.err) && commit());
    const int64_t theirs_s =
        postgresql_fixture_run("SELECT floor(extract(epoch FROM clock_timestamp()))");
    CU_ASSERT_TRUE(now_s <= theirs_s && theirs_s <= now_s + 5);
    CU_ASSERT_TRUE(store_now_s(fixture.store) >= now_s);
    CU_ASSERT_TRUE(store_now_s(fixture.store) <= now_s + 5);
    CU_ASSERT_TRUE(store_begin(fixture.store, &again_s, &fixture.err) && commit());
    CU_ASSERT_TRUE(again_s >= now_s);
}

/* ---- the fence ---- */

static bool append(int64_t index)
{
    return begin() && step_append(fixture.store, index, NULL, &fixture.err) && commit();
}

static bool end_sessions(void)
{
    return as_superuser("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE application_name = 'issuerd'");
}

static void test_a_server_that_lacks_what_was_committed_is_not_used(void)
{
    struct ledger_tree_list trees = { .count = 0 };

    CU_ASSERT_TRUE_FATAL(open_store() && append(0));
    CU_ASSERT_TRUE_FATAL(run("CREATE TABLE older AS SELECT * FROM ledger_trees"));
    CU_ASSERT_TRUE_FATAL(append(1));
    CU_ASSERT_TRUE_FATAL(run("CREATE TABLE newer AS SELECT * FROM ledger_trees"));
    CU_ASSERT_TRUE_FATAL(run("DELETE FROM ledger_trees;"
                             "INSERT INTO ledger_trees SELECT * FROM older"));
    CU_ASSERT_TRUE_FATAL(end_sessions());
    CU_ASSERT_FALSE(begin());
    CU_ASSERT_TRUE(
        has_failed_with(ERROR_STORE_ROLLED_BACK, "node/1 has 1 entries there, and not the 2"));
    CU_ASSERT_FALSE(store_list_trees(fixture.store, &trees, &fixture.err));
    (void)usleep(300000); /* after a failure none is tried for 250 ms */
    CU_ASSERT_TRUE_FATAL(run("DELETE FROM ledger_trees"));
    CU_ASSERT_FALSE(begin());
    CU_ASSERT_TRUE(has_failed_with(ERROR_STORE_ROLLED_BACK, "has 0 entries"));

    CU_ASSERT_TRUE_FATAL(run("INSERT INTO ledger_trees SELECT * FROM newer"));
    (void)usleep(300000);
    CU_ASSERT_TRUE(append(2));
}

static void test_a_tree_of_the_same_size_with_other_entries_is_not_the_same(void)
{
    CU_ASSERT_TRUE_FATAL(open_store() && append(0));
    CU_ASSERT_TRUE_FATAL(run("UPDATE ledger_trees SET edge = sha256('other')"));
    CU_ASSERT_TRUE_FATAL(end_sessions());
    CU_ASSERT_FALSE(begin());
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_STORE_ROLLED_BACK);
}

enum { LISTERS = 4 };

static struct {
    _Atomic bool done;
    _Atomic unsigned listed;
    _Atomic unsigned fenced;
} race;

static void *list_until_done(void *argument)
{
    while (!atomic_load(&race.done)) {
        struct ledger_tree_list trees = { .count = 0 };
        struct error err;
        if (store_list_trees(fixture.store, &trees, &err)) {
            atomic_fetch_add(&race.listed, 1);
        } else {
            atomic_fetch_add(&race.fenced, err.code == ERROR_STORE_ROLLED_BACK);
        }
        ledger_tree_list_clear(&trees);
    }
    return argument;
}

/* Of the readers, so that each listing is over a new connection: for two seconds. */
static void *end_sessions_again_and_again(void *argument)
{
    (void)as_superuser("DO $$ BEGIN FOR i IN 1..200 LOOP"
                       " PERFORM pg_stat_clear_snapshot();"
                       " PERFORM pg_terminate_backend(pid) FROM pg_stat_activity"
                       " WHERE application_name = 'issuerd' AND state = 'idle'"
                       " AND query LIKE 'SELECT%ledger_trees%';"
                       " PERFORM pg_sleep(0.01);"
                       " END LOOP; END $$");
    atomic_store(&race.done, true);
    return argument;
}

static void test_what_is_committed_while_a_connection_is_made_is_not_missed_in_it(void)
{
    pthread_t threads[LISTERS + 1];
    bool appended = true;

    memset(&race, 0, sizeof(race));
    CU_ASSERT_TRUE_FATAL(open_store() && append(0));
    for (int i = 0; i <= LISTERS; i++) {
        CU_ASSERT_EQUAL_FATAL(
            pthread_create(&threads[i], NULL,
                           i < LISTERS ? list_until_done : end_sessions_again_and_again, NULL),
            0);
    }
    for (int64_t index = 1; appended && !atomic_load(&race.done); index++) {
        appended = append(index);
    }
    for (int i = 0; i <= LISTERS; i++) {
        CU_ASSERT_EQUAL(pthread_join(threads[i], NULL), 0);
    }
    CU_ASSERT_TRUE(appended);
    CU_ASSERT_TRUE(atomic_load(&race.listed) > 0);
    CU_ASSERT_EQUAL(atomic_load(&race.fenced), 0);
}

/* ---- reading only ---- */

static void test_what_is_opened_to_be_read_stays_as_it_was(void)
{
    struct ledger_tree_list trees = { .count = 0 };
    int64_t now_s = 0;

    CU_ASSERT_TRUE_FATAL(open_store() && append(0));
    fixture.options.read_only = true;
    CU_ASSERT_TRUE_FATAL(store_open(fixture.url, &fixture.options, &fixture.other, &fixture.err));
    CU_ASSERT_TRUE(append(1));
    CU_ASSERT_TRUE(store_list_trees(fixture.other, &trees, &fixture.err));
    CU_ASSERT_EQUAL_FATAL(trees.count, 1);
    CU_ASSERT_EQUAL(trees.trees[0].edge.size, 1);
    ledger_tree_list_clear(&trees);
    CU_ASSERT_FALSE(store_begin(fixture.other, &now_s, &fixture.err));
}

static void test_what_is_opened_to_be_read_is_not_made(void)
{
    fixture.options.read_only = true;
    CU_ASSERT_TRUE(is_refused(fixture.url, ERROR_NOT_FOUND, "has no store"));
    CU_ASSERT_EQUAL(postgresql_fixture_run("SELECT count(*) FROM pg_class WHERE relnamespace ="
                                           " 'public'::regnamespace"),
                    0);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a schema newer than the program is refused and left as it is",
          test_a_schema_newer_than_the_program_is_refused_and_left_as_it_is },
        { "a schema that is older is migrated", test_a_schema_that_is_older_is_migrated },
        { "two servers that start at once make one schema",
          test_two_servers_that_start_at_once_make_one_schema },
        { "a schema that drifted is refused with the first difference",
          test_a_schema_that_drifted_is_refused_with_the_first_difference },
        { "a table of another program is refused", test_a_table_of_another_program_is_refused },
        { "a database of another encoding is refused",
          test_a_database_of_another_encoding_is_refused },
        { "a password in the URL is refused and not repeated",
          test_a_password_in_the_url_is_refused_and_not_repeated },
        { "a server that is not there is named", test_a_server_that_is_not_there_is_named },
        { "what was not committed when the session ended was not written",
          test_what_was_not_committed_when_the_session_ended_was_not_written },
        { "a session that ended between transactions costs nothing",
          test_a_session_that_ended_between_transactions_costs_nothing },
        { "a commit of a session that ended is in doubt",
          test_a_commit_of_a_session_that_ended_is_in_doubt },
        { "a row that another session has is waited for and then told",
          test_a_row_that_another_session_has_is_waited_for_and_then_told },
        { "a statement that takes too long is ended",
          test_a_statement_that_takes_too_long_is_ended },
        { "a server that stands still is given up", test_a_server_that_stands_still_is_given_up },
        { "an index that another transaction took is a conflict",
          test_an_index_that_another_transaction_took_is_a_conflict },
        { "of two transactions that wait for each other one is a conflict",
          test_of_two_transactions_that_wait_for_each_other_one_is_a_conflict },
        { "a database that asks for serializable transactions gets none",
          test_a_database_that_asks_for_serializable_transactions_gets_none },
        { "a server that is read only is not used", test_a_server_that_is_read_only_is_not_used },
        { "a commit that waits for a standby too long is in doubt until it is there",
          test_a_commit_that_waits_for_a_standby_too_long_is_in_doubt_until_it_is_there },
        { "a cancelled wait for the standby is in doubt",
          test_a_cancelled_wait_for_the_standby_is_in_doubt },
        { "a session that ends while it waits for the standby is in doubt",
          test_a_session_that_ends_while_it_waits_for_the_standby_is_in_doubt },
        { "a role that turns synchronous commits off gets them all the same",
          test_a_role_that_turns_synchronous_commits_off_gets_them_all_the_same },
        { "heartbeats and purges of nodes do not wait for each other",
          test_heartbeats_and_purges_of_nodes_do_not_wait_for_each_other },
        { "the time is the database's", test_the_time_is_the_database_s },
        { "a server that lacks what was committed is not used",
          test_a_server_that_lacks_what_was_committed_is_not_used },
        { "a tree of the same size with other entries is not the same",
          test_a_tree_of_the_same_size_with_other_entries_is_not_the_same },
        { "what is committed while a connection is made is not missed in it",
          test_what_is_committed_while_a_connection_is_made_is_not_missed_in_it },
        { "what is opened to be read stays as it was",
          test_what_is_opened_to_be_read_stays_as_it_was },
        { "what is opened to be read is not made", test_what_is_opened_to_be_read_is_not_made },
        CU_TEST_INFO_NULL,
    };
    return run_suite("postgresql refusals", set_up, tear_down, tests);
}

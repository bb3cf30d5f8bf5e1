/* The SQLite store where the world is not as it should be: foreign files, foreign locks, newer
 * schemas, a WAL that wants to grow. */
#include "store/store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/clock.h"
#include "base/memory.h"
#include "contract/sqlite_fixture.h"
#include "support/run.h"

enum {
    NOW_S = 1700000000,
    WAL_ROWS = 60000,
    WAL_BATCH = 100,
    WAL_LIMIT = 64 << 20, /* what a WAL of bounded size stays under; all that is written is more */
};

/* The busy time-out is 1 s; the rest is slack for a loaded machine. */
#define BUSY_LIMIT_NS (4 * NS_PER_S)

static struct {
    const char *url;
    struct store_options options;
    struct store *store;
    sqlite3 *rival;
    struct error err;
} fixture;

static bool open_url(const char *url)
{
    return store_open(url, &fixture.options, &fixture.store, &fixture.err);
}

static bool open_store(void)
{
    return open_url(fixture.url);
}

static void close_store(void)
{
    store_close(take(fixture.store));
}

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.options = (struct store_options){ .max_open_requests = 1000000, .retention_s = 10 };
    fixture.url = store_fixture_make();
}

static void tear_down(void)
{
    close_store();
    (void)sqlite3_close(fixture.rival);
    store_fixture_remove();
}

/* What an operator's sqlite3 would do, in a connection of its own. */
static bool rival_runs(const char *sql)
{
    if (fixture.rival == NULL && sqlite3_open(sqlite_fixture_path(), &fixture.rival) != SQLITE_OK) {
        return false;
    }
    return sqlite3_exec(fixture.rival, sql, NULL, NULL, NULL) == SQLITE_OK;
}

static void rival_ends(void)
{
    (void)sqlite3_close(take(fixture.rival));
}

static bool create(unsigned number)
{
    struct new_authorization new = {
        .state = "state", .nonce = "nonce", .created_s = NOW_S, .expires_s = NOW_S + 600
    };
    (void)snprintf(new.id, sizeof(new.id), "00000000-0000-7000-8000-%012x", number);
    new.pair = sha256(new.id, sizeof(new.id));
    return store_create_authorization(fixture.store, &new, &fixture.err);
}

static bool begin(void)
{
    int64_t now_s = 0;
    return store_begin(fixture.store, &now_s, &fixture.err);
}

static bool commit(void)
{
    return store_commit(fixture.store, &fixture.err);
}

static bool is_refused(const char *url, enum error_code code, const char *words)
{
    const bool refused = !open_url(url) && fixture.store == NULL && fixture.err.code == code
                      && strstr(error_line(&fixture.err).text, words) != NULL;
    if (!refused) {
        fprintf(stderr, "%s: code %d: %s\n", url, (int)fixture.err.code,
                error_line(&fixture.err).text);
    }
    return refused;
}

static bool write_file(const char *path, const char *bytes, size_t length)
{
    FILE *file = fopen(path, "w");
    const bool good = file != NULL && fwrite(bytes, 1, length, file) == length;
    return file != NULL && fclose(file) == 0 && good;
}

/* ---- what is no store of ours ---- */

static void test_a_schema_newer_than_the_program_is_refused_and_left_as_it_is(void)
{
    CU_ASSERT_TRUE_FATAL(open_store());
    close_store();
    CU_ASSERT_TRUE_FATAL(rival_runs("PRAGMA user_version = 2000000"));
    rival_ends();
    CU_ASSERT_TRUE(is_refused(fixture.url, ERROR_CONFIG, "schema 2000000"));
    CU_ASSERT_TRUE(is_refused(fixture.url, ERROR_CONFIG, "newer issuerd"));
    CU_ASSERT_TRUE(is_refused(fixture.url, ERROR_CONFIG, sqlite_fixture_path()));
    CU_ASSERT_EQUAL(store_fixture_authorizations(), 0);
}

static void test_a_store_of_the_schema_before_is_migrated_and_keeps_what_it_has(void)
{
    static const char before[] = "DROP INDEX authorizations_presentation;"
                                 "ALTER TABLE authorizations DROP COLUMN tries;"
                                 "ALTER TABLE authorizations DROP COLUMN presentation_hash;"
                                 "ALTER TABLE authorizations DROP COLUMN cancelled_s;"
                                 "ALTER TABLE authorizations DROP COLUMN token_expires_s;"
                                 "ALTER TABLE keys DROP COLUMN last_expiry_s;"
                                 "DROP TABLE revoked_tokens; DROP TABLE checkpoints;"
                                 "DROP TABLE ledger; DROP TABLE ledger_trees;"
                                 "ALTER TABLE ledger_before_trees RENAME TO ledger;"
                                 "PRAGMA user_version = 2;";

    CU_ASSERT_TRUE_FATAL(open_store());
    CU_ASSERT_TRUE_FATAL(begin() && create(1) && commit());
    close_store();
    CU_ASSERT_TRUE_FATAL(rival_runs(before));
    rival_ends();
    CU_ASSERT_TRUE_FATAL(open_store());
    CU_ASSERT_TRUE(begin()
                   && store_cancel_authorization(
                       fixture.store, "00000000-0000-7000-8000-000000000001", NOW_S, &fixture.err)
                   && commit());
    CU_ASSERT_EQUAL(store_fixture_authorizations(), 1);
}

static void test_a_new_file_is_made_and_migrated_once(void)
{
    CU_ASSERT_TRUE_FATAL(open_store());
    CU_ASSERT_TRUE_FATAL(begin() && create(1) && commit());
    close_store();
    CU_ASSERT_TRUE_FATAL(open_store());
    CU_ASSERT_EQUAL(store_fixture_authorizations(), 1);
}

static void test_a_directory_is_refused(void)
{
    char url[160];

    (void)snprintf(url, sizeof(url), "sqlite:%s", sqlite_fixture_directory());
    CU_ASSERT_TRUE(is_refused(url, ERROR_STORE_UNAVAILABLE, "unable to open database file"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.err.message, sqlite_fixture_directory()));
    CU_ASSERT_STRING_EQUAL(fixture.err.cause.library, "sqlite");
}

static void test_a_path_in_no_directory_is_refused(void)
{
    char url[160];

    (void)snprintf(url, sizeof(url), "sqlite:%s/missing/issuerd.db", sqlite_fixture_directory());
    CU_ASSERT_TRUE(is_refused(url, ERROR_STORE_UNAVAILABLE, "unable to open database file"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.err.message, "missing/issuerd.db"));
}

static void test_a_directory_that_cannot_be_written_is_refused(void)
{
    if (geteuid() == 0) { /* root writes everywhere but here */
        CU_ASSERT_TRUE(is_refused("sqlite:/proc/issuerd.db", ERROR_STORE_UNAVAILABLE,
                                  "unable to open database file"));
        return;
    }
    CU_ASSERT_EQUAL(chmod(sqlite_fixture_directory(), 0500), 0);
    CU_ASSERT_TRUE(
        is_refused(fixture.url, ERROR_STORE_UNAVAILABLE, "unable to open database file"));
    CU_ASSERT_EQUAL(chmod(sqlite_fixture_directory(), 0700), 0);
}

static void test_a_file_that_is_no_database_is_refused_and_left_as_it_is(void)
{
    static const char TEXT[] =
        "This is somebody's diary, and it is longer than a header of SQLite, "
        "which has one hundred bytes, so that it is looked at.\n";
    char after[sizeof(TEXT)] = { 0 };

    CU_ASSERT_TRUE_FATAL(write_file(sqlite_fixture_path(), TEXT, sizeof(TEXT)));
    CU_ASSERT_TRUE(is_refused(fixture.url, ERROR_STORE_UNAVAILABLE, "file is not a database"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.err.message, sqlite_fixture_path()));
    FILE *file = fopen(sqlite_fixture_path(), "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fread(after, 1, sizeof(after), file), sizeof(after));
    fclose(file);
    CU_ASSERT_STRING_EQUAL(after, TEXT);
}

static void test_a_database_of_another_program_is_refused(void)
{
    CU_ASSERT_TRUE_FATAL(rival_runs("CREATE TABLE authorizations (theirs TEXT)"));
    rival_ends();
    CU_ASSERT_TRUE(is_refused(fixture.url, ERROR_STORE_UNAVAILABLE, "migrate the schema"));
}

/* ---- a rival for the lock ---- */

static void test_a_foreign_write_lock_is_waited_for_and_then_told_and_it_heals(void)
{
    CU_ASSERT_TRUE_FATAL(open_store());
    CU_ASSERT_TRUE_FATAL(begin() && create(1) && commit());
    CU_ASSERT_TRUE_FATAL(rival_runs("BEGIN EXCLUSIVE"));

    const int64_t start_ns = monotonic_ns();
    const bool written = begin() && create(2);
    const int64_t waited_ns = monotonic_ns() - start_ns;
    CU_ASSERT_FALSE(written);
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_STORE_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.err.cause.text, "locked"));
    CU_ASSERT_TRUE(waited_ns >= NS_PER_S / 2);
    CU_ASSERT_TRUE(waited_ns < BUSY_LIMIT_NS);
    store_rollback(fixture.store);
    CU_ASSERT_EQUAL(store_fixture_authorizations(), 1);

    CU_ASSERT_TRUE_FATAL(rival_runs("ROLLBACK"));
    CU_ASSERT_TRUE(begin() && create(2) && commit());
    CU_ASSERT_EQUAL(store_fixture_authorizations(), 2);
}

static void test_codes_are_looked_up_while_another_process_writes(void)
{
    const struct digest code = sha256("code", 4);
    struct stored_code found;

    CU_ASSERT_TRUE_FATAL(open_store());
    CU_ASSERT_TRUE_FATAL(rival_runs("BEGIN IMMEDIATE; DELETE FROM authorizations"));
    CU_ASSERT_FALSE(store_find_code(fixture.store, &code, &found, &fixture.err));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CODE_UNKNOWN);
    CU_ASSERT_TRUE(rival_runs("ROLLBACK"));
}

static void *let_go_soon(void *argument)
{
    (void)usleep(200000);
    return rival_runs("ROLLBACK") ? argument : NULL;
}

static void test_a_foreign_lock_of_short_life_is_waited_out(void)
{
    pthread_t thread;
    void *let_go = NULL;

    CU_ASSERT_TRUE_FATAL(open_store());
    CU_ASSERT_TRUE_FATAL(rival_runs("BEGIN EXCLUSIVE"));
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, let_go_soon, &fixture), 0);
    const bool written = begin() && create(1) && commit();
    CU_ASSERT_EQUAL(pthread_join(thread, &let_go), 0);
    CU_ASSERT_PTR_NOT_NULL(let_go);
    CU_ASSERT_TRUE(written);
}

static void test_what_a_rival_process_wrote_is_in_the_next_transaction(void)
{
    CU_ASSERT_TRUE_FATAL(open_store());
    CU_ASSERT_TRUE_FATAL(begin() && create(1) && commit());
    CU_ASSERT_TRUE_FATAL(rival_runs("DELETE FROM authorizations"));
    CU_ASSERT_TRUE(begin() && create(1) && commit());
}

/* ---- the WAL ---- */

static int64_t wal_size(void)
{
    char path[160];
    struct stat status;

    (void)snprintf(path, sizeof(path), "%s-wal", sqlite_fixture_path());
    return stat(path, &status) == 0 ? (int64_t)status.st_size : 0;
}

static void test_the_wal_stays_bounded_under_continuous_writing(void)
{
    int64_t largest = 0;
    unsigned written = 0;
    bool good = true;

    CU_ASSERT_TRUE_FATAL(open_store());
    while (good && written < WAL_ROWS) {
        good = begin();
        for (unsigned i = 0; good && i < WAL_BATCH; i++) {
            good = create(written++);
        }
        good = good && commit();
        const int64_t size = wal_size();
        largest = size > largest ? size : largest;
    }
    CU_ASSERT_TRUE(good);
    CU_ASSERT_EQUAL(written, WAL_ROWS);
    CU_ASSERT_TRUE(largest > 0);
    CU_ASSERT_TRUE(largest < WAL_LIMIT);
    printf("(largest WAL: %lld KiB) ", (long long)(largest / 1024));
    CU_ASSERT_EQUAL(store_fixture_authorizations(), WAL_ROWS);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a schema newer than the program is refused and left as it is",
          test_a_schema_newer_than_the_program_is_refused_and_left_as_it_is },
        { "a store of the schema before is migrated and keeps what it has",
          test_a_store_of_the_schema_before_is_migrated_and_keeps_what_it_has },
        { "a new file is made and migrated once", test_a_new_file_is_made_and_migrated_once },
        { "a directory is refused", test_a_directory_is_refused },
        { "a path in no directory is refused", test_a_path_in_no_directory_is_refused },
        { "a directory that cannot be written is refused",
          test_a_directory_that_cannot_be_written_is_refused },
        { "a file that is no database is refused and left as it is",
          test_a_file_that_is_no_database_is_refused_and_left_as_it_is },
        { "a database of another program is refused",
          test_a_database_of_another_program_is_refused },
        { "a foreign write lock is waited for and then told, and it heals",
          test_a_foreign_write_lock_is_waited_for_and_then_told_and_it_heals },
        { "codes are looked up while another process writes",
          test_codes_are_looked_up_while_another_process_writes },
        { "a foreign lock of short life is waited out",
          test_a_foreign_lock_of_short_life_is_waited_out },
        { "what a rival process wrote is in the next transaction",
          test_what_a_rival_process_wrote_is_in_the_next_transaction },
        { "the WAL stays bounded under continuous writing",
          test_the_wal_stays_bounded_under_continuous_writing },
        CU_TEST_INFO_NULL,
    };
    return run_suite("sqlite refusals", set_up, tear_down, tests);
}

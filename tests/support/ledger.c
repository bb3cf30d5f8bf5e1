#include "support/ledger.h"

#include <stdio.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/base64url.h"
#include "base/clock.h"
#include "support/health.h"

enum { BUSY_MS = 5000 };

static int64_t read_number(const struct instance *instance, const char *sql, const char *text)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    int64_t number = -1;

    if (sqlite3_open_v2(instance_store_path(instance), &db, SQLITE_OPEN_READWRITE, NULL)
            == SQLITE_OK
        && sqlite3_busy_timeout(db, BUSY_MS) == SQLITE_OK
        && sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK
        && (text == NULL || sqlite3_bind_text(statement, 1, text, -1, SQLITE_STATIC) == SQLITE_OK)
        && sqlite3_step(statement) == SQLITE_ROW) {
        number = sqlite3_column_int64(statement, 0);
    } else {
        fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
    }
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    return number;
}

int64_t ledger_entries(const struct instance *instance)
{
    return read_number(instance, "SELECT count(*) FROM ledger WHERE entry ->> 'kind' = 'issued'",
                       NULL);
}

int64_t ledger_entries_of(const struct instance *instance, const struct digest *token)
{
    char text[BASE64URL_LENGTH(sizeof(token->bytes)) + 1] = "";

    (void)base64url_encode(text, token->bytes, sizeof(token->bytes));
    return read_number(instance, "SELECT count(*) FROM ledger WHERE entry ->> 'token' = $1", text);
}

int64_t ledger_doubles(const struct instance *instance)
{
    return read_number(instance,
                       "SELECT count(*) - count(DISTINCT entry ->> 'authorization') FROM"
                       " ledger WHERE entry ->> 'kind' = 'issued'",
                       NULL);
}

int64_t ledger_keys(const struct instance *instance)
{
    return read_number(instance, "SELECT count(*) FROM keys", NULL);
}

bool ledger_edit(const struct instance *instance, const char *sql)
{
    sqlite3 *db = NULL;
    const bool edited =
        sqlite3_open_v2(instance_store_path(instance), &db, SQLITE_OPEN_READWRITE, NULL)
            == SQLITE_OK
        && sqlite3_busy_timeout(db, BUSY_MS) == SQLITE_OK
        && sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;

    (void)sqlite3_close(db);
    return edited;
}

bool ledger_hold(const struct instance *instance, int ms)
{
    sqlite3 *db = NULL;
    const bool held =
        sqlite3_open_v2(instance_store_path(instance), &db, SQLITE_OPEN_READWRITE, NULL)
            == SQLITE_OK
        && sqlite3_busy_timeout(db, BUSY_MS) == SQLITE_OK
        && sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK;

    (void)usleep((useconds_t)ms * 1000);
    (void)sqlite3_close(db);
    return held;
}

bool ledger_agrees(const struct instance *instance, const struct load_book *book, unsigned others)
{
    const int64_t entries = ledger_entries(instance);
    const int64_t doubles = ledger_doubles(instance);
    const bool agrees = book->wrong == 0 && book->unanswered == 0 && book->issued > 0
                     && book->slowest_ns <= ANSWER_S * NS_PER_S && entries == book->issued + others
                     && doubles == 0;
    if (!agrees) {
        fprintf(stderr,
                "\nload: issued=%u wrong=%u unanswered=%u refusals=%u slowest_ms=%lld; ledger: "
                "entries=%lld others=%u doubles=%lld\n",
                book->issued, book->wrong, book->unanswered, book->refusals,
                (long long)(book->slowest_ns / NS_PER_MS), (long long)entries, others,
                (long long)doubles);
    }
    return agrees;
}

/* An SQLite database in a directory of its own, looked into over a connection of its own. */
#include "contract/sqlite_fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

static struct {
    char directory[64];
    char path[96];
    char url[112];
} database;

const char *store_fixture_make(void)
{
    (void)snprintf(database.directory, sizeof(database.directory), "/tmp/issuerd store.XXXXXX");
    if (mkdtemp(database.directory) == NULL) {
        database.directory[0] = '\0';
        return NULL;
    }
    (void)snprintf(database.path, sizeof(database.path), "%s/issuerd.db", database.directory);
    (void)snprintf(database.url, sizeof(database.url), "sqlite:%s", database.path);
    return database.url;
}

void store_fixture_remove(void)
{
    DIR *directory = database.directory[0] != '\0' ? opendir(database.directory) : NULL;
    const struct dirent *entry;

    if (directory == NULL) {
        return;
    }
    while ((entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            (void)unlinkat(dirfd(directory), entry->d_name, 0);
        }
    }
    (void)closedir(directory);
    (void)rmdir(database.directory);
    database.directory[0] = '\0';
}

const char *sqlite_fixture_directory(void)
{
    return database.directory;
}

const char *sqlite_fixture_path(void)
{
    return database.path;
}

static int64_t read_number(const char *sql, const char *parameter)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    int64_t number = -1;

    if (sqlite3_open_v2(database.path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK
        && sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK
        && sqlite3_bind_text(statement, 1, parameter, -1, SQLITE_STATIC) == SQLITE_OK
        && sqlite3_step(statement) == SQLITE_ROW) {
        number = sqlite3_column_int64(statement, 0);
    } else {
        (void)fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
    }
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    return number;
}

int64_t store_fixture_ledger_entries(const char *jti)
{
    return read_number("SELECT count(*) FROM ledger WHERE $1 IS NULL OR jti = $1", jti);
}

int64_t store_fixture_authorizations(void)
{
    return read_number("SELECT count(*) FROM authorizations WHERE $1 IS NULL", NULL);
}

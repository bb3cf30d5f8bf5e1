/*
 * A ledger of 1,000 entries, made by the appender, with a signed checkpoint every hundred; and every
 * way to tamper with it: each byte of each column, and entries taken, added, moved and cut off. The
 * audit finds all of it; what one changed entry is, it names.
 *
 * What changes one byte is tried on the rows in memory, that of an entry in the store that is left
 * when most of what is before it was pruned; all else is done by SQL to a file, and found in it.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/memory.h"
#include "base/merkle.h"
#include "ctl/audit.h"
#include "ctl/audit_tree.h"
#include "store/store_driver.h"
#include "support/made_ledger.h"
#include "support/run.h"

enum {
    ENTRIES = 1000,
    EVERY = 100,
    STEP = 10,
    BLOCKS = ENTRIES / EVERY,
    TABLES = LEDGER_CHECKPOINTS + 1,
    SQL_MAX = 8192,
};

/* ---- rows in memory ---- */

struct copied_row {
    struct raw_value columns[RAW_COLUMNS_MAX];
};

struct table {
    struct copied_row *rows;
    size_t count;
};

struct memory_store {
    struct store base;
    struct table tables[TABLES];
};

static size_t column_count(enum ledger_table table)
{
    return table == LEDGER_TREES ? 7 : table == LEDGER_ENTRIES ? 4 : 5;
}

static bool is_in_range(const struct raw_range *range, const struct raw_value *row)
{
    switch (range->table) {
    case LEDGER_TREES:
        return row[0].number >= range->first;
    case LEDGER_ENTRIES:
        return row[0].number >= range->first && row[0].number <= range->last;
    case LEDGER_CHECKPOINTS:
        break;
    }
    return row[0].number > range->first
        || (row[0].number == range->first && row[1].number >= range->first_size);
}

static int by_key(const void *a, const void *b)
{
    const struct raw_value *left = ((const struct copied_row *)a)->columns;
    const struct raw_value *right = ((const struct copied_row *)b)->columns;
    const int first = (left[0].number > right[0].number) - (left[0].number < right[0].number);
    return first != 0 ? first
                      : (left[1].number > right[1].number) - (left[1].number < right[1].number);
}

static bool memory_read_raw(struct store *store, const struct raw_range *range,
                            store_raw_fn *take_row, void *context, struct error *err)
{
    const struct table *table = &((struct memory_store *)store)->tables[range->table];
    int left = range->limit;

    for (size_t i = 0; i < table->count && left > 0; i++) {
        if (is_in_range(range, table->rows[i].columns)) {
            left--;
            if (!take_row(context, table->rows[i].columns, err)) {
                return false;
            }
        }
    }
    return true;
}

static const struct store_driver memory_driver = { .read_raw = memory_read_raw };

struct copying {
    struct table *table;
    size_t columns;
};

static bool copy_row(void *context, const struct raw_value *row, struct error *err)
{
    struct copying *copying = context;
    struct table *table = copying->table;

    (void)err;
    table->rows = xrealloc(table->rows, (table->count + 1) * sizeof(*table->rows));
    struct copied_row *copy = &table->rows[table->count++];
    for (size_t i = 0; i < copying->columns; i++) {
        copy->columns[i] = row[i];
        if (row[i].bytes != NULL) {
            char *bytes = xcalloc(1, row[i].length + 1);
            memcpy(bytes, row[i].bytes, row[i].length);
            copy->columns[i].bytes = bytes;
        }
    }
    return true;
}

/* ---- fixture ---- */

static struct {
    char directory[64];
    char victim[512]; /* the file that is tampered with */
    char url[520];
    struct made_ledger made;
    char *image; /* of the whole store */
    size_t image_length;
    struct memory_store memory;
    struct merkle_edge edges[ENTRIES + 1]; /* of the first n entries */
    struct trusted_head trusted;           /* the last checkpoint, carried away */
    struct audit_report report;
    struct error err;
    int tried;
    int missed;
} fixture;

/* Without a WAL: there is one file to tamper with. */
static void read_image(void)
{
    struct stat status;
    sqlite3 *db = NULL;

    CU_ASSERT_TRUE_FATAL(sqlite3_open(fixture.made.store_path, &db) == SQLITE_OK
                         && sqlite3_exec(db, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL)
                                == SQLITE_OK
                         && sqlite3_close(db) == SQLITE_OK);
    const int fd = open(fixture.made.store_path, O_RDONLY);

    CU_ASSERT_TRUE_FATAL(fd >= 0 && fstat(fd, &status) == 0);
    fixture.image_length = (size_t)status.st_size;
    fixture.image = xcalloc(1, fixture.image_length);
    CU_ASSERT_TRUE_FATAL(read(fd, fixture.image, fixture.image_length) == status.st_size);
    (void)close(fd);
}

static void read_rows(void)
{
    const struct store_options options = { .read_only = true };
    struct store *store = NULL;

    CU_ASSERT_TRUE_FATAL(store_open(fixture.made.url, &options, &store, &fixture.err));
    fixture.memory.base.driver = &memory_driver;
    for (int i = 0; i < TABLES; i++) {
        struct copying copying = { &fixture.memory.tables[i], column_count((enum ledger_table)i) };
        const struct raw_range range = { .table = (enum ledger_table)i,
                                         .first = INT64_MIN,
                                         .first_size = INT64_MIN,
                                         .last = INT64_MAX,
                                         .limit = ENTRIES };
        CU_ASSERT_TRUE_FATAL(store_read_raw(store, &range, copy_row, &copying, &fixture.err));
    }
    store_close(store);
    CU_ASSERT_EQUAL_FATAL(fixture.memory.tables[LEDGER_ENTRIES].count, ENTRIES);
    CU_ASSERT_EQUAL_FATAL(fixture.memory.tables[LEDGER_CHECKPOINTS].count, BLOCKS);
    CU_ASSERT_EQUAL_FATAL(fixture.memory.tables[LEDGER_TREES].count, 1);
}

static void carry_checkpoint_away(void)
{
    const struct raw_value *note =
        &fixture.memory.tables[LEDGER_CHECKPOINTS].rows[BLOCKS - 1].columns[3];
    static char path[512];

    (void)snprintf(path, sizeof(path), "%s/trusted", fixture.directory);
    FILE *file = fopen(path, "w");
    CU_ASSERT_TRUE_FATAL(file != NULL && fwrite(note->bytes, 1, note->length, file) == note->length
                         && fclose(file) == 0);
    CU_ASSERT_TRUE_FATAL(trusted_head_read(path, NULL, 0, &fixture.trusted, &fixture.err));
}

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    (void)snprintf(fixture.directory, sizeof(fixture.directory), "/tmp/ledger_tamper.XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(fixture.directory));
    (void)snprintf(fixture.victim, sizeof(fixture.victim), "%s/victim.db", fixture.directory);
    (void)snprintf(fixture.url, sizeof(fixture.url), "sqlite:%s", fixture.victim);
    made_ledger_open(&fixture.made, fixture.directory, "node-1", "ES256");
    for (int i = 0; i < BLOCKS; i++) {
        made_ledger_append(&fixture.made, EVERY);
        made_ledger_checkpoint(&fixture.made);
    }
    made_ledger_close(&fixture.made);
    read_image();
    read_rows();
    carry_checkpoint_away();
    for (int i = 0; i < ENTRIES; i++) {
        struct digest leaf;
        memcpy(leaf.bytes, fixture.memory.tables[LEDGER_ENTRIES].rows[i].columns[2].bytes,
               sizeof(leaf.bytes));
        fixture.edges[i + 1] = fixture.edges[i];
        merkle_append(&fixture.edges[i + 1], &leaf);
    }
}

static void tear_down(void)
{
    char command[128];

    for (int i = 0; i < TABLES; i++) {
        struct table *table = &fixture.memory.tables[i];
        for (size_t row = 0; row < table->count; row++) {
            for (size_t column = 0; column < column_count((enum ledger_table)i); column++) {
                free((char *)table->rows[row].columns[column].bytes);
            }
        }
        free(take(table->rows));
    }
    free(take(fixture.image));
    (void)snprintf(command, sizeof(command), "rm -rf %s", fixture.directory);
    CU_ASSERT_EQUAL(system(command), 0);
}

/* ---- auditing ---- */

static bool audits(struct store *store, size_t trusted_count)
{
    const struct audit_options options = { .trusted = &fixture.trusted,
                                           .trusted_count = trusted_count };

    CU_ASSERT_TRUE_FATAL(audit_ledger(store, &options, &fixture.report, &fixture.err));
    return !fixture.report.is_wrong;
}

/* Notes whether the change that was made is found. */
static void expect_found(bool found, const char *what, int64_t where)
{
    fixture.tried++;
    if (!found) {
        fixture.missed++;
        printf("\n    missed: %s, at %" PRId64 " (%s %" PRId64 "..%" PRId64 ")", what, where,
               fixture.report.what, fixture.report.index, fixture.report.last_index);
        CU_ASSERT_TRUE_FATAL(fixture.missed < 20);
    }
}

static bool is_named(int64_t index)
{
    return fixture.report.is_wrong && fixture.report.index == index
        && fixture.report.last_index == index;
}

static void conclude(const char *what)
{
    printf("\n    %s: %d of %d found ", what, fixture.tried - fixture.missed, fixture.tried);
    CU_ASSERT_EQUAL(fixture.missed, 0);
    CU_ASSERT_TRUE(fixture.tried > 0);
}

/* ---- bytes ---- */

/* The store that is left when the entries before the block are pruned, and none came after the next
 * checkpoint. */
struct block {
    struct memory_store store;
    struct copied_row tree;
};

static void set_edge(struct copied_row *tree, int column, int64_t size)
{
    tree->columns[column] = (struct raw_value){ .type = RAW_NUMBER, .number = size };
    tree->columns[column + 1] =
        (struct raw_value){ .type = RAW_BYTES,
                            .bytes = (const char *)fixture.edges[size].roots,
                            .length = merkle_edge_count(size) * sizeof(struct digest) };
}

static void block_from(int first, struct block *block_out)
{
    const int index = first / EVERY;
    const struct table *tables = fixture.memory.tables;

    *block_out = (struct block){ .tree = tables[LEDGER_TREES].rows[0] };
    block_out->store.base.driver = &memory_driver;
    set_edge(&block_out->tree, 3, (int64_t)(index + 1) * EVERY);
    set_edge(&block_out->tree, 5, first);
    block_out->store.tables[LEDGER_TREES] = (struct table){ &block_out->tree, 1 };
    block_out->store.tables[LEDGER_ENTRIES] =
        (struct table){ tables[LEDGER_ENTRIES].rows + first,
                        (size_t)((index + 1) * EVERY - first) };
    block_out->store.tables[LEDGER_CHECKPOINTS] =
        (struct table){ tables[LEDGER_CHECKPOINTS].rows + index, 1 };
}

/* Another value of one byte, and back. */
static void flip(char *byte, size_t at)
{
    *byte = (char)(*byte ^ (1 << at % 8));
}

static void test_every_changed_byte_of_an_entry_is_found_and_the_entry_named(void)
{
    static const char *const names[] = { "id", "jti", "leaf", "entry" };

    for (int i = 0; i < ENTRIES; i++) {
        struct block block;
        block_from(i - i % STEP, &block);
        CU_ASSERT_TRUE_FATAL(i % STEP > 0 || audits(&block.store.base, 0));
        struct raw_value *row = fixture.memory.tables[LEDGER_ENTRIES].rows[i].columns;
        for (int column = 1; column < 4; column++) {
            char *bytes = (char *)row[column].bytes;
            for (size_t at = 0; at < row[column].length; at++) {
                flip(bytes + at, at);
                const bool found = !audits(&block.store.base, 0) && is_named(i);
                flip(bytes + at, at);
                expect_found(found, names[column], i);
            }
        }
    }
    conclude("bytes of jti, leaf and entry");
}

static void test_every_changed_byte_of_an_id_is_found(void)
{
    for (int i = 0; i < ENTRIES; i++) {
        struct copied_row rows[EVERY];
        struct block block;
        block_from(i - i % EVERY, &block);
        for (int bit = 0; bit < 64; bit += bit % 8 == 7 ? 1 : 7) {
            memcpy(rows, block.store.tables[LEDGER_ENTRIES].rows, sizeof(rows));
            rows[i % EVERY].columns[0].number =
                (int64_t)((uint64_t)rows[i % EVERY].columns[0].number ^ UINT64_C(1) << bit);
            qsort(rows, EVERY, sizeof(rows[0]), by_key);
            struct memory_store store = block.store;
            store.tables[LEDGER_ENTRIES].rows = rows;
            expect_found(!audits(&store.base, 0), "id", i);
        }
    }
    conclude("bytes of ids");
}

static void test_a_jti_that_was_taken_or_given_is_found(void)
{
    for (int i = 0; i < ENTRIES; i++) {
        struct block block;
        block_from(i - i % EVERY, &block);
        struct raw_value *jti = &fixture.memory.tables[LEDGER_ENTRIES].rows[i].columns[1];
        const struct raw_value before = *jti;
        *jti = before.type == RAW_NULL
                 ? (struct raw_value){ .type = RAW_TEXT, .bytes = "a", .length = 1 }
                 : (struct raw_value){ .type = RAW_NULL };
        expect_found(!audits(&block.store.base, 0) && is_named(i), "jti", i);
        *jti = before;
        jti->type = before.type == RAW_NULL ? RAW_NUMBER : RAW_BYTES;
        expect_found(!audits(&block.store.base, 0) && is_named(i), "type of jti", i);
        *jti = before;
    }
    conclude("jtis taken, given or of another type");
}

/* Each byte of a column in its turn; true if all are found. */
static void change_column(struct memory_store *store, struct raw_value *column, const char *what,
                          int64_t where)
{
    const struct raw_value before = *column;

    for (int bit = 0; before.type == RAW_NUMBER && bit < 64; bit++) {
        column->number = (int64_t)((uint64_t)before.number ^ UINT64_C(1) << bit);
        expect_found(!audits(&store->base, 0), what, where);
        column->number = before.number;
    }
    char *copy = xcalloc(1, before.length + 1);
    for (size_t at = 0; before.bytes != NULL && at < before.length; at++) {
        memcpy(copy, before.bytes, before.length);
        flip(copy + at, at);
        column->bytes = copy;
        expect_found(!audits(&store->base, 0), what, where);
        column->bytes = before.bytes;
    }
    free(copy);
}

static void test_every_changed_byte_of_a_tree_is_found(void)
{
    static const char *const names[] = { "number", "node",   "epoch",      "size",
                                         "edge",   "pruned", "pruned_edge" };
    struct copied_row *tree = &fixture.memory.tables[LEDGER_TREES].rows[0];
    struct block block;

    for (int column = 0; column < 7; column++) {
        change_column(&fixture.memory, &tree->columns[column], names[column], 0);
        block_from(6 * EVERY, &block); /* of which something is pruned */
        change_column(&block.store, &block.tree.columns[column], names[column], 1);
    }
    conclude("bytes of trees");
}

/* The time is not signed, and nothing relies on it. */
static void test_every_changed_byte_of_a_checkpoint_is_found(void)
{
    static const char *const names[] = { "tree", "size", "time_s", "note", "jwk" };

    for (int i = 0; i < BLOCKS; i++) {
        struct block block;
        block_from(i * EVERY, &block);
        struct copied_row row = fixture.memory.tables[LEDGER_CHECKPOINTS].rows[i];
        block.store.tables[LEDGER_CHECKPOINTS].rows = &row;
        for (int column = 0; column < 5; column++) {
            if (column != 2) {
                change_column(&block.store, &row.columns[column], names[column], i);
            }
        }
    }
    conclude("bytes of checkpoints, but for their time");
}

/* ---- SQL ---- */

/* Does this to the store; true if the audit finds nothing wrong then. */
__attribute__((format(printf, 2, 3))) static bool survives(size_t trusted_count, const char *format,
                                                           ...)
{
    const struct store_options options = { .read_only = true };
    struct store *store = NULL;
    sqlite3 *db = NULL;
    char sql[SQL_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(sql, sizeof(sql), format, args);
    va_end(args);
    const int fd = open(fixture.victim, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CU_ASSERT_TRUE_FATAL(fd >= 0);
    CU_ASSERT_TRUE_FATAL(write(fd, fixture.image, fixture.image_length)
                         == (ssize_t)fixture.image_length);
    (void)close(fd);
    CU_ASSERT_TRUE_FATAL(sqlite3_open(fixture.victim, &db) == SQLITE_OK);
    if (sqlite3_exec(db, "PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF; BEGIN", NULL, NULL,
                     NULL)
            != SQLITE_OK
        || sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK
        || sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK) {
        printf("\n%s: %s\n", sql, sqlite3_errmsg(db));
        CU_FAIL_FATAL("the SQL failed");
    }
    CU_ASSERT_TRUE_FATAL(sqlite3_close(db) == SQLITE_OK);
    CU_ASSERT_TRUE_FATAL(store_open(fixture.url, &options, &store, &fixture.err));
    const bool good = audits(store, trusted_count);
    store_close(store);
    return good;
}

#define ID(index) ((INT64_C(1) << 40) + (index))

/* SQL that mends the tree's row to so many entries. */
struct mend {
    char sql[4096];
};

static struct mend mend_tree(int size)
{
    struct mend mend;
    int length =
        snprintf(mend.sql, sizeof(mend.sql), "UPDATE ledger_trees SET size = %d, edge = x'", size);

    for (size_t i = 0; i < merkle_edge_count(size); i++) {
        for (size_t at = 0; at < sizeof(struct digest); at++) {
            length += snprintf(mend.sql + length, sizeof(mend.sql) - (size_t)length, "%02x",
                               fixture.edges[size].roots[i].bytes[at]);
        }
    }
    (void)snprintf(mend.sql + length, sizeof(mend.sql) - (size_t)length, "'");
    return mend;
}

static void test_what_was_not_touched_verifies(void)
{
    CU_ASSERT_TRUE(survives(0, "SELECT 1"));
    CU_ASSERT_TRUE(survives(1, "SELECT 1"));
    CU_ASSERT_EQUAL(fixture.report.entries, ENTRIES);
    CU_ASSERT_EQUAL(fixture.report.checkpoints, BLOCKS);
}

static void test_a_changed_column_is_found_in_the_file(void)
{
    for (int i = 0; i < ENTRIES; i += STEP) {
        const bool has_jti =
            fixture.memory.tables[LEDGER_ENTRIES].rows[i].columns[1].type != RAW_NULL;
        expect_found(!survives(0,
                               "UPDATE ledger SET entry = replace(entry, '\"time\"', '\"Time\"')"
                               " WHERE id = %" PRId64,
                               ID(i))
                         && is_named(i),
                     "entry", i);
        expect_found(
            !survives(0, "UPDATE ledger SET leaf = substr(leaf, 1, 31) WHERE id = %" PRId64, ID(i))
                && is_named(i),
            "leaf", i);
        expect_found(!survives(0, "UPDATE ledger SET jti = %s WHERE id = %" PRId64,
                               has_jti ? "NULL" : "'a'", ID(i))
                         && is_named(i),
                     "jti", i);
    }
    conclude("columns changed");
}

static void test_every_deleted_entry_is_found_and_named(void)
{
    for (int i = 0; i < ENTRIES; i++) {
        expect_found(!survives(0, "DELETE FROM ledger WHERE id = %" PRId64, ID(i)) && is_named(i),
                     "deletion", i);
    }
    conclude("deletions");
}

/* Those behind it move up, and the tree's row is mended as far as the thief can. */
static void test_every_entry_taken_out_is_found(void)
{
    for (int i = 0; i < ENTRIES; i++) {
        expect_found(!survives(0,
                               "DELETE FROM ledger WHERE id = %" PRId64
                               ";UPDATE ledger SET id = -id WHERE id > %" PRId64
                               ";UPDATE ledger SET id = -id - 1 WHERE id < 0"
                               ";UPDATE ledger_trees SET size = size - 1",
                               ID(i), ID(i)),
                     "taken out", i);
    }
    conclude("entries taken out");
}

static void test_neighbours_that_changed_places_are_found(void)
{
    for (int i = 0; i + 1 < ENTRIES; i++) {
        expect_found(!survives(0,
                               "UPDATE ledger SET id = -1 WHERE id = %" PRId64
                               ";UPDATE ledger SET id = %" PRId64 " WHERE id = %" PRId64
                               ";UPDATE ledger SET id = %" PRId64 " WHERE id = -1",
                               ID(i), ID(i), ID(i + 1), ID(i + 1)),
                     "neighbours", i);
    }
    conclude("neighbours that changed places");
}

static void test_every_entry_put_in_is_found(void)
{
    for (int i = 0; i < ENTRIES; i++) {
        expect_found(!survives(0,
                               "UPDATE ledger SET id = -id WHERE id >= %" PRId64
                               ";UPDATE ledger SET id = -id + 1 WHERE id < 0"
                               ";INSERT INTO ledger SELECT %" PRId64
                               ", jti, leaf, entry FROM ledger"
                               " WHERE id = %" PRId64,
                               ID(i), ID(i), i > 0 ? ID(i - 1) : ID(5)),
                     "put in", i);
        expect_found(!survives(0,
                               "INSERT INTO ledger SELECT %" PRId64 ", jti, leaf, entry FROM ledger"
                               " WHERE id = %" PRId64,
                               ID(ENTRIES + i), ID(i))
                         && is_named(ENTRIES + i),
                     "put behind", i);
    }
    conclude("entries put in, and duplicates at the end");
}

/* An entry and its leaf, and the tree's row with them: what no checkpoint covers could be changed so. */
static void test_an_entry_changed_with_its_leaf_is_found_between_two_checkpoints(void)
{
    for (int i = 0; i < ENTRIES; i++) {
        const struct raw_value *entry = &fixture.memory.tables[LEDGER_ENTRIES].rows[i].columns[3];
        char changed[2048];
        char hex[65];
        (void)snprintf(changed, sizeof(changed), "%s", entry->bytes);
        changed[strlen("{\"time\":178000000")] ^= 1; /* a second more, or less */
        const struct digest leaf = audit_leaf(changed, entry->length);
        for (size_t at = 0; at < sizeof(leaf.bytes); at++) {
            (void)snprintf(hex + 2 * at, 3, "%02x", leaf.bytes[at]);
        }
        const bool found =
            !survives(0, "UPDATE ledger SET entry = '%s', leaf = x'%s' WHERE id = %" PRId64,
                      changed, hex, ID(i));
        expect_found(found && fixture.report.index <= i && fixture.report.last_index >= i
                         && fixture.report.last_index - fixture.report.index < EVERY,
                     "entry and leaf", i);
    }
    conclude("entries changed with their leaves");
}

static void test_every_truncation_is_found(void)
{
    for (int i = 0; i < ENTRIES; i++) {
        expect_found(!survives(0, "DELETE FROM ledger WHERE id >= %" PRId64, ID(i)) && is_named(i),
                     "truncation", i);
        expect_found(
            !survives(0, "DELETE FROM ledger WHERE id >= %" PRId64 ";%s", ID(i), mend_tree(i).sql)
                && is_named(i),
            "truncation with the tree's row mended", i);
    }
    conclude("truncations");
}

/* Cut and mended everywhere, which is what an older copy of the store is too: nothing in the store can
 * show it. */
static void test_a_rollback_is_found_by_a_trusted_checkpoint(void)
{
    for (int i = 1; i < ENTRIES; i++) {
        char sql[SQL_MAX];
        (void)snprintf(sql, sizeof(sql),
                       "DELETE FROM ledger WHERE id >= %" PRId64
                       ";DELETE FROM checkpoints WHERE size > %d;%s",
                       ID(i), i, mend_tree(i).sql);
        CU_ASSERT_TRUE(i % 50 != 0 || survives(0, "%s", sql));
        expect_found(!survives(1, "%s", sql) && is_named(i), "rollback", i);
    }
    conclude("rollbacks, by a trusted checkpoint");
    fixture.tried = 0;
    expect_found(
        !survives(1, "DELETE FROM ledger; DELETE FROM checkpoints; DELETE FROM ledger_trees"),
        "all of it", 0);
    conclude("the whole ledger taken away");
}

/* The whole tail rewritten, as it was never signed; only a checkpoint that is kept elsewhere knows. */
static void test_a_fork_is_found_by_a_trusted_checkpoint(void)
{
    for (int i = 1; i < ENTRIES; i += 7) {
        struct merkle_edge edge = fixture.edges[i];
        char edge_hex[2 * sizeof(edge.roots) + 1] = "";
        for (int leaf = i; leaf < ENTRIES; leaf++) {
            struct digest digest;
            const int other = leaf == i ? 0 : leaf; /* entry 0 once more instead */
            memcpy(digest.bytes, fixture.memory.tables[LEDGER_ENTRIES].rows[other].columns[2].bytes,
                   sizeof(digest.bytes));
            merkle_append(&edge, &digest);
        }
        for (size_t at = 0; at < merkle_edge_count(edge.size) * sizeof(struct digest); at++) {
            (void)snprintf(edge_hex + 2 * at, 3, "%02x", ((const uint8_t *)edge.roots)[at]);
        }
        char sql[SQL_MAX];
        (void)snprintf(sql, sizeof(sql),
                       "DELETE FROM ledger WHERE id = %" PRId64
                       ";INSERT INTO ledger SELECT %" PRId64
                       ", jti, leaf, entry FROM ledger WHERE id = %" PRId64
                       ";DELETE FROM checkpoints WHERE size > %d"
                       ";UPDATE ledger_trees SET edge = x'%s'",
                       ID(i), ID(i), ID(0), i, edge_hex);
        /* Its time shows it, but for the first minutes. */
        CU_ASSERT_TRUE(i > 250 || survives(0, "%s", sql));
        expect_found(!survives(1, "%s", sql), "fork", i);
    }
    conclude("forks, by a trusted checkpoint");
}

/* SQL for a second tree of the entries `from` to `from` + EVERY - 1. */
static void add_tree(const char *node, int epoch, int from, char *sql, size_t size)
{
    struct merkle_edge edge = { .size = 0 };
    char hex[2 * sizeof(edge.roots) + 1] = "";

    for (int i = from; i < from + EVERY; i++) {
        struct digest leaf;
        memcpy(leaf.bytes, fixture.memory.tables[LEDGER_ENTRIES].rows[i].columns[2].bytes,
               sizeof(leaf.bytes));
        merkle_append(&edge, &leaf);
    }
    for (size_t at = 0; at < merkle_edge_count(edge.size) * sizeof(struct digest); at++) {
        (void)snprintf(hex + 2 * at, 3, "%02x", ((const uint8_t *)edge.roots)[at]);
    }
    (void)snprintf(sql, size,
                   "INSERT INTO ledger SELECT id - %" PRId64 " + (2 << 40), jti, leaf, entry"
                   " FROM ledger WHERE id >= %" PRId64 " AND id < %" PRId64
                   ";INSERT INTO ledger_trees VALUES (2, '%s', %d, %d, x'%s', 0, x'')",
                   ID(from), ID(from), ID(from + EVERY), node, epoch, EVERY, hex);
}

/* Of that size there is another tree, which is another node's or of another epoch. */
static void test_a_trusted_checkpoint_is_of_its_own_tree(void)
{
    static const char prune_all[] =
        ";DELETE FROM ledger WHERE id >= 2 << 40"
        ";UPDATE ledger_trees SET pruned = size, pruned_edge = edge WHERE number = 2";
    char sql[SQL_MAX];

    fixture.trusted.head.size = EVERY;
    fixture.trusted.head.root = merkle_root(&fixture.edges[EVERY]);
    add_tree("node-2", 1, EVERY, sql, sizeof(sql));
    CU_ASSERT_TRUE(survives(1, "%s", sql));
    CU_ASSERT_EQUAL(fixture.report.trees, 2);
    CU_ASSERT_TRUE(survives(1, "%s%s", sql, prune_all));
    add_tree("node-1", 2, EVERY, sql, sizeof(sql));
    CU_ASSERT_TRUE(survives(1, "%s", sql));
    CU_ASSERT_TRUE(survives(1, "%s%s", sql, prune_all));

    (void)snprintf(fixture.trusted.node, sizeof(fixture.trusted.node), "node-2");
    add_tree("node-2", 1, EVERY, sql, sizeof(sql));
    CU_ASSERT_FALSE(survives(1, "%s", sql));
    add_tree("node-2", 1, 0, sql, sizeof(sql));
    CU_ASSERT_TRUE(survives(1, "%s", sql));
}

/* It cannot be compared any more, and that is said rather than passed over. */
static void test_a_trusted_checkpoint_of_what_was_pruned_is_refused(void)
{
    struct block block;

    block_from(EVERY, &block);
    fixture.trusted.head.size = EVERY - 1;
    CU_ASSERT_FALSE(audits(&block.store.base, 1));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.report.what, "were pruned"));
    fixture.trusted.head.size = EVERY;
    fixture.trusted.head.root = merkle_root(&fixture.edges[EVERY]);
    CU_ASSERT_TRUE(audits(&block.store.base, 1));
    fixture.trusted.head.root = merkle_root(&fixture.edges[EVERY - 1]);
    CU_ASSERT_FALSE(audits(&block.store.base, 1));
}

/* ---- the audit key ---- */

static bool audits_with(const char *key_path)
{
    struct audit_key *key = NULL;

    CU_ASSERT_TRUE_FATAL(audit_key_read(key_path, &key, &fixture.err));
    struct audit_key *const keys[] = { key };
    const struct audit_options options = { .keys = keys, .key_count = 1 };
    CU_ASSERT_TRUE_FATAL(
        audit_ledger(&fixture.memory.base, &options, &fixture.report, &fixture.err));
    audit_key_free(key);
    return !fixture.report.is_wrong;
}

/* And the other way round: a copy that another key has signed anew. */
static void test_checkpoints_of_another_key_than_the_audit_key_are_found(void)
{
    static const char other[] = "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"
                                "\"GlzZBxQ8OExB6DDFvOEqqIF-xWSaqr8sMTiLNbLXRNY\"}";
    char path[600];

    (void)snprintf(path, sizeof(path), "%s/other.jwk", fixture.directory);
    FILE *file = fopen(path, "w");
    CU_ASSERT_TRUE_FATAL(file != NULL && fputs(other, file) >= 0 && fclose(file) == 0);
    CU_ASSERT_TRUE(audits_with(fixture.made.key_path));
    CU_ASSERT_FALSE(audits_with(path));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.report.what, "another key than the audit key"));
}

static void test_checkpoints_that_changed_places_are_found(void)
{
    for (int i = 1; i <= BLOCKS; i++) {
        for (int j = i + 1; j <= BLOCKS; j++) {
            expect_found(!survives(0,
                                   "UPDATE checkpoints SET size = -1 WHERE size = %d"
                                   ";UPDATE checkpoints SET size = %d WHERE size = %d"
                                   ";UPDATE checkpoints SET size = %d WHERE size = -1",
                                   i * EVERY, i * EVERY, j * EVERY, j * EVERY),
                         "checkpoints", i);
        }
    }
    conclude("checkpoints that changed places");
}

static void test_what_belongs_nowhere_is_found(void)
{
    static const char *const strays[] = {
        "INSERT INTO ledger VALUES (-1, NULL, x'00', '{}')",
        "INSERT INTO ledger VALUES (0, NULL, x'00', '{}')",
        "INSERT INTO ledger VALUES (-9223372036854775808, NULL, x'00', '{}')",
        "INSERT INTO ledger VALUES (9223372036854775807, NULL, x'00', '{}')",
        "INSERT INTO ledger SELECT id + (1 << 40), jti, leaf, entry FROM ledger",
        "INSERT INTO checkpoints SELECT 2, size, time_s, note, jwk FROM checkpoints",
        "INSERT INTO checkpoints SELECT 0, size, time_s, note, jwk FROM checkpoints",
        "INSERT INTO checkpoints SELECT 'x', size, time_s, note, jwk FROM checkpoints",
        "INSERT INTO checkpoints SELECT tree, 'x' || size, time_s, note, jwk FROM checkpoints",
        "INSERT INTO checkpoints SELECT tree, size + 1, time_s, note, jwk FROM checkpoints",
        "INSERT INTO checkpoints SELECT tree, 5000, time_s, note, jwk FROM checkpoints LIMIT 1",
        "INSERT INTO ledger_trees SELECT 2, 'node-2', 1, size, edge, 0, x'' FROM ledger_trees",
        "INSERT INTO ledger_trees SELECT 8388608, 'node-2', 1, 0, x'', 0, x''",
        "UPDATE ledger_trees SET node = 'node 1'",
        "UPDATE ledger_trees SET node = node || x'00'",
        "UPDATE ledger_trees SET size = '1000x'",
        "DELETE FROM ledger_trees",
        "INSERT INTO ledger_trees VALUES (0, 'n', 1, 0, x'', 0, x'')",
        "INSERT INTO ledger_trees VALUES (-1, 'n', 1, 0, x'', 0, x'')",
        "INSERT INTO ledger_trees VALUES (2, '', 1, 0, x'', 0, x'')",
        "INSERT INTO ledger_trees VALUES (2, printf('%.65c', 'n'), 1, 0, x'', 0, x'')",
        "INSERT INTO ledger_trees VALUES (2, 'n', 0, 0, x'', 0, x'')",
        "INSERT INTO ledger_trees VALUES (2, 'n', 'x', 0, x'', 0, x'')",
        "INSERT INTO ledger_trees VALUES (2, 'n', 1, -1, x'', 0, x'')",
        "INSERT INTO ledger_trees VALUES (2, 'n', 1, 0, x'', 1, zeroblob(32))",
        "UPDATE ledger_trees SET node = CAST(node AS BLOB)",
        "UPDATE ledger_trees SET edge = CAST(edge AS TEXT)",
        "UPDATE ledger SET leaf = CAST(leaf AS TEXT)",
        "UPDATE ledger SET entry = CAST(entry AS BLOB)",
        "UPDATE ledger SET entry = entry || x'0041'",
        "UPDATE checkpoints SET time_s = 0",
        "UPDATE checkpoints SET jwk = '{}' WHERE size > 100",
        "UPDATE checkpoints SET note = CAST(note AS BLOB)",
        "UPDATE checkpoints SET note = note || x'00'",
        "UPDATE checkpoints SET note = note || note",
        "UPDATE checkpoints SET note = note || substr(note, instr(note, char(10, 10)) + 2)",
    };

    for (size_t i = 0; i < COUNT_OF(strays); i++) {
        expect_found(!survives(0, "%s", strays[i]), strays[i], (int64_t)i);
    }
    conclude("rows that belong nowhere, and columns of another type");
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "what was not touched verifies", test_what_was_not_touched_verifies },
        { "every changed byte of an entry is found, and the entry named",
          test_every_changed_byte_of_an_entry_is_found_and_the_entry_named },
        { "every changed byte of an id is found", test_every_changed_byte_of_an_id_is_found },
        { "a jti that was taken or given is found", test_a_jti_that_was_taken_or_given_is_found },
        { "every changed byte of a tree is found", test_every_changed_byte_of_a_tree_is_found },
        { "every changed byte of a checkpoint is found",
          test_every_changed_byte_of_a_checkpoint_is_found },
        { "a changed column is found in the file", test_a_changed_column_is_found_in_the_file },
        { "every deleted entry is found, and named", test_every_deleted_entry_is_found_and_named },
        { "every entry taken out is found", test_every_entry_taken_out_is_found },
        { "neighbours that changed places are found",
          test_neighbours_that_changed_places_are_found },
        { "every entry put in is found", test_every_entry_put_in_is_found },
        { "an entry changed with its leaf is found between two checkpoints",
          test_an_entry_changed_with_its_leaf_is_found_between_two_checkpoints },
        { "every truncation is found", test_every_truncation_is_found },
        { "a rollback is found by a trusted checkpoint",
          test_a_rollback_is_found_by_a_trusted_checkpoint },
        { "a fork is found by a trusted checkpoint", test_a_fork_is_found_by_a_trusted_checkpoint },
        { "a trusted checkpoint is of its own tree", test_a_trusted_checkpoint_is_of_its_own_tree },
        { "a trusted checkpoint of what was pruned is refused",
          test_a_trusted_checkpoint_of_what_was_pruned_is_refused },
        { "checkpoints of another key than the audit key are found",
          test_checkpoints_of_another_key_than_the_audit_key_are_found },
        { "checkpoints that changed places are found",
          test_checkpoints_that_changed_places_are_found },
        { "what belongs nowhere is found", test_what_belongs_nowhere_is_found },
        CU_TEST_INFO_NULL,
    };
    return run_suite("tampering with a ledger", set_up, tear_down, tests);
}

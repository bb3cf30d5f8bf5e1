/* The ledger over an SQLite store in a directory of its own. */
#include "core/ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/text.h"
#include "support/run.h"

#define ROOT "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

enum { NOW_S = 1700000000, MANY = 50 };

static struct {
    char directory[64];
    char url[128];
    char head_path[128];
    struct ledger_options options;
    struct store *store;
    struct ledger *ledger;
    struct error err;
} fixture;

static bool open_all(void)
{
    const struct store_options options = { .max_open_requests = 10, .retention_s = 10 };

    return store_open(fixture.url, &options, &fixture.store, &fixture.err)
        && ledger_open(&fixture.options, fixture.store, &fixture.ledger, &fixture.err);
}

static void close_all(void)
{
    ledger_close(take(fixture.ledger));
    store_close(take(fixture.store));
}

static bool reopen_all(void)
{
    close_all();
    return open_all();
}

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    (void)snprintf(fixture.directory, sizeof(fixture.directory), "/tmp/issuerd ledger.XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(fixture.directory));
    (void)snprintf(fixture.url, sizeof(fixture.url), "sqlite:%s/issuerd.db", fixture.directory);
    (void)snprintf(fixture.head_path, sizeof(fixture.head_path), "%s/node.checkpoint",
                   fixture.directory);
    fixture.options = (struct ledger_options){ .node = "node", .head_path = fixture.head_path };
    CU_ASSERT_TRUE_FATAL(open_all());
}

static void tear_down(void)
{
    static const char *const names[] = { "issuerd.db", "issuerd.db-wal", "issuerd.db-shm",
                                         "node.checkpoint", "older.db" };
    char path[128];

    close_all();
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", fixture.directory, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(fixture.directory);
}

/* ---- transactions ---- */

static bool begin(void)
{
    int64_t now_s = 0;
    return store_begin(fixture.store, &now_s, &fixture.err);
}

/* Commits what was appended, or rolls it back. */
static bool end(bool good)
{
    good = good && ledger_seal(fixture.ledger, fixture.store, &fixture.err);
    if (!good) {
        store_rollback(fixture.store);
    }
    good = good && store_commit(fixture.store, &fixture.err);
    ledger_settle(fixture.ledger, good);
    return good;
}

static bool append(const struct ledger_entry *entry)
{
    return begin() && end(ledger_append(fixture.ledger, fixture.store, entry, &fixture.err));
}

static bool append_issued(const char *jti, int64_t time_s)
{
    const struct ledger_entry entry = { .time_s = time_s, .kind = LEDGER_ISSUED, .jti = jti };
    return append(&entry);
}

static bool take_text(void *context, const struct ledger_row *row, struct error *err)
{
    struct text *text = context;

    (void)err;
    text_add(text, row->entry);
    text_add(text, "\n");
    return true;
}

/* Whether the store finds the one entry of the jti, and it alone. */
static bool is_found_by(const char *jti)
{
    char buffer[1024];
    struct text text = text_over(buffer, sizeof(buffer));

    return store_find_entries(fixture.store, jti, take_text, &text, &fixture.err)
        && strstr(buffer, jti) != NULL && strchr(buffer, '\n') == strrchr(buffer, '\n');
}

static bool append_many(int count, int64_t first_s)
{
    bool good = true;
    for (int i = 0; i < count && good; i++) {
        good = append_issued("jti", first_s + i);
    }
    return good;
}

static struct ledger_tree tree_of(int64_t epoch)
{
    scoped(ledger_tree_list_clear) struct ledger_tree_list list = { .count = 0 };
    struct ledger_tree found = { .number = 0 };

    CU_ASSERT_TRUE_FATAL(store_list_trees(fixture.store, &list, &fixture.err));
    for (size_t i = 0; i < list.count; i++) {
        found = list.trees[i].epoch == epoch ? list.trees[i] : found;
    }
    return found;
}

/* The entries of a tree from `index` on, one a line. */
static const char *entries_from(int64_t epoch, int64_t index)
{
    static char buffer[16384];
    struct text text = text_over(buffer, sizeof(buffer));

    CU_ASSERT_TRUE_FATAL(store_read_entries(fixture.store, tree_of(epoch).number, index, 1000,
                                            take_text, &text, &fixture.err));
    return buffer;
}

static void write_text(const char *text)
{
    FILE *file = fopen(fixture.head_path, "w");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

static void write_head(int64_t epoch, const struct merkle_edge *edge)
{
    char buffer[256];
    struct text text = text_over(buffer, sizeof(buffer));
    const struct digest root = merkle_root(edge);

    text_add(&text, "issuer.example/ledger/node/");
    text_add_number(&text, epoch);
    text_add(&text, "\n");
    text_add_number(&text, edge->size);
    text_add(&text, "\n");
    text_add_base64(&text, root.bytes, sizeof(root.bytes));
    text_add(&text, "\n");
    write_text(buffer);
}

/* A head of one entry more than the store's tree has, as after a restore. */
static void write_head_of_more(int64_t epoch)
{
    struct merkle_edge edge = tree_of(1).edge;
    const struct digest leaf = merkle_leaf("x", 1);

    merkle_append(&edge, &leaf);
    write_head(epoch, &edge);
}

static bool copy_file(const char *from, const char *to)
{
    char command[512];
    (void)snprintf(command, sizeof(command), "cp '%s/%s' '%s/%s'", fixture.directory, from,
                   fixture.directory, to);
    return system(command) == 0;
}

/* ---- entries ---- */

static void test_an_entry_has_its_members_in_order_and_no_others(void)
{
    const struct digest token = sha256("token", 5);
    const struct digest subject = sha256("subject", 7);
    const struct ledger_entry entry = { .time_s = NOW_S,
                                        .kind = LEDGER_ISSUED,
                                        .jti = "jti",
                                        .kid = "kid",
                                        .authorization_id = "id",
                                        .token = &token,
                                        .subject = &subject,
                                        .expires_s = NOW_S + 60 };
    const struct ledger_entry key = { .time_s = NOW_S,
                                      .kind = LEDGER_KEY,
                                      .kid = "kid",
                                      .state = "active",
                                      .reason = "a \"quoted\" w\xc3\xb6rd\n" };

    CU_ASSERT_TRUE_FATAL(append(&entry) && append(&key));
    CU_ASSERT_STRING_EQUAL(
        entries_from(1, 0),
        "{\"time\":1700000000,\"kind\":\"issued\",\"jti\":\"jti\",\"kid\":\"kid\","
        "\"authorization\":\"id\",\"token\":\"PEaenWxYddN6Q_NT1PiOYfz4EsZu7jRXRlpAsNpBU-A\","
        "\"subject\":\"qUkfTBv3sM_7rcui248Cjks_KGfLWeHzoLwZaPPFEkI\",\"expires\":1700000060}\n"
        "{\"time\":1700000000,\"kind\":\"key\",\"kid\":\"kid\",\"state\":\"active\","
        "\"reason\":\"a \\\"quoted\\\" w\xc3\xb6rd\\u000a\"}\n");
    CU_ASSERT_TRUE(is_found_by("jti"));
}

static void test_a_reason_that_is_no_text_is_refused_and_nothing_is_appended(void)
{
    char longest[LEDGER_ENTRY_MAX];
    struct ledger_entry entry = { .time_s = NOW_S, .kind = LEDGER_KEY, .reason = "\xff" };

    CU_ASSERT_FALSE(append(&entry));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_INVALID_REQUEST);
    memset(longest, 'a', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    entry.reason = longest;
    CU_ASSERT_FALSE(append(&entry));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_INVALID_REQUEST);
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.err.message, "bytes"));
    entry.reason = NULL;
    entry.detail = "\xff"; /* of a head file, say */
    CU_ASSERT_FALSE(append(&entry));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_INVALID_REQUEST);
    CU_ASSERT_EQUAL(tree_of(1).number, 0);
}

static void test_the_tree_kept_is_that_of_the_entries(void)
{
    struct merkle_edge edge = { .size = 0 };
    char *entries;

    CU_ASSERT_TRUE_FATAL(append_many(MANY, NOW_S) && reopen_all() && append_issued("x", NOW_S));
    entries = xstrdup(entries_from(1, 0));
    for (char *line = strtok(entries, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        const struct digest leaf = merkle_leaf(line, strlen(line));
        merkle_append(&edge, &leaf);
    }
    free(entries);
    const struct digest root = merkle_root(&edge);
    const struct ledger_tree tree = tree_of(1);
    const struct digest kept = merkle_root(&tree.edge);
    CU_ASSERT_EQUAL(edge.size, MANY + 1);
    CU_ASSERT_EQUAL(tree.edge.size, MANY + 1);
    CU_ASSERT_TRUE(digest_equal(&root, &kept));
    CU_ASSERT_EQUAL(ledger_status(fixture.ledger).size, MANY + 1);
}

static void test_what_is_rolled_back_was_never_appended(void)
{
    const struct ledger_entry entry = { .time_s = NOW_S, .kind = LEDGER_STARTED };

    CU_ASSERT_TRUE_FATAL(append_issued("a", NOW_S) && begin());
    CU_ASSERT_TRUE(ledger_append(fixture.ledger, fixture.store, &entry, &fixture.err));
    CU_ASSERT_FALSE(end(false));
    CU_ASSERT_EQUAL(ledger_status(fixture.ledger).size, 1);
    CU_ASSERT_TRUE(append_issued("b", NOW_S));
    CU_ASSERT_EQUAL(tree_of(1).edge.size, 2);
}

static void test_another_process_may_append_to_the_same_tree(void)
{
    struct ledger *other = NULL;

    CU_ASSERT_TRUE_FATAL(append_issued("a", NOW_S));
    CU_ASSERT_TRUE_FATAL(ledger_open(&fixture.options, fixture.store, &other, &fixture.err));
    CU_ASSERT_TRUE(append_issued("b", NOW_S));
    struct ledger *own = fixture.ledger;
    fixture.ledger = other;
    CU_ASSERT_TRUE(append_issued("c", NOW_S));
    fixture.ledger = own;
    CU_ASSERT_TRUE(append_issued("d", NOW_S));
    CU_ASSERT_EQUAL(tree_of(1).edge.size, 4);
    ledger_close(other);
}

/* ---- rolled back ---- */

static bool is_stopped(void)
{
    const bool permits = ledger_permits(fixture.ledger, &fixture.err);
    return !permits && fixture.err.code == ERROR_LEDGER_STOPPED
        && ledger_status(fixture.ledger).is_rolled_back;
}

/* What a checkpoint would be of. */
static bool is_at_tree(int64_t epoch)
{
    const struct ledger_head head = ledger_head(fixture.ledger);
    const struct ledger_tree tree = tree_of(epoch);
    const struct digest root = merkle_root(&tree.edge);

    return head.tree == tree.number && head.epoch == epoch && head.size == tree.edge.size
        && digest_equal(&head.root, &root) && !head.is_rolled_back;
}

static void test_a_store_older_than_the_head_file_stops_the_issuing(void)
{
    struct merkle_edge edge = { .size = 0 };
    const struct digest leaf = merkle_leaf("x", 1);

    CU_ASSERT_TRUE_FATAL(append_many(3, NOW_S));
    edge = tree_of(1).edge;
    write_head(1, &edge);
    CU_ASSERT_TRUE_FATAL(reopen_all());
    CU_ASSERT_TRUE(ledger_permits(fixture.ledger, &fixture.err));
    CU_ASSERT_TRUE(is_at_tree(1));
    merkle_append(&edge, &leaf);
    write_head(1, &edge);
    CU_ASSERT_TRUE_FATAL(reopen_all());
    CU_ASSERT_TRUE(is_stopped());
    CU_ASSERT_TRUE(ledger_head(fixture.ledger).is_rolled_back);
    CU_ASSERT_FALSE(append_issued("x", NOW_S));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_STORE_ROLLED_BACK);
    CU_ASSERT_EQUAL(tree_of(1).edge.size, 3);
}

static void test_a_store_of_another_history_stops_the_issuing(void)
{
    struct merkle_edge edge = { .size = 0 };
    const struct digest leaf = merkle_leaf("x", 1);

    CU_ASSERT_TRUE_FATAL(append_many(1, NOW_S));
    merkle_append(&edge, &leaf);
    write_head(1, &edge);
    CU_ASSERT_TRUE_FATAL(reopen_all());
    CU_ASSERT_TRUE(is_stopped());
}

static void test_a_store_of_an_earlier_epoch_stops_the_issuing(void)
{
    CU_ASSERT_TRUE_FATAL(append_many(1, NOW_S));
    const struct ledger_tree tree = tree_of(1);
    write_head(2, &tree.edge);
    CU_ASSERT_TRUE_FATAL(reopen_all());
    CU_ASSERT_TRUE(is_stopped());
}

static void test_a_store_that_grew_since_the_head_file_goes_on(void)
{
    CU_ASSERT_TRUE_FATAL(append_many(1, NOW_S));
    const struct ledger_tree tree = tree_of(1);
    write_head(1, &tree.edge);
    CU_ASSERT_TRUE_FATAL(append_many(2, NOW_S) && reopen_all());
    CU_ASSERT_TRUE(ledger_permits(fixture.ledger, &fixture.err));
    CU_ASSERT_TRUE(append_issued("x", NOW_S));
}

static void test_a_head_file_of_another_node_or_none_is_named(void)
{
    static const char *const heads[] = {
        "issuer.example/ledger/another/1\n1\n" ROOT "\n",
        "issuer.example/ledger/anode/1\n1\n" ROOT "\n",
        "issuer.example/ledger/none/1\n1\n" ROOT "\n",
        "issuer.example/ledger/nod/1\n1\n" ROOT "\n",
        "node/1\n1\n" ROOT "\n",
        "issuer.example/ledger/node/\n1\n" ROOT "\n",
        "issuer.example/ledger/node/1x\n1\n" ROOT "\n",
        "issuer.example/ledger/node/1\n\n" ROOT "\n",
        "issuer.example/ledger/node/1\n1x\n" ROOT "\n",
        "issuer.example/ledger/node/1\n1\n" ROOT "xxxx\n",
        "issuer.example/ledger/node/1\n1\n",
        "issuer.example/ledger/node/1",
        "",
    };

    for (size_t i = 0; i < COUNT_OF(heads); i++) {
        write_text(heads[i]);
        CU_ASSERT_FALSE(reopen_all());
        CU_ASSERT_EQUAL(fixture.err.code, ERROR_CONFIG);
        CU_ASSERT_PTR_NOT_NULL(strstr(fixture.err.message, fixture.head_path));
    }
}

static void test_a_head_file_that_cannot_be_opened_is_not_taken_for_none(void)
{
    (void)snprintf(fixture.head_path, sizeof(fixture.head_path), "%s/issuerd.db/head",
                   fixture.directory);
    CU_ASSERT_FALSE(reopen_all());
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.err.message, fixture.head_path));
}

static void test_a_store_that_loses_entries_under_us_stops_the_issuing(void)
{
    CU_ASSERT_TRUE_FATAL(append_many(2, NOW_S));
    struct ledger_tree tree;
    const struct merkle_edge empty = { .size = 0 };

    CU_ASSERT_TRUE_FATAL(begin() && store_lock_tree(fixture.store, "node", 1, &tree, &fixture.err));
    tree.edge = empty;
    CU_ASSERT_TRUE_FATAL(store_delete_entries(fixture.store, tree.number, 2, &fixture.err)
                         && store_keep_tree(fixture.store, &tree, &fixture.err)
                         && store_commit(fixture.store, &fixture.err));
    CU_ASSERT_FALSE(append_issued("x", NOW_S));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_STORE_ROLLED_BACK);
    CU_ASSERT_TRUE(is_stopped());
}

static void test_a_store_whose_entries_change_under_us_stops_the_issuing(void)
{
    struct ledger_tree tree;
    const struct digest leaf = merkle_leaf("x", 1);

    CU_ASSERT_TRUE_FATAL(append_many(1, NOW_S));
    CU_ASSERT_TRUE_FATAL(begin() && store_lock_tree(fixture.store, "node", 1, &tree, &fixture.err));
    tree.edge = (struct merkle_edge){ .size = 0 };
    merkle_append(&tree.edge, &leaf);
    CU_ASSERT_TRUE_FATAL(store_keep_tree(fixture.store, &tree, &fixture.err)
                         && store_commit(fixture.store, &fixture.err));
    CU_ASSERT_FALSE(append_issued("x", NOW_S));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_STORE_ROLLED_BACK);
    CU_ASSERT_TRUE(is_stopped());
}

static void test_an_operator_accepts_a_restored_store(void)
{
    int64_t cancelled = 0;

    CU_ASSERT_TRUE_FATAL(append_many(2, NOW_S));
    close_all();
    CU_ASSERT_TRUE_FATAL(copy_file("issuerd.db", "older.db"));
    CU_ASSERT_TRUE_FATAL(open_all() && append_many(3, NOW_S));
    const struct ledger_tree lost = tree_of(1);
    write_head(1, &lost.edge);
    close_all();
    CU_ASSERT_TRUE_FATAL(copy_file("older.db", "issuerd.db"));
    CU_ASSERT_TRUE_FATAL(open_all());
    CU_ASSERT_TRUE(is_stopped());

    CU_ASSERT_TRUE_FATAL(begin());
    CU_ASSERT_TRUE(end(ledger_accept_restore(fixture.ledger, fixture.store, NOW_S, "disk broke",
                                             &cancelled, &fixture.err)));
    CU_ASSERT_TRUE(ledger_permits(fixture.ledger, &fixture.err));
    CU_ASSERT_TRUE(is_at_tree(2));
    CU_ASSERT_TRUE_FATAL(reopen_all());
    CU_ASSERT_TRUE(ledger_permits(fixture.ledger, &fixture.err));
    CU_ASSERT_EQUAL(ledger_status(fixture.ledger).epoch, 2);
    CU_ASSERT_TRUE(append_issued("after", NOW_S));
    CU_ASSERT_EQUAL(tree_of(1).edge.size, 2);
    const char *entries = entries_from(2, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(entries, "\"kind\":\"restored\",\"reason\":\"disk broke\""));
    CU_ASSERT_PTR_NOT_NULL(strstr(entries, "the store has node/1 of size 2 with root "));
    CU_ASSERT_PTR_NOT_NULL(strstr(entries, "lost is node/1 of size 5 with root "));
    CU_ASSERT_PTR_NOT_NULL(strstr(entries, "\"jti\":\"after\""));
}

static bool accept_restore(void)
{
    int64_t cancelled = 0;

    return begin()
        && end(ledger_accept_restore(fixture.ledger, fixture.store, NOW_S, "disk broke", &cancelled,
                                     &fixture.err));
}

static void test_the_tree_after_a_restore_is_of_an_epoch_that_never_was(void)
{
    CU_ASSERT_TRUE_FATAL(append_many(1, NOW_S));
    write_head_of_more(4);
    CU_ASSERT_TRUE_FATAL(reopen_all() && is_stopped());
    CU_ASSERT_TRUE(accept_restore());
    CU_ASSERT_TRUE(is_at_tree(5));
    CU_ASSERT_EQUAL(tree_of(5).edge.size, 1);
}

static void test_what_was_good_before_a_restore_is_cancelled(void)
{
    const struct new_authorization new = { .id = "00000000-0000-7000-8000-000000000001",
                                           .state = "state-0123456789-0123456789-01234",
                                           .nonce = "nonce-0123456789-0123456789-01234",
                                           .created_s = NOW_S,
                                           .expires_s = NOW_S + 600 };
    struct open_authorization found = { .expires_s = -1 };

    CU_ASSERT_TRUE_FATAL(append_many(1, NOW_S));
    CU_ASSERT_TRUE_FATAL(begin() && store_create_authorization(fixture.store, &new, &fixture.err)
                         && store_commit(fixture.store, &fixture.err));
    write_head_of_more(1);
    CU_ASSERT_TRUE_FATAL(reopen_all() && accept_restore());
    CU_ASSERT_TRUE_FATAL(store_find_authorization(fixture.store, new.id, &found, &fixture.err));
    CU_ASSERT_EQUAL(found.expires_s, 0);
    free(found.presentation_definition);
}

static void test_a_store_that_was_not_rolled_back_is_not_accepted(void)
{
    int64_t cancelled = 0;

    CU_ASSERT_TRUE_FATAL(append_many(1, NOW_S) && begin());
    CU_ASSERT_FALSE(end(ledger_accept_restore(fixture.ledger, fixture.store, NOW_S, "why not",
                                              &cancelled, &fixture.err)));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CONFLICT);
    CU_ASSERT_EQUAL(tree_of(2).number, 0);
}

static void test_a_running_ledger_goes_on_once_a_tool_accepted_the_store(void)
{
    int64_t cancelled = 0;
    struct merkle_edge edge = { .size = 0 };
    const struct digest leaf = merkle_leaf("x", 1);
    struct ledger *tool = NULL;

    CU_ASSERT_TRUE_FATAL(append_many(1, NOW_S));
    edge = tree_of(1).edge;
    merkle_append(&edge, &leaf);
    write_head(1, &edge);
    CU_ASSERT_TRUE_FATAL(reopen_all() && is_stopped());
    ledger_note_checkpoint(fixture.ledger, 1, 1);
    CU_ASSERT_TRUE(ledger_look(fixture.ledger, fixture.store, &fixture.err));
    CU_ASSERT_TRUE(is_stopped());

    CU_ASSERT_TRUE_FATAL(ledger_open(&fixture.options, fixture.store, &tool, &fixture.err));
    struct ledger *own = fixture.ledger;
    fixture.ledger = tool;
    CU_ASSERT_TRUE_FATAL(begin());
    CU_ASSERT_TRUE(end(
        ledger_accept_restore(tool, fixture.store, NOW_S, "disk broke", &cancelled, &fixture.err)));
    fixture.ledger = own;
    ledger_close(tool);
    CU_ASSERT_TRUE(is_stopped());
    CU_ASSERT_TRUE(ledger_look(own, fixture.store, &fixture.err));
    CU_ASSERT_TRUE(ledger_permits(own, &fixture.err));
    CU_ASSERT_TRUE(is_at_tree(2));
    CU_ASSERT_EQUAL(ledger_status(own).checkpointed, 0);
    CU_ASSERT_TRUE(append_issued("after", NOW_S));
    CU_ASSERT_EQUAL(tree_of(2).edge.size, 2);
}

static void test_another_nodes_trees_do_not_matter(void)
{
    struct ledger_tree other;

    CU_ASSERT_TRUE_FATAL(append_many(2, NOW_S));
    CU_ASSERT_TRUE_FATAL(begin() && store_lock_tree(fixture.store, "other", 7, &other, &fixture.err)
                         && store_commit(fixture.store, &fixture.err) && reopen_all());
    CU_ASSERT_TRUE(is_at_tree(1));
    CU_ASSERT_EQUAL(ledger_status(fixture.ledger).size, 2);
}

/* ---- the backlog ---- */

static void test_entries_without_a_checkpoint_stop_the_issuing_at_their_bound(void)
{
    ledger_set_limits(fixture.ledger, 3, 0);
    CU_ASSERT_TRUE_FATAL(append_many(3, NOW_S));
    CU_ASSERT_TRUE(ledger_permits(fixture.ledger, &fixture.err));
    CU_ASSERT_TRUE_FATAL(append_many(1, NOW_S));
    CU_ASSERT_FALSE(ledger_permits(fixture.ledger, &fixture.err));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_LEDGER_STOPPED);
    CU_ASSERT_FALSE(ledger_status(fixture.ledger).is_rolled_back);
    ledger_note_checkpoint(fixture.ledger, 1, 4);
    CU_ASSERT_TRUE(ledger_permits(fixture.ledger, &fixture.err));
    ledger_note_checkpoint(fixture.ledger, 1, 2); /* one that was late */
    CU_ASSERT_EQUAL(ledger_status(fixture.ledger).checkpointed, 4);
    ledger_note_checkpoint(fixture.ledger, 2, 9);
    CU_ASSERT_EQUAL(ledger_status(fixture.ledger).checkpointed, 4);
    CU_ASSERT_TRUE_FATAL(append_many(3, NOW_S));
    ledger_set_limits(fixture.ledger, 2, 0);
    CU_ASSERT_FALSE(ledger_permits(fixture.ledger, &fixture.err));
    ledger_set_limits(fixture.ledger, 0, 0);
    CU_ASSERT_TRUE(ledger_permits(fixture.ledger, &fixture.err));
}

static bool store_checkpoint(int64_t size)
{
    const struct stored_checkpoint checkpoint = {
        .tree = tree_of(1).number, .size = size, .note = "note", .jwk = "{}"
    };
    return begin() && store_add_checkpoint(fixture.store, &checkpoint, &fixture.err)
        && store_commit(fixture.store, &fixture.err);
}

static void test_a_start_knows_how_many_entries_wait_for_a_checkpoint(void)
{
    fixture.options.backlog_max = 3;
    CU_ASSERT_TRUE_FATAL(append_many(8, NOW_S) && reopen_all());
    CU_ASSERT_FALSE(ledger_permits(fixture.ledger, &fixture.err));
    CU_ASSERT_EQUAL(ledger_status(fixture.ledger).checkpointed, 0);
    CU_ASSERT_TRUE_FATAL(store_checkpoint(2) && store_checkpoint(5) && reopen_all());
    CU_ASSERT_TRUE(ledger_permits(fixture.ledger, &fixture.err));
    CU_ASSERT_EQUAL(ledger_status(fixture.ledger).checkpointed, 5);
    CU_ASSERT_TRUE_FATAL(append_many(1, NOW_S));
    CU_ASSERT_FALSE(ledger_permits(fixture.ledger, &fixture.err));
}

/* ---- prune ---- */

/* One step at `now_s`; whether there may be more. -1: it failed. */
static int prune(int64_t now_s, int limit)
{
    bool more = false;
    const bool good =
        begin()
        && end(ledger_prune(fixture.ledger, fixture.store, now_s, limit, &more, &fixture.err));
    return good ? more : -1;
}

/* Whether the pruned part is the first `count` of these lines. */
static bool is_pruned_by(char *lines, int64_t count)
{
    struct merkle_edge edge = { .size = 0 };
    const struct ledger_tree tree = tree_of(1);
    const char *line = strtok(lines, "\n");

    for (; line != NULL && edge.size < count; line = strtok(NULL, "\n")) {
        const struct digest leaf = merkle_leaf(line, strlen(line));
        merkle_append(&edge, &leaf);
    }
    return tree.pruned.size == count
        && memcmp(tree.pruned.roots, edge.roots, merkle_edge_count(count) * sizeof(edge.roots[0]))
               == 0;
}

static void test_entries_past_their_time_are_pruned_in_steps_and_that_is_entered(void)
{
    ledger_set_limits(fixture.ledger, 0, 100);
    CU_ASSERT_TRUE_FATAL(append_many(MANY, NOW_S));
    const struct ledger_tree before = tree_of(1);
    char *entries = xstrdup(entries_from(1, 0));

    CU_ASSERT_EQUAL(prune(NOW_S + 110, 4), 0); /* no checkpoint covers them */
    ledger_note_checkpoint(fixture.ledger, 1, 9);
    CU_ASSERT_EQUAL(prune(NOW_S + 110, 4), 1);
    CU_ASSERT_EQUAL(prune(NOW_S + 110, 4), 1);
    CU_ASSERT_EQUAL(prune(NOW_S + 110, 4), 0); /* the ninth, not the tenth */
    CU_ASSERT_EQUAL(tree_of(1).pruned.size, 9);
    CU_ASSERT_EQUAL(prune(NOW_S + 110, 4), 0);
    const struct ledger_tree after = tree_of(1);
    CU_ASSERT_EQUAL(after.edge.size, before.edge.size + 1);
    CU_ASSERT_EQUAL(strncmp(entries_from(1, 0), "{\"time\":1700000009,", 19), 0);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(entries_from(1, MANY), "\"kind\":\"pruned\",\"detail\":\"entries before 9\""));
    CU_ASSERT_EQUAL(prune(NOW_S + 1000, 4), 0);
    CU_ASSERT_EQUAL(tree_of(1).edge.size, before.edge.size + 1); /* it is entered once */
    CU_ASSERT_TRUE(is_pruned_by(entries, 9));
    free(entries);
    CU_ASSERT_TRUE(reopen_all() && append_issued("x", NOW_S));
}

static void test_entries_are_kept_for_their_time(void)
{
    ledger_set_limits(fixture.ledger, 0, 100);
    CU_ASSERT_TRUE_FATAL(append_many(MANY, NOW_S));
    ledger_note_checkpoint(fixture.ledger, 1, MANY);
    CU_ASSERT_EQUAL(prune(NOW_S + 110, MANY), 0);
    CU_ASSERT_EQUAL(tree_of(1).pruned.size, 10); /* of NOW_S to NOW_S + 9 */
}

static void test_without_a_retention_nothing_is_pruned(void)
{
    CU_ASSERT_TRUE_FATAL(append_many(2, NOW_S));
    ledger_note_checkpoint(fixture.ledger, 1, 2);
    CU_ASSERT_EQUAL(prune(2 * (int64_t)NOW_S, MANY), 0);
    CU_ASSERT_EQUAL(tree_of(1).pruned.size, 0);
}

/* Nothing else of the transaction is to fail for it. */
static void test_a_store_that_was_rolled_back_is_not_pruned(void)
{
    ledger_set_limits(fixture.ledger, 0, 100);
    CU_ASSERT_TRUE_FATAL(append_many(2, NOW_S) && store_checkpoint(2));
    write_head_of_more(1);
    CU_ASSERT_TRUE_FATAL(reopen_all() && is_stopped());
    CU_ASSERT_EQUAL(prune(NOW_S + 1000, MANY), 0);
    CU_ASSERT_EQUAL(tree_of(1).pruned.size, 0);
}

static void test_when_nothing_was_to_be_pruned_it_is_looked_for_a_minute_later(void)
{
    ledger_set_limits(fixture.ledger, 0, 100);
    CU_ASSERT_TRUE_FATAL(append_many(1, NOW_S));
    ledger_note_checkpoint(fixture.ledger, 1, 1);
    CU_ASSERT_EQUAL(prune(NOW_S + 50, MANY), 0);
    CU_ASSERT_EQUAL(prune(NOW_S + 109, MANY), 0);
    CU_ASSERT_EQUAL(tree_of(1).pruned.size, 0);
    CU_ASSERT_EQUAL(tree_of(1).edge.size, 1); /* nothing is entered */
    CU_ASSERT_EQUAL(prune(NOW_S + 110, MANY), 0);
    CU_ASSERT_EQUAL(tree_of(1).pruned.size, 1);
}

/* Puts it there as it is, as nobody appends. */
static bool put_entry(int64_t index, const char *entry, const char *leaf)
{
    const struct ledger_row row = {
        .tree = 1, .index = index, .entry = entry, .leaf = merkle_leaf(leaf, strlen(leaf))
    };
    struct ledger_tree tree;

    return begin() && store_lock_tree(fixture.store, "node", 1, &tree, &fixture.err)
        && store_append_entry(fixture.store, &row, &fixture.err)
        && store_commit(fixture.store, &fixture.err);
}

static void test_an_entry_that_was_tampered_with_is_not_pruned(void)
{
    static const char good[] = "{\"time\":1,\"kind\":\"\"}";
    static const struct {
        int64_t index;
        const char *entry;
        const char *leaf;
    } changed[] = {
        { 0, good, "{\"time\":2,\"kind\":\"\"}" },
        { 1, good, good }, /* where 0 was */
        { 0, "{\"Time\":1,\"kind\":\"\"}", "{\"Time\":1,\"kind\":\"\"}" },
        { 0, "{\"time\":1}", "{\"time\":1}" },
    };

    for (size_t i = 0; i < COUNT_OF(changed); i++) {
        ledger_set_limits(fixture.ledger, 0, 100);
        CU_ASSERT_TRUE_FATAL(put_entry(changed[i].index, changed[i].entry, changed[i].leaf));
        ledger_note_checkpoint(fixture.ledger, 1, 2);
        CU_ASSERT_EQUAL(prune(NOW_S + 110, 4), 0);
        CU_ASSERT_STRING_NOT_EQUAL(entries_from(1, 0), "");
        CU_ASSERT_EQUAL(tree_of(1).pruned.size, 0);
        tear_down();
        set_up();
    }
    ledger_set_limits(fixture.ledger, 0, 100);
    CU_ASSERT_TRUE_FATAL(put_entry(0, good, good));
    ledger_note_checkpoint(fixture.ledger, 1, 2);
    CU_ASSERT_EQUAL(prune(NOW_S + 110, 4), 0);
    CU_ASSERT_EQUAL(tree_of(1).pruned.size, 1);
}

static void test_an_entry_that_is_not_whole_fails_nothing_else_of_the_transaction(void)
{
    char command[256];

    ledger_set_limits(fixture.ledger, 0, 100);
    CU_ASSERT_TRUE_FATAL(append_many(2, NOW_S));
    ledger_note_checkpoint(fixture.ledger, 1, 2);
    (void)snprintf(command, sizeof(command),
                   "sqlite3 '%s/issuerd.db' \"UPDATE ledger SET leaf = x'00'\"", fixture.directory);
    CU_ASSERT_EQUAL_FATAL(system(command), 0);
    CU_ASSERT_EQUAL(prune(NOW_S + 110, 4), 0);
    CU_ASSERT_EQUAL(tree_of(1).pruned.size, 0);
    CU_ASSERT_TRUE(append_issued("x", NOW_S));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "an entry has its members in order and no others",
          test_an_entry_has_its_members_in_order_and_no_others },
        { "a reason that is no text is refused and nothing is appended",
          test_a_reason_that_is_no_text_is_refused_and_nothing_is_appended },
        { "the tree kept is that of the entries", test_the_tree_kept_is_that_of_the_entries },
        { "what is rolled back was never appended", test_what_is_rolled_back_was_never_appended },
        { "another process may append to the same tree",
          test_another_process_may_append_to_the_same_tree },
        { "a store older than the head file stops the issuing",
          test_a_store_older_than_the_head_file_stops_the_issuing },
        { "a store of another history stops the issuing",
          test_a_store_of_another_history_stops_the_issuing },
        { "a store of an earlier epoch stops the issuing",
          test_a_store_of_an_earlier_epoch_stops_the_issuing },
        { "a store that grew since the head file goes on",
          test_a_store_that_grew_since_the_head_file_goes_on },
        { "a head file of another node or none is named",
          test_a_head_file_of_another_node_or_none_is_named },
        { "a head file that cannot be opened is not taken for none",
          test_a_head_file_that_cannot_be_opened_is_not_taken_for_none },
        { "a store that loses entries under us stops the issuing",
          test_a_store_that_loses_entries_under_us_stops_the_issuing },
        { "a store whose entries change under us stops the issuing",
          test_a_store_whose_entries_change_under_us_stops_the_issuing },
        { "an operator accepts a restored store", test_an_operator_accepts_a_restored_store },
        { "the tree after a restore is of an epoch that never was",
          test_the_tree_after_a_restore_is_of_an_epoch_that_never_was },
        { "what was good before a restore is cancelled",
          test_what_was_good_before_a_restore_is_cancelled },
        { "a store that was not rolled back is not accepted",
          test_a_store_that_was_not_rolled_back_is_not_accepted },
        { "a running ledger goes on once a tool accepted the store",
          test_a_running_ledger_goes_on_once_a_tool_accepted_the_store },
        { "another node's trees do not matter", test_another_nodes_trees_do_not_matter },
        { "entries without a checkpoint stop the issuing at their bound",
          test_entries_without_a_checkpoint_stop_the_issuing_at_their_bound },
        { "a start knows how many entries wait for a checkpoint",
          test_a_start_knows_how_many_entries_wait_for_a_checkpoint },
        { "entries past their time are pruned in steps and that is entered",
          test_entries_past_their_time_are_pruned_in_steps_and_that_is_entered },
        { "entries are kept for their time", test_entries_are_kept_for_their_time },
        { "without a retention nothing is pruned", test_without_a_retention_nothing_is_pruned },
        { "a store that was rolled back is not pruned",
          test_a_store_that_was_rolled_back_is_not_pruned },
        { "when nothing was to be pruned it is looked for a minute later",
          test_when_nothing_was_to_be_pruned_it_is_looked_for_a_minute_later },
        { "an entry that was tampered with is not pruned",
          test_an_entry_that_was_tampered_with_is_not_pruned },
        { "an entry that is not whole fails nothing else of the transaction",
          test_an_entry_that_is_not_whole_fails_nothing_else_of_the_transaction },
        CU_TEST_INFO_NULL,
    };
    return run_suite("ledger", set_up, tear_down, tests);
}

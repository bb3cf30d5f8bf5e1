/*
 * What every store promises. One program an engine: this file with the engine's own
 * store_fixture.h behind it. Time is an argument, so nothing here sleeps.
 */
#include "store/store.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "contract/store_fixture.h"
#include "support/run.h"

enum {
    NOW_S = 1700000000,
    REQUEST_LIFE_S = 600,
    CODE_LIFE_S = 60,
    RETENTION_S = 1000,
    OPEN_MAX = 20,
    READERS = 2,
};

static struct {
    const char *url;
    struct store_options options;
    struct store *store;
    struct error err;
    bool opened;
    bool more;   /* what a purge said */
    bool is_new; /* what add_key() and revoke_token() were told */
} fixture;

static bool open_store(void)
{
    fixture.opened = store_open(fixture.url, &fixture.options, &fixture.store, &fixture.err);
    if (!fixture.opened) {
        fprintf(stderr, "%s\n", error_line(&fixture.err).text);
    }
    return fixture.opened;
}

static void close_store(void)
{
    store_close(take(fixture.store));
    fixture.opened = false;
}

static bool reopen_store(void)
{
    close_store();
    return open_store();
}

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.options =
        (struct store_options){ .max_open_requests = OPEN_MAX, .retention_s = RETENTION_S };
    fixture.url = store_fixture_make();
    if (fixture.url != NULL) {
        (void)open_store();
    }
}

static void tear_down(void)
{
    close_store();
    store_fixture_remove();
}

/* ---- authorizations by number ---- */

struct id {
    char text[AUTHORIZATION_ID_LENGTH + 1];
};

static struct id id_of(unsigned number)
{
    struct id id;
    (void)snprintf(id.text, sizeof(id.text), "00000000-0000-7000-8000-%012x", number);
    return id;
}

/* Any three digests that differ by name and number. */
static struct digest digest_of(const char *name, unsigned number)
{
    char text[64];
    const int length = snprintf(text, sizeof(text), "%s %u", name, number);
    return sha256(text, (size_t)length);
}

static bool create_with_pair(unsigned number, unsigned pair, int64_t now_s)
{
    struct new_authorization new = {
        .state = "state-0123456789-0123456789-01234",
        .nonce = "nonce-0123456789-0123456789-01234",
        .pair = digest_of("pair", pair),
        .created_s = now_s,
        .expires_s = now_s + REQUEST_LIFE_S,
    };
    const struct id id = id_of(number);
    memcpy(new.id, id.text, sizeof(new.id));
    return store_create_authorization(fixture.store, &new, &fixture.err);
}

static bool create(unsigned number)
{
    return create_with_pair(number, number, NOW_S);
}

static bool approve_at(unsigned number, int64_t now_s, int64_t *row_out)
{
    const struct id id = id_of(number);
    const struct approval approval = {
        .id = id.text,
        .holder_did = "did:example:holder",
        .scope = number % 2 == 0 ? "read write" : NULL,
        .code = digest_of("code", number),
        .now_s = now_s,
        .code_expires_s = now_s + CODE_LIFE_S,
    };
    struct approved_authorization approved = { .row = -1 };
    const bool good = store_approve(fixture.store, &approval, &approved, &fixture.err);
    *row_out = approved.row;
    free(approved.presentation_definition);
    return good;
}

/* By a presentation, of the name that `presentation` numbers. */
static bool validate(unsigned number, unsigned presentation, int64_t tries_max)
{
    const struct id id = id_of(number);
    const struct used_presentation used = { .identity = digest_of("presentation", presentation),
                                            .usable_until_s = NOW_S + 300,
                                            .tries_max = tries_max };
    const struct approval approval = {
        .id = id.text,
        .holder_did = "did:example:holder",
        .presentation = &used,
        .code = digest_of("code", number),
        .now_s = NOW_S,
        .code_expires_s = NOW_S + CODE_LIFE_S,
    };
    struct approved_authorization approved = { .row = -1 };
    const bool good = store_approve(fixture.store, &approval, &approved, &fixture.err);
    free(approved.presentation_definition);
    return good;
}

static bool count_try(unsigned number)
{
    const struct id id = id_of(number);
    return store_count_try(fixture.store, id.text, &fixture.err);
}

/* The number of tries; -1: no such request. */
static int64_t tries_of(unsigned number)
{
    const struct id id = id_of(number);
    struct open_authorization found = { .tries = -1 };

    (void)!store_find_authorization(fixture.store, id.text, &found, &fixture.err);
    free(found.presentation_definition);
    return found.tries;
}

static bool approve(unsigned number, int64_t *row_out)
{
    return approve_at(number, NOW_S, row_out);
}

static bool begin(void)
{
    int64_t now_s = 0;
    return store_begin(fixture.store, &now_s, &fixture.err) && now_s > 0;
}

/* ---- the ledger ---- */

/* The next entry of the node's tree of epoch 1. */
static bool append_to(const char *node, const char *jti, const char *entry)
{
    struct ledger_tree tree;

    if (!store_lock_tree(fixture.store, node, 1, &tree, &fixture.err)) {
        return false;
    }
    const struct ledger_row row = { .tree = tree.number,
                                    .index = tree.edge.size,
                                    .entry = entry,
                                    .jti = jti,
                                    .leaf = merkle_leaf(entry, strlen(entry)) };
    merkle_append(&tree.edge, &row.leaf);
    return store_append_entry(fixture.store, &row, &fixture.err)
        && store_keep_tree(fixture.store, &tree, &fixture.err);
}

static bool append_as(const char *jti, const char *entry)
{
    return append_to("node", jti, entry);
}

static struct redemption redemption_of(int64_t row, unsigned code, const char *jti)
{
    return (struct redemption){
        .row = row, .code = digest_of("code", code), .jti = jti, .token_expires_s = NOW_S + 3600
    };
}

/* With its entry. */
static bool redeem_as(int64_t row, unsigned code, int64_t now_s, const char *jti)
{
    const struct redemption redemption = redemption_of(row, code, jti);

    return store_send_redemption(fixture.store, &redemption, now_s, &fixture.err)
        && store_redeem(fixture.store, &redemption, now_s, &fixture.err)
        && append_as(jti, "{\"kind\":\"issued\"}");
}

static bool commit(void)
{
    return store_commit(fixture.store, &fixture.err);
}

/* A request with its code, durable. */
static bool make_code(unsigned number, int64_t *row_out)
{
    return begin() && create(number) && approve(number, row_out) && commit();
}

static bool find(unsigned number, struct stored_code *code_out)
{
    const struct digest code = digest_of("code", number);
    return store_find_code(fixture.store, &code, code_out, &fixture.err);
}

static bool is_known(unsigned number)
{
    struct stored_code code;
    return find(number, &code);
}

static bool is_spent(unsigned number)
{
    struct stored_code code;
    return find(number, &code) && code.spent;
}

/* ---- the life of a code ---- */

static void test_a_request_is_created_approved_found_and_redeemed(void)
{
    struct stored_code code;
    int64_t row = 0;

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(make_code(2, &row));
    CU_ASSERT_TRUE_FATAL(find(2, &code));
    CU_ASSERT_EQUAL(code.row, row);
    CU_ASSERT_STRING_EQUAL(code.authorization_id, id_of(2).text);
    CU_ASSERT_STRING_EQUAL(code.holder_did, "did:example:holder");
    CU_ASSERT_STRING_EQUAL(code.scope, "read write");
    CU_ASSERT_EQUAL(code.expires_s, NOW_S + CODE_LIFE_S);
    CU_ASSERT_FALSE(code.spent);

    CU_ASSERT_TRUE_FATAL(begin() && redeem_as(row, 2, NOW_S + 1, "jti") && commit());
    CU_ASSERT_TRUE(is_spent(2));
    CU_ASSERT_EQUAL(store_fixture_ledger_entries("jti"), 1);
}

static void test_an_approval_tells_the_request_back(void)
{
    const struct id id = id_of(1);
    struct new_authorization new = { .state = "a-state",
                                     .nonce = "a-nonce",
                                     .presentation_definition = "{\"id\":\"\xc3\xa4\"}",
                                     .pair = digest_of("pair", 1),
                                     .created_s = NOW_S,
                                     .expires_s = NOW_S + 1 };
    const struct approval approval = { .id = id.text,
                                       .holder_did = "did:example:1",
                                       .code = digest_of("code", 1),
                                       .now_s = NOW_S,
                                       .code_expires_s = NOW_S + 1 };
    struct approved_authorization approved = { .row = 0 };

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    memcpy(new.id, id.text, sizeof(new.id));
    CU_ASSERT_TRUE_FATAL(begin() && store_create_authorization(fixture.store, &new, &fixture.err));
    CU_ASSERT_TRUE_FATAL(store_approve(fixture.store, &approval, &approved, &fixture.err));
    const bool same = approved.presentation_definition != NULL
                   && strcmp(approved.presentation_definition, new.presentation_definition) == 0;
    free(approved.presentation_definition);
    CU_ASSERT_TRUE(same);
    CU_ASSERT_STRING_EQUAL(approved.state, "a-state");
    CU_ASSERT_STRING_EQUAL(approved.nonce, "a-nonce");
    CU_ASSERT_TRUE(commit());
}

static void test_a_code_without_scope_has_none(void)
{
    struct stored_code code;
    int64_t row = 0;

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(make_code(1, &row) && find(1, &code));
    CU_ASSERT_STRING_EQUAL(code.scope, "");
}

static void test_a_spent_code_is_refused_and_nothing_is_written(void)
{
    int64_t row = 0;

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(make_code(1, &row));
    CU_ASSERT_TRUE_FATAL(begin() && redeem_as(row, 1, NOW_S, "first") && commit());
    CU_ASSERT_TRUE_FATAL(begin());
    CU_ASSERT_FALSE(redeem_as(row, 1, NOW_S, "second"));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CODE_SPENT);
    CU_ASSERT_TRUE(commit());
    CU_ASSERT_EQUAL(store_fixture_ledger_entries("second"), 0);
    CU_ASSERT_EQUAL(store_fixture_ledger_entries(NULL), 1);
}

static void test_a_code_is_spent_once_within_one_transaction(void)
{
    int64_t row = 0;

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(make_code(1, &row) && begin() && redeem_as(row, 1, NOW_S, "first"));
    CU_ASSERT_FALSE(redeem_as(row, 1, NOW_S, "second"));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CODE_SPENT);
    CU_ASSERT_TRUE(commit());
    CU_ASSERT_EQUAL(store_fixture_ledger_entries(NULL), 1);
}

static void test_a_code_is_redeemed_until_it_expires_and_not_then(void)
{
    int64_t early = 0;
    int64_t late = 0;

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(make_code(1, &early) && make_code(2, &late) && begin());
    CU_ASSERT_TRUE(redeem_as(early, 1, NOW_S + CODE_LIFE_S - 1, "early"));
    CU_ASSERT_FALSE(redeem_as(late, 2, NOW_S + CODE_LIFE_S, "late"));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CODE_SPENT);
    CU_ASSERT_TRUE(commit());
    CU_ASSERT_EQUAL(store_fixture_ledger_entries("late"), 0);
    CU_ASSERT_TRUE(is_known(2));
    CU_ASSERT_FALSE(is_spent(2));
}

static void test_a_row_is_redeemed_with_its_own_code_only(void)
{
    int64_t row = 0;
    int64_t other = 0;

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(make_code(1, &row) && make_code(2, &other) && begin());
    CU_ASSERT_FALSE(redeem_as(row, 2, NOW_S, "wrong"));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CODE_SPENT);
    CU_ASSERT_FALSE(redeem_as(row, 3, NOW_S, "wrong"));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CODE_SPENT);
    CU_ASSERT_FALSE(redeem_as(row + other, 1, NOW_S, "wrong"));
    CU_ASSERT_TRUE(commit());
    CU_ASSERT_EQUAL(store_fixture_ledger_entries(NULL), 0);
    CU_ASSERT_FALSE(is_spent(1));
    CU_ASSERT_FALSE(is_spent(2));
}

static void test_an_unknown_code_is_not_found(void)
{
    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_FALSE(is_known(1));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CODE_UNKNOWN);
}

/* ---- approvals that are refused ---- */

static void test_an_unknown_request_is_not_approved(void)
{
    int64_t row = 0;

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(begin() && create(1));
    CU_ASSERT_FALSE(approve(2, &row));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_NOT_FOUND);
    CU_ASSERT_TRUE(commit());
}

static void test_a_request_is_approved_until_it_expires_and_not_then(void)
{
    int64_t row = 0;

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(begin() && create(1) && create(2));
    CU_ASSERT_TRUE(approve_at(1, NOW_S + REQUEST_LIFE_S - 1, &row));
    CU_ASSERT_FALSE(approve_at(2, NOW_S + REQUEST_LIFE_S, &row));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_NOT_FOUND);
    CU_ASSERT_TRUE(commit());
    CU_ASSERT_FALSE(is_known(2));
}

static void test_a_request_is_approved_once(void)
{
    int64_t row = 0;
    int64_t again = 0;

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(make_code(1, &row) && begin());
    CU_ASSERT_FALSE(approve(1, &again));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CONFLICT);
    CU_ASSERT_TRUE(redeem_as(row, 1, NOW_S, "jti"));
    CU_ASSERT_FALSE(approve(1, &again));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CONFLICT);
    CU_ASSERT_TRUE(commit());
}

/* ---- what a wallet validates ---- */

static void test_a_request_is_found_as_it_was_created(void)
{
    const struct id id = id_of(1);
    struct open_authorization found = { .tries = -1 };
    int64_t row = 0;

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(begin() && create(1) && commit());
    CU_ASSERT_TRUE_FATAL(store_find_authorization(fixture.store, id.text, &found, &fixture.err));
    CU_ASSERT_STRING_EQUAL(found.state, "state-0123456789-0123456789-01234");
    CU_ASSERT_STRING_EQUAL(found.nonce, "nonce-0123456789-0123456789-01234");
    CU_ASSERT_PTR_NULL(found.presentation_definition);
    CU_ASSERT_EQUAL(found.expires_s, NOW_S + REQUEST_LIFE_S);
    CU_ASSERT_EQUAL(found.tries, 0);
    CU_ASSERT_FALSE(found.has_code);
    CU_ASSERT_TRUE_FATAL(begin() && approve(1, &row) && commit());
    CU_ASSERT_TRUE_FATAL(store_find_authorization(fixture.store, id.text, &found, &fixture.err));
    CU_ASSERT_TRUE(found.has_code);
}

static void test_an_unknown_request_is_not_found(void)
{
    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_EQUAL(tries_of(1), -1);
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_NOT_FOUND);
}

static void test_a_request_is_validated_once(void)
{
    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(begin() && create(1));
    CU_ASSERT_TRUE(validate(1, 1, 5));
    CU_ASSERT_FALSE(validate(1, 2, 5));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CONFLICT);
    CU_ASSERT_TRUE_FATAL(commit());
    CU_ASSERT_TRUE(is_known(1));
}

static void test_tries_are_counted_to_their_bound(void)
{
    int64_t row = 0;

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(begin() && create(1) && create(2) && count_try(1) && count_try(1)
                         && commit());
    CU_ASSERT_EQUAL(tries_of(1), 2);
    CU_ASSERT_EQUAL(tries_of(2), 0);
    CU_ASSERT_TRUE_FATAL(begin());
    CU_ASSERT_FALSE(validate(1, 1, 2));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_NOT_OPEN);
    CU_ASSERT_TRUE(validate(2, 1, 2));
    CU_ASSERT_TRUE(approve(1, &row)); /* a trusted caller is not bound by them */
    CU_ASSERT_TRUE(count_try(1));
    CU_ASSERT_TRUE_FATAL(commit());
    CU_ASSERT_EQUAL(tries_of(1), 2);
}

static void test_a_presentation_validates_one_request(void)
{
    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(begin() && create(1) && create(2) && validate(1, 7, 5) && commit());
    CU_ASSERT_TRUE_FATAL(begin());
    CU_ASSERT_FALSE(validate(2, 7, 5));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_PRESENTATION);
    CU_ASSERT_TRUE(validate(2, 8, 5));
    CU_ASSERT_TRUE_FATAL(commit());
}

static void test_a_presentation_is_remembered_while_it_could_be_used(void)
{
    CU_ASSERT_TRUE_FATAL(fixture.opened);
    fixture.options.retention_s = 0;
    CU_ASSERT_TRUE_FATAL(reopen_store());
    CU_ASSERT_TRUE_FATAL(begin() && create(1) && create(2) && validate(1, 7, 5) && commit());
    CU_ASSERT_TRUE_FATAL(
        begin() && store_purge(fixture.store, NOW_S + 299, 100, &fixture.more, &fixture.err));
    CU_ASSERT_FALSE(validate(2, 7, 5));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_PRESENTATION);
    CU_ASSERT_TRUE_FATAL(store_purge(fixture.store, NOW_S + 300, 100, &fixture.more, &fixture.err)
                         && commit());
    CU_ASSERT_EQUAL(store_fixture_authorizations(), 1);
}

/* ---- transactions ---- */

static void test_what_is_rolled_back_was_never_there(void)
{
    int64_t row = 0;
    int64_t lost = 0;

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(make_code(1, &row));
    CU_ASSERT_TRUE_FATAL(begin() && create(2) && approve(2, &lost)
                         && redeem_as(row, 1, NOW_S, "lost") && redeem_as(lost, 2, NOW_S, "lost"));
    store_rollback(fixture.store);
    CU_ASSERT_EQUAL(store_fixture_ledger_entries(NULL), 0);
    CU_ASSERT_EQUAL(store_fixture_authorizations(), 1);
    CU_ASSERT_FALSE(is_spent(1));
    CU_ASSERT_FALSE(is_known(2));
    CU_ASSERT_TRUE_FATAL(begin() && redeem_as(row, 1, NOW_S, "kept") && commit());
    CU_ASSERT_EQUAL(store_fixture_ledger_entries("kept"), 1);
}

static void test_a_refusal_leaves_the_others_of_its_transaction_in_place(void)
{
    int64_t rows[4] = { 0 };

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(make_code(1, &rows[1]) && make_code(2, &rows[2])
                         && make_code(3, &rows[3]));
    CU_ASSERT_TRUE_FATAL(begin() && redeem_as(rows[2], 2, NOW_S, "before") && commit());
    CU_ASSERT_TRUE_FATAL(begin() && redeem_as(rows[1], 1, NOW_S, "one"));
    CU_ASSERT_FALSE(redeem_as(rows[2], 2, NOW_S, "two"));
    CU_ASSERT_FALSE(create_with_pair(4, 1, NOW_S));
    CU_ASSERT_TRUE_FATAL(redeem_as(rows[3], 3, NOW_S, "three") && commit());
    CU_ASSERT_EQUAL(store_fixture_ledger_entries("one"), 1);
    CU_ASSERT_EQUAL(store_fixture_ledger_entries("two"), 0);
    CU_ASSERT_EQUAL(store_fixture_ledger_entries("three"), 1);
    CU_ASSERT_TRUE(is_spent(1));
    CU_ASSERT_TRUE(is_spent(3));
}

static void test_nobody_sees_what_is_not_committed(void)
{
    int64_t row = 0;

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(begin() && create(1) && approve(1, &row));
    CU_ASSERT_FALSE(is_known(1));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CODE_UNKNOWN);
    CU_ASSERT_TRUE_FATAL(commit());
    CU_ASSERT_TRUE(is_known(1));
}

static void test_what_is_committed_survives_reopening(void)
{
    int64_t row = 0;
    int64_t spent = 0;

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(make_code(1, &row) && make_code(2, &spent));
    CU_ASSERT_TRUE_FATAL(begin() && redeem_as(spent, 2, NOW_S, "kept") && commit());
    CU_ASSERT_TRUE_FATAL(reopen_store());
    CU_ASSERT_TRUE(is_known(1));
    CU_ASSERT_FALSE(is_spent(1));
    CU_ASSERT_TRUE(is_spent(2));
    CU_ASSERT_EQUAL(store_fixture_ledger_entries("kept"), 1);
    CU_ASSERT_TRUE_FATAL(begin());
    CU_ASSERT_FALSE(redeem_as(spent, 2, NOW_S, "again"));
    CU_ASSERT_TRUE(redeem_as(row, 1, NOW_S, "now") && commit());
}

static void test_a_transaction_that_was_open_at_the_end_is_gone(void)
{
    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(begin() && create(1));
    CU_ASSERT_TRUE_FATAL(reopen_store());
    CU_ASSERT_EQUAL(store_fixture_authorizations(), 0);
}

/* In a process of its own: commits one code, spends it, begins another transaction, is killed. */
_Noreturn static void commit_and_be_killed(void)
{
    int64_t row = 0;

    if (open_store() && make_code(1, &row) && begin() && redeem_as(row, 1, NOW_S, "kept")
        && commit() && begin() && create(2)) {
        (void)raise(SIGKILL);
    }
    _exit(1);
}

static void test_what_is_committed_survives_a_kill_and_nothing_else_does(void)
{
    int status = 0;

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    close_store();
    const pid_t pid = fork();
    if (pid == 0) {
        commit_and_be_killed();
    }
    CU_ASSERT_EQUAL_FATAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_TRUE_FATAL(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CU_ASSERT_TRUE_FATAL(open_store());
    CU_ASSERT_TRUE(is_spent(1));
    CU_ASSERT_EQUAL(store_fixture_ledger_entries("kept"), 1);
    CU_ASSERT_EQUAL(store_fixture_ledger_entries(NULL), 1);
    CU_ASSERT_EQUAL(store_fixture_authorizations(), 1);
}

static void test_of_two_servers_on_one_store_one_spends_the_code(void)
{
    struct store *other = NULL;
    int64_t row = 0;

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(make_code(1, &row));
    CU_ASSERT_TRUE_FATAL(store_open(fixture.url, &fixture.options, &other, &fixture.err));
    CU_ASSERT_TRUE(begin() && redeem_as(row, 1, NOW_S, "ours") && commit());

    struct store *ours = fixture.store;
    fixture.store = other;
    const bool begun = begin();
    const bool redeemed = redeem_as(row, 1, NOW_S, "theirs");
    const enum error_code code = fixture.err.code;
    const bool committed = commit();
    fixture.store = ours;
    store_close(other);
    CU_ASSERT_TRUE(begun && committed);
    CU_ASSERT_FALSE(redeemed);
    CU_ASSERT_EQUAL(code, ERROR_CODE_SPENT);
    CU_ASSERT_EQUAL(store_fixture_ledger_entries(NULL), 1);
}

/* ---- state and nonce ---- */

static void test_a_pair_is_unique_while_its_request_lives(void)
{
    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(begin() && create_with_pair(1, 7, NOW_S));
    CU_ASSERT_FALSE(create_with_pair(2, 7, NOW_S));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_INVALID_REQUEST);
    CU_ASSERT_FALSE(create_with_pair(2, 7, NOW_S + REQUEST_LIFE_S - 1));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_INVALID_REQUEST);
    CU_ASSERT_TRUE(create_with_pair(3, 8, NOW_S));
    CU_ASSERT_TRUE(commit());
    CU_ASSERT_EQUAL(store_fixture_authorizations(), 2);
}

static void test_a_pair_is_free_once_its_request_expired(void)
{
    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(begin() && create_with_pair(1, 7, NOW_S));
    CU_ASSERT_TRUE(create_with_pair(2, 7, NOW_S + REQUEST_LIFE_S));
    CU_ASSERT_FALSE(create_with_pair(3, 7, NOW_S + REQUEST_LIFE_S));
    CU_ASSERT_TRUE(commit());
}

static void test_a_pair_is_free_after_a_rollback(void)
{
    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(begin() && create_with_pair(1, 7, NOW_S));
    store_rollback(fixture.store);
    CU_ASSERT_TRUE(begin() && create_with_pair(2, 7, NOW_S) && commit());
}

static void test_an_id_is_unique(void)
{
    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(begin() && create_with_pair(1, 1, NOW_S));
    CU_ASSERT_FALSE(create_with_pair(1, 2, NOW_S));
    CU_ASSERT_TRUE(commit());
    CU_ASSERT_EQUAL(store_fixture_authorizations(), 1);
}

/* ---- authorizations as an operator sees them ---- */

/* What the store lists at NOW_S as "3 2 1", by the numbers of the ids. */
static const char *listed(const enum authorization_stage *stage, int64_t before_row, int limit)
{
    static char numbers[256];
    scoped(authorization_list_clear) struct authorization_list list = { .count = 0 };
    const struct authorization_filter filter = {
        .stage = stage, .before_row = before_row, .limit = limit, .now_s = NOW_S
    };
    size_t length = 0;

    if (!store_list_authorizations(fixture.store, &filter, &list, &fixture.err)) {
        return "(failed)";
    }
    numbers[0] = '\0';
    for (size_t i = 0; i < list.count; i++) {
        const unsigned long number = strtoul(strrchr(list.authorizations[i].id, '-') + 1, NULL, 16);
        length += (size_t)snprintf(numbers + length, sizeof(numbers) - length, "%s%lu",
                                   i > 0 ? " " : "", number);
    }
    return numbers;
}

static const char *listed_at(enum authorization_stage stage)
{
    return listed(&stage, INT64_MAX, 100);
}

static bool cancel(unsigned number, int64_t now_s)
{
    const struct id id = id_of(number);
    return store_cancel_authorization(fixture.store, id.text, now_s, &fixture.err);
}

/* One request of each stage at NOW_S: 1 open, 2 approved, 3 redeemed, 4 expired, 5 with an expired
 * code, 6 cancelled, 7 cancelled with its code. */
static bool make_every_stage(void)
{
    int64_t row = 0;
    const bool made = begin() && create(1) && create(2) && approve(2, &row) && create(3)
                   && approve(3, &row) && redeem_as(row, 3, NOW_S, "jti-3")
                   && create_with_pair(4, 4, NOW_S - REQUEST_LIFE_S)
                   && create_with_pair(5, 5, NOW_S - REQUEST_LIFE_S)
                   && approve_at(5, NOW_S - CODE_LIFE_S, &row) && create(6) && cancel(6, NOW_S)
                   && create(7) && approve(7, &row) && cancel(7, NOW_S) && commit();
    return made;
}

static void test_authorizations_are_listed_newest_first(void)
{
    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_STRING_EQUAL(listed(NULL, INT64_MAX, 100), "");
    CU_ASSERT_TRUE_FATAL(make_every_stage());
    CU_ASSERT_STRING_EQUAL(listed(NULL, INT64_MAX, 100), "7 6 5 4 3 2 1");
    CU_ASSERT_STRING_EQUAL(listed(NULL, INT64_MAX, 2), "7 6");
}

static void test_authorizations_are_listed_by_stage(void)
{
    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(make_every_stage());
    CU_ASSERT_STRING_EQUAL(listed_at(AUTHORIZATION_OPEN), "1");
    CU_ASSERT_STRING_EQUAL(listed_at(AUTHORIZATION_APPROVED), "2");
    CU_ASSERT_STRING_EQUAL(listed_at(AUTHORIZATION_REDEEMED), "3");
    CU_ASSERT_STRING_EQUAL(listed_at(AUTHORIZATION_EXPIRED), "5 4");
    CU_ASSERT_STRING_EQUAL(listed_at(AUTHORIZATION_CANCELLED), "7 6");
}

static void test_a_list_goes_on_where_the_one_before_ended(void)
{
    scoped(authorization_list_clear) struct authorization_list list = { .count = 0 };
    const struct authorization_filter filter = { .before_row = INT64_MAX,
                                                 .limit = 3,
                                                 .now_s = NOW_S };

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(make_every_stage());
    CU_ASSERT_TRUE_FATAL(store_list_authorizations(fixture.store, &filter, &list, &fixture.err));
    CU_ASSERT_EQUAL_FATAL(list.count, 3);
    const int64_t last = list.authorizations[2].row;
    CU_ASSERT_TRUE_FATAL(begin() && create(8) && commit()); /* meanwhile */
    CU_ASSERT_STRING_EQUAL(listed(NULL, last, 3), "4 3 2");
}

static void test_an_authorization_is_found_as_it_is(void)
{
    scoped(stored_authorization_clear) struct stored_authorization found = { .row = 0 };

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(make_every_stage());
    CU_ASSERT_TRUE_FATAL(
        store_describe_authorization(fixture.store, id_of(3).text, NOW_S, &found, &fixture.err));
    CU_ASSERT_STRING_EQUAL(found.id, id_of(3).text);
    CU_ASSERT_EQUAL(found.stage, AUTHORIZATION_REDEEMED);
    CU_ASSERT_EQUAL(found.created_s, NOW_S);
    CU_ASSERT_EQUAL(found.expires_s, NOW_S + CODE_LIFE_S);
    CU_ASSERT_EQUAL(found.redeemed_s, NOW_S);
    CU_ASSERT_EQUAL(found.cancelled_s, 0);
    CU_ASSERT_STRING_EQUAL(found.holder_did, "did:example:holder");
    CU_ASSERT_STRING_EQUAL(found.scope, "");
    CU_ASSERT_STRING_EQUAL(found.jti, "jti-3");
    CU_ASSERT_PTR_NULL(found.presentation_definition);
}

static void test_an_authorization_is_found_with_its_definition(void)
{
    scoped(stored_authorization_clear) struct stored_authorization found = { .row = 0 };
    struct new_authorization new = { .state = "a-state",
                                     .nonce = "a-nonce",
                                     .presentation_definition = "{\"id\":\"\xc3\xa4\"}",
                                     .pair = digest_of("pair", 1),
                                     .created_s = NOW_S,
                                     .expires_s = NOW_S + REQUEST_LIFE_S };

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    memcpy(new.id, id_of(1).text, sizeof(new.id));
    CU_ASSERT_TRUE_FATAL(begin() && store_create_authorization(fixture.store, &new, &fixture.err)
                         && commit());
    CU_ASSERT_TRUE_FATAL(
        store_describe_authorization(fixture.store, "0000", NOW_S, &found, &fixture.err));
    CU_ASSERT_PTR_NOT_NULL_FATAL(found.presentation_definition);
    CU_ASSERT_STRING_EQUAL(found.presentation_definition, new.presentation_definition);
    CU_ASSERT_EQUAL(found.stage, AUTHORIZATION_OPEN);
    CU_ASSERT_EQUAL(found.expires_s, NOW_S + REQUEST_LIFE_S);
    CU_ASSERT_STRING_EQUAL(found.holder_did, "");
    CU_ASSERT_STRING_EQUAL(found.jti, "");
}

static void test_the_beginning_of_an_id_finds_one_or_none(void)
{
    scoped(stored_authorization_clear) struct stored_authorization found = { .row = 0 };

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(begin() && create(0x1f) && create(0x2a) && create(0x2b) && commit());
    CU_ASSERT_TRUE(store_describe_authorization(
        fixture.store, "00000000-0000-7000-8000-00000000001", NOW_S, &found, &fixture.err));
    CU_ASSERT_STRING_EQUAL(found.id, id_of(0x1f).text);
    CU_ASSERT_FALSE(store_describe_authorization(
        fixture.store, "00000000-0000-7000-8000-00000000002", NOW_S, &found, &fixture.err));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CONFLICT);
    CU_ASSERT_FALSE(store_describe_authorization(
        fixture.store, "00000000-0000-7000-8000-00000000003", NOW_S, &found, &fixture.err));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_NOT_FOUND);
    CU_ASSERT_FALSE(store_describe_authorization(fixture.store, "1", NOW_S, &found, &fixture.err));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_NOT_FOUND);
}

static void test_a_cancelled_request_is_not_approved_at_any_time(void)
{
    int64_t row = 0;

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(begin() && create(1) && cancel(1, NOW_S) && commit() && begin());
    CU_ASSERT_FALSE(approve(1, &row));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_NOT_FOUND);
    CU_ASSERT_FALSE(approve_at(1, NOW_S - 60, &row)); /* by a clock that is behind */
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_NOT_FOUND);
    CU_ASSERT_TRUE(create_with_pair(2, 1, NOW_S)); /* its state and nonce are free again */
    CU_ASSERT_TRUE(commit());
}

static void test_a_cancelled_code_is_not_redeemed_at_any_time(void)
{
    struct stored_code code;
    int64_t row = 0;

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(make_code(1, &row) && begin() && cancel(1, NOW_S) && commit() && begin());
    CU_ASSERT_FALSE(redeem_as(row, 1, NOW_S, "late"));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CODE_SPENT);
    CU_ASSERT_FALSE(redeem_as(row, 1, NOW_S - 60, "late")); /* by a clock that is behind */
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CODE_SPENT);
    CU_ASSERT_FALSE(approve(1, &row));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CONFLICT);
    CU_ASSERT_TRUE(commit());
    CU_ASSERT_EQUAL(store_fixture_ledger_entries(NULL), 0);
    CU_ASSERT_TRUE(find(1, &code));
    CU_ASSERT_TRUE(code.expires_s <= NOW_S - 60);
    CU_ASSERT_FALSE(code.spent);
}

static void test_what_has_ended_is_not_cancelled(void)
{
    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(make_every_stage() && begin());
    for (unsigned number = 3; number <= 7; number++) {
        CU_ASSERT_FALSE(cancel(number, NOW_S + 1));
        CU_ASSERT_EQUAL(fixture.err.code, ERROR_CONFLICT);
    }
    CU_ASSERT_FALSE(cancel(8, NOW_S));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_NOT_FOUND);
    CU_ASSERT_TRUE(commit());
    CU_ASSERT_STRING_EQUAL(listed_at(AUTHORIZATION_REDEEMED), "3");
    CU_ASSERT_STRING_EQUAL(listed_at(AUTHORIZATION_CANCELLED), "7 6");
}

static void test_a_redeemed_code_cannot_be_cancelled_and_its_token_is_named(void)
{
    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(make_every_stage() && begin());
    CU_ASSERT_FALSE(cancel(3, NOW_S));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.err.message, "jti-3"));
    CU_ASSERT_TRUE(commit());
    CU_ASSERT_TRUE(is_spent(3));
}

/* ---- the bound on open requests ---- */

/* Creates requests first, first + 1, ... until one is refused. Returns how many there were. */
static unsigned fill(unsigned first)
{
    unsigned count = 0;
    while (count <= OPEN_MAX && create(first + count)) {
        count++;
    }
    return count;
}

static void test_open_requests_are_bounded(void)
{
    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(begin());
    CU_ASSERT_EQUAL(fill(1), OPEN_MAX);
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_OVERLOADED);
    CU_ASSERT_TRUE(commit());
    CU_ASSERT_EQUAL(store_fixture_authorizations(), OPEN_MAX);
}

static void test_an_approval_makes_room_for_one_request(void)
{
    int64_t row = 0;

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(begin());
    CU_ASSERT_EQUAL(fill(1), OPEN_MAX);
    CU_ASSERT_TRUE(approve(1, &row));
    CU_ASSERT_FALSE(approve(1, &row));
    CU_ASSERT_EQUAL(fill(100), 1);
    CU_ASSERT_TRUE(commit());
}

static void test_a_refused_request_takes_no_room(void)
{
    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(begin() && create_with_pair(1, 7, NOW_S));
    for (unsigned i = 0; i < 2 * OPEN_MAX; i++) {
        CU_ASSERT_FALSE(create_with_pair(2, 7, NOW_S));
    }
    CU_ASSERT_EQUAL(fill(10), OPEN_MAX - 1);
    CU_ASSERT_TRUE(commit());
}

static void test_a_rollback_gives_the_room_back(void)
{
    int64_t row = 0;

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(begin() && create(1) && create(2) && commit() && begin());
    CU_ASSERT_EQUAL(fill(10), OPEN_MAX - 2);
    store_rollback(fixture.store);
    CU_ASSERT_TRUE_FATAL(begin());
    CU_ASSERT_EQUAL(fill(10), OPEN_MAX - 2);
    store_rollback(fixture.store);
    CU_ASSERT_TRUE_FATAL(begin() && approve(1, &row) && approve(2, &row));
    store_rollback(fixture.store);
    CU_ASSERT_TRUE_FATAL(begin());
    CU_ASSERT_EQUAL(fill(10), OPEN_MAX - 2);
    CU_ASSERT_TRUE(commit());
}

static void test_the_bound_holds_across_reopening(void)
{
    int64_t row = 0;

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(begin());
    CU_ASSERT_EQUAL(fill(1), OPEN_MAX);
    CU_ASSERT_TRUE_FATAL(approve(1, &row) && approve(2, &row) && approve(3, &row) && commit());
    CU_ASSERT_TRUE_FATAL(reopen_store() && begin());
    CU_ASSERT_EQUAL(fill(100), 3);
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_OVERLOADED);
    CU_ASSERT_TRUE(commit());
}

/* ---- purge ---- */

static bool purge(int64_t now_s, int limit)
{
    return begin() && store_purge(fixture.store, now_s, limit, &fixture.more, &fixture.err)
        && commit();
}

static void test_expired_requests_are_purged_in_steps_and_make_room(void)
{
    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(begin());
    CU_ASSERT_EQUAL(fill(1), OPEN_MAX);
    CU_ASSERT_TRUE_FATAL(commit());
    CU_ASSERT_TRUE(purge(NOW_S + REQUEST_LIFE_S - 1, 100));
    CU_ASSERT_EQUAL(store_fixture_authorizations(), OPEN_MAX);
    CU_ASSERT_FALSE(fixture.more);
    CU_ASSERT_TRUE(purge(NOW_S + REQUEST_LIFE_S, 3));
    CU_ASSERT_TRUE(fixture.more);
    CU_ASSERT_EQUAL(store_fixture_authorizations(), OPEN_MAX - 3);
    CU_ASSERT_TRUE_FATAL(begin());
    CU_ASSERT_EQUAL(fill(100), 3);
    CU_ASSERT_TRUE_FATAL(commit());
    CU_ASSERT_TRUE(purge(NOW_S + REQUEST_LIFE_S, 1000));
    CU_ASSERT_EQUAL(store_fixture_authorizations(), 0);
}

static void test_redeemed_requests_are_kept_as_long_as_asked_and_their_ledger_for_good(void)
{
    int64_t row = 0;
    int64_t other = 0;

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(make_code(1, &row) && make_code(2, &other));
    CU_ASSERT_TRUE_FATAL(begin() && redeem_as(row, 1, NOW_S, "kept") && commit());
    CU_ASSERT_TRUE(purge(NOW_S + CODE_LIFE_S + RETENTION_S - 1, 100));
    CU_ASSERT_TRUE(is_spent(1));
    CU_ASSERT_TRUE(is_known(2));
    CU_ASSERT_TRUE(purge(NOW_S + CODE_LIFE_S + RETENTION_S, 1));
    CU_ASSERT_EQUAL(store_fixture_authorizations(), 1);
    CU_ASSERT_TRUE(purge(NOW_S + CODE_LIFE_S + RETENTION_S, 1));
    CU_ASSERT_FALSE(is_known(1));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CODE_UNKNOWN);
    CU_ASSERT_EQUAL(store_fixture_authorizations(), 0);
    CU_ASSERT_EQUAL(store_fixture_ledger_entries("kept"), 1);
}

static void test_a_purge_deletes_no_more_than_its_limit_whatever_the_stages(void)
{
    int64_t row = 0;

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    for (unsigned i = 1; i <= 4; i++) {
        CU_ASSERT_TRUE_FATAL(make_code(i, &row));
    }
    CU_ASSERT_TRUE_FATAL(begin() && create(11) && create(12) && create(13) && commit());
    CU_ASSERT_TRUE(purge(NOW_S + REQUEST_LIFE_S + RETENTION_S, 2));
    CU_ASSERT_TRUE(store_fixture_authorizations() >= 5);
    for (int i = 0; i < 6; i++) {
        CU_ASSERT_TRUE(purge(NOW_S + REQUEST_LIFE_S + RETENTION_S, 2));
    }
    CU_ASSERT_EQUAL(store_fixture_authorizations(), 0);
}

static void test_a_purge_counts_what_another_server_approved(void)
{
    struct store *ours = fixture.store;
    struct store *other = NULL;
    int64_t row = 0;

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(begin());
    CU_ASSERT_EQUAL(fill(1), OPEN_MAX);
    CU_ASSERT_TRUE_FATAL(commit());
    CU_ASSERT_TRUE_FATAL(store_open(fixture.url, &fixture.options, &other, &fixture.err));
    fixture.store = other;
    const bool approved = begin() && approve(1, &row) && approve(2, &row) && commit();
    fixture.store = ours;
    store_close(other);
    CU_ASSERT_TRUE(approved);
    CU_ASSERT_TRUE(purge(NOW_S, 100));
    CU_ASSERT_TRUE_FATAL(begin());
    CU_ASSERT_EQUAL(fill(100), 2);
    store_rollback(fixture.store);
}

static void test_a_purge_that_is_rolled_back_makes_no_room(void)
{
    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE_FATAL(begin());
    CU_ASSERT_EQUAL(fill(1), OPEN_MAX);
    CU_ASSERT_TRUE_FATAL(commit() && begin());
    CU_ASSERT_TRUE(
        store_purge(fixture.store, NOW_S + REQUEST_LIFE_S, 100, &fixture.more, &fixture.err));
    store_rollback(fixture.store);
    CU_ASSERT_TRUE_FATAL(begin());
    CU_ASSERT_EQUAL(fill(100), 0);
    store_rollback(fixture.store);
}

/* ---- upkeep and threads ---- */

static void test_a_heartbeat_is_a_write(void)
{
    CU_ASSERT_TRUE_FATAL(fixture.opened);
    CU_ASSERT_TRUE(begin() && store_heartbeat(fixture.store, NOW_S, &fixture.err) && commit());
    CU_ASSERT_TRUE(begin() && store_heartbeat(fixture.store, NOW_S + 1, &fixture.err) && commit());
}

static struct {
    _Atomic unsigned written; /* codes 1 to `written` are durable */
    _Atomic bool done;
    _Atomic unsigned wrong;
} race;

static void *read_what_is_written(void *argument)
{
    struct stored_code code;
    struct error err;

    while (!atomic_load(&race.done)) {
        const unsigned newest = atomic_load(&race.written);
        const struct digest known = digest_of("code", newest);
        const struct digest unknown = digest_of("no code", newest);
        const bool found = newest == 0 || store_find_code(fixture.store, &known, &code, &err);
        const bool refused = !store_find_code(fixture.store, &unknown, &code, &err)
                          && err.code == ERROR_CODE_UNKNOWN;
        atomic_fetch_add(&race.wrong, !found + !refused);
    }
    return argument;
}

static void test_readers_find_every_committed_code_while_the_writer_writes(void)
{
    pthread_t readers[READERS];

    CU_ASSERT_TRUE_FATAL(fixture.opened);
    memset(&race, 0, sizeof(race));
    for (int i = 0; i < READERS; i++) {
        CU_ASSERT_EQUAL_FATAL(pthread_create(&readers[i], NULL, read_what_is_written, NULL), 0);
    }
    unsigned written = 0;
    int64_t row = 0;
    while (written < 300 && make_code(written + 1, &row)) {
        atomic_store(&race.written, ++written);
    }
    atomic_store(&race.done, true);
    for (int i = 0; i < READERS; i++) {
        CU_ASSERT_EQUAL(pthread_join(readers[i], NULL), 0);
    }
    CU_ASSERT_EQUAL(written, 300);
    CU_ASSERT_EQUAL(atomic_load(&race.wrong), 0);
}

/* ---- URLs ---- */

/* ---- the keyring ---- */

static struct stored_key key_of(const char *kid, enum key_state state, int64_t since_s)
{
    struct stored_key key = {
        .signer = "main",
        .algorithm = "ES256",
        .jwk = "{\"kty\":\"EC\"}",
        .description = "token \"t\", object \"o\"",
        .state = state,
        .since_s = since_s,
        .due_s = 7,
    };
    (void)snprintf(key.kid, sizeof(key.kid), "%s", kid);
    return key;
}

/* In a transaction of its own. */
static bool add_key(const char *kid, enum key_state state, int64_t since_s)
{
    const struct stored_key key = key_of(kid, state, since_s);
    return begin() && store_add_key(fixture.store, &key, &fixture.is_new, &fixture.err) && commit();
}

static bool change_key(const char *kid, enum key_state from, enum key_state to, int64_t due_s)
{
    struct key_change change = {
        .from = from, .to = to, .now_s = NOW_S, .due_s = due_s, .reason = "lost"
    };
    (void)snprintf(change.kid, sizeof(change.kid), "%s", kid);
    if (!begin()) {
        return false;
    }
    if (!store_change_key(fixture.store, &change, &fixture.err)) {
        store_rollback(fixture.store);
        return false;
    }
    return commit();
}

static void test_a_key_is_listed_as_it_was_entered(void)
{
    scoped(key_list_clear) struct key_list list = { .count = 0 };

    CU_ASSERT_TRUE_FATAL(store_list_keys(fixture.store, &list, &fixture.err));
    CU_ASSERT_EQUAL(list.count, 0);
    CU_ASSERT_TRUE(add_key("later", KEY_GENERATED, NOW_S + 1));
    CU_ASSERT_TRUE(add_key("sooner", KEY_ACTIVE, NOW_S));
    CU_ASSERT_TRUE(fixture.is_new);
    CU_ASSERT_TRUE(add_key("later", KEY_RETIRED, NOW_S + 2)); /* there already: nothing */
    CU_ASSERT_FALSE(fixture.is_new);
    CU_ASSERT_TRUE_FATAL(reopen_store());
    CU_ASSERT_TRUE_FATAL(store_list_keys(fixture.store, &list, &fixture.err));
    CU_ASSERT_EQUAL_FATAL(list.count, 2);
    const struct stored_key sooner = key_of("sooner", KEY_ACTIVE, NOW_S);
    const struct stored_key later = key_of("later", KEY_GENERATED, NOW_S + 1);
    const struct stored_key *expected[] = { &sooner, &later };
    for (size_t i = 0; i < 2; i++) {
        const struct stored_key *key = &list.keys[i];
        CU_ASSERT_STRING_EQUAL(key->kid, expected[i]->kid);
        CU_ASSERT_STRING_EQUAL(key->signer, expected[i]->signer);
        CU_ASSERT_STRING_EQUAL(key->algorithm, expected[i]->algorithm);
        CU_ASSERT_STRING_EQUAL(key->jwk, expected[i]->jwk);
        CU_ASSERT_STRING_EQUAL(key->description, expected[i]->description);
        CU_ASSERT_EQUAL(key->state, expected[i]->state);
        CU_ASSERT_EQUAL(key->since_s, expected[i]->since_s);
        CU_ASSERT_EQUAL(key->due_s, expected[i]->due_s);
    }
}

static void test_a_key_changes_only_from_the_state_that_is_named(void)
{
    scoped(key_list_clear) struct key_list list = { .count = 0 };

    CU_ASSERT_TRUE(add_key("key", KEY_GENERATED, NOW_S - 1));
    CU_ASSERT_FALSE(change_key("key", KEY_PUBLISHED, KEY_ACTIVE, 0));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CONFLICT);
    CU_ASSERT_FALSE(change_key("none", KEY_GENERATED, KEY_PUBLISHED, 0));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CONFLICT);
    CU_ASSERT_TRUE(change_key("key", KEY_GENERATED, KEY_PUBLISHED, 42));
    CU_ASSERT_TRUE_FATAL(store_list_keys(fixture.store, &list, &fixture.err));
    CU_ASSERT_EQUAL_FATAL(list.count, 1);
    CU_ASSERT_EQUAL(list.keys[0].state, KEY_PUBLISHED);
    CU_ASSERT_EQUAL(list.keys[0].since_s, NOW_S);
    CU_ASSERT_EQUAL(list.keys[0].due_s, 42);
}

static int64_t last_expiry_of(const char *kid)
{
    scoped(key_list_clear) struct key_list list = { .count = 0 };
    int64_t last_s = -1;

    CU_ASSERT_TRUE_FATAL(store_list_keys(fixture.store, &list, &fixture.err));
    for (size_t i = 0; i < list.count; i++) {
        last_s = strcmp(list.keys[i].kid, kid) == 0 ? list.keys[i].last_expiry_s : last_s;
    }
    return last_s;
}

static void test_the_last_expiry_of_a_key_is_its_own_and_never_goes_back(void)
{
    CU_ASSERT_TRUE_FATAL(add_key("key", KEY_ACTIVE, NOW_S) && add_key("other", KEY_ACTIVE, NOW_S));
    CU_ASSERT_EQUAL(last_expiry_of("key"), 0);
    CU_ASSERT_TRUE(begin() && store_note_key_use(fixture.store, "key", NOW_S + 9, &fixture.err)
                   && commit());
    CU_ASSERT_TRUE(begin() && store_note_key_use(fixture.store, "key", NOW_S + 8, &fixture.err)
                   && commit());
    CU_ASSERT_EQUAL(last_expiry_of("key"), NOW_S + 9);
    CU_ASSERT_EQUAL(last_expiry_of("other"), 0);
}

/* ---- the ledger ---- */

/* What a reading handed over, as "tree:index:jti:entry " one after the other. */
struct reading {
    char text[1024];
    size_t length;
    bool leaves_fit;
};

static bool take_row(void *context, const struct ledger_row *row, struct error *err)
{
    struct reading *reading = context;
    const struct digest leaf = merkle_leaf(row->entry, strlen(row->entry));

    (void)err;
    reading->leaves_fit =
        (reading->length == 0 || reading->leaves_fit) && digest_equal(&leaf, &row->leaf);
    reading->length += (size_t)snprintf(
        reading->text + reading->length, sizeof(reading->text) - reading->length, "%d:%d:%s:%s ",
        (int)row->tree, (int)row->index, row->jti != NULL ? row->jti : "-", row->entry);
    return true;
}

static bool take_none(void *context, const struct ledger_row *row, struct error *err)
{
    (void)context, (void)row;
    return fail(err, ERROR_CONFLICT, "enough");
}

static bool find_tree(const char *node, int64_t epoch, struct ledger_tree *tree_out)
{
    scoped(ledger_tree_list_clear) struct ledger_tree_list list = { .count = 0 };
    bool found = false;

    CU_ASSERT_TRUE_FATAL(store_list_trees(fixture.store, &list, &fixture.err));
    for (size_t i = 0; i < list.count && !found; i++) {
        found = strcmp(list.trees[i].node, node) == 0 && list.trees[i].epoch == epoch;
        if (found) {
            *tree_out = list.trees[i];
        }
    }
    return found;
}

static void test_a_tree_is_made_once_and_kept_as_it_was_left(void)
{
    struct merkle_edge expected = { .size = 0 };
    struct ledger_tree tree = { .number = 0 };

    CU_ASSERT_FALSE(find_tree("node", 1, &tree));
    CU_ASSERT_TRUE_FATAL(begin() && append_as(NULL, "a") && append_as("jti", "b")
                         && append_as(NULL, "c") && commit());
    CU_ASSERT_TRUE_FATAL(reopen_store());
    CU_ASSERT_TRUE_FATAL(find_tree("node", 1, &tree));
    for (const char *entry = "abc"; *entry != '\0'; entry++) {
        const struct digest leaf = merkle_leaf(entry, 1);
        merkle_append(&expected, &leaf);
    }
    const struct digest root = merkle_root(&tree.edge);
    const struct digest expected_root = merkle_root(&expected);
    CU_ASSERT_EQUAL(tree.edge.size, 3);
    CU_ASSERT_TRUE(digest_equal(&root, &expected_root));
    CU_ASSERT_EQUAL(tree.pruned.size, 0);
}

static void test_trees_of_nodes_and_epochs_are_apart(void)
{
    struct ledger_tree trees[3];
    struct ledger_tree found;

    CU_ASSERT_TRUE_FATAL(
        begin() && store_lock_tree(fixture.store, "one", 1, &trees[0], &fixture.err)
        && store_lock_tree(fixture.store, "two", 1, &trees[1], &fixture.err)
        && store_lock_tree(fixture.store, "one", 2, &trees[2], &fixture.err) && commit());
    CU_ASSERT_NOT_EQUAL(trees[0].number, trees[1].number);
    CU_ASSERT_NOT_EQUAL(trees[0].number, trees[2].number);
    CU_ASSERT_NOT_EQUAL(trees[1].number, trees[2].number);
    for (size_t i = 0; i < 3; i++) {
        CU_ASSERT_TRUE_FATAL(find_tree(i == 1 ? "two" : "one", i == 2 ? 2 : 1, &found));
        CU_ASSERT_EQUAL(found.number, trees[i].number);
        CU_ASSERT_EQUAL(found.edge.size, 0);
    }
}

static void test_a_tree_that_is_rolled_back_did_not_grow(void)
{
    struct ledger_tree tree;

    CU_ASSERT_TRUE_FATAL(begin() && append_as("kept", "a") && commit());
    CU_ASSERT_TRUE_FATAL(begin() && append_as("lost", "b"));
    store_rollback(fixture.store);
    CU_ASSERT_TRUE_FATAL(find_tree("node", 1, &tree));
    CU_ASSERT_EQUAL(tree.edge.size, 1);
    CU_ASSERT_EQUAL(store_fixture_ledger_entries("lost"), 0);
    CU_ASSERT_TRUE(begin() && append_as("next", "b") && commit());
}

static void test_entries_are_read_in_order_from_where_one_asks(void)
{
    struct ledger_tree other;
    struct reading reading = { .length = 0 };

    CU_ASSERT_TRUE_FATAL(
        begin() && append_as("x", "a") && append_as(NULL, "b") && append_as("x", "c")
        && store_lock_tree(fixture.store, "other", 1, &other, &fixture.err) && commit());
    CU_ASSERT_TRUE(store_read_entries(fixture.store, 1, 0, 2, take_row, &reading, &fixture.err));
    CU_ASSERT_STRING_EQUAL(reading.text, "1:0:x:a 1:1:-:b ");
    CU_ASSERT_TRUE(reading.leaves_fit);
    CU_ASSERT_TRUE(store_read_entries(fixture.store, 1, 2, 9, take_row, &reading, &fixture.err));
    CU_ASSERT_STRING_EQUAL(reading.text, "1:0:x:a 1:1:-:b 1:2:x:c ");
    CU_ASSERT_TRUE(
        store_read_entries(fixture.store, other.number, 0, 9, take_row, &reading, &fixture.err));
    CU_ASSERT_TRUE(store_read_entries(fixture.store, 1, 3, 9, take_row, &reading, &fixture.err));
    CU_ASSERT_STRING_EQUAL(reading.text, "1:0:x:a 1:1:-:b 1:2:x:c ");
    CU_ASSERT_FALSE(store_read_entries(fixture.store, 1, 0, 9, take_none, NULL, &fixture.err));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CONFLICT);
}

static void test_entries_are_found_by_jti(void)
{
    struct reading reading = { .length = 0 };

    CU_ASSERT_TRUE_FATAL(begin() && append_as("x", "a") && append_as("y", "b")
                         && append_as("x", "c") && commit());
    CU_ASSERT_TRUE(store_find_entries(fixture.store, "x", take_row, &reading, &fixture.err));
    CU_ASSERT_STRING_EQUAL(reading.text, "1:0:x:a 1:2:x:c ");
    CU_ASSERT_TRUE(store_find_entries(fixture.store, "z", take_row, &reading, &fixture.err));
    CU_ASSERT_STRING_EQUAL(reading.text, "1:0:x:a 1:2:x:c ");
}

static void test_an_index_of_a_tree_is_given_once(void)
{
    const struct ledger_row row = { .tree = 1, .index = 0, .entry = "b" };

    CU_ASSERT_TRUE_FATAL(begin() && append_as("x", "a") && commit());
    /* at the append, or at the commit: nothing of it stays */
    CU_ASSERT_FALSE(begin() && store_append_entry(fixture.store, &row, &fixture.err) && commit());
    store_rollback(fixture.store);
    CU_ASSERT_EQUAL(store_fixture_ledger_entries(NULL), 1);
}

static void test_the_beginning_of_a_tree_is_deleted_and_its_edge_kept(void)
{
    struct ledger_tree tree;
    struct reading reading = { .length = 0 };
    const struct digest leaf = merkle_leaf("a", 1);

    CU_ASSERT_TRUE_FATAL(begin() && append_as("x", "a") && append_as("y", "b") && commit());
    CU_ASSERT_TRUE_FATAL(begin() && store_lock_tree(fixture.store, "node", 1, &tree, &fixture.err));
    merkle_append(&tree.pruned, &leaf);
    CU_ASSERT_TRUE_FATAL(store_delete_entries(fixture.store, tree.number, 1, &fixture.err)
                         && store_keep_tree(fixture.store, &tree, &fixture.err) && commit());
    CU_ASSERT_TRUE_FATAL(find_tree("node", 1, &tree));
    CU_ASSERT_EQUAL(tree.edge.size, 2);
    CU_ASSERT_EQUAL(tree.pruned.size, 1);
    CU_ASSERT_TRUE(digest_equal(&tree.pruned.roots[0], &leaf));
    CU_ASSERT_TRUE(store_read_entries(fixture.store, 1, 0, 9, take_row, &reading, &fixture.err));
    CU_ASSERT_STRING_EQUAL(reading.text, "1:1:y:b ");
}

static void test_a_tree_between_others_is_read_and_cut_alone(void)
{
    static const char *const nodes[] = { "before", "node", "after" };
    struct ledger_tree tree;
    struct reading reading = { .length = 0 };
    const struct digest leaf = merkle_leaf("a", 1);

    CU_ASSERT_TRUE_FATAL(begin() && append_to(nodes[0], "x", "a") && append_to(nodes[1], "x", "a")
                         && append_to(nodes[1], "y", "b") && append_to(nodes[2], "x", "a")
                         && commit());
    CU_ASSERT_TRUE_FATAL(find_tree("node", 1, &tree));
    CU_ASSERT_EQUAL(tree.number, 2);
    CU_ASSERT_TRUE(store_read_entries(fixture.store, 2, 0, 9, take_row, &reading, &fixture.err));
    CU_ASSERT_STRING_EQUAL(reading.text, "2:0:x:a 2:1:y:b ");
    CU_ASSERT_TRUE_FATAL(begin() && store_lock_tree(fixture.store, "node", 1, &tree, &fixture.err));
    merkle_append(&tree.pruned, &leaf);
    CU_ASSERT_TRUE_FATAL(store_delete_entries(fixture.store, 2, 1, &fixture.err)
                         && store_keep_tree(fixture.store, &tree, &fixture.err) && commit());
    for (size_t i = 0; i < COUNT_OF(nodes); i++) {
        CU_ASSERT_TRUE_FATAL(find_tree(nodes[i], 1, &tree));
        CU_ASSERT_EQUAL(tree.edge.size, i == 1 ? 2 : 1);
        CU_ASSERT_EQUAL(tree.pruned.size, i == 1);
    }
    CU_ASSERT_EQUAL(store_fixture_ledger_entries("x"), 2);
    CU_ASSERT_EQUAL(store_fixture_ledger_entries("y"), 1);
}

static bool add_checkpoint(int64_t tree, int64_t size, const char *note)
{
    struct stored_checkpoint checkpoint = { .tree = tree, .size = size, .time_s = NOW_S + size };

    (void)snprintf(checkpoint.note, sizeof(checkpoint.note), "%s", note);
    (void)snprintf(checkpoint.jwk, sizeof(checkpoint.jwk), "{\"kty\":\"EC\"}");
    return begin() && store_add_checkpoint(fixture.store, &checkpoint, &fixture.err) && commit();
}

static void test_checkpoints_are_listed_by_size_and_the_last_is_found(void)
{
    scoped(checkpoint_list_clear) struct checkpoint_list list = { .count = 0 };
    struct stored_checkpoint last;

    CU_ASSERT_FALSE(store_last_checkpoint(fixture.store, 1, &last, &fixture.err));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_NOT_FOUND);
    CU_ASSERT_TRUE_FATAL(add_checkpoint(1, 30, "thirty") && add_checkpoint(1, 4, "four\nlines")
                         && add_checkpoint(2, 50, "other") && add_checkpoint(1, 30, "again"));
    CU_ASSERT_TRUE_FATAL(store_last_checkpoint(fixture.store, 1, &last, &fixture.err));
    CU_ASSERT_EQUAL(last.size, 30);
    CU_ASSERT_STRING_EQUAL(last.note, "thirty");
    CU_ASSERT_TRUE_FATAL(store_list_checkpoints(fixture.store, 1, 0, 9, &list, &fixture.err));
    CU_ASSERT_EQUAL_FATAL(list.count, 2);
    CU_ASSERT_EQUAL(list.checkpoints[0].size, 4);
    CU_ASSERT_EQUAL(list.checkpoints[0].time_s, NOW_S + 4);
    CU_ASSERT_STRING_EQUAL(list.checkpoints[0].note, "four\nlines");
    CU_ASSERT_STRING_EQUAL(list.checkpoints[0].jwk, "{\"kty\":\"EC\"}");
    checkpoint_list_clear(&list);
    CU_ASSERT_TRUE_FATAL(store_list_checkpoints(fixture.store, 1, 4, 9, &list, &fixture.err));
    CU_ASSERT_EQUAL_FATAL(list.count, 1);
    CU_ASSERT_EQUAL(list.checkpoints[0].size, 30);
}

/* ---- what is revoked, redeemed, cancelled ---- */

static bool revoke_token(const char *jti, int64_t expires_s, int64_t now_s)
{
    return begin()
        && store_revoke_token(fixture.store, jti, expires_s, now_s, &fixture.is_new, &fixture.err)
        && commit();
}

static void test_a_token_is_revoked_once_and_listed_until_it_expires(void)
{
    scoped(revoked_list_clear) struct revoked_list list = { .count = 0 };

    CU_ASSERT_TRUE(revoke_token("soon", NOW_S + 10, NOW_S));
    CU_ASSERT_TRUE(fixture.is_new);
    CU_ASSERT_TRUE(revoke_token("late", NOW_S + 20, NOW_S + 1));
    CU_ASSERT_TRUE(revoke_token("soon", NOW_S + 10, NOW_S + 2));
    CU_ASSERT_FALSE(fixture.is_new);
    CU_ASSERT_TRUE_FATAL(store_list_revoked(fixture.store, NOW_S + 9, 9, &list, &fixture.err));
    CU_ASSERT_EQUAL_FATAL(list.count, 2);
    CU_ASSERT_STRING_EQUAL(list.jtis[0], "late");
    CU_ASSERT_STRING_EQUAL(list.jtis[1], "soon");
    revoked_list_clear(&list);
    CU_ASSERT_TRUE_FATAL(store_list_revoked(fixture.store, NOW_S + 9, 1, &list, &fixture.err));
    CU_ASSERT_EQUAL(list.count, 1);
    revoked_list_clear(&list);
    CU_ASSERT_TRUE_FATAL(store_list_revoked(fixture.store, NOW_S + 10, 9, &list, &fixture.err));
    CU_ASSERT_EQUAL_FATAL(list.count, 1);
    CU_ASSERT_STRING_EQUAL(list.jtis[0], "late");
    CU_ASSERT_TRUE(begin() && store_purge(fixture.store, NOW_S + 30, 9, &fixture.more, &fixture.err)
                   && commit());
    CU_ASSERT_TRUE(revoke_token("soon", NOW_S + 10, NOW_S));
    CU_ASSERT_TRUE(fixture.is_new);
}

/* Purges at most one of each; how many are left then, expired or not. */
static size_t purge_one_revocation(int64_t now_s)
{
    scoped(revoked_list_clear) struct revoked_list list = { .count = 0 };

    CU_ASSERT_TRUE_FATAL(
        begin() && store_purge(fixture.store, now_s, 1, &fixture.more, &fixture.err) && commit()
        && store_list_revoked(fixture.store, NOW_S, 9, &list, &fixture.err));
    return list.count;
}

static void test_revocations_are_purged_in_steps_once_their_tokens_have_expired(void)
{
    CU_ASSERT_TRUE_FATAL(revoke_token("soon", NOW_S + 10, NOW_S)
                         && revoke_token("too", NOW_S + 10, NOW_S)
                         && revoke_token("late", NOW_S + 20, NOW_S));
    CU_ASSERT_EQUAL(purge_one_revocation(NOW_S + 9), 3);
    CU_ASSERT_EQUAL(purge_one_revocation(NOW_S + 10), 2);
    CU_ASSERT_TRUE(fixture.more);
    CU_ASSERT_EQUAL(purge_one_revocation(NOW_S + 19), 1);
    CU_ASSERT_EQUAL(purge_one_revocation(NOW_S + 19), 1);
    CU_ASSERT_FALSE(fixture.more);
    CU_ASSERT_EQUAL(purge_one_revocation(NOW_S + 20), 0);
}

static void test_a_redemption_is_known_by_its_jti(void)
{
    struct redemption redemption = { .row = 0 };
    struct stored_code code;
    bool redeemed = true;

    CU_ASSERT_TRUE_FATAL(make_code(1, &redemption.row));
    redemption = redemption_of(redemption.row, 1, "jti");
    CU_ASSERT_TRUE(begin()
                   && store_has_redeemed(fixture.store, &redemption, &redeemed, &fixture.err)
                   && commit());
    CU_ASSERT_FALSE(redeemed);
    CU_ASSERT_TRUE_FATAL(begin() && redeem_as(redemption.row, 1, NOW_S, "jti") && commit());
    CU_ASSERT_TRUE(begin()
                   && store_has_redeemed(fixture.store, &redemption, &redeemed, &fixture.err)
                   && commit());
    CU_ASSERT_TRUE(redeemed);
    redemption.jti = "another";
    CU_ASSERT_TRUE(begin()
                   && store_has_redeemed(fixture.store, &redemption, &redeemed, &fixture.err)
                   && commit());
    CU_ASSERT_FALSE(redeemed);
    CU_ASSERT_TRUE_FATAL(find(1, &code));
    CU_ASSERT_STRING_EQUAL(code.jti, "jti");
    CU_ASSERT_EQUAL(code.token_expires_s, NOW_S + 3600);
}

static void test_all_that_is_good_is_cancelled_at_once(void)
{
    int64_t spent = 0;
    int64_t good = 0;
    int64_t none = 0;
    int64_t cancelled = 0;

    CU_ASSERT_TRUE_FATAL(make_code(1, &spent) && make_code(2, &good));
    CU_ASSERT_TRUE_FATAL(begin() && redeem_as(spent, 1, NOW_S, "jti") && create(3) && commit());
    CU_ASSERT_TRUE_FATAL(begin() && store_cancel_all(fixture.store, NOW_S, &cancelled, &fixture.err)
                         && commit());
    CU_ASSERT_EQUAL(cancelled, 2);
    CU_ASSERT_TRUE_FATAL(begin());
    CU_ASSERT_FALSE(redeem_as(good, 2, NOW_S, "second"));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CODE_SPENT);
    CU_ASSERT_FALSE(approve(3, &none));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_NOT_FOUND);
    store_rollback(fixture.store);
    CU_ASSERT_TRUE(is_spent(1));
    CU_ASSERT_TRUE(begin() && store_cancel_all(fixture.store, NOW_S, &cancelled, &fixture.err)
                   && commit());
    CU_ASSERT_EQUAL(cancelled, 0);
}

static void test_what_has_expired_need_not_be_cancelled(void)
{
    int64_t cancelled = -1;

    CU_ASSERT_TRUE_FATAL(begin() && create(1) && commit());
    CU_ASSERT_TRUE(begin()
                   && store_cancel_all(fixture.store, NOW_S + 86400, &cancelled, &fixture.err)
                   && commit());
    CU_ASSERT_EQUAL(cancelled, 0);
}

/* ---- opening ---- */

static void test_a_store_that_must_exist_is_not_made(void)
{
    close_store();
    store_fixture_remove();
    fixture.options.must_exist = true;
    CU_ASSERT_FALSE(store_open(fixture.url, &fixture.options, &fixture.store, &fixture.err));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_NOT_FOUND);
}

static void test_a_url_of_no_known_scheme_is_refused(void)
{
    static const char *const urls[] = {
        "", "sqlite", "sqlit:/tmp/x", "SQLITE:/tmp/x", "/tmp/x.db", "mysql://host/", "file:/tmp/x"
    };
    struct store *store = NULL;

    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        CU_ASSERT_FALSE(store_open(urls[i], &fixture.options, &store, &fixture.err));
        CU_ASSERT_EQUAL(fixture.err.code, ERROR_CONFIG);
        CU_ASSERT_PTR_NULL(store);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a request is created, approved, found and redeemed",
          test_a_request_is_created_approved_found_and_redeemed },
        { "an approval tells the request back", test_an_approval_tells_the_request_back },
        { "a code without scope has none", test_a_code_without_scope_has_none },
        { "a spent code is refused and nothing is written",
          test_a_spent_code_is_refused_and_nothing_is_written },
        { "a code is spent once within one transaction",
          test_a_code_is_spent_once_within_one_transaction },
        { "a code is redeemed until it expires and not then",
          test_a_code_is_redeemed_until_it_expires_and_not_then },
        { "a row is redeemed with its own code only",
          test_a_row_is_redeemed_with_its_own_code_only },
        { "an unknown code is not found", test_an_unknown_code_is_not_found },
        { "an unknown request is not approved", test_an_unknown_request_is_not_approved },
        { "a request is approved until it expires and not then",
          test_a_request_is_approved_until_it_expires_and_not_then },
        { "a request is approved once", test_a_request_is_approved_once },
        { "a request is found as it was created", test_a_request_is_found_as_it_was_created },
        { "an unknown request is not found", test_an_unknown_request_is_not_found },
        { "a request is validated once", test_a_request_is_validated_once },
        { "tries are counted to their bound", test_tries_are_counted_to_their_bound },
        { "a presentation validates one request", test_a_presentation_validates_one_request },
        { "a presentation is remembered while it could be used",
          test_a_presentation_is_remembered_while_it_could_be_used },
        { "what is rolled back was never there", test_what_is_rolled_back_was_never_there },
        { "a refusal leaves the others of its transaction in place",
          test_a_refusal_leaves_the_others_of_its_transaction_in_place },
        { "nobody sees what is not committed", test_nobody_sees_what_is_not_committed },
        { "what is committed survives reopening", test_what_is_committed_survives_reopening },
        { "a transaction that was open at the end is gone",
          test_a_transaction_that_was_open_at_the_end_is_gone },
        { "what is committed survives a kill and nothing else does",
          test_what_is_committed_survives_a_kill_and_nothing_else_does },
        { "of two servers on one store one spends the code",
          test_of_two_servers_on_one_store_one_spends_the_code },
        { "a pair is unique while its request lives",
          test_a_pair_is_unique_while_its_request_lives },
        { "a pair is free once its request expired", test_a_pair_is_free_once_its_request_expired },
        { "a pair is free after a rollback", test_a_pair_is_free_after_a_rollback },
        { "an id is unique", test_an_id_is_unique },
        { "authorizations are listed newest first", test_authorizations_are_listed_newest_first },
        { "authorizations are listed by stage", test_authorizations_are_listed_by_stage },
        { "a list goes on where the one before ended",
          test_a_list_goes_on_where_the_one_before_ended },
        { "an authorization is found as it is", test_an_authorization_is_found_as_it_is },
        { "an authorization is found with its definition",
          test_an_authorization_is_found_with_its_definition },
        { "the beginning of an id finds one or none",
          test_the_beginning_of_an_id_finds_one_or_none },
        { "a cancelled request is not approved at any time",
          test_a_cancelled_request_is_not_approved_at_any_time },
        { "a cancelled code is not redeemed at any time",
          test_a_cancelled_code_is_not_redeemed_at_any_time },
        { "what has ended is not cancelled", test_what_has_ended_is_not_cancelled },
        { "a redeemed code cannot be cancelled and its token is named",
          test_a_redeemed_code_cannot_be_cancelled_and_its_token_is_named },
        { "open requests are bounded", test_open_requests_are_bounded },
        { "an approval makes room for one request", test_an_approval_makes_room_for_one_request },
        { "a refused request takes no room", test_a_refused_request_takes_no_room },
        { "a rollback gives the room back", test_a_rollback_gives_the_room_back },
        { "the bound holds across reopening", test_the_bound_holds_across_reopening },
        { "expired requests are purged in steps and make room",
          test_expired_requests_are_purged_in_steps_and_make_room },
        { "redeemed requests are kept as long as asked and their ledger for good",
          test_redeemed_requests_are_kept_as_long_as_asked_and_their_ledger_for_good },
        { "a purge deletes no more than its limit whatever the stages",
          test_a_purge_deletes_no_more_than_its_limit_whatever_the_stages },
        { "a purge counts what another server approved",
          test_a_purge_counts_what_another_server_approved },
        { "a purge that is rolled back makes no room",
          test_a_purge_that_is_rolled_back_makes_no_room },
        { "a heartbeat is a write", test_a_heartbeat_is_a_write },
        { "readers find every committed code while the writer writes",
          test_readers_find_every_committed_code_while_the_writer_writes },
        { "a key is listed as it was entered", test_a_key_is_listed_as_it_was_entered },
        { "a key changes only from the state that is named",
          test_a_key_changes_only_from_the_state_that_is_named },
        { "the last expiry of a key is its own and never goes back",
          test_the_last_expiry_of_a_key_is_its_own_and_never_goes_back },
        { "a tree is made once and kept as it was left",
          test_a_tree_is_made_once_and_kept_as_it_was_left },
        { "trees of nodes and epochs are apart", test_trees_of_nodes_and_epochs_are_apart },
        { "a tree that is rolled back did not grow", test_a_tree_that_is_rolled_back_did_not_grow },
        { "entries are read in order from where one asks",
          test_entries_are_read_in_order_from_where_one_asks },
        { "entries are found by jti", test_entries_are_found_by_jti },
        { "an index of a tree is given once", test_an_index_of_a_tree_is_given_once },
        { "the beginning of a tree is deleted and its edge kept",
          test_the_beginning_of_a_tree_is_deleted_and_its_edge_kept },
        { "a tree between others is read and cut alone",
          test_a_tree_between_others_is_read_and_cut_alone },
        { "checkpoints are listed by size and the last is found",
          test_checkpoints_are_listed_by_size_and_the_last_is_found },
        { "a token is revoked once and listed until it expires",
          test_a_token_is_revoked_once_and_listed_until_it_expires },
        { "revocations are purged in steps, once their tokens have expired",
          test_revocations_are_purged_in_steps_once_their_tokens_have_expired },
        { "a redemption is known by its jti", test_a_redemption_is_known_by_its_jti },
        { "all that is good is cancelled at once", test_all_that_is_good_is_cancelled_at_once },
        { "what has expired need not be cancelled", test_what_has_expired_need_not_be_cancelled },
        { "a store that must exist is not made", test_a_store_that_must_exist_is_not_made },
        { "a URL of no known scheme is refused", test_a_url_of_no_known_scheme_is_refused },
        CU_TEST_INFO_NULL,
    };
    return run_suite("store", set_up, tear_down, tests);
}

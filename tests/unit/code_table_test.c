/* The table of codes: who has a code, who waits for it, what is remembered, what is forgotten. */
#include "core/code_table.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/run.h"

enum { SIZE = 4, RIVALS = 16, CODES = 25, BUSY_CODES = 200 };

#define SOON_NS (20 * NS_PER_MS)
#define LONG_NS (30 * NS_PER_S)

static struct {
    struct code_table *table;
    struct stored_code found;
} fixture;

static void make_table(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.table = code_table_new(SIZE);
}

static void free_table(void)
{
    code_table_free(take(fixture.table));
}

static struct digest code_of(unsigned number)
{
    return sha256(&number, sizeof(number));
}

static struct stored_code stored_of(unsigned number)
{
    struct stored_code stored = { .row = number, .expires_s = 1000 + number };
    (void)snprintf(stored.authorization_id, sizeof(stored.authorization_id), "id-%u", number);
    (void)snprintf(stored.holder_did, sizeof(stored.holder_did), "did:example:%u", number);
    if (number % 2 == 0) {
        (void)snprintf(stored.scope, sizeof(stored.scope), "scope-%u", number);
    }
    return stored;
}

static void add(unsigned number)
{
    const struct digest code = code_of(number);
    const struct stored_code stored = stored_of(number);
    code_table_add(fixture.table, &code, &stored);
}

static enum code_claim claim_for(unsigned number, int64_t patience_ns)
{
    const struct digest code = code_of(number);
    memset(&fixture.found, 0xa5, sizeof(fixture.found));
    return code_table_claim(fixture.table, &code, monotonic_ns() + patience_ns, &fixture.found);
}

static enum code_claim claim(unsigned number)
{
    return claim_for(number, 0);
}

static void release(unsigned number, enum code_fate fate)
{
    const struct digest code = code_of(number);
    code_table_release(fixture.table, &code, fate);
}

/* Claims and lets go again, so that only the table's memory is told. */
static bool is_remembered(unsigned number)
{
    const bool remembered = claim(number) == CODE_REMEMBERED;
    release(number, CODE_STILL_GOOD);
    return remembered;
}

/* ---- one thread ---- */

static void test_a_code_that_was_made_here_is_remembered_whole(void)
{
    add(2);
    CU_ASSERT_EQUAL_FATAL(claim(2), CODE_REMEMBERED);
    CU_ASSERT_EQUAL(fixture.found.row, 2);
    CU_ASSERT_EQUAL(fixture.found.expires_s, 1002);
    CU_ASSERT_STRING_EQUAL(fixture.found.authorization_id, "id-2");
    CU_ASSERT_STRING_EQUAL(fixture.found.holder_did, "did:example:2");
    CU_ASSERT_STRING_EQUAL(fixture.found.scope, "scope-2");
    CU_ASSERT_FALSE(fixture.found.spent);
    release(2, CODE_STILL_GOOD);

    add(3);
    CU_ASSERT_EQUAL_FATAL(claim(3), CODE_REMEMBERED);
    CU_ASSERT_STRING_EQUAL(fixture.found.scope, "");
}

static void test_the_longest_holder_and_scope_are_remembered(void)
{
    const struct digest code = code_of(1);
    struct stored_code stored = stored_of(1);

    memset(stored.holder_did, 'd', HOLDER_DID_MAX);
    memset(stored.scope, 's', SCOPE_MAX);
    stored.scope[SCOPE_MAX] = '\0';
    code_table_add(fixture.table, &code, &stored);
    CU_ASSERT_EQUAL_FATAL(claim(1), CODE_REMEMBERED);
    CU_ASSERT_STRING_EQUAL(fixture.found.holder_did, stored.holder_did);
    CU_ASSERT_STRING_EQUAL(fixture.found.scope, stored.scope);
}

static void test_a_code_that_is_still_good_may_be_claimed_again(void)
{
    add(1);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(claim(1), CODE_REMEMBERED);
        CU_ASSERT_FALSE(fixture.found.spent);
        release(1, CODE_STILL_GOOD);
    }
}

static void test_a_code_that_is_not_ours_any_more_is_forgotten(void)
{
    add(1);
    CU_ASSERT_EQUAL(claim(1), CODE_REMEMBERED);
    release(1, CODE_NOT_OURS);
    CU_ASSERT_EQUAL(claim(1), CODE_NOT_HERE);
}

static void test_a_code_that_is_not_here_is_claimed_all_the_same(void)
{
    CU_ASSERT_EQUAL(claim(1), CODE_NOT_HERE);
    CU_ASSERT_EQUAL(claim(1), CODE_BUSY);
    release(1, CODE_STILL_GOOD);
    CU_ASSERT_EQUAL(claim(1), CODE_NOT_HERE);
    release(1, CODE_NOT_OURS);
    CU_ASSERT_EQUAL(claim(1), CODE_NOT_HERE);
}

static void test_another_code_is_not_in_the_way(void)
{
    add(1);
    add(2);
    CU_ASSERT_EQUAL(claim(1), CODE_REMEMBERED);
    CU_ASSERT_EQUAL(claim(2), CODE_REMEMBERED);
    CU_ASSERT_EQUAL(claim(3), CODE_NOT_HERE);
}

static void test_a_rival_that_waits_too_long_is_told_busy(void)
{
    add(1);
    CU_ASSERT_EQUAL(claim(1), CODE_REMEMBERED);
    const int64_t start_ns = monotonic_ns();
    CU_ASSERT_EQUAL(claim_for(1, SOON_NS), CODE_BUSY);
    CU_ASSERT_TRUE(monotonic_ns() - start_ns >= SOON_NS);
    CU_ASSERT_EQUAL(claim_for(1, -NS_PER_S), CODE_BUSY);
    release(1, CODE_STILL_GOOD);
    CU_ASSERT_EQUAL(claim_for(1, -NS_PER_S), CODE_REMEMBERED); /* no wait, no deadline */
}

/* ---- room ---- */

static void test_the_oldest_makes_room(void)
{
    for (unsigned i = 1; i <= SIZE + 2; i++) {
        add(i);
    }
    CU_ASSERT_FALSE(is_remembered(1));
    CU_ASSERT_FALSE(is_remembered(2));
    for (unsigned i = 3; i <= SIZE + 2; i++) {
        add(100 + i); /* each takes the place of code i */
        CU_ASSERT_TRUE(is_remembered(100 + i));
    }
}

static void test_a_claimed_code_does_not_make_room(void)
{
    for (unsigned i = 1; i <= SIZE; i++) {
        add(i);
    }
    CU_ASSERT_EQUAL(claim(1), CODE_REMEMBERED);
    add(10);
    CU_ASSERT_EQUAL(claim(1), CODE_BUSY);
    release(1, CODE_STILL_GOOD);
    CU_ASSERT_EQUAL(claim(1), CODE_REMEMBERED);
    CU_ASSERT_EQUAL(claim(2), CODE_NOT_HERE); /* it went in its stead */
}

/* Codes are redeemed in the order in which they were made: were each miss to evict one, all would be
 * missed in turn. */
static void test_a_claim_on_a_code_that_is_not_here_evicts_none(void)
{
    for (unsigned i = 1; i <= SIZE; i++) {
        add(i);
    }
    CU_ASSERT_EQUAL(claim(100), CODE_NOT_HERE);
    for (unsigned i = 1; i <= SIZE; i++) {
        CU_ASSERT_EQUAL(claim(i), CODE_REMEMBERED);
    }
}

static void test_a_spent_code_makes_room(void)
{
    for (unsigned i = 1; i <= SIZE; i++) {
        add(i);
    }
    CU_ASSERT_EQUAL(claim(3), CODE_REMEMBERED);
    release(3, CODE_NOT_OURS);
    add(10);
    CU_ASSERT_EQUAL(claim(1), CODE_REMEMBERED);
    CU_ASSERT_EQUAL(claim(10), CODE_REMEMBERED);
}

static void test_claims_are_not_limited_by_the_tables_size(void)
{
    for (unsigned i = 0; i < 3 * SIZE; i++) {
        CU_ASSERT_EQUAL(claim(i), CODE_NOT_HERE);
    }
    for (unsigned i = 0; i < 3 * SIZE; i++) {
        CU_ASSERT_EQUAL(claim(i), CODE_BUSY);
        release(i, CODE_STILL_GOOD);
    }
}

static void test_the_table_stays_small_however_many_codes_are_made(void)
{
    unsigned remembered = 0;

    for (unsigned i = 0; i < 1000; i++) {
        add(i);
    }
    for (unsigned i = 0; i < 1000 - SIZE; i++) {
        const struct digest code = code_of(i);
        remembered += claim(i) == CODE_REMEMBERED;
        code_table_release(fixture.table, &code, CODE_STILL_GOOD);
    }
    CU_ASSERT_EQUAL(remembered, 0);
}

/* ---- threads ---- */

struct rival {
    struct code_table *table;
    enum code_claim claim;
};

static void *wait_for_code_one(void *argument)
{
    struct rival *rival = argument;
    const struct digest code = code_of(1);
    struct stored_code found = { .row = 0 };

    rival->claim = code_table_claim(rival->table, &code, monotonic_ns() + LONG_NS, &found);
    if (rival->claim != CODE_BUSY) {
        code_table_release(rival->table, &code, CODE_STILL_GOOD);
    }
    return NULL;
}

/* Lets rivals wait for code 1, gives it the fate, and counts who then found what. */
static void count_rivals(enum code_fate fate, unsigned claims[3])
{
    struct rival rivals[RIVALS];
    pthread_t threads[RIVALS];

    add(1);
    CU_ASSERT_EQUAL_FATAL(claim(1), CODE_REMEMBERED);
    for (int i = 0; i < RIVALS; i++) {
        rivals[i] = (struct rival){ .table = fixture.table, .claim = CODE_BUSY };
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, wait_for_code_one, &rivals[i]), 0);
    }
    (void)usleep(20000); /* most of them wait by now; the rest come later, to the same end */
    release(1, fate);
    memset(claims, 0, 3 * sizeof(*claims));
    for (int i = 0; i < RIVALS; i++) {
        CU_ASSERT_EQUAL(pthread_join(threads[i], NULL), 0);
        claims[rivals[i].claim]++;
    }
}

static void test_rivals_get_a_code_that_is_still_good_one_after_the_other(void)
{
    unsigned claims[3];

    count_rivals(CODE_STILL_GOOD, claims);
    CU_ASSERT_EQUAL(claims[CODE_REMEMBERED], RIVALS);
}

static void test_rivals_of_a_code_that_was_spent_all_ask_the_store(void)
{
    unsigned claims[3];

    count_rivals(CODE_NOT_OURS, claims);
    CU_ASSERT_EQUAL(claims[CODE_NOT_HERE], RIVALS);
}

static struct {
    struct code_table *table;
    _Atomic int inside[CODES];
    _Atomic int winners[CODES];
    _Atomic unsigned together;
} scrum;

static void try_code(unsigned number)
{
    const struct digest code = code_of(number);
    struct stored_code found = { .row = 0 };
    const enum code_claim claimed =
        code_table_claim(scrum.table, &code, monotonic_ns() + LONG_NS, &found);

    if (claimed == CODE_BUSY) {
        atomic_fetch_add(&scrum.together, 1);
        return;
    }
    if (atomic_fetch_add(&scrum.inside[number], 1) != 0) {
        atomic_fetch_add(&scrum.together, 1);
    }
    const bool first = claimed == CODE_REMEMBERED;
    atomic_fetch_add(&scrum.winners[number], first);
    atomic_fetch_sub(&scrum.inside[number], 1);
    code_table_release(scrum.table, &code, CODE_NOT_OURS);
}

static void *try_all_codes(void *argument)
{
    const unsigned start = (unsigned)(uintptr_t)argument;
    for (unsigned i = 0; i < CODES; i++) {
        try_code((start + i) % CODES);
    }
    return NULL;
}

static void test_of_many_threads_on_many_codes_each_code_has_one_winner(void)
{
    pthread_t threads[RIVALS];

    free_table();
    fixture.table = code_table_new(CODES);
    memset(&scrum, 0, sizeof(scrum));
    scrum.table = fixture.table;
    for (unsigned i = 0; i < CODES; i++) {
        add(i);
    }
    for (uintptr_t i = 0; i < RIVALS; i++) {
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, try_all_codes, (void *)i), 0);
    }
    for (int i = 0; i < RIVALS; i++) {
        CU_ASSERT_EQUAL(pthread_join(threads[i], NULL), 0);
    }
    CU_ASSERT_EQUAL(atomic_load(&scrum.together), 0);
    for (unsigned i = 0; i < CODES; i++) {
        CU_ASSERT_EQUAL(atomic_load(&scrum.winners[i]), 1);
    }
}

static void *add_many(void *argument)
{
    const unsigned first = (unsigned)(uintptr_t)argument;
    const struct stored_code stored = stored_of(first);

    for (unsigned i = 0; i < BUSY_CODES; i++) {
        const struct digest code = code_of(first + i);
        struct stored_code found;
        code_table_add(scrum.table, &code, &stored);
        if (code_table_claim(scrum.table, &code, monotonic_ns() + LONG_NS, &found) == CODE_BUSY) {
            return &scrum;
        }
        code_table_release(scrum.table, &code, (enum code_fate)(i % 3));
    }
    return NULL;
}

static void test_threads_that_fill_the_table_do_not_lose_their_claims(void)
{
    pthread_t threads[RIVALS];

    scrum.table = fixture.table;
    for (uintptr_t i = 0; i < RIVALS; i++) {
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, add_many, (void *)(i * 10000)), 0);
    }
    for (int i = 0; i < RIVALS; i++) {
        void *failed = NULL;
        CU_ASSERT_EQUAL(pthread_join(threads[i], &failed), 0);
        CU_ASSERT_PTR_NULL(failed);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a code that was made here is remembered whole",
          test_a_code_that_was_made_here_is_remembered_whole },
        { "the longest holder and scope are remembered",
          test_the_longest_holder_and_scope_are_remembered },
        { "a code that is still good may be claimed again",
          test_a_code_that_is_still_good_may_be_claimed_again },
        { "a code that is not ours any more is forgotten",
          test_a_code_that_is_not_ours_any_more_is_forgotten },
        { "a code that is not here is claimed all the same",
          test_a_code_that_is_not_here_is_claimed_all_the_same },
        { "another code is not in the way", test_another_code_is_not_in_the_way },
        { "a rival that waits too long is told busy",
          test_a_rival_that_waits_too_long_is_told_busy },
        { "the oldest makes room", test_the_oldest_makes_room },
        { "a claimed code does not make room", test_a_claimed_code_does_not_make_room },
        { "a claim on a code that is not here evicts none",
          test_a_claim_on_a_code_that_is_not_here_evicts_none },
        { "a spent code makes room", test_a_spent_code_makes_room },
        { "claims are not limited by the table's size",
          test_claims_are_not_limited_by_the_tables_size },
        { "the table stays small however many codes are made",
          test_the_table_stays_small_however_many_codes_are_made },
        { "rivals get a code that is still good one after the other",
          test_rivals_get_a_code_that_is_still_good_one_after_the_other },
        { "rivals of a code that was spent all ask the store",
          test_rivals_of_a_code_that_was_spent_all_ask_the_store },
        { "of many threads on many codes each code has one winner",
          test_of_many_threads_on_many_codes_each_code_has_one_winner },
        { "threads that fill the table do not lose their claims",
          test_threads_that_fill_the_table_do_not_lose_their_claims },
        CU_TEST_INFO_NULL,
    };
    return run_suite("code table", make_table, free_table, tests);
}

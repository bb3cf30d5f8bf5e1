/* When a key may take its next step: the order, the waits, the bounds, and what an emergency skips. */
#include "core/key_rules.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "support/run.h"

enum { NOW_S = 1700000000, MAX_AGE_S = 300, LIFETIME_S = 3600, SLACK_S = 5 };

static const struct key_rules rules = { .jwks_max_age_s = MAX_AGE_S,
                                        .token_lifetime_s = LIFETIME_S };

static struct {
    struct stored_key keys[16];
    struct key_list list;
    struct key_change change;
    struct error err;
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.list.keys = fixture.keys;
}

static void add(const char *kid, enum key_state state, int64_t due_s)
{
    struct stored_key *key = &fixture.keys[fixture.list.count++];
    (void)snprintf(key->kid, sizeof(key->kid), "%s", kid);
    key->state = state;
    key->due_s = due_s;
}

static bool plan(enum key_step step, const char *kid, const char *emergency)
{
    const struct key_request request = {
        .step = step, .kid = kid, .emergency = emergency, .now_s = NOW_S
    };
    fixture.err = (struct error){ .code = ERROR_NONE };
    return key_rules_plan(&rules, &fixture.list, &request, &fixture.change, &fixture.err);
}

static bool leads_to(enum key_step step, const char *emergency, enum key_state to)
{
    return plan(step, "key", emergency) && fixture.change.to == to
        && strcmp(fixture.change.kid, "key") == 0 && fixture.change.now_s == NOW_S;
}

static bool is_refused(enum key_step step, const char *emergency, enum error_code code)
{
    return !plan(step, "key", emergency) && fixture.err.code == code;
}

/* Every step from every state, another key being active and no wait being left: the state that it
 * leads to, or -1. */
static void test_the_steps_lead_through_life_in_order(void)
{
    static const int calm[KEY_STATES][4] = {
        /*                   publish        activate     retire        destroy */
        [KEY_GENERATED] = { KEY_PUBLISHED, -1, KEY_RETIRED, -1 },
        [KEY_PUBLISHED] = { -1, KEY_ACTIVE, KEY_RETIRED, -1 },
        [KEY_ACTIVE] = { -1, -1, KEY_RETIRING, -1 },
        [KEY_RETIRING] = { -1, -1, -1, -1 },
        [KEY_RETIRED] = { -1, -1, -1, KEY_DESTROYED },
        [KEY_DESTROYED] = { -1, -1, -1, -1 },
    };
    static const int urgent[KEY_STATES][4] = {
        [KEY_GENERATED] = { KEY_PUBLISHED, KEY_ACTIVE, KEY_RETIRED, -1 },
        [KEY_PUBLISHED] = { -1, KEY_ACTIVE, KEY_RETIRED, -1 },
        [KEY_ACTIVE] = { -1, -1, KEY_RETIRED, -1 },
        [KEY_RETIRING] = { -1, -1, KEY_RETIRED, -1 },
        [KEY_RETIRED] = { -1, -1, -1, KEY_DESTROYED },
        [KEY_DESTROYED] = { -1, -1, -1, -1 },
    };
    for (int state = 0; state < KEY_STATES; state++) {
        for (int step = 0; step < 4; step++) {
            set_up();
            add("key", (enum key_state)state, 0);
            add("other", KEY_ACTIVE, 0);
            const int expected[] = { calm[state][step], urgent[state][step] };
            for (int i = 0; i < 2; i++) {
                const char *emergency = i == 0 ? NULL : "lost";
                if (expected[i] < 0) {
                    CU_ASSERT_TRUE(is_refused((enum key_step)step, emergency, ERROR_CONFLICT));
                } else {
                    CU_ASSERT_TRUE(
                        leads_to((enum key_step)step, emergency, (enum key_state)expected[i]));
                    CU_ASSERT_EQUAL(fixture.change.from, (enum key_state)state);
                }
            }
        }
    }
}

static void test_a_published_key_waits_for_the_verifiers_caches(void)
{
    add("key", KEY_GENERATED, 0);
    CU_ASSERT_TRUE(leads_to(KEY_PUBLISH, NULL, KEY_PUBLISHED));
    CU_ASSERT_EQUAL(fixture.change.due_s, NOW_S + MAX_AGE_S + SLACK_S);

    set_up();
    add("key", KEY_PUBLISHED, NOW_S + 1);
    CU_ASSERT_TRUE(is_refused(KEY_ACTIVATE, NULL, ERROR_CONFLICT));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.err.message, "until 2023-11-14T22:13:21Z"));
    CU_ASSERT_TRUE(leads_to(KEY_ACTIVATE, "the old key is lost", KEY_ACTIVE));
    CU_ASSERT_STRING_EQUAL(fixture.change.reason, "the old key is lost");
    fixture.keys[0].due_s = NOW_S;
    CU_ASSERT_TRUE(leads_to(KEY_ACTIVATE, NULL, KEY_ACTIVE));
    CU_ASSERT_STRING_EQUAL(fixture.change.reason, "");
    CU_ASSERT_EQUAL(fixture.change.due_s, 0);
}

static void test_a_retiring_key_waits_for_its_last_token(void)
{
    struct key_change change;

    add("key", KEY_ACTIVE, 0);
    add("other", KEY_ACTIVE, 0);
    CU_ASSERT_TRUE(leads_to(KEY_RETIRE, NULL, KEY_RETIRING));
    CU_ASSERT_EQUAL(fixture.change.due_s, NOW_S + LIFETIME_S + SLACK_S);

    fixture.keys[0].state = KEY_RETIRING;
    fixture.keys[0].due_s = NOW_S;
    CU_ASSERT_FALSE(key_rules_has_retired(&fixture.keys[0], NOW_S - 1, &change));
    CU_ASSERT_TRUE(key_rules_has_retired(&fixture.keys[0], NOW_S, &change));
    CU_ASSERT_EQUAL(change.from, KEY_RETIRING);
    CU_ASSERT_EQUAL(change.to, KEY_RETIRED);
    fixture.keys[0].state = KEY_ACTIVE;
    CU_ASSERT_FALSE(key_rules_has_retired(&fixture.keys[0], NOW_S, &change));
}

static void test_the_last_active_key_stays_but_for_an_emergency(void)
{
    add("key", KEY_ACTIVE, 0);
    add("other", KEY_PUBLISHED, 0);
    CU_ASSERT_TRUE(is_refused(KEY_RETIRE, NULL, ERROR_CONFLICT));
    CU_ASSERT_TRUE(leads_to(KEY_RETIRE, "stolen", KEY_RETIRED));
}

static void test_eight_keys_are_published_and_no_more(void)
{
    static const enum key_state published[] = { KEY_PUBLISHED, KEY_ACTIVE, KEY_RETIRING };

    add("key", KEY_GENERATED, 0);
    add("gone", KEY_RETIRED, 0);
    for (unsigned i = 0; i < KEYS_PUBLISHED_MAX - 1; i++) {
        add("other", published[i % COUNT_OF(published)], 0);
    }
    CU_ASSERT_TRUE(leads_to(KEY_PUBLISH, NULL, KEY_PUBLISHED));
    add("eighth", KEY_RETIRING, 0);
    CU_ASSERT_TRUE(is_refused(KEY_PUBLISH, NULL, ERROR_CONFLICT));
    CU_ASSERT_TRUE(is_refused(KEY_PUBLISH, "now", ERROR_CONFLICT));
    CU_ASSERT_TRUE(is_refused(KEY_ACTIVATE, "now", ERROR_CONFLICT));
}

static void test_a_kid_may_be_shortened_to_what_is_unique(void)
{
    add("abc", KEY_GENERATED, 0);
    add("abd", KEY_GENERATED, 0);
    CU_ASSERT_TRUE(plan(KEY_PUBLISH, "abd", NULL));
    CU_ASSERT_STRING_EQUAL(fixture.change.kid, "abd");
    CU_ASSERT_FALSE(plan(KEY_PUBLISH, "ab", NULL));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_INVALID_REQUEST);
    CU_ASSERT_FALSE(plan(KEY_PUBLISH, "abcd", NULL));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_NOT_FOUND);
}

int main(void)
{
    static CU_TestInfo tests[] = {
        { "the steps lead through life in order", test_the_steps_lead_through_life_in_order },
        { "a published key waits for the verifiers' caches",
          test_a_published_key_waits_for_the_verifiers_caches },
        { "a retiring key waits for its last token", test_a_retiring_key_waits_for_its_last_token },
        { "the last active key stays but for an emergency",
          test_the_last_active_key_stays_but_for_an_emergency },
        { "eight keys are published and no more", test_eight_keys_are_published_and_no_more },
        { "a kid may be shortened to what is unique",
          test_a_kid_may_be_shortened_to_what_is_unique },
        CU_TEST_INFO_NULL,
    };
    return run_suite("key_rules", set_up, NULL, tests);
}

/* When a clock is believed, by readings that are made up. */
#include "base/clock_guard.h"

#include "base/clock.h"
#include "support/run.h"

static const int64_t START_NS = INT64_C(1780000000) * NS_PER_S;
static const int64_t BOOT_NS = INT64_C(1000) * NS_PER_S;

enum { HOUR_S = 3600, DAY_S = 86400 };

static struct {
    struct clock_guard guard;
    int64_t elapsed_ns;
    int64_t offset_ns; /* how wrong the clock is */
} fixture;

static struct clock_reading reading(void)
{
    return (struct clock_reading){ .now_ns = START_NS + fixture.elapsed_ns + fixture.offset_ns,
                                   .boot_ns = BOOT_NS + fixture.elapsed_ns };
}

static struct clock_anchor anchor(void)
{
    const struct clock_reading now = reading();
    return clock_guard_anchor(&fixture.guard, &now);
}

static void set_up(void)
{
    fixture.guard = (struct clock_guard){ .anchor_ns = 0 };
    fixture.elapsed_ns = fixture.offset_ns = 0;
    (void)anchor();
}

static bool is_trusted(void)
{
    const struct clock_reading now = reading();
    return clock_guard_trusts(&fixture.guard, &now);
}

static bool is_trusted_when_off_by_ms(int64_t ms)
{
    fixture.offset_ns = ms * NS_PER_MS;
    return is_trusted();
}

/* Looks every second, while the clock gains so much a second. */
static void pass(int64_t seconds, int64_t gain_ns)
{
    for (int64_t i = 0; i < seconds; i++) {
        fixture.elapsed_ns += NS_PER_S;
        fixture.offset_ns += gain_ns;
        const struct clock_reading now = reading();
        clock_guard_follow(&fixture.guard, &now);
    }
}

static void test_a_clock_is_trusted_within_five_seconds_of_its_anchor(void)
{
    CU_ASSERT_TRUE(is_trusted_when_off_by_ms(5000));
    CU_ASSERT_TRUE(is_trusted_when_off_by_ms(-5000));
    CU_ASSERT_FALSE(is_trusted_when_off_by_ms(5001));
    CU_ASSERT_FALSE(is_trusted_when_off_by_ms(-5001));
    CU_ASSERT_FALSE(is_trusted_when_off_by_ms(INT64_C(10) * 365 * DAY_S * 1000));
    CU_ASSERT_FALSE(is_trusted_when_off_by_ms(INT64_C(-10) * 365 * DAY_S * 1000));
}

static void test_a_clock_that_is_back_is_trusted_again(void)
{
    pass(10, 0);
    CU_ASSERT_FALSE(is_trusted_when_off_by_ms(HOUR_S * 1000));
    pass(DAY_S, 0);
    CU_ASSERT_FALSE(is_trusted());
    CU_ASSERT_TRUE(is_trusted_when_off_by_ms(0));
}

static void test_the_time_is_carried_on_while_the_clock_is_wrong(void)
{
    pass(10, 0);
    fixture.offset_ns = -HOUR_S * NS_PER_S;
    pass(60, 0);
    CU_ASSERT_EQUAL(clock_guard_carried_ns(&fixture.guard, reading().boot_ns),
                    START_NS + 70 * NS_PER_S);
    const struct clock_reading now = reading();
    CU_ASSERT_EQUAL(clock_guard_deviation_ns(&fixture.guard, &now), -HOUR_S * NS_PER_S);
}

static void test_a_confirmed_clock_is_the_new_anchor(void)
{
    fixture.offset_ns = HOUR_S * NS_PER_S;
    CU_ASSERT_FALSE(is_trusted());
    (void)anchor();
    CU_ASSERT_TRUE(is_trusted());
    CU_ASSERT_FALSE(is_trusted_when_off_by_ms(0));
}

static void test_a_confirmation_can_be_taken_back(void)
{
    fixture.offset_ns = HOUR_S * NS_PER_S;
    const struct clock_anchor before = anchor();
    clock_guard_restore(&fixture.guard, &before);
    CU_ASSERT_FALSE(is_trusted());
    CU_ASSERT_TRUE(is_trusted_when_off_by_ms(0));
}

static void test_a_slow_drift_is_followed_for_good(void)
{
    pass(DAY_S, NS_PER_S / 1000000 * 400);
    CU_ASSERT_TRUE(fixture.offset_ns > 30 * NS_PER_S);
    CU_ASSERT_TRUE(is_trusted());
    pass(2 * DAY_S, -NS_PER_S / 1000000 * 400);
    CU_ASSERT_TRUE(is_trusted());
}

static void test_steps_that_add_up_fast_are_not_followed(void)
{
    pass(100, 40 * NS_PER_MS); /* 4 s */
    CU_ASSERT_TRUE(is_trusted());
    pass(100, 40 * NS_PER_MS);
    CU_ASSERT_FALSE(is_trusted());
}

static void test_a_second_small_jump_right_after_the_first_is_one_too_many(void)
{
    pass(10, 0);
    CU_ASSERT_TRUE(is_trusted_when_off_by_ms(4000));
    pass(10, 0);
    CU_ASSERT_FALSE(is_trusted_when_off_by_ms(8000));
    fixture.offset_ns = 4 * NS_PER_S;
    pass(4 * HOUR_S, 0);
    CU_ASSERT_TRUE(is_trusted_when_off_by_ms(8000));
}

static void test_who_looks_seldom_lets_no_more_through(void)
{
    pass(2, 0);
    fixture.offset_ns = 4 * NS_PER_S;
    fixture.elapsed_ns += 100 * NS_PER_S;
    pass(1, 0);
    CU_ASSERT_FALSE(is_trusted_when_off_by_ms(5200));
}

static void set_floor_ahead_by(int64_t seconds)
{
    const struct clock_reading now = reading();
    clock_guard_set_floor(&fixture.guard, &now, now.now_ns + seconds * NS_PER_S);
}

static void test_a_clock_behind_its_floor_is_not_trusted_until_it_comes_up_to_it(void)
{
    set_floor_ahead_by(5);
    CU_ASSERT_TRUE(is_trusted());
    set_floor_ahead_by(HOUR_S);
    CU_ASSERT_FALSE(is_trusted());
    pass(2 * HOUR_S, 0); /* time alone does not make it right */
    CU_ASSERT_FALSE(is_trusted());
    CU_ASSERT_TRUE(is_trusted_when_off_by_ms(10 * HOUR_S * 1000));
    pass(1, 0);
    CU_ASSERT_TRUE(is_trusted());
    CU_ASSERT_FALSE(is_trusted_when_off_by_ms(12 * HOUR_S * 1000)); /* guarded as any */
}

static void test_a_clock_behind_its_floor_can_be_confirmed(void)
{
    set_floor_ahead_by(HOUR_S);
    (void)anchor();
    CU_ASSERT_TRUE(is_trusted());
    CU_ASSERT_FALSE(is_trusted_when_off_by_ms(HOUR_S * 1000));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a clock is trusted within five seconds of its anchor",
          test_a_clock_is_trusted_within_five_seconds_of_its_anchor },
        { "a clock that is back is trusted again", test_a_clock_that_is_back_is_trusted_again },
        { "the time is carried on while the clock is wrong",
          test_the_time_is_carried_on_while_the_clock_is_wrong },
        { "a confirmed clock is the new anchor", test_a_confirmed_clock_is_the_new_anchor },
        { "a confirmation can be taken back", test_a_confirmation_can_be_taken_back },
        { "a slow drift is followed for good", test_a_slow_drift_is_followed_for_good },
        { "steps that add up fast are not followed", test_steps_that_add_up_fast_are_not_followed },
        { "a second small jump right after the first is one too many",
          test_a_second_small_jump_right_after_the_first_is_one_too_many },
        { "who looks seldom lets no more through", test_who_looks_seldom_lets_no_more_through },
        { "a clock behind its floor is not trusted until it comes up to it",
          test_a_clock_behind_its_floor_is_not_trusted_until_it_comes_up_to_it },
        { "a clock behind its floor can be confirmed",
          test_a_clock_behind_its_floor_can_be_confirmed },
        CU_TEST_INFO_NULL,
    };
    return run_suite("clock guard", set_up, NULL, tests);
}

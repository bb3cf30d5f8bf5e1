#include "base/clock_guard.h"

#include "base/clock.h"

static const int64_t LIMIT_NS = CLOCK_DEVIATION_MAX_S * NS_PER_S;

struct clock_anchor clock_guard_anchor(struct clock_guard *self,
                                       const struct clock_reading *reading)
{
    return (struct clock_anchor){
        .anchor_ns = atomic_exchange(&self->anchor_ns, reading->now_ns - reading->boot_ns),
        .is_floor = atomic_exchange(&self->is_floor, false),
    };
}

void clock_guard_restore(struct clock_guard *self, const struct clock_anchor *before)
{
    atomic_store(&self->anchor_ns, before->anchor_ns);
    atomic_store(&self->is_floor, before->is_floor);
}

void clock_guard_set_floor(struct clock_guard *self, const struct clock_reading *reading,
                           int64_t floor_ns)
{
    const struct clock_anchor floor = { .anchor_ns = floor_ns - reading->boot_ns,
                                        .is_floor = true };

    if (reading->now_ns < floor_ns - LIMIT_NS) {
        clock_guard_restore(self, &floor);
    }
}

int64_t clock_guard_deviation_ns(const struct clock_guard *self,
                                 const struct clock_reading *reading)
{
    return reading->now_ns - clock_guard_carried_ns(self, reading->boot_ns);
}

bool clock_guard_trusts(const struct clock_guard *self, const struct clock_reading *reading)
{
    const int64_t deviation_ns = clock_guard_deviation_ns(self, reading);

    return deviation_ns >= -LIMIT_NS && (deviation_ns <= LIMIT_NS || atomic_load(&self->is_floor));
}

int64_t clock_guard_carried_ns(const struct clock_guard *self, int64_t boot_ns)
{
    return boot_ns + atomic_load(&self->anchor_ns);
}

static int64_t bounded(int64_t value, int64_t bound)
{
    return value > bound ? bound : value < -bound ? -bound : value;
}

void clock_guard_follow(struct clock_guard *self, const struct clock_reading *reading)
{
    int64_t anchor_ns = atomic_load(&self->anchor_ns);
    const int64_t deviation_ns = reading->now_ns - reading->boot_ns - anchor_ns;
    const int64_t elapsed_ns = reading->boot_ns - self->followed_ns;
    const bool is_first = self->followed_ns == 0;

    self->followed_ns = reading->boot_ns;
    if (!clock_guard_trusts(self, reading)) {
        return;
    }
    if (atomic_load(&self->is_floor)) {
        (void)clock_guard_anchor(self, reading);
    } else if (!is_first) {
        const int64_t step_ns = bounded(deviation_ns, elapsed_ns / (1000000 / CLOCK_FOLLOW_PPM));
        /* Unless an operator's word, which is another anchor, came in between. */
        (void)atomic_compare_exchange_strong(&self->anchor_ns, &anchor_ns, anchor_ns + step_ns);
    }
}

#include "http/rate_limit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/memory.h"

enum { SETS = 2048, WAYS = 8, KEY_SIZE = 16 };

/* What is not in the table has a full bucket. */
struct bucket {
    uint8_t key[KEY_SIZE];
    int64_t full_ns; /* when it will be full again; in the past: it is */
};

struct rate_limit {
    uint64_t seed; /* nobody can aim at one set */
    pthread_mutex_t lock;
    int64_t interval_ns; /* in which one is refilled; 0: there is no limit */
    int64_t burst_ns;    /* in which an empty bucket is */
    struct bucket buckets[SETS][WAYS];
};

struct rate_limit *rate_limit_new(unsigned per_s, unsigned burst)
{
    struct rate_limit *self = xcalloc(1, sizeof(*self));

    random_bytes(&self->seed, sizeof(self->seed));
    pthread_mutex_init(&self->lock, NULL);
    rate_limit_set(self, per_s, burst);
    return self;
}

void rate_limit_set(struct rate_limit *self, unsigned per_s, unsigned burst)
{
    pthread_mutex_lock(&self->lock);
    self->interval_ns = per_s > 0 ? NS_PER_S / per_s : 0;
    self->burst_ns = self->interval_ns * burst;
    pthread_mutex_unlock(&self->lock);
}

void rate_limit_free(struct rate_limit *limit)
{
    if (limit != NULL) {
        pthread_mutex_destroy(&limit->lock);
        free(limit);
    }
}

static void key_of(const struct in6_addr *address, uint8_t key_out[static KEY_SIZE])
{
    memcpy(key_out, address->s6_addr, KEY_SIZE);
    if (!IN6_IS_ADDR_V4MAPPED(address)) {
        memset(key_out + 8, 0, 8);
    }
}

/* Multiplies and folds, as splitmix64 does. */
static size_t set_of(const struct rate_limit *self, const uint8_t key[static KEY_SIZE])
{
    uint64_t halves[2];

    memcpy(halves, key, sizeof(halves));
    uint64_t hash = (self->seed ^ halves[0]) * UINT64_C(0xbf58476d1ce4e5b9);
    hash = (hash ^ hash >> 31 ^ halves[1]) * UINT64_C(0x94d049bb133111eb);
    return (size_t)((hash ^ hash >> 29) % SETS);
}

/* The key's own bucket; else the fullest, which is forgotten: whoever had it gains least by that. */
static struct bucket *find_bucket(struct rate_limit *self, const uint8_t key[static KEY_SIZE])
{
    struct bucket *set = self->buckets[set_of(self, key)];
    struct bucket *fullest = set;

    for (size_t i = 0; i < WAYS; i++) {
        if (memcmp(set[i].key, key, KEY_SIZE) == 0) {
            return &set[i];
        }
        if (set[i].full_ns < fullest->full_ns) {
            fullest = &set[i];
        }
    }
    memcpy(fullest->key, key, KEY_SIZE);
    fullest->full_ns = 0;
    return fullest;
}

/* With the lock held. A bucket that is emptier than one can be was so under another limit. */
static bool take_one(struct rate_limit *self, struct bucket *bucket, int64_t now_ns)
{
    const int64_t empty_ns = now_ns + self->burst_ns;
    const int64_t full_ns = bucket->full_ns < now_ns   ? now_ns
                          : bucket->full_ns > empty_ns ? empty_ns
                                                       : bucket->full_ns;
    const bool may = full_ns + self->interval_ns <= empty_ns;

    bucket->full_ns = may ? full_ns + self->interval_ns : full_ns;
    return may;
}

bool rate_limit_take(struct rate_limit *limit, const struct in6_addr *address, int64_t now_ns)
{
    uint8_t key[KEY_SIZE];

    key_of(address, key);
    pthread_mutex_lock(&limit->lock);
    const bool may = limit->interval_ns == 0 || take_one(limit, find_bucket(limit, key), now_ns);
    pthread_mutex_unlock(&limit->lock);
    return may;
}

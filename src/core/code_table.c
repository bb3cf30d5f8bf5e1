#include "core/code_table.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"

struct entry {
    struct digest code;
    struct entry *next_in_bucket;
    struct entry *older; /* a list by age */
    struct entry *newer;
    int64_t row;
    int64_t expires_s;
    bool claimed;
    bool known;  /* false: the place of a claim on a code that is not remembered */
    char text[]; /* holder's DID, scope, authorization's id, each with its NUL: one allocation */
};

struct code_table {
    pthread_mutex_t lock;
    pthread_cond_t released;
    unsigned waiting;
    size_t max;
    size_t count;
    size_t mask;
    struct entry *oldest;
    struct entry *newest;
    struct entry **buckets;
};

struct code_table *code_table_new(size_t max)
{
    struct code_table *self = xcalloc(1, sizeof(*self));
    pthread_condattr_t monotonic;
    size_t buckets = 1;

    while (buckets < max) {
        buckets *= 2;
    }
    self->max = max;
    self->mask = buckets - 1;
    self->buckets = xcalloc(buckets, sizeof(*self->buckets));
    pthread_mutex_init(&self->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&self->released, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return self;
}

/* Where the pointer to the entry is, or the NULL where it would be. */
static struct entry **find(struct code_table *self, const struct digest *code)
{
    size_t hash;
    memcpy(&hash, code->bytes, sizeof(hash));

    struct entry **place = &self->buckets[hash & self->mask];
    while (*place != NULL && !digest_equal(&(*place)->code, code)) {
        place = &(*place)->next_in_bucket;
    }
    return place;
}

static void entry_remove(struct code_table *self, struct entry **place)
{
    struct entry *entry = *place;

    *place = entry->next_in_bucket;
    *(entry->older != NULL ? &entry->older->newer : &self->oldest) = entry->newer;
    *(entry->newer != NULL ? &entry->newer->older : &self->newest) = entry->older;
    self->count--;
    free(entry);
}

static void make_room(struct code_table *self)
{
    struct entry *oldest = self->oldest;
    while (oldest != NULL && oldest->claimed) {
        oldest = oldest->newer;
    }
    if (oldest != NULL) {
        entry_remove(self, find(self, &oldest->code));
    }
}

static char *put(char *at, const char *text)
{
    return stpcpy(at, text) + 1;
}

/* `stored` NULL: a mere place. */
static struct entry *entry_add(struct code_table *self, const struct digest *code,
                               const struct stored_code *stored)
{
    const size_t text_size = stored == NULL ? 0
                                            : strlen(stored->holder_did) + strlen(stored->scope)
                                                  + strlen(stored->authorization_id) + 3;
    struct entry *entry = xcalloc(1, sizeof(*entry) + text_size);

    if (stored != NULL) {
        (void)put(put(put(entry->text, stored->holder_did), stored->scope),
                  stored->authorization_id);
        entry->row = stored->row;
        entry->expires_s = stored->expires_s;
        entry->known = true;
    }
    entry->code = *code;
    *find(self, code) = entry;
    entry->older = self->newest;
    *(self->newest != NULL ? &self->newest->newer : &self->oldest) = entry;
    self->newest = entry;
    self->count++;
    return entry;
}

static const char *take_text(char *out, const char *at)
{
    const size_t size = strlen(at) + 1;
    memcpy(out, at, size);
    return at + size;
}

static void entry_copy(const struct entry *entry, struct stored_code *stored_out)
{
    const char *at = take_text(stored_out->holder_did, entry->text);
    at = take_text(stored_out->scope, at);
    (void)take_text(stored_out->authorization_id, at);
    stored_out->row = entry->row;
    stored_out->expires_s = entry->expires_s;
    stored_out->spent = false;
}

void code_table_free(struct code_table *self)
{
    while (self->oldest != NULL) {
        struct entry *entry = self->oldest;
        self->oldest = entry->newer;
        free(entry);
    }
    pthread_cond_destroy(&self->released);
    pthread_mutex_destroy(&self->lock);
    free(self->buckets);
    free(self);
}

void code_table_add(struct code_table *self, const struct digest *code,
                    const struct stored_code *stored)
{
    pthread_mutex_lock(&self->lock);
    if (*find(self, code) == NULL) {
        if (self->count >= self->max) {
            make_room(self);
        }
        (void)entry_add(self, code, stored);
    }
    pthread_mutex_unlock(&self->lock);
}

static enum code_claim claim_locked(struct code_table *self, const struct digest *code,
                                    int64_t deadline_ns, struct stored_code *stored_out)
{
    const struct timespec deadline = timespec_from_ns(deadline_ns);
    struct entry *entry;

    while ((entry = *find(self, code)) != NULL && entry->claimed) {
        self->waiting++;
        const int timed_out = pthread_cond_timedwait(&self->released, &self->lock, &deadline);
        self->waiting--;
        if (timed_out != 0) {
            return CODE_BUSY;
        }
    }
    if (entry == NULL) {
        entry = entry_add(self, code, NULL);
    }
    entry->claimed = true;
    if (!entry->known) {
        return CODE_NOT_HERE;
    }
    entry_copy(entry, stored_out);
    return CODE_REMEMBERED;
}

enum code_claim code_table_claim(struct code_table *self, const struct digest *code,
                                 int64_t deadline_ns, struct stored_code *stored_out)
{
    pthread_mutex_lock(&self->lock);
    const enum code_claim claim = claim_locked(self, code, deadline_ns, stored_out);
    pthread_mutex_unlock(&self->lock);
    return claim;
}

void code_table_release(struct code_table *self, const struct digest *code, enum code_fate fate)
{
    pthread_mutex_lock(&self->lock);
    struct entry **place = find(self, code);
    struct entry *entry = *place;

    assert(entry != NULL); /* a claimed entry is never evicted */
    entry->claimed = false;
    if (!entry->known || fate != CODE_STILL_GOOD) {
        entry_remove(self, place);
    }
    if (self->waiting > 0) {
        pthread_cond_broadcast(&self->released);
    }
    pthread_mutex_unlock(&self->lock);
}

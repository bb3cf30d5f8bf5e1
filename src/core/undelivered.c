#include "core/undelivered.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/memory.h"

struct entry {
    struct digest code;
    struct job *job;
    int64_t until_s;
};

struct undelivered {
    job_free_fn *forget;
    pthread_mutex_t lock;
    size_t count;
    struct entry entries[UNDELIVERED_MAX]; /* oldest first */
};

struct undelivered *undelivered_new(job_free_fn *forget)
{
    struct undelivered *self = xcalloc(1, sizeof(*self));

    self->forget = forget;
    pthread_mutex_init(&self->lock, NULL);
    return self;
}

static struct job *remove_at(struct undelivered *self, size_t index)
{
    struct job *job = self->entries[index].job;

    self->count--;
    for (size_t i = index; i < self->count; i++) {
        self->entries[i] = self->entries[i + 1];
    }
    return job;
}

static void forget_expired(struct undelivered *self, int64_t now_s)
{
    for (size_t i = self->count; i > 0; i--) {
        if (self->entries[i - 1].until_s <= now_s) {
            self->forget(remove_at(self, i - 1));
        }
    }
}

void undelivered_free(struct undelivered *self)
{
    if (self == NULL) {
        return;
    }
    forget_expired(self, INT64_MAX);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

void undelivered_keep(struct undelivered *self, const struct digest *code, struct job *job,
                      int64_t until_s, int64_t now_s)
{
    pthread_mutex_lock(&self->lock);
    forget_expired(self, now_s);
    if (self->count == UNDELIVERED_MAX) {
        self->forget(remove_at(self, 0));
    }
    self->entries[self->count++] = (struct entry){ .code = *code, .job = job, .until_s = until_s };
    pthread_mutex_unlock(&self->lock);
}

struct job *undelivered_take(struct undelivered *self, const struct digest *code, int64_t now_s)
{
    struct job *job = NULL;

    pthread_mutex_lock(&self->lock);
    forget_expired(self, now_s);
    for (size_t i = 0; i < self->count && job == NULL; i++) {
        if (digest_equal(&self->entries[i].code, code)) {
            job = remove_at(self, i);
        }
    }
    pthread_mutex_unlock(&self->lock);
    return job;
}

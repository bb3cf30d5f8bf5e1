#include "http/site.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/memory.h"

struct site_state {
    pthread_mutex_t lock;
    struct site_settings settings;
};

struct site_state *site_state_new(const struct site_settings *settings)
{
    struct site_state *self = xcalloc(1, sizeof(*self));

    pthread_mutex_init(&self->lock, NULL);
    self->settings = *settings;
    return self;
}

void site_state_free(struct site_state *self)
{
    if (self != NULL) {
        pthread_mutex_destroy(&self->lock);
        free(self);
    }
}

void site_state_set(struct site_state *self, const struct site_settings *settings)
{
    pthread_mutex_lock(&self->lock);
    self->settings = *settings;
    pthread_mutex_unlock(&self->lock);
}

struct site_settings site_settings(const struct site *site)
{
    pthread_mutex_lock(&site->state->lock);
    const struct site_settings settings = site->state->settings;
    pthread_mutex_unlock(&site->state->lock);
    return settings;
}

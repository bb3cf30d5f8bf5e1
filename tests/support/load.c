#include "support/load.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/access_token.h"

enum { THREADS_MAX = 32, PAUSE_US = 3000, RETRY_US = 50000, PATIENCE_S = 30 };

struct load {
    const struct instance *instance;
    char *jwks;
    pthread_t threads[THREADS_MAX];
    unsigned thread_count; /* 0: stopped */
    _Atomic bool stopping;
    _Atomic unsigned issued;

    pthread_mutex_t lock;
    struct load_book book;
};

static char *fetch_jwks(const struct instance *instance)
{
    struct http_client *client = http_connect(instance_public_port(instance));
    const struct http_reply *reply = http_get(client, "/.well-known/jwks.json");
    char *jwks = reply->status == 200 ? xstrdup(reply->body) : NULL;

    http_close(client);
    return jwks;
}

/* ---- one code ---- */

static bool is_refusal(const struct http_reply *reply)
{
    const char *after = http_header(reply, "Retry-After");
    return reply->status == 503 && after != NULL && atoi(after) > 0;
}

static enum load_outcome judge(struct load *self, const struct http_reply *reply,
                               struct digest *token_out)
{
    char token[API_TOKEN_SIZE];

    if (reply->status == 0) {
        return LOAD_UNANSWERED;
    }
    if (!is_token_reply(reply, token) || !token_verifies(token, self->jwks)) {
        fprintf(stderr, "load: status %d: %s\n", reply->status, reply->body);
        return LOAD_WRONG;
    }
    *token_out = sha256(token, strlen(token));
    return LOAD_ISSUED;
}

static void redeem(struct load *self, struct load_code *code, int64_t *slowest_ns_out)
{
    const int64_t give_up_ns = monotonic_ns() + PATIENCE_S * NS_PER_S;
    struct http_client *client = http_connect(instance_public_port(self->instance));

    *slowest_ns_out = 0;
    for (;;) {
        const int64_t start_ns = monotonic_ns();
        const struct http_reply *reply = api_redeem(client, code->code);
        const int64_t took_ns = monotonic_ns() - start_ns;
        *slowest_ns_out = took_ns > *slowest_ns_out ? took_ns : *slowest_ns_out;
        if (!is_refusal(reply) || start_ns > give_up_ns) {
            code->outcome = judge(self, reply, &code->token);
            break;
        }
        code->refusals++;
        (void)usleep(RETRY_US);
    }
    http_close(client);
}

static void enter(struct load *self, const struct load_code *code, int64_t slowest_ns)
{
    struct load_book *book = &self->book;

    pthread_mutex_lock(&self->lock);
    book->issued += code->outcome == LOAD_ISSUED;
    book->unanswered += code->outcome == LOAD_UNANSWERED;
    book->wrong += code->outcome == LOAD_WRONG;
    book->refusals += code->refusals;
    book->slowest_ns = slowest_ns > book->slowest_ns ? slowest_ns : book->slowest_ns;
    if (book->count < LOAD_CODES_MAX) {
        book->codes[book->count++] = *code;
    }
    pthread_mutex_unlock(&self->lock);
    atomic_fetch_add(&self->issued, code->outcome == LOAD_ISSUED);
}

/* A server that is gone makes no codes: then there is nothing left to do. */
static void *work(void *argument)
{
    struct load *self = argument;

    while (!atomic_load(&self->stopping)) {
        struct load_code code = { .refusals = 0 };
        int64_t slowest_ns = 0;
        if (!api_make_code(self->instance, NULL, code.code)) {
            break;
        }
        redeem(self, &code, &slowest_ns);
        enter(self, &code, slowest_ns);
        (void)usleep(PAUSE_US);
    }
    return NULL;
}

/* ---- the whole ---- */

struct load *load_start(const struct instance *instance, unsigned threads)
{
    struct load *self = xcalloc(1, sizeof(*self));

    self->instance = instance;
    self->jwks = fetch_jwks(instance);
    self->book.codes = xcalloc(LOAD_CODES_MAX, sizeof(*self->book.codes));
    pthread_mutex_init(&self->lock, NULL);
    while (self->jwks != NULL && self->thread_count < threads && self->thread_count < THREADS_MAX
           && pthread_create(&self->threads[self->thread_count], NULL, work, self) == 0) {
        self->thread_count++;
    }
    if (self->thread_count == 0) {
        load_free(self);
        return NULL;
    }
    return self;
}

unsigned load_issued(const struct load *self)
{
    return atomic_load(&self->issued);
}

const struct load_book *load_stop(struct load *self)
{
    atomic_store(&self->stopping, true);
    for (unsigned i = 0; i < self->thread_count; i++) {
        (void)pthread_join(self->threads[i], NULL);
    }
    self->thread_count = 0;
    return &self->book;
}

void load_free(struct load *self)
{
    if (self == NULL) {
        return;
    }
    (void)load_stop(self);
    pthread_mutex_destroy(&self->lock);
    free(self->book.codes);
    free(self->jwks);
    free(self);
}

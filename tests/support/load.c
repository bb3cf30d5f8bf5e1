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
    struct load_options options;
    char *jwks;
    pthread_t threads[THREADS_MAX];
    unsigned thread_count; /* 0: stopped */
    _Atomic bool stopping;
    _Atomic unsigned issued;
    _Atomic unsigned refused; /* codes */

    pthread_mutex_t lock; /* over the rest */
    int64_t marked_ns;
    int64_t calm_ns; /* when the first of `calm` came */
    unsigned calm;   /* tokens in a row since the mark and the last refusal */
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

static bool is_gone(const struct http_reply *reply)
{
    return is_error_reply(reply, 400, API_CODE_GONE, "POST", TOKENS_PATH);
}

/* A request that was sent before the mark says nothing of the time after it, unless it failed. */
static void note_calm(struct load *self, bool issued, int64_t sent_ns)
{
    pthread_mutex_lock(&self->lock);
    if (!issued) {
        self->calm = 0;
    } else if (sent_ns >= self->marked_ns && self->calm++ == 0) {
        self->calm_ns = monotonic_ns();
    }
    pthread_mutex_unlock(&self->lock);
}

static void note_token(struct load_code *code, const char *token)
{
    cJSON *claims = token_part(token, 1);
    const char *jti = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(claims, "jti"));

    code->token = sha256(token, strlen(token));
    (void)snprintf(code->jti, sizeof(code->jti), "%s", jti != NULL ? jti : "");
    cJSON_Delete(claims);
}

static enum load_outcome judge(struct load *self, const struct http_reply *reply,
                               struct load_code *code)
{
    char token[API_TOKEN_SIZE];

    if (reply->status == 0) {
        return LOAD_UNANSWERED;
    }
    if (code->unanswered > 0 && reply->status == 400 && is_gone(reply)) {
        return LOAD_SPENT;
    }
    if (is_token_reply(reply, token)) {
        note_token(code, token);
        if (token_verifies(token, self->jwks)) {
            return LOAD_ISSUED;
        }
    }
    fprintf(stderr, "load: status %d: %s\n", reply->status, reply->body);
    return LOAD_WRONG;
}

static bool is_given_up(struct load *self)
{
    const unsigned every = self->options.give_up_every;
    return every != 0 && atomic_fetch_add(&self->refused, 1) % every == 0;
}

/* The answer is no answer yet, and there is time for another. */
static bool may_ask_again(const struct load *self, const struct load_code *code, bool refused)
{
    return (refused || (code->last_status == 0 && self->options.is_persistent))
        && code->last_ns - code->first_ns < PATIENCE_S * NS_PER_S;
}

/* One request. True if the code is to be asked for again. */
static bool redeem_once(struct load *self, struct http_client *client, struct load_code *code)
{
    const int64_t sent_ns = monotonic_ns();
    const struct http_reply *reply = api_redeem(client, code->code);

    code->last_ns = monotonic_ns();
    code->last_status = reply->status;
    code->first_ns = code->first_ns == 0 ? sent_ns : code->first_ns;
    if (code->last_ns - sent_ns > code->slowest_ns) {
        code->slowest_ns = code->last_ns - sent_ns;
    }
    const bool refused = is_refusal_reply(reply);
    code->refusals += refused;
    code->unanswered += reply->status == 0;
    if (may_ask_again(self, code, refused)) {
        note_calm(self, false, sent_ns);
        code->outcome = code->unanswered > 0 ? LOAD_UNANSWERED : LOAD_GIVEN_UP;
        return !refused || code->refusals > 1 || !is_given_up(self);
    }
    code->outcome = judge(self, reply, code);
    note_calm(self, code->outcome == LOAD_ISSUED, sent_ns);
    return false;
}

/* A connection that broke is no use any more. */
static struct http_client *connect_again(const struct load *self, struct http_client *client)
{
    http_close(client);
    return http_connect(instance_public_port(self->instance));
}

/* Only a refusal as spent is right. */
static bool is_refused_again(const struct load *self, struct http_client **client,
                             const struct load_code *code)
{
    const int64_t deadline_ns = monotonic_ns() + PATIENCE_S * NS_PER_S;
    const struct http_reply *reply = api_redeem(*client, code->code);

    while ((reply->status == 0 || is_refusal_reply(reply)) && monotonic_ns() < deadline_ns) {
        (void)usleep(RETRY_US);
        *client = reply->status == 0 ? connect_again(self, *client) : *client;
        reply = api_redeem(*client, code->code);
    }
    return is_gone(reply);
}

static bool is_replayed(struct load *self)
{
    const unsigned every = self->options.replay_every;
    return every != 0 && atomic_load(&self->issued) % every == 0;
}

static void redeem(struct load *self, struct load_code *code)
{
    struct http_client *client = http_connect(instance_public_port(self->instance));

    while (redeem_once(self, client, code)) {
        (void)usleep(RETRY_US);
        client = code->last_status == 0 ? connect_again(self, client) : client;
    }
    if (code->outcome == LOAD_ISSUED && is_replayed(self)
        && !is_refused_again(self, &client, code)) {
        code->outcome = LOAD_WRONG;
    }
    http_close(client);
}

enum load_outcome load_ask(struct load *self, struct load_code *code)
{
    struct http_client *client = http_connect(instance_public_port(self->instance));

    (void)redeem_once(self, client, code);
    http_close(client);
    return code->outcome;
}

void load_enter(struct load *self, const struct load_code *code)
{
    struct load_book *book = &self->book;

    pthread_mutex_lock(&self->lock);
    book->issued += code->outcome == LOAD_ISSUED;
    book->unanswered += code->outcome == LOAD_UNANSWERED;
    book->spent += code->outcome == LOAD_SPENT;
    book->wrong += code->outcome == LOAD_WRONG;
    book->refusals += code->refusals;
    if (code->slowest_ns > book->slowest_ns) {
        book->slowest_ns = code->slowest_ns;
    }
    if (book->count < LOAD_CODES_MAX) {
        book->codes[book->count++] = *code;
    }
    pthread_mutex_unlock(&self->lock);
    atomic_fetch_add(&self->issued, code->outcome == LOAD_ISSUED);
}

/* A server that is gone makes no codes: then there is nothing left to do, or it comes back. */
static bool make_code(struct load *self, struct load_code *code)
{
    while (!api_make_named_code(self->instance, NULL, code->authorization, code->code)) {
        if (!self->options.is_persistent || atomic_load(&self->stopping)) {
            return false;
        }
        (void)usleep(RETRY_US);
    }
    return true;
}

static void *work(void *argument)
{
    struct load *self = argument;

    while (!atomic_load(&self->stopping)) {
        struct load_code code = { .refusals = 0 };
        if (!make_code(self, &code)) {
            break;
        }
        redeem(self, &code);
        load_enter(self, &code);
        (void)usleep(self->options.pause_us);
    }
    return NULL;
}

/* ---- the whole ---- */

struct load *load_start_with(const struct instance *instance, const struct load_options *options)
{
    struct load *self = xcalloc(1, sizeof(*self));

    self->instance = instance;
    self->options = *options;
    self->jwks = fetch_jwks(instance);
    self->book.codes = xcalloc(LOAD_CODES_MAX, sizeof(*self->book.codes));
    pthread_mutex_init(&self->lock, NULL);
    while (self->jwks != NULL && self->thread_count < options->threads
           && self->thread_count < THREADS_MAX
           && pthread_create(&self->threads[self->thread_count], NULL, work, self) == 0) {
        self->thread_count++;
    }
    if (self->jwks == NULL || (self->thread_count == 0 && options->threads > 0)) {
        load_free(self);
        return NULL;
    }
    return self;
}

struct load *load_start(const struct instance *instance, unsigned threads)
{
    const struct load_options options = { .threads = threads, .pause_us = PAUSE_US };
    return load_start_with(instance, &options);
}

unsigned load_issued(const struct load *self)
{
    return atomic_load(&self->issued);
}

bool load_goes_on(const struct load *self, unsigned tokens)
{
    const int64_t deadline_ns = monotonic_ns() + PATIENCE_S * NS_PER_S;
    const unsigned goal = load_issued(self) + tokens;

    while (load_issued(self) < goal && monotonic_ns() < deadline_ns) {
        (void)usleep(RETRY_US / 10);
    }
    return load_issued(self) >= goal;
}

void load_mark(struct load *self)
{
    pthread_mutex_lock(&self->lock);
    self->marked_ns = monotonic_ns();
    self->calm = 0;
    pthread_mutex_unlock(&self->lock);
}

int64_t load_calm_ns(struct load *self, unsigned tokens)
{
    pthread_mutex_lock(&self->lock);
    const int64_t calm_ns = self->calm >= tokens ? self->calm_ns - self->marked_ns : -1;
    pthread_mutex_unlock(&self->lock);
    return calm_ns;
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

/* ---- the transcript ---- */

static void write_hex(FILE *file, const char *name, const struct digest *digest)
{
    fprintf(file, "\"%s\":\"", name);
    for (size_t i = 0; i < sizeof(digest->bytes); i++) {
        fprintf(file, "%02x", digest->bytes[i]);
    }
    fputs("\",", file);
}

static void write_code(FILE *file, unsigned number, const struct load_code *code)
{
    static const char *const outcomes[] = {
        [LOAD_ISSUED] = "issued", [LOAD_GIVEN_UP] = "given up", [LOAD_UNANSWERED] = "unanswered",
        [LOAD_SPENT] = "spent",   [LOAD_WRONG] = "wrong",
    };
    const struct digest hash = sha256(code->code, strlen(code->code));

    fprintf(file, "{\"case\":%u,\"authorization\":\"%s\",", number, code->authorization);
    write_hex(file, "code_sha256", &hash);
    fprintf(file, "\"refusals\":%u,\"unanswered\":%u,\"last_status\":%d,\"outcome\":\"%s\",",
            code->refusals, code->unanswered, code->last_status, outcomes[code->outcome]);
    if (code->jti[0] != '\0') {
        write_hex(file, "token_sha256", &code->token);
        fprintf(file, "\"jti\":\"%s\",", code->jti);
    }
    fprintf(file, "\"verified\":%s,\"first_ms\":%lld,\"last_ms\":%lld,\"slowest_ms\":%lld}\n",
            code->outcome == LOAD_ISSUED ? "true" : "false",
            (long long)(code->first_ns / NS_PER_MS), (long long)(code->last_ns / NS_PER_MS),
            (long long)(code->slowest_ns / NS_PER_MS));
}

void load_write_transcript(const struct load_book *book, unsigned number, FILE *file)
{
    for (unsigned i = 0; i < book->count; i++) {
        write_code(file, number, &book->codes[i]);
    }
}

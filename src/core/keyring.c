#include "core/keyring.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

enum {
    LOOK_EVERY_MS = 500,
    JWKS_MAX = KEYS_PUBLISHED_MAX * 1024 + 64,
};

struct keyring {
    struct store *store;
    int64_t token_lifetime_s;
    struct signers *signers;
    struct committer *committer;
    pthread_t thread;
    bool has_thread;
    sem_t stopping;

    pthread_mutex_t lock;
    char jwks[JWKS_MAX];
    char active_jwks[JWKS_MAX];
    struct key_list list; /* of which they are made */

    /* the thread's own */
    char missed[SIGNERS_MAX][48]; /* keys whose absence was logged */
    size_t missed_count;
    bool is_idle; /* no signer has an active key, and the log says so */
};

/* ---- writes ---- */

bool keyring_enter_key(struct ledger *ledger, struct store *store, const struct stored_key *key,
                       struct error *err)
{
    const struct ledger_entry entry = { .time_s = key->since_s,
                                        .kind = LEDGER_KEY,
                                        .kid = key->kid,
                                        .state = key_state_name(key->state) };
    bool is_new = false;

    return store_add_key(store, key, &is_new, err)
        && (!is_new || ledger_append(ledger, store, &entry, err));
}

bool keyring_change_key(struct ledger *ledger, struct store *store, const struct key_change *change,
                        struct error *err)
{
    const struct ledger_entry entry = { .time_s = change->now_s,
                                        .kind = LEDGER_KEY,
                                        .kid = change->kid,
                                        .state = key_state_name(change->to),
                                        .reason =
                                            change->reason[0] != '\0' ? change->reason : NULL };
    return store_change_key(store, change, err) && ledger_append(ledger, store, &entry, err);
}

enum key_write_kind { KEY_WRITE_NEW, KEY_WRITE_CHANGE, KEY_WRITE_USE };

struct key_write {
    struct job job;
    enum key_write_kind kind;
    struct stored_key key;    /* KEY_WRITE_NEW, KEY_WRITE_USE */
    struct key_change change; /* KEY_WRITE_CHANGE */
};

static void key_write_free(struct job *job)
{
    job_clear(job);
    free(job);
}

static bool key_write_commit(struct job *job, struct ledger *ledger, struct store *store,
                             int64_t now_s, struct error *err)
{
    const struct key_write *self = (const struct key_write *)job;

    (void)now_s;
    switch (self->kind) {
    case KEY_WRITE_NEW:
        return keyring_enter_key(ledger, store, &self->key, err);
    case KEY_WRITE_CHANGE:
        return keyring_change_key(ledger, store, &self->change, err);
    case KEY_WRITE_USE:
        return store_note_key_use(store, self->key.kid, self->key.last_expiry_s, err);
    }
    return fail(err, ERROR_INTERNAL, "no such write");
}

static const struct job_type key_write_job = { .run = key_write_commit, .free = key_write_free };

static struct key_write *key_write_new(enum key_write_kind kind)
{
    struct key_write *write = xcalloc(1, sizeof(*write));

    job_init(&write->job, &key_write_job);
    write->kind = kind;
    return write;
}

/* `write` is consumed. */
static bool write_key(struct keyring *self, struct key_write *write, struct error *err)
{
    if (!committer_write(self->committer, &write->job, err)) {
        return false;
    }
    key_write_free(&write->job);
    return true;
}

/* ---- what the devices hold ---- */

static const struct stored_key *find_key(const struct key_list *list, const char *kid)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->keys[i].kid, kid) == 0) {
            return &list->keys[i];
        }
    }
    return NULL;
}

static bool enter_key(struct keyring *self, const struct signer_status *signer,
                      enum key_state state, int64_t now_s, struct error *err)
{
    struct key_write *write = key_write_new(KEY_WRITE_NEW);
    struct stored_key *key = &write->key;

    key->state = state;
    key->since_s = now_s;
    (void)snprintf(key->kid, sizeof(key->kid), "%s", signer->key->kid);
    (void)snprintf(key->signer, sizeof(key->signer), "%s", signer->name);
    (void)snprintf(key->algorithm, sizeof(key->algorithm), "%s", signer->key->algorithm);
    (void)snprintf(key->jwk, sizeof(key->jwk), "%s", signer->key->jwk);
    (void)snprintf(key->description, sizeof(key->description), "%s", signer->key->description);
    if (!write_key(self, write, err)) {
        return false;
    }
    log_event(LOG_LEVEL_NOTICE, "key.entered", "kid=%s state=%s signer=%s", signer->key->kid,
              key_state_name(state), signer->name);
    return true;
}

/* Enters every key that a signer holds and the keyring does not know. */
static bool enter_new_keys(struct keyring *self, const struct key_list *list, int64_t now_s,
                           bool *changed_out, struct error *err)
{
    const enum key_state state = list->count == 0 ? KEY_ACTIVE : KEY_GENERATED;
    struct signer_status signers[SIGNERS_MAX];
    const size_t count = signers_list(self->signers, signers);

    for (size_t i = 0; i < count; i++) {
        if (signers[i].purpose != SIGNER_TOKENS || signers[i].key == NULL
            || find_key(list, signers[i].key->kid) != NULL) {
            continue;
        }
        if (!enter_key(self, &signers[i], state, now_s, err)) {
            return false;
        }
        *changed_out = true;
    }
    return true;
}

static bool retire_what_is_due(struct keyring *self, const struct key_list *list, int64_t now_s,
                               bool *changed_out, struct error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        struct key_change change;
        if (!key_rules_has_retired(&list->keys[i], now_s, &change)) {
            continue;
        }
        struct key_write *write = key_write_new(KEY_WRITE_CHANGE);
        write->change = change;
        if (!write_key(self, write, err) && err->code != ERROR_CONFLICT) {
            return false; /* in a conflict another issuerd was first */
        }
        log_event(LOG_LEVEL_NOTICE, "key.retired", "kid=%s", change.kid);
        *changed_out = true;
    }
    return true;
}

/* A key that may sign is noted in advance as used for as long as its tokens could live: no exchange has
 * to write it. */
static bool note_use(struct keyring *self, const struct key_list *list, int64_t now_s,
                     struct error *err)
{
    const int64_t until_s = now_s + self->token_lifetime_s + KEY_USE_AHEAD_S;

    for (size_t i = 0; i < list->count; i++) {
        const struct stored_key *key = &list->keys[i];
        if (key->state != KEY_ACTIVE || key->last_expiry_s >= until_s - KEY_USE_AHEAD_S / 2) {
            continue;
        }
        struct key_write *write = key_write_new(KEY_WRITE_USE);
        memcpy(write->key.kid, key->kid, sizeof(key->kid));
        write->key.last_expiry_s = until_s;
        if (!write_key(self, write, err)) {
            return false;
        }
    }
    return true;
}

const char *keyring_absence_of(struct keyring *self, const struct stored_key *key)
{
    const char *absence = "no signer of this configuration has it";
    struct signer_status signers[SIGNERS_MAX];
    const size_t count = signers_list(self->signers, signers);

    for (size_t i = 0; i < count; i++) {
        const struct signer_status *signer = &signers[i];
        if (signer->purpose != SIGNER_TOKENS) {
            continue;
        }
        if (signer->key != NULL && strcmp(signer->key->kid, key->kid) == 0) {
            return NULL;
        }
        if (strcmp(signer->name, key->signer) == 0) {
            absence = signer->key != NULL ? "its signer has another key now" : NULL;
        }
    }
    return absence;
}

static bool note_missed(struct keyring *self, const char *kid)
{
    for (size_t i = 0; i < self->missed_count; i++) {
        if (strcmp(self->missed[i], kid) == 0) {
            return false;
        }
    }
    if (self->missed_count < SIGNERS_MAX) {
        (void)snprintf(self->missed[self->missed_count++], sizeof(self->missed[0]), "%s", kid);
    }
    return true;
}

/* Says once which keys should sign, now or soon, and cannot. */
static void report_missing_keys(struct keyring *self, const struct key_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct stored_key *key = &list->keys[i];
        const char *absence = key->state == KEY_ACTIVE || key->state == KEY_PUBLISHED
                                ? keyring_absence_of(self, key)
                                : NULL;
        if (absence != NULL && note_missed(self, key->kid)) {
            log_event(LOG_LEVEL_ERROR, "key.missing", "kid=%s state=%s signer=%s reason='%s'",
                      key->kid, key_state_name(key->state), key->signer, absence);
        }
    }
}

/* ---- what follows from it ---- */

static bool permits(const struct key_list *list, const struct signer_status *signer)
{
    const struct stored_key *key = signer->key != NULL ? find_key(list, signer->key->kid) : NULL;
    return signer->purpose == SIGNER_TOKENS && key != NULL && key->state == KEY_ACTIVE;
}

static void report_idleness(struct keyring *self, bool any_permitted)
{
    if (!any_permitted && !self->is_idle) {
        log_event(LOG_LEVEL_ERROR, "keyring.no_active_key",
                  "effect='no token is issued' hint='issuerctl keys list, then keys activate'");
    }
    self->is_idle = !any_permitted;
}

static void permit_signers(struct keyring *self, const struct key_list *list)
{
    struct signer_status signers[SIGNERS_MAX];
    const size_t count = signers_list(self->signers, signers);
    bool any_permitted = false;

    for (size_t i = 0; i < count; i++) {
        const bool permitted = permits(list, &signers[i]);
        signers_permit(self->signers, signers[i].id, permitted);
        any_permitted = any_permitted || permitted;
    }
    report_idleness(self, any_permitted);
}

typedef bool holds_fn(enum key_state state);

static bool is_active(enum key_state state)
{
    return state == KEY_ACTIVE;
}

/* The JWK Set of the keys in whose state `holds`. */
static void print_keys(struct text *jwks, const struct key_list *list, holds_fn *holds)
{
    const char *separator = "";

    text_add(jwks, "{\"keys\":[");
    for (size_t i = 0; i < list->count; i++) {
        if (holds(list->keys[i].state)) {
            text_add(jwks, separator);
            text_add(jwks, list->keys[i].jwk);
            separator = ",";
        }
    }
    text_add(jwks, "]}");
}

static struct key_list copy_of(const struct key_list *list)
{
    struct key_list copy = { .count = list->count };

    if (list->count > 0) {
        copy.keys = xcalloc(list->count, sizeof(*list->keys));
        memcpy(copy.keys, list->keys, list->count * sizeof(*list->keys));
    }
    return copy;
}

static void publish(struct keyring *self, const struct key_list *list)
{
    char buffer[JWKS_MAX];
    char active_buffer[JWKS_MAX];
    struct text jwks = text_over(buffer, sizeof(buffer));
    struct text active_jwks = text_over(active_buffer, sizeof(active_buffer));
    struct key_list copy = copy_of(list);

    print_keys(&jwks, list, key_is_published);
    print_keys(&active_jwks, list, is_active);
    pthread_mutex_lock(&self->lock);
    memcpy(self->jwks, buffer, jwks.length + 1);
    memcpy(self->active_jwks, active_buffer, active_jwks.length + 1);
    key_list_clear(&self->list);
    self->list = copy;
    pthread_mutex_unlock(&self->lock);
}

/* Published before it is permitted: a verifier finds the key of every token. */
static bool look(struct keyring *self, struct error *err)
{
    int64_t now_s = 0;
    scoped(key_list_clear) struct key_list list = { .count = 0 };
    bool changed = false;

    if (!store_list_keys(self->store, &list, err)) {
        return false;
    }
    if (!store_read_clock(self->store, &now_s, err)) { /* nothing is issued, and no step is due */
        publish(self, &list);
        return true;
    }
    if (!enter_new_keys(self, &list, now_s, &changed, err)
        || !retire_what_is_due(self, &list, now_s, &changed, err)) {
        if (err->code
            != ERROR_LEDGER_STOPPED) { /* then nothing is issued: the keys stay as they are */
            return false;
        }
    }
    if (changed) {
        key_list_clear(&list);
        if (!store_list_keys(self->store, &list, err)) {
            return false;
        }
    }
    if (!note_use(self, &list, now_s, err)) {
        return false;
    }
    report_missing_keys(self, &list);
    publish(self, &list);
    permit_signers(self, &list);
    return true;
}

/* ---- the thread ---- */

static bool wait_for_stop(struct keyring *self)
{
    return semaphore_await(&self->stopping, monotonic_ns() + LOOK_EVERY_MS * (int64_t)NS_PER_MS);
}

static void *keyring_run(void *argument)
{
    struct keyring *self = argument;
    bool was_good = true;

    while (!wait_for_stop(self)) {
        struct error err = { .code = ERROR_NONE };
        const bool good = look(self, &err);
        if (!good && was_good) {
            log_error(LOG_LEVEL_ERROR, "keyring.failed", &err, "%s", "effect='keys as before'");
        }
        was_good = good;
    }
    return NULL;
}

bool keyring_start(const struct keyring_options *options, struct keyring **keyring_out,
                   struct error *err)
{
    struct keyring *self = xcalloc(1, sizeof(*self));

    self->store = options->store;
    self->token_lifetime_s = options->token_lifetime_s;
    self->signers = options->signers;
    self->committer = options->committer;
    pthread_mutex_init(&self->lock, NULL);
    sem_init(&self->stopping, 0, 0);
    if (!look(self, err)) {
        keyring_stop(self);
        return error_context(err, "keyring");
    }
    if (pthread_create(&self->thread, NULL, keyring_run, self) != 0) {
        keyring_stop(self);
        return fail(err, ERROR_INTERNAL, "start the keyring's thread");
    }
    self->has_thread = true;
    *keyring_out = self;
    return true;
}

void keyring_stop(struct keyring *self)
{
    if (self == NULL) {
        return;
    }
    if (self->has_thread) {
        (void)sem_post(&self->stopping);
        pthread_join(self->thread, NULL);
    }
    key_list_clear(&self->list);
    sem_destroy(&self->stopping);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

void keyring_list_keys(struct keyring *self, struct key_list *list_out)
{
    pthread_mutex_lock(&self->lock);
    *list_out = copy_of(&self->list);
    pthread_mutex_unlock(&self->lock);
}

bool keyring_permits(struct keyring *self, const struct signer_status *signer)
{
    pthread_mutex_lock(&self->lock);
    const bool permitted = permits(&self->list, signer);
    pthread_mutex_unlock(&self->lock);
    return permitted;
}

void keyring_print_jwks(struct keyring *self, struct text *text)
{
    pthread_mutex_lock(&self->lock);
    text_add(text, self->jwks);
    pthread_mutex_unlock(&self->lock);
}

void keyring_print_active_jwks(struct keyring *self, struct text *text)
{
    pthread_mutex_lock(&self->lock);
    text_add(text, self->active_jwks);
    pthread_mutex_unlock(&self->lock);
}

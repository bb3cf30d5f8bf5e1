/*
 * The life of one signer's child: start, handshake, watch, kill when stuck, start again. Crash-only:
 * whatever goes wrong inside, the one recovery is a fresh process.
 */
#include "hsm/supervisor.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/memory.h"
#include "hsm/child.h"
#include "hsm/launcher.h"
#include "hsm/pin_latch.h"

enum {
    START_TIMEOUT_MS = 15000,  /* module load, login, key search, first signature */
    RESTART_TIMEOUT_MS = 2500, /* the least for a device that has started before */
    TICK_MS = 50,
    LEAVING_TICK_MS = 5,
    SELF_TEST_EVERY_MS = 2000,
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MAX_MS = 4000,
    STEADY_MS = 5000, /* a child that lived this long is started again at once */
    LATCH_CHECK_MS = 1000,
    CEREMONY_END_MS = 1000,
    TURN_MS = 50, /* more than the latch's waiters sleep between two looks */
};

/* ---- start and end ---- */

static bool start_child(const struct signer *self, struct child *child_out, struct error *err)
{
    scoped(release_memory) struct wire_launch *launch = xcalloc(1, sizeof(*launch));

    child_fill_launch(launch, WIRE_SERVE, self->all, self->options);
    if (self->all->launcher != NULL) {
        const struct digest identity = child_identity(launch, self->options);
        return launcher_start_child(self->all->launcher, &identity, self->request_fds[1],
                                    self->answer_fds[1], child_out, err);
    }
    return child_spawn(self->all->program, launch, self->options, self->request_fds[1],
                       self->answer_fds[1], child_out, err);
}

/* How it ended, as waitpid() says. */
static int end_child(const struct signer *self, struct child *child)
{
    return self->all->launcher != NULL ? launcher_end_child(self->all->launcher, child)
                                       : child_end(child);
}

/* ---- handshake ---- */

/* True once the child answered that it is ready. Any failure leaves the child to be ended. */
static bool await_ready(const struct child *child, int stop_fd, int timeout_ms,
                        struct wire_ready *ready, struct error *err)
{
    struct pollfd fds[] = { { .fd = child->control_fd, .events = POLLIN },
                            { .fd = stop_fd, .events = POLLIN } };

    if (poll(fds, stop_fd < 0 ? 1 : 2, timeout_ms) <= 0) {
        return fail(err, ERROR_DEVICE_UNAVAILABLE, "the device did not answer within %d ms",
                    timeout_ms);
    }
    if (fds[1].revents != 0) {
        return fail(err, ERROR_SHUTTING_DOWN, "shutting down");
    }
    if (recv(child->control_fd, ready, sizeof(*ready), MSG_DONTWAIT) != sizeof(*ready)) {
        return fail(err, ERROR_DEVICE_UNAVAILABLE,
                    "the signer process ended while it started (a crash of the module?)");
    }
    if (ready->error_code != ERROR_NONE) {
        return fail(err, (enum error_code)ready->error_code, "%s", ready->error);
    }
    return true;
}

/* ---- serving ---- */

/* The key is fixed at the first start: a device that comes back with another one is not ours. */
static bool adopt_key(struct signer *self, const struct signer_key *key, struct error *err)
{
    const struct signer_key *before = atomic_load(&self->key);

    if (before == NULL) {
        atomic_store(&self->key, signer_keep_key(self, key));
        return true;
    }
    if (strcmp(before->kid, key->kid) != 0 || strcmp(before->header, key->header) != 0) {
        return fail(err, ERROR_DEVICE_UNAVAILABLE,
                    "the key changed under its name: kid %s was %s; restart issuerd to use it",
                    key->kid, before->kid);
    }
    return true;
}

static void publish_first_result(struct signer *self, const struct error *result)
{
    pthread_mutex_lock(&self->lock);
    if (!self->has_first_result) {
        self->has_first_result = true;
        self->first_error = *result;
        if (result->code != ERROR_NONE) {
            (void)!error_context(&self->first_error, "signer %s", self->options->name);
        }
        pthread_cond_signal(&self->first_result);
    }
    pthread_mutex_unlock(&self->lock);
}

static void set_state(struct signer *self, enum signer_state state)
{
    if (atomic_exchange(&self->state, state) != state) {
        atomic_store(&self->since_ns, monotonic_ns());
    }
}

/* For who asks later. */
static void note_failure(struct signer *self, const struct error *err)
{
    pthread_mutex_lock(&self->lock);
    self->failure = (struct signer_failure){ .at_ns = monotonic_ns(), .err = *err };
    pthread_mutex_unlock(&self->lock);
}

static void note_end(struct signer *self, const char *how)
{
    struct error err = { .code = ERROR_NONE };

    (void)!fail(&err, ERROR_DEVICE_UNAVAILABLE, "%s", how);
    note_failure(self, &err);
}

/* `status`: how its child ended. The call itself is in the kernel's log alone. That the PIN was refused
 * weighs more: it is not tried again. */
static void note_forbidden_call(struct signer *self, int status, struct error *err)
{
    static const char how[] =
        "the sandbox ended the signer process at a call that it does not allow (SIGSYS): see the "
        "kernel's log, or set its sandbox_mode = log";

    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS && err->code != ERROR_KEY_LOCKED) {
        log_event(LOG_LEVEL_ERROR, "signer.forbidden_call", "signer=%s hint='%s'",
                  self->options->name, how);
        (void)!fail(err, ERROR_DEVICE_UNAVAILABLE, "%s", how);
        note_failure(self, err);
    }
}

/* Of a signer that is told to end: at once, or when it has finished what it has. */
static bool may_end(struct signer *self)
{
    return atomic_load(&self->stage) != SIGNER_LEAVING || signer_close_if_idle(self);
}

/* Until the child dies, hangs, or it is time to stop. False: stop. */
static bool serve(struct signer *self, const struct child *child)
{
    struct pollfd fds[] = { { .fd = child->control_fd, .events = POLLIN },
                            { .fd = self->stop_fd, .events = POLLIN } };
    int64_t next_self_test_ns = monotonic_ns();
    bool is_told = false;

    for (;;) {
        const int64_t now_ns = monotonic_ns();
        if (now_ns >= next_self_test_ns && !is_told) {
            signer_submit_self_test(self);
            next_self_test_ns = now_ns + SELF_TEST_EVERY_MS * (int64_t)NS_PER_MS;
        }
        (void)poll(fds, COUNT_OF(fds), is_told ? LEAVING_TICK_MS : TICK_MS);
        is_told = is_told || fds[1].revents != 0;
        if (is_told) {
            fds[1].fd = -1;
            if (may_end(self)) {
                return false;
            }
        }
        if (fds[0].revents != 0) {
            log_event(LOG_LEVEL_ERROR, "signer.died", "signer=%s", self->options->name);
            note_end(self, "the signer process ended (a crash of the module?)");
            return true;
        }
        if (signer_is_stuck(self, monotonic_ns())) {
            log_event(LOG_LEVEL_ERROR, "signer.stuck", "signer=%s deadline_ms=%lld",
                      self->options->name, (long long)self->options->deadline_ms);
            note_end(self, "the device did not answer within its deadline");
            return true;
        }
    }
}

static void go_up(struct signer *self)
{
    const struct error none = { .code = ERROR_NONE };
    const struct signer_key *key = atomic_load(&self->key);

    pthread_mutex_lock(&self->lock);
    self->answered_ns = monotonic_ns();
    pthread_mutex_unlock(&self->lock);
    set_state(self, SIGNER_UP);
    log_event(LOG_LEVEL_NOTICE, "signer.up", "signer=%s alg=%s kid=%s key='%s'",
              self->options->name, key->algorithm, key->kid, key->description);
    publish_first_result(self, &none);
}

/* The signer is not up: nothing is sent to it, and what was sent fails now. */
static void go_down(struct signer *self, enum signer_state state)
{
    set_state(self, state);
    atomic_store(&self->self_test_ns, 0);
    signer_fail_in_flight(self);
}

/* A device that has started once is known: one that takes much longer hangs, and is not waited for
 * so long that it would not be back within 5 s of working again. */
static int restart_timeout_ms(int64_t started_within_ns)
{
    const int64_t twice_ms = 2 * started_within_ns / NS_PER_MS;
    return twice_ms < RESTART_TIMEOUT_MS ? RESTART_TIMEOUT_MS
         : twice_ms > START_TIMEOUT_MS   ? START_TIMEOUT_MS
                                         : (int)twice_ms;
}

/* The login is over, and so is its child unless it succeeded: the next may try this PIN. */
static void pass_on(struct pin_latch *latch, bool was_refused)
{
    if (was_refused) {
        pin_latch_set(latch);
    }
    pin_latch_unlock(latch);
}

static void note_pin(struct signer *self, const struct pin_identity *tried)
{
    pthread_mutex_lock(&self->lock);
    self->pin = *tried;
    pthread_mutex_unlock(&self->lock);
}

/* One child from birth to death; `latch` is locked, and unlocked after the login. True if it served.
 * Sets *err where it did not, and how long the next one may take to start where it did. */
static bool live_once(struct signer *self, struct pin_latch *latch, int *timeout_ms, bool *stop_out,
                      struct error *err)
{
    const int64_t born_ns = monotonic_ns();
    scoped(release_memory) struct wire_ready *ready = xcalloc(1, sizeof(*ready));
    struct child child = { .pid = -1, .control_fd = -1 };

    const bool started = start_child(self, &child, err)
                      && await_ready(&child, self->stop_fd, *timeout_ms, ready, err);
    if (!started) {
        note_forbidden_call(self, end_child(self, &child), err);
    }
    pass_on(latch, err->code == ERROR_KEY_LOCKED);
    note_pin(self, &latch->tried);
    const bool served = started && adopt_key(self, &ready->key, err);
    if (served) {
        *timeout_ms = restart_timeout_ms(monotonic_ns() - born_ns);
        atomic_store(&self->sessions, ready->sessions);
        go_up(self);
        *stop_out = !serve(self, &child);
    }
    go_down(self, err->code == ERROR_KEY_LOCKED ? SIGNER_LOCKED : SIGNER_DOWN);
    note_forbidden_call(self, end_child(self, &child), err);
    *stop_out = *stop_out || err->code == ERROR_SHUTTING_DOWN;
    return served;
}

/* ---- between lives ---- */

static bool wait_for_stop(struct signer *self, int64_t ms)
{
    struct pollfd fd = { .fd = self->stop_fd, .events = POLLIN };
    return poll(&fd, 1, (int)ms) > 0;
}

static int64_t jittered(int64_t ms)
{
    uint16_t random;
    random_bytes(&random, sizeof(random));
    return ms / 2 + ms * random / (2 * UINT16_MAX);
}

/* A refused PIN is never tried again until its source changes: tokens count the tries. True once
 * this signer may try it, with the latch locked; false: stop. */
static bool await_turn(struct signer *self, struct pin_latch *latch)
{
    const struct error locked = { .code = ERROR_KEY_LOCKED };
    struct error err;

    while (pin_latch_lock(latch, self->stop_fd, -1, &err)) {
        if (!pin_latch_holds(latch)) {
            return true;
        }
        pin_latch_unlock(latch);
        set_state(self, SIGNER_LOCKED);
        log_event(LOG_LEVEL_ERROR, "signer.locked", "signer=%s hint='%s'", self->options->name,
                  pin_latch_hint(latch));
        publish_first_result(self, &locked);
        while (pin_latch_holds(latch)) {
            if (wait_for_stop(self, LATCH_CHECK_MS)) {
                return false;
            }
        }
    }
    return false;
}

/* Doubles from one short life to the next, so that a device that kills its signer is not hammered. */
static int64_t next_backoff_ms(int64_t backoff_ms, int64_t lived_ms)
{
    if (lived_ms >= STEADY_MS) {
        return 0;
    }
    if (backoff_ms == 0) {
        return BACKOFF_FIRST_MS;
    }
    return backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : backoff_ms * 2;
}

/* What a start that failed took counts as waiting: a device that hangs was not hammered. But for
 * the turn of another signer that waits for the same PIN. */
static int64_t wait_left_ms(int64_t wait_ms, int64_t waited_ms)
{
    return wait_ms > waited_ms + TURN_MS ? wait_ms - waited_ms : TURN_MS;
}

void *supervisor_run(void *argument)
{
    struct signer *self = argument;
    struct pin_latch latch;
    int64_t backoff_ms = 0;
    int timeout_ms = START_TIMEOUT_MS;
    bool stop = false;

    pin_latch_open(&latch, self->all->state_dir, self->options->uri);
    while (!stop && await_turn(self, &latch)) {
        struct error err = { .code = ERROR_NONE };
        const int64_t born_ns = monotonic_ns();
        const bool served = live_once(self, &latch, &timeout_ms, &stop, &err);
        if (stop) {
            break;
        }
        const int64_t lived_ms = (monotonic_ns() - born_ns) / NS_PER_MS;
        backoff_ms = next_backoff_ms(backoff_ms, served ? lived_ms : 0);
        const int64_t wait_ms =
            served ? jittered(backoff_ms) : wait_left_ms(jittered(backoff_ms), lived_ms);
        if (served) {
            atomic_fetch_add(&self->restarts, 1);
        } else {
            log_error(LOG_LEVEL_ERROR, "signer.down", &err, "signer=%s retry_ms=%lld",
                      self->options->name, (long long)wait_ms);
            note_failure(self, &err);
            publish_first_result(self, &err);
        }
        if (err.code != ERROR_KEY_LOCKED) {
            stop = wait_for_stop(self, wait_ms);
        }
    }
    pin_latch_close(&latch);
    if (atomic_load(&self->stage) == SIGNER_LEAVING) {
        log_event(LOG_LEVEL_NOTICE, "signer.left", "signer=%s", self->options->name);
    }
    atomic_store(&self->has_ended, true);
    return NULL;
}

/* ---- ceremonies ---- */

static void copy(char *out, size_t size, const char *text)
{
    (void)snprintf(out, size, "%s", text != NULL ? text : "");
}

static enum wire_mode ceremony_mode(enum signer_ceremony ceremony)
{
    switch (ceremony) {
    case CEREMONY_PROBE:
        return WIRE_PROBE;
    case CEREMONY_GENERATE_KEY:
        return WIRE_GENERATE_KEY;
    case CEREMONY_DESTROY_KEY:
        return WIRE_DESTROY_KEY;
    case CEREMONY_INIT_TOKEN:
        return WIRE_INIT_TOKEN;
    }
    return WIRE_PROBE;
}

/* To initialise a token it is the security officer's PIN that is tried. */
static void open_latch(struct pin_latch *latch, const struct signers_options *all,
                       const struct signer_options *options,
                       const struct signer_ceremony_options *ceremony)
{
    if (ceremony->ceremony == CEREMONY_INIT_TOKEN && ceremony->so_pin_file != NULL) {
        pin_latch_open_file(latch, all->state_dir, ceremony->so_pin_file);
    } else {
        pin_latch_open(latch, all->state_dir, options->uri);
    }
}

/* A ceremony's child closes its device by itself: a module that is left in order, a TPM without a
 * session of ours. */
static void await_end(const struct child *child)
{
    struct pollfd fd = { .fd = child->control_fd, .events = POLLIN };
    (void)poll(&fd, 1, CEREMONY_END_MS);
}

bool signer_run_ceremony(const struct signers_options *all, size_t index,
                         const struct signer_ceremony_options *ceremony, struct signer_key *key_out,
                         struct error *err)
{
    scoped(release_memory) struct wire_launch *launch = xcalloc(1, sizeof(*launch));
    scoped(release_memory) struct wire_ready *ready = xcalloc(1, sizeof(*ready));
    const struct signer_options *options = &all->signers[index];
    scoped(pin_latch_close) struct pin_latch latch;
    struct child child = { .pid = -1, .control_fd = -1 };

    open_latch(&latch, all, options, ceremony);
    child_fill_launch(launch, ceremony_mode(ceremony->ceremony), all, options);
    launch->rsa_bits = ceremony->rsa_bits;
    copy(launch->so_pin_file, sizeof(launch->so_pin_file), ceremony->so_pin_file);
    copy(launch->kid, sizeof(launch->kid), ceremony->kid);
    if (ceremony->algorithm != NULL && ceremony->algorithm[0] != '\0') {
        copy(launch->algorithm, sizeof(launch->algorithm), ceremony->algorithm);
    }
    if (!pin_latch_lock(&latch, -1, START_TIMEOUT_MS, err)) {
        return error_context(err, "signer %s", options->name);
    }
    if (pin_latch_holds(&latch)) {
        return fail(err, ERROR_KEY_LOCKED,
                    "signer %s: this PIN was refused before; it is not tried again until its file "
                    "changes",
                    options->name);
    }
    const bool good = child_spawn(all->program, launch, options, -1, -1, &child, err)
                   && await_ready(&child, -1, START_TIMEOUT_MS, ready, err);
    if (good) {
        await_end(&child);
    }
    (void)child_end(&child);
    pass_on(&latch, !good && err->code == ERROR_KEY_LOCKED);
    if (!good) {
        return error_context(err, "signer %s", options->name);
    }
    *key_out = ready->key;
    return true;
}

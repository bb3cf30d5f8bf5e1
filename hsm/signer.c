/* The server's side of the signers: slots, submit, collect. The child's life is supervisor.c's. */
#include "hsm/signer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "hsm/supervisor.h"

enum {
    SLOT_BITS = 16,
    COLLECT_MAX = 64,
    SOCKET_BUFFER = 1 << 20,
    FIRST_START_S = 20,
    SMOOTHING = 8, /* of the time of a signature: the last one counts for an eighth */
};

struct signers {
    const struct signers_options *options;
    int wake_fd;
    size_t count;
    struct wire_answer *answers; /* COLLECT_MAX of them */
    struct signer signers[];
};

const char *signer_state_name(enum signer_state state)
{
    switch (state) {
    case SIGNER_UP:
        return "up";
    case SIGNER_DOWN:
        return "down";
    case SIGNER_LOCKED:
        return "locked";
    }
    return "?";
}

/* ---- slots ---- */

/* False when one more would be one too many, or would wait too long for its turn. While a session is
 * free nobody waits, however slow the device. The wait is overestimated by most of a signature's
 * time, so that few of those let in are late when their turn comes. */
static bool has_room(const struct signer *self, unsigned in_flight)
{
    const unsigned sessions = atomic_load_explicit(&self->sessions, memory_order_relaxed);
    const int64_t signature_ns = atomic_load_explicit(&self->signature_ns, memory_order_relaxed);

    return in_flight < self->options->queue
        && (in_flight < sessions
            || in_flight * signature_ns <= sessions * self->options->queue_ms * NS_PER_MS);
}

/* Sets the id; the deadline is brought forward to the end of the time in the queue. A self-test has
 * a place of its own, and all the time it needs: it is to prove the device, not to be quick. */
static bool slot_reserve(struct signer *self, void *tag, struct wire_request *head)
{
    const unsigned slots = self->options->queue + 1; /* one is the self-test's */

    pthread_mutex_lock(&self->lock);
    const unsigned in_flight = atomic_load_explicit(&self->in_flight, memory_order_relaxed);
    const bool reserved = tag == NULL ? in_flight < slots : has_room(self, in_flight);
    if (reserved) {
        const uint16_t index = self->free_slots[slots - in_flight - 1];
        const uint64_t sequence = self->next_sequence++;
        const int64_t now_ns = monotonic_ns();
        const int64_t turn_ns = now_ns + self->options->queue_ms * NS_PER_MS;
        if (tag != NULL && turn_ns < head->deadline_ns) {
            head->deadline_ns = turn_ns;
        }
        head->id = sequence << SLOT_BITS | index;
        self->slots[index] = (struct signer_slot){
            .sequence = sequence, .sent_ns = now_ns, .deadline_ns = head->deadline_ns, .tag = tag
        };
        atomic_store_explicit(&self->in_flight, in_flight + 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&self->lock);
    return reserved;
}

/* With the lock held. False if the slot was already released: its request was failed before. */
static bool slot_release_locked(struct signer *self, uint64_t id, void **tag_out)
{
    const unsigned slots = self->options->queue + 1;
    const uint16_t index = (uint16_t)(id & ((1U << SLOT_BITS) - 1));
    const uint64_t sequence = id >> SLOT_BITS;

    if (index >= slots || sequence == 0 || self->slots[index].sequence != sequence) {
        return false;
    }
    *tag_out = self->slots[index].tag;
    self->slots[index] = (struct signer_slot){ .sequence = 0 };
    const unsigned in_flight = atomic_load_explicit(&self->in_flight, memory_order_relaxed) - 1;
    atomic_store_explicit(&self->in_flight, in_flight, memory_order_relaxed);
    self->free_slots[slots - in_flight - 1] = index;
    return true;
}

static bool slot_release(struct signer *self, uint64_t id, void **tag_out)
{
    pthread_mutex_lock(&self->lock);
    const bool released = slot_release_locked(self, id, tag_out);
    pthread_mutex_unlock(&self->lock);
    return released;
}

void signer_fail_in_flight(struct signer *self)
{
    const unsigned slots = self->options->queue + 1;
    struct wire_request *drained = xcalloc(1, sizeof(*drained));

    while (recv(self->request_fds[1], drained, sizeof(*drained), MSG_DONTWAIT) > 0) {
    }
    free(drained);

    for (unsigned i = 0; i < slots; i++) {
        void *tag = NULL;
        pthread_mutex_lock(&self->lock);
        const uint64_t sequence = self->slots[i].sequence;
        const bool released =
            sequence != 0 && slot_release_locked(self, sequence << SLOT_BITS | i, &tag);
        pthread_mutex_unlock(&self->lock);
        if (released && tag != NULL) {
            self->all->failed(self->all->context, tag, ERROR_DEVICE_UNAVAILABLE);
        }
    }
}

/* While the committer waits for the disk, answers wait for the committer. */
static bool has_uncollected_answers(const struct signer *self)
{
    struct pollfd fd = { .fd = self->answer_fds[0], .events = POLLIN };
    return poll(&fd, 1, 0) > 0;
}

bool signer_is_stuck(struct signer *self, int64_t now_ns)
{
    const int64_t limit_ns = self->options->deadline_ms * NS_PER_MS;
    bool stuck = false;

    pthread_mutex_lock(&self->lock);
    const bool silent = now_ns - self->answered_ns > limit_ns && !has_uncollected_answers(self);
    for (unsigned i = 0; i <= self->options->queue && !stuck; i++) {
        const struct signer_slot *slot = &self->slots[i];
        const bool overtaken = self->answered_sequence > slot->sequence;
        stuck = slot->sequence != 0
             && ((silent && now_ns > slot->sent_ns + limit_ns)
                 || (overtaken && now_ns > slot->deadline_ns + limit_ns));
    }
    pthread_mutex_unlock(&self->lock);
    return stuck;
}

/* ---- submit ---- */

static bool is_for_tokens(const struct signer *self)
{
    return self->options->purpose == SIGNER_TOKENS;
}

static bool send_request(struct signer *self, const struct iovec *parts, size_t count)
{
    const struct msghdr message = { .msg_iov = (struct iovec *)parts, .msg_iovlen = count };
    return sendmsg(self->request_fds[0], &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

bool signers_choose(struct signers *self, size_t *index_out, const struct signer_key **key_out,
                    struct error *err)
{
    bool any_up = false;

    for (size_t i = 0; i < self->count; i++) {
        struct signer *signer = &self->signers[i];
        if (!is_for_tokens(signer)
            || !atomic_load_explicit(&signer->permitted, memory_order_relaxed)
            || atomic_load_explicit(&signer->state, memory_order_acquire) != SIGNER_UP) {
            continue;
        }
        any_up = true;
        if (has_room(signer, atomic_load_explicit(&signer->in_flight, memory_order_relaxed))) {
            *index_out = i;
            *key_out = &signer->key;
            return true;
        }
    }
    return any_up ? fail(err, ERROR_OVERLOADED, "every signer's queue is full")
                  : fail(err, ERROR_DEVICE_UNAVAILABLE, "no signer with an active key is up");
}

void signers_permit(struct signers *self, size_t index, bool permitted)
{
    atomic_store_explicit(&self->signers[index].permitted, permitted, memory_order_relaxed);
}

bool signers_submit(struct signers *self, size_t index, const char *input, size_t length,
                    int64_t deadline_ns, void *tag, struct error *err)
{
    struct signer *signer = &self->signers[index];
    struct wire_request head = { .deadline_ns = deadline_ns,
                                 .kind = WIRE_SIGN,
                                 .length = (uint32_t)length };
    const struct iovec parts[] = {
        { .iov_base = &head, .iov_len = sizeof(head) },
        { .iov_base = (char *)input, .iov_len = length },
    };
    void *own_tag = NULL;

    if (length > REVOKED_INPUT_MAX) {
        return fail(err, ERROR_INTERNAL, "a signing input of %zu bytes", length);
    }
    if (!slot_reserve(signer, tag, &head)) {
        return fail(err, ERROR_OVERLOADED, "signer %s: queue is full", signer->options->name);
    }
    if (!send_request(signer, parts, COUNT_OF(parts)) && slot_release(signer, head.id, &own_tag)) {
        return fail_errno(err, ERROR_OVERLOADED, "signer %s: send", signer->options->name);
    }
    /* The supervisor may have emptied the queue between our look at the state and the send: then
     * nobody reads what was sent, and the slot is ours to fail. */
    if (atomic_load_explicit(&signer->state, memory_order_acquire) != SIGNER_UP
        && slot_release(signer, head.id, &own_tag)) {
        return fail(err, ERROR_DEVICE_UNAVAILABLE, "signer %s is down", signer->options->name);
    }
    return true;
}

void signer_submit_self_test(struct signer *self)
{
    const int64_t patience_ms = self->options->queue_ms + self->options->deadline_ms;
    struct wire_request head = { .deadline_ns = monotonic_ns() + patience_ms * NS_PER_MS,
                                 .kind = WIRE_SELF_TEST };
    const struct iovec part = { .iov_base = &head, .iov_len = sizeof(head) };
    void *tag = NULL;

    if (slot_reserve(self, NULL, &head) && !send_request(self, &part, 1)) {
        (void)slot_release(self, head.id, &tag);
    }
}

/* ---- collect ---- */

static size_t receive_answers(struct signers *self, struct signer *signer)
{
    struct iovec parts[COLLECT_MAX];
    struct mmsghdr messages[COLLECT_MAX];

    for (size_t i = 0; i < COLLECT_MAX; i++) {
        parts[i] = (struct iovec){ &self->answers[i], sizeof(self->answers[i]) };
        messages[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &parts[i], .msg_iovlen = 1 } };
    }
    const int count = recvmmsg(signer->answer_fds[0], messages, COLLECT_MAX, MSG_DONTWAIT, NULL);
    return count > 0 ? (size_t)count : 0;
}

static void smooth_signature_time(struct signer *self, int64_t sign_ns)
{
    const int64_t before_ns = atomic_load_explicit(&self->signature_ns, memory_order_relaxed);
    const int64_t now_ns = before_ns == 0 ? sign_ns : before_ns + (sign_ns - before_ns) / SMOOTHING;
    atomic_store_explicit(&self->signature_ns, now_ns, memory_order_relaxed);
}

/* Whose answer it is; NULL for a self-test's, or one that was failed before it came. */
static void *settle_locked(struct signer *signer, const struct wire_answer *answer, int64_t now_ns)
{
    const uint64_t sequence = answer->id >> SLOT_BITS;
    void *tag = NULL;

    if (answer->wrong > 0) { /* whether or not the signer, which ends after it, was failed first */
        atomic_fetch_add_explicit(&signer->wrong_signatures, answer->wrong, memory_order_relaxed);
    }
    if (!slot_release_locked(signer, answer->id, &tag)) {
        return NULL;
    }
    if (sequence > signer->answered_sequence) {
        signer->answered_sequence = sequence;
    }
    signer->answered_ns = now_ns;
    if (answer->status == WIRE_SIGNED) {
        smooth_signature_time(signer, answer->sign_ns);
    }
    if (tag == NULL && answer->status == WIRE_SIGNED) {
        atomic_store_explicit(&signer->self_test_ns, now_ns, memory_order_relaxed);
    }
    return tag;
}

/* Of a request that was answered, but without a signature. */
static enum error_code failure_of(uint32_t status)
{
    return status == WIRE_LATE    ? ERROR_OVERLOADED
         : status == WIRE_REFUSED ? ERROR_INTERNAL
                                  : ERROR_DEVICE_UNAVAILABLE;
}

static size_t collect_from(struct signers *self, struct signer *signer, signer_answer_fn *answer,
                           void *context)
{
    void *tags[COLLECT_MAX];
    const size_t received = receive_answers(self, signer);

    if (received == 0) {
        return 0;
    }
    const int64_t now_ns = monotonic_ns();
    pthread_mutex_lock(&signer->lock);
    for (size_t i = 0; i < received; i++) {
        tags[i] = settle_locked(signer, &self->answers[i], now_ns);
    }
    pthread_mutex_unlock(&signer->lock);

    size_t handed_over = 0;
    for (size_t i = 0; i < received; i++) {
        const struct wire_answer *got = &self->answers[i];
        if (tags[i] == NULL) {
            continue;
        }
        if (got->status == WIRE_SIGNED && got->length <= WIRE_SIGNATURE_MAX) {
            answer(context, tags[i], got->signature, got->length, got->sign_ns);
            handed_over++;
        } else {
            self->options->failed(self->options->context, tags[i], failure_of(got->status));
        }
    }
    atomic_fetch_add_explicit(&signer->signatures, handed_over, memory_order_relaxed);
    return handed_over;
}

static size_t collect_now(struct signers *self, signer_answer_fn *answer, void *context)
{
    size_t handed_over = 0;
    for (size_t i = 0; i < self->count; i++) {
        handed_over += collect_from(self, &self->signers[i], answer, context);
    }
    return handed_over;
}

size_t signers_collect(struct signers *self, int timeout_ms, signer_answer_fn *answer,
                       void *context)
{
    const size_t handed_over = collect_now(self, answer, context);
    if (handed_over > 0 || timeout_ms == 0) {
        return handed_over;
    }

    struct pollfd fds[1 + SIGNERS_MAX];
    fds[0] = (struct pollfd){ .fd = self->wake_fd, .events = POLLIN };
    for (size_t i = 0; i < self->count; i++) {
        fds[i + 1] = (struct pollfd){ .fd = self->signers[i].answer_fds[0], .events = POLLIN };
    }
    if (poll(fds, self->count + 1, timeout_ms) <= 0) {
        return 0;
    }
    if ((fds[0].revents & POLLIN) != 0) {
        uint64_t times;
        (void)!read(self->wake_fd, &times, sizeof(times));
    }
    return collect_now(self, answer, context);
}

unsigned signers_in_flight(const struct signers *self)
{
    unsigned in_flight = 0;
    for (size_t i = 0; i < self->count; i++) {
        in_flight += atomic_load_explicit(&self->signers[i].in_flight, memory_order_relaxed);
    }
    return in_flight;
}

void signers_wake(struct signers *self)
{
    const uint64_t once = 1;
    (void)!write(self->wake_fd, &once, sizeof(once));
}

/* ---- status ---- */

size_t signers_count(const struct signers *self)
{
    return self->count;
}

struct signer_status signers_status(struct signers *self, size_t index)
{
    struct signer *signer = &self->signers[index];
    return (struct signer_status){
        .name = signer->options->name,
        .purpose = signer->options->purpose,
        .state = atomic_load(&signer->state),
        .key = atomic_load(&signer->has_key) ? &signer->key : NULL,
        .in_flight = atomic_load(&signer->in_flight),
        .queue = signer->options->queue,
        .permitted = atomic_load(&signer->permitted),
        .restarts = atomic_load(&signer->restarts),
        .signatures = atomic_load(&signer->signatures),
        .wrong_signatures = atomic_load(&signer->wrong_signatures),
        .patience_ms = signer->options->queue_ms + signer->options->deadline_ms,
        .self_test_ns = atomic_load(&signer->self_test_ns),
        .since_ns = atomic_load(&signer->since_ns),
    };
}

struct signer_failure signers_last_failure(struct signers *self, size_t index)
{
    struct signer *signer = &self->signers[index];

    pthread_mutex_lock(&signer->lock);
    const struct signer_failure failure = signer->failure;
    pthread_mutex_unlock(&signer->lock);
    return failure;
}

/* ---- start and stop ---- */

/* Descriptors below this are the child's fixed places. */
enum { FIRST_FREE_FD = 10 };

static bool open_pair(int fds[2])
{
    scoped(release_fd) int first = -1;
    scoped(release_fd) int second = -1;
    int pair[2];
    const int size = SOCKET_BUFFER;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return false;
    }
    first = pair[0];
    second = pair[1];
    fds[0] = fcntl(first, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
    fds[1] = fcntl(second, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
    if (fds[0] < 0 || fds[1] < 0) {
        return false;
    }
    for (int i = 0; i < 2; i++) { /* without the privilege, as much as net.core.wmem_max allows */
        if (setsockopt(fds[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) != 0) {
            (void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        }
    }
    return true;
}

static bool signer_start(struct signer *self, const struct signers_options *all,
                         const struct signer_options *options, struct error *err)
{
    pthread_condattr_t monotonic;

    self->all = all;
    self->options = options;
    self->next_sequence = 1;
    atomic_init(&self->since_ns, monotonic_ns());
    self->slots = xcalloc(options->queue + 1, sizeof(*self->slots));
    self->free_slots = xcalloc(options->queue + 1, sizeof(*self->free_slots));
    for (unsigned i = 0; i <= options->queue; i++) {
        self->free_slots[i] = (uint16_t)i;
    }
    pthread_mutex_init(&self->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&self->first_result, &monotonic);
    pthread_condattr_destroy(&monotonic);
    self->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (self->stop_fd < 0 || !open_pair(self->request_fds) || !open_pair(self->answer_fds)) {
        return fail_errno(err, ERROR_INTERNAL, "signer %s: open sockets", options->name);
    }
    if (pthread_create(&self->supervisor, NULL, supervisor_run, self) != 0) {
        return fail(err, ERROR_INTERNAL, "signer %s: start a thread", options->name);
    }
    self->has_supervisor = true;
    return true;
}

static void signer_stop(struct signer *self)
{
    if (self->options == NULL) {
        return;
    }
    if (self->has_supervisor) {
        const uint64_t once = 1;
        (void)!write(self->stop_fd, &once, sizeof(once));
        pthread_join(self->supervisor, NULL);
    }
    for (int i = 0; i < 2; i++) {
        release_fd(&self->request_fds[i]);
        release_fd(&self->answer_fds[i]);
    }
    release_fd(&self->stop_fd);
    pthread_cond_destroy(&self->first_result);
    pthread_mutex_destroy(&self->lock);
    free(self->slots);
    free(self->free_slots);
}

static void await_first_result(struct signer *self, int64_t until_ns)
{
    const struct timespec until = timespec_from_ns(until_ns);
    int timed_out = 0;

    pthread_mutex_lock(&self->lock);
    while (!self->has_first_result && timed_out == 0) {
        timed_out = pthread_cond_timedwait(&self->first_result, &self->lock, &until);
    }
    pthread_mutex_unlock(&self->lock);
}

/* Whoever holds the audit key's signature for a checkpoint must not hold one for a token. */
static bool check_purposes(const struct signers *self, struct error *err)
{
    for (size_t i = 0; i < self->count; i++) {
        for (size_t j = 0; j < i; j++) {
            const struct signer *a = &self->signers[i];
            const struct signer *b = &self->signers[j];
            if (a->options->purpose != b->options->purpose && atomic_load(&a->has_key)
                && atomic_load(&b->has_key) && strcmp(a->key.kid, b->key.kid) == 0) {
                return fail(err, ERROR_CONFIG,
                            "signers %s and %s have one key: the ledger's must have its own",
                            b->options->name, a->options->name);
            }
        }
    }
    return true;
}

/* A key that is not there is the operator's to mend before the start, unless another signer has
 * one: then issuerd does without, and says so. It does without the ledger's in any case. */
static bool check_first_results(struct signers *self, struct error *err)
{
    bool any_up = false;

    for (size_t i = 0; i < self->count; i++) {
        any_up = any_up
              || (is_for_tokens(&self->signers[i])
                  && atomic_load(&self->signers[i].state) == SIGNER_UP);
    }
    for (size_t i = 0; i < self->count; i++) {
        struct signer *signer = &self->signers[i];
        pthread_mutex_lock(&signer->lock);
        const struct error first = signer->first_error;
        pthread_mutex_unlock(&signer->lock);
        if (first.code == ERROR_CONFIG || first.code == ERROR_KEY_POLICY
            || (first.code == ERROR_KEY_NOT_FOUND && !any_up && is_for_tokens(signer))) {
            *err = first;
            return false;
        }
    }
    return check_purposes(self, err);
}

bool signers_start(const struct signers_options *options, struct signers **signers_out,
                   struct error *err)
{
    struct signers *self = xcalloc(1, sizeof(*self) + options->count * sizeof(self->signers[0]));
    bool good = options->count <= SIGNERS_MAX;

    self->options = options;
    self->count = options->count;
    self->answers = xcalloc(COLLECT_MAX, sizeof(*self->answers));
    for (size_t i = 0; i < options->count; i++) {
        self->signers[i].stop_fd = -1;
        memset(self->signers[i].request_fds, -1, sizeof(self->signers[i].request_fds));
        memset(self->signers[i].answer_fds, -1, sizeof(self->signers[i].answer_fds));
    }
    self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!good || self->wake_fd < 0) {
        good = fail_errno(err, ERROR_INTERNAL, "start the signers");
    }
    for (size_t i = 0; good && i < options->count; i++) {
        good = signer_start(&self->signers[i], options, &options->signers[i], err);
    }
    const int64_t until_ns = monotonic_ns() + FIRST_START_S * NS_PER_S;
    for (size_t i = 0; good && i < options->count; i++) {
        await_first_result(&self->signers[i], until_ns);
    }
    good = good && check_first_results(self, err);
    if (!good) {
        signers_stop(self);
        return false;
    }
    *signers_out = self;
    return true;
}

void signers_stop(struct signers *self)
{
    if (self == NULL) {
        return;
    }
    for (size_t i = 0; i < self->count; i++) {
        signer_stop(&self->signers[i]);
    }
    release_fd(&self->wake_fd);
    free(self->answers);
    free(self);
}

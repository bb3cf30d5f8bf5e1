/* The server's side of the signers: slots, submit, collect, and which of them are in use. The child's
 * life is supervisor.c's. */
#include "hsm/signer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "hsm/child.h"
#include "hsm/supervisor.h"

enum {
    SLOT_BITS = 16,
    COLLECT_MAX = 64,
    SOCKET_BUFFER = 1 << 20,
    FIRST_START_S = 20,
    SMOOTHING = 8, /* of the time of a signature: the last one counts for an eighth */
    PLACES_MAX = 2 * SIGNERS_MAX, /* as many may leave, or wait, as are in use */
    NO_PLACE = 0xff,
};

/* Which places are in use, in the order of the configuration: one word, so that it is read and
 * replaced as a whole. */
struct order {
    uint8_t places[SIGNERS_MAX]; /* NO_PLACE behind the last */
};

_Static_assert(sizeof(struct order) == sizeof(uint64_t), "an order is one word");

struct kept_key {
    struct signer_key key;
    struct kept_key *next;
};

/* What signers_end_change() is to make the order of. */
struct change {
    struct signer *wanted[SIGNERS_MAX];
    size_t count;
    int64_t until_ns; /* no first result is waited for longer */
};

struct signers {
    const struct signers_options *options;
    int wake_fd;
    struct wire_answer *answers; /* COLLECT_MAX of them */
    _Atomic uint64_t order;
    _Atomic int64_t deadline_ms; /* the longest of a signer for tokens that is in use */
    _Atomic size_t places_open;  /* the first so many, whose sockets are there */
    struct signer places[PLACES_MAX];
    struct change change; /* of the one thread that changes */
    pthread_mutex_t keys_lock;
    struct kept_key *keys;
};

static struct order order_now(const struct signers *self)
{
    const uint64_t word = atomic_load(&self->order);
    struct order order;

    memcpy(&order, &word, sizeof(order));
    return order;
}

static struct signer *place_of(struct signers *self, size_t id)
{
    return &self->places[id % PLACES_MAX];
}

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

    const unsigned queue = atomic_load_explicit(&self->queue, memory_order_relaxed);
    const int64_t queue_ms = atomic_load_explicit(&self->queue_ms, memory_order_relaxed);

    return in_flight < queue
        && (in_flight < sessions || in_flight * signature_ns <= sessions * queue_ms * NS_PER_MS);
}

/* With the lock held. */
static void slot_fill(struct signer *self, void *tag, struct wire_request *head)
{
    const unsigned slots = self->options->queue + 1; /* one is the self-test's */
    const unsigned in_flight = atomic_load_explicit(&self->in_flight, memory_order_relaxed);
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

/* Sets the id; the deadline is brought forward to the end of the time in the queue. A self-test has
 * a place of its own, and all the time it needs: it is to prove the device, not to be quick. */
static bool slot_reserve(struct signer *self, size_t id, void *tag, struct wire_request *head,
                         struct error *err)
{
    pthread_mutex_lock(&self->lock);
    const unsigned in_flight = atomic_load_explicit(&self->in_flight, memory_order_relaxed);
    const bool is_gone = self->is_closed || atomic_load(&self->id) != id;
    const bool reserved =
        !is_gone && (tag == NULL ? in_flight <= self->options->queue : has_room(self, in_flight));
    if (reserved) {
        slot_fill(self, tag, head);
    }
    pthread_mutex_unlock(&self->lock);
    return reserved
        || (is_gone ? fail(err, ERROR_DEVICE_UNAVAILABLE, "the signer has left")
                    : fail(err, ERROR_OVERLOADED, "the signer's queue is full"));
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

bool signer_close_if_idle(struct signer *self)
{
    pthread_mutex_lock(&self->lock);
    self->is_closed = atomic_load(&self->in_flight) == 0;
    const bool is_closed = self->is_closed;
    pthread_mutex_unlock(&self->lock);
    return is_closed;
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

/* With the lock held, or by the thread that changes. */
static bool is_for_tokens(const struct signer *self)
{
    return self->options->purpose == SIGNER_TOKENS;
}

static bool send_request(struct signer *self, const struct iovec *parts, size_t count)
{
    const struct msghdr message = { .msg_iov = (struct iovec *)parts, .msg_iovlen = count };
    return sendmsg(self->request_fds[0], &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

static bool is_permitted_and_up(const struct signer *self)
{
    return atomic_load_explicit(&self->permitted, memory_order_relaxed)
        && atomic_load_explicit(&self->state, memory_order_acquire) == SIGNER_UP;
}

/* The id is read first: what is read after it may be another signer's, which has the place by now, but
 * then signers_submit() refuses the id. */
bool signers_choose(struct signers *self, size_t *id_out, const struct signer_key **key_out,
                    struct error *err)
{
    const struct order order = order_now(self);
    bool any_up = false;

    for (size_t i = 0; i < SIGNERS_MAX && order.places[i] != NO_PLACE; i++) {
        struct signer *signer = &self->places[order.places[i]];
        const size_t id = atomic_load(&signer->id);
        const struct signer_key *key = atomic_load(&signer->key);
        if (!is_permitted_and_up(signer) || key == NULL) {
            continue;
        }
        any_up = true;
        if (has_room(signer, atomic_load_explicit(&signer->in_flight, memory_order_relaxed))) {
            *id_out = id;
            *key_out = key;
            return true;
        }
    }
    return any_up ? fail(err, ERROR_OVERLOADED, "every signer's queue is full")
                  : fail(err, ERROR_DEVICE_UNAVAILABLE, "no signer with an active key is up");
}

void signers_permit(struct signers *self, size_t id, bool permitted)
{
    struct signer *signer = place_of(self, id);

    pthread_mutex_lock(&signer->lock);
    if (atomic_load(&signer->id) == id) {
        atomic_store_explicit(&signer->permitted, permitted && is_for_tokens(signer),
                              memory_order_relaxed);
    }
    pthread_mutex_unlock(&signer->lock);
}

bool signers_submit(struct signers *self, size_t id, const char *input, size_t length,
                    int64_t deadline_ns, void *tag, struct error *err)
{
    struct signer *signer = place_of(self, id);
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
    if (!slot_reserve(signer, id, tag, &head, err)) {
        return false;
    }
    if (!send_request(signer, parts, COUNT_OF(parts)) && slot_release(signer, head.id, &own_tag)) {
        return fail_errno(err, ERROR_OVERLOADED, "send to the signer");
    }
    /* The supervisor may have emptied the queue between our look at the state and the send: then
     * nobody reads what was sent, and the slot is ours to fail. */
    if (atomic_load_explicit(&signer->state, memory_order_acquire) != SIGNER_UP
        && slot_release(signer, head.id, &own_tag)) {
        return fail(err, ERROR_DEVICE_UNAVAILABLE, "the signer is down");
    }
    return true;
}

void signer_submit_self_test(struct signer *self)
{
    const int64_t patience_ms = self->options->queue_ms + self->options->deadline_ms;
    struct wire_request head = { .deadline_ns = monotonic_ns() + patience_ms * NS_PER_MS,
                                 .kind = WIRE_SELF_TEST };
    const struct iovec part = { .iov_base = &head, .iov_len = sizeof(head) };
    struct error unused;
    void *tag = NULL;

    if (slot_reserve(self, atomic_load(&self->id), NULL, &head, &unused)
        && !send_request(self, &part, 1)) {
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
        struct wire_answer *got = &self->answers[i];
        if (tags[i] == NULL) {
            continue;
        }
        if (got->status == WIRE_SIGNED && got->length <= WIRE_SIGNATURE_MAX) {
            answer(context, tags[i], got->signature, got->length, got->sign_ns);
            explicit_bzero(got->signature, got->length); /* with what was signed it is a token */
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
    const size_t places = atomic_load(&self->places_open);
    size_t handed_over = 0;

    for (size_t i = 0; i < places; i++) {
        handed_over += collect_from(self, &self->places[i], answer, context);
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

    struct pollfd fds[1 + PLACES_MAX];
    const size_t places = atomic_load(&self->places_open);
    fds[0] = (struct pollfd){ .fd = self->wake_fd, .events = POLLIN };
    for (size_t i = 0; i < places; i++) {
        fds[i + 1] = (struct pollfd){ .fd = self->places[i].answer_fds[0], .events = POLLIN };
    }
    if (poll(fds, places + 1, timeout_ms) <= 0) {
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
    const size_t places = atomic_load(&self->places_open);
    unsigned in_flight = 0;

    for (size_t i = 0; i < places; i++) {
        in_flight += atomic_load_explicit(&self->places[i].in_flight, memory_order_relaxed);
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
    const struct order order = order_now(self);
    size_t count = 0;

    while (count < SIGNERS_MAX && order.places[count] != NO_PLACE) {
        count++;
    }
    return count;
}

/* With the lock held. */
static struct signer_status status_of(struct signer *self)
{
    struct signer_status status = {
        .id = atomic_load(&self->id),
        .purpose = self->options->purpose,
        .state = atomic_load(&self->state),
        .key = atomic_load(&self->key),
        .in_flight = atomic_load(&self->in_flight),
        .queue = self->options->queue,
        .permitted = atomic_load(&self->permitted),
        .restarts = atomic_load(&self->restarts),
        .signatures = atomic_load(&self->signatures),
        .wrong_signatures = atomic_load(&self->wrong_signatures),
        .deadline_ms = self->options->deadline_ms,
        .patience_ms = self->options->queue_ms + self->options->deadline_ms,
        .self_test_ns = atomic_load(&self->self_test_ns),
        .since_ns = atomic_load(&self->since_ns),
    };
    (void)snprintf(status.name, sizeof(status.name), "%s", self->options->name);
    return status;
}

struct signer_status signers_status(struct signers *self, size_t id)
{
    struct signer *signer = place_of(self, id);
    struct signer_status status = { .id = id, .state = SIGNER_DOWN };

    pthread_mutex_lock(&signer->lock);
    if (signer->options != NULL && atomic_load(&signer->id) == id) {
        status = status_of(signer);
    }
    pthread_mutex_unlock(&signer->lock);
    return status;
}

size_t signers_list(struct signers *self, struct signer_status list_out[static SIGNERS_MAX])
{
    const struct order order = order_now(self);
    size_t count = 0;

    for (size_t i = 0; i < SIGNERS_MAX && order.places[i] != NO_PLACE; i++) {
        struct signer *signer = &self->places[order.places[i]];
        pthread_mutex_lock(&signer->lock);
        if (atomic_load(&signer->stage) == SIGNER_SERVING) {
            list_out[count++] = status_of(signer);
        }
        pthread_mutex_unlock(&signer->lock);
    }
    return count;
}

struct signer_failure signers_last_failure(struct signers *self, size_t id)
{
    struct signer *signer = place_of(self, id);
    struct signer_failure failure = { .at_ns = 0 };

    pthread_mutex_lock(&signer->lock);
    if (atomic_load(&signer->id) == id) {
        failure = signer->failure;
    }
    pthread_mutex_unlock(&signer->lock);
    return failure;
}

int64_t signers_deadline_ms(const struct signers *self)
{
    return atomic_load_explicit(&self->deadline_ms, memory_order_relaxed);
}

const struct signer_key *signer_keep_key(struct signer *signer, const struct signer_key *key)
{
    struct signers *self = signer->siblings;
    struct kept_key *kept;

    pthread_mutex_lock(&self->keys_lock);
    for (kept = self->keys; kept != NULL && memcmp(&kept->key, key, sizeof(*key)) != 0;) {
        kept = kept->next;
    }
    if (kept == NULL) {
        kept = xcalloc(1, sizeof(*kept));
        kept->key = *key;
        kept->next = self->keys;
        self->keys = kept;
    }
    pthread_mutex_unlock(&self->keys_lock);
    return &kept->key;
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

/* ---- a signer's own options ---- */

static bool same_options(const struct signer_options *a, const struct signer_options *b)
{
    bool same = strcmp(a->name, b->name) == 0 && a->purpose == b->purpose
             && strcmp(a->uri, b->uri) == 0 && strcmp(a->algorithm, b->algorithm) == 0
             && a->sessions == b->sessions && a->queue == b->queue && a->queue_ms == b->queue_ms
             && a->deadline_ms == b->deadline_ms && a->session_copy == b->session_copy
             && a->sandbox == b->sandbox && a->sandbox_mode == b->sandbox_mode
             && a->setenv_count == b->setenv_count;

    for (size_t i = 0; same && i < a->setenv_count; i++) {
        same = strcmp(a->setenv[i], b->setenv[i]) == 0;
    }
    return same;
}

/* ---- a place ---- */

static void place_init(struct signer *self, struct signers *siblings, size_t number)
{
    pthread_condattr_t monotonic;

    self->siblings = siblings;
    self->all = siblings->options;
    self->next_sequence = 1;
    self->stop_fd = -1;
    atomic_init(&self->id, number);
    memset(self->request_fds, -1, sizeof(self->request_fds));
    memset(self->answer_fds, -1, sizeof(self->answer_fds));
    pthread_mutex_init(&self->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&self->first_result, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static void place_close(struct signer *self)
{
    for (int i = 0; i < 2; i++) {
        release_fd(&self->request_fds[i]);
        release_fd(&self->answer_fds[i]);
        self->request_fds[i] = self->answer_fds[i] = -1;
    }
    release_fd(&self->stop_fd);
    self->stop_fd = -1;
}

static void place_clear(struct signer *self)
{
    place_close(self);
    pthread_cond_destroy(&self->first_result);
    pthread_mutex_destroy(&self->lock);
    signer_options_free(self->options);
    free(self->slots);
    free(self->free_slots);
}

/* Its sockets are opened for the first signer that has it, and collected from ever after. */
static bool place_open(struct signers *self, struct signer *place, struct error *err)
{
    if (place->answer_fds[1] >= 0) {
        return true;
    }
    place->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (place->stop_fd < 0 || !open_pair(place->request_fds) || !open_pair(place->answer_fds)) {
        (void)!fail_errno(err, ERROR_INTERNAL, "open sockets");
        place_close(place);
        return false;
    }
    atomic_fetch_add(&self->places_open, 1); /* they are taken in their order */
    return true;
}

/* With the lock held: nothing of the signer before, but for the sequence, so that its late answers are
 * nobody's. */
static void place_take(struct signer *self, const struct signer_options *options)
{
    signer_options_free(self->options);
    free(self->slots);
    free(self->free_slots);
    self->options = signer_options_copy(options);
    self->slots = xcalloc(options->queue + 1, sizeof(*self->slots));
    self->free_slots = xcalloc(options->queue + 1, sizeof(*self->free_slots));
    for (unsigned i = 0; i <= options->queue; i++) {
        self->free_slots[i] = (uint16_t)i;
    }
    self->is_closed = self->has_first_result = false;
    self->first_error.code = ERROR_NONE;
    self->failure = (struct signer_failure){ .at_ns = 0 };
    atomic_store(&self->queue, options->queue);
    atomic_store(&self->queue_ms, options->queue_ms);
    atomic_store(&self->state, SIGNER_DOWN);
    atomic_store(&self->since_ns, monotonic_ns());
    atomic_store(&self->permitted, false);
    atomic_store(&self->key, NULL);
    atomic_store(&self->self_test_ns, 0);
    atomic_store(&self->restarts, 0);
    atomic_store(&self->signatures, 0);
    atomic_store(&self->wrong_signatures, 0);
    atomic_store(&self->in_flight, 0);
    atomic_store(&self->sessions, 0);
    atomic_store(&self->signature_ns, 0);
    atomic_store(&self->has_ended, false);
    atomic_store(&self->stage, SIGNER_WAITING);
}

/* ---- start and end of one ---- */

/* NULL: every place is taken. */
static struct signer *free_place(struct signers *self)
{
    for (size_t i = 0; i < PLACES_MAX; i++) {
        if (atomic_load(&self->places[i].stage) == SIGNER_ABSENT) {
            return &self->places[i];
        }
    }
    return NULL;
}

static bool signer_start(struct signers *self, const struct signer_options *options,
                         struct signer **signer_out, struct error *err)
{
    struct signer *place = free_place(self);

    if (place == NULL) {
        return fail(err, ERROR_CONFLICT,
                    "signers of an earlier reload have not ended yet: try again");
    }
    if (!place_open(self, place, err)) {
        return error_context(err, "signer %s", options->name);
    }
    pthread_mutex_lock(&place->lock);
    place_take(place, options);
    pthread_mutex_unlock(&place->lock);
    if (pthread_create(&place->supervisor, NULL, supervisor_run, place) != 0) {
        atomic_store(&place->stage, SIGNER_ABSENT);
        return fail(err, ERROR_INTERNAL, "signer %s: start a thread", options->name);
    }
    place->has_supervisor = true;
    *signer_out = place;
    return true;
}

/* Waits for its thread. The place is free for one with another id. */
static void signer_join(struct signer *self)
{
    uint64_t times;

    pthread_join(self->supervisor, NULL);
    self->has_supervisor = false;
    (void)!read(self->stop_fd, &times, sizeof(times));
    pthread_mutex_lock(&self->lock);
    atomic_fetch_add(&self->id, PLACES_MAX);
    atomic_store(&self->stage, SIGNER_ABSENT);
    pthread_mutex_unlock(&self->lock);
}

static void signer_tell_to_end(struct signer *self)
{
    const uint64_t once = 1;
    (void)!write(self->stop_fd, &once, sizeof(once));
}

/* At once. */
static void signer_stop(struct signer *self)
{
    if (self->has_supervisor) {
        atomic_store(&self->stage, SIGNER_WAITING);
        signer_tell_to_end(self);
        signer_join(self);
    }
}

/* Its own thread goes on until it has finished what it has. */
static void signer_leave(struct signer *self)
{
    atomic_store(&self->stage, SIGNER_LEAVING);
    signer_tell_to_end(self);
}

static void join_those_that_left(struct signers *self)
{
    for (size_t i = 0; i < PLACES_MAX; i++) {
        struct signer *place = &self->places[i];
        if (atomic_load(&place->stage) == SIGNER_LEAVING && atomic_load(&place->has_ended)) {
            signer_join(place);
        }
    }
}

/* ---- first results ---- */

static bool has_first_result(struct signer *self)
{
    pthread_mutex_lock(&self->lock);
    const bool has = self->has_first_result;
    pthread_mutex_unlock(&self->lock);
    return has;
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

static struct error first_error_of(struct signer *self)
{
    pthread_mutex_lock(&self->lock);
    const struct error first = self->first_error;
    pthread_mutex_unlock(&self->lock);
    return first;
}

static bool is_up(const struct signer *self)
{
    return atomic_load(&self->state) == SIGNER_UP;
}

/* Whoever holds the audit key's signature for a checkpoint must not hold one for a token. */
static bool check_purposes(const struct change *change, struct error *err)
{
    for (size_t i = 0; i < change->count; i++) {
        for (size_t j = 0; j < i; j++) {
            const struct signer *a = change->wanted[i];
            const struct signer *b = change->wanted[j];
            const struct signer_key *key_of_a = atomic_load(&a->key);
            const struct signer_key *key_of_b = atomic_load(&b->key);
            if (a->options->purpose != b->options->purpose && key_of_a != NULL && key_of_b != NULL
                && strcmp(key_of_a->kid, key_of_b->kid) == 0) {
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
static bool check_first_results(const struct change *change, struct error *err)
{
    bool any_up = false;

    for (size_t i = 0; i < change->count; i++) {
        any_up = any_up || (is_for_tokens(change->wanted[i]) && is_up(change->wanted[i]));
    }
    for (size_t i = 0; i < change->count; i++) {
        struct signer *signer = change->wanted[i];
        const struct error first = first_error_of(signer);
        const bool is_new = atomic_load(&signer->stage) == SIGNER_WAITING;
        if (is_new
            && (first.code == ERROR_CONFIG || first.code == ERROR_KEY_POLICY
                || (first.code == ERROR_KEY_NOT_FOUND && !any_up && is_for_tokens(signer)))) {
            *err = first;
            return false;
        }
    }
    return check_purposes(change, err);
}

/* ---- change ---- */

static struct signer *find_serving(struct signers *self, const char *name)
{
    const struct order order = order_now(self);

    for (size_t i = 0; i < SIGNERS_MAX && order.places[i] != NO_PLACE; i++) {
        struct signer *signer = &self->places[order.places[i]];
        if (strcmp(signer->options->name, name) == 0) {
            return signer;
        }
    }
    return NULL;
}

/* One that is down tries the PIN that is there by itself. */
static bool has_same_pin(struct signer *self)
{
    pthread_mutex_lock(&self->lock);
    const bool same = pin_file_is(self->options->uri, &self->pin);
    pthread_mutex_unlock(&self->lock);
    return same;
}

static bool is_wanted(const struct change *change, const struct signer *signer)
{
    for (size_t i = 0; i < change->count; i++) {
        if (change->wanted[i] == signer) {
            return true;
        }
    }
    return false;
}

bool signers_begin_change(struct signers *self, const struct signer_options *wanted, size_t count,
                          struct error *err)
{
    struct change *change = &self->change;

    assert(count <= SIGNERS_MAX);
    join_those_that_left(self);
    *change = (struct change){ .until_ns = monotonic_ns() + FIRST_START_S * NS_PER_S };
    for (size_t i = 0; i < count; i++) {
        struct signer *signer = find_serving(self, wanted[i].name);
        const bool stays = signer != NULL && same_options(signer->options, &wanted[i])
                        && (!is_up(signer) || has_same_pin(signer));
        if (!stays && !signer_start(self, &wanted[i], &signer, err)) {
            signers_abandon_change(self);
            return false;
        }
        change->wanted[change->count++] = signer;
    }
    signers_wake(self); /* who collects, collects from these, too */
    return true;
}

bool signers_change_is_settled(struct signers *self)
{
    bool settled = true;

    for (size_t i = 0; i < self->change.count && settled; i++) {
        settled = has_first_result(self->change.wanted[i]);
    }
    return settled || monotonic_ns() >= self->change.until_ns;
}

size_t signers_list_change(struct signers *self, struct signer_status list_out[static SIGNERS_MAX])
{
    for (size_t i = 0; i < self->change.count; i++) {
        list_out[i] = signers_status(self, atomic_load(&self->change.wanted[i]->id));
    }
    return self->change.count;
}

/* What works is not given up for what does not. */
static bool check_successors(struct signers *self, struct error *err)
{
    for (size_t i = 0; i < self->change.count; i++) {
        struct signer *signer = self->change.wanted[i];
        const struct signer *before = find_serving(self, signer->options->name);
        if (before != NULL && before != signer && is_up(before) && !is_up(signer)) {
            *err = first_error_of(signer);
            return err->code != ERROR_NONE
                     ? error_context(err, "the one that works is kept")
                     : fail(err, ERROR_DEVICE_UNAVAILABLE,
                            "signer %s did not come up by its new settings: the one that works is "
                            "kept",
                            signer->options->name);
        }
    }
    return true;
}

static void put_to_use(struct signers *self, const struct change *change)
{
    struct order order;
    int64_t deadline_ms = 0;
    uint64_t word;

    memset(&order, NO_PLACE, sizeof(order));
    for (size_t i = 0; i < change->count; i++) {
        struct signer *signer = change->wanted[i];
        order.places[i] = (uint8_t)(signer - self->places);
        atomic_store(&signer->stage, SIGNER_SERVING);
        if (is_for_tokens(signer) && signer->options->deadline_ms > deadline_ms) {
            deadline_ms = signer->options->deadline_ms;
        }
    }
    memcpy(&word, &order, sizeof(word));
    atomic_store(&self->order, word);
    atomic_store(&self->deadline_ms, deadline_ms);
}

bool signers_check_change(struct signers *self, struct error *err)
{
    return check_first_results(&self->change, err) && check_successors(self, err);
}

void signers_end_change(struct signers *self)
{
    const struct order before = order_now(self);

    put_to_use(self, &self->change);
    for (size_t i = 0; i < SIGNERS_MAX && before.places[i] != NO_PLACE; i++) {
        struct signer *signer = &self->places[before.places[i]];
        if (!is_wanted(&self->change, signer)) {
            signer_leave(signer);
        }
    }
    self->change.count = 0;
}

void signers_abandon_change(struct signers *self)
{
    for (size_t i = 0; i < self->change.count; i++) {
        if (atomic_load(&self->change.wanted[i]->stage) == SIGNER_WAITING) {
            signer_stop(self->change.wanted[i]);
        }
    }
    self->change.count = 0;
}

/* ---- all of them ---- */

static bool start_all(struct signers *self, struct error *err)
{
    if (!signers_begin_change(self, self->options->signers, self->options->count, err)) {
        return false;
    }
    for (size_t i = 0; i < self->change.count; i++) {
        await_first_result(self->change.wanted[i], self->change.until_ns);
    }
    if (!signers_check_change(self, err)) {
        return false;
    }
    signers_end_change(self);
    return true;
}

bool signers_start(const struct signers_options *options, struct signers **signers_out,
                   struct error *err)
{
    struct signers *self = xcalloc(1, sizeof(*self));

    self->options = options;
    self->order = UINT64_MAX; /* none */
    self->answers = xcalloc(COLLECT_MAX, sizeof(*self->answers));
    pthread_mutex_init(&self->keys_lock, NULL);
    for (size_t i = 0; i < PLACES_MAX; i++) {
        place_init(&self->places[i], self, i);
    }
    self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->wake_fd < 0 || options->count > SIGNERS_MAX) {
        (void)!fail_errno(err, ERROR_INTERNAL, "start the signers");
        signers_stop(self);
        return false;
    }
    if (!start_all(self, err)) {
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
    for (size_t i = 0; i < PLACES_MAX; i++) {
        signer_stop(&self->places[i]);
        place_clear(&self->places[i]);
    }
    while (self->keys != NULL) {
        struct kept_key *kept = self->keys;
        self->keys = kept->next;
        free(kept);
    }
    release_fd(&self->wake_fd);
    pthread_mutex_destroy(&self->keys_lock);
    free(self->answers);
    free(self);
}

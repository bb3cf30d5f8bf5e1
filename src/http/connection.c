#include "http/connection.h"

#include <linux/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "http/reply.h"

enum {
    TICK_MS = 200,
    OVER_LIMIT_HEAD_S = 1, /* a spare place is not kept by who sends nothing */
    REST_GRACE_S = 1,      /* a new connection has this long before it has to give way */
    DRAIN_GRACE_S = 1,     /* a connection that rests has this long for one more request */
    DRAIN_PAUSE_MS = 10,
};

struct connections {
    struct connections_options options;
    pthread_mutex_t lock;
    pthread_cond_t stop_due;
    pthread_t thread;
    bool stopping;
    _Atomic int64_t draining_ns; /* since when; 0: it does not drain */
    _Atomic unsigned count;
    struct connection *first;
};

/* ---- deadlines ---- */

/* What arrived on the connection since it was opened; 0 where the kernel does not say (AF_UNIX). */
static uint64_t bytes_received(const struct connection *connection)
{
    struct tcp_info info = { .tcpi_bytes_received = 0 };
    socklen_t length = sizeof(info);

    if (getsockopt(connection->fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) {
        return 0;
    }
    return info.tcpi_bytes_received;
}

/* libmicrohttpd's thread sees the end of the stream and closes. */
static void cut(struct connection *connection, enum connection_stage stage, bool answer)
{
    if (!connection_enter(connection, stage, CONNECTION_CUT)) {
        return;
    }
    if (answer && !connection->all->options.are_encrypted) {
        reply_send_timeout(connection->fd);
    }
    (void)shutdown(connection->fd, SHUT_RDWR);
}

/* True if part of a request head is there. */
static bool has_begun_head(struct connection *connection)
{
    const uint64_t received = bytes_received(connection);
    const unsigned requests = atomic_load(&connection->requests);

    if (atomic_load(&connection->in_handshake)) {
        return false;
    }
    if (requests != connection->requests_before) {
        connection->requests_before = requests;
        connection->bytes_before = received;
    }
    return received > connection->bytes_before;
}

/* RFC 9112 9.6: who has a connection may send on it at any moment, and would see it reset. One that
 * rests when the drain begins has a while in which the next answer tells its end instead; one that
 * came later, the same from its accept; a TLS handshake that is under way has until its own deadline. */
static bool has_rested_enough(const struct connections *self, struct connection *connection,
                              int64_t now_ns)
{
    if (atomic_load(&connection->in_handshake) && bytes_received(connection) > 0) {
        return false;
    }
    const int64_t draining_ns = atomic_load(&self->draining_ns);
    const int64_t since_ns =
        connection->opened_ns > draining_ns ? connection->opened_ns : draining_ns;

    return draining_ns != 0 && now_ns - since_ns > DRAIN_GRACE_S * NS_PER_S;
}

/* The first head's deadline counts from the accept; a later one's from when its first bytes were
 * noticed, for between requests a connection may rest (idle_timeout_s, libmicrohttpd's). */
static void check_head(struct connections *self, struct connection *connection, int64_t now_ns)
{
    const bool has_sent = has_begun_head(connection);
    connection->resting = !has_sent;
    const int64_t since_ns = atomic_load(&connection->since_ns);
    const int64_t limit_s =
        connection->over_limit ? OVER_LIMIT_HEAD_S : self->options.limits.head_timeout_s;

    if (!has_sent && has_rested_enough(self, connection, now_ns)) {
        cut(connection, CONNECTION_HEAD, false);
    } else if (since_ns == 0 && has_sent) {
        atomic_store(&connection->since_ns, now_ns);
    } else if (since_ns != 0 && now_ns - since_ns > limit_s * NS_PER_S) {
        cut(connection, CONNECTION_HEAD, has_sent);
    }
}

static void check(struct connections *self, struct connection *connection, int64_t now_ns)
{
    connection->resting = false;
    switch (atomic_load(&connection->stage)) {
    case CONNECTION_HEAD:
        check_head(self, connection, now_ns);
        break;
    case CONNECTION_BODY:
        if (now_ns - atomic_load(&connection->since_ns)
            > self->options.limits.body_timeout_s * NS_PER_S) {
            cut(connection, CONNECTION_BODY, true);
        }
        break;
    case CONNECTION_BUSY: /* every wait inside has its own deadline */
    case CONNECTION_CUT:
        break;
    }
}

static void *deadlines_run(void *argument)
{
    struct connections *self = argument;

    pthread_mutex_lock(&self->lock);
    while (!self->stopping) {
        const int64_t now_ns = monotonic_ns();
        for (struct connection *at = self->first; at != NULL; at = at->next) {
            check(self, at, now_ns);
        }
        const struct timespec until = timespec_from_ns(now_ns + TICK_MS * (int64_t)NS_PER_MS);
        (void)pthread_cond_timedwait(&self->stop_due, &self->lock, &until);
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

bool connection_enter(struct connection *connection, enum connection_stage from,
                      enum connection_stage to)
{
    return atomic_compare_exchange_strong(&connection->stage, &from, to);
}

/* ---- the list ---- */

bool connections_new(const struct connections_options *options, struct connections **out,
                     struct error *err)
{
    struct connections *self = xcalloc(1, sizeof(*self));
    pthread_condattr_t monotonic;

    self->options = *options;
    pthread_mutex_init(&self->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&self->stop_due, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&self->thread, NULL, deadlines_run, self) != 0) {
        free(self);
        return fail(err, ERROR_INTERNAL, "start the deadline thread");
    }
    *out = self;
    return true;
}

void connections_free(struct connections *self)
{
    pthread_mutex_lock(&self->lock);
    self->stopping = true;
    pthread_cond_signal(&self->stop_due);
    pthread_mutex_unlock(&self->lock);
    pthread_join(self->thread, NULL);
    pthread_cond_destroy(&self->stop_due);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

static bool is_from(const struct connection *connection, const struct in6_addr *address)
{
    return address == NULL || memcmp(&connection->address, address, sizeof(*address)) == 0;
}

/* From `address`; NULL: from anywhere. Those that were refused or cut are on their way out. */
static unsigned count_from(const struct connections *self, const struct in6_addr *address)
{
    unsigned count = 0;
    for (const struct connection *at = self->first; at != NULL; at = at->next) {
        count +=
            !at->over_limit && atomic_load(&at->stage) != CONNECTION_CUT && is_from(at, address);
    }
    return count;
}

/* True if there is room for one more, if need be in the place of the oldest that rests. */
static bool make_room(struct connections *self, unsigned limit, const struct in6_addr *address)
{
    const int64_t recent_ns = monotonic_ns() - REST_GRACE_S * NS_PER_S;
    struct connection *oldest = NULL;

    if (count_from(self, address) < limit) {
        return true;
    }
    for (struct connection *at = self->first; at != NULL; at = at->next) { /* newest first */
        if (at->resting && at->opened_ns < recent_ns && is_from(at, address)
            && atomic_load(&at->stage) == CONNECTION_HEAD) {
            oldest = at;
        }
    }
    if (oldest != NULL) {
        cut(oldest, CONNECTION_HEAD, false);
    }
    return oldest != NULL;
}

void connections_set_limits(struct connections *self, const struct connections_limits *limits)
{
    pthread_mutex_lock(&self->lock);
    self->options.limits = *limits;
    pthread_mutex_unlock(&self->lock);
}

bool connections_have_place(struct connections *self)
{
    pthread_mutex_lock(&self->lock);
    const bool have = connections_count(self) < self->options.limits.limit + CONNECTIONS_SPARE;
    pthread_mutex_unlock(&self->lock);
    return have;
}

struct connection *connections_add(struct connections *self, int fd, const struct in6_addr *address)
{
    struct connection *connection = xcalloc(1, sizeof(*connection));

    connection->all = self;
    connection->fd = fd;
    connection->address = *address;
    connection->opened_ns = monotonic_ns();
    connection->body = connection->body_inline;
    atomic_init(&connection->stage, CONNECTION_HEAD);
    atomic_init(&connection->since_ns, monotonic_ns());
    atomic_init(&connection->in_handshake, self->options.are_encrypted);
    pthread_mutex_lock(&self->lock);
    connection->over_limit = !make_room(self, self->options.limits.limit_per_address, address)
                          || !make_room(self, self->options.limits.limit, NULL);
    connection->next = self->first;
    if (self->first != NULL) {
        self->first->previous = connection;
    }
    self->first = connection;
    atomic_fetch_add(&self->count, 1);
    pthread_mutex_unlock(&self->lock);
    return connection;
}

void connections_remove(struct connection *connection)
{
    struct connections *self = connection->all;

    pthread_mutex_lock(&self->lock);
    *(connection->previous != NULL ? &connection->previous->next : &self->first) = connection->next;
    if (connection->next != NULL) {
        connection->next->previous = connection->previous;
    }
    atomic_fetch_sub(&self->count, 1);
    pthread_mutex_unlock(&self->lock);
    if (connection->body != connection->body_inline) {
        free(connection->body);
    }
    free(connection);
}

/* The client may have sent its first request with the handshake's last bytes: it waits unread. */
void connection_end_handshake(struct connection *connection)
{
    struct connections *self = connection->all;
    int unread = 0;

    pthread_mutex_lock(&self->lock);
    const uint64_t received = bytes_received(connection);
    if (ioctl(connection->fd, FIONREAD, &unread) == 0 && received >= (uint64_t)unread) {
        connection->bytes_before = received - (uint64_t)unread;
    }
    connection->opened_ns = monotonic_ns();
    atomic_store(&connection->in_handshake, false);
    pthread_mutex_unlock(&self->lock);
}

bool connections_cut_handshakes(struct connections *self)
{
    bool any = false;

    pthread_mutex_lock(&self->lock);
    for (struct connection *at = self->first; at != NULL; at = at->next) {
        if (atomic_load(&at->in_handshake)) {
            cut(at, CONNECTION_HEAD, false);
            any = true;
        }
    }
    pthread_mutex_unlock(&self->lock);
    return any;
}

unsigned connections_count(const struct connections *self)
{
    return atomic_load(&self->count);
}

/* ---- drain ---- */

void connections_begin_drain(struct connections *self)
{
    int64_t not_yet = 0;
    (void)atomic_compare_exchange_strong(&self->draining_ns, &not_yet, monotonic_ns());
}

/* Either the drain sees here that an answer was made before it, or the answer sees that it has begun. */
bool connection_is_last_answer(struct connection *connection, bool must_close)
{
    atomic_store(&connection->is_kept, true);
    if (must_close || atomic_load(&connection->all->draining_ns) != 0) {
        atomic_store(&connection->is_kept, false);
        return true;
    }
    return false;
}

static bool is_untold(struct connections *self, struct connection *connection)
{
    const enum connection_stage stage = atomic_load(&connection->stage);
    const bool may_send =
        atomic_load(&connection->requests) == 0 || atomic_load(&connection->is_kept);

    return connection->opened_ns < atomic_load(&self->draining_ns)
        && ((stage == CONNECTION_HEAD && may_send)
            || (stage == CONNECTION_BUSY && atomic_load(&connection->is_kept)));
}

/* Every connection that rests has its end: by an answer, or when the grace is over. */
static bool is_open(struct connections *self, struct connection *connection)
{
    (void)self;
    return atomic_load(&connection->stage) != CONNECTION_CUT;
}

static bool await_none(struct connections *self, int64_t deadline_ns,
                       bool (*is_one)(struct connections *, struct connection *))
{
    const struct timespec pause = timespec_from_ns(DRAIN_PAUSE_MS * (int64_t)NS_PER_MS);

    for (;;) {
        bool any = false;
        pthread_mutex_lock(&self->lock);
        for (struct connection *at = self->first; at != NULL && !any; at = at->next) {
            any = is_one(self, at);
        }
        pthread_mutex_unlock(&self->lock);
        if (!any || monotonic_ns() > deadline_ns) {
            return !any;
        }
        (void)nanosleep(&pause, NULL);
    }
}

void connections_await_told(struct connections *self)
{
    const int64_t grace_ns = DRAIN_GRACE_S * NS_PER_S + 2 * TICK_MS * (int64_t)NS_PER_MS;
    (void)await_none(self, atomic_load(&self->draining_ns) + grace_ns, is_untold);
}

bool connections_drain(struct connections *self, int64_t deadline_ns)
{
    return await_none(self, deadline_ns, is_open);
}

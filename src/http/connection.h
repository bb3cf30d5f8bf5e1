/*
 * The connections of one server: how many, from where, and how long each may take. libmicrohttpd's
 * time-out is inactivity only, and over its limit it resets without a word; here a request's head
 * and body have deadlines in total. At a limit the oldest connection that rests gives way to a new
 * one; where all are at work, who comes is answered 503.
 */
#pragma once

#include "base/error.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <netinet/in.h>

enum {
    CONNECTIONS_MAX = 20000, /* the highest limit there is */
    CONNECTIONS_SPARE = 64,  /* accepted over the limit, to be answered 503 */
    BODY_INLINE = 4096,
};

struct connections;

enum connection_stage {
    CONNECTION_HEAD, /* awaits a request, or receives its head */
    CONNECTION_BODY, /* receives its body */
    CONNECTION_BUSY, /* works on it, answers */
    CONNECTION_CUT,  /* was too slow: nothing is answered any more */
};

struct connection {
    struct connections *all;
    struct connection *next;
    struct connection *previous;
    int fd;
    struct in6_addr address;
    bool over_limit;
    _Atomic enum connection_stage stage;
    _Atomic int64_t since_ns;  /* when the stage began; HEAD after the first: 0 until bytes came */
    _Atomic unsigned requests; /* answered so far */
    _Atomic bool in_handshake; /* of TLS: no byte of a request can have come */
    _Atomic bool is_kept;      /* the last answer, or the one being sent, did not tell its end */

    int64_t idle_timeout_s; /* that libmicrohttpd was told of; its own thread alone */

    struct tls_credentials *credentials; /* NULL: plain HTTP */
    bool peer_is_good;                   /* its certificate was looked at, if one is asked for */

    /* The request at hand; the connection's thread alone. */
    const struct route *route;
    size_t body_limit;
    size_t body_length;
    bool body_too_large;
    int64_t received_ns;
    char *body; /* body_inline or memory of its own */
    char body_inline[BODY_INLINE + 1];

    /* Under the list's lock: */
    int64_t opened_ns; /* since when a request may come: its accept, or the end of its handshake */
    uint64_t bytes_before; /* what had arrived when the last request's end was noticed */
    unsigned requests_before;
    bool resting; /* awaited a request, of which nothing had come, when last looked at */
};

struct connections_limits {
    unsigned limit; /* CONNECTIONS_MAX at most */
    unsigned limit_per_address;
    int64_t head_timeout_s; /* a TLS handshake included */
    int64_t body_timeout_s;
};

struct connections_options {
    bool are_encrypted; /* TLS: who is too slow is cut without a word */
    struct connections_limits limits;
};

/* Starts the deadline thread. The caller owns *out. */
MUST_CHECK bool connections_new(const struct connections_options *options, struct connections **out,
                                struct error *err);

/* After the last connection was removed. */
void connections_free(struct connections *connections);

/* From now on these hold, for the connections that are there, too; none of them is cut for it. */
void connections_set_limits(struct connections *connections,
                            const struct connections_limits *limits);

/* False: not even a place to be answered 503 is left. */
bool connections_have_place(struct connections *connections);

/* A connection that was accepted; `address` is its peer's, IPv4 mapped, zero for a Unix socket. */
struct connection *connections_add(struct connections *connections, int fd,
                                   const struct in6_addr *address);
void connections_remove(struct connection *connection);

/* The connection's TLS handshake is over: what comes from now on is a request. Its own thread. */
void connection_end_handshake(struct connection *connection);

/* Moves to the stage, unless the deadline thread has cut the connection: then false. */
bool connection_enter(struct connection *connection, enum connection_stage from,
                      enum connection_stage to);

/* Cuts those whose TLS handshake is under way. True if there are any left, cut or not. */
bool connections_cut_handshakes(struct connections *connections);

unsigned connections_count(const struct connections *connections);

/* From now on every answer ends its connection, and one that rests for a second is closed. Once is
 * enough. */
void connections_begin_drain(struct connections *connections);

/* Whether the answer that is about to be sent must tell the connection's end: `must_close`, or the drain
 * has begun. Its own thread. */
bool connection_is_last_answer(struct connection *connection, bool must_close);

/* Waits until every connection that was open when the drain began has been told its end, is at work on
 * an answer that will, or is cut: little more than a second. */
void connections_await_told(struct connections *connections);

/* True once there is none but what was cut; false at the deadline. */
MUST_CHECK bool connections_drain(struct connections *connections, int64_t deadline_ns);

/*
 * The HTTP edge: two servers, public and admin, each with its table of routes. HTTP ends at
 * core/service.h.
 *
 * Threads: libmicrohttpd's, one per connection, and one that enforces the deadlines.
 */
#pragma once

#include "base/error.h"
#include "http/site.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct server;

enum server_role { SERVER_PUBLIC, SERVER_ADMIN };

/* What may change while it serves. */
struct server_limits {
    unsigned connections;             /* at once; over it 503 */
    unsigned connections_per_address; /* likewise */
    int64_t head_timeout_s;           /* for a whole request head */
    int64_t body_timeout_s;           /* for a whole body */
    int64_t idle_timeout_s;           /* between two requests of a connection */
    unsigned requests_per_s;          /* of one address to limited routes; 0: no limit */
    unsigned requests_burst;
    const char *const *trusted_proxies; /* "ADDRESS" or "ADDRESS/BITS", 64 at most */
    size_t trusted_proxy_count;
    bool forwarded_by_rfc7239; /* they set Forwarded, else X-Forwarded-For */
};

struct server_options {
    enum server_role role;
    const struct sockaddr *address; /* where to listen; port 0: any */
    socklen_t address_length;
    int passed_fd;   /* listens there already, and is the server's from now on; -1: none */
    struct tls *tls; /* NULL: plain HTTP */
    struct server_limits limits; /* read at the start alone */
};

/* Listens and serves. Fails with CONFIG if the address cannot be had. Borrows both arguments for
 * the server's life. */
MUST_CHECK bool server_start(const struct server_options *options, const struct site *site,
                             struct server **server_out, struct error *err);

/* What begins from now on is held to these: a connection, a request, a wait. The proxies' addresses are
 * good ones. */
void server_set_limits(struct server *server, const struct server_limits *limits);

/* Where it listens, as a URL ("https://127.0.0.1:8080", "unix:/path"), with the real port. */
const char *server_address(const struct server *server);

unsigned server_connections(const struct server *server);
unsigned server_connections_max(const struct server *server);

/* Requests that were answered 429. */
uint64_t server_rate_limited(const struct server *server);

/* From now on each answer has Connection: close, so that no client counts on a connection. It is
 * served as before. */
void server_begin_drain(struct server *server);

/* Goes on so until every connection that rested has been told, a second at most; then stops accepting,
 * and answers what is in flight. True when all of it was answered before `deadline_ns` (monotonic).
 * Who connects after that is refused, unless the socket was passed: then they wait in its queue, for
 * whoever has it next. */
bool server_drain(struct server *server, int64_t deadline_ns);

/* Ends every connection, frees. */
void server_stop(struct server *server);

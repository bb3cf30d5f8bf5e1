/* libmicrohttpd's callbacks, and a server's life. */
#include "http/server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <gnutls/abstract.h>
#include <microhttpd.h>

#include "base/clock.h"
#include "base/crash_point.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/memory.h"
#include "http/client_address.h"
#include "http/connection.h"
#include "http/header_gate.h"
#include "http/listener.h"
#include "http/rate_limit.h"
#include "http/routes.h"
#include "http/tls_session.h"
#include "http/traceparent.h"

enum {
    HANDSHAKES_END_S = 5,
    SETTLE_MS = 50,        /* what was accepted at the last moment is on the list by then */
    POOL_SIZE = 48 * 1024, /* above HEAD_MAX, so that it is we who refuse a large head */
#ifdef SANITIZED
    STACK_SIZE = 2 * 1024 * 1024,
#else
    STACK_SIZE = 256 * 1024,
#endif
};

struct server {
    const struct server_options *options;
    const struct site *site;
    struct connections *connections;
    struct MHD_Daemon *daemon;
    struct rate_limit *rate_limit;
    _Atomic unsigned connections_max;
    _Atomic int64_t idle_timeout_s;
    pthread_mutex_t proxies_lock;
    struct trusted_proxies proxies;
    _Atomic uint64_t rate_limited;
    _Atomic bool is_closing;  /* who comes is not taken any more */
    _Atomic bool is_entering; /* somebody was taken and is not in the list yet */
    char address[ADDRESS_MAX];
};

/* ---- answers ---- */

static void free_body(void *body_and_length)
{
    struct reply *reply = body_and_length;
    reply_clear(reply);
    free(reply);
}

static enum MHD_Result send_reply(struct connection *state, struct MHD_Connection *connection,
                                  struct reply *reply, bool must_close)
{
    const bool close = connection_is_last_answer(state, must_close);
    const int status = reply->status;
    char retry_after[16];
    struct reply *owned = xcalloc(1, sizeof(*owned));

    *owned = *reply;
    owned->etag = reply->etag != NULL ? owned->etag_text : NULL;
    reply->body = NULL;
    struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback_cls(
        owned->body_length, owned->body, free_body, owned);
    if (response == NULL) {
        free_body(owned);
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, "Content-Type", owned->content_type);
    (void)MHD_add_response_header(response, "Cache-Control",
                                  owned->cache_control != NULL ? owned->cache_control : "no-store");
    if (owned->etag != NULL) {
        (void)MHD_add_response_header(response, "ETag", owned->etag);
    }
    if (owned->allow != NULL) {
        (void)MHD_add_response_header(response, "Allow", owned->allow);
    }
    if (owned->retry_after_s != 0) {
        (void)snprintf(retry_after, sizeof(retry_after), "%d", owned->retry_after_s);
        (void)MHD_add_response_header(response, "Retry-After", retry_after);
    }
    for (const struct reply_header *header = owned->headers; header != NULL && header->name != NULL;
         header++) {
        (void)MHD_add_response_header(response, header->name, header->value);
    }
    if (close) {
        (void)MHD_add_response_header(response, "Connection", "close");
    }
    const enum MHD_Result result = MHD_queue_response(connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- a request's first part ---- */

static bool check_length(struct MHD_Connection *connection, const struct route *route,
                         struct error *err)
{
    const char *length =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    if (length == NULL) {
        return true;
    }
    if (length[0] == '\0' || strspn(length, "0123456789") != strlen(length)) {
        return fail(err, ERROR_INVALID_FRAMING, "Content-Length is not a number");
    }
    if (strtoull(length, NULL, 10) > route->body_limit) {
        return fail(err, ERROR_TOO_LARGE, "the body is larger than %zu bytes", route->body_limit);
    }
    return true;
}

/* application/json, perhaps with charset=utf-8 (RFC 8259 11 knows no other). */
static bool check_type(struct MHD_Connection *connection, struct error *err)
{
    static const char json[] = "application/json";
    const char *type =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE);

    if (type != NULL && strncasecmp(type, json, strlen(json)) == 0) {
        type += strlen(json);
        type += strspn(type, " \t");
        if (*type == '\0') {
            return true;
        }
        if (*type == ';') {
            type++;
            type += strspn(type, " \t");
            if (strcasecmp(type, "charset=utf-8") == 0
                || strcasecmp(type, "charset=\"utf-8\"") == 0) {
                return true;
            }
        }
    }
    return fail(err, ERROR_UNSUPPORTED_MEDIA, "Content-Type must be application/json");
}

static bool has_body(struct MHD_Connection *connection)
{
    const char *length =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return length != NULL && strcmp(length, "0") != 0;
}

static gnutls_session_t session_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    return info != NULL ? info->tls_session : NULL;
}

/* libmicrohttpd asks for a certificate and takes any, or none. Refused in the handshake of TLS 1.3,
 * a client has sent its request when the alert comes, and reads a reset; this way it reads why. */
static bool check_peer(struct connection *state, struct MHD_Connection *connection,
                       struct error *err)
{
    if (state->credentials != NULL && !state->peer_is_good) {
        state->peer_is_good =
            tls_session_check_peer(session_of(connection), state->credentials, err);
        return state->peer_is_good;
    }
    return true;
}

/* What can be said before the body: libmicrohttpd takes an answer now or after the whole body. */
static bool accept_head(const struct server *self, struct connection *state,
                        struct MHD_Connection *connection, const char *method, const char *path,
                        const char *version, const char **allow_out, struct error *err)
{
    if (state->over_limit) {
        return fail(err, ERROR_OVERLOADED, "too many connections");
    }
    return check_peer(state, connection, err) && header_gate(connection, method, path, version, err)
        && routes_find(self->options->role, method, path, &state->route, allow_out, err)
        && check_length(connection, state->route, err)
        && (state->route->body_limit == 0 || !has_body(connection) || check_type(connection, err));
}

/* True for a refusal after which it is plain where the next request begins. It is given when the
 * request is at its end: libmicrohttpd closes after any earlier answer. */
static bool leaves_no_doubt(const struct error *err, struct MHD_Connection *connection)
{
    return (err->code == ERROR_NO_ROUTE || err->code == ERROR_METHOD_NOT_ALLOWED)
        && !has_body(connection);
}

/* libmicrohttpd's for all connections is that of its start. */
static void set_idle_timeout(const struct server *self, struct connection *state,
                             struct MHD_Connection *connection)
{
    const int64_t wanted_s = atomic_load_explicit(&self->idle_timeout_s, memory_order_relaxed);

    if (state->idle_timeout_s != wanted_s) {
        state->idle_timeout_s = wanted_s;
        (void)MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT,
                                        (unsigned)wanted_s);
    }
}

static enum MHD_Result begin_request(const struct server *self, struct connection *state,
                                     struct MHD_Connection *connection, const char *method,
                                     const char *path, const char *version)
{
    struct error err;
    const char *allow = NULL;

    log_set_trace(
        traceparent_of(MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "traceparent")));
    set_idle_timeout(self, state, connection);
    state->received_ns = monotonic_ns();
    state->route = NULL;
    atomic_store(&state->is_kept, false);
    atomic_store(&state->since_ns, state->received_ns);
    if (!connection_enter(state, CONNECTION_HEAD, CONNECTION_BODY)) {
        return MHD_NO;
    }
    if (accept_head(self, state, connection, method, path, version, &allow, &err)
        || leaves_no_doubt(&err, connection)) {
        return MHD_YES;
    }
    scoped(reply_clear) struct reply reply = { .status = 0 };
    if (!connection_enter(state, CONNECTION_BODY, CONNECTION_BUSY)) {
        return MHD_NO;
    }
    reply_error(&reply, &err, method, path);
    reply.allow = allow;
    return send_reply(state, connection, &reply, true);
}

/* ---- a request's body ---- */

static void take_body(struct connection *state, const char *data, size_t length)
{
    const size_t limit = state->route->body_limit;

    if (length > limit - state->body_length) {
        state->body_too_large = true; /* only without a Content-Length, and those have no body */
        return;
    }
    if (state->body_length + length > BODY_INLINE && state->body == state->body_inline) {
        state->body = xcalloc(1, limit + 1);
        memcpy(state->body, state->body_inline, state->body_length);
    }
    memcpy(state->body + state->body_length, data, length);
    state->body_length += length;
    state->body[state->body_length] = '\0';
}

/* ---- the answer ---- */

const char *request_header(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

/* The lines of one header as one list (RFC 9110 5.3). */
struct joined {
    const char *name;
    struct text text;
};

static enum MHD_Result join_line(void *context, enum MHD_ValueKind kind, const char *name,
                                 const char *value)
{
    struct joined *joined = context;
    (void)kind;

    if (strcasecmp(name, joined->name) == 0 && value != NULL) {
        text_add(&joined->text, joined->text.length > 0 ? "," : "");
        text_add(&joined->text, value);
    }
    return MHD_YES;
}

static struct trusted_proxies proxies_of(struct server *self)
{
    pthread_mutex_lock(&self->proxies_lock);
    const struct trusted_proxies proxies = self->proxies;
    pthread_mutex_unlock(&self->proxies_lock);
    return proxies;
}

static struct in6_addr client_of(struct server *self, const struct connection *state,
                                 struct MHD_Connection *connection)
{
    const struct trusted_proxies proxies = proxies_of(self);
    char buffer[HEAD_MAX];
    struct joined joined = {
        .name = proxies.by_rfc7239 ? "Forwarded" : "X-Forwarded-For",
        .text = text_over(buffer, sizeof(buffer)),
    };

    if (proxies.count == 0) {
        return state->address;
    }
    (void)MHD_get_connection_values(connection, MHD_HEADER_KIND, join_line, &joined);
    return client_address(&proxies, &state->address, buffer);
}

static bool check_rate(struct server *self, const struct connection *state,
                       const struct request *request, struct error *err)
{
    if (!state->route->limited) {
        return true;
    }
    const struct in6_addr client = client_of(self, state, request->connection);
    if (rate_limit_take(self->rate_limit, &client, request->received_ns)) {
        return true;
    }
    atomic_fetch_add(&self->rate_limited, 1);
    return fail(err, ERROR_RATE_LIMITED, "too many requests from this address");
}

static bool check_secret(const struct site *site, const struct request *request, struct error *err)
{
    const char *secret = request_header(request, "x-client-secret");

    if (secret == NULL) {
        return fail(err, ERROR_UNAUTHORIZED, "the header x-client-secret is missing");
    }
    const struct digest given = sha256(secret, strlen(secret));
    const struct site_settings settings = site_settings(site);
    return digest_equal(&given, &settings.client_secret)
        || fail(err, ERROR_UNAUTHORIZED, "the client secret is wrong");
}

static bool run_endpoint(struct server *self, struct connection *state, struct request *request,
                         struct reply *reply, const char **allow_out, struct error *err)
{
    if (state->route == NULL
        && !routes_find(self->options->role, request->method, request->path, &state->route,
                        allow_out, err)) {
        return false;
    }
    if (state->body_too_large) {
        return fail(err, ERROR_TOO_LARGE, "the body is larger than %zu bytes",
                    state->route->body_limit);
    }
    (void)route_matches(state->route, request->path, request->id);
    return check_rate(self, state, request, err)
        && (!state->route->needs_secret || check_secret(self->site, request, err))
        && state->route->endpoint(self->site, request, reply, err);
}

static enum MHD_Result finish_request(struct server *self, struct connection *state,
                                      struct MHD_Connection *connection, const char *method,
                                      const char *path)
{
    scoped(reply_clear) struct reply reply = { .status = 0 };
    const char *allow = NULL;
    struct error err;
    struct request request = {
        .method = method,
        .path = path,
        .body = state->body,
        .body_length = state->body_length,
        .received_ns = state->received_ns,
        .connection = connection,
    };

    if (!connection_enter(state, CONNECTION_BODY, CONNECTION_BUSY)) {
        return MHD_NO;
    }
    if (!run_endpoint(self, state, &request, &reply, &allow, &err)) {
        reply_error(&reply, &err, method, path);
        reply.allow = allow;
    }
    return send_reply(state, connection, &reply, false);
}

/* ---- libmicrohttpd's callbacks ---- */

static struct connection *state_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info != NULL ? info->socket_context : NULL;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *length, void **request_context)
{
    struct server *self = context;
    struct connection *state = state_of(connection);

    if (state == NULL) {
        return MHD_NO;
    }
    if (*request_context == NULL) {
        *request_context = state;
        return begin_request(self, state, connection, method, url, version);
    }
    if (*length > 0) {
        take_body(state, data, *length);
        *length = 0;
        return MHD_YES;
    }
    return finish_request(self, state, connection, method, url);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **request_context,
                         enum MHD_RequestTerminationCode why)
{
    struct connection *state = state_of(connection);
    (void)context, (void)why;

    if (state == NULL || *request_context == NULL) {
        return;
    }
    CRASH_POINT(ANSWER_SENT);
    log_set_trace("");
    explicit_bzero(state->body, state->body_length); /* codes and secrets do not stay */
    state->body_length = 0;
    state->body_too_large = false;
    atomic_store(&state->since_ns, 0);
    atomic_fetch_add(&state->requests, 1);
    (void)(connection_enter(state, CONNECTION_BUSY, CONNECTION_HEAD)
           || connection_enter(state, CONNECTION_BODY, CONNECTION_HEAD));
    *request_context = NULL;
}

static struct in6_addr peer_of(const struct sockaddr *address)
{
    struct in6_addr peer = IN6ADDR_ANY_INIT;

    if (address != NULL && address->sa_family == AF_INET6) {
        memcpy(&peer, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr,
               sizeof(peer));
    } else if (address != NULL && address->sa_family == AF_INET) {
        peer.s6_addr[10] = peer.s6_addr[11] = 0xff;
        memcpy(&peer.s6_addr[12], &((const struct sockaddr_in *)(const void *)address)->sin_addr,
               4);
    }
    return peer;
}

static int on_handshake(gnutls_session_t session, unsigned type, unsigned when, unsigned incoming,
                        const gnutls_datum_t *message)
{
    (void)type, (void)when, (void)message;
    if (incoming) {
        connection_end_handshake(gnutls_session_get_ptr(session));
    }
    return 0;
}

/* Before the handshake. Without a session, which does not happen, it fails: see no_certificate(). */
static void begin_tls(struct connection *state, struct tls *tls, gnutls_session_t session)
{
    state->credentials = tls_current(tls);
    if (session != NULL) {
        tls_session_prepare(session, state->credentials);
        gnutls_session_set_ptr(session, state);
        gnutls_handshake_set_hook_function(session, GNUTLS_HANDSHAKE_FINISHED, GNUTLS_HOOK_POST,
                                           on_handshake);
    }
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct server *self = context;

    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (*socket_context != NULL) {
            struct tls_credentials *credentials =
                ((struct connection *)*socket_context)->credentials;
            connections_remove(*socket_context);
            tls_credentials_release(credentials);
            *socket_context = NULL;
        }
        return;
    }
    const union MHD_ConnectionInfo *fd =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    const union MHD_ConnectionInfo *address =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct in6_addr peer = peer_of(address != NULL ? address->client_addr : NULL);
    struct connection *state = connections_add(self->connections, fd->connect_fd, &peer);
    set_idle_timeout(self, state, connection);
    if (self->options->tls != NULL) {
        begin_tls(state, self->options->tls, session_of(connection));
    }
    *socket_context = state;
    atomic_store(&self->is_entering, false);
}

/* libmicrohttpd's one accepting thread; on_connection() follows in it. */
static enum MHD_Result on_accept(void *context, const struct sockaddr *address, socklen_t length)
{
    struct server *self = context;
    (void)address, (void)length;

    atomic_store(&self->is_entering, true);
    if (atomic_load(&self->is_closing) || !connections_have_place(self->connections)) {
        atomic_store(&self->is_entering, false);
        return MHD_NO;
    }
    return MHD_YES;
}

/* The path stays as it was sent: what is compared is what is shown. */
static size_t keep_escapes(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context, (void)connection;
    return strlen(text);
}

static void on_log(void *context, const char *format, va_list args)
{
    (void)context, (void)format, (void)args; /* it speaks of clients that went away */
}

/* ---- start and stop ---- */

/* libmicrohttpd wants a certificate of its own; every session has credentials from begin_tls(). */
static int no_certificate(gnutls_session_t session, const struct gnutls_cert_retr_st *asked,
                          gnutls_pcert_st **certificates, unsigned *count,
                          gnutls_ocsp_data_st **ocsp, unsigned *ocsp_count, gnutls_privkey_t *key,
                          unsigned *flags)
{
    (void)session, (void)asked, (void)certificates, (void)count;
    (void)ocsp, (void)ocsp_count, (void)key, (void)flags;
    return -1;
}

static struct MHD_Daemon *start_daemon(struct server *self, int fd)
{
    const bool has_tls = self->options->tls != NULL;
    const unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION
                         | MHD_USE_POLL | MHD_USE_ITC | MHD_USE_TURBO | MHD_USE_ERROR_LOG
                         | (has_tls ? MHD_USE_TLS : 0);
    const struct MHD_OptionItem tls_options[] = {
        { MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(intptr_t)tls_priorities },
        { MHD_OPTION_HTTPS_CERT_CALLBACK2, 0, (void *)(intptr_t)no_certificate },
        { MHD_OPTION_END, 0, NULL },
    };
    const struct MHD_OptionItem options[] = {
        { MHD_OPTION_EXTERNAL_LOGGER, (intptr_t)on_log, NULL },
        { MHD_OPTION_LISTEN_SOCKET, fd, NULL },
        { MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX + CONNECTIONS_SPARE, NULL },
        { MHD_OPTION_CONNECTION_TIMEOUT, (intptr_t)self->options->limits.idle_timeout_s, NULL },
        { MHD_OPTION_CONNECTION_MEMORY_LIMIT, POOL_SIZE, NULL },
        { MHD_OPTION_THREAD_STACK_SIZE, STACK_SIZE, NULL },
        { MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)on_completed, self },
        { MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, self },
        { MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)keep_escapes, NULL },
        { MHD_OPTION_END, 0, NULL },
    };
    return MHD_start_daemon(flags, 0, on_accept, self, on_request, self, MHD_OPTION_ARRAY, options,
                            has_tls ? MHD_OPTION_ARRAY : MHD_OPTION_END, tls_options,
                            MHD_OPTION_END);
}

static bool parse_proxies(const struct server_limits *limits, struct trusted_proxies *proxies_out,
                          struct error *err)
{
    *proxies_out = (struct trusted_proxies){ .by_rfc7239 = limits->forwarded_by_rfc7239 };
    for (size_t i = 0; i < limits->trusted_proxy_count && i < TRUSTED_PROXIES_MAX; i++) {
        if (!address_prefix_parse(limits->trusted_proxies[i],
                                  &proxies_out->prefixes[proxies_out->count++])) {
            return fail(err, ERROR_CONFIG, "%s is no address", limits->trusted_proxies[i]);
        }
    }
    return true;
}

static struct connections_limits connections_limits_of(const struct server_limits *limits)
{
    return (struct connections_limits){ .limit = limits->connections,
                                        .limit_per_address = limits->connections_per_address,
                                        .head_timeout_s = limits->head_timeout_s,
                                        .body_timeout_s = limits->body_timeout_s };
}

static void note_limits(struct server *self, const struct server_limits *limits,
                        const struct trusted_proxies *proxies)
{
    atomic_store(&self->connections_max, limits->connections);
    atomic_store(&self->idle_timeout_s, limits->idle_timeout_s);
    pthread_mutex_lock(&self->proxies_lock);
    self->proxies = *proxies;
    pthread_mutex_unlock(&self->proxies_lock);
}

void server_set_limits(struct server *self, const struct server_limits *limits)
{
    const struct connections_limits of_connections = connections_limits_of(limits);
    struct trusted_proxies proxies;
    struct error err;

    const bool parsed = parse_proxies(limits, &proxies, &err);
    assert(parsed);
    (void)parsed;
    note_limits(self, limits, &proxies);
    connections_set_limits(self->connections, &of_connections);
    rate_limit_set(self->rate_limit, limits->requests_per_s, limits->requests_burst);
}

static bool open_listener(const struct server_options *options, int *fd_out,
                          char url_out[static ADDRESS_MAX], struct error *err)
{
    const char *scheme = options->tls != NULL ? "https" : "http";

    if (options->passed_fd < 0) {
        return listener_open(options->address, options->address_length, scheme, fd_out, url_out,
                             err);
    }
    *fd_out = options->passed_fd;
    return listener_check(options->passed_fd, options->address, options->address_length, scheme,
                          url_out, err);
}

static struct server *server_new(const struct server_options *options, const struct site *site)
{
    struct server *self = xcalloc(1, sizeof(*self));

    self->options = options;
    self->site = site;
    self->rate_limit =
        rate_limit_new(options->limits.requests_per_s, options->limits.requests_burst);
    pthread_mutex_init(&self->proxies_lock, NULL);
    return self;
}

static void server_free(struct server *self)
{
    rate_limit_free(self->rate_limit);
    pthread_mutex_destroy(&self->proxies_lock);
    free(self);
}

bool server_start(const struct server_options *options, const struct site *site,
                  struct server **server_out, struct error *err)
{
    struct server *self = server_new(options, site);
    const struct connections_options connections = {
        .are_encrypted = options->tls != NULL,
        .limits = connections_limits_of(&options->limits),
    };
    struct trusted_proxies proxies;
    int fd = -1;

    if (!parse_proxies(&options->limits, &proxies, err)
        || !open_listener(options, &fd, self->address, err)
        || !connections_new(&connections, &self->connections, err)) {
        release_fd(&fd);
        server_free(self);
        return false;
    }
    note_limits(self, &options->limits, &proxies);
    self->daemon = start_daemon(self, fd);
    if (self->daemon == NULL) {
        release_fd(&fd);
        server_stop(self);
        return fail(err, ERROR_INTERNAL, "start an HTTP server");
    }
    *server_out = self;
    return true;
}

const char *server_address(const struct server *self)
{
    return self->address;
}

unsigned server_connections(const struct server *self)
{
    return connections_count(self->connections);
}

unsigned server_connections_max(const struct server *self)
{
    return atomic_load(&self->connections_max);
}

uint64_t server_rate_limited(const struct server *self)
{
    return atomic_load(&self->rate_limited);
}

void server_begin_drain(struct server *self)
{
    connections_begin_drain(self->connections);
}

bool server_drain(struct server *self, int64_t deadline_ns)
{
    const struct timespec settle = timespec_from_ns(SETTLE_MS * (int64_t)NS_PER_MS);

    connections_begin_drain(self->connections);
    connections_await_told(self->connections);
    /* The socket still listens after this. Ours alone, it is closed at once, as its queue would hang;
     * one that was passed to us stays open where it came from, and so does its queue. */
    const int fd = MHD_quiesce_daemon(self->daemon);
    if (fd >= 0) {
        (void)close(fd);
    }
    (void)nanosleep(&settle, NULL);
    return connections_drain(self->connections, deadline_ns);
}

/* libmicrohttpd 0.9.75, stopped while a TLS handshake is under way, turns in circles for ever: the
 * connection's thread ends, and the connection stays in the list that is to become empty. */
static void end_handshakes(struct server *self)
{
    const int64_t deadline_ns = monotonic_ns() + HANDSHAKES_END_S * NS_PER_S;
    const struct timespec pause = timespec_from_ns(2 * NS_PER_MS);

    atomic_store(&self->is_closing, true);
    while ((atomic_load(&self->is_entering) || connections_cut_handshakes(self->connections))
           && monotonic_ns() < deadline_ns) {
        (void)nanosleep(&pause, NULL);
    }
}

void server_stop(struct server *self)
{
    if (self == NULL) {
        return;
    }
    if (self->daemon != NULL) {
        end_handshakes(self);
        MHD_stop_daemon(self->daemon);
    }
    connections_free(self->connections);
    server_free(self);
}

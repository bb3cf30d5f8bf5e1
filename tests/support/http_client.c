#include "support/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/answers.h"

enum { RECEIVED_MAX = 1024 * 1024, PORTS = 65536 };

static struct {
    _Atomic bool has_tls[PORTS];
    const char *certificate;
    const char *key;
} tls;

struct http_client {
    int fd;   /* -1: closed */
    SSL *ssl; /* NULL: plain */
    char server_name[64];
    int port;
    struct http_reply reply;
    char *head; /* the reply's texts */
    char *body;
    size_t length; /* of what was received and belongs to no reply yet */
    size_t size;
    char *received;
};

/* ---- connections ---- */

static bool bind_source(int fd, const char *source)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    return inet_pton(AF_INET, source, &address.sin_addr) == 1
        && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
}

static bool connect_to(int fd, int port)
{
    const struct sockaddr_in address = { .sin_family = AF_INET,
                                         .sin_port = htons((uint16_t)port),
                                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

void http_note_tls(int port, bool has_tls)
{
    tls.has_tls[port] = has_tls;
}

void http_show_certificate(const char *certificate, const char *key)
{
    tls.certificate = certificate;
    tls.key = key;
}

/* Whatever a client may show: level 0 lets weak keys pass. */
static bool show_certificate(SSL *ssl)
{
    SSL_set_security_level(ssl, 0);
    return tls.certificate == NULL
        || (SSL_use_certificate_file(ssl, tls.certificate, SSL_FILETYPE_PEM) == 1
            && SSL_use_PrivateKey_file(ssl, tls.key, SSL_FILETYPE_PEM) == 1);
}

static void note_server_name(struct http_client *self)
{
    const X509 *certificate = SSL_get0_peer_certificate(self->ssl);
    (void)X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName,
                                    self->server_name, sizeof(self->server_name));
}

static bool begin_tls(struct http_client *self)
{
    const struct timeval limit = { .tv_sec = HTTP_DEADLINE_S };
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    (void)setsockopt(self->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    self->ssl = SSL_new(context);
    SSL_CTX_free(context);
    if (!show_certificate(self->ssl) || SSL_set_fd(self->ssl, self->fd) != 1
        || SSL_connect(self->ssl) != 1) {
        return false;
    }
    note_server_name(self);
    return true;
}

const char *http_server_name(const struct http_client *self)
{
    return self->server_name;
}

static struct http_client *connect_from(const char *source, int port, bool has_tls)
{
    struct http_client *self = xcalloc(1, sizeof(*self));

    self->port = port;
    self->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (self->fd >= 0
        && (!bind_source(self->fd, source) || !connect_to(self->fd, port)
            || (has_tls && !begin_tls(self)))) {
        release_fd(&self->fd);
        self->fd = -1;
    }
    return self;
}

struct http_client *http_connect_from(const char *source, int port)
{
    return connect_from(source, port, tls.has_tls[port]);
}

struct http_client *http_connect_plain(int port)
{
    return connect_from("127.0.0.1", port, false);
}

struct http_client *http_connect(int port)
{
    return http_connect_from("127.0.0.1", port);
}

void http_close(struct http_client *self)
{
    if (self == NULL) {
        return;
    }
    if (self->ssl != NULL) {
        (void)SSL_shutdown(self->ssl);
        SSL_free(self->ssl);
    }
    release_fd(&self->fd);
    free(self->head);
    free(self->body);
    free(self->received);
    free(self);
}

void http_abort(struct http_client *self)
{
    const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
    (void)setsockopt(self->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    http_close(self);
}

bool http_is_connected(const struct http_client *self)
{
    return self->fd >= 0;
}

/* ---- bytes ---- */

static ssize_t send_some(struct http_client *self, const void *bytes, size_t length)
{
    return self->ssl != NULL ? SSL_write(self->ssl, bytes, (int)length)
                             : send(self->fd, bytes, length, MSG_NOSIGNAL);
}

static ssize_t receive_some(struct http_client *self, void *bytes, size_t size)
{
    return self->ssl != NULL ? SSL_read(self->ssl, bytes, (int)size)
                             : recv(self->fd, bytes, size, 0);
}

bool http_send(struct http_client *self, const void *bytes, size_t length)
{
    const char *at = bytes;

    while (length > 0 && self->fd >= 0) {
        const ssize_t sent = send_some(self, at, length);
        if (sent <= 0) {
            return false;
        }
        at += sent;
        length -= (size_t)sent;
    }
    return self->fd >= 0;
}

bool http_send_text(struct http_client *self, const char *text)
{
    return http_send(self, text, strlen(text));
}

/* Waits for bytes, a close or the deadline. */
static bool wait_readable(const struct http_client *self, int64_t deadline_ns)
{
    struct pollfd readable = { .fd = self->fd, .events = POLLIN };
    const int64_t left_ms = (deadline_ns - monotonic_ns() + NS_PER_MS - 1) / NS_PER_MS;
    if (self->ssl != NULL && SSL_pending(self->ssl) > 0) {
        return true;
    }
    return self->fd >= 0 && left_ms > 0 && poll(&readable, 1, (int)left_ms) > 0;
}

/* Receives more. False at the end of the stream and at the deadline. */
static bool receive_more(struct http_client *self, int64_t deadline_ns)
{
    if (self->size - self->length < 16384) {
        self->size = self->size * 2 + 32768;
        self->received = realloc(self->received, self->size);
    }
    if (self->received == NULL || self->length > RECEIVED_MAX
        || !wait_readable(self, deadline_ns)) {
        return false;
    }
    const ssize_t count =
        receive_some(self, self->received + self->length, self->size - self->length);
    if (count <= 0) {
        return false;
    }
    self->length += (size_t)count;
    return true;
}

/* Moves the first `length` received bytes to a text of their own. */
static void take_received(struct http_client *self, size_t length, char **text_out)
{
    free(*text_out);
    *text_out = xcalloc(length + 1, 1);
    memcpy(*text_out, self->received, length);
    self->length -= length;
    memmove(self->received, self->received + length, self->length);
}

/* ---- replies ---- */

static bool receive_head(struct http_client *self, int64_t deadline_ns)
{
    for (;;) {
        const char *end =
            self->length > 0 ? memmem(self->received, self->length, "\r\n\r\n", 4) : NULL;
        if (end != NULL) {
            take_received(self, (size_t)(end - self->received) + 4, &self->head);
            return true;
        }
        if (!receive_more(self, deadline_ns)) {
            return false;
        }
    }
}

static bool receive_body(struct http_client *self, const char *method, int64_t deadline_ns)
{
    const char *length = http_header(&self->reply, "Content-Length");
    const bool has_none = strcmp(method, "HEAD") == 0 || self->reply.status == 304;

    self->reply.body_length = has_none ? 0 : strtoul(length, NULL, 10);
    while (self->length < self->reply.body_length) {
        if (!receive_more(self, deadline_ns)) {
            return false;
        }
    }
    take_received(self, self->reply.body_length, &self->body);
    self->reply.body = self->body;
    return true;
}

const struct http_reply *http_receive(struct http_client *self, const char *method)
{
    static const struct http_reply none = { .head = "", .body = "" };
    const int64_t deadline_ns = monotonic_ns() + HTTP_DEADLINE_S * NS_PER_S;

    self->reply = none;
    if (!receive_head(self, deadline_ns)) {
        return &self->reply;
    }
    self->reply.head = self->head;
    if (sscanf(self->head, "HTTP/1.%*1[01] %3d ", &self->reply.status) != 1
        || !receive_body(self, method, deadline_ns)) {
        self->reply = none;
    }
    return &self->reply;
}

const char *http_header(const struct http_reply *reply, const char *name)
{
    static _Thread_local char value[1024];
    const size_t length = strlen(name);
    const char *found = "";

    for (const char *line = strstr(reply->head, "\r\n"); line != NULL;
         line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
            const char *begin = line + length + 1 + strspn(line + length + 1, " ");
            (void)snprintf(value, sizeof(value), "%.*s",
                           found == value ? 9 : (int)strcspn(begin, "\r"),
                           found == value ? "(several)" : begin);
            found = value;
        }
    }
    return found;
}

/* ---- requests ---- */

const struct http_reply *http_request(struct http_client *self, const char *method,
                                      const char *target, const char *headers, const char *body)
{
    scoped(release_memory) char *request = NULL;
    char length[48] = "";

    if (body != NULL) {
        (void)snprintf(length, sizeof(length), "Content-Length: %zu\r\n", strlen(body));
    }
    if (asprintf(&request, "%s %s HTTP/1.1\r\nHost: issuer.example\r\n%s%s\r\n%s", method, target,
                 headers != NULL ? headers : "", length, body != NULL ? body : "")
        < 0) {
        abort();
    }
    (void)http_send_text(self, request); /* who refuses early may have closed: read what it said */
    const struct http_reply *reply = http_receive(self, method);
    answers_note(self->port, method, target, reply);
    return reply;
}

const struct http_reply *http_post_json(struct http_client *self, const char *target,
                                        const char *body)
{
    return http_request(self, "POST", target, "Content-Type: application/json\r\n", body);
}

const struct http_reply *http_get(struct http_client *self, const char *target)
{
    return http_request(self, "GET", target, NULL, NULL);
}

/* ---- the end ---- */

/* What a server sends in clear where TLS is due is no end, whatever OpenSSL makes of it. */
static bool has_plain_bytes(const struct http_client *self)
{
    enum { CHANGE_CIPHER_SPEC = 20, APPLICATION_DATA = 23 }; /* RFC 8446 5.1 */
    unsigned char type = CHANGE_CIPHER_SPEC;

    return self->ssl != NULL && recv(self->fd, &type, 1, MSG_PEEK | MSG_DONTWAIT) == 1
        && (type < CHANGE_CIPHER_SPEC || type > APPLICATION_DATA);
}

bool http_is_closed_by_server(struct http_client *self)
{
    char byte;
    return self->fd >= 0 && self->length == 0
        && wait_readable(self, monotonic_ns() + HTTP_DEADLINE_S * NS_PER_S)
        && !has_plain_bytes(self) && receive_some(self, &byte, 1) <= 0;
}

bool http_ends(struct http_client *self)
{
    const int64_t deadline_ns = monotonic_ns() + HTTP_DEADLINE_S * NS_PER_S;

    do {
        self->length = 0;
    } while (receive_more(self, deadline_ns));
    return self->fd >= 0 && monotonic_ns() < deadline_ns;
}

bool http_is_quiet(struct http_client *self, int milliseconds)
{
    return self->fd >= 0 && self->length == 0
        && !wait_readable(self, monotonic_ns() + milliseconds * (int64_t)NS_PER_MS);
}

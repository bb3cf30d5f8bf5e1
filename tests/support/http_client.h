/*
 * A small HTTP/1.1 client that sends what it is told, right or wrong, to a port of 127.0.0.1, and
 * reads answers to the letter: a Content-Length, no chunks, nothing after the body that was not
 * another answer.
 *
 * A client owns its last reply. What does not arrive within HTTP_DEADLINE_S is a reply of status 0.
 *
 * Over TLS the server's certificate is taken as it comes: http_server_name() tells which it was.
 *
 * Threads: one client, one thread. What is told of TLS holds for all of them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { HTTP_DEADLINE_S = 60 };

struct http_client;

struct http_reply {
    int status;       /* 0: none came: the connection was closed, or the deadline passed */
    const char *head; /* status line and headers, each with its CR LF; a NUL follows */
    const char *body; /* a NUL follows */
    size_t body_length;
};

/* Never NULL: a connection that is refused is a client that is closed. */
struct http_client *http_connect(int port);

/* The same from another loopback address ("127.0.0.2"). */
struct http_client *http_connect_from(const char *source, int port);

/* From now on connections to the port are TLS, or they are not: as the server says. */
void http_note_tls(int port, bool has_tls);

/* What TLS connections show from now on when they are asked for a certificate: the paths of its PEM and
 * of its key's. NULL, NULL: nothing. Borrowed. */
void http_show_certificate(const char *certificate, const char *key);

/* The same as http_connect(), without TLS whatever the port. */
struct http_client *http_connect_plain(int port);

/* The common name of the certificate that the server has shown; "" without TLS. */
const char *http_server_name(const struct http_client *client);

/* NULL is fine. */
void http_close(struct http_client *client);

/* Closes with a RST instead of a FIN. */
void http_abort(struct http_client *client);

bool http_is_connected(const struct http_client *client);

/* False if the other side has closed. */
bool http_send(struct http_client *client, const void *bytes, size_t length);
bool http_send_text(struct http_client *client, const char *text);

/* The next reply, its text in place until the next call. `method` is the request's: an answer to
 * HEAD has no body. */
const struct http_reply *http_receive(struct http_client *client, const char *method);

/* Sends a request and receives its reply. `headers` is "Name: value\r\n" any number of times, or
 * NULL; Host is added, as is Content-Length with a `body`, which may be NULL. */
const struct http_reply *http_request(struct http_client *client, const char *method,
                                      const char *target, const char *headers, const char *body);

/* With Content-Type: application/json. */
const struct http_reply *http_post_json(struct http_client *client, const char *target,
                                        const char *body);
const struct http_reply *http_get(struct http_client *client, const char *target);

/* True once the server closes the connection without another byte; waits for it. False if bytes
 * come, or nothing happens for HTTP_DEADLINE_S. */
bool http_is_closed_by_server(struct http_client *client);

/* The same, with whatever comes before the end thrown away. */
bool http_ends(struct http_client *client);

/* True if `milliseconds` pass without a byte and without a close. */
bool http_is_quiet(struct http_client *client, int milliseconds);

/* The value of the reply's only header of that name, until the next call on this thread; "" if
 * there is none, "(several)" if there are several. */
const char *http_header(const struct http_reply *reply, const char *name);

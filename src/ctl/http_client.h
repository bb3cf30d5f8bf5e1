/*
 * A command's HTTP with one server, by libcurl: http and https alone, certificates verified, no redirect
 * followed, no proxy of the environment used.
 */
#pragma once

#include "base/error.h"
#include "base/memory.h"

#include <argp.h>
#include <stddef.h>

enum { HTTP_DEADLINE_MS = 10000, HTTP_ANSWER_MAX = 256 * 1024 };

/* Whom to ask, and as whom. Files are PEM. */
struct http_peer {
    const char *url;     /* "http://host", "https://host", or "unix:/path" for http over a socket */
    const char *ca_file; /* who may vouch for the server; NULL: the system's CAs */
    const char *certificate; /* the client's own; NULL: none */
    const char *key;         /* of it; NULL: in the same file */
    const char *secret_file; /* what a POST has as its x-client-secret; NULL: it has none */
};

/* The options that fill it; their input is a struct http_peer. */
extern const struct argp http_peer_argp;

struct http_client;

/* `peer` is borrowed. The caller frees. */
struct http_client *http_client_new(const struct http_peer *peer);
void http_client_free(struct http_client *http);

DEFINE_RELEASE(release_client, struct http_client, http_client_free)

struct http_answer {
    long status;
    const char *body; /* a NUL follows; the next call's */
    size_t length;
};

struct http_words {
    char text[192];
};

/* The server's own words to what it refuses, ": MESSAGE"; "" if it has none. */
void http_answer_words(const struct http_answer *answer, struct http_words *words_out);

/* Sends a request, with `json` a POST, and receives its answer, whatever its status. Fails with
 * TIMEOUT: no answer within HTTP_DEADLINE_MS, none at all, or one of more than HTTP_ANSWER_MAX
 * bytes; or with CONFIG: the secret cannot be read. */
MUST_CHECK bool http_client_send(struct http_client *http, const char *path, const char *json,
                                 struct http_answer *answer_out, struct error *err);

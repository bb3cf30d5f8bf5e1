/*
 * A command's HTTP with one server, by libcurl: http and https alone, certificates verified, no redirect
 * followed, no proxy of the environment used.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>

enum { HTTP_DEADLINE_MS = 10000, HTTP_ANSWER_MAX = 256 * 1024 };

struct http_client;

/* `url`: "http://host", "https://host", or "unix:/path" for http over a socket; borrowed. The caller
 * frees. */
struct http_client *http_client_new(const char *url);
void http_client_free(struct http_client *http);

struct http_answer {
    long status;
    const char *body; /* a NUL follows; the next call's */
    size_t length;
};

/* Sends a request, with `json` a POST, and receives its answer, whatever its status. Fails with
 * TIMEOUT: no answer within HTTP_DEADLINE_MS, none at all, or one of more than HTTP_ANSWER_MAX
 * bytes. */
MUST_CHECK bool http_client_send(struct http_client *http, const char *path, const char *json,
                                 struct http_answer *answer_out, struct error *err);

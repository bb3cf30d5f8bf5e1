/*
 * A wallet's HTTP with one server, by libcurl: http and https alone, certificates verified, no redirect
 * followed, no proxy of the environment used.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>

enum { WALLET_DEADLINE_MS = 10000, WALLET_ANSWER_MAX = 256 * 1024 };

struct wallet_http;

/* `url`: "http://host", "https://host", or "unix:/path" for http over a socket; borrowed. The caller
 * frees. */
struct wallet_http *wallet_http_new(const char *url);
void wallet_http_free(struct wallet_http *http);

struct wallet_answer {
    long status;
    const char *body; /* a NUL follows; the next call's */
    size_t length;
};

/* Sends a request, with `json` a POST, and receives its answer, whatever its status. Fails with
 * TIMEOUT: no answer within WALLET_DEADLINE_MS, none at all, or one of more than WALLET_ANSWER_MAX
 * bytes. */
MUST_CHECK bool wallet_http_send(struct wallet_http *http, const char *path, const char *json,
                                 struct wallet_answer *answer_out, struct error *err);

/* Answers: what an endpoint fills in, and the one place that turns errors into statuses. */
#pragma once

#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reply_header {
    const char *name;
    const char *value;
};

struct reply {
    int status;
    const char *content_type; /* static */
    char *body;               /* the reply's own, wiped and freed after it was sent */
    size_t body_length;
    const char *cache_control; /* static or the site's; NULL: "no-store" */
    const char *etag;          /* NULL: none; may point into etag_text */
    char etag_text[48];
    const char *allow;                  /* of a 405 */
    int retry_after_s;                  /* of a 503; 0: none */
    const struct reply_header *headers; /* more, up to one without a name; static; NULL: none */
};

/* A body of at most `size` bytes to write into; reply_set_text() then says how much it became. */
struct text reply_text(struct reply *reply, size_t size);

/* Fails with INTERNAL if the text overflowed. */
MUST_CHECK bool reply_set_text(struct reply *reply, int status, const struct text *text,
                               struct error *err);

/* The error as the contract's ErrorResponseDto. Logs it if it is an operator's business. */
void reply_error(struct reply *reply, const struct error *err, const char *method,
                 const char *path);

/* A 408 written straight to a socket on which libmicrohttpd still awaits bytes. */
void reply_send_timeout(int fd);

void reply_clear(struct reply *reply);

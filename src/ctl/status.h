/* issuerctl status: what a running issuerd says of itself, on one screen. */
#pragma once

#include <stdbool.h>

#include "ctl/http_client.h"
#include "jose/json.h"

struct status_options {
    struct http_peer server; /* the admin listener */
    bool json;               /* the server's own words */
    bool watch;              /* each second anew, until a signal */
};

/* What the server says, with nothing in it but what can be shown. Fails with TIMEOUT: no answer, or another
 * one. The caller owns *status_out. */
MUST_CHECK bool status_ask(struct http_client *client, const char *url,
                           struct http_answer *answer_out, cJSON **status_out, struct error *err);

/* Prints it, and returns the exit status: EX_OK it can issue, CTL_REFUSED it cannot, EX_UNAVAILABLE it does
 * not answer. */
int status_run(const struct status_options *options);

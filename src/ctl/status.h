/* issuerctl status: what a running issuerd says of itself, on one screen. */
#pragma once

#include <stdbool.h>

#include "ctl/http_client.h"

struct status_options {
    struct http_peer server; /* the admin listener */
    bool json;               /* the server's own words */
    bool watch;              /* each second anew, until a signal */
};

/* Prints it, and returns the exit status: EX_OK it can issue, CTL_REFUSED it cannot, EX_UNAVAILABLE it does
 * not answer. */
int status_run(const struct status_options *options);

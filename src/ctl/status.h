/* issuerctl status: what a running issuerd says of itself, on one screen. */
#pragma once

#include <stdbool.h>

struct status_options {
    const char *url; /* of the admin listener */
    bool json;       /* the server's own words */
    bool watch;      /* each second anew, until a signal */
};

/* Prints it, and returns the exit status: EX_OK it can issue, CTL_REFUSED it cannot, EX_UNAVAILABLE it does
 * not answer. */
int status_run(const struct status_options *options);

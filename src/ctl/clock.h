/* issuerctl clock: what a running issuerd thinks of its clock, and what an operator does. */
#pragma once

#include <stdbool.h>

#include "ctl/http_client.h"

struct clock_options {
    struct http_peer server; /* the admin listener */
    bool json;               /* the server's own words */
    bool yes;                /* do not ask */
};

/* Both return the exit status: EX_OK the clock is trusted, CTL_REFUSED it is not, or is not to be confirmed,
 * EX_UNAVAILABLE the server does not answer. */
int clock_show(const struct clock_options *options);
int clock_confirm(const struct clock_options *options);

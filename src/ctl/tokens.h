/* issuerctl's commands on tokens that were issued, straight on the store, beside a running issuerd. Each
 * prints, and returns the exit status. */
#pragma once

#include "core/service.h"

struct tokens_options {
    const char *reason; /* revoke; NULL: none */
    bool json;
};

int tokens_revoke(const struct service_options *service, const char *jti,
                  const struct tokens_options *options);

/* What is revoked and has not expired, the last revoked first. */
int tokens_revoked(const struct service_options *service, const struct tokens_options *options);

/*
 * The list of the tokens that are revoked and have not expired, as a JWT of type revoked-tokens+jwt
 * (jose/claims.h). A thread looks at the store twice a second and has the list signed again when it
 * changed, when it has lived half its life, or when the key that signed it signs no more; so a
 * revocation by this issuerd, another one on the same store or issuerctl shows within a second.
 */
#pragma once

#include "base/text.h"
#include "core/committer.h"

struct revocations;

struct revocations_options {
    const char *issuer;
    struct store *store;
    struct signers *signers;
    struct committer *committer;
};

/* Looks once before it returns; what fails then is tried again. Borrows all of it for the list's
 * life. Fails with INTERNAL. */
MUST_CHECK bool revocations_start(const struct revocations_options *options,
                                  struct revocations **revocations_out, struct error *err);
void revocations_stop(struct revocations *revocations);

/* The newest list, from memory. Fails with DEVICE_UNAVAILABLE, OVERLOADED or STORE_UNAVAILABLE,
 * whichever kept a new one from being signed, when there is none that has not expired. Any thread. */
MUST_CHECK bool revocations_print(struct revocations *revocations, int64_t now_s, struct text *text,
                                  struct error *err);

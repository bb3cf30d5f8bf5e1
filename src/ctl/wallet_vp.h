/* A verifiable presentation as a wallet makes it: a JWT VP (VC Data Model 1.1, 6.3.1). */
#pragma once

#include "base/text.h"
#include "ctl/wallet_key.h"

/* Borrowed throughout. */
struct wallet_vp {
    EVP_PKEY *key;
    const struct wallet_did *holder;
    const char *audience;
    const char *nonce;
    const char *const *credentials; /* JWT VCs */
    size_t credential_count;
    int64_t issued_s;
};

enum { WALLET_VP_LIFETIME_S = 300 };

/* Prints the compact JWS into an empty text. Fails with INVALID_REQUEST (too large for `jwt`) or INTERNAL. */
MUST_CHECK bool wallet_vp_print(const struct wallet_vp *vp, struct text *jwt, struct error *err);

/*
 * Whom a wallet's presentation may be from: the trusted issuers, and who resolves their DIDs. Never
 * changes once it is made, and is counted: what began by one trust ends by it.
 *
 * Threads: any.
 */
#pragma once

#include "base/memory.h"
#include "vc/presentation.h"

struct trust_options {
    const char *audience;     /* that presentations are made for; borrowed */
    const char *resolver_url; /* "": did:key and did:jwk alone */
    const struct trusted_issuer *issuers;
    size_t issuer_count;
};

struct trust;

/* Copies what may change. The caller owns the reference. */
struct trust *trust_new(const struct trust_options *options);

/* One more reference; the caller owns it. */
struct trust *trust_share(struct trust *trust);

/* Gives a reference back. NULL is fine. */
void trust_release(struct trust *trust);
DEFINE_RELEASE(release_trust, struct trust, trust_release)

/* True if a trust made of these would be no other. */
bool trust_is(const struct trust *trust, const struct trust_options *options);

/* Live as long as the trust. */
const struct presentation_rules *trust_rules(const struct trust *trust);

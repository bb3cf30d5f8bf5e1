/*
 * Verifiable presentations: a holder's proof that a DID is theirs, and the credentials that a
 * presentation definition asks for. JWT VP and JWT VC (VC Data Model 1.1, 6.3.1).
 *
 * Threads: any.
 */
#pragma once

#include "base/digest.h"
#include "base/error.h"
#include "jose/did.h"
#include "vc/did_resolver.h"

#include <stddef.h>
#include <stdint.h>

enum {
    PRESENTATION_MAX_AGE_S = 300,   /* since `iat` */
    PRESENTATION_MAX_LIFE_S = 3600, /* until `exp`, of one without `iat` */
    PRESENTATION_SKEW_S = 30,
    PRESENTATION_DEADLINE_MS =
        5000, /* no DID is resolved any more, however many issuers there are */
};

struct trusted_issuer {
    const char *did;
    const char *const *types; /* of credentials, besides VerifiableCredential */
    size_t type_count;        /* 0: any */
};

/* Borrowed throughout. */
struct presentation_rules {
    const char *audience;
    const struct trusted_issuer *trusted;
    size_t trusted_count;
    struct did_resolver *resolver; /* NULL: did:key and did:jwk only */
};

struct presentation_request {
    const char *vp;         /* compact JWS */
    const char *nonce;      /* that the VP must carry */
    const char *definition; /* JSON text that definition_parse() has seen; NULL: none */
    const char *submission; /* JSON text; NULL: none */
    int64_t now_s;
    int64_t now_ns; /* monotonic: when the request arrived */
};

struct presentation {
    char holder_did[DID_MAX + 1];
    struct digest
        identity; /* of what was signed: another signature of the same VP is no other VP */
    int64_t usable_until_s; /* it is too old for everyone from then on */
};

/* Fails with PRESENTATION, in words for the wallet's maker, or with RESOLVER_UNAVAILABLE. */
MUST_CHECK bool presentation_verify(const struct presentation_rules *rules,
                                    const struct presentation_request *request,
                                    struct presentation *presentation_out, struct error *err);

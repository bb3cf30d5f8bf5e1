/*
 * A DID's keys: from the DID itself (did:key, did:jwk), or from its document (did:web, did:empe).
 */
#pragma once

#include "base/error.h"
#include "vc/did_resolver.h"

#include <stdint.h>

#include <openssl/types.h>

enum did_purpose {
    DID_AUTHENTICATION,   /* of a holder who signs a presentation (DID Core 5.3.1) */
    DID_ASSERTION_METHOD, /* of an issuer who signs a credential (DID Core 5.3.2) */
};

/* Finds the one verification method that `kid` names, a DID URL of `did` with a fragment, or the
 * fragment with its '#' alone, among those that `did` has for the purpose. `resolver` NULL: none is
 * configured, and only did:key and did:jwk can be found. The caller owns *key_out (EVP_PKEY_free).
 *
 * Fails with INVALID_REQUEST, naming what is wrong: `did` is no DID or of a method that is not
 * served here; `kid` is of another DID, or has a path or a query; the document is of another DID,
 * has no such method, or several, or one that another controls, or one not for the purpose, or with
 * a key that is none of P-256, P-384, secp256k1, Ed25519. As did_resolver_fetch() otherwise. */
MUST_CHECK bool did_find_key(struct did_resolver *resolver, const char *did, const char *kid,
                             enum did_purpose purpose, int64_t now_ns, EVP_PKEY **key_out,
                             struct error *err);

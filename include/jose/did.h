/* Decentralized identifiers: their grammar only (W3C DID Core 3.1). Nothing here resolves one. */
#pragma once

#include <stdbool.h>

enum { DID_MAX = 512 }; /* a did:jwk of a P-256 key has about 200 bytes */

/* True if `did` is a DID of at most DID_MAX bytes: "did:", a lower-case method name, ":" and an
 * identifier whose last segment is not empty. A DID URL (path, query, fragment) is none. */
bool did_is_valid(const char *did);

/* The JOSE signature algorithms that issuerd signs with (RFC 7518 3.1, RFC 9864 2.2), and those of
 * others that it verifies. */
#pragma once

#include <stdbool.h>

enum jose_algorithm {
    JOSE_ALGORITHM_NONE = 0, /* not chosen: the key decides. Never a signature's algorithm */
    JOSE_ES256,
    JOSE_ES384,
    JOSE_RS256,
    JOSE_PS256,
    JOSE_ED25519,
    JOSE_ES256K, /* of wallets (RFC 8812 3.2); nothing here signs with it */
};

/* What issuerd signs with, for messages. */
#define JOSE_ALGORITHM_NAMES "ES256, ES384, RS256, PS256 or Ed25519"

/* What it verifies of others, for messages. */
#define JOSE_VERIFIED_NAMES "ES256, ES384, ES256K, Ed25519 or EdDSA"

/* The bytes of R, and of S, in an ECDSA signature (RFC 7518 3.4): 32 or 48; 0 for the others. */
unsigned jose_ecdsa_half(enum jose_algorithm algorithm);

/* "ES256"; "" for JOSE_ALGORITHM_NONE. Static. */
const char *jose_algorithm_name(enum jose_algorithm algorithm);

/* One that issuerd signs with; JOSE_ALGORITHM_NONE if there is no such name. Names are
 * case-sensitive (RFC 7515 4.1.1). */
enum jose_algorithm jose_algorithm_from_name(const char *name);

/* One that issuerd verifies of others: no RSA, and "EdDSA" as the old name of Ed25519 (RFC 8037 3.1),
 * as no other curve of it is served. JOSE_ALGORITHM_NONE if there is no such name. */
enum jose_algorithm jose_algorithm_verified(const char *name);

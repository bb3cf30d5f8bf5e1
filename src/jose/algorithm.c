/* Names of the signature algorithms, as JWS headers, JWKs and the configuration spell them. */
#include "jose/algorithm.h"

#include <stddef.h>
#include <string.h>

#include "base/memory.h"

static const char *const NAMES[] = {
    [JOSE_ALGORITHM_NONE] = "", [JOSE_ES256] = "ES256", [JOSE_ES384] = "ES384",
    [JOSE_RS256] = "RS256",     [JOSE_PS256] = "PS256", [JOSE_ED25519] = "Ed25519",
    [JOSE_ES256K] = "ES256K",
};

const char *jose_algorithm_name(enum jose_algorithm algorithm)
{
    return NAMES[algorithm];
}

unsigned jose_ecdsa_half(enum jose_algorithm algorithm)
{
    return algorithm == JOSE_ES384                             ? 48
         : algorithm == JOSE_ES256 || algorithm == JOSE_ES256K ? 32
                                                               : 0;
}

static enum jose_algorithm find(const enum jose_algorithm *among, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, NAMES[among[i]]) == 0) {
            return among[i];
        }
    }
    return JOSE_ALGORITHM_NONE;
}

enum jose_algorithm jose_algorithm_from_name(const char *name)
{
    static const enum jose_algorithm SIGNING[] = { JOSE_ES256, JOSE_ES384, JOSE_RS256, JOSE_PS256,
                                                   JOSE_ED25519 };
    return find(SIGNING, COUNT_OF(SIGNING), name);
}

enum jose_algorithm jose_algorithm_verified(const char *name)
{
    static const enum jose_algorithm VERIFIED[] = { JOSE_ES256, JOSE_ES384, JOSE_ES256K,
                                                    JOSE_ED25519 };
    return strcmp(name, "EdDSA") == 0 ? JOSE_ED25519 : find(VERIFIED, COUNT_OF(VERIFIED), name);
}

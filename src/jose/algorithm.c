/* Names of the signature algorithms, as JWS headers, JWKs and the configuration spell them. */
#include "jose/algorithm.h"

#include <stddef.h>
#include <string.h>

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
    return algorithm == JOSE_ES256 || algorithm == JOSE_ES256K ? 32
         : algorithm == JOSE_ES384                             ? 48
                                                               : 0;
}

enum jose_algorithm jose_algorithm_from_name(const char *name)
{
    for (size_t i = JOSE_ES256; i <= JOSE_ED25519; i++) {
        if (strcmp(name, NAMES[i]) == 0) {
            return (enum jose_algorithm)i;
        }
    }
    return JOSE_ALGORITHM_NONE;
}

/* The providers by scheme, and what they share. A new device is one line in this table. */
#include "hsm/key_provider.h"

#include <string.h>

#include "base/memory.h"
#include "jose/jwk.h"

static const struct key_provider *const providers[] = {
    &pkcs11_provider,
    &tpm_provider,
    &software_provider,
};

static bool has_scheme(const char *uri, const char *scheme)
{
    const size_t length = strlen(scheme);
    return strncmp(uri, scheme, length) == 0 && uri[length] == ':';
}

const struct key_provider *key_provider_for(const char *uri)
{
    for (size_t i = 0; i < COUNT_OF(providers); i++) {
        if (has_scheme(uri, providers[i]->scheme)) {
            return providers[i];
        }
    }
    return NULL;
}

bool device_key_settle_algorithm(struct device_key *key, enum jose_algorithm wanted,
                                 struct error *err)
{
    struct jwk jwk;

    key->algorithm =
        wanted == JOSE_ALGORITHM_NONE ? jwk_default_algorithm(key->public_key) : wanted;
    if (key->algorithm == JOSE_ALGORITHM_NONE) {
        return fail(err, ERROR_KEY_POLICY,
                    "%s: neither a P-256, a P-384, an Ed25519 nor an RSA key", key->description);
    }
    /* A key that cannot be published with its algorithm cannot sign with it either. */
    return jwk_from_key(key->public_key, key->algorithm, &jwk, err)
        || error_context(err, "%s", key->description);
}

/*
 * Makes the tokens and keys that tests sign with, by the provider's own ceremonies, and says what
 * is wrong if it cannot:
 *
 *     token_tool init URI SO_PIN_FILE
 *     token_tool generate URI ALGORITHM [RSA_BITS]
 */
#include "hsm/key_provider.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool run(int argc, char **argv, struct error *err)
{
    const struct key_options options = { .uri = argc > 2 ? argv[2] : "", .sessions = 1 };
    const struct key_provider *provider = key_provider_for(options.uri);
    struct ceremony_options ceremony = { .algorithm = JOSE_ALGORITHM_NONE };

    if (argc < 4 || provider == NULL) {
        return fail(err, ERROR_CONFIG, "usage: token_tool init|generate URI ...");
    }
    if (strcmp(argv[1], "init") == 0) {
        ceremony.so_pin_file = argv[3];
        return provider->init_token(&options, &ceremony, err);
    }
    ceremony.algorithm = jose_algorithm_from_name(argv[3]);
    ceremony.rsa_bits = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 0;
    return provider->generate(&options, &ceremony, err);
}

int main(int argc, char **argv)
{
    struct error err = { .code = ERROR_NONE };

    if (!run(argc, argv, &err)) {
        fprintf(stderr, "token_tool: %s\n", error_line(&err).text);
        return 1;
    }
    return 0;
}

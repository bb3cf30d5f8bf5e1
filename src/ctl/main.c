/* issuerctl: the operator's tool. What touches a device runs in the signer process, as ever. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "config.h"
#include "jose/algorithm.h"
#include "service_config.h"

enum { OPTION_JSON = 256, OPTION_ALGORITHM, OPTION_RSA_BITS, OPTION_SO_PIN_FILE, WORDS_MAX = 4 };

struct arguments {
    const char *config;
    const char *algorithm;
    const char *so_pin_file;
    unsigned rsa_bits;
    bool json;
    const char *words[WORDS_MAX]; /* "keys", "generate", "main" */
    size_t word_count;
};

const char *argp_program_version = "issuerctl " ISSUERD_VERSION;

static bool parse_rsa_bits(const char *text, unsigned *bits_out)
{
    char *end = NULL;
    const unsigned long bits = strtoul(text, &end, 10);

    *bits_out = (unsigned)bits;
    return end != text && *end == '\0' && bits >= 2048 && bits <= 4096 && bits % 8 == 0;
}

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;

    switch (key) {
    case 'c':
        arguments->config = value;
        return 0;
    case OPTION_JSON:
        arguments->json = true;
        return 0;
    case OPTION_ALGORITHM:
        arguments->algorithm = value;
        if (jose_algorithm_from_name(value) == JOSE_ALGORITHM_NONE) {
            argp_error(state, "--algorithm: ES256, RS256 or PS256");
        }
        return 0;
    case OPTION_SO_PIN_FILE:
        arguments->so_pin_file = value;
        return 0;
    case OPTION_RSA_BITS:
        if (!parse_rsa_bits(value, &arguments->rsa_bits)) {
            argp_error(state, "--rsa-bits: 2048 to 4096, a multiple of 8");
        }
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->word_count == WORDS_MAX) {
            return ARGP_ERR_UNKNOWN;
        }
        arguments->words[arguments->word_count++] = value;
        return 0;
    case ARGP_KEY_END:
        if (arguments->word_count == 0) {
            argp_usage(state);
        }
        if (arguments->config == NULL) {
            argp_error(state, "which configuration? --config FILE");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void parse_arguments(int argc, char **argv, struct arguments *arguments_out)
{
    static const struct argp_option options[] = {
        { "config", 'c', "FILE", 0, "The configuration that issuerd runs with", 0 },
        { "json", OPTION_JSON, NULL, 0, "Print for a machine", 0 },
        { "algorithm", OPTION_ALGORITHM, "ALG", 0,
          "keys generate: ES256, RS256 or PS256 (default: the configured one, else ES256)", 0 },
        { "rsa-bits", OPTION_RSA_BITS, "BITS", 0, "keys generate: 2048 to 4096 (default: 3072)",
          0 },
        { "so-pin-file", OPTION_SO_PIN_FILE, "FILE", 0,
          "token init: where the security officer's PIN is", 0 },
        { .name = NULL },
    };
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "keys list\nkeys generate SIGNER\ntoken init SIGNER",
        .doc = "issuerctl shows and makes the keys of issuerd.\v"
               "keys list opens each signer's key, checks its attributes and has it sign once. "
               "keys generate makes the key pair that the signer's URI names, inside the token: "
               "sign only, never extractable. token init initialises a free slot (SoftHSM2; with "
               "an HSM use its vendor's tool).\n\n"
               "Exit status: 0 done, 64 wrong arguments, 69 the device refused or failed, 78 wrong "
               "configuration.",
    };
    argp_err_exit_status = EX_USAGE;
    (void)argp_parse(&argp, argc, argv, 0, NULL, arguments_out);
}

static int complain(const struct error *err)
{
    (void)fprintf(stderr, "issuerctl: %s\n", error_line(err).text);
    return err->code == ERROR_CONFIG ? EX_CONFIG : EX_UNAVAILABLE;
}

/* ---- keys list ---- */

static void print_key(const struct signer_options *signer, const struct signer_key *key,
                      const struct error *err)
{
    if (err->code != ERROR_NONE) {
        printf("%-12s %-6s %s\n", signer->name, "-", error_line(err).text);
    } else {
        printf("%-12s %-6s %s  %s\n", signer->name, key->algorithm, key->kid, key->description);
    }
}

static void print_key_json(const struct signer_options *signer, const struct signer_key *key,
                           const struct error *err)
{
    char buffer[4096];
    struct text text = text_over(buffer, sizeof(buffer));

    text_add(&text, "{\"signer\":");
    text_add_json_string(&text, signer->name);
    if (err->code != ERROR_NONE) {
        text_add(&text, ",\"error\":");
        text_add_json_string(&text, error_line(err).text);
    } else {
        text_add(&text, ",\"algorithm\":");
        text_add_json_string(&text, key->algorithm);
        text_add(&text, ",\"kid\":");
        text_add_json_string(&text, key->kid);
        text_add(&text, ",\"key\":");
        text_add_json_string(&text, key->description);
        text_add(&text, ",\"jwk\":");
        text_add(&text, key->jwk);
    }
    text_add(&text, "}");
    printf("%s", buffer);
}

static int keys_list(const struct signers_options *signers, const struct arguments *arguments)
{
    const struct signer_ceremony_options probe = { .ceremony = CEREMONY_PROBE };
    int status = EX_OK;

    if (arguments->json) {
        printf("[");
    }
    for (size_t i = 0; i < signers->count; i++) {
        struct error err = { .code = ERROR_NONE };
        struct signer_key key;
        if (!signer_run_ceremony(signers, i, &probe, &key, &err)) {
            status = EX_UNAVAILABLE;
        }
        if (arguments->json) {
            printf("%s", i > 0 ? "," : "");
            print_key_json(&signers->signers[i], &key, &err);
        } else {
            print_key(&signers->signers[i], &key, &err);
        }
    }
    if (arguments->json) {
        printf("]\n");
    }
    return status;
}

/* ---- ceremonies ---- */

static bool find_signer(const struct signers_options *signers, const char *name, size_t *index_out,
                        struct error *err)
{
    for (size_t i = 0; i < signers->count; i++) {
        if (strcmp(signers->signers[i].name, name) == 0) {
            *index_out = i;
            return true;
        }
    }
    return fail(err, ERROR_CONFIG, "the configuration has no [signer %s]", name);
}

static int run_ceremony(const struct signers_options *signers, const struct arguments *arguments,
                        enum signer_ceremony ceremony)
{
    const struct signer_ceremony_options options = { .ceremony = ceremony,
                                                     .algorithm = arguments->algorithm,
                                                     .so_pin_file = arguments->so_pin_file,
                                                     .rsa_bits = arguments->rsa_bits };
    struct error err = { .code = ERROR_NONE };
    struct signer_key key = { .kid = "" };
    size_t index = 0;

    if (!find_signer(signers, arguments->words[2], &index, &err)
        || !signer_run_ceremony(signers, index, &options, &key, &err)) {
        return complain(&err);
    }
    if (ceremony == CEREMONY_INIT_TOKEN) {
        printf("token initialised for signer %s\n", arguments->words[2]);
    } else if (arguments->json) {
        print_key_json(&signers->signers[index], &key, &err);
        printf("\n");
    } else {
        print_key(&signers->signers[index], &key, &err);
    }
    return EX_OK;
}

static bool is_command(const struct arguments *arguments, const char *first, const char *second,
                       size_t words)
{
    return arguments->word_count == words && strcmp(arguments->words[0], first) == 0
        && strcmp(arguments->words[1], second) == 0;
}

static int run_command(const struct signers_options *signers, const struct arguments *arguments)
{
    if (is_command(arguments, "keys", "list", 2)) {
        return keys_list(signers, arguments);
    }
    if (is_command(arguments, "keys", "generate", 3)) {
        return run_ceremony(signers, arguments, CEREMONY_GENERATE_KEY);
    }
    if (is_command(arguments, "token", "init", 3)) {
        if (arguments->so_pin_file == NULL) {
            (void)fprintf(stderr, "issuerctl: token init needs --so-pin-file FILE\n");
            return EX_USAGE;
        }
        return run_ceremony(signers, arguments, CEREMONY_INIT_TOKEN);
    }
    (void)fprintf(stderr, "issuerctl: no such command; see issuerctl --help\n");
    return EX_USAGE;
}

int main(int argc, char **argv)
{
    struct arguments arguments = { .config = NULL };
    struct config_problems problems = { .count = 0 };
    struct config *config = NULL;
    struct service_config service_config;
    struct error err = { .code = ERROR_NONE };

    log_set_level(LOG_LEVEL_WARNING);
    parse_arguments(argc, argv, &arguments);
    if (!config_load(arguments.config, &config, &problems)) {
        config_print_problems(stderr, arguments.config, &problems);
        config_problems_clear(&problems);
        return EX_CONFIG;
    }
    const int status = service_config_fill(&service_config, config, &err)
                         ? run_command(&service_config.options.signers, &arguments)
                         : complain(&err);
    config_free(config);
    return status;
}

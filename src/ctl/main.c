/* issuerctl: the operator's tool. What touches a device runs in the signer process, as ever. */
#include "ctl/authorizations.h"
#include "ctl/clock.h"
#include "ctl/ctl.h"
#include "ctl/evidence.h"
#include "ctl/keys.h"
#include "ctl/ledger.h"
#include "ctl/restore.h"
#include "ctl/status.h"
#include "ctl/tokens.h"
#include "ctl/wallet.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/process.h"
#include "config.h"
#include "jose/algorithm.h"
#include "service_config.h"

enum {
    OPTION_JSON = 256,
    OPTION_ALGORITHM,
    OPTION_RSA_BITS,
    OPTION_SO_PIN_FILE,
    OPTION_EMERGENCY,
    OPTION_EVIDENCE_DIR,
    OPTION_AK_NAME,
    OPTION_REASON,
    OPTION_YES,
    OPTION_WATCH,
    WORDS_MAX = 4,
    URL_SIZE = 320,
};

struct arguments {
    const char *config;
    struct ctl_options options;
    struct authorizations_options authorizations;
    struct clock_options clock;
    struct ledger_arguments ledger;
    struct restore_options restore;
    struct status_options status;
    struct tokens_options tokens;
    struct http_peer server;
    struct wallet_options wallet;
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

/* An object's Name by SHA-256 (TPM 2.0 Part 1 16): 0x000b, then 32 bytes. */
static bool is_ak_name(const char *text)
{
    return strlen(text) == 68 && strspn(text, "0123456789abcdefABCDEF") == 68
        && strncasecmp(text, "000b", 4) == 0;
}

static bool is_command(const struct arguments *arguments, const char *first, const char *second,
                       size_t words)
{
    return arguments->word_count == words && strcmp(arguments->words[0], first) == 0
        && strcmp(arguments->words[1], second) == 0;
}

static bool is_wallet(const struct arguments *arguments)
{
    return arguments->word_count == 1 && strcmp(arguments->words[0], "wallet") == 0;
}

static bool is_status(const struct arguments *arguments)
{
    return arguments->word_count == 1 && strcmp(arguments->words[0], "status") == 0;
}

static bool is_clock(const struct arguments *arguments)
{
    return (arguments->word_count == 1 && strcmp(arguments->words[0], "clock") == 0)
        || is_command(arguments, "clock", "confirm", 2);
}

/* What the admin listener is asked. */
static bool is_for_server(const struct arguments *arguments)
{
    return is_status(arguments) || is_clock(arguments);
}

static bool is_ledger(const struct arguments *arguments)
{
    return arguments->word_count >= 2 && strcmp(arguments->words[0], "ledger") == 0;
}

static int run_ledger(const struct service_options *service, const struct arguments *arguments)
{
    return ledger_run(service, arguments->words + 1, arguments->word_count - 1, &arguments->ledger);
}

/* Evidence is checked far from the server too, where there is no configuration of it, and a wallet has
 * never seen one. */
static bool needs_configuration(const struct arguments *arguments)
{
    if (is_wallet(arguments)) {
        return false;
    }
    if (is_for_server(arguments)) {
        return arguments->server.url == NULL;
    }
    if (is_ledger(arguments)) {
        return ledger_needs_configuration(arguments->words + 1, arguments->word_count - 1,
                                          &arguments->ledger);
    }
    return !is_command(arguments, "keys", "evidence", 3) || arguments->options.evidence_dir == NULL;
}

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->authorizations;
        state->child_inputs[1] = &arguments->ledger;
        state->child_inputs[2] = &arguments->server;
        state->child_inputs[3] = &arguments->wallet;
        return 0;
    case 'c':
        arguments->config = value;
        return 0;
    case OPTION_REASON:
        arguments->restore.reason = value;
        arguments->tokens.reason = value;
        if (value[0] == '\0') {
            argp_error(state, "--reason: say why");
        }
        return 0;
    case OPTION_YES:
        arguments->authorizations.yes = true;
        arguments->clock.yes = true;
        arguments->restore.yes = true;
        return 0;
    case OPTION_WATCH:
        arguments->status.watch = true;
        return 0;
    case OPTION_JSON:
        arguments->options.json = true;
        arguments->status.json = true;
        arguments->clock.json = true;
        arguments->restore.json = true;
        arguments->authorizations.json = true;
        arguments->ledger.json = true;
        arguments->tokens.json = true;
        arguments->wallet.json = true;
        return 0;
    case OPTION_ALGORITHM:
        arguments->options.algorithm = value;
        if (jose_algorithm_from_name(value) == JOSE_ALGORITHM_NONE) {
            argp_error(state, "--algorithm: " JOSE_ALGORITHM_NAMES);
        }
        return 0;
    case OPTION_SO_PIN_FILE:
        arguments->options.so_pin_file = value;
        return 0;
    case OPTION_EMERGENCY:
        arguments->options.emergency = value;
        if (value[0] == '\0') {
            argp_error(state, "--emergency: say why it cannot wait");
        }
        return 0;
    case OPTION_EVIDENCE_DIR:
        arguments->options.evidence_dir = value;
        return 0;
    case OPTION_AK_NAME:
        arguments->options.ak_name = value;
        if (!is_ak_name(value)) {
            argp_error(state, "--ak-name: 68 hexadecimal digits, the first 000b");
        }
        return 0;
    case OPTION_RSA_BITS:
        if (!parse_rsa_bits(value, &arguments->options.rsa_bits)) {
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
        if (arguments->config == NULL && needs_configuration(arguments)) {
            argp_error(state, "which configuration? --config FILE");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The end of the description: one string may not be as long as all of it. */
static const struct argp server_argp = {
    .doc = "\v"
           "status asks a running issuerd, at its admin listener, whether it is issuing, since "
           "when not, and what comes next. It ends with 0 if a token can be issued, else with "
           "1.\n\n"
           "clock asks it what its clock says, and whether it is trusted: a clock that was set by "
           "more than 5 s, or is behind the ledger, issues nothing until it is right again. It "
           "ends as status does. clock confirm says that the time is right as it is now; the "
           "ledger keeps that.\n\n"
           "wallet is a wallet to try a server with: it makes a DID, opens an authorization "
           "request, proves that the DID is its own, and trades the code for a token. It needs "
           "no configuration, only --url. A code is never shown, a token only written to "
           "--token-file.\n\n"
           "Exit status: 0 done, 1 the rules or the server refuse it or the evidence, the "
           "ledger or a proof does not hold, 64 wrong arguments, 69 the "
           "device or the store "
           "refused or failed or the server does not answer, 73 a file cannot be made, 78 "
           "wrong configuration.",
};

static void parse_arguments(int argc, char **argv, struct arguments *arguments_out)
{
    static const struct argp_option options[] = {
        { "config", 'c', "FILE", 0, "The configuration that issuerd runs with", 0 },
        { "json", OPTION_JSON, NULL, 0, "Print for a machine", 0 },
        { "yes", OPTION_YES, NULL, 0,
          "authorizations cancel, clock confirm, ledger accept-restore: do not ask", 0 },
        { "watch", OPTION_WATCH, NULL, 0, "status: each second anew, until Ctrl-C", 0 },
        { "reason", OPTION_REASON, "TEXT", 0,
          "ledger accept-restore, tokens revoke: why; the ledger keeps it", 0 },
        { "algorithm", OPTION_ALGORITHM, "ALG", 0,
          "keys generate: " JOSE_ALGORITHM_NAMES " (default: the configured one, else ES256)", 0 },
        { "rsa-bits", OPTION_RSA_BITS, "BITS", 0, "keys generate: 2048 to 4096 (default: 3072)",
          0 },
        { "emergency", OPTION_EMERGENCY, "REASON", 0,
          "keys activate, retire, destroy: do not wait; the reason is kept in the store", 0 },
        { "so-pin-file", OPTION_SO_PIN_FILE, "FILE", 0,
          "token init: where the security officer's PIN is", 0 },
        { "evidence-dir", OPTION_EVIDENCE_DIR, "DIR", 0,
          "keys evidence: where it is (default: \"evidence\", beside the store); then no "
          "configuration is needed",
          0 },
        { "ak-name", OPTION_AK_NAME, "HEX", 0,
          "keys evidence: the Name of the TPM's attestation key, as it was enrolled", 0 },
        { .name = NULL },
    };
    static const struct argp_child children[] = {
        { &authorizations_argp, 0, "authorizations:", 1 },
        { &ledger_argp, 0, "ledger:", 2 },
        { &http_peer_argp, 0, "status, clock, wallet:", 3 },
        { &wallet_argp, 0, "wallet:", 4 },
        { &server_argp, 0, NULL, 0 },
        { .argp = NULL },
    };
    static const struct argp argp = {
        .children = children,
        .options = options,
        .parser = parse_option,
        .args_doc = "keys list\nkeys generate SIGNER\nkeys publish KID\nkeys activate KID\n"
                    "keys retire KID\nkeys destroy KID\nkeys evidence KID\ntoken init SIGNER\n"
                    "authorizations list\nauthorizations show ID\n"
                    "authorizations approve ID\nauthorizations cancel ID\n"
                    "ledger verify\nledger prove JTI\nledger check-proof FILE\n"
                    "ledger consistency CHECKPOINT CHECKPOINT\nledger export\n"
                    "ledger checkpoint\nledger audit-key\nledger accept-restore\n"
                    "tokens revoke JTI\ntokens revoked\nstatus\nclock\nclock confirm\nwallet",
        .doc =
            "issuerctl shows how a running issuerd is, shows and makes its keys, shows, approves "
            "and cancels its authorization requests, verifies and proves its ledger, revokes "
            "tokens, and is a wallet to try it with.\v"
            "A key's life: generated, published (in the JWK Set), active (signs), retiring (its "
            "tokens live), retired, destroyed. keys list shows each key's state, opens it on "
            "its device, checks its attributes and has it sign once. keys generate makes the "
            "key pair that the signer's URI names, inside the token: sign only, never "
            "extractable. keys publish puts a key into the JWK Set; keys activate lets it sign, "
            "once every verifier has had the time to see it; keys retire ends that, and the key "
            "leaves the JWK Set by itself when its last token has expired. keys destroy deletes "
            "a retired key from its device. KID may be shortened to what is unique; one that "
            "begins with a hyphen is written after --. A running "
            "issuerd follows within a second.\n\nkeys evidence checks what "
            "provisioning/pkcs11-key.sh or tpm-key.sh wrote of a key, without its device: of a "
            "TPM's the attestation, of a PKCS#11 token's no more than that the kid is right. It "
            "says what is proven and what is not.\n\ntoken init initialises a free slot "
            "(SoftHSM2; with an HSM use its vendor's tool).\n\n"
            "authorizations list shows the requests, newest first, and how far each has come: "
            "open, approved (it has a code), redeemed, expired, cancelled. authorizations show "
            "tells all of one, but for what binds the wallet to it and for the code, which the "
            "store has no more than the hash of. authorizations approve gives an open request "
            "its code, for a holder whom you have authenticated by other means; the code goes "
            "into a file, never to the screen. authorizations cancel ends an open request, or "
            "the code of an approved one, at once; what is redeemed is a token, and no "
            "business of the request any more. ID may be shortened to what is unique, at least "
            "4 characters. A running issuerd need not be told.\n\n"
            "ledger verify computes every tree of the ledger again from its entries, holds it "
            "against the store's word and every checkpoint, and names the first wrong entry. "
            "It only reads, the configured store or a copy (--store). Without --audit-key it "
            "takes the store's word for whose checkpoints to trust. That the ledger was cut, or "
            "the store rolled back, shows against a checkpoint that was kept elsewhere "
            "(--trusted-checkpoint).\n\n"
            "ledger prove writes a proof (C2SP tlog-proof) that a token is in the ledger; ledger "
            "check-proof needs it and --audit-key alone. ledger consistency proves that one "
            "checkpoint, a file or a size, extends another. ledger export prints a line of JSON "
            "an entry: what is behind \"entry\": up to the last brace is what the leaf is the "
            "hash of, SHA-256(0x00 || entry). ledger checkpoint prints the newest checkpoint, "
            "ledger audit-key the key that signed it.\n\n"
            "ledger accept-restore ends the stop that a store restored from an older copy "
            "brings: the ledger goes on with a new tree that says what was lost and why, and "
            "whatever is open in the store is cancelled, so that no code is good twice.\n\n"
            "tokens revoke ends a token before its time: JTI is its claim jti, which the ledger "
            "must have. Within a second every issuerd on the store lists it, signed, at "
            "/api/v1/tokens/revoked; who takes tokens looks there. tokens revoked shows what is "
            "revoked and has not expired, the last first. A JTI that begins with a hyphen is "
            "written after --.",
    };
    argp_err_exit_status = EX_USAGE;
    (void)argp_parse(&argp, argc, argv, 0, NULL, arguments_out);
}

static int check_evidence(const struct service_options *service, const struct arguments *arguments)
{
    char directory[4096];

    (void)snprintf(directory, sizeof(directory), "%s/evidence", service->signers.state_dir);
    return keys_evidence(directory, arguments->words[2], &arguments->options);
}

static int run_authorizations(const struct service_options *service,
                              const struct arguments *arguments)
{
    static const struct {
        const char *name;
        int (*run)(const struct service_options *service, const char *id,
                   const struct authorizations_options *options);
    } commands[] = { { "show", authorizations_show },
                     { "approve", authorizations_approve },
                     { "cancel", authorizations_cancel } };

    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        if (is_command(arguments, "authorizations", commands[i].name, 3)) {
            return commands[i].run(service, arguments->words[2], &arguments->authorizations);
        }
    }
    if (is_command(arguments, "authorizations", "list", 2)) {
        return authorizations_list(service, &arguments->authorizations);
    }
    (void)fprintf(stderr, "issuerctl: no such command; see issuerctl --help\n");
    return EX_USAGE;
}

static int run_tokens(const struct service_options *service, const struct arguments *arguments)
{
    if (is_command(arguments, "tokens", "revoke", 3)) {
        return tokens_revoke(service, arguments->words[2], &arguments->tokens);
    }
    if (is_command(arguments, "tokens", "revoked", 2)) {
        return tokens_revoked(service, &arguments->tokens);
    }
    return run_authorizations(service, arguments);
}

static int run_command(const struct service_options *service, const struct arguments *arguments)
{
    static const struct {
        const char *name;
        enum key_step step;
    } steps[] = { { "publish", KEY_PUBLISH },
                  { "activate", KEY_ACTIVATE },
                  { "retire", KEY_RETIRE },
                  { "destroy", KEY_DESTROY } };

    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        if (is_command(arguments, "keys", steps[i].name, 3)) {
            return keys_step(service, steps[i].step, arguments->words[2], &arguments->options);
        }
    }
    if (is_command(arguments, "keys", "list", 2)) {
        return keys_list(service, &arguments->options);
    }
    if (is_command(arguments, "keys", "generate", 3)) {
        return keys_generate(service, arguments->words[2], &arguments->options);
    }
    if (is_command(arguments, "keys", "evidence", 3)) {
        return check_evidence(service, arguments);
    }
    if (is_command(arguments, "ledger", "accept-restore", 2)) {
        return ledger_accept(service, &arguments->restore);
    }
    if (is_ledger(arguments)) {
        return run_ledger(service, arguments);
    }
    if (is_command(arguments, "token", "init", 3)) {
        return token_init(service, arguments->words[2], &arguments->options);
    }
    return run_tokens(service, arguments);
}

static int run_for_server(const struct arguments *arguments, const struct http_peer *server)
{
    struct status_options status = arguments->status;
    struct clock_options clock = arguments->clock;

    status.server = clock.server = *server;
    return is_status(arguments)       ? status_run(&status)
         : arguments->word_count == 1 ? clock_show(&clock)
                                      : clock_confirm(&clock);
}

/* The admin listener of the configuration, which is at a port of its own choice only in tests. */
static int run_for_configured_server(const struct config *config, const struct arguments *arguments)
{
    struct http_peer server = arguments->server;
    const char *listen = config->admin_listen;
    const bool is_socket = strncmp(listen, "unix:", strlen("unix:")) == 0;
    const char *scheme = config->admin_tls.certificate_file[0] != '\0' ? "https://" : "http://";
    const size_t length = strlen(listen);
    char url[URL_SIZE];

    if (server.secret_file == NULL) {
        server.secret_file = config->client_secret_file;
    }
    if (server.url != NULL) {
        return run_for_server(arguments, &server);
    }
    if (!is_socket && length > 2 && strcmp(listen + length - 2, ":0") == 0) {
        (void)fprintf(stderr,
                      "issuerctl: admin.listen takes any port: which one it is, issuerd says "
                      "when it starts; give it with --url\n");
        return EX_USAGE;
    }
    (void)snprintf(url, sizeof(url), "%s%s", is_socket ? "" : scheme, listen);
    server.url = url;
    return run_for_server(arguments, &server);
}

int main(int argc, char **argv)
{
    struct arguments arguments = { .config = NULL };
    struct config_problems problems = { .count = 0 };
    struct config *config = NULL;
    struct service_config service_config;
    struct error err = { .code = ERROR_NONE };

    process_close_memory();
    log_set_level(LOG_LEVEL_WARNING);
    parse_arguments(argc, argv, &arguments);
    if (is_wallet(&arguments)) {
        arguments.wallet.server = arguments.server;
        return wallet_run(&arguments.wallet);
    }
    if (arguments.config == NULL && is_for_server(&arguments)) {
        return run_for_server(&arguments, &arguments.server);
    }
    if (!needs_configuration(&arguments) && is_ledger(&arguments)) {
        return run_ledger(NULL, &arguments);
    }
    if (!needs_configuration(&arguments) && !is_for_server(&arguments)) {
        return keys_evidence(arguments.options.evidence_dir, arguments.words[2],
                             &arguments.options);
    }
    if (!config_load(arguments.config, &config, &problems)) {
        config_print_problems(stderr, arguments.config, &problems);
        config_problems_clear(&problems);
        return EX_CONFIG;
    }
    if (is_for_server(&arguments)) {
        const int status = run_for_configured_server(config, &arguments);
        config_free(config);
        return status;
    }
    const int status = service_config_fill(&service_config, config, &err)
                         ? run_command(&service_config.options, &arguments)
                         : ctl_complain(&err);
    config_free(config);
    return status;
}

#include "service_config.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/uri.h"
#include "hsm/tpm_uri.h"

enum { PROGRAM_SIZE = sizeof(((struct service_config *)NULL)->program) };

/* `path` from the directory that `program` is in. */
static bool name_beside(const char *program, const char *path, char path_out[static PROGRAM_SIZE])
{
    const int directory_length = (int)(strrchr(program, '/') + 1 - program);
    return snprintf(path_out, PROGRAM_SIZE, "%.*s%s", directory_length, program, path)
         < PROGRAM_SIZE;
}

/* Beside this program, as they are built, or else where they are installed from its directory
 * (ISSUERD_SIGNER, "../libexec/..."), wherever the whole of it was put. */
static bool find_signer_program(char path_out[static PROGRAM_SIZE], struct error *err)
{
    char program[PROGRAM_SIZE];
    const ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);

    if (length <= 0) {
        return fail_errno(err, ERROR_INTERNAL, "read /proc/self/exe");
    }
    program[length] = '\0';
    if (name_beside(program, "issuerd-signer", path_out) && access(path_out, X_OK) == 0) {
        return true;
    }
    if (!name_beside(program, ISSUERD_SIGNER, path_out)) {
        return fail(err, ERROR_INTERNAL, "the program's path is too long");
    }
    return access(path_out, X_OK) == 0
        || fail_errno(err, ERROR_CONFIG, "%s: install it there, or beside this program", path_out);
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool is_softhsm(const char *uri)
{
    char module[4096];
    struct error none;

    return uri_attribute(uri, "module-path", module, sizeof(module), &none)
        && begins(strrchr(module, '/') + 1, "libsofthsm2");
}

/* A simulator, or a TPM elsewhere, is behind a socket. */
static bool is_tpm_device(const char *uri)
{
    struct tpm_uri tpm;
    struct error none;

    return tpm_uri_parse(uri, &tpm, &none) && begins(tpm.tcti, "device");
}

static enum sandbox_calls sandbox_of(const struct config_signer *signer)
{
    static const enum sandbox_calls profiles[] = { SANDBOX_CALLS_MEMORY, SANDBOX_CALLS_FILES,
                                                   SANDBOX_CALLS_DEVICE, SANDBOX_CALLS_NETWORK };

    for (size_t i = 0; i < COUNT_OF(profiles); i++) {
        if (strcmp(sandbox_calls_name(profiles[i]), signer->sandbox) == 0) {
            return profiles[i];
        }
    }
    return begins(signer->uri, "file:") ? SANDBOX_CALLS_MEMORY
         : is_softhsm(signer->uri)      ? SANDBOX_CALLS_FILES
         : is_tpm_device(signer->uri)   ? SANDBOX_CALLS_DEVICE
                                        : SANDBOX_CALLS_NETWORK;
}

static enum sandbox_mode sandbox_mode_of(const struct config_signer *signer)
{
    const bool is_unknown = begins(signer->uri, "pkcs11:") && !is_softhsm(signer->uri);

    return signer->sandbox_mode[0] != '\0' ? sandbox_mode_from_name(signer->sandbox_mode)
         : is_unknown                      ? SANDBOX_LOG
                                           : SANDBOX_ENFORCE;
}

static void fill_signers(struct service_config *out, const struct config *config)
{
    for (size_t i = 0; i < config->signer_count; i++) {
        const struct config_signer *from = &config->signers[i];
        const bool is_audit = strcmp(from->name, config->ledger_signer) == 0;
        out->signers[i] = (struct signer_options){
            .name = from->name,
            .purpose = is_audit ? SIGNER_CHECKPOINTS : SIGNER_TOKENS,
            .uri = from->uri,
            .algorithm = from->algorithm,
            .setenv = (const char *const *)from->setenv.items,
            .setenv_count = from->setenv.count,
            .sessions = (unsigned)from->sessions,
            .queue = (unsigned)from->queue,
            .queue_ms = from->queue_ms,
            .deadline_ms = from->deadline_ms,
            .session_copy = from->session_copy,
            .sandbox = sandbox_of(from),
            .sandbox_mode = sandbox_mode_of(from),
        };
    }
}

static void fill_trust(struct service_config *out, const struct config *config)
{
    for (size_t i = 0; i < config->trusted_count; i++) {
        out->trusted[i] = (struct trusted_issuer){ .did = config->trusted[i].did,
                                                   .types = config->trusted[i].types,
                                                   .type_count = config->trusted[i].type_count };
    }
}

/* What of the host's name may stand in an origin. */
static void name_node(char node_out[static LEDGER_NODE_MAX + 1])
{
    char host[256] = "";

    (void)gethostname(host, sizeof(host) - 1);
    (void)snprintf(node_out, LEDGER_NODE_MAX + 1, "%.*s", LEDGER_NODE_MAX,
                   host[0] != '\0' ? host : "node");
    for (char *at = node_out; *at != '\0'; at++) {
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", *at)
            == NULL) {
            *at = '-';
        }
    }
}

static void fill_ledger(struct service_config *out, const struct config *config)
{
    if (config->ledger_node[0] != '\0') {
        (void)snprintf(out->node, sizeof(out->node), "%s", config->ledger_node);
    } else {
        name_node(out->node);
    }
    if (config->checkpoint_file[0] != '\0') {
        (void)snprintf(out->head_path, sizeof(out->head_path), "%s", config->checkpoint_file);
    } else {
        (void)snprintf(out->head_path, sizeof(out->head_path), "%s/%s.checkpoint",
                       config->state_dir, out->node);
    }
    out->options.ledger = (struct ledger_options){
        .node = out->node,
        .head_path = out->head_path,
        .backlog_max = config->ledger_signer[0] != '\0' ? config->backlog_max : 0,
        .retention_s = config->ledger_retention_s,
    };
    out->options.checkpoint_entries = config->checkpoint_entries;
    out->options.checkpoint_s = config->checkpoint_s;
}

bool service_config_fill(struct service_config *out, const struct config *config, struct error *err)
{
    memset(out, 0, sizeof(*out));
    if (!find_signer_program(out->program, err)) {
        return false;
    }
    fill_signers(out, config);
    fill_trust(out, config);
    out->options = (struct service_options){
        .issuer = config->issuer_url,
        .audience = config->audience,
        .token_lifetime_s = config->token_lifetime_s,
        .code_lifetime_s = config->code_lifetime_s,
        .request_lifetime_s = config->request_lifetime_s,
        .did_resolver_url = config->resolver_url,
        .trusted = out->trusted,
        .trusted_count = config->trusted_count,
        .store_url = config->store_url,
        .store = { .max_open_requests = config->max_open_requests,
                   .retention_s = config->retention_s },
        .keys = { .jwks_max_age_s = config->jwks_max_age_s,
                  .token_lifetime_s = config->token_lifetime_s },
        .signers = { .program = out->program,
                     .state_dir = config->state_dir,
                     .issuer = config->issuer_url,
                     .audience = config->audience,
                     .lifetime_max_s = config->token_lifetime_s,
                     .development = config->development,
                     .signers = out->signers,
                     .count = config->signer_count },
    };
    fill_ledger(out, config);
    return true;
}

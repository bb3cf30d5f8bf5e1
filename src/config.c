/*
 * The whole configuration: the file's lines (config_read.c), then what no single line tells, then
 * what follows from others.
 */
#include "config.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "config_check.h"
#include "config_read.h"

/* Where a setting stands, or else its section; 0 if neither is there. */
static int line_of(const struct config_reading *reading, size_t owner, size_t row)
{
    const int given = reading->given_line[owner][row];
    return given != 0 ? given : reading->heading_line[owner][row];
}

static void setting_problem(struct config_reading *reading, size_t owner, const char *section,
                            const char *name, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

static void setting_problem(struct config_reading *reading, size_t owner, const char *section,
                            const char *name, const char *format, ...)
{
    char text[256];
    const struct config_label label = config_label_of(reading, owner, section, name);
    const size_t row = config_row_of(config_setting_find(section, name));
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    config_add_problem(reading, line_of(reading, owner, row), label.text, "%s", text);
}

static void check_required(struct config_reading *reading, size_t owner)
{
    size_t count = 0;
    const struct config_setting *settings = config_settings(&count);
    for (size_t i = 0; i < count; i++) {
        if (config_owns(owner, &settings[i]) && settings[i].required
            && reading->given_line[owner][i] == 0) {
            setting_problem(reading, owner, settings[i].section, settings[i].name,
                            "is required and missing: add %s = %s", settings[i].name,
                            settings[i].example);
        }
    }
}

static void check_all_required(struct config_reading *reading)
{
    if (reading->section_lost) {
        return;
    }
    check_required(reading, OWNER_CONFIG);
    for (size_t i = 0; i < reading->config->signer_count; i++) {
        check_required(reading, OWNER_SIGNER + i);
    }
    if (!reading->any_signer) {
        config_add_problem(reading, 0, "[signer NAME]",
                           "is required and missing: add one with its uri");
    }
}

static void check_https(struct config_reading *reading, const char *section, const char *name,
                        const char *url)
{
    if (!reading->config->development && config_url_is_plain_and_remote(url)) {
        setting_problem(reading, OWNER_CONFIG, section, name,
                        "must be https, unless [issuer] environment = development");
    }
}

static void check_key_files(struct config_reading *reading)
{
    const struct config *config = reading->config;
    for (size_t i = 0; i < config->signer_count && !config->development; i++) {
        if (strncmp(config->signers[i].uri, "file:", strlen("file:")) == 0) {
            setting_problem(reading, OWNER_SIGNER + i, "signer", "uri",
                            "is a key in a file: use a device (pkcs11:), or set [issuer] "
                            "environment = development");
        }
    }
}

/* Said of the one that is given: the other may be a default. */
static void check_listeners(struct config_reading *reading)
{
    const struct config *config = reading->config;
    if (config_addresses_clash(&config->public_address, &config->admin_address)) {
        const size_t admin = config_row_of(config_setting_find("admin", "listen"));
        const bool is_given = reading->given_line[OWNER_CONFIG][admin] != 0;
        setting_problem(reading, OWNER_CONFIG, is_given ? "admin" : "public", "listen",
                        "is the address of the %s listener too: choose another port",
                        is_given ? "public" : "admin");
    }
}

static void check_tls_files(struct config_reading *reading, const char *section,
                            const struct config_tls *tls, const struct config_address *address)
{
    const bool has_certificate = tls->certificate_file[0] != '\0';
    const bool has_key = tls->key_file[0] != '\0';

    if (has_certificate != has_key) {
        setting_problem(reading, OWNER_CONFIG, section,
                        has_key ? "tls_key_file" : "tls_certificate_file",
                        "needs %s beside it: set both, or neither",
                        has_key ? "tls_certificate_file" : "tls_key_file");
    }
    if (has_certificate && address->socket.ss_family == AF_UNIX) {
        setting_problem(reading, OWNER_CONFIG, section, "tls_certificate_file",
                        "is for HOST:PORT: remove it, as nobody else can read a Unix socket");
    }
}

/* Codes and tokens are worth what a password is (RFC 6749 1.6), and x-client-secret more. That a
 * proxy stands in front is for the operator to say; nothing here could tell. */
static void check_tls(struct config_reading *reading)
{
    const struct config *config = reading->config;

    check_tls_files(reading, "public", &config->public_tls, &config->public_address);
    check_tls_files(reading, "admin", &config->admin_tls, &config->admin_address);
    if (config->admin_client_ca_file[0] != '\0' && config->admin_tls.certificate_file[0] == '\0') {
        setting_problem(reading, OWNER_CONFIG, "admin", "tls_client_ca_file",
                        "needs tls_certificate_file and tls_key_file beside it");
    }
    if (!config_address_is_local(&config->public_address) && !config->development
        && config->public_tls.certificate_file[0] == '\0' && config->trusted_proxies.count == 0) {
        setting_problem(reading, OWNER_CONFIG, "public", "listen",
                        "is for other machines, without TLS: set tls_certificate_file and"
                        " tls_key_file, or name the proxy in front as trusted_proxy, or listen on"
                        " 127.0.0.1");
    }
    if (!config_address_is_local(&config->admin_address)
        && config->admin_client_ca_file[0] == '\0') {
        setting_problem(
            reading, OWNER_CONFIG, "admin", "listen",
            "must be a loopback address (127.0.0.1, [::1]) or unix:/PATH, unless"
            " tls_client_ca_file says whom to let in: here authorizations are approved");
    }
}

static const struct config_signer *find_signer(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->signer_count; i++) {
        if (strcmp(config->signers[i].name, name) == 0) {
            return &config->signers[i];
        }
    }
    return NULL;
}

/* A checkpoint is a signed note (C2SP signed-note), and those know two algorithms. */
static bool has_note_algorithm(const struct config_signer *signer)
{
    return signer->algorithm[0] == '\0' || strcmp(signer->algorithm, "ES256") == 0
        || strcmp(signer->algorithm, "Ed25519") == 0;
}

static void check_audit_key(struct config_reading *reading, const struct config_signer *audit)
{
    const struct config *config = reading->config;
    const size_t owner = OWNER_SIGNER + (size_t)(audit - config->signers);

    if (!has_note_algorithm(audit)) {
        setting_problem(reading, owner, "signer", "algorithm",
                        "must be ES256 or Ed25519: it is the ledger's signer");
    }
    for (size_t i = 0; i < config->signer_count; i++) {
        const struct config_signer *other = &config->signers[i];
        if (other != audit && audit->uri[0] != '\0' && strcmp(other->uri, audit->uri) == 0) {
            setting_problem(reading, owner, "signer", "uri",
                            "is the key of [signer %s] too: the ledger's signer must have its own",
                            other->name);
        }
    }
}

static void check_ledger(struct config_reading *reading)
{
    const struct config *config = reading->config;
    const struct config_signer *audit = find_signer(config, config->ledger_signer);

    if (config->ledger_signer[0] == '\0' || reading->section_lost) {
        return;
    }
    if (audit == NULL) {
        setting_problem(reading, OWNER_CONFIG, "ledger", "signer",
                        "names no signer of this configuration: add a [signer %.32s]",
                        config->ledger_signer);
        return;
    }
    if (config->signer_count == 1) {
        setting_problem(reading, OWNER_CONFIG, "ledger", "signer",
                        "is the only signer: add one for the tokens, as the ledger's signs none");
    }
    if (strchr(config->issuer_url, '+') != NULL) {
        setting_problem(reading, OWNER_CONFIG, "issuer", "url",
                        "must not have a '+': it is part of the name of the ledger's key");
    }
    check_audit_key(reading, audit);
}

static void check_trust(struct config_reading *reading)
{
    const struct config *config = reading->config;
    for (size_t i = 0; i < config->trusted_count; i++) {
        for (size_t j = i + 1; j < config->trusted_count; j++) {
            if (strcmp(config->trusted[i].did, config->trusted[j].did) == 0) {
                setting_problem(reading, OWNER_CONFIG, "trust", "issuer",
                                "names %.160s twice: put its types into one line",
                                config->trusted[i].did);
                return;
            }
        }
    }
}

static void check_state_dir(struct config_reading *reading)
{
    const char *path = reading->config->state_dir;
    struct stat status;
    if (path[0] != '\0' && (stat(path, &status) != 0 || !S_ISDIR(status.st_mode))) {
        setting_problem(reading, OWNER_CONFIG, "store", "state_dir",
                        "is %.160s, a directory that is not there: make it", path);
    }
}

static void check_together(struct config_reading *reading)
{
    const struct config *config = reading->config;
    check_all_required(reading);
    check_https(reading, "issuer", "url", config->issuer_url);
    check_https(reading, "metadata", "credential_endpoint", config->credential_endpoint);
    check_https(reading, "metadata", "schema_endpoint", config->schema_endpoint);
    check_https(reading, "metadata", "offering_endpoint", config->offering_endpoint);
    check_https(reading, "did", "resolver_url", config->resolver_url);
    check_ledger(reading);
    check_trust(reading);
    check_key_files(reading);
    check_listeners(reading);
    check_tls(reading);
    check_state_dir(reading);
}

static enum log_level level_from_name(const char *name)
{
    static const struct {
        const char *name;
        enum log_level level;
    } LEVELS[] = {
        { "error", LOG_LEVEL_ERROR },   { "warning", LOG_LEVEL_WARNING },
        { "notice", LOG_LEVEL_NOTICE }, { "info", LOG_LEVEL_INFO },
        { "debug", LOG_LEVEL_DEBUG },
    };
    for (size_t i = 0; i < COUNT_OF(LEVELS); i++) {
        if (strcmp(LEVELS[i].name, name) == 0) {
            return LEVELS[i].level;
        }
    }
    return LOG_LEVEL_INFO;
}

static struct config_trust split_trust(char *words)
{
    struct config_trust trust = { .did = strtok_r(words, " ", &words) };
    for (const char *type; (type = strtok_r(NULL, " ", &words)) != NULL;) {
        trust.types[trust.type_count++] = type;
    }
    return trust;
}

/* A store's URL that is wrong was told already: then there is none. */
static char *default_state_dir(const char *store_url)
{
    const char *path = store_url + strlen("sqlite:");
    if (!has_prefix(store_url, "sqlite:")) {
        return xstrdup(store_url[0] != '\0' ? "/var/lib/issuerd" : "");
    }
    const char *slash = strrchr(path, '/');
    char *directory = xstrdup(path);
    directory[slash > path ? slash - path : 1] = '\0';
    return directory;
}

static int line_of_setting(const struct config_reading *reading, const char *section,
                           const char *name)
{
    return line_of(reading, OWNER_CONFIG, config_row_of(config_setting_find(section, name)));
}

/* The fields that follow from others. Every text is a good one here, or its default. */
static void derive(struct config *config)
{
    struct error unused;
    const bool parsed =
        config_parse_address(config->public_listen, &config->public_address, &unused)
        && config_parse_address(config->admin_listen, &config->admin_address, &unused);
    (void)parsed;
    config->development = strcmp(config->environment, "development") == 0;
    for (size_t i = 0; i < config->trust.count; i++) {
        config->trust_words[i] = xstrdup(config->trust.items[i]);
        config->trusted[config->trusted_count++] = split_trust(config->trust_words[i]);
    }
    config->log_level = level_from_name(config->log_level_name);
    if (config->state_dir[0] == '\0') {
        free(config->state_dir);
        config->state_dir = default_state_dir(config->store_url);
    }
    if (config->audience[0] == '\0') {
        free(config->audience);
        config->audience = xstrdup(config->issuer_url);
    }
}

DEFINE_RELEASE(release_config, struct config, config_free)

bool config_load(const char *path, struct config **config_out, struct config_problems *problems_out)
{
    scoped(release_config) struct config *config = xcalloc(1, sizeof(*config));
    *problems_out = (struct config_problems){ .count = 0 };
    struct config_reading reading = { .config = config, .problems = problems_out };

    config_read(&reading, path);
    if (reading.complete) {
        derive(config);
        config->public_tls.line = line_of_setting(&reading, "public", "tls_certificate_file");
        config->admin_tls.line = line_of_setting(&reading, "admin", "tls_certificate_file");
        check_together(&reading);
    }
    if (problems_out->count > 0) {
        return false;
    }
    *config_out = take(config);
    return true;
}

void config_free(struct config *config)
{
    size_t count = 0;
    const struct config_setting *settings = config_settings(&count);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(settings[i].section, "signer") != 0) {
            config_setting_free(&settings[i], config);
            continue;
        }
        for (size_t j = 0; j < config->signer_count; j++) {
            config_setting_free(&settings[i], &config->signers[j]);
        }
    }
    for (size_t i = 0; i < config->trusted_count; i++) {
        free(config->trust_words[i]);
    }
    free(config);
}

void config_problems_clear(struct config_problems *problems)
{
    free(problems->list);
    *problems = (struct config_problems){ .count = 0 };
}

void config_print_problems(FILE *out, const char *path, const struct config_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct config_problem *problem = &problems->list[i];
        fputs(path, out);
        if (problem->line > 0) {
            fprintf(out, ":%d", problem->line);
        }
        fprintf(out, ": %s%s%s\n", problem->setting, problem->setting[0] == '\0' ? "" : ": ",
                problem->text);
    }
    fprintf(out, "%s: %zu problem%s\n", path, problems->count, problems->count == 1 ? "" : "s");
}

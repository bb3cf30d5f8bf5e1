/* The one table of settings: it parses, checks and prints the help, so these cannot disagree. */
#include "config_table.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "config_check.h"

enum { DAY_S = 86400, URL_MAX = 512, PATH_LENGTH_MAX = 1000 };

#define FIELD(field) .offset = offsetof(struct config, field)
#define SIGNER_FIELD(field) .offset = offsetof(struct config_signer, field)
#define NUMBER(low, high, unit_, default_)                                                         \
    .type = CONFIG_NUMBER, .min = (low), .max = (high), .unit = (unit_), .preset = (default_)
#define CHOICE(choices_, default_)                                                                 \
    .type = CONFIG_CHOICE, .choices = (choices_), .preset = (default_)
#define TEXT(longest, check_, default_)                                                            \
    .type = CONFIG_TEXT, .max = (longest), .check = (check_), .preset = (default_)

/* What a reload does: see enum config_reload. */
#define NEXT_START .reload = CONFIG_NEXT_START
#define AT_ONCE .reload = CONFIG_AT_ONCE
#define IF_SET .reload = CONFIG_IF_SET

/* clang-format off */
static const struct config_setting SETTINGS[] = {
    { "issuer", "url",
      "The issuer: `iss` of every token, and where clients find the metadata. No trailing slash, "
      "query or fragment; https unless the environment is development or the host is loopback.",
      TEXT(URL_MAX, config_check_issuer_url, ""), .required = true,
      .example = "https://issuer.example", NEXT_START, FIELD(issuer_url) },
    { "issuer", "environment",
      "Development allows keys in files and plain http to remote hosts.",
      CHOICE("production development", "production"), NEXT_START, FIELD(environment) },
    { "issuer", "jwks_max_age_s",
      "How long clients may cache the published keys.",
      NUMBER(0, DAY_S, "seconds", "300"), AT_ONCE, FIELD(jwks_max_age_s) },
    { "issuer", "sandbox_mode",
      "Once it has started, issuerd opens the files that issuerd(8) lists, and starts no program. "
      "enforce: another file cannot be opened, and another system call ends it (SIGSYS). log: such "
      "calls are made, and the kernel's log tells of them.",
      CHOICE("enforce log off", "enforce"), NEXT_START, FIELD(sandbox_mode) },

    { "public", "listen",
      "Where wallets and clients connect: HOST:PORT, [V6]:PORT or unix:/PATH. Port 0 takes any. What "
      "other machines reach needs TLS, or a proxy with it that trusted_proxy names.",
      TEXT(200, config_check_address, "127.0.0.1:8080"), NEXT_START, FIELD(public_listen) },
    { "public", "tls_certificate_file",
      "PEM: this server's certificate, RSA or ECDSA, then that of each issuer but the root. Empty: plain HTTP.",
      TEXT(PATH_LENGTH_MAX, config_check_path, ""), IF_SET, FIELD(public_tls.certificate_file) },
    { "public", "tls_key_file",
      "PEM: its private key, without a passphrase. Mode 600.",
      TEXT(PATH_LENGTH_MAX, config_check_path, ""), IF_SET, FIELD(public_tls.key_file) },
    { "public", "connections",
      "Connections at once. At the limit the oldest one that rests gives way to a new one; where all "
      "are at work, one more is answered 503.",
      NUMBER(1, 20000, "connections", "2048"), AT_ONCE, FIELD(connections) },
    { "public", "connections_per_address",
      "Connections at once from one address, likewise. Behind a proxy, set it to the limit above.",
      NUMBER(1, 20000, "connections", "1024"), AT_ONCE, FIELD(connections_per_address) },
    { "public", "head_timeout_s",
      "From the first byte of a request to the end of its head.",
      NUMBER(1, 60, "seconds", "5"), AT_ONCE, FIELD(head_timeout_s) },
    { "public", "body_timeout_s",
      "From the end of the head to the end of the body.",
      NUMBER(1, 120, "seconds", "10"), AT_ONCE, FIELD(body_timeout_s) },
    { "public", "idle_timeout_s",
      "How long a connection may wait between requests.",
      NUMBER(1, 600, "seconds", "30"), AT_ONCE, FIELD(idle_timeout_s) },

    { "public", "requests_per_s",
      "Requests a second in which one address may create and validate authorizations, when the "
      "burst is used up; one more is answered 429. 0: no limit.",
      NUMBER(0, 100000, "requests", "20"), AT_ONCE, FIELD(requests_per_s) },
    { "public", "requests_burst",
      "Such requests that one address may make at once.",
      NUMBER(1, 100000, "requests", "100"), AT_ONCE, FIELD(requests_burst) },
    { "public", "trusted_proxy",
      "ADDRESS or ADDRESS/BITS of a proxy, whose header says which client it speaks for. May be "
      "given several times; a Unix socket's clients are trusted if any is.",
      TEXT(64, config_check_proxy, ""), .repeats = true, .example = "10.0.0.0/8",
      AT_ONCE, FIELD(trusted_proxies) },
    { "public", "client_address_header",
      "The header that the proxy sets; the other one is anybody's, and never read.",
      CHOICE("X-Forwarded-For Forwarded", "X-Forwarded-For"), AT_ONCE, FIELD(client_address_header) },

    { "admin", "listen",
      "Where health, metrics, status and approvals are served: a loopback address or unix:/PATH; with "
      "client certificates any address.",
      TEXT(200, config_check_address, "127.0.0.1:8081"), NEXT_START, FIELD(admin_listen) },
    { "admin", "tls_certificate_file",
      "As that of the public listener. Empty: plain HTTP.",
      TEXT(PATH_LENGTH_MAX, config_check_path, ""), IF_SET, FIELD(admin_tls.certificate_file) },
    { "admin", "tls_key_file",
      "PEM: its private key, without a passphrase. Mode 600.",
      TEXT(PATH_LENGTH_MAX, config_check_path, ""), IF_SET, FIELD(admin_tls.key_file) },
    { "admin", "tls_client_ca_file",
      "PEM: the CAs whose client certificates (clientAuth) are let in, and nobody else. Empty: no "
      "certificate is asked for.",
      TEXT(PATH_LENGTH_MAX, config_check_path, ""), IF_SET, FIELD(admin_client_ca_file) },
    { "admin", "client_secret_file",
      "Holds the x-client-secret that approves authorizations. Mode 600.",
      TEXT(PATH_LENGTH_MAX, config_check_secret_file, ""), .required = true,
      .example = "/run/credentials/issuerd.service/client-secret", AT_ONCE, FIELD(client_secret_file) },

    { "store", "url",
      "The database: sqlite:/ABSOLUTE/PATH, whose directory must be there, or, for several nodes, "
      "postgresql://HOST,HOST/DATABASE as libpq reads it, with passfile= for a password, and "
      "sslmode= for a remote host.",
      TEXT(PATH_LENGTH_MAX, config_check_store_url, ""), .required = true,
      .example = "sqlite:/var/lib/issuerd/issuerd.db", NEXT_START, FIELD(store_url) },
    { "store", "state_dir",
      "Where this node keeps what must outlive a restart beside the database. Empty: the SQLite "
      "file's directory, or /var/lib/issuerd.",
      TEXT(PATH_LENGTH_MAX, config_check_path, ""), NEXT_START, FIELD(state_dir) },
    { "store", "retention_s",
      "How long redeemed and expired authorizations are kept.",
      NUMBER(0, 3650 * DAY_S, "seconds", "86400"), AT_ONCE, FIELD(retention_s) },
    { "store", "max_open_requests",
      "Authorization requests that are open at once; one more is answered 503.",
      NUMBER(1, 10000000, "requests", "100000"), AT_ONCE, FIELD(max_open_requests) },

    { "ledger", "node",
      "This node's name in the ledger: of [A-Za-z0-9._-], and no other node's. Empty: the host's "
      "name.",
      TEXT(64, config_check_node, ""), .example = "node-1", NEXT_START, FIELD(ledger_node) },
    { "ledger", "signer",
      "The [signer NAME] whose key, the audit key, signs the ledger's checkpoints and no token: ES256 "
      "or Ed25519, and no other signer's. Empty: they are not signed.",
      TEXT(CONFIG_SIGNER_NAME_MAX, NULL, ""), NEXT_START, FIELD(ledger_signer) },
    { "ledger", "checkpoint_entries",
      "New entries that make the next checkpoint due.",
      NUMBER(1, 1000000, "entries", "10000"), AT_ONCE, FIELD(checkpoint_entries) },
    { "ledger", "checkpoint_s",
      "From one checkpoint to the next, if there is a new entry.",
      NUMBER(1, 3600, "seconds", "30"), AT_ONCE, FIELD(checkpoint_s) },
    { "ledger", "backlog_max",
      "Entries that wait for a signed checkpoint; when there are more, because the audit key's signer "
      "is down, no token is issued until one is signed.",
      NUMBER(1, 100000000, "entries", "100000"), AT_ONCE, FIELD(backlog_max) },
    { "ledger", "checkpoint_file",
      "Where the ledger's newest checkpoint is kept outside the store, so that an older store is "
      "noticed. Empty: NODE.checkpoint in the state directory.",
      TEXT(PATH_LENGTH_MAX, config_check_path, ""),
      .example = "/var/lib/issuerd/node-1.checkpoint", NEXT_START, FIELD(checkpoint_file) },

    { "ledger", "retention_s",
      "How long entries are kept once a checkpoint covers them; 0: for good.",
      NUMBER(0, 3650 * DAY_S, "seconds", "0"), AT_ONCE, FIELD(ledger_retention_s) },

    { "tokens", "lifetime_s",
      "From `iat` to `exp` of a token.",
      NUMBER(60, DAY_S, "seconds", "3600"), NEXT_START, FIELD(token_lifetime_s) },
    { "tokens", "code_lifetime_s",
      "How long an authorization code can be redeemed.",
      NUMBER(1, 600, "seconds", "60"), AT_ONCE, FIELD(code_lifetime_s) },
    { "tokens", "request_lifetime_s",
      "How long an authorization request waits for its approval.",
      NUMBER(30, 3600, "seconds", "600"), AT_ONCE, FIELD(request_lifetime_s) },
    { "tokens", "audience",
      "`aud` of every token. Empty: the issuer URL.",
      TEXT(URL_MAX, config_check_visible, ""), NEXT_START, FIELD(audience) },

    { "metadata", "credential_endpoint",
      "A URL published in the metadata. Empty: not published.",
      TEXT(URL_MAX, config_check_link, ""), AT_ONCE, FIELD(credential_endpoint) },
    { "metadata", "schema_endpoint",
      "A URL published in the metadata. Empty: not published.",
      TEXT(URL_MAX, config_check_link, ""), AT_ONCE, FIELD(schema_endpoint) },
    { "metadata", "offering_endpoint",
      "A URL published in the metadata. Empty: not published.",
      TEXT(URL_MAX, config_check_link, ""), AT_ONCE, FIELD(offering_endpoint) },
    { "metadata", "display_name",
      "The issuer's name for people. Empty: not published.",
      TEXT(128, config_check_display_name, ""), AT_ONCE, FIELD(display_name) },

    { "did", "resolver_url",
      "A universal resolver for did:web and did:empe, asked at URL/1.0/identifiers/DID. Empty: "
      "did:key and did:jwk only.",
      TEXT(URL_MAX, config_check_issuer_url, ""), AT_ONCE, FIELD(resolver_url) },

    { "trust", "issuer",
      "The DID of an issuer whose credentials count, and the types that it is trusted for, blanks "
      "between; no types: all. May be given several times.",
      TEXT(PATH_LENGTH_MAX, config_check_trust, ""), .repeats = true,
      .example = "did:web:university.example DegreeCredential", AT_ONCE, FIELD(trust) },

    { "log", "level",
      "The least urgent events that reach the log (stderr).",
      CHOICE("error warning notice info debug", "info"), AT_ONCE, FIELD(log_level_name) },

    { "signer", "uri",
      "The key: an RFC 7512 URI that also names the module and the file with the PIN (mode 600); "
      "tpm:handle=H?tcti=TCTI&pin-source=file:/PATH of a key in a TPM 2.0, whose authorization value "
      "is in the file (&auth=password: without an HMAC session); or file:/PATH of a PEM key "
      "(development only). Once the PIN's file was written, a reload tries the PIN that it has.",
      TEXT(PATH_LENGTH_MAX, config_check_key_uri, ""), .required = true,
      .example = "pkcs11:token=issuerd;object=issuerd-es256"
                 "?module-path=/usr/lib/softhsm/libsofthsm2.so"
                 "&pin-source=file:/run/credentials/issuerd.service/hsm-pin",
      AT_ONCE, SIGNER_FIELD(uri) },
    { "signer", "algorithm",
      "What the key signs with. Empty: ES256 for a P-256 key, ES384 for P-384, PS256 for an RSA "
      "key, Ed25519.",
      CHOICE("ES256 ES384 RS256 PS256 Ed25519", ""), AT_ONCE, SIGNER_FIELD(algorithm) },
    { "signer", "sessions",
      "Signatures that the device makes at once.",
      NUMBER(1, 64, "sessions", "2"), AT_ONCE, SIGNER_FIELD(sessions) },
    { "signer", "deadline_ms",
      "A signature that takes longer gets the signer process killed and started again. A TPM may "
      "need up to a second for one.",
      NUMBER(100, 10000, "milliseconds", "1500"), AT_ONCE, SIGNER_FIELD(deadline_ms) },
    { "signer", "queue",
      "Signatures waiting at once; when full the next signer is asked, then the answer is 503.",
      NUMBER(1, 1024, "signatures", "128"), AT_ONCE, SIGNER_FIELD(queue) },
    { "signer", "queue_ms",
      "How long a signature waits for its turn at most, then the answer is 503. A queue that would "
      "take longer, as signatures go at the moment, counts as full.",
      NUMBER(10, 10000, "milliseconds", "500"), AT_ONCE, SIGNER_FIELD(queue_ms) },
    { "signer", "session_copy",
      "Sign from a session copy of the key (C_CopyObject): faster on SoftHSM2, not allowed by most "
      "devices.",
      .type = CONFIG_YES_NO, .preset = "no", AT_ONCE, SIGNER_FIELD(session_copy) },
    { "signer", "setenv",
      "NAME=value in the environment of the signer process alone, for the vendor's module. May be "
      "given several times; not LD_*.",
      TEXT(PATH_LENGTH_MAX, config_check_setenv, ""), .repeats = true,
      .example = "SOFTHSM2_CONF=/etc/softhsm/softhsm2.conf", AT_ONCE, SIGNER_FIELD(setenv) },
    { "signer", "sandbox",
      "What the signer may do once the key is there; none starts a program. memory: sign; files: and "
      "open files; device: and control devices; network: and use sockets, shared memory and code made "
      "at run time. Empty: memory for file:, files for SoftHSM2, device for a TPM's device, network for "
      "another module or TPM.",
      CHOICE("memory files device network", ""), AT_ONCE, SIGNER_FIELD(sandbox) },
    { "signer", "sandbox_mode",
      "enforce: another system call ends the signer (SIGSYS), to be started again. log: such calls are "
      "made, and the kernel's log tells of them. Empty: log for a module other than SoftHSM2's, whose "
      "calls nobody here knows, else enforce.",
      CHOICE("enforce log off", ""), AT_ONCE, SIGNER_FIELD(sandbox_mode) },
};
/* clang-format on */

_Static_assert(COUNT_OF(SETTINGS) <= CONFIG_SETTINGS_MAX, "raise CONFIG_SETTINGS_MAX");

const struct config_setting *config_settings(size_t *count_out)
{
    *count_out = COUNT_OF(SETTINGS);
    return SETTINGS;
}

const struct config_setting *config_setting_find(const char *section, const char *name)
{
    for (size_t i = 0; i < COUNT_OF(SETTINGS); i++) {
        if (strcmp(SETTINGS[i].section, section) == 0 && strcmp(SETTINGS[i].name, name) == 0) {
            return &SETTINGS[i];
        }
    }
    return NULL;
}

bool config_section_is_known(const char *section)
{
    for (size_t i = 0; i < COUNT_OF(SETTINGS); i++) {
        if (strcmp(SETTINGS[i].section, section) == 0) {
            return true;
        }
    }
    return false;
}

const char *config_reload_exception(const struct config_setting *setting)
{
    switch (setting->reload) {
    case CONFIG_NEXT_START:
        return "A change takes effect at the next start.";
    case CONFIG_IF_SET:
        return "A reload reads it again, or another file; set or emptied, it takes effect at the "
               "next start.";
    case CONFIG_AT_ONCE:
        break;
    }
    return NULL;
}

/* --- the nearest known name --- */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance; names are short, longer ones are as far as can be. */
static size_t distance(const char *a, const char *b)
{
    enum { LONGEST = 63 };
    size_t row[LONGEST + 1];
    const size_t width = strlen(b);
    if (strlen(a) > LONGEST || width > LONGEST) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= width; j++) {
        row[j] = j;
    }
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= width; j++) {
            const size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = least(changed, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[width];
}

/* Keeps the nearer of two; a name that differs in more than half its letters is no suggestion. */
static void consider(const char *wrong, const char *known, const char **best, size_t *best_distance)
{
    const size_t now = distance(wrong, known);
    if (now < *best_distance && now * 2 <= strlen(known)) {
        *best = known;
        *best_distance = now;
    }
}

const char *config_nearest_name(const char *section, const char *name)
{
    const char *best = NULL;
    size_t best_distance = SIZE_MAX;
    for (size_t i = 0; i < COUNT_OF(SETTINGS); i++) {
        if (strcmp(SETTINGS[i].section, section) == 0) {
            consider(name, SETTINGS[i].name, &best, &best_distance);
        }
    }
    return best;
}

const char *config_nearest_section(const char *section)
{
    const char *best = NULL;
    size_t best_distance = SIZE_MAX;
    for (size_t i = 0; i < COUNT_OF(SETTINGS); i++) {
        consider(section, SETTINGS[i].section, &best, &best_distance);
    }
    return best;
}

/* --- from text to a field --- */

static void *field_of(const struct config_setting *setting, void *fields)
{
    return (char *)fields + setting->offset;
}

static bool store_number(const struct config_setting *setting, int64_t *field, const char *value,
                         struct error *err)
{
    const char *digits = value + (value[0] == '-' ? 1 : 0);
    const size_t length = strspn(digits, "0123456789");
    const bool whole = length > 0 && length < 19 && digits[length] == '\0';
    const int64_t number = whole ? strtoll(value, NULL, 10) : 0;
    if (!whole || number < setting->min || number > setting->max) {
        return fail(err, ERROR_CONFIG, "must be a whole number of %s from %" PRId64 " to %" PRId64,
                    setting->unit, setting->min, setting->max);
    }
    *field = number;
    return true;
}

static bool store_yes_no(bool *field, const char *value, struct error *err)
{
    if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0) {
        return fail(err, ERROR_CONFIG, "must be yes or no");
    }
    *field = value[0] == 'y';
    return true;
}

static bool is_choice(const char *choices, const char *value)
{
    const size_t length = strlen(value);
    for (const char *at = choices; *at != '\0';) {
        const size_t span = strcspn(at, " ");
        if (span == length && strncmp(at, value, span) == 0) {
            return true;
        }
        at += span + (at[span] == ' ' ? 1 : 0);
    }
    return false;
}

static void set_text(char **field, const char *value)
{
    free(*field);
    *field = xstrdup(value);
}

/* Empty is good where empty is the default. */
static bool store_choice(const struct config_setting *setting, char **field, const char *value,
                         struct error *err)
{
    if (strcmp(value, setting->preset) != 0 && !is_choice(setting->choices, value)) {
        return fail(err, ERROR_CONFIG, "must be one of: %s", setting->choices);
    }
    set_text(field, value);
    return true;
}

static bool check_text(const struct config_setting *setting, const char *value, struct error *err)
{
    const size_t length = strlen(value);
    if (length == 0) {
        const bool may_be_empty =
            !setting->required && !setting->repeats && setting->preset[0] == '\0';
        return may_be_empty || fail(err, ERROR_CONFIG, "must not be empty");
    }
    if (length > (size_t)setting->max) {
        return fail(err, ERROR_CONFIG, "has %zu characters: %" PRId64 " is the limit", length,
                    setting->max);
    }
    return setting->check == NULL || setting->check(value, err);
}

static bool append(struct config_list *list, const char *value, struct error *err)
{
    if (list->count == CONFIG_LIST_MAX) {
        return fail(err, ERROR_CONFIG, "is one too many: at most %d", CONFIG_LIST_MAX);
    }
    list->items = xrealloc(list->items, (list->count + 1) * sizeof(*list->items));
    list->items[list->count++] = xstrdup(value);
    return true;
}

static bool store_text(const struct config_setting *setting, void *fields, const char *value,
                       struct error *err)
{
    if (!check_text(setting, value, err)) {
        return false;
    }
    if (setting->repeats) {
        return append(field_of(setting, fields), value, err);
    }
    set_text(field_of(setting, fields), value);
    return true;
}

bool config_setting_store(const struct config_setting *setting, void *fields, const char *value,
                          struct error *err)
{
    void *field = field_of(setting, fields);
    switch (setting->type) {
    case CONFIG_NUMBER:
        return store_number(setting, field, value, err);
    case CONFIG_YES_NO:
        return store_yes_no(field, value, err);
    case CONFIG_CHOICE:
        return store_choice(setting, field, value, err);
    case CONFIG_TEXT:
        return store_text(setting, fields, value, err);
    }
    return fail(err, ERROR_INTERNAL, "setting without a type");
}

void config_setting_reset(const struct config_setting *setting, void *fields)
{
    struct error err;
    if (setting->repeats) {
        return;
    }
    if (setting->type == CONFIG_TEXT) {
        set_text(field_of(setting, fields), setting->preset);
        return;
    }
    const bool stored = config_setting_store(setting, fields, setting->preset, &err);
    assert(stored); /* a default that is out of its own row's bounds */
    (void)stored;
}

static void free_list(struct config_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i]);
    }
    free(list->items);
}

void config_setting_free(const struct config_setting *setting, void *fields)
{
    if (setting->repeats) {
        free_list(field_of(setting, fields));
    } else if (setting->type == CONFIG_TEXT || setting->type == CONFIG_CHOICE) {
        free(*(char **)field_of(setting, fields));
    }
}

/* Checks of texts, files and key URIs; config_address.c has those of addresses and URLs. */
#include "config_check.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/address.h"
#include "base/json_check.h"
#include "base/memory.h"
#include "base/secret.h"
#include "base/text.h"
#include "base/uri.h"
#include "hsm/tpm_uri.h"
#include "jose/did.h"
#include "store/store.h"

/* --- text --- */

bool config_check_visible(const char *value, struct error *err)
{
    for (const char *at = value; *at != '\0'; at++) {
        if (*at < 0x21 || *at > 0x7e) {
            return fail(err, ERROR_CONFIG, "must be visible ASCII without spaces");
        }
    }
    return true;
}

/* It goes into the metadata as a JSON string: the strict check knows what may stand there. */
bool config_check_display_name(const char *value, struct error *err)
{
    char json[2048];
    struct error reason;
    struct text text = text_over(json, sizeof(json));
    text_add_json_string(&text, value);
    if (text.overflowed || !json_check(json, text.length, &reason)) {
        return fail(err, ERROR_CONFIG, "must be UTF-8 text");
    }
    return true;
}

bool config_check_setenv(const char *value, struct error *err)
{
    const char *equals = strchr(value, '=');
    const size_t length = equals == NULL ? 0 : (size_t)(equals - value);
    if (length == 0 || isdigit((unsigned char)value[0])) {
        return fail(err, ERROR_CONFIG, "must be NAME=value, NAME of letters, digits and _");
    }
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)value[i]) && value[i] != '_') {
            return fail(err, ERROR_CONFIG, "must be NAME=value, NAME of letters, digits and _");
        }
    }
    if (has_prefix(value, "LD_")) {
        return fail(err, ERROR_CONFIG,
                    "must not set LD_*: it would load other code beside the key");
    }
    return true;
}

/* DID [TYPE...], blanks between. */
bool config_check_trust(const char *value, struct error *err)
{
    char did[DID_MAX + 1];
    const size_t length = strcspn(value, " ");
    size_t types = 0;

    (void)snprintf(did, sizeof(did), "%.*s", (int)length, value);
    if (length > DID_MAX || !did_is_valid(did)) {
        return fail(err, ERROR_CONFIG, "must begin with the issuer's DID, like did:web:a.example");
    }
    for (const char *at = value + length; *at != '\0'; at += strcspn(at, " ")) {
        at += strspn(at, " ");
        types += *at != '\0';
    }
    for (const char *at = value; *at != '\0'; at++) {
        if (*at < 0x20 || *at > 0x7e || *at == '"' || *at == '\\') {
            return fail(err, ERROR_CONFIG, "must name types in ASCII, blanks between");
        }
    }
    return types <= CONFIG_TRUST_TYPES_MAX
        || fail(err, ERROR_CONFIG, "names %zu types: %d is the limit", types,
                CONFIG_TRUST_TYPES_MAX);
}

/* IPv4 has the addresses ::ffff:0.0.0.0/96: ::/64 has them all, as 0.0.0.0/0 does. */
static bool has_all_of_ipv4(const struct address_prefix *prefix)
{
    static const struct address_prefix ipv4 = { .address.s6_addr = { [10] = 0xff, [11] = 0xff },
                                                .bits = 96 };
    return prefix->bits <= ipv4.bits && address_prefix_has(prefix, &ipv4.address);
}

bool config_check_proxy(const char *value, struct error *err)
{
    struct address_prefix prefix;
    if (!address_prefix_parse(value, &prefix)) {
        return fail(err, ERROR_CONFIG, "must be like 192.0.2.1, 10.0.0.0/8 or 2001:db8::/32");
    }
    if (!address_prefix_is_exact(&prefix)) {
        return fail(err, ERROR_CONFIG,
                    "has bits set beyond its prefix: write all of the address, or the network's");
    }
    return !has_all_of_ipv4(&prefix)
        || fail(err, ERROR_CONFIG,
                "lets any client speak for any other: name the proxies' own addresses");
}

/* --- files --- */

static bool check_absolute(const char *path, struct error *err)
{
    return path[0] == '/' || fail(err, ERROR_CONFIG, "must be an absolute path");
}

bool config_check_secret_file(const char *value, struct error *err)
{
    return check_absolute(value, err) && secret_check_file(value, err);
}

bool config_check_store_url(const char *value, struct error *err)
{
    return store_check_url(value, err);
}

bool config_check_node(const char *value, struct error *err)
{
    return value[strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")]
            == '\0'
        || fail(err, ERROR_CONFIG, "must be of letters, digits, '.', '_' and '-'");
}

bool config_check_path(const char *value, struct error *err)
{
    return value[0] == '/' || fail(err, ERROR_CONFIG, "must be an absolute path");
}

/* --- key URIs --- */

static bool check_module(const char *path, struct error *err)
{
    struct stat status;
    if (path[0] != '/') {
        return fail(err, ERROR_CONFIG, "must have an absolute path as module-path");
    }
    if (stat(path, &status) != 0) {
        return fail_errno(err, ERROR_CONFIG, "names the module %s that cannot be opened", path);
    }
    return S_ISREG(status.st_mode)
        || fail(err, ERROR_CONFIG, "names the module %s that is not a file", path);
}

static bool check_pin_source(const char *uri, struct error *err)
{
    char source[PATH_MAX];

    if (!uri_attribute(uri, "pin-source", source, sizeof(source), err)) {
        return false;
    }
    const char *path = uri_file_path(source);
    if (path == NULL) {
        return fail(err, ERROR_CONFIG, "must have pin-source=file:/ABSOLUTE/PATH");
    }
    return secret_check_file(path, err) || error_context(err, "pin-source");
}

static bool check_pkcs11_uri(const char *value, struct error *err)
{
    char module[PATH_MAX];

    /* Wherever it stands: the PIN would be readable by all who can read the configuration. */
    if (strstr(value, "pin-value") != NULL) {
        return fail(err, ERROR_CONFIG,
                    "holds the PIN itself: put it into a file of mode 600, write"
                    " pin-source=file:/PATH instead of pin-value, and change the PIN");
    }
    if (strpbrk(value, " \t") != NULL) {
        return fail(err, ERROR_CONFIG, "has a blank: write it as %%20");
    }
    return uri_attribute(value, "module-path", module, sizeof(module), err)
        && check_module(module, err) && check_pin_source(value, err);
}

static bool check_tpm_uri(const char *value, struct error *err)
{
    struct tpm_uri uri;

    return tpm_uri_parse(value, &uri, err)
        && (secret_check_file(uri.auth_file, err) || error_context(err, "pin-source"));
}

bool config_check_key_uri(const char *value, struct error *err)
{
    if (has_prefix(value, "tpm:")) {
        return check_tpm_uri(value, err);
    }
    if (has_prefix(value, "pkcs11:")) {
        return check_pkcs11_uri(value, err);
    }
    if (has_prefix(value, "file:")) {
        const char *path = value + strlen("file:");
        return check_absolute(path, err) && secret_check_key_file(path, err);
    }
    return fail(err, ERROR_CONFIG, "must begin with pkcs11:, tpm: or, for development, file:");
}

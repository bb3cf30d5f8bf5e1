#include "hsm/pkcs11_uri.h"

#include <stdlib.h>
#include <string.h>

#include <p11-kit/uri.h>

#include "base/memory.h"
#include "base/uri.h"

struct pkcs11_uri {
    P11KitUri *parsed;
    char *shown;
};

void pkcs11_uri_free(struct pkcs11_uri *uri)
{
    p11_kit_uri_free(uri->parsed);
    free(uri->shown);
    free(uri);
}

void release_pkcs11_uri(struct pkcs11_uri **uri)
{
    if (*uri != NULL) {
        pkcs11_uri_free(*uri);
    }
}

const char *pkcs11_uri_shown(const struct pkcs11_uri *uri)
{
    return uri->shown;
}

const char *pkcs11_uri_module_path(const struct pkcs11_uri *uri)
{
    return p11_kit_uri_get_module_path(uri->parsed);
}

const CK_ATTRIBUTE *pkcs11_uri_attribute(const struct pkcs11_uri *uri, CK_ATTRIBUTE_TYPE type)
{
    return p11_kit_uri_get_attribute(uri->parsed, type);
}

const CK_UTF8CHAR *pkcs11_uri_token_label(const struct pkcs11_uri *uri)
{
    const CK_TOKEN_INFO *wanted = p11_kit_uri_get_token_info(uri->parsed);
    return wanted->label[0] == '\0' ? NULL : wanted->label;
}

bool pkcs11_uri_names_token(const struct pkcs11_uri *uri, CK_SLOT_ID slot,
                            const CK_TOKEN_INFO *token)
{
    const CK_SLOT_ID wanted = p11_kit_uri_get_slot_id(uri->parsed);
    return (wanted == CK_UNAVAILABLE_INFORMATION || wanted == slot)
        && p11_kit_uri_match_token_info(uri->parsed, token) == 1;
}

static bool check_object(const struct pkcs11_uri *uri, struct error *err)
{
    const CK_ATTRIBUTE *type = pkcs11_uri_attribute(uri, CKA_CLASS);
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;

    if (type != NULL && type->ulValueLen == sizeof(class)) {
        memcpy(&class, type->pValue, sizeof(class));
    }
    return class == CKO_PRIVATE_KEY
        || fail(err, ERROR_CONFIG, "%s: type= must be private, or left out", uri->shown);
}

static bool check_query(const struct pkcs11_uri *uri, struct error *err)
{
    const char *module = pkcs11_uri_module_path(uri);

    if (p11_kit_uri_get_pin_value(uri->parsed) != NULL) {
        return fail(err, ERROR_CONFIG,
                    "%s: pin-value puts the PIN into the configuration: use pin-source=file:/PATH",
                    uri->shown);
    }
    if (module == NULL) {
        return fail(err, ERROR_CONFIG, "%s: add ?module-path=/PATH/TO/THE/MODULE.so", uri->shown);
    }
    return module[0] == '/'
        || fail(err, ERROR_CONFIG, "%s: module-path must be absolute", uri->shown);
}

/* Nor with a PIN that was put where it does not belong. */
static char *without_query(const char *text)
{
    char *shown = xstrdup(text);
    char *pin = strstr(shown, "pin-value");

    if (pin != NULL) {
        *pin = '\0';
    }
    shown[strcspn(shown, "?")] = '\0';
    return shown;
}

bool pkcs11_uri_parse(const char *text, struct pkcs11_uri **uri_out, struct error *err)
{
    scoped(release_pkcs11_uri) struct pkcs11_uri *uri = xcalloc(1, sizeof(*uri));

    uri->shown = without_query(text);
    uri->parsed = p11_kit_uri_new();
    if (text[strcspn(text, " \t\r\n")] != '\0') {
        /* p11-kit would drop it and look for another name. */
        return fail(err, ERROR_CONFIG, "%s: write a blank as %%20", uri->shown);
    }
    const int result = p11_kit_uri_parse(text, P11_KIT_URI_FOR_ANY, uri->parsed);
    if (result != P11_KIT_URI_OK) {
        return fail(err, ERROR_CONFIG, "%s is not an RFC 7512 URI: %s", uri->shown,
                    p11_kit_uri_message(result));
    }
    if (p11_kit_uri_any_unrecognized(uri->parsed) != 0) {
        return fail(err, ERROR_CONFIG, "%s: an attribute that RFC 7512 does not know", uri->shown);
    }
    if (!check_object(uri, err) || !check_query(uri, err)) {
        return false;
    }
    *uri_out = take(uri);
    return true;
}

bool pkcs11_uri_read_pin(const struct pkcs11_uri *uri, struct secret *pin_out, struct error *err)
{
    const char *source = p11_kit_uri_get_pin_source(uri->parsed);

    if (source == NULL) {
        return fail(err, ERROR_CONFIG, "%s: add pin-source=file:/PATH for the PIN", uri->shown);
    }
    const char *path = uri_file_path(source);
    if (path == NULL) { /* RFC 7512 2.4 also knows |command */
        return fail(err, ERROR_CONFIG, "%s: pin-source must be file:/PATH or an absolute path",
                    uri->shown);
    }
    return secret_read(path, pin_out, err) || error_context(err, "PIN");
}

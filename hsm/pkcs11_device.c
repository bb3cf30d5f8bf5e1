#include "hsm/pkcs11_device.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "hsm/pkcs11_error.h"

/* The order in which nothing is used after it is gone, as valgrind sees it. */
void pkcs11_device_close(struct pkcs11_device *device)
{
    if (device->slots != NULL) {
        PKCS11_release_all_slots(device->libp11, device->slots, device->slot_count);
    }
    if (device->libp11 != NULL) {
        PKCS11_CTX_unload(device->libp11);
        PKCS11_CTX_free(device->libp11);
    }
    if (device->library != NULL) {
        (void)dlclose(device->library);
    }
    free(device);
}

void release_pkcs11_device(struct pkcs11_device **device)
{
    if (*device != NULL) {
        pkcs11_device_close(*device);
    }
}

/* libp11 does not show its function list; one file is one module however often it is opened. */
static bool load_function_list(struct pkcs11_device *device, const char *path, struct error *err)
{
    CK_C_GetFunctionList get_function_list = NULL;

    device->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (device->library == NULL) {
        const char *reason = dlerror();
        return fail(err, ERROR_CONFIG, "PKCS#11 module cannot be loaded: %s", reason);
    }
    void *symbol = dlsym(device->library, "C_GetFunctionList");
    memcpy(&get_function_list, &symbol, sizeof(symbol)); /* ISO C has no such cast */
    if (get_function_list == NULL) {
        return fail(err, ERROR_CONFIG, "%s is not a PKCS#11 module", path);
    }
    const CK_RV rv = get_function_list(&device->api);
    return rv == CKR_OK || fail_pkcs11(err, rv, "module %s: C_GetFunctionList", path);
}

bool pkcs11_device_open(const struct pkcs11_uri *uri, struct pkcs11_device **device_out,
                        struct error *err)
{
    const char *path = pkcs11_uri_module_path(uri);
    scoped(release_pkcs11_device) struct pkcs11_device *device = xcalloc(1, sizeof(*device));

    if (!load_function_list(device, path, err)) {
        return false;
    }
    PKCS11_CTX *libp11 = PKCS11_CTX_new();
    if (libp11 == NULL || PKCS11_CTX_load(libp11, path) != 0) {
        (void)!fail_pkcs11(err, pkcs11_rv_of_libp11(), "module %s did not start", path);
        PKCS11_CTX_free(libp11); /* unload is for what was loaded */
        return false;
    }
    device->libp11 = libp11;
    if (PKCS11_enumerate_slots(libp11, &device->slots, &device->slot_count) != 0) {
        return fail_pkcs11(err, pkcs11_rv_of_libp11(), "module %s: list the slots", path);
    }
    *device_out = take(device);
    return true;
}

/* A field of fixed size, padded with blanks, as text. */
static void add_padded(struct text *text, const CK_UTF8CHAR *field, size_t size)
{
    while (size > 0 && (field[size - 1] == ' ' || field[size - 1] == '\0')) {
        size--;
    }
    text_add_bytes(text, (const char *)field, size);
}

static void add_token_name(struct text *text, const CK_TOKEN_INFO *token)
{
    text_add(text, "token \"");
    add_padded(text, token->label, sizeof(token->label));
    text_add(text, "\" serial ");
    add_padded(text, token->serialNumber, sizeof(token->serialNumber));
}

static void add_version(struct text *text, const char *what, const CK_VERSION *version)
{
    text_add(text, what);
    text_add_number(text, version->major);
    text_add(text, ".");
    text_add_number(text, version->minor);
}

void pkcs11_device_print(const struct pkcs11_device *device, struct text *text)
{
    const CK_TOKEN_INFO *token = &device->token;

    text_add(text, "manufacturer \"");
    add_padded(text, token->manufacturerID, sizeof(token->manufacturerID));
    text_add(text, "\" model \"");
    add_padded(text, token->model, sizeof(token->model));
    text_add(text, "\" serial \"");
    add_padded(text, token->serialNumber, sizeof(token->serialNumber));
    add_version(text, "\" hardware ", &token->hardwareVersion);
    add_version(text, " firmware ", &token->firmwareVersion);
}

static bool is_initialised(const CK_TOKEN_INFO *token)
{
    return (token->flags & CKF_TOKEN_INITIALIZED) != 0;
}

static void choose(struct pkcs11_device *device, unsigned index, const CK_TOKEN_INFO *token)
{
    struct text name = text_over(device->token_name, sizeof(device->token_name));

    device->slot = &device->slots[index];
    device->slot_id = PKCS11_get_slotid_from_slot(device->slot);
    device->token = *token;
    add_token_name(&name, token);
}

/* False for an empty slot, or one whose token does not answer. */
static bool read_token(const struct pkcs11_device *device, unsigned index, CK_SLOT_ID *slot_out,
                       CK_TOKEN_INFO *token_out)
{
    *slot_out = PKCS11_get_slotid_from_slot(&device->slots[index]);
    return device->slots[index].token != NULL
        && device->api->C_GetTokenInfo(*slot_out, token_out) == CKR_OK;
}

struct matches {
    unsigned initialised;
    unsigned blank;
    struct text present; /* the initialised tokens, for the message when none matches */
};

/* Looks at every token; the last initialised one that the URI names is chosen. */
static void match_tokens(struct pkcs11_device *device, const struct pkcs11_uri *uri,
                         struct matches *matches)
{
    CK_SLOT_ID slot;
    CK_TOKEN_INFO token;

    for (unsigned i = 0; i < device->slot_count; i++) {
        if (!read_token(device, i, &slot, &token)) {
            continue;
        }
        if (is_initialised(&token)) {
            text_add(&matches->present, matches->present.length == 0 ? "" : ", ");
            add_token_name(&matches->present, &token);
        }
        if (!pkcs11_uri_names_token(uri, slot, &token)) {
            continue;
        }
        if (is_initialised(&token)) {
            matches->initialised++;
            choose(device, i, &token);
        } else {
            matches->blank++;
        }
    }
}

bool pkcs11_device_choose_token(struct pkcs11_device *device, const struct pkcs11_uri *uri,
                                struct error *err)
{
    char present[160];
    struct matches matches = { .present = text_over(present, sizeof(present)) };

    match_tokens(device, uri, &matches);
    if (matches.initialised == 1) {
        return true;
    }
    if (matches.initialised > 1) {
        return fail(err, ERROR_CONFIG,
                    "%s names %u tokens: name one by serial=", pkcs11_uri_shown(uri),
                    matches.initialised);
    }
    if (matches.blank > 0) {
        return fail(err, ERROR_KEY_POLICY, "%s: the token is not initialised",
                    pkcs11_uri_shown(uri));
    }
    return fail(err, ERROR_DEVICE_UNAVAILABLE, "%s: no such token; there is %s",
                pkcs11_uri_shown(uri), matches.present.length == 0 ? "none" : present);
}

bool pkcs11_device_choose_free_slot(struct pkcs11_device *device, const struct pkcs11_uri *uri,
                                    struct error *err)
{
    CK_SLOT_ID slot;
    CK_TOKEN_INFO token;
    struct matches matches = { 0 };

    match_tokens(device, uri, &matches);
    if (matches.initialised > 0) {
        return fail(err, ERROR_CONFLICT, "%s is initialised already", device->token_name);
    }
    for (unsigned i = 0; i < device->slot_count; i++) {
        if (read_token(device, i, &slot, &token) && !is_initialised(&token)) {
            choose(device, i, &token);
            return true;
        }
    }
    return fail(err, ERROR_DEVICE_UNAVAILABLE, "%s: no slot has a token to initialise",
                pkcs11_uri_module_path(uri));
}

/* A token counts wrong PINs, and the last one locks the key away from every server that uses it.
 * So the last try is left to a person. */
static bool check_pin_state(const struct pkcs11_device *device, struct error *err)
{
    static const struct {
        CK_FLAGS flag;
        const char *refusal;
    } states[] = {
        { CKF_USER_PIN_LOCKED, "the user PIN is locked: the security officer has to reset it" },
        { CKF_USER_PIN_FINAL_TRY,
          "one try is left for the user PIN: check pin-source, then log in by hand once" },
        { CKF_USER_PIN_TO_BE_CHANGED, "the token wants its user PIN changed first" },
    };
    for (size_t i = 0; i < COUNT_OF(states); i++) {
        if ((device->token.flags & states[i].flag) != 0) {
            return fail(err, ERROR_KEY_LOCKED, "%s: %s; no login was tried", device->token_name,
                        states[i].refusal);
        }
    }
    return (device->token.flags & CKF_USER_PIN_INITIALIZED) != 0
        || fail(err, ERROR_KEY_POLICY, "%s: its user PIN is not set", device->token_name);
}

bool pkcs11_session_open(const struct pkcs11_device *device, CK_FLAGS flags,
                         struct pkcs11_session *session_out, struct error *err)
{
    const CK_RV rv = device->api->C_OpenSession(device->slot_id, CKF_SERIAL_SESSION | flags, NULL,
                                                NULL, &session_out->handle);
    if (rv != CKR_OK) {
        return fail_pkcs11(err, rv, "%s: C_OpenSession", device->token_name);
    }
    session_out->device = device;
    return true;
}

void pkcs11_session_close(struct pkcs11_session *session)
{
    if (session->device != NULL) {
        (void)session->device->api->C_CloseSession(session->handle);
        session->device = NULL;
    }
}

/* libp11 0.4.12 logs in on a session of its own and waits for ever if none can be opened: see that
 * one can. */
static bool probe_session(const struct pkcs11_device *device, struct error *err)
{
    scoped(pkcs11_session_close) struct pkcs11_session probe = { 0 };
    return pkcs11_session_open(device, 0, &probe, err);
}

bool pkcs11_device_login(struct pkcs11_device *device, const struct pkcs11_uri *uri,
                         struct error *err)
{
    scoped(secret_clear) struct secret pin = { .length = 0 };

    if (!check_pin_state(device, err) || !pkcs11_uri_read_pin(uri, &pin, err)
        || !probe_session(device, err)) {
        return false;
    }
    if (PKCS11_login(device->slot, 0, pin.text) != 0) {
        return fail_pkcs11(err, pkcs11_rv_of_libp11(), "%s: login", device->token_name);
    }
    return true;
}

bool pkcs11_session_is_logged_in(const struct pkcs11_session *session)
{
    CK_SESSION_INFO info;

    return session->device != NULL
        && session->device->api->C_GetSessionInfo(session->handle, &info) == CKR_OK
        && (info.state == CKS_RO_USER_FUNCTIONS || info.state == CKS_RW_USER_FUNCTIONS);
}

bool pkcs11_session_login(struct pkcs11_device *device, const struct pkcs11_session *session,
                          const struct pkcs11_uri *uri, struct error *err)
{
    scoped(secret_clear) struct secret pin = { .length = 0 };

    CK_RV rv = device->api->C_GetTokenInfo(device->slot_id, &device->token);
    if (rv != CKR_OK) {
        return fail_pkcs11(err, rv, "%s: C_GetTokenInfo", device->token_name);
    }
    if (!check_pin_state(device, err) || !pkcs11_uri_read_pin(uri, &pin, err)) {
        return false;
    }
    rv = device->api->C_Login(session->handle, CKU_USER, (CK_UTF8CHAR *)pin.text, pin.length);
    return rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN
        || fail_pkcs11(err, rv, "%s: login", device->token_name);
}

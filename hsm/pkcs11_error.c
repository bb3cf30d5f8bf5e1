#include "hsm/pkcs11_error.h"

#include <stdarg.h>
#include <stdio.h>

#include <libp11.h>
#include <openssl/err.h>

#include "base/memory.h"

struct meaning {
    CK_RV rv;
    enum error_code code;
    enum pkcs11_remedy remedy;
    const char *name;
};

/* The values that a signer meets. What is not listed may pass by itself: DEVICE_UNAVAILABLE, and
 * another session may do better. A mistake of ours or of the configuration is tried once more as
 * well: it costs nothing, and a module may be confused. */
static const struct meaning meanings[] = {
/* clang-format off */
#define MEANS(code, remedy, rv) { rv, ERROR_##code, PKCS11_REMEDY_##remedy, #rv }
    /* The PIN: never tried again by itself, since a token counts the tries. */
    MEANS(KEY_LOCKED, NONE, CKR_PIN_INCORRECT),
    MEANS(KEY_LOCKED, NONE, CKR_PIN_INVALID),
    MEANS(KEY_LOCKED, NONE, CKR_PIN_LEN_RANGE),
    MEANS(KEY_LOCKED, NONE, CKR_PIN_EXPIRED),
    MEANS(KEY_LOCKED, NONE, CKR_PIN_LOCKED),
    MEANS(KEY_LOCKED, NONE, CKR_USER_PIN_NOT_INITIALIZED),
    MEANS(KEY_LOCKED, NONE, CKR_USER_TYPE_INVALID),
    MEANS(KEY_LOCKED, NONE, CKR_USER_ANOTHER_ALREADY_LOGGED_IN),

    /* The key or the token does not do what is asked of it. */
    MEANS(KEY_POLICY, SESSION, CKR_ATTRIBUTE_READ_ONLY),
    MEANS(KEY_POLICY, SESSION, CKR_ATTRIBUTE_SENSITIVE),
    MEANS(KEY_POLICY, SESSION, CKR_ATTRIBUTE_TYPE_INVALID),
    MEANS(KEY_POLICY, SESSION, CKR_ATTRIBUTE_VALUE_INVALID),
    MEANS(KEY_POLICY, SESSION, CKR_TEMPLATE_INCOMPLETE),
    MEANS(KEY_POLICY, SESSION, CKR_TEMPLATE_INCONSISTENT),
    MEANS(KEY_POLICY, SESSION, CKR_KEY_SIZE_RANGE),
    MEANS(KEY_POLICY, SESSION, CKR_KEY_TYPE_INCONSISTENT),
    MEANS(KEY_POLICY, SESSION, CKR_KEY_FUNCTION_NOT_PERMITTED),
    MEANS(KEY_POLICY, SESSION, CKR_MECHANISM_INVALID),
    MEANS(KEY_POLICY, SESSION, CKR_MECHANISM_PARAM_INVALID),
    MEANS(KEY_POLICY, SESSION, CKR_DOMAIN_PARAMS_INVALID),
    MEANS(KEY_POLICY, SESSION, CKR_CURVE_NOT_SUPPORTED),
    MEANS(KEY_POLICY, SESSION, CKR_ACTION_PROHIBITED),

    /* The configuration. */
    MEANS(CONFIG, SESSION, CKR_ARGUMENTS_BAD),
    MEANS(CONFIG, SESSION, CKR_FUNCTION_NOT_SUPPORTED),
    MEANS(CONFIG, SESSION, CKR_SESSION_READ_ONLY),
    MEANS(CONFIG, SESSION, CKR_TOKEN_WRITE_PROTECTED),
    MEANS(CONFIG, SESSION, CKR_PIN_TOO_WEAK), /* a new one: in a ceremony */

    /* The device. */
    MEANS(DEVICE_UNAVAILABLE, NONE, CKR_HOST_MEMORY),
    MEANS(DEVICE_UNAVAILABLE, NONE, CKR_SLOT_ID_INVALID),
    MEANS(DEVICE_UNAVAILABLE, SESSION, CKR_GENERAL_ERROR),
    MEANS(DEVICE_UNAVAILABLE, SESSION, CKR_FUNCTION_FAILED),
    MEANS(DEVICE_UNAVAILABLE, PAUSE, CKR_CANT_LOCK),
    MEANS(DEVICE_UNAVAILABLE, SESSION, CKR_DATA_INVALID),
    MEANS(DEVICE_UNAVAILABLE, SESSION, CKR_DATA_LEN_RANGE),
    MEANS(DEVICE_UNAVAILABLE, SESSION, CKR_DEVICE_ERROR),
    MEANS(DEVICE_UNAVAILABLE, PAUSE, CKR_DEVICE_MEMORY),
    MEANS(DEVICE_UNAVAILABLE, NONE, CKR_DEVICE_REMOVED),
    MEANS(DEVICE_UNAVAILABLE, PAUSE, CKR_FUNCTION_CANCELED),
    MEANS(DEVICE_UNAVAILABLE, LOGIN, CKR_KEY_HANDLE_INVALID),
    MEANS(DEVICE_UNAVAILABLE, LOGIN, CKR_KEY_CHANGED),
    MEANS(DEVICE_UNAVAILABLE, LOGIN, CKR_OBJECT_HANDLE_INVALID),
    MEANS(DEVICE_UNAVAILABLE, SESSION, CKR_OPERATION_ACTIVE),
    MEANS(DEVICE_UNAVAILABLE, SESSION, CKR_OPERATION_NOT_INITIALIZED),
    MEANS(DEVICE_UNAVAILABLE, SESSION, CKR_SESSION_CLOSED),
    MEANS(DEVICE_UNAVAILABLE, PAUSE, CKR_SESSION_COUNT),
    MEANS(DEVICE_UNAVAILABLE, SESSION, CKR_SESSION_EXISTS),
    MEANS(DEVICE_UNAVAILABLE, SESSION, CKR_SESSION_HANDLE_INVALID),
    MEANS(DEVICE_UNAVAILABLE, NONE, CKR_TOKEN_NOT_PRESENT),
    MEANS(DEVICE_UNAVAILABLE, NONE, CKR_TOKEN_NOT_RECOGNIZED),
    MEANS(DEVICE_UNAVAILABLE, LOGIN, CKR_USER_NOT_LOGGED_IN),
    MEANS(DEVICE_UNAVAILABLE, SESSION, CKR_BUFFER_TOO_SMALL),
    MEANS(DEVICE_UNAVAILABLE, NONE, CKR_CRYPTOKI_NOT_INITIALIZED),
#undef MEANS
    /* clang-format on */
};

static struct meaning meaning_of(CK_RV rv)
{
    for (size_t i = 0; i < COUNT_OF(meanings); i++) {
        if (meanings[i].rv == rv) {
            return meanings[i];
        }
    }
    return (struct meaning){
        .rv = rv,
        .code = ERROR_DEVICE_UNAVAILABLE,
        .remedy = PKCS11_REMEDY_SESSION,
        .name = rv >= CKR_VENDOR_DEFINED ? "a value of the vendor's own" : "a value without a name",
    };
}

bool fail_pkcs11(struct error *err, CK_RV rv, const char *format, ...)
{
    const struct meaning meaning = meaning_of(rv);
    va_list args;

    *err = (struct error){
        .code = meaning.code,
        .cause = { .library = "pkcs11", .number = rv },
    };
    va_start(args, format);
    (void)vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    (void)snprintf(err->cause.text, sizeof(err->cause.text), "%s", meaning.name);
    return false;
}

enum pkcs11_remedy pkcs11_remedy_of(CK_RV rv)
{
    return meaning_of(rv).remedy;
}

CK_RV pkcs11_rv_of_libp11(void)
{
    const unsigned long queued = ERR_peek_last_error();
    const bool from_module = queued != 0 && ERR_GET_LIB(queued) == ERR_get_CKR_code();

    ERR_clear_error();
    return from_module ? (CK_RV)ERR_GET_REASON(queued) : CKR_GENERAL_ERROR;
}

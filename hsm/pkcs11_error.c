#include "hsm/pkcs11_error.h"

#include <stdarg.h>
#include <stdio.h>

#include <libp11.h>
#include <openssl/err.h>

#include "base/memory.h"

struct meaning {
    CK_RV rv;
    enum error_code code;
    const char *name;
};

/* The values that a signer meets. What is not listed may pass by itself: DEVICE_UNAVAILABLE. */
static const struct meaning meanings[] = {
/* clang-format off */
#define MEANS(code, rv) { rv, code, #rv }
    /* The PIN: never tried again by itself, since a token counts the tries. */
    MEANS(ERROR_KEY_LOCKED, CKR_PIN_INCORRECT),
    MEANS(ERROR_KEY_LOCKED, CKR_PIN_INVALID),
    MEANS(ERROR_KEY_LOCKED, CKR_PIN_LEN_RANGE),
    MEANS(ERROR_KEY_LOCKED, CKR_PIN_EXPIRED),
    MEANS(ERROR_KEY_LOCKED, CKR_PIN_LOCKED),
    MEANS(ERROR_KEY_LOCKED, CKR_USER_PIN_NOT_INITIALIZED),
    MEANS(ERROR_KEY_LOCKED, CKR_USER_TYPE_INVALID),
    MEANS(ERROR_KEY_LOCKED, CKR_USER_ANOTHER_ALREADY_LOGGED_IN),

    /* The key or the token does not do what is asked of it. */
    MEANS(ERROR_KEY_POLICY, CKR_ATTRIBUTE_READ_ONLY),
    MEANS(ERROR_KEY_POLICY, CKR_ATTRIBUTE_SENSITIVE),
    MEANS(ERROR_KEY_POLICY, CKR_ATTRIBUTE_TYPE_INVALID),
    MEANS(ERROR_KEY_POLICY, CKR_ATTRIBUTE_VALUE_INVALID),
    MEANS(ERROR_KEY_POLICY, CKR_TEMPLATE_INCOMPLETE),
    MEANS(ERROR_KEY_POLICY, CKR_TEMPLATE_INCONSISTENT),
    MEANS(ERROR_KEY_POLICY, CKR_KEY_SIZE_RANGE),
    MEANS(ERROR_KEY_POLICY, CKR_KEY_TYPE_INCONSISTENT),
    MEANS(ERROR_KEY_POLICY, CKR_KEY_FUNCTION_NOT_PERMITTED),
    MEANS(ERROR_KEY_POLICY, CKR_MECHANISM_INVALID),
    MEANS(ERROR_KEY_POLICY, CKR_MECHANISM_PARAM_INVALID),
    MEANS(ERROR_KEY_POLICY, CKR_DOMAIN_PARAMS_INVALID),
    MEANS(ERROR_KEY_POLICY, CKR_CURVE_NOT_SUPPORTED),
    MEANS(ERROR_KEY_POLICY, CKR_ACTION_PROHIBITED),

    /* The configuration. */
    MEANS(ERROR_CONFIG, CKR_ARGUMENTS_BAD),
    MEANS(ERROR_CONFIG, CKR_FUNCTION_NOT_SUPPORTED),
    MEANS(ERROR_CONFIG, CKR_SESSION_READ_ONLY),
    MEANS(ERROR_CONFIG, CKR_TOKEN_WRITE_PROTECTED),
    MEANS(ERROR_CONFIG, CKR_PIN_TOO_WEAK), /* a new one: in a ceremony */

    /* The device. */
    MEANS(ERROR_DEVICE_UNAVAILABLE, CKR_HOST_MEMORY),
    MEANS(ERROR_DEVICE_UNAVAILABLE, CKR_SLOT_ID_INVALID),
    MEANS(ERROR_DEVICE_UNAVAILABLE, CKR_GENERAL_ERROR),
    MEANS(ERROR_DEVICE_UNAVAILABLE, CKR_FUNCTION_FAILED),
    MEANS(ERROR_DEVICE_UNAVAILABLE, CKR_CANT_LOCK),
    MEANS(ERROR_DEVICE_UNAVAILABLE, CKR_DATA_INVALID),
    MEANS(ERROR_DEVICE_UNAVAILABLE, CKR_DATA_LEN_RANGE),
    MEANS(ERROR_DEVICE_UNAVAILABLE, CKR_DEVICE_ERROR),
    MEANS(ERROR_DEVICE_UNAVAILABLE, CKR_DEVICE_MEMORY),
    MEANS(ERROR_DEVICE_UNAVAILABLE, CKR_DEVICE_REMOVED),
    MEANS(ERROR_DEVICE_UNAVAILABLE, CKR_FUNCTION_CANCELED),
    MEANS(ERROR_DEVICE_UNAVAILABLE, CKR_KEY_HANDLE_INVALID),
    MEANS(ERROR_DEVICE_UNAVAILABLE, CKR_KEY_CHANGED),
    MEANS(ERROR_DEVICE_UNAVAILABLE, CKR_OBJECT_HANDLE_INVALID),
    MEANS(ERROR_DEVICE_UNAVAILABLE, CKR_OPERATION_ACTIVE),
    MEANS(ERROR_DEVICE_UNAVAILABLE, CKR_OPERATION_NOT_INITIALIZED),
    MEANS(ERROR_DEVICE_UNAVAILABLE, CKR_SESSION_CLOSED),
    MEANS(ERROR_DEVICE_UNAVAILABLE, CKR_SESSION_COUNT),
    MEANS(ERROR_DEVICE_UNAVAILABLE, CKR_SESSION_EXISTS),
    MEANS(ERROR_DEVICE_UNAVAILABLE, CKR_SESSION_HANDLE_INVALID),
    MEANS(ERROR_DEVICE_UNAVAILABLE, CKR_TOKEN_NOT_PRESENT),
    MEANS(ERROR_DEVICE_UNAVAILABLE, CKR_TOKEN_NOT_RECOGNIZED),
    MEANS(ERROR_DEVICE_UNAVAILABLE, CKR_USER_NOT_LOGGED_IN),
    MEANS(ERROR_DEVICE_UNAVAILABLE, CKR_BUFFER_TOO_SMALL),
    MEANS(ERROR_DEVICE_UNAVAILABLE, CKR_CRYPTOKI_NOT_INITIALIZED),
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

CK_RV pkcs11_rv_of_libp11(void)
{
    const unsigned long queued = ERR_peek_last_error();
    const bool from_module = queued != 0 && ERR_GET_LIB(queued) == ERR_get_CKR_code();

    ERR_clear_error();
    return from_module ? (CK_RV)ERR_GET_REASON(queued) : CKR_GENERAL_ERROR;
}

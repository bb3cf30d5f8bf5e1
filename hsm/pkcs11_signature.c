#include "hsm/pkcs11_signature.h"

#include <string.h>

struct digest_info digest_info_of(const struct digest *digest)
{
    struct digest_info info = { { 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65,
                                  0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20 } };
    memcpy(info.bytes + sizeof(info.bytes) - sizeof(digest->bytes), digest->bytes,
           sizeof(digest->bytes));
    return info;
}

bool signature_widen(struct signature *signature, size_t half, struct error *err)
{
    uint8_t wide[2 * ECDSA_HALF_MAX] = { 0 };
    const size_t narrow = signature->length / 2;

    if (narrow == 0 || signature->length % 2 != 0 || narrow > half) {
        return fail(err, ERROR_DEVICE_UNAVAILABLE,
                    "the device made an ECDSA signature of %zu bytes", signature->length);
    }
    memcpy(wide + half - narrow, signature->bytes, narrow);
    memcpy(wide + 2 * half - narrow, signature->bytes + narrow, narrow);
    memcpy(signature->bytes, wide, 2 * half);
    signature->length = 2 * half;
    return true;
}

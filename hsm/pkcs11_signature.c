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

bool signature_widen_es256(struct signature *signature, struct error *err)
{
    uint8_t wide[2 * ES256_HALF] = { 0 };
    const size_t half = signature->length / 2;

    if (half == 0 || signature->length % 2 != 0 || half > ES256_HALF) {
        return fail(err, ERROR_DEVICE_UNAVAILABLE,
                    "the device made an ECDSA signature of %zu bytes", signature->length);
    }
    memcpy(wide + ES256_HALF - half, signature->bytes, half);
    memcpy(wide + sizeof(wide) - half, signature->bytes + half, half);
    memcpy(signature->bytes, wide, sizeof(wide));
    signature->length = sizeof(wide);
    return true;
}

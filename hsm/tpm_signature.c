#include "hsm/tpm_signature.h"

#include <string.h>

static void put_half(uint8_t *half_out, size_t width, const TPM2B_ECC_PARAMETER *number)
{
    memset(half_out, 0, width - number->size);
    memcpy(half_out + width - number->size, number->buffer, number->size);
}

static bool read_ecdsa(const TPMS_SIGNATURE_ECC *from, size_t half, struct signature *signature_out,
                       struct error *err)
{
    const TPM2B_ECC_PARAMETER *r = &from->signatureR;
    const TPM2B_ECC_PARAMETER *s = &from->signatureS;

    if (r->size == 0 || s->size == 0 || r->size > half || s->size > half) {
        return fail(err, ERROR_DEVICE_UNAVAILABLE,
                    "the TPM made an ECDSA signature of %u and %u bytes", r->size, s->size);
    }
    put_half(signature_out->bytes, half, r);
    put_half(signature_out->bytes + half, half, s);
    signature_out->length = 2 * half;
    return true;
}

bool tpm_signature_read(const TPMT_SIGNATURE *from, enum jose_algorithm algorithm,
                        struct signature *signature_out, struct error *err)
{
    const size_t half = jose_ecdsa_half(algorithm);
    const TPMS_SIGNATURE_RSA *rsa = &from->signature.rsassa; /* rsapss is the same struct */

    if (half > 0 && from->sigAlg == TPM2_ALG_ECDSA) {
        return read_ecdsa(&from->signature.ecdsa, half, signature_out, err);
    }
    if (from->sigAlg != (algorithm == JOSE_RS256 ? TPM2_ALG_RSASSA : TPM2_ALG_RSAPSS)
        || rsa->sig.size == 0 || rsa->sig.size > sizeof(signature_out->bytes)) {
        return fail(err, ERROR_DEVICE_UNAVAILABLE, "the TPM made a signature of another kind");
    }
    memcpy(signature_out->bytes, rsa->sig.buffer, rsa->sig.size);
    signature_out->length = rsa->sig.size;
    return true;
}

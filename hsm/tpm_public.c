#include "hsm/tpm_public.h"

#include <string.h>

#include "base/memory.h"
#include "jose/public_key.h"

enum { EXPONENT_DEFAULT = 65537 }; /* what an exponent of 0 means (Part 2 12.2.3.5) */

enum wish { SET, CLEAR, EITHER };

static const struct {
    TPMA_OBJECT bit;
    enum wish wish;
    const char *name;
    const char *why;
} policy[] = {
    { TPMA_OBJECT_FIXEDTPM, SET, "fixedTPM", "it could leave the TPM" },
    { TPMA_OBJECT_FIXEDPARENT, SET, "fixedParent", "it could leave its parent" },
    { TPMA_OBJECT_SENSITIVEDATAORIGIN, SET, "sensitiveDataOrigin",
      "it was not generated in the TPM" },
    { TPMA_OBJECT_USERWITHAUTH, SET, "userWithAuth", "its authorization value does not unlock it" },
    { TPMA_OBJECT_NODA, EITHER, "noDA", "" },
    { TPMA_OBJECT_SIGN_ENCRYPT, SET, "sign", "it does not sign" },
    { TPMA_OBJECT_DECRYPT, CLEAR, "decrypt", "it does more than sign" },
    { TPMA_OBJECT_RESTRICTED, CLEAR, "restricted", "it signs only what the TPM itself has hashed" },
    { TPMA_OBJECT_ADMINWITHPOLICY, EITHER, "adminWithPolicy", "" },
    { TPMA_OBJECT_ENCRYPTEDDUPLICATION, EITHER, "encryptedDuplication", "" },
};

bool tpm_public_check_policy(const TPMT_PUBLIC *public_area, const char *name, struct error *err)
{
    for (size_t i = 0; i < COUNT_OF(policy); i++) {
        const bool is_set = (public_area->objectAttributes & policy[i].bit) != 0;
        if (policy[i].wish != EITHER && is_set != (policy[i].wish == SET)) {
            return fail(err, ERROR_KEY_POLICY, "%s: %s is %s (%s)", name, policy[i].name,
                        is_set ? "set" : "clear", policy[i].why);
        }
    }
    return true;
}

void tpm_public_print_attributes(const TPMT_PUBLIC *public_area, struct text *text)
{
    const char *separator = "";

    for (size_t i = 0; i < COUNT_OF(policy); i++) {
        if ((public_area->objectAttributes & policy[i].bit) != 0) {
            text_add(text, separator);
            text_add(text, policy[i].name);
            separator = " ";
        }
    }
}

/* The TPM may give a coordinate without its leading zeros (Part 1 C.8 does not bind them all). */
static EVP_PKEY *read_point(const char *curve, size_t half, const TPMS_ECC_POINT *unique)
{
    uint8_t point[1 + 2 * TPM2_MAX_ECC_KEY_BYTES] = { 0x04 };

    if (unique->x.size > half || unique->y.size > half) {
        return NULL;
    }
    memcpy(point + 1 + half - unique->x.size, unique->x.buffer, unique->x.size);
    memcpy(point + 1 + 2 * half - unique->y.size, unique->y.buffer, unique->y.size);
    return public_key_from_point(curve, point, 1 + 2 * half);
}

static EVP_PKEY *read_rsa(const TPMT_PUBLIC *public_area)
{
    const TPM2B_PUBLIC_KEY_RSA *modulus = &public_area->unique.rsa;
    uint32_t exponent = public_area->parameters.rsaDetail.exponent;

    exponent = exponent == 0 ? EXPONENT_DEFAULT : exponent;
    const uint8_t octets[] = { (uint8_t)(exponent >> 24), (uint8_t)(exponent >> 16),
                               (uint8_t)(exponent >> 8), (uint8_t)exponent };
    return public_key_from_rsa(modulus->buffer, modulus->size, octets, sizeof(octets));
}

bool tpm_public_read_key(const TPMT_PUBLIC *public_area, const char *name, EVP_PKEY **key_out,
                         struct error *err)
{
    const TPMI_ECC_CURVE curve = public_area->parameters.eccDetail.curveID;

    *key_out = NULL;
    if (public_area->type == TPM2_ALG_RSA) {
        *key_out = read_rsa(public_area);
    } else if (public_area->type == TPM2_ALG_ECC && curve == TPM2_ECC_NIST_P256) {
        *key_out = read_point("prime256v1", 32, &public_area->unique.ecc);
    } else if (public_area->type == TPM2_ALG_ECC && curve == TPM2_ECC_NIST_P384) {
        *key_out = read_point("secp384r1", 48, &public_area->unique.ecc);
    } else {
        return fail(err, ERROR_KEY_POLICY, "%s: neither a P-256, a P-384 nor an RSA key", name);
    }
    return *key_out != NULL || fail_openssl(err, ERROR_KEY_POLICY, "%s: its public key", name);
}

#include "vc/multikey.h"

#include <stdint.h>
#include <string.h>

#include <openssl/err.h>

#include "base/memory.h"
#include "jose/public_key.h"

enum { CODEC_LENGTH = 2, OCTETS_MAX = CODEC_LENGTH + 49 };

struct codec {
    uint8_t varint[CODEC_LENGTH];
    const char *group; /* OpenSSL's; NULL: Ed25519 */
    size_t length;     /* of the key: a compressed point, or the octets of RFC 8032 */
};

static const struct codec codecs[] = {
    { { 0x80, 0x24 }, "prime256v1", 33 }, /* p256-pub, 0x1200 */
    { { 0x81, 0x24 }, "secp384r1", 49 },  /* p384-pub, 0x1201 */
    { { 0xe7, 0x01 }, "secp256k1", 33 },
    { { 0xed, 0x01 }, NULL, 32 },
};

/* False if the octets do not fit. No codec begins with a zero octet, so no text does with a '1'. */
static bool decode_base58(const char *text, uint8_t out[static OCTETS_MAX], size_t *length_out)
{
    static const char digits[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    uint8_t little[OCTETS_MAX] = { 0 }; /* endian */
    size_t length = 0;

    for (const char *at = text; *at != '\0'; at++) {
        const char *digit = strchr(digits, *at);
        if (digit == NULL) {
            return false;
        }
        unsigned carry = (unsigned)(digit - digits);
        for (size_t i = 0; i < length; i++) {
            carry += little[i] * 58U;
            little[i] = (uint8_t)carry;
            carry >>= 8;
        }
        if (carry > 0) {
            if (length == OCTETS_MAX) {
                return false;
            }
            little[length++] = (uint8_t)carry;
        }
    }
    for (size_t i = 0; i < length; i++) {
        out[i] = little[length - 1 - i];
    }
    *length_out = length;
    return true;
}

static EVP_PKEY *key_of(const uint8_t *octets, size_t length)
{
    for (size_t i = 0; i < COUNT_OF(codecs); i++) {
        const struct codec *codec = &codecs[i];
        if (length == CODEC_LENGTH + codec->length
            && memcmp(octets, codec->varint, CODEC_LENGTH) == 0) {
            return codec->group != NULL
                     ? public_key_from_point(codec->group, octets + CODEC_LENGTH, codec->length)
                     : public_key_from_ed25519(octets + CODEC_LENGTH, codec->length);
        }
    }
    return NULL;
}

bool multikey_parse(const char *text, EVP_PKEY **key_out, struct error *err)
{
    uint8_t octets[OCTETS_MAX];
    size_t length = 0;

    if (text[0] != 'z' || text[1] == '1' || !decode_base58(text + 1, octets, &length)) {
        return fail(err, ERROR_INVALID_REQUEST, "not a multibase key: z and base58");
    }
    *key_out = key_of(octets, length);
    ERR_clear_error();
    return *key_out != NULL
        || fail(err, ERROR_INVALID_REQUEST, "no P-256, P-384, secp256k1 or Ed25519 key");
}

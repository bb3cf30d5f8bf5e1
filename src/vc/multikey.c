#include "vc/multikey.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "jose/public_key.h"

struct codec {
    uint8_t varint[2]; /* of the multicodec table's number, in its only minimal form */
    const char *name;
    const char *group; /* NULL: Ed25519 */
    size_t length;     /* of the key */
};

static const struct codec CODECS[] = {
    { { 0x80, 0x24 }, "p256-pub", "prime256v1", 33 }, /* 0x1200 */
    { { 0x81, 0x24 }, "p384-pub", "secp384r1", 49 },  /* 0x1201 */
    { { 0xe7, 0x01 }, "secp256k1-pub", "secp256k1", 33 },
    { { 0xed, 0x01 }, "ed25519-pub", NULL, 32 },
};

enum { MULTIKEY_BYTES = 2 + 49 };

/* One number in base 58, written big-endian. A leading "1" is a leading zero byte, which no codec of
 * ours begins with. False also if there are more bytes than in any key. */
static bool base58btc_decode(const char *text, uint8_t out[static MULTIKEY_BYTES],
                             size_t *length_out)
{
    static const char DIGITS[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    uint8_t number[MULTIKEY_BYTES]; /* little-endian */
    size_t length = 0;

    if (*text == '1') {
        return false;
    }
    for (; *text != '\0'; text++) {
        const char *digit = strchr(DIGITS, *text);
        if (digit == NULL) {
            return false;
        }
        unsigned carry = (unsigned)(digit - DIGITS);
        for (size_t i = 0; i < length; i++) {
            carry += number[i] * 58U;
            number[i] = (uint8_t)(carry & 0xff);
            carry >>= 8;
        }
        if (carry > 0) {
            if (length == sizeof(number)) {
                return false;
            }
            number[length++] = (uint8_t)carry;
        }
    }
    for (size_t i = 0; i < length; i++) {
        out[i] = number[length - 1 - i];
    }
    *length_out = length;
    return true;
}

static const struct codec *find_codec(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < COUNT_OF(CODECS); i++) {
        if (length > sizeof(CODECS[i].varint)
            && memcmp(bytes, CODECS[i].varint, sizeof(CODECS[i].varint)) == 0) {
            return &CODECS[i];
        }
    }
    return NULL;
}

bool multikey_parse(const char *multibase, EVP_PKEY **key_out, struct error *err)
{
    uint8_t bytes[MULTIKEY_BYTES];
    size_t length = 0;

    if (*multibase != 'z' || !base58btc_decode(multibase + 1, bytes, &length)) {
        return fail(err, ERROR_INVALID_REQUEST, "not z and the base58btc of a public key");
    }
    const struct codec *codec = find_codec(bytes, length);
    if (codec == NULL) {
        return fail(err, ERROR_INVALID_REQUEST,
                    "its multicodec is none of p256-pub, p384-pub, secp256k1-pub, ed25519-pub");
    }
    const uint8_t *key = bytes + sizeof(codec->varint);
    length -= sizeof(codec->varint);
    if (length != codec->length) {
        return fail(err, ERROR_INVALID_REQUEST, "a key of %zu bytes, where %s has %zu", length,
                    codec->name, codec->length);
    }
    *key_out = codec->group == NULL ? public_key_from_ed25519(key, length)
                                    : public_key_from_point(codec->group, key, length);
    return *key_out != NULL
        || fail_openssl(err, ERROR_INVALID_REQUEST, "not a key of %s", codec->name);
}

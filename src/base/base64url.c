#include "base/base64url.h"

static const char ALPHABET[64] = { 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M',
                                   'N', 'O', 'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z',
                                   'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm',
                                   'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z',
                                   '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '-', '_' };

size_t base64url_encode(char *out, const void *bytes, size_t length)
{
    const uint8_t *in = bytes;
    char *at = out;

    for (; length >= 3; in += 3, length -= 3) {
        const uint32_t group = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        *at++ = ALPHABET[group >> 18];
        *at++ = ALPHABET[group >> 12 & 63];
        *at++ = ALPHABET[group >> 6 & 63];
        *at++ = ALPHABET[group & 63];
    }
    if (length > 0) {
        const uint32_t group = (uint32_t)in[0] << 16 | (length == 2 ? (uint32_t)in[1] << 8 : 0);
        *at++ = ALPHABET[group >> 18];
        *at++ = ALPHABET[group >> 12 & 63];
        if (length == 2) {
            *at++ = ALPHABET[group >> 6 & 63];
        }
    }
    return (size_t)(at - out);
}

static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

bool base64url_decode(const char *text, size_t length, uint8_t *out, size_t size,
                      size_t *length_out)
{
    uint32_t bits = 0;
    unsigned held = 0;
    size_t count = 0;

    if (length % 4 == 1) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        const int value = sextet(text[i]);
        if (value < 0) {
            return false;
        }
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            if (count == size) {
                return false;
            }
            out[count++] = (uint8_t)(bits >> held);
            bits &= (1U << held) - 1;
        }
    }
    if (bits != 0) {
        return false;
    }
    *length_out = count;
    return true;
}

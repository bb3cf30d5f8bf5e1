/* By way of base64url, which differs in two characters and in its padding. */
#include "ctl/base64.h"

#include "base/base64url.h"

static bool decode_group(const char *text, size_t length, uint8_t *out, size_t size,
                         size_t *length_out)
{
    char url[4];

    for (size_t i = 0; i < length; i++) {
        if (text[i] == '-' || text[i] == '_') {
            return false;
        }
        url[i] = (char)(text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i]);
    }
    return base64url_decode(url, length, out, size, length_out);
}

bool base64_decode(const char *text, size_t length, uint8_t *out, size_t size, size_t *length_out)
{
    size_t count = 0;

    if (length % 4 != 0) {
        return false;
    }
    for (size_t i = 0; i < length; i += 4) {
        const bool is_last = i + 4 == length;
        size_t digits = 4;
        size_t got = 0;
        while (is_last && digits > 2 && text[i + digits - 1] == '=') {
            digits--;
        }
        if (!decode_group(text + i, digits, out + count, size - count, &got)) {
            return false;
        }
        count += got;
    }
    *length_out = count;
    return true;
}

#include "base/address.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

enum { V4_OFFSET = 12, V4_BITS = 32, V6_BITS = 128 };

bool address_parse(const char *text, size_t length, struct in6_addr *address_out)
{
    char copy[INET6_ADDRSTRLEN];
    struct in6_addr mapped = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

    if (length >= sizeof(copy) || memchr(text, '\0', length) != NULL) {
        return false;
    }
    memcpy(copy, text, length);
    copy[length] = '\0';
    if (inet_pton(AF_INET, copy, &mapped.s6_addr[V4_OFFSET]) == 1) {
        *address_out = mapped;
        return true;
    }
    return inet_pton(AF_INET6, copy, address_out) == 1;
}

static bool parse_bits(const char *text, unsigned most, unsigned *bits_out)
{
    const size_t digits = strspn(text, "0123456789");

    if (digits == 0 || digits > 3 || text[digits] != '\0') {
        return false;
    }
    *bits_out = (unsigned)strtoul(text, NULL, 10);
    return *bits_out <= most;
}

bool address_prefix_parse(const char *text, struct address_prefix *prefix_out)
{
    const size_t length = strcspn(text, "/");
    const bool is_v4 = memchr(text, ':', length) == NULL;
    unsigned bits = is_v4 ? V4_BITS : V6_BITS;

    if (!address_parse(text, length, &prefix_out->address)
        || (text[length] == '/' && !parse_bits(text + length + 1, bits, &bits))) {
        return false;
    }
    prefix_out->bits = bits + (is_v4 ? V6_BITS - V4_BITS : 0);
    return true;
}

bool address_prefix_is_exact(const struct address_prefix *prefix)
{
    for (unsigned bit = prefix->bits; bit < V6_BITS; bit++) {
        if ((prefix->address.s6_addr[bit / 8] & 0x80 >> bit % 8) != 0) {
            return false;
        }
    }
    return true;
}

bool address_prefix_has(const struct address_prefix *prefix, const struct in6_addr *address)
{
    const unsigned whole = prefix->bits / 8;
    const unsigned rest = prefix->bits % 8;

    if (memcmp(prefix->address.s6_addr, address->s6_addr, whole) != 0) {
        return false;
    }
    return rest == 0
        || (prefix->address.s6_addr[whole] >> (8 - rest))
               == (address->s6_addr[whole] >> (8 - rest));
}

/* IP addresses and prefixes as texts; IPv4 is held as IPv4-mapped IPv6 (RFC 4291 2.5.5.2). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <netinet/in.h>

struct address_prefix {
    struct in6_addr address;
    unsigned bits; /* of 128 */
};

/* "192.0.2.1" or "2001:db8::1", `length` bytes of `text`. False: it is none. */
bool address_parse(const char *text, size_t length, struct in6_addr *address_out);

/* "ADDRESS" or "ADDRESS/BITS". False: it is none. */
bool address_prefix_parse(const char *text, struct address_prefix *prefix_out);

/* Whether the address has no bit set beyond the prefix: 10.0.0.0/8, not 10.0.0.1/8. */
bool address_prefix_is_exact(const struct address_prefix *prefix);

bool address_prefix_has(const struct address_prefix *prefix, const struct in6_addr *address);

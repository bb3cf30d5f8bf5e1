/*
 * Whose request it is: the peer's, or, where the peer is a proxy that is trusted, that of the last
 * address in the proxy's header which is none (RFC 7239; X-Forwarded-For).
 */
#pragma once

#include "base/address.h"

#include <stddef.h>

enum { TRUSTED_PROXIES_MAX = 64 };

struct trusted_proxies {
    struct address_prefix prefixes[TRUSTED_PROXIES_MAX];
    size_t count;    /* 0: no header is read */
    bool by_rfc7239; /* the header is Forwarded, else X-Forwarded-For; the other is never read */
};

/* `header` is the header's value, NULL if there is none; where it stands several times, all of them
 * with commas between, in their order. A peer on a Unix socket, which has the address ::, is a proxy.
 * An entry that is no address ("unknown", "_hidden") ends the walk at the address before it. */
struct in6_addr client_address(const struct trusted_proxies *proxies, const struct in6_addr *peer,
                               const char *header);

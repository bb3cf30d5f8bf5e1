#include "http/client_address.h"

#include <string.h>
#include <strings.h>

struct piece {
    const char *text;
    size_t length;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct piece trim(struct piece piece)
{
    while (piece.length > 0 && is_blank(piece.text[0])) {
        piece.text++;
        piece.length--;
    }
    while (piece.length > 0 && is_blank(piece.text[piece.length - 1])) {
        piece.length--;
    }
    return piece;
}

/* Takes the last entry off the list; a comma inside quotes is none, and nodes have no quote in them. */
static struct piece take_last(const char *list, size_t *length)
{
    size_t start = *length;
    bool is_quoted = false;

    while (start > 0 && (is_quoted || list[start - 1] != ',')) {
        start--;
        is_quoted = list[start] == '"' ? !is_quoted : is_quoted;
    }
    const struct piece last = { list + start, *length - start };
    *length = start > 0 ? start - 1 : 0;
    return trim(last);
}

/* The value of `for` among the parameters of one hop (RFC 7239 4). */
static struct piece node_of(struct piece hop)
{
    const char *end = hop.text + hop.length;

    for (const char *at = hop.text; at < end;) {
        const char *next = memchr(at, ';', (size_t)(end - at));
        const char *stop = next != NULL ? next : end;
        struct piece pair = trim((struct piece){ at, (size_t)(stop - at) });
        if (pair.length > 4 && strncasecmp(pair.text, "for=", 4) == 0) {
            struct piece node = { pair.text + 4, pair.length - 4 };
            if (node.length >= 2 && node.text[0] == '"' && node.text[node.length - 1] == '"') {
                node = (struct piece){ node.text + 1, node.length - 2 };
            }
            return node;
        }
        at = next != NULL ? next + 1 : end;
    }
    return (struct piece){ "", 0 };
}

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80" */
static bool parse_node(struct piece node, struct in6_addr *address_out)
{
    const char *colon = memchr(node.text, ':', node.length);
    const char *close = memchr(node.text, ']', node.length);

    if (node.length > 0 && node.text[0] == '[') {
        return close != NULL
            && address_parse(node.text + 1, (size_t)(close - node.text) - 1, address_out);
    }
    if (colon != NULL
        && memchr(colon + 1, ':', node.length - (size_t)(colon + 1 - node.text)) == NULL) {
        node.length = (size_t)(colon - node.text);
    }
    return address_parse(node.text, node.length, address_out);
}

static bool is_trusted(const struct trusted_proxies *proxies, const struct in6_addr *address)
{
    for (size_t i = 0; i < proxies->count; i++) {
        if (address_prefix_has(&proxies->prefixes[i], address)) {
            return true;
        }
    }
    return proxies->count > 0 && IN6_IS_ADDR_UNSPECIFIED(address);
}

struct in6_addr client_address(const struct trusted_proxies *proxies, const struct in6_addr *peer,
                               const char *header)
{
    struct in6_addr client = *peer;
    size_t length = header != NULL ? strlen(header) : 0;

    while (length > 0 && is_trusted(proxies, &client)) {
        struct piece hop = take_last(header, &length);
        if (!parse_node(proxies->by_rfc7239 ? node_of(hop) : hop, &client)) {
            break;
        }
    }
    return client;
}

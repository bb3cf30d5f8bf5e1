#include "http/client_address.h"

#include <ctype.h>
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

/* Takes the last entry off the list; a comma inside quotes is none. From the end an escaped quote looks
 * as any other: what is cut in two by that is malformed. */
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

static size_t token_length(struct piece piece)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    size_t length = 0;

    while (length < piece.length
           && (isalnum((unsigned char)piece.text[length])
               || (piece.text[length] != '\0' && strchr(others, piece.text[length]) != NULL))) {
        length++;
    }
    return length;
}

/* With its quotes; 0: it does not end. */
static size_t quoted_length(struct piece piece)
{
    for (size_t i = 1; i < piece.length; i++) {
        if (piece.text[i] == '"') {
            return i + 1;
        }
        i += piece.text[i] == '\\';
    }
    return 0;
}

/* Without quotes; some proxies leave them out where a colon or brackets ask for them. */
static size_t plain_length(struct piece piece)
{
    size_t length = 0;

    while (length < piece.length && strchr(",;\"\\ \t", piece.text[length]) == NULL) {
        length++;
    }
    return length;
}

static void skip(struct piece *piece, size_t length)
{
    piece->text += length;
    piece->length -= length;
}

/* Takes the next parameter off the hop, up to its semicolon; false: it is malformed. */
static bool take_parameter(struct piece *hop, struct piece *name_out, struct piece *value_out)
{
    *name_out = (struct piece){ hop->text, token_length(*hop) };
    skip(hop, name_out->length);
    if (name_out->length == 0 || hop->length == 0 || hop->text[0] != '=') {
        return false;
    }
    skip(hop, 1);
    const bool is_quoted = hop->length > 0 && hop->text[0] == '"';
    *value_out = (struct piece){ hop->text, is_quoted ? quoted_length(*hop) : plain_length(*hop) };
    skip(hop, value_out->length);
    *hop = trim(*hop);
    return value_out->length > 0 && (hop->length == 0 || hop->text[0] == ';');
}

static struct piece without_quotes(struct piece value)
{
    return value.text[0] == '"' ? (struct piece){ value.text + 1, value.length - 2 } : value;
}

/* The value of the one `for` among the parameters of a hop (RFC 7239 4); none if there are several or
 * the hop is malformed, for others may hold what a client sent (`host`), with or without quotes. */
static struct piece node_of(struct piece hop)
{
    static const struct piece none = { "", 0 };
    struct piece node = none;

    while (hop.length > 0) {
        struct piece name;
        struct piece value;
        if (hop.text[0] == ';') {
            skip(&hop, 1);
            hop = trim(hop);
            continue;
        }
        if (!take_parameter(&hop, &name, &value)) {
            return none;
        }
        if (name.length == strlen("for") && strncasecmp(name.text, "for", name.length) == 0) {
            if (node.length > 0) {
                return none;
            }
            node = value;
        }
    }
    return node.length > 0 ? without_quotes(node) : none;
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

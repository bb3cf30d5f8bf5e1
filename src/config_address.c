/* Checks of listener addresses and URLs. */
#include "config_check.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/memory.h"

/* Copies text[0..length) with a NUL, if it fits. */
static bool copy_span(char *out, size_t size, const char *text, size_t length)
{
    if (length >= size) {
        return false;
    }
    memcpy(out, text, length);
    out[length] = '\0';
    return true;
}

static bool parse_port(const char *text, uint16_t *port_out)
{
    const size_t digits = strspn(text, "0123456789");
    if (digits < 1 || digits > 5 || text[digits] != '\0') {
        return false;
    }
    const unsigned long port = strtoul(text, NULL, 10);
    *port_out = (uint16_t)port;
    return port <= UINT16_MAX;
}

/* --- addresses --- */

static bool parse_unix(const char *path, struct config_address *address_out, struct error *err)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    if (path[0] != '/') {
        return fail(err, ERROR_CONFIG, "must be unix: and an absolute path");
    }
    if (!copy_span(un.sun_path, sizeof(un.sun_path), path, strlen(path))) {
        return fail(err, ERROR_CONFIG, "has a socket path of %zu characters: %zu is the limit",
                    strlen(path), sizeof(un.sun_path) - 1);
    }
    memcpy(&address_out->socket, &un, sizeof(un));
    address_out->length = sizeof(un);
    return true;
}

static bool parse_inet(const char *host, uint16_t port, struct config_address *address_out)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
    memcpy(&address_out->socket, &in, sizeof(in));
    address_out->length = sizeof(in);
    return inet_pton(AF_INET, host, &((struct sockaddr_in *)&address_out->socket)->sin_addr) == 1;
}

static bool parse_inet6(const char *host, uint16_t port, struct config_address *address_out)
{
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    memcpy(&address_out->socket, &in6, sizeof(in6));
    address_out->length = sizeof(in6);
    return inet_pton(AF_INET6, host, &((struct sockaddr_in6 *)&address_out->socket)->sin6_addr)
        == 1;
}

bool config_parse_address(const char *text, struct config_address *address_out, struct error *err)
{
    *address_out = (struct config_address){ .length = 0 };
    if (has_prefix(text, "unix:")) {
        return parse_unix(text + strlen("unix:"), address_out, err);
    }

    char host[INET6_ADDRSTRLEN] = "";
    uint16_t port = 0;
    const char *colon = strrchr(text, ':');
    const bool has_port = colon != NULL && parse_port(colon + 1, &port);
    const size_t length = has_port ? (size_t)(colon - text) : 0;
    const bool bracketed = length > 2 && text[0] == '[' && text[length - 1] == ']';
    const bool good = bracketed ? copy_span(host, sizeof(host), text + 1, length - 2)
                                      && parse_inet6(host, port, address_out)
                                : copy_span(host, sizeof(host), text, length)
                                      && parse_inet(host, port, address_out);
    if (!good) {
        return fail(err, ERROR_CONFIG,
                    "must be like 127.0.0.1:8080, [::1]:8080 or unix:/run/issuerd/public.sock"
                    " (an address, not a name; port 0 to 65535)");
    }
    return true;
}

static const struct sockaddr_in *as_inet(const struct config_address *address)
{
    return (const struct sockaddr_in *)&address->socket;
}

static const struct sockaddr_in6 *as_inet6(const struct config_address *address)
{
    return (const struct sockaddr_in6 *)&address->socket;
}

static bool is_loopback_inet(struct in_addr address)
{
    return ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET;
}

bool config_address_is_local(const struct config_address *address)
{
    switch (address->socket.ss_family) {
    case AF_UNIX:
        return true;
    case AF_INET:
        return is_loopback_inet(as_inet(address)->sin_addr);
    default:
        return IN6_IS_ADDR_LOOPBACK(&as_inet6(address)->sin6_addr);
    }
}

static bool inet_clash(const struct sockaddr_in *a, const struct sockaddr_in *b)
{
    const in_addr_t any = htonl(INADDR_ANY);
    return a->sin_port != 0 && a->sin_port == b->sin_port
        && (a->sin_addr.s_addr == b->sin_addr.s_addr || a->sin_addr.s_addr == any
            || b->sin_addr.s_addr == any);
}

static bool inet6_clash(const struct sockaddr_in6 *a, const struct sockaddr_in6 *b)
{
    return a->sin6_port != 0 && a->sin6_port == b->sin6_port
        && (IN6_ARE_ADDR_EQUAL(&a->sin6_addr, &b->sin6_addr)
            || IN6_IS_ADDR_UNSPECIFIED(&a->sin6_addr) || IN6_IS_ADDR_UNSPECIFIED(&b->sin6_addr));
}

bool config_addresses_clash(const struct config_address *a, const struct config_address *b)
{
    if (a->length == 0 || a->socket.ss_family != b->socket.ss_family) {
        return false;
    }
    switch (a->socket.ss_family) {
    case AF_UNIX:
        return memcmp(&a->socket, &b->socket, a->length) == 0;
    case AF_INET:
        return inet_clash(as_inet(a), as_inet(b));
    default:
        return inet6_clash(as_inet6(a), as_inet6(b));
    }
}

bool config_check_address(const char *value, struct error *err)
{
    struct config_address address;
    return config_parse_address(value, &address, err);
}

/* --- URLs --- */

static const char *after_scheme(const char *url)
{
    static const char *const SCHEMES[] = { "https://", "http://" };
    for (size_t i = 0; i < COUNT_OF(SCHEMES); i++) {
        if (has_prefix(url, SCHEMES[i])) {
            return url + strlen(SCHEMES[i]);
        }
    }
    return NULL;
}

/* RFC 3986 3.2.2: an IPv6 literal in brackets, or a name or IPv4 address. */
static bool is_host(const char *host)
{
    const size_t length = strlen(host);
    if (host[0] == '[') {
        char literal[INET6_ADDRSTRLEN];
        struct in6_addr address;
        return length > 2 && host[length - 1] == ']'
            && copy_span(literal, sizeof(literal), host + 1, length - 2)
            && inet_pton(AF_INET6, literal, &address) == 1;
    }
    return length > 0
        && strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")
               == length;
}

/* The host of a URL's authority, without its port; false if host or port are not well-formed. */
static bool url_host(const char *authority, char *host_out, size_t size)
{
    if (!copy_span(host_out, size, authority, strcspn(authority, "/?#"))) {
        return false;
    }
    char *colon = strrchr(host_out, ':');
    if (colon != NULL && strchr(colon, ']') == NULL) {
        uint16_t port = 0;
        *colon = '\0';
        return parse_port(colon + 1, &port) && port > 0 && is_host(host_out);
    }
    return is_host(host_out);
}

enum { HOST_SIZE = 300 };

static bool escapes_are_good(const char *url)
{
    for (const char *at = strchr(url, '%'); at != NULL; at = strchr(at + 1, '%')) {
        if (!isxdigit((unsigned char)at[1]) || !isxdigit((unsigned char)at[2])) {
            return false;
        }
    }
    return true;
}

bool config_check_link(const char *value, struct error *err)
{
    char host[HOST_SIZE];
    const char *authority = after_scheme(value);
    if (authority == NULL) {
        return fail(err, ERROR_CONFIG, "must begin with https:// or http://");
    }
    if (memchr(authority, '@', strcspn(authority, "/?#")) != NULL) {
        return fail(err, ERROR_CONFIG, "must not hold a user name or password: remove up to '@'");
    }
    if (strchr(value, '#') != NULL) {
        return fail(err, ERROR_CONFIG, "must not have a fragment: remove '#' and what follows");
    }
    if (!url_host(authority, host, sizeof(host))) {
        return fail(err, ERROR_CONFIG, "must be like https://issuer.example or http://[::1]:8080");
    }
    if (strpbrk(value, "\"<>\\^`{|}") != NULL || !escapes_are_good(value)) {
        return fail(err, ERROR_CONFIG, "has a character that a URL must write as %%XX");
    }
    return config_check_visible(value, err);
}

/* OpenID4VCI, Credential Issuer Identifier: no query, no fragment; paths are appended to it. */
bool config_check_issuer_url(const char *value, struct error *err)
{
    if (!config_check_link(value, err)) {
        return false;
    }
    if (strchr(value, '?') != NULL) {
        return fail(err, ERROR_CONFIG, "must not have a query: remove '?' and what follows");
    }
    if (value[strlen(value) - 1] == '/') {
        return fail(err, ERROR_CONFIG, "must not end with '/': remove it");
    }
    return true;
}

bool config_url_is_plain_and_remote(const char *url)
{
    char host[HOST_SIZE];
    struct in_addr address;
    if (!has_prefix(url, "http://") || !url_host(after_scheme(url), host, sizeof(host))) {
        return false;
    }
    const bool local = strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0
                    || (inet_pton(AF_INET, host, &address) == 1 && is_loopback_inet(address));
    return !local;
}

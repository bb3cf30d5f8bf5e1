/*
 * did:key (W3C CCG), did:jwk, did:web (W3C CCG) and did:empe. The first two are their own document,
 * with one key that is good for both purposes.
 */
#include "vc/did_keys.h"

#include <string.h>
#include <strings.h>

#include "base/base64url.h"
#include "base/memory.h"
#include "jose/did.h"
#include "jose/json.h"
#include "jose/jwk.h"
#include "vc/did_document.h"
#include "vc/multikey.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

enum { METHOD_NAME_MAX = 32, LABEL_MAX = 63, PORT_DIGITS_MAX = 5, EMPE_DIGITS = 40 };

struct query {
    struct did_resolver *resolver;
    const char *did;
    const char *id; /* method-specific, inside `did` */
    const char *fragment;
    enum did_purpose purpose;
    int64_t now_ns;
};

typedef MUST_CHECK bool find_fn(const struct query *query, EVP_PKEY **key_out, struct error *err);

static find_fn find_key, find_jwk, find_web, find_empe;

struct method {
    const char *prefix;
    find_fn *find;
};

static const struct method METHODS[] = {
    { "did:key:", find_key },
    { "did:jwk:", find_jwk },
    { "did:web:", find_web },
    { "did:empe:", find_empe },
};

/* ---- DIDs that hold their key ---- */

static bool find_key(const struct query *query, EVP_PKEY **key_out, struct error *err)
{
    if (strcmp(query->fragment, query->id) != 0) {
        return fail(err, ERROR_INVALID_REQUEST,
                    "kid: the fragment is not the key that the did:key is made of");
    }
    return multikey_parse(query->id, key_out, err) || error_context(err, "did:key");
}

static bool parse_did_jwk(const char *id, EVP_PKEY **key_out, struct error *err)
{
    uint8_t json[DID_MAX];
    size_t length;
    scoped(release_cjson) cJSON *jwk = NULL;

    if (!base64url_decode(id, strlen(id), json, sizeof(json), &length)) {
        return fail(err, ERROR_INVALID_REQUEST, "not canonical base64url without padding");
    }
    return json_parse_object((const char *)json, length, &jwk, err) && jwk_parse(jwk, key_out, err);
}

static bool find_jwk(const struct query *query, EVP_PKEY **key_out, struct error *err)
{
    if (strcmp(query->fragment, "0") != 0) {
        return fail(err, ERROR_INVALID_REQUEST, "kid: the only key of a did:jwk is #0");
    }
    return parse_did_jwk(query->id, key_out, err) || error_context(err, "did:jwk");
}

/* ---- DIDs whose document is fetched ---- */

static bool find_in_document(const struct query *query, EVP_PKEY **key_out, struct error *err)
{
    scoped(release_memory) char *text = NULL;
    scoped(release_cjson) cJSON *document = NULL;

    if (query->resolver == NULL) {
        return fail(err, ERROR_INVALID_REQUEST,
                    "only did:key and did:jwk are served here: no DID resolver is configured");
    }
    if (!did_resolver_fetch(query->resolver, query->did, query->now_ns, &text, err)) {
        return false;
    }
    return (json_parse_object(text, strlen(text), &document, err)
            && did_document_find_key(document, query->did, query->fragment, query->purpose, key_out,
                                     err))
        || error_context(err, "DID document");
}

/* Letters, digits and hyphens, none of these first or last (RFC 1123 2.1). Returns its length; 0: none. */
static size_t label_length(const char *at)
{
    const size_t length = strspn(at, LOWER UPPER DIGITS "-");
    return length <= LABEL_MAX && length > 0 && *at != '-' && at[length - 1] != '-' ? length : 0;
}

/* A domain name. The last label begins with a letter, so an IP address, which a did:web must not have,
 * is none in any of its spellings. Returns its length; 0: none. */
static size_t host_length(const char *id)
{
    const char *at = id;
    for (;;) {
        const size_t label = label_length(at);
        if (label == 0) {
            return 0;
        }
        if (at[label] != '.') {
            return strchr(DIGITS, *at) == NULL ? (size_t)(at + label - id) : 0;
        }
        at += label + 1;
    }
}

/* The colon of a port is percent-encoded. */
static const char *behind_port(const char *at)
{
    if (strncasecmp(at, "%3A", 3) != 0) {
        return at;
    }
    const size_t digits = strspn(at + 3, DIGITS);
    return digits > 0 && digits <= PORT_DIGITS_MAX && at[3] != '0' ? at + 3 + digits : NULL;
}

/* did:web 2.2 and 3.1: host, port, path. No segment of the path is empty. */
static bool is_web(const char *id)
{
    const size_t host = host_length(id);
    const char *at = host > 0 ? behind_port(id + host) : NULL;

    return at != NULL && (*at == '\0' || *at == ':') && strstr(at, "::") == NULL;
}

static bool find_web(const struct query *query, EVP_PKEY **key_out, struct error *err)
{
    return is_web(query->id)
             ? find_in_document(query, key_out, err)
             : fail(err, ERROR_INVALID_REQUEST,
                    "did:web: not a domain name, with a port and a path or without");
}

static bool find_empe(const struct query *query, EVP_PKEY **key_out, struct error *err)
{
    static const char TESTNET[] = "testnet:";
    const size_t skipped = strlen(TESTNET);
    const char *id = strncmp(query->id, TESTNET, skipped) == 0 ? query->id + skipped : query->id;

    return strspn(id, DIGITS "abcdef") == EMPE_DIGITS && id[EMPE_DIGITS] == '\0'
             ? find_in_document(query, key_out, err)
             : fail(err, ERROR_INVALID_REQUEST, "did:empe: not %d lower-case hexadecimal digits",
                    EMPE_DIGITS);
}

/* ---- the kid ---- */

/* A DID URL is the DID, path, query, fragment (DID Core 3.2). */
static bool find_fragment(const char *did, const char *kid, const char **fragment_out,
                          struct error *err)
{
    const size_t length = strlen(did);
    const char *rest = *kid != '#' && strncmp(kid, did, length) == 0 ? kid + length : kid;

    if (*rest == '/' || *rest == '?') {
        return fail(err, ERROR_INVALID_REQUEST, "kid: a DID URL with a path or a query");
    }
    if (rest != kid && *rest == '\0') {
        return fail(err, ERROR_INVALID_REQUEST, "kid: no fragment names the key");
    }
    if (*rest != '#') {
        return fail(err, ERROR_INVALID_REQUEST, "kid: of another DID");
    }
    *fragment_out = rest + 1;
    const size_t good = strspn(rest + 1, LOWER UPPER DIGITS "-._~!$&'()*+,;=:@/?%");
    return (good > 0 && rest[1 + good] == '\0')
        || fail(err, ERROR_INVALID_REQUEST, "kid: not a fragment of a URI (RFC 3986 3.5)");
}

bool did_find_key(struct did_resolver *resolver, const char *did, const char *kid,
                  enum did_purpose purpose, int64_t now_ns, EVP_PKEY **key_out, struct error *err)
{
    struct query query = { .resolver = resolver, .did = did, .purpose = purpose, .now_ns = now_ns };

    if (!did_is_valid(did)) {
        return fail(err, ERROR_INVALID_REQUEST, "not a DID of at most %d bytes", DID_MAX);
    }
    if (!find_fragment(did, kid, &query.fragment, err)) {
        return false;
    }
    for (size_t i = 0; i < COUNT_OF(METHODS); i++) {
        const size_t length = strlen(METHODS[i].prefix);
        if (strncmp(did, METHODS[i].prefix, length) == 0) {
            query.id = did + length;
            return METHODS[i].find(&query, key_out, err);
        }
    }
    const char *name = did + strlen("did:");
    const size_t length = strcspn(name, ":");
    return fail(err, ERROR_INVALID_REQUEST, "DID method %.*s is not served here",
                length < METHOD_NAME_MAX ? (int)length : METHOD_NAME_MAX, name);
}

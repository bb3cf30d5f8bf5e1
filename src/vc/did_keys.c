#include "vc/did_keys.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64url.h"
#include "base/memory.h"
#include "jose/did.h"
#include "jose/json.h"
#include "jose/jwk.h"
#include "vc/did_document.h"
#include "vc/multikey.h"

struct query {
    struct did_resolver *resolver;
    const char *did;
    const char *id; /* the DID's part behind "did:METHOD:" */
    const char *fragment;
    enum did_purpose purpose;
    int64_t now_ns;
};

typedef MUST_CHECK bool find_fn(const struct query *query, EVP_PKEY **key_out, struct error *err);

/* ---- methods that need no network ---- */

static bool fail_no_such_key(struct error *err, const char *fragment)
{
    return fail(err, ERROR_INVALID_REQUEST, "kid must end in #%.128s", fragment);
}

/* The one key, good for all purposes, has the fragment that the DID itself is (did:key 3.1.2). */
static bool find_by_key(const struct query *query, EVP_PKEY **key_out, struct error *err)
{
    if (strcmp(query->fragment, query->id) != 0) {
        return fail_no_such_key(err, query->id);
    }
    return multikey_parse(query->id, key_out, err) || error_context(err, "did:key");
}

static bool find_by_jwk(const struct query *query, EVP_PKEY **key_out, struct error *err)
{
    scoped(release_cjson) cJSON *jwk = NULL;
    char text[DID_MAX];
    size_t length = 0;

    if (strcmp(query->fragment, "0") != 0) {
        return fail_no_such_key(err, "0");
    }
    if (!base64url_decode(query->id, strlen(query->id), (uint8_t *)text, sizeof(text), &length)) {
        return fail(err, ERROR_INVALID_REQUEST, "did:jwk: not base64url");
    }
    return (json_parse_object(text, length, &jwk, err) && jwk_parse(jwk, key_out, err))
        || error_context(err, "did:jwk");
}

/* ---- methods that are resolved ---- */

static bool find_in_document(const struct query *query, bool takes_point_in_x, EVP_PKEY **key_out,
                             struct error *err)
{
    scoped(release_memory) char *document = NULL;
    const struct document_query wanted = { .did = query->did,
                                           .fragment = query->fragment,
                                           .purpose = query->purpose,
                                           .takes_point_in_x = takes_point_in_x };

    return did_resolver_fetch(query->resolver, query->did, query->now_ns, &document, err)
        && document_find_key(document, &wanted, key_out, err);
}

static bool find_by_web(const struct query *query, EVP_PKEY **key_out, struct error *err)
{
    return find_in_document(query, false, key_out, err);
}

/* did:empe:[testnet:]<40 lower-case hexadecimal digits> */
static bool find_by_empe(const struct query *query, EVP_PKEY **key_out, struct error *err)
{
    enum { ADDRESS_LENGTH = 40 };
    static const char testnet[] = "testnet:";
    const char *address = query->id;

    if (strncmp(address, testnet, strlen(testnet)) == 0) {
        address += strlen(testnet);
    }
    if (strlen(address) != ADDRESS_LENGTH
        || strspn(address, "0123456789abcdef") != ADDRESS_LENGTH) {
        return fail(err, ERROR_INVALID_REQUEST, "did:empe: not %d lower-case hexadecimal digits",
                    ADDRESS_LENGTH);
    }
    return find_in_document(query, true, key_out, err);
}

/* ---- all of them ---- */

struct method {
    const char *prefix;
    bool is_resolved;
    find_fn *find;
};

static const struct method methods[] = {
    { "did:key:", false, find_by_key },
    { "did:jwk:", false, find_by_jwk },
    { "did:web:", true, find_by_web },
    { "did:empe:", true, find_by_empe },
};

static bool find_by_method(struct query *query, EVP_PKEY **key_out, struct error *err)
{
    for (size_t i = 0; i < COUNT_OF(methods); i++) {
        const size_t length = strlen(methods[i].prefix);
        if (strncmp(query->did, methods[i].prefix, length) != 0) {
            continue;
        }
        if (methods[i].is_resolved && query->resolver == NULL) {
            break;
        }
        query->id = query->did + length;
        return methods[i].find(query, key_out, err);
    }
    return fail(err, ERROR_INVALID_REQUEST, "%.*s is a DID method that is not served here",
                (int)(strchr(query->did + strlen("did:"), ':') - query->did), query->did);
}

/* What follows the '#'; NULL if `kid` is no such DID URL of `did`. */
static const char *fragment_of(const char *did, const char *kid)
{
    const size_t length = strlen(did);

    if (strncmp(kid, did, length) == 0) {
        kid += length;
    }
    return kid[0] == '#' && kid[1] != '\0' && strchr(kid + 1, '#') == NULL ? kid + 1 : NULL;
}

bool did_find_key(struct did_resolver *resolver, const char *did, const char *kid,
                  enum did_purpose purpose, int64_t now_ns, EVP_PKEY **key_out, struct error *err)
{
    struct query query = { .resolver = resolver, .did = did, .purpose = purpose, .now_ns = now_ns };

    if (!did_is_valid(did)) {
        return fail(err, ERROR_INVALID_REQUEST, "not a DID");
    }
    query.fragment = fragment_of(did, kid);
    if (query.fragment == NULL) {
        return fail(err, ERROR_INVALID_REQUEST,
                    "kid must be the DID with a fragment, no path and no query");
    }
    return find_by_method(&query, key_out, err);
}

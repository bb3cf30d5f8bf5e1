#include "core/approval.h"

#include <string.h>

#include "base/base64url.h"
#include "jose/did.h"

/* RFC 6749 3.3: tokens of printable ASCII without '"' and '\', one space between. */
static bool is_scope(const char *scope)
{
    char before = ' ';

    for (const char *at = scope; *at != '\0'; at++) {
        if (*at < 0x20 || *at > 0x7e || *at == '"' || *at == '\\'
            || (*at == ' ' && before == ' ')) {
            return false;
        }
        before = *at;
    }
    return before != ' ' && strlen(scope) <= SCOPE_MAX;
}

bool approval_check(const struct approval_request *request, struct error *err)
{
    if (!did_is_valid(request->holder_did)) {
        return fail(err, ERROR_INVALID_REQUEST,
                    "holder_did must be a DID (did:method:id, no path, query or fragment)");
    }
    if (request->scope != NULL && !is_scope(request->scope)) {
        return fail(err, ERROR_INVALID_REQUEST,
                    "scope must be words of printable ASCII with one space between, at most %d "
                    "characters",
                    SCOPE_MAX);
    }
    if (strlen(request->id) != AUTHORIZATION_ID_LENGTH) {
        return fail(err, ERROR_NOT_FOUND, "no such authorization request");
    }
    return true;
}

struct digest approval_make_code(char code_out[static CODE_SIZE])
{
    uint8_t random[32];

    random_bytes(random, sizeof(random));
    const size_t length = base64url_encode(code_out, random, sizeof(random));
    explicit_bzero(random, sizeof(random));
    code_out[length] = '\0';
    return sha256(code_out, length);
}

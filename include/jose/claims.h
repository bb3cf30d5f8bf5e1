/* The JWT access token's two JSON parts (RFC 9068): the only forms that issuerd signs. */
#pragma once

#include "base/text.h"

struct access_token_claims {
    const char *issuer;
    const char *subject; /* the holder's DID */
    const char *audience;
    const char *client_id; /* RFC 8693 4.3 */
    const char *scope;     /* NULL: none */
    const char *jti;
    int64_t issued_s; /* iat and nbf */
    int64_t expires_s;
};

/* {"alg":...,"kid":...,"typ":"at+jwt"} (RFC 9068 2.1) */
void access_token_header(struct text *text, const char *algorithm, const char *kid);

/* The claims of RFC 9068 2.2. */
void access_token_payload(struct text *text, const struct access_token_claims *claims);

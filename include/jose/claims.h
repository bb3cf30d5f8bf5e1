/* The only two forms that issuerd signs, each as its two JSON parts: the JWT access token (RFC 9068)
 * and the list of revoked tokens. Their headers name different types, so that neither passes for the
 * other (RFC 8725 3.11). */
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

enum { REVOKED_TOKENS_MAX = 4000, REVOKED_TOKENS_LIFETIME_S = 300 };

struct revoked_tokens_claims {
    const char *issuer;
    int64_t issued_s;
    int64_t expires_s;
    bool complete; /* false: more are revoked than the list has */
    const char *const *jtis;
    size_t count;
};

/* {"alg":...,"kid":...,"typ":"revoked-tokens+jwt"} */
void revoked_tokens_header(struct text *text, const char *algorithm, const char *kid);

/* {"iss":...,"iat":...,"exp":...,"complete":...,"revoked":["...",...]} */
void revoked_tokens_payload(struct text *text, const struct revoked_tokens_claims *claims);

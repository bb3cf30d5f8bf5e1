/*
 * What the signer refuses to sign, whoever asks: anything but a well-formed access token of this
 * issuer (RFC 9068), or a list of its revoked tokens, so that a front process in wrong hands gets no
 * other signature. The header, to the byte, says which of the two it is, and its `typ` says so to
 * every verifier.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { LINT_CLOCK_SKEW_S = 60, LINT_JTI_MIN = 16, LINT_JTI_MAX = 32 };

struct lint_policy {
    const char *header;         /* base64url: of the key's tokens, matched to the byte */
    const char *revoked_header; /* of its lists of revoked tokens, likewise */
    const char *issuer;
    const char *audience;
    int64_t lifetime_max_s;
};

/* True if `input` is "<header>.<payload>" with policy's header and a payload of exactly iss, sub,
 * aud, client_id, jti, iat, nbf, exp and perhaps scope: strings not empty, iss and aud the
 * policy's, iat within LINT_CLOCK_SKEW_S of `now_s`, nbf = iat, iat < exp <= iat + lifetime.
 * Fails with ERROR_LINT, naming the member, never quoting it. */
MUST_CHECK bool lint_access_token(const struct lint_policy *policy, const char *input,
                                  size_t length, int64_t now_s, struct error *err);

/* The same of a payload of exactly iss, iat, exp, complete and revoked: iss the policy's, iat within
 * LINT_CLOCK_SKEW_S of `now_s`, iat < exp <= iat + REVOKED_TOKENS_LIFETIME_S, complete true or false,
 * revoked an array of strings of LINT_JTI_MIN to LINT_JTI_MAX of [A-Za-z0-9_-]. */
MUST_CHECK bool lint_revoked_tokens(const struct lint_policy *policy, const char *input,
                                    size_t length, int64_t now_s, struct error *err);

/* What its header says it is, by the one of the two above. */
MUST_CHECK bool lint_signing_input(const struct lint_policy *policy, const char *input,
                                   size_t length, int64_t now_s, struct error *err);

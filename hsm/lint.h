/*
 * What the signer refuses to sign, whoever asks: anything but a well-formed access token of this
 * issuer (RFC 9068), so that a front process in wrong hands gets no other signature.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { LINT_CLOCK_SKEW_S = 60 };

struct lint_policy {
    const char *header; /* base64url: the key's one header, matched to the byte */
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

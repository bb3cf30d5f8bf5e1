/* What every approval keeps to, the service's and issuerctl's: which holders and scopes there may be,
 * and what a code is made of. */
#pragma once

#include "base/digest.h"
#include "base/error.h"
#include "core/service.h"

/* Fails with INVALID_REQUEST (holder_did or scope), or with NOT_FOUND for what cannot be an id. */
MUST_CHECK bool approval_check(const struct approval_request *request, struct error *err);

enum { CODE_SIZE = 44 };

/* Makes a code, 256 random bits as base64url, and returns its SHA-256. The caller wipes it. */
struct digest approval_make_code(char code_out[static CODE_SIZE]);

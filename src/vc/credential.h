/* One verifiable credential as a JWT (VC Data Model 1.1, 6.3.1): whose word it is, for whom, and
 * whether it is good now. Its status (revocation lists) is not looked up. */
#pragma once

#include "vc/evaluate.h"
#include "vc/presentation.h"

/* `type` of a credential or a presentation: a text or a list of texts. */
bool credential_type_has(const cJSON *typed, const char *name);

/* True if `text` is a credential of a trusted issuer about `holder` that satisfies the definition's
 * descriptor. Fails with PRESENTATION, INVALID_REQUEST or RESOLVER_UNAVAILABLE. */
MUST_CHECK bool credential_check(const struct presentation_rules *rules,
                                 const struct presentation_request *request, const char *holder,
                                 const struct definition *definition, size_t descriptor,
                                 const char *text, struct error *err);

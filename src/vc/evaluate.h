/* What presentation.c asks of a definition and of a submission: over cJSON, inside this folder. */
#pragma once

#include "jose/algorithm.h"
#include "vc/definition.h"

#include <cjson/cJSON.h>

/* True if the credential, the payload of a JWT VC, satisfies every field of the descriptor that is
 * not optional. A path is tried on the payload, then on its `vc` member. Fails with PRESENTATION,
 * naming descriptor and path, never a value of the credential. */
MUST_CHECK bool definition_evaluate(const struct definition *definition, size_t index,
                                    const cJSON *claims, struct error *err);

/* Whether the formats of the definition and of the descriptor allow a JWT VC of that algorithm. */
bool definition_allows_algorithm(const struct definition *definition, size_t index,
                                 enum jose_algorithm algorithm);

/* Reads a presentation_submission (clause 6) and finds for each descriptor of the definition, by
 * its index, the credential inside the presentation's payload `claims`: *credentials_out[i] is a
 * compact JWT, borrowed from `claims`. Each descriptor must be mapped exactly once and no other;
 * `format` must be jwt_vc or jwt_vc_json, or jwt_vp or jwt_vp_json with `path` "$" and such a
 * `path_nested`. Fails with PRESENTATION, naming the member. */
MUST_CHECK bool submission_map(const struct definition *definition, const char *submission_json,
                               const cJSON *claims,
                               const char *credentials_out[static DEFINITION_DESCRIPTORS_MAX],
                               struct error *err);

/*
 * Presentation definitions (DIF Presentation Exchange 2.0, clause 5), and whether credentials satisfy
 * one. What this server cannot evaluate is refused when the definition arrives, never passed over.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>

struct definition;

enum {
    DEFINITION_DESCRIPTORS_MAX = 16,
    DEFINITION_FIELDS_MAX = 32, /* of one descriptor */
    DEFINITION_PATHS_MAX = 8,   /* of one field */
    DEFINITION_PATH_MAX = 256,  /* bytes */
    DEFINITION_PATTERN_MAX = 256,
};

/* Reads the definition's JSON text. Fails with INVALID_REQUEST, naming the member by its path
 * ("presentation_definition.input_descriptors[0].constraints.fields[1].filter.format: cannot be
 * evaluated here"). The caller frees *definition_out. */
MUST_CHECK bool definition_parse(const char *json, struct definition **definition_out,
                                 struct error *err);
void definition_free(struct definition *definition);

const char *definition_id(const struct definition *definition);
size_t definition_descriptor_count(const struct definition *definition);
const char *definition_descriptor_id(const struct definition *definition, size_t index);

/*
 * Presentation definitions of anybody, submissions to them, and credentials: three lines of JSON. What
 * one evaluation costs is bounded, so a slow input is a finding (-timeout).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "jose/json.h"
#include "vc/evaluate.h"

static void try_claims(const struct definition *definition, const char *submission,
                       const char *claims_text)
{
    const char *credentials[DEFINITION_DESCRIPTORS_MAX];
    struct error err;
    cJSON *claims = NULL;

    if (!json_parse_object(claims_text, strlen(claims_text), &claims, &err)) {
        return;
    }
    for (size_t i = 0; i < definition_descriptor_count(definition); i++) {
        FUZZ_ASSERT(definition_evaluate(definition, i, claims, &err)
                    || err.code == ERROR_PRESENTATION);
    }
    if (submission_map(definition, submission, claims, credentials, &err)) {
        for (size_t i = 0; i < definition_descriptor_count(definition); i++) {
            FUZZ_ASSERT(credentials[i] != NULL);
        }
    }
    cJSON_Delete(claims);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err;
    struct definition *definition = NULL;
    char *text = fuzz_text(data, size);
    char *rest = text;
    const char *definition_text = fuzz_line(&rest);
    const char *submission = fuzz_line(&rest);

    if (definition_parse(definition_text, &definition, &err)) {
        try_claims(definition, submission, rest);
        definition_free(definition);
    } else {
        FUZZ_ASSERT(err.code == ERROR_INVALID_REQUEST && err.message[0] != '\0');
    }
    free(text);
    return 0;
}

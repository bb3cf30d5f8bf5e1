/*
 * What json_check() lets pass cJSON must parse, to a value that prints as JSON which passes again and
 * is the same value: so there is nothing that the two read differently. But for one thing: cJSON prints 15
 * digits, and so rounds what is just below the greatest number that passes up to one that does not.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/json_check.h"
#include "fuzz/fuzz.h"

static void check_round_trip(const cJSON *value)
{
    struct error err;
    char *printed = cJSON_PrintUnformatted(value);
    FUZZ_ASSERT(printed != NULL);
    FUZZ_ASSERT(json_check(printed, strlen(printed), &err)
                || strstr(err.message, "number out of range") != NULL);
    cJSON *again = cJSON_Parse(printed);
    FUZZ_ASSERT(again != NULL && cJSON_Compare(value, again, true));
    cJSON_Delete(again);
    cJSON_free(printed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err;
    char *text = fuzz_text(data, size);

    if (json_check(text, size, &err)) {
        cJSON *value = cJSON_ParseWithLength(text, size);
        FUZZ_ASSERT(value != NULL);
        check_round_trip(value);
        cJSON_Delete(value);
    } else {
        FUZZ_ASSERT(err.code == ERROR_INVALID_REQUEST && err.message[0] != '\0');
    }
    free(text);
    return 0;
}

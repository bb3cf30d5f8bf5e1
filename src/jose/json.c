#include "jose/json.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_check.h"
#include "base/memory.h"

static void wipe_and_free(void *memory)
{
    if (memory != NULL) {
        explicit_bzero(memory, malloc_usable_size(memory));
        free(memory);
    }
}

void json_wipe_freed(void)
{
    cJSON_Hooks hooks = { .malloc_fn = malloc, .free_fn = wipe_and_free };
    cJSON_InitHooks(&hooks);
}

void release_cjson(cJSON **value)
{
    cJSON_Delete(*value);
}

bool json_parse_object(const char *text, size_t length, cJSON **object_out, struct error *err)
{
    if (!json_check(text, length, err)) {
        return false;
    }
    scoped(release_cjson) cJSON *object = cJSON_ParseWithLength(text, length);
    if (!cJSON_IsObject(object)) {
        return fail(err, ERROR_INVALID_REQUEST, "not a JSON object");
    }
    *object_out = take(object);
    return true;
}

const char *json_text(const cJSON *object, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
}

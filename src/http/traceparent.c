#include "http/traceparent.h"

#include <stdbool.h>
#include <string.h>

#include "base/log.h"

#define ZEROS "00000000000000000000000000000000"

enum { TRACE_AT = 3, TRACE_LENGTH = 32, PARENT_AT = 36, PARENT_LENGTH = 16 };

const char *traceparent_of(const char *header)
{
    static const char form[] = "00-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxxxxxxxx-xx";
    _Static_assert(sizeof(form) - 1 == LOG_TRACE_MAX, "what the log takes");

    if (header == NULL || strlen(header) != LOG_TRACE_MAX) {
        return "";
    }
    for (size_t i = 0; i < LOG_TRACE_MAX; i++) {
        const bool fits =
            form[i] == 'x' ? strchr("0123456789abcdef", header[i]) != NULL : header[i] == form[i];
        if (!fits) {
            return "";
        }
    }
    return strncmp(header + TRACE_AT, ZEROS, TRACE_LENGTH) != 0
                && strncmp(header + PARENT_AT, ZEROS, PARENT_LENGTH) != 0
             ? header
             : "";
}

#include "support/uri.h"

#include <stdio.h>

struct uri_path uri_path(const char *path)
{
    struct uri_path escaped = { "" };
    char *end = escaped.text;

    for (; *path != '\0' && end < escaped.text + sizeof(escaped.text) - 4; path++) {
        end += snprintf(end, 4, *path == ' ' ? "%%20" : "%c", *path);
    }
    return escaped;
}

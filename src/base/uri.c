#include "base/uri.h"

#include <stdio.h>
#include <string.h>

#include <uriparser/Uri.h>

#include "base/memory.h"

DEFINE_RELEASE(release_query, UriQueryListA, uriFreeQueryListA)

/* An empty list for a URI without a query. */
static bool dissect(const char *uri, UriQueryListA **query_out, struct error *err)
{
    const char *wrong = NULL;
    UriUriA parsed;
    int count = 0;

    *query_out = NULL;
    if (uriParseSingleUriA(&parsed, uri, &wrong) != URI_SUCCESS) {
        return fail(err, ERROR_CONFIG,
                    "is no URI (RFC 3986): percent-encode what stands at character %td",
                    wrong != NULL ? wrong - uri + 1 : 1);
    }
    const bool good = parsed.query.first == NULL
                   || uriDissectQueryMallocExA(query_out, &count, parsed.query.first,
                                               parsed.query.afterLast, URI_FALSE, URI_BR_DONT_TOUCH)
                          == URI_SUCCESS;
    uriFreeUriMembersA(&parsed);
    if (!good || strstr(uri, "%00") != NULL) {
        return fail(err, ERROR_CONFIG, "has a query that cannot be read");
    }
    return true;
}

static unsigned find(const UriQueryListA *query, const char *name, const char **value_out)
{
    unsigned found = 0;

    *value_out = NULL;
    for (const UriQueryListA *item = query; item != NULL; item = item->next) {
        if (strcmp(item->key, name) == 0) {
            *value_out = item->value;
            found++;
        }
    }
    return found;
}

bool uri_attribute(const char *uri, const char *name, char *value_out, size_t size,
                   struct error *err)
{
    scoped(release_query) UriQueryListA *query = NULL;
    const char *value = NULL;

    value_out[0] = '\0';
    if (!dissect(uri, &query, err)) {
        return false;
    }
    if (find(query, name, &value) != 1) {
        return fail(err, ERROR_CONFIG, "must have %s=VALUE once after '?', '&' between", name);
    }
    if (value == NULL || value[0] == '\0' || strlen(value) >= size) {
        return fail(err, ERROR_CONFIG, "has a %s that is empty or too long", name);
    }
    (void)snprintf(value_out, size, "%s", value);
    return true;
}

bool uri_has_attribute(const char *uri, const char *name)
{
    scoped(release_query) UriQueryListA *query = NULL;
    const char *value = NULL;
    struct error err;

    return dissect(uri, &query, &err) && find(query, name, &value) > 0;
}

const char *uri_file_path(const char *source)
{
    const char *path = source;

    path += strncmp(path, "file:", strlen("file:")) == 0 ? strlen("file:") : 0;
    path += path != source && strncmp(path, "///", strlen("///")) == 0 ? strlen("//") : 0;
    return path[0] == '/' && path[1] != '/' ? path : NULL;
}

/*
 * JSONPath (RFC 9535), the part that needs neither expressions nor order: $, .name, ['name'],
 * ["name"], [0], .* and [*], and each of them behind .. for all that is below.
 *
 * Threads: a path is only read.
 */
#pragma once

#include "vc/effort.h"

#include "base/error.h"

#include <stddef.h>

#include <cjson/cJSON.h>

enum { JSON_PATH_MAX = 256 }; /* bytes */

struct json_path;

/* False if `text` is longer or anything else, from the byte *stop_out on. The caller frees
 * *path_out. */
MUST_CHECK bool json_path_parse(const char *text, struct json_path **path_out, size_t *stop_out);
void json_path_free(struct json_path *path);

/* True: this node will do, no other is asked for. */
typedef bool json_path_accept_fn(const cJSON *node, void *context);

/* Shows `accept` the nodes of `root` that the path yields, in RFC 9535's order (2.5.2.2), until one
 * is accepted. False: none was, or the effort is spent. */
bool json_path_find(const struct json_path *path, const cJSON *root, json_path_accept_fn *accept,
                    void *context, struct effort *effort);

/*
 * JSONPath (RFC 9535), as much of it as presentation definitions need: `$`, `.name`, `['name']`, `[0]`,
 * `.*`, `[*]`, and each of them behind `..`. Filters, slices, unions and negative indices are refused
 * when the path is parsed.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>

#include <cjson/cJSON.h>

enum {
    JSON_PATH_LENGTH_MAX = 256,
    JSON_PATH_STEPS_MAX = 32,
};

struct json_path;

/* Fails with INVALID_REQUEST, saying at which byte it stopped. The caller frees *path_out. */
MUST_CHECK bool json_path_parse(const char *text, struct json_path **path_out, struct error *err);
void json_path_free(struct json_path *path);

/* Is given each node that the path selects, in the document's order; true: enough. */
typedef bool json_node_fn(const cJSON *node, void *context);

/* True if it was enough. False as well once *visits_left, which each value that is looked at counts
 * down, is 0. */
bool json_path_select(const struct json_path *path, const cJSON *root, json_node_fn *take_node,
                      void *context, unsigned *visits_left);

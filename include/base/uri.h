/* The parts of a key's URI that every program reads: RFC 3986, by uriparser. */
#pragma once

#include "base/error.h"

#include <stddef.h>

/* Copies the decoded value of the one attribute `name` of the query ("?name=value&name=value",
 * RFC 7512 2.3). Fails with ERROR_CONFIG, the message going on from "uri": it is no URI, has no such
 * attribute or several, or its value is empty, too long or holds a NUL. Then *value_out is "". */
MUST_CHECK bool uri_attribute(const char *uri, const char *name, char *value_out, size_t size,
                              struct error *err);

/* Whether the query has the attribute at all. */
bool uri_has_attribute(const char *uri, const char *name);

/* The absolute path in a pin-source (RFC 7512 2.4): "file:/PATH", "file:///PATH" or "/PATH", inside
 * `source`. NULL: it is none, for "|command" and other hosts are not read. */
const char *uri_file_path(const char *source);

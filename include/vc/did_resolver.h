/*
 * DID documents of methods that need a network, from a universal resolver
 * (GET {url}/1.0/identifiers/{did}), by libcurl. The one host that is asked is the configured one:
 * no redirect is followed, no proxy of the environment used.
 *
 * Threads: any.
 */
#pragma once

#include "base/error.h"

#include <stdint.h>

enum {
    DID_DOCUMENT_MAX = 64 * 1024,
    DID_RESOLVER_DEADLINE_MS = 3000,
    DID_RESOLVER_FETCHES_MAX = 32, /* at once; one more fails at once */
    DID_RESOLVER_CACHED_MAX = 256, /* documents, the least recently used out first */
    DID_RESOLVER_MAX_AGE_S = 3600, /* however long the answer says it may be kept */
};

struct did_resolver;

/* `url` without a trailing slash, borrowed. The caller frees. */
struct did_resolver *did_resolver_new(const char *url);
void did_resolver_free(struct did_resolver *resolver);

/* Fetches the DID document, a JSON text of at most DID_DOCUMENT_MAX bytes, out of a resolution
 * result or as it is; from memory while the last answer's Cache-Control max-age lasts (`now_ns` is
 * monotonic). The caller frees *document_out.
 *
 * Fails with INVALID_REQUEST if there is no such DID (404), if it is deactivated (410, or the
 * result says so) or of no such form (400, 501); with RESOLVER_UNAVAILABLE for every other answer,
 * none within the deadline, or too many at once: that it logs, once a minute at most. */
MUST_CHECK bool did_resolver_fetch(struct did_resolver *resolver, const char *did, int64_t now_ns,
                                   char **document_out, struct error *err);

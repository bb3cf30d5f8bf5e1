/*
 * The routes of both servers: one table, which dispatches requests (server.c) and is the source of
 * the API's document (openapi.c), so that the two cannot disagree.
 */
#pragma once

#include "http/endpoint.h"

enum { ROUTE_ERRORS_MAX = 4 };

/* What a 2xx answer holds. */
struct route_success {
    int status;
    const char *description;
    const char *schema;       /* of components.json; NULL: a string */
    const char *content_type; /* NULL: application/json */
};

struct route {
    const char *method;
    const char *path; /* may have one "{id}" segment; of one row alone */
    endpoint_fn *endpoint;
    size_t body_limit;
    unsigned roles; /* bits, 1 << enum server_role */
    bool limited;   /* by the rate that one address may keep */

    /* For the document. What any route answers, and what follows from the members above, is not
     * named again. */
    bool is_cached;    /* has an ETag, answers 304 */
    bool needs_secret; /* x-client-secret */
    int errors[ROUTE_ERRORS_MAX];
    const char *stands_for; /* of an older path: the path that replaced it; otherwise NULL */
    const char *operation;
    const char *summary;
    const char *request_schema; /* NULL: takes no body */
    struct route_success success;
};

/* The table. */
const struct route *routes_all(size_t *count_out);

/* HEAD finds GET: libmicrohttpd leaves the body out. Fails with NO_ROUTE, or with METHOD_NOT_ALLOWED
 * and *allow_out set. */
MUST_CHECK bool routes_find(enum server_role role, const char *method, const char *path,
                            const struct route **route_out, const char **allow_out,
                            struct error *err);

/* Whether `path` is the route's; what stands for {id} goes to `id_out`, "" without one. */
bool route_matches(const struct route *route, const char *path, char id_out[static ID_MAX]);

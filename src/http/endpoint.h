/* What an endpoint is: parse, call the service, reply. It neither logs nor picks an error's
 * status; after false the server calls reply_error() once. */
#pragma once

#include "http/reply.h"
#include "http/server.h"

struct MHD_Connection;

enum { ID_MAX = 64 };

struct request {
    const char *method;
    const char *path; /* as sent, without the query */
    char id[ID_MAX];  /* what stands for {id} in the route */
    const char *body; /* NUL after body_length bytes */
    size_t body_length;
    int64_t received_ns; /* monotonic */
    struct MHD_Connection *connection;
};

/* NULL if there is none. */
const char *request_header(const struct request *request, const char *name);

typedef MUST_CHECK bool endpoint_fn(const struct site *site, const struct request *request,
                                    struct reply *reply, struct error *err);

endpoint_fn tokens_endpoint;         /* POST /api/v1/tokens */
endpoint_fn revoked_tokens_endpoint; /* GET /api/v1/tokens/revoked */
endpoint_fn authorizations_endpoint; /* POST /api/v1/authorizations */
endpoint_fn validate_endpoint;       /* POST /api/v1/authorizations/{id}/validate */
endpoint_fn verify_endpoint;         /* POST /api/v1/authorize/verify: the id is in the body */
endpoint_fn approve_endpoint;        /* POST /api/v1/authorizations/{id}/approve */
endpoint_fn jwks_endpoint;           /* GET /.well-known/jwks.json */
endpoint_fn metadata_endpoint;       /* GET /.well-known/openid-credential-issuer */
endpoint_fn oauth_metadata_endpoint; /* GET /.well-known/oauth-authorization-server */
endpoint_fn did_endpoint;            /* GET /.well-known/did.json */
endpoint_fn openapi_endpoint;        /* GET /openapi.json */
endpoint_fn livez_endpoint;
endpoint_fn readyz_endpoint;
endpoint_fn metrics_endpoint;
endpoint_fn clock_endpoint;  /* POST /api/v1/clock/confirm */
endpoint_fn status_endpoint; /* GET /api/v1/status */
endpoint_fn page_endpoint;   /* GET / of the admin listener */

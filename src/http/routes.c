#include "http/routes.h"

#include <string.h>

#include "base/memory.h"

enum {
    BODY_TOKENS = 4 * 1024,
    BODY_AUTHORIZATIONS = 64 * 1024,
    ON_PUBLIC = 1 << SERVER_PUBLIC,
    ON_ADMIN = 1 << SERVER_ADMIN,
};

/* Each row begins with roles, method and path: tests/http/openapi_test.py reads them. */
static const struct route routes[] = {
    {
        .roles = ON_PUBLIC,
        .method = "POST",
        .path = "/api/v1/tokens",
        .body_limit = BODY_TOKENS,
        .endpoint = tokens_endpoint,
        .operation = "CreateAccessToken",
        .summary = "Exchange authorization code for access token",
        .request_schema = "CreateAccessTokenRequestDto",
        .success = { 201, "Success", "AccessTokenResponseDto", NULL },
        .errors = { 404 },
    },
    {
        .roles = ON_PUBLIC,
        .method = "GET",
        .path = "/api/v1/tokens/revoked",
        .endpoint = revoked_tokens_endpoint,
        .operation = "GetRevokedTokens",
        .summary = "The tokens that are revoked and have not expired, as a JWT",
        .success = { 200, "A JWT (typ revoked-tokens+jwt) whose claim revoked lists jtis", NULL,
                     "application/revoked-tokens+jwt" },
        .is_cached = true,
    },
    {
        .roles = ON_PUBLIC,
        .method = "POST",
        .path = "/api/v1/authorizations",
        .body_limit = BODY_AUTHORIZATIONS,
        .limited = true,
        .endpoint = authorizations_endpoint,
        .operation = "CreateAuthorization",
        .summary = "Create an authorization request",
        .request_schema = "CreateAuthorizationRequestDto",
        .success = { 201, "The request, open", "AuthorizationDto", NULL },
    },
    {
        .roles = ON_PUBLIC,
        .method = "POST",
        .path = "/api/v1/authorizations/{id}/validate",
        .body_limit = BODY_AUTHORIZATIONS,
        .limited = true,
        .endpoint = validate_endpoint,
        .operation = "ValidateAuthorization",
        .summary = "Prove control of a DID, and what the request asks for, by a presentation",
        .request_schema = "ValidateAuthorizationRequestDto",
        .success = { 200, "The request, with its code", "AuthorizationDto", NULL },
        .errors = { 404 },
    },
    {
        .roles = ON_PUBLIC,
        .method = "GET",
        .path = "/.well-known/jwks.json",
        .endpoint = jwks_endpoint,
        .operation = "GetKeys",
        .summary = "The keys that verify the tokens (RFC 7517)",
        .success = { 200, "The JWK Set", "JwkSet", NULL },
        .is_cached = true,
    },
    {
        .roles = ON_PUBLIC,
        .method = "GET",
        .path = "/.well-known/openid-credential-issuer",
        .endpoint = metadata_endpoint,
        .operation = "GetCredentialIssuer",
        .summary = "The issuer's metadata (OpenID4VCI 12.2)",
        .success = { 200, "The metadata", "CredentialIssuerMetadata", NULL },
        .is_cached = true,
    },
    {
        .roles = ON_PUBLIC,
        .method = "GET",
        .path = "/.well-known/oauth-authorization-server",
        .endpoint = oauth_metadata_endpoint,
        .operation = "GetAuthorizationServer",
        .summary = "The authorization server's metadata (RFC 8414)",
        .success = { 200, "The metadata", "AuthorizationServerMetadata", NULL },
        .is_cached = true,
    },
    {
        .roles = ON_PUBLIC,
        .method = "GET",
        .path = "/.well-known/did.json",
        .endpoint = did_endpoint,
        .operation = "GetDidDocument",
        .summary = "The issuer's DID document (did:web), if its URL allows one",
        .success = { 200, "The document, with the keys that sign now", "DidDocument",
                     "application/did+json" },
        .is_cached = true,
        .errors = { 404 },
    },
    {
        .roles = ON_PUBLIC | ON_ADMIN,
        .method = "GET",
        .path = "/openapi.json",
        .endpoint = openapi_endpoint,
        .operation = "GetOpenApi",
        .summary = "This document",
        .success = { 200, "The document", "OpenApiDocument", NULL },
        .is_cached = true,
    },
    {
        .roles = ON_ADMIN,
        .method = "POST",
        .path = "/api/v1/authorizations/{id}/approve",
        .body_limit = BODY_AUTHORIZATIONS,
        .endpoint = approve_endpoint,
        .operation = "ApproveAuthorization",
        .summary = "Approve an authorization request whose holder was authenticated elsewhere",
        .request_schema = "ApproveAuthorizationRequestDto",
        .success = { 200, "The request, with its code", "AuthorizationDto", NULL },
        .needs_secret = true,
        .errors = { 404, 409 },
    },
    {
        .roles = ON_ADMIN,
        .method = "GET",
        .path = "/livez",
        .endpoint = livez_endpoint,
        .operation = "GetLiveness",
        .summary = "Whether the server runs",
        .success = { 200, "It does", "HealthDto", NULL },
    },
    {
        .roles = ON_ADMIN,
        .method = "GET",
        .path = "/readyz",
        .endpoint = readyz_endpoint,
        .operation = "GetReadiness",
        .summary = "Whether the server can issue a token now",
        .success = { 200, "It can", "HealthDto", NULL },
    },
    {
        .roles = ON_ADMIN,
        .method = "GET",
        .path = "/metrics",
        .endpoint = metrics_endpoint,
        .operation = "GetMetrics",
        .summary = "Metrics, as Prometheus reads them",
        .success = { 200, "The metrics", NULL, "text/plain; version=0.0.4" },
    },
    {
        .roles = ON_ADMIN,
        .method = "GET",
        .path = "/api/v1/status",
        .endpoint = status_endpoint,
        .operation = "GetStatus",
        .summary = "All that an operator wants to know of this server, and what is wrong with it",
        .success = { 200, "The status", "StatusDto", NULL },
    },
    {
        .roles = ON_ADMIN,
        .method = "POST",
        .path = "/api/v1/clock/confirm",
        .body_limit = BODY_TOKENS,
        .endpoint = clock_endpoint,
        .operation = "ConfirmClock",
        .summary = "Take a clock that is not trusted for right, so that issuing goes on",
        .request_schema = "ConfirmClockRequestDto",
        .success = { 200, "The clock, as it is now", "StatusClock", NULL },
        .needs_secret = true,
        .errors = { 409 },
    },
    {
        .roles = ON_ADMIN,
        .method = "GET",
        .path = "/",
        .endpoint = page_endpoint,
        .operation = "GetPage",
        .summary = "The operator's page, which shows the status",
        .success = { 200, "The page", NULL, "text/html; charset=utf-8" },
    },

    /* Older paths that wallets still use. */
    {
        .roles = ON_PUBLIC,
        .method = "POST",
        .path = "/api/v1/connect/token",
        .body_limit = BODY_TOKENS,
        .endpoint = tokens_endpoint,
        .stands_for = "/api/v1/tokens",
        .operation = "CreateAccessTokenByOlderPath",
        .summary = "Exchange authorization code for access token",
        .request_schema = "CreateAccessTokenRequestDto",
        .success = { 201, "Success", "AccessTokenResponseDto", NULL },
        .errors = { 404 },
    },
    {
        .roles = ON_PUBLIC,
        .method = "POST",
        .path = "/api/v1/authorize",
        .body_limit = BODY_AUTHORIZATIONS,
        .limited = true,
        .endpoint = authorizations_endpoint,
        .stands_for = "/api/v1/authorizations",
        .operation = "CreateAuthorizationByOlderPath",
        .summary = "Create an authorization request",
        .request_schema = "CreateAuthorizationRequestDto",
        .success = { 201, "The request, open", "AuthorizationDto", NULL },
    },
    {
        .roles = ON_PUBLIC,
        .method = "POST",
        .path = "/api/v1/authorize/verify",
        .body_limit = BODY_AUTHORIZATIONS,
        .limited = true,
        .endpoint = verify_endpoint,
        .stands_for = "/api/v1/authorizations/{id}/validate",
        .operation = "ValidateAuthorizationByOlderPath",
        .summary = "Prove control of a DID, and what the request asks for, by a presentation",
        .request_schema = "VerifyAuthorizationRequestDto",
        .success = { 200, "The request, with its code", "AuthorizationDto", NULL },
        .errors = { 404 },
    },
};

const struct route *routes_all(size_t *count_out)
{
    *count_out = COUNT_OF(routes);
    return routes;
}

bool route_matches(const struct route *route, const char *path, char id_out[static ID_MAX])
{
    const char *open = strchr(route->path, '{');
    const size_t before = open != NULL ? (size_t)(open - route->path) : strlen(route->path);

    id_out[0] = '\0';
    if (open == NULL) {
        return strcmp(route->path, path) == 0;
    }
    if (strncmp(route->path, path, before) != 0) {
        return false;
    }
    const size_t length = strcspn(path + before, "/");
    if (length == 0 || length >= ID_MAX
        || strcmp(path + before + length, open + strlen("{id}")) != 0) {
        return false;
    }
    memcpy(id_out, path + before, length);
    id_out[length] = '\0';
    return true;
}

static bool method_matches(const char *wanted, const char *method)
{
    return strcmp(wanted, method) == 0
        || (strcmp(wanted, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

bool routes_find(enum server_role role, const char *method, const char *path,
                 const struct route **route_out, const char **allow_out, struct error *err)
{
    char id[ID_MAX];

    for (size_t i = 0; i < COUNT_OF(routes); i++) {
        if ((routes[i].roles & 1U << role) == 0 || !route_matches(&routes[i], path, id)) {
            continue;
        }
        if (method_matches(routes[i].method, method)) {
            *route_out = &routes[i];
            return true;
        }
        *allow_out = strcmp(routes[i].method, "GET") == 0 ? "GET, HEAD" : routes[i].method;
        return fail(err, ERROR_METHOD_NOT_ALLOWED, "this path takes %s", *allow_out);
    }
    return fail(err, ERROR_NO_ROUTE, "there is nothing at this path");
}

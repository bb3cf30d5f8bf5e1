/*
 * issuerd's API as a client knows it: requests made, answers held against the contract
 * (token.openapi.json) to the letter. What does not hold is said on stderr.
 */
#pragma once

#include "support/http_client.h"
#include "support/instance.h"

#include <stdbool.h>
#include <stddef.h>

#define TOKENS_PATH "/api/v1/tokens"
#define AUTHORIZATIONS_PATH "/api/v1/authorizations"
#define HOLDER_DID "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"

/* ErrorResponseDto.code: each a promise to clients. */
enum {
    API_INTERNAL = 10001,
    API_INVALID_REQUEST = 10002,
    API_INVALID_FRAMING = 10003,
    API_CODE_GONE = 10004, /* expired or spent */
    API_CODE_UNKNOWN = 10005,
    API_REQUEST_NOT_FOUND = 10006,
    API_NO_ROUTE = 10007,
    API_METHOD_NOT_ALLOWED = 10008,
    API_UNAUTHORIZED = 10009,
    API_CONFLICT = 10010,
    API_TIMEOUT = 10011,
    API_TOO_LARGE = 10012,
    API_UNSUPPORTED_MEDIA = 10013,
    API_HEAD_TOO_LARGE = 10014,
    API_TOO_MANY_REQUESTS = 10015,
    API_OVERLOADED = 10016,
    API_NO_SIGNER = 10017,
    API_NO_STORE = 10018,
    API_SHUTTING_DOWN = 10019,
    API_PRESENTATION = 10020,
    API_NO_RESOLVER = 10021,
    API_NOT_OPEN = 10022,
    API_LEDGER_STOPPED = 10023,
    API_CLIENT_CERTIFICATE = 10024,
    API_CLOCK_UNTRUSTED = 10025,
};

enum { API_ID_SIZE = 37, API_CODE_SIZE = 64, API_TOKEN_SIZE = 4096 };

/* A state or nonce that no other call returned, with its NUL. */
void api_random_text(char out[static 44]);

/* POST /api/v1/authorizations, with a state and nonce of its own: the id of the new request. */
bool api_create(struct http_client *public_client, char id_out[static API_ID_SIZE]);

/* POST .../approve with the client secret. `scope` NULL: none. */
const struct http_reply *api_approve(const struct instance *instance,
                                     struct http_client *admin_client, const char *id,
                                     const char *holder_did, const char *scope);

/* A fresh code for HOLDER_DID, over connections of its own. */
bool api_make_code(const struct instance *instance, const char *scope,
                   char code_out[static API_CODE_SIZE]);

/* The same, with the id of the authorization it is for. */
bool api_make_named_code(const struct instance *instance, const char *scope,
                         char id_out[static API_ID_SIZE], char code_out[static API_CODE_SIZE]);

/* POST /api/v1/tokens. */
const struct http_reply *api_redeem(struct http_client *public_client, const char *code);

/* True if a fresh code can be made and redeemed over connections of their own. */
bool api_serves(const struct instance *instance);

/* True for an answer of that status whose body is an ErrorResponseDto, no member more or less, with
 * this code, method and path, application/json, not to be stored. */
bool is_error_reply(const struct http_reply *reply, int status, int code, const char *method,
                    const char *path);

/* True for a 503 with Retry-After. */
bool is_refusal_reply(const struct http_reply *reply);

/* True for a 201 whose body is an AccessTokenResponseDto, no member more or less, application/json,
 * not to be stored. `token_out` is the token; NULL: not wanted. */
bool is_token_reply(const struct http_reply *reply, char token_out[API_TOKEN_SIZE]);

/* A member of type string of the reply's JSON object; false if there is none, or if it does not
 * fit. */
bool reply_member(const struct http_reply *reply, const char *name, char *out, size_t size);

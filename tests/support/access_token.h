/* Access tokens as a resource server sees them: parsed and verified against a JWK Set by OpenSSL,
 * with none of the code that made them. */
#pragma once

#include <stdbool.h>

#include <cjson/cJSON.h>

/* The header (part 0) or the payload (part 1) of a compact JWS, parsed; NULL if it is not one. The
 * caller deletes. */
cJSON *token_part(const char *jwt, int part);

/* True if the key of the JWK Set that the token's kid names, and no other, made its signature, with
 * the algorithm that both header and key name. */
bool token_verifies(const char *jwt, const char *jwks);

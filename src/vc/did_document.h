/* DID documents (DID Core 5): a text from a resolver, and the one key in it that is asked for. */
#pragma once

#include "vc/did_keys.h"

struct document_query {
    const char *did;
    const char *fragment; /* behind the '#' */
    enum did_purpose purpose;
    bool takes_point_in_x; /* did:empe: a secp256k1 JWK whose x is base64 of the compressed point */
};

/* Fails with INVALID_REQUEST, naming what is wrong. The caller frees *key_out. */
MUST_CHECK bool document_find_key(const char *text, const struct document_query *query,
                                  EVP_PKEY **key_out, struct error *err);

/* Keys in a DID document (W3C DID Core 5.2, 5.3). */
#pragma once

#include "vc/did_keys.h"

#include <cjson/cJSON.h>

enum { DID_METHODS_MAX = 64 }; /* entries of one list */

/* As did_find_key(), of a document that was fetched for `did`. */
MUST_CHECK bool did_document_find_key(const cJSON *document, const char *did, const char *fragment,
                                      enum did_purpose purpose, EVP_PKEY **key_out,
                                      struct error *err);

/* Documents that anyone may read, and keep for a while. */
#pragma once

#include "http/endpoint.h"

enum { DOCUMENT_MAX_AGE_S = 300 };

/* Answers 200 with the text, which is in `reply` already, and its ETag; 304 if the client says that
 * it has this one. Fails with INTERNAL if the text overflowed. */
MUST_CHECK bool reply_document(const struct request *request, struct reply *reply,
                               const struct text *text, int64_t max_age_s, struct error *err);

/*
 * What libmicrohttpd 0.9.75 lets through and we do not: every request head that two readers could
 * read in two ways (RFC 9112 2, 6, 11.2).
 */
#pragma once

#include "base/error.h"

struct MHD_Connection;

enum { HEAD_MAX = 16384 };

/* The texts are those that libmicrohttpd gave its handler, at the same addresses. Fails with
 * INVALID_FRAMING (version not 1.0 or 1.1, a header name that is empty or not a token, control bytes
 * in a value, a line that is folded or not ended by CR LF, not exactly one Host, Content-Length or
 * Content-Type or Authorization or DPoP or x-client-secret twice, any Transfer-Encoding, a target
 * that is not an absolute path of plain ASCII) or HEAD_TOO_LARGE. After either the connection must
 * be closed. */
MUST_CHECK bool header_gate(struct MHD_Connection *connection, const char *method, const char *url,
                            const char *version, struct error *err);

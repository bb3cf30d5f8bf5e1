/*
 * Checkpoints as the world reads them: the body of one (C2SP tlog-checkpoint), and the signed note
 * (C2SP signed-note) that it becomes.
 */
#pragma once

#include "base/digest.h"
#include "base/error.h"
#include "base/text.h"

#include <stddef.h>
#include <stdint.h>

/* ISSUER/ledger/NODE/EPOCH, the issuer's URL without its scheme: the log's name, and its key's. */
void note_add_origin(struct text *text, const char *issuer, const char *node, int64_t epoch);

/* Three lines: origin, size in decimal, root in base64. */
void note_add_body(struct text *text, const char *origin, int64_t size, const struct digest *root);

/* Makes a signed note of the text that was signed: an empty line, then that of the key's signature
 * under its name. The signature has JOSE's form, `jwk` is the public key, ES256 or Ed25519. Fails
 * with INTERNAL for another key, or another signature. */
MUST_CHECK bool note_add_signature(struct text *text, const char *name, const char *jwk,
                                   const uint8_t *signature, size_t length, struct error *err);

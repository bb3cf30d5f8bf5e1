/* Entries of the ledger as an auditor reads them (their form: core/ledger.h). */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { ENTRY_KIND_MAX = 23 };

/* Points into the entry, which a NUL follows. */
struct audit_entry {
    int64_t time_s;
    char kind[ENTRY_KIND_MAX + 1];
    const char *jti; /* NULL: none. No NUL ends it */
    size_t jti_length;
};

/* Fails with INVALID_REQUEST: not one JSON object of strings and numbers on one line without white
 * space between them, its members known and in their order, time and kind the first. */
MUST_CHECK bool audit_entry_parse(const char *entry, size_t length, struct audit_entry *entry_out,
                                  struct error *err);

/* What issuerctl's commands share. */
#pragma once

#include "base/memory.h"
#include "base/text.h"
#include "core/service.h"
#include "ctl/files.h"

enum { CTL_REFUSED = 1 }; /* exit status: done right, the answer is no */

/* The error as one line; the exit status that its code asks for. */
int ctl_complain(const struct error *err);

/* The same, for a command whose rules or arguments may be what is wrong: CTL_REFUSED for NOT_FOUND and
 * CONFLICT, EX_USAGE for INVALID_REQUEST. */
int ctl_refuse(const struct error *err);

/* The configured store, which must be there. The caller owns *store_out. */
MUST_CHECK bool ctl_open_store(const struct service_options *service, struct store **store_out,
                               struct error *err);
DEFINE_RELEASE(release_store, struct store, store_close)

DEFINE_RELEASE(release_ledger, struct ledger, ledger_close)

/* A command's write: within a transaction whose time is `now_s`. */
typedef MUST_CHECK bool ctl_write_fn(void *context, struct ledger *ledger, struct store *store,
                                     int64_t now_s, struct error *err);

/* Runs it in one transaction with what it appends to this node's ledger; again, if others had
 * precedence. Fails as it does, or with STORE_UNAVAILABLE, LEDGER_STOPPED. */
MUST_CHECK bool ctl_write(const struct service_options *service, struct store *store,
                          ctl_write_fn *write, void *context, struct error *err);

/* Asks whoever sits at the terminal. EX_OK: yes; else the exit status, and why is said. */
int ctl_confirm(const char *command, const char *question);

/* RFC 3339, UTC. */
struct instant {
    char text[24];
};
struct instant instant_of(int64_t seconds);

/* "name":"value" into a JSON object that was opened with "{". */
void ctl_add_member(struct text *text, const char *name, const char *value);

/* Replaces what could write on the reader's screen, whoever wrote it: all but printable ASCII. */
void ctl_make_plain(char *text);

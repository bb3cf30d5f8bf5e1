/* What issuerctl's commands share. */
#pragma once

#include "base/memory.h"
#include "base/text.h"
#include "core/service.h"

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

/* A command's write: within a transaction whose time is `now_s`. */
typedef MUST_CHECK bool ctl_write_fn(void *context, struct ledger *ledger, struct store *store,
                                     int64_t now_s, struct error *err);

/* Runs it in one transaction with what it appends to this node's ledger; again, if others had
 * precedence. Fails as it does, or with STORE_UNAVAILABLE, LEDGER_STOPPED. */
MUST_CHECK bool ctl_write(const struct service_options *service, struct store *store,
                          ctl_write_fn *write, void *context, struct error *err);

/* RFC 3339, UTC. */
struct instant {
    char text[24];
};
struct instant instant_of(int64_t seconds);

/* "name":"value" into a JSON object that was opened with "{". */
void ctl_add_member(struct text *text, const char *name, const char *value);

/* Replaces what could write on the reader's screen, whoever wrote it: all but printable ASCII. */
void ctl_make_plain(char *text);

/* Reads a file of at most `max` bytes, none of them a NUL. Fails with INVALID_REQUEST. The caller frees
 * *text_out, which a NUL ends. */
MUST_CHECK bool ctl_read_file(const char *path, size_t max, char **text_out, size_t *length_out,
                              struct error *err);

/* A file that must not have been there, for a secret: mode 0600, and removed again unless it is
 * kept. */
struct new_file {
    const char *path; /* borrowed; NULL: none */
    int fd;
};

/* Fails with CONFIG: it is there, or cannot be made. The caller clears *file_out. */
MUST_CHECK bool new_file_make(const char *path, struct new_file *file_out, struct error *err);

/* Fails with CONFIG. */
MUST_CHECK bool new_file_write(struct new_file *file, const char *bytes, size_t length,
                               struct error *err);
void new_file_keep(struct new_file *file);
void new_file_clear(struct new_file *file);

/*
 * Tokens that were signed and perhaps recorded, but kept from whoever asked for them: how their
 * transaction ended was not known in time. Who comes again with the code gets the token, once the store
 * says that it was spent for that one. A memory of fixed bound, oldest out first; a token that is
 * forgotten is never delivered.
 *
 * Threads: any.
 */
#pragma once

#include "base/digest.h"
#include "core/committer.h"

enum { UNDELIVERED_MAX = 256 };

struct undelivered;

/* `forget` frees a job whose token nobody came for. */
struct undelivered *undelivered_new(job_free_fn *forget);

/* Forgets all. */
void undelivered_free(struct undelivered *self);

/* Takes ownership of `job`, the token's, and forgets it after `until_s`, or before if there are too
 * many. Times are the store's. */
void undelivered_keep(struct undelivered *self, const struct digest *code, struct job *job,
                      int64_t until_s, int64_t now_s);

/* The job kept for `code`, the caller's now; NULL: there is none. */
struct job *undelivered_take(struct undelivered *self, const struct digest *code, int64_t now_s);

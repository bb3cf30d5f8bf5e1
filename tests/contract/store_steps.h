/* The steps of an exchange on a store, by number, for tests of an engine's faults. */
#pragma once

#include "store/store.h"

enum { STEPS_NOW_S = 1700000000 };

/* An open request, in a transaction that has begun. */
MUST_CHECK bool step_create(struct store *store, unsigned number, struct error *err);

/* A request and its code, durable. */
MUST_CHECK bool step_make_code(struct store *store, unsigned number, int64_t *row_out,
                               struct error *err);

/* Spends that code for a token whose jti is `jti`, in a transaction that has begun. */
struct redemption step_redemption(unsigned number, int64_t row, const char *jti);
MUST_CHECK bool step_redeem(struct store *store, unsigned number, int64_t row, const char *jti,
                            struct error *err);

/* Appends entry `index` to the node's tree, which has that many, in a transaction that has begun. */
MUST_CHECK bool step_append(struct store *store, int64_t index, const char *jti, struct error *err);

/* Whether the code is known, and spent. */
bool step_is_spent(struct store *store, unsigned number);

MUST_CHECK bool step_begin(struct store *store, struct error *err);

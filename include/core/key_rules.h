/*
 * When a key may take the next step of its life: rules without a store or a clock, for issuerd and
 * issuerctl alike. A key is in the JWK Set for at least the time that a verifier may cache it before
 * it signs, and for as long as a token that it signed lives.
 */
#pragma once

#include "base/error.h"
#include "store/store.h"

enum {
    KEYS_PUBLISHED_MAX = 8,
    KEY_USE_AHEAD_S =
        30, /* an active key's last_expiry_s runs ahead of its tokens by this, at most */
};

struct key_rules {
    int64_t jwks_max_age_s;   /* how long a verifier may keep the JWK Set */
    int64_t token_lifetime_s; /* of the longest-lived token */
};

enum key_step { KEY_PUBLISH, KEY_ACTIVATE, KEY_RETIRE, KEY_DESTROY };

struct key_request {
    enum key_step step;
    const char *kid;       /* or the beginning of one, if no other begins so */
    const char *emergency; /* why it cannot wait; NULL: no emergency */
    int64_t now_s;
};

/* True for the states whose keys are in the JWK Set. */
bool key_is_published(enum key_state state);

/* What the request makes of which key. Fails with NOT_FOUND (no such key), INVALID_REQUEST (several
 * begin so) or CONFLICT: not the step that comes next, too early (says when), the eighth key is
 * published, the last active key would go. An emergency may skip what is early or last, never what
 * is impossible. */
MUST_CHECK bool key_rules_plan(const struct key_rules *rules, const struct key_list *list,
                               const struct key_request *request, struct key_change *change_out,
                               struct error *err);

/* True, with the change, if the retiring key's tokens have all expired. */
bool key_rules_has_retired(const struct stored_key *key, int64_t now_s,
                           struct key_change *change_out);

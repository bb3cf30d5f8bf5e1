/*
 * The keyring at work: which keys are in the JWK Set and which signers may sign, by the store's
 * keyring and what the devices hold. A thread looks at both twice a second, so that a change made by
 * issuerctl, or by another issuerd on the same store, holds within a second.
 *
 * A key that a device shows for the first time is entered as generated; as active if the keyring is
 * empty, since nobody can hold an older JWK Set then. A key that its device no longer has stays
 * published, for the tokens that it signed. The ledger's audit key is none of the keyring's.
 */
#pragma once

#include "base/text.h"
#include "core/committer.h"
#include "core/key_rules.h"

struct keyring;

struct keyring_options {
    struct store *store;
    struct signers *signers;
    struct committer *committer;
    int64_t token_lifetime_s;
};

/* Looks once before it returns. Borrows all of it for the keyring's life. Fails with
 * STORE_UNAVAILABLE. */
MUST_CHECK bool keyring_start(const struct keyring_options *options, struct keyring **keyring_out,
                              struct error *err);
void keyring_stop(struct keyring *keyring);

/* The JWK Set, from memory. Any thread. */
void keyring_print_jwks(struct keyring *keyring, struct text *text);

/* The same of the active keys alone. */
void keyring_print_active_jwks(struct keyring *keyring, struct text *text);

/* The keys as they were when the thread last looked; the caller clears *list_out. Any thread. */
void keyring_list_keys(struct keyring *keyring, struct key_list *list_out);

/* True if the signer may sign tokens: its key was active when the thread last looked. Any thread. */
bool keyring_permits(struct keyring *keyring, const struct signer_status *signer);

/* Why no signer of ours has the key; NULL: one has it, or none can say yet. Any thread. */
const char *keyring_absence_of(struct keyring *keyring, const struct stored_key *key);

/* Within a transaction, for issuerctl too: the store's keyring and the ledger together. They fail as
 * store_add_key(), store_change_key() and ledger_append() do. */
MUST_CHECK bool keyring_enter_key(struct ledger *ledger, struct store *store,
                                  const struct stored_key *key, struct error *err);
MUST_CHECK bool keyring_change_key(struct ledger *ledger, struct store *store,
                                   const struct key_change *change, struct error *err);

/*
 * The store: authorization requests, the codes made for them, the ledger's trees, what was revoked,
 * and the keyring.
 * Which engine is behind it is chosen by the scheme of a URL: "sqlite:/absolute/path", or
 * "postgresql://host,host/database" as libpq reads it.
 *
 * Threads: all that writes runs on one thread (the committer), between store_begin() and
 * store_commit(); the functions that say "any thread" read what is committed.
 *
 * Every function fails with ERROR_STORE_UNAVAILABLE when the engine does; trying again may help.
 * Those of a transaction fail with ERROR_STORE_CONFLICT when the engine gave another transaction
 * precedence: roll back, and run the whole of it again. Times are seconds since 1970. Codes are known
 * here by their SHA-256 alone.
 */
#pragma once

#include "base/clock_guard.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/merkle.h"

#include <stddef.h>
#include <stdint.h>

enum {
    AUTHORIZATION_ID_LENGTH = 36, /* a UUID in text */
    STATE_MIN = 32,               /* bounds of state and of nonce */
    STATE_MAX = 64,
    HOLDER_DID_MAX = 512,
    SCOPE_MAX = 256,
    JTI_LENGTH = 32,
    LEDGER_NODE_MAX = 64,
    LEDGER_ENTRY_MAX = 2048,
    CHECKPOINT_NOTE_MAX =
        1536, /* with its NUL: the origin, of an issuer of 512, stands in it twice */
};

struct store;

struct store_options {
    int64_t max_open_requests; /* requests neither approved nor expired: over it OVERLOADED */
    int64_t retention_s;       /* how long an approved request is kept after its code expired */
    bool must_exist;           /* make no new one: fail with NOT_FOUND */
    bool read_only; /* and migrate and write nothing: it is read as it was when it was opened */
};

/* What can be said of a URL without opening the store. Fails with ERROR_CONFIG, the message going on
 * from "store.url". */
MUST_CHECK bool store_check_url(const char *url, struct error *err);

/* A file that an open store may open again, to read it alone or, with others beside it, to write. */
typedef void store_file_fn(void *context, const char *path, bool is_written);

/* Those that can be said from the URL, which is good. */
void store_list_files(const char *url, store_file_fn *take, void *context);

/* "sqlite" or "postgresql", for people; NULL: no engine is behind this URL. */
const char *store_engine_name(const char *url);

/* Opens, creates or migrates the store. Fails with ERROR_CONFIG for a URL of no known scheme and
 * for a schema newer than this program. The caller owns *store_out. */
MUST_CHECK bool store_open(const char *url, const struct store_options *options,
                           struct store **store_out, struct error *err);
void store_close(struct store *store);

/* From the next write on, instead of what the options had. Any thread. */
void store_set_limits(struct store *store, int64_t max_open_requests, int64_t retention_s);

/* ---- the clock ----
 * One clock decides for all nodes of a deployment: the machine's, whose processes share an SQLite file, or
 * the database's. It is believed as base/clock_guard.h says, from store_open() on, and so is the machine's
 * in any case. Any thread. */

/* The time, for what is issued or written. Fails with CLOCK_UNTRUSTED, and else leaves `err` alone. */
MUST_CHECK bool store_read_clock(struct store *store, int64_t *now_s_out, struct error *err);

/* The time, for what only looks: of a clock that is not trusted, as it was when it was, run on. */
int64_t store_now_s(struct store *store);

struct store_clock {
    const char
        *name; /* the one that is not trusted, or the one that decides: "machine", "database" */
    bool is_trusted;
    bool is_behind_ledger; /* not trusted for it: what it should say at least is known */
    int64_t time_s;        /* what it says */
    int64_t deviation_s;   /* from what it should say; negative: it is behind */
};
struct store_clock store_clock(struct store *store);

/* The store has times up to this one: a clock that is further behind is not trusted. Before threads. */
void store_set_clock_floor(struct store *store, int64_t floor_s);

/* To be called every second or so, by one thread. */
void store_follow_clock(struct store *store);

enum { STORE_CLOCKS_MAX = 2 }; /* the machine's, and the engine's own */
struct store_anchors {
    struct clock_anchor clocks[STORE_CLOCKS_MAX];
};

/* What the clocks say is right, as an operator says; or was not, as that could not be written. */
struct store_anchors store_confirm_clock(struct store *store);
void store_restore_anchors(struct store *store, const struct store_anchors *before);

/* ---- transactions ---- */

/* One transaction. *now_s_out is the time of its begin; without a trusted one there is none: it fails with
 * CLOCK_UNTRUSTED, too. After store_commit() returned true all
 * of it is durable (and on the synchronous standbys, if there are). After false the connection is
 * made afresh, and with
 *   STORE_UNAVAILABLE, STORE_CONFLICT   none of it was written;
 *   STORE_IN_DOUBT                      that is not known: ask store_has_redeemed() in a new one.
 * After STORE_UNAVAILABLE or STORE_CONFLICT in between the caller rolls back; any other failure
 * leaves the work of the others in place. */
MUST_CHECK bool store_begin(struct store *store, int64_t *now_s_out, struct error *err);
MUST_CHECK bool store_commit(struct store *store, struct error *err);
void store_rollback(struct store *store);

struct new_authorization {
    char id[AUTHORIZATION_ID_LENGTH + 1];
    const char *state;
    const char *nonce;
    const char *presentation_definition; /* JSON text, or NULL */
    struct digest pair;                  /* of state and nonce: unique while the request lives */
    int64_t created_s;
    int64_t expires_s;
};

/* Fails with INVALID_REQUEST (state and nonce are those of a request that still lives) or
 * OVERLOADED. */
MUST_CHECK bool store_create_authorization(struct store *store,
                                           const struct new_authorization *authorization,
                                           struct error *err);

struct open_authorization {
    char state[STATE_MAX + 1];
    char nonce[STATE_MAX + 1];
    char *presentation_definition; /* the caller frees; NULL: none */
    int64_t expires_s;
    int64_t tries; /* in vain, to validate it */
    bool has_code;
};

/* Finds a request, open or not. Fails with NOT_FOUND. Any thread. */
MUST_CHECK bool store_find_authorization(struct store *store, const char *id,
                                         struct open_authorization *found_out, struct error *err);

/* Counts a try in vain to validate the request; nothing if it has a code already. */
MUST_CHECK bool store_count_try(struct store *store, const char *id, struct error *err);

/* The presentation that validated a request, so that it cannot validate another. */
struct used_presentation {
    struct digest identity;
    int64_t usable_until_s; /* remembered until then */
    int64_t tries_max;
};

struct approval {
    const char *id;
    const char *holder_did;
    const char *scope;                            /* NULL: none */
    const struct used_presentation *presentation; /* NULL: a trusted caller approves */
    struct digest code;
    int64_t now_s;
    int64_t code_expires_s;
};

struct approved_authorization {
    int64_t row; /* what store_redeem() wants */
    char state[STATE_MAX + 1];
    char nonce[STATE_MAX + 1];
    char *presentation_definition; /* the caller frees; NULL: none */
};

/* Gives an open request its holder and its code. Fails with NOT_FOUND (unknown, expired or cancelled), CONFLICT
 * (it has a code already) or, with a presentation, NOT_OPEN (it was tried too often) or PRESENTATION
 * (another request has used it). */
MUST_CHECK bool store_approve(struct store *store, const struct approval *approval,
                              struct approved_authorization *approved_out, struct error *err);

struct stored_code {
    int64_t row;
    char authorization_id[AUTHORIZATION_ID_LENGTH + 1];
    char holder_did[HOLDER_DID_MAX + 1];
    char scope[SCOPE_MAX + 1]; /* "": none */
    int64_t expires_s;
    bool spent;
    char jti[JTI_LENGTH + 1]; /* of the token that it was spent for; "": none */
    int64_t token_expires_s;
};

/* Fails with CODE_UNKNOWN. An expired or spent code is found. Any thread. */
MUST_CHECK bool store_find_code(struct store *store, const struct digest *code,
                                struct stored_code *code_out, struct error *err);

struct redemption {
    int64_t row;
    struct digest code;
    const char *jti; /* also what the redemption is known by: store_has_redeemed() */
    int64_t token_expires_s;
};

/* Spends the code, in two steps, so that an engine across a network is asked for a whole batch at
 * once: first store_send_redemption() for all of the batch, then store_redeem() for each, in the
 * same order, before anything else of the transaction. `now_s` is store_begin()'s.
 * store_redeem() fails with CODE_SPENT if the row was not ours to spend any more (spent, or expired
 * meanwhile); then nothing was written. */
MUST_CHECK bool store_send_redemption(struct store *store, const struct redemption *redemption,
                                      int64_t now_s, struct error *err);
MUST_CHECK bool store_redeem(struct store *store, const struct redemption *redemption,
                             int64_t now_s, struct error *err);

/* In a transaction of its own, after one whose commit is in doubt: whether the code was spent for
 * `redemption->jti`. It waits for whoever still has the row. When this transaction is committed,
 * *redeemed_out is true for good. */
MUST_CHECK bool store_has_redeemed(struct store *store, const struct redemption *redemption,
                                   bool *redeemed_out, struct error *err);

/* ---- the ledger ---- */

/* Every node writes trees of its own: one, and the next when a restored store was accepted. What
 * was pruned is the beginning of the tree; its edge stands for it. */
struct ledger_tree {
    int64_t number; /* in this store; from 1 */
    char node[LEDGER_NODE_MAX + 1];
    int64_t epoch;             /* of the node's trees; from 1 */
    struct merkle_edge edge;   /* of the whole tree: its size, and what its root is made of */
    struct merkle_edge pruned; /* of the entries that are not in the store any more */
};

/* Makes the node's tree of that epoch if it is not there, locks it for the rest of the transaction
 * and reads it. */
MUST_CHECK bool store_lock_tree(struct store *store, const char *node, int64_t epoch,
                                struct ledger_tree *tree_out, struct error *err);

/* Both edges as they are from now on. What fails may show at store_commit() only, as it does for
 * store_append_entry(). */
MUST_CHECK bool store_keep_tree(struct store *store, const struct ledger_tree *tree,
                                struct error *err);

struct ledger_tree_list {
    struct ledger_tree *trees; /* by number */
    size_t count;
};
void ledger_tree_list_clear(struct ledger_tree_list *list);

/* Every tree of every node. The caller clears *list_out. Any thread. */
MUST_CHECK bool store_list_trees(struct store *store, struct ledger_tree_list *list_out,
                                 struct error *err);

struct ledger_row {
    int64_t tree;      /* number */
    int64_t index;     /* in the tree, from 0 */
    const char *entry; /* one JSON object: what the leaf is the hash of */
    const char *jti;   /* that the entry is about; NULL: none */
    struct digest leaf;
};

MUST_CHECK bool store_append_entry(struct store *store, const struct ledger_row *row,
                                   struct error *err);

/* False ends the reading, with the error that the function sets. */
typedef MUST_CHECK bool store_entry_fn(void *context, const struct ledger_row *row,
                                       struct error *err);

/* Hands over the entries of a tree from `index` on, at most `limit`, in order. Any thread. */
MUST_CHECK bool store_read_entries(struct store *store, int64_t tree, int64_t index, int limit,
                                   store_entry_fn *take_row, void *context, struct error *err);

/* The same of all entries about `jti`, of whatever tree. Any thread. */
MUST_CHECK bool store_find_entries(struct store *store, const char *jti, store_entry_fn *take_row,
                                   void *context, struct error *err);

/* Deletes the entries of a tree before `index`. The caller keeps the tree with `pruned` at it. */
MUST_CHECK bool store_delete_entries(struct store *store, int64_t tree, int64_t index,
                                     struct error *err);

struct stored_checkpoint {
    int64_t tree; /* number */
    int64_t size; /* of the tree then */
    int64_t time_s;
    char note[CHECKPOINT_NOTE_MAX]; /* the signed note (C2SP signed-note, tlog-checkpoint) */
    char jwk[1024];                 /* of the audit key that signed it */
};

/* Does nothing if the tree has one of that size. */
MUST_CHECK bool store_add_checkpoint(struct store *store,
                                     const struct stored_checkpoint *checkpoint, struct error *err);

struct checkpoint_list {
    struct stored_checkpoint *checkpoints; /* by size */
    size_t count;
};
void checkpoint_list_clear(struct checkpoint_list *list);

/* Those of the tree whose size is over `size`, the smallest first, at most `limit`. The caller clears
 * *list_out. Any thread. */
MUST_CHECK bool store_list_checkpoints(struct store *store, int64_t tree, int64_t size, int limit,
                                       struct checkpoint_list *list_out, struct error *err);

/* The largest of the tree. Fails with NOT_FOUND. Any thread. */
MUST_CHECK bool store_last_checkpoint(struct store *store, int64_t tree,
                                      struct stored_checkpoint *checkpoint_out, struct error *err);

/* ---- the ledger for an auditor, who believes nothing of it ---- */

enum ledger_table {
    LEDGER_TREES,       /* number, node, epoch, size, edge, pruned, pruned_edge; by number */
    LEDGER_ENTRIES,     /* id, jti, leaf, entry; by id: the tree's number * 2^40 + the index */
    LEDGER_CHECKPOINTS, /* tree, size, time_s, note, jwk; by tree and size */
};

enum { RAW_COLUMNS_MAX = 7 };

enum raw_type { RAW_NULL, RAW_NUMBER, RAW_TEXT, RAW_BYTES, RAW_OTHER };

/* A column as it is, whatever should be there. */
struct raw_value {
    enum raw_type type;
    int64_t number;
    const char *bytes; /* of a text, which a NUL follows, and of RAW_BYTES; else NULL */
    size_t length;
};

/* What to read of a table: rows from these first columns on, or behind them. */
struct raw_range {
    enum ledger_table table;
    int64_t first;      /* number or id from which on; the tree of a checkpoint */
    int64_t first_size; /* of checkpoints: those of this size, and of the tree `first`, or over */
    int64_t last;       /* of entries: the last id */
    int limit;
};

/* The row is borrowed. False ends the reading, with the error that the function sets. */
typedef MUST_CHECK bool store_raw_fn(void *context, const struct raw_value *row, struct error *err);

/* Hands over the rows in order. The store was opened `read_only`; the function may not ask it for
 * anything else. */
MUST_CHECK bool store_read_raw(struct store *store, const struct raw_range *range,
                               store_raw_fn *take_row, void *context, struct error *err);

/* ---- revoked tokens ---- */

/* *is_new_out: it was not revoked before. */
MUST_CHECK bool store_revoke_token(struct store *store, const char *jti, int64_t token_expires_s,
                                   int64_t now_s, bool *is_new_out, struct error *err);

struct revoked_list {
    char (*jtis)[JTI_LENGTH + 1]; /* the last revoked first; always in the same order */
    size_t count;
};
void revoked_list_clear(struct revoked_list *list);

/* The revoked tokens that have not expired at `now_s`, at most `limit` of them, those revoked last.
 * The caller clears *list_out. Any thread. */
MUST_CHECK bool store_list_revoked(struct store *store, int64_t now_s, int limit,
                                   struct revoked_list *list_out, struct error *err);

/* Ends every request that is open and every code that is good, in all of the store: after it was
 * restored from an older copy, what is good in it may have been used. */
MUST_CHECK bool store_cancel_all(struct store *store, int64_t now_s, int64_t *cancelled_out,
                                 struct error *err);

/* ---- authorizations as an operator sees them ---- */

/* How far an authorization has come. */
enum authorization_stage {
    AUTHORIZATION_OPEN,
    AUTHORIZATION_APPROVED, /* it has a code, which is good */
    AUTHORIZATION_REDEEMED,
    AUTHORIZATION_EXPIRED, /* the request, or its code */
    AUTHORIZATION_CANCELLED,
};
enum { AUTHORIZATION_STAGES = AUTHORIZATION_CANCELLED + 1 };

const char *authorization_stage_name(enum authorization_stage stage);

/* False: there is none of that name. */
MUST_CHECK bool authorization_stage_from_name(const char *name,
                                              enum authorization_stage *stage_out);

struct stored_authorization {
    int64_t row; /* a later request has a greater one */
    char id[AUTHORIZATION_ID_LENGTH + 1];
    enum authorization_stage stage;
    int64_t created_s;
    int64_t expires_s;   /* of the code, if there is one; of no use once cancelled */
    int64_t redeemed_s;  /* 0: not redeemed */
    int64_t cancelled_s; /* 0: not cancelled */
    char holder_did[HOLDER_DID_MAX + 1]; /* "": none yet */
    char scope[SCOPE_MAX + 1];           /* "": none */
    char jti[JTI_LENGTH + 1];            /* of the token; "": none */
    char *presentation_definition;       /* JSON text; NULL: none, or not asked for */
};
void stored_authorization_clear(struct stored_authorization *authorization);

struct authorization_filter {
    const enum authorization_stage *stage; /* NULL: any */
    int64_t before_row;                    /* of these only; INT64_MAX: all */
    int limit;
    int64_t now_s; /* what has expired is judged by it */
};

struct authorization_list {
    struct stored_authorization *authorizations; /* newest first, without their definitions */
    size_t count;
};
void authorization_list_clear(struct authorization_list *list);

/* The caller clears *list_out. Any thread. */
MUST_CHECK bool store_list_authorizations(struct store *store,
                                          const struct authorization_filter *filter,
                                          struct authorization_list *list_out, struct error *err);

/* The one authorization whose id begins with `beginning`. Fails with NOT_FOUND, or with CONFLICT if
 * there are several. The caller clears *found_out. Any thread. */
MUST_CHECK bool store_describe_authorization(struct store *store, const char *beginning,
                                             int64_t now_s, struct stored_authorization *found_out,
                                             struct error *err);

/* Ends an open request, or the life of a code: neither is good for anything from then on, whoever
 * remembers it. Fails with NOT_FOUND, or with CONFLICT (redeemed, expired or cancelled already). */
MUST_CHECK bool store_cancel_authorization(struct store *store, const char *id, int64_t now_s,
                                           struct error *err);

/* ---- the keyring ---- */

/* A key's life, in this order. */
enum key_state {
    KEY_GENERATED, /* a device has it; nobody else knows it */
    KEY_PUBLISHED, /* in the JWK Set, signs nothing yet */
    KEY_ACTIVE,    /* in the JWK Set, signs */
    KEY_RETIRING,  /* in the JWK Set, signs no more: its tokens live */
    KEY_RETIRED,
    KEY_DESTROYED,
};
enum { KEY_STATES = KEY_DESTROYED + 1 };

const char *key_state_name(enum key_state state);

struct stored_key {
    char kid[48];          /* RFC 7638 thumbprint */
    char signer[40];       /* the [signer NAME] that had it first */
    char algorithm[8];     /* JOSE name */
    char jwk[1024];        /* the public key, one JSON object */
    char description[160]; /* token, serial, object: for people */
    enum key_state state;
    int64_t since_s;       /* when it came to this state */
    int64_t due_s;         /* the next step's earliest time; 0: any */
    int64_t last_expiry_s; /* its tokens live until then at most; 0: it signed none */
};

struct key_list {
    struct stored_key *keys; /* by the time they came to their state */
    size_t count;
};
void key_list_clear(struct key_list *list);

/* The caller clears *list_out. Any thread. */
MUST_CHECK bool store_list_keys(struct store *store, struct key_list *list_out, struct error *err);

/* Notes that the key's tokens may live until `until_s`; an earlier time changes nothing. */
MUST_CHECK bool store_note_key_use(struct store *store, const char *kid, int64_t until_s,
                                   struct error *err);

/* Enters a key in its state. *is_new_out is false, and nothing done, if the keyring has its kid. */
MUST_CHECK bool store_add_key(struct store *store, const struct stored_key *key, bool *is_new_out,
                              struct error *err);

struct key_change {
    char kid[48];
    enum key_state from;
    enum key_state to;
    int64_t now_s;
    int64_t due_s;
    const char *reason; /* of an emergency, for the ledger; "": none */
};

/* Fails with CONFLICT if the key is not in `from` any more. */
MUST_CHECK bool store_change_key(struct store *store, const struct key_change *change,
                                 struct error *err);

/* ---- upkeep ---- */

/* A write that proves that writes work. */
MUST_CHECK bool store_heartbeat(struct store *store, int64_t now_s, struct error *err);

/* Deletes at most `limit` authorizations, and as many revocations, that nobody needs any more.
 * *more_out: there may be more. */
MUST_CHECK bool store_purge(struct store *store, int64_t now_s, int limit, bool *more_out,
                            struct error *err);

/*
 * The ledger: what this node signed, refused and changed, one entry each, in an append-only Merkle
 * tree (RFC 6962) of its own. An entry is appended in the transaction that does what it tells of.
 *
 * An entry is one JSON object, its members in the order of struct ledger_entry, nothing but ASCII
 * and UTF-8 as RFC 8259 has it, no white space; it is the leaf's data as it stands. It never holds a
 * code, a token or a name.
 *
 * When the store is older than what this node remembers outside of it (the head file), or what it
 * committed before, the store was rolled back: nothing is issued until an operator accepts that.
 *
 * Threads: ledger_append(), ledger_check(), ledger_seal() and ledger_settle() belong to the thread that writes the
 * store; the others are for any thread.
 */
#pragma once

#include "base/error.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

enum ledger_kind {
    LEDGER_ISSUED,
    LEDGER_REPLAYED, /* a spent code was redeemed again; jti is the first token's */
    LEDGER_REVOKED,
    LEDGER_KEY,       /* a key came to `state` */
    LEDGER_APPROVED,  /* an operator gave an authorization its code */
    LEDGER_CANCELLED, /* an operator ended an authorization */
    LEDGER_STARTED,
    LEDGER_START_REFUSED,
    LEDGER_STOPPED,
    LEDGER_RESTORED, /* the first of a tree: an operator accepted an older store */
    LEDGER_PRUNED,   /* entries were deleted after their time */
    LEDGER_CLOCK,    /* an operator took a clock that was set for right: times may go back here */
};
enum { LEDGER_KINDS = LEDGER_CLOCK + 1 };

const char *ledger_kind_name(enum ledger_kind kind);

/* {"time":1,"kind":"issued","jti":"…","kid":"…","authorization":"…","token":"…","subject":"…",
 * "expires":2,"state":"…","reason":"…","detail":"…"}; what is NULL or 0 is left out. */
struct ledger_entry {
    int64_t time_s;
    enum ledger_kind kind;
    const char *jti;
    const char *kid;
    const char *authorization_id;
    const struct digest *token;   /* SHA-256, base64url */
    const struct digest *subject; /* likewise */
    int64_t expires_s;
    const char *state;
    const char *reason; /* an operator's words */
    const char *detail; /* the program's */
};

struct ledger;

struct ledger_options {
    const char *node;      /* [A-Za-z0-9._-]{1,64} */
    const char *head_path; /* where the newest size and root are remembered outside the store */
    int64_t backlog_max;   /* entries that no checkpoint covers, over it nothing is issued; 0: none
                              are signed, no bound */
    int64_t retention_s;   /* older entries are deleted once a checkpoint covers them; 0: none */
};

/* Finds the node's newest tree, or makes its first at the first append, and compares it with the
 * head file. Borrows the options. A store that was rolled back is no failure. From now on the store's clock
 * is not trusted if it is behind what the tree has. */
MUST_CHECK bool ledger_open(const struct ledger_options *options, struct store *store,
                            struct ledger **ledger_out, struct error *err);
void ledger_close(struct ledger *ledger);

/* From now on, instead of what the options had. Any thread. */
void ledger_set_limits(struct ledger *ledger, int64_t backlog_max, int64_t retention_s);

/* Appends within the transaction. After any failure the transaction is to be rolled back. Fails with
 * STORE_ROLLED_BACK if the tree is not what it was, or INVALID_REQUEST (a reason that is not UTF-8,
 * or too long). */
MUST_CHECK bool ledger_append(struct ledger *ledger, struct store *store,
                              const struct ledger_entry *entry, struct error *err);

/* Within the transaction: whether the tree is what it was, without an entry. Fails likewise. */
MUST_CHECK bool ledger_check(struct ledger *ledger, struct store *store, struct error *err);

/* Before store_commit(): keeps the tree, if anything was appended. */
MUST_CHECK bool ledger_seal(struct ledger *ledger, struct store *store, struct error *err);

/* After it: what was appended stands, or is forgotten. */
void ledger_settle(struct ledger *ledger, bool committed);

/* Within a transaction: deletes entries of this node's tree that are past their time, the oldest
 * first, at most `limit`. *more_out: there may be more. When a run of such steps has come to its end it
 * is entered. At an entry that was tampered with, or is not whole, nothing is deleted, and the log says
 * so. */
MUST_CHECK bool ledger_prune(struct ledger *ledger, struct store *store, int64_t now_s, int limit,
                             bool *more_out, struct error *err);

/* Within a transaction: an operator accepts that the store was rolled back. The node's next tree begins
 * with an entry that says what is lost, and whatever is good in the store is cancelled: it may have
 * been used. Fails with CONFLICT if nothing was rolled back. */
MUST_CHECK bool ledger_accept_restore(struct ledger *ledger, struct store *store, int64_t now_s,
                                      const char *reason, int64_t *cancelled_out,
                                      struct error *err);

/* Whether tokens may be issued now. Fails with LEDGER_STOPPED: rolled back, or too many entries wait
 * for a checkpoint. */
MUST_CHECK bool ledger_permits(struct ledger *ledger, struct error *err);

struct ledger_status {
    int64_t epoch;
    int64_t size;         /* committed */
    int64_t checkpointed; /* of these, how many the newest checkpoint covers */
    int64_t backlog_max;  /* how many it may leave uncovered; 0: any number */
    bool is_rolled_back;
    bool permits;       /* as ledger_permits() says */
    int64_t stopped_ns; /* since when it does not (monotonic); 0: it does */
};
struct ledger_status ledger_status(struct ledger *ledger);

/* What a checkpoint says: the tree as it was last committed. */
struct ledger_head {
    int64_t tree; /* its number in the store; 0: it is not there yet */
    int64_t epoch;
    int64_t size;
    struct digest root;
    bool is_rolled_back;
};
struct ledger_head ledger_head(struct ledger *ledger);

/* The newest checkpoint that is durable covers so many entries of the tree of `epoch`. */
void ledger_note_checkpoint(struct ledger *ledger, int64_t epoch, int64_t size);

/* Goes on with the tree that an operator began by accepting a restored store, if there is one. */
MUST_CHECK bool ledger_look(struct ledger *ledger, struct store *store, struct error *err);

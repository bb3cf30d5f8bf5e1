/*
 * The store: authorization requests, the codes made for them, and the ledger of what was issued.
 * Which engine is behind it is chosen by the scheme of a URL ("sqlite:/absolute/path").
 *
 * Threads: all that writes runs on one thread (the committer), between store_begin() and
 * store_commit(); store_find_code() is for any thread.
 *
 * Every function fails with ERROR_STORE_UNAVAILABLE when the engine does; trying again may help.
 * Times are seconds since 1970. Codes are known here by their SHA-256 alone.
 */
#pragma once

#include "base/digest.h"
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum {
    AUTHORIZATION_ID_LENGTH = 36, /* a UUID in text */
    STATE_MIN = 32,               /* bounds of state and of nonce */
    STATE_MAX = 64,
    HOLDER_DID_MAX = 512,
    SCOPE_MAX = 256,
    JTI_LENGTH = 32,
};

struct store;

struct store_options {
    int64_t max_open_requests; /* requests neither approved nor expired: over it OVERLOADED */
    int64_t retention_s;       /* how long an approved request is kept after its code expired */
};

/* Opens, creates or migrates the store. Fails with ERROR_CONFIG for a URL of no known scheme and
 * for a schema newer than this program. The caller owns *store_out. */
MUST_CHECK bool store_open(const char *url, const struct store_options *options,
                           struct store **store_out, struct error *err);
void store_close(struct store *store);

/* One transaction. After store_commit() returned true all of it is on the disk; after false none
 * of it may be relied upon, and the connection is made afresh. After ERROR_STORE_UNAVAILABLE in
 * between the caller rolls back; any other failure leaves the work of the others in place. */
MUST_CHECK bool store_begin(struct store *store, struct error *err);
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

struct approval {
    const char *id;
    const char *holder_did;
    const char *scope; /* NULL: none */
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

/* Gives an open request its holder and its code. Fails with NOT_FOUND (unknown or expired) or
 * CONFLICT (it has a code already). */
MUST_CHECK bool store_approve(struct store *store, const struct approval *approval,
                              struct approved_authorization *approved_out, struct error *err);

struct stored_code {
    int64_t row;
    char authorization_id[AUTHORIZATION_ID_LENGTH + 1];
    char holder_did[HOLDER_DID_MAX + 1];
    char scope[SCOPE_MAX + 1]; /* "": none */
    int64_t expires_s;
    bool spent;
};

/* Fails with CODE_UNKNOWN. An expired or spent code is found. */
MUST_CHECK bool store_find_code(struct store *store, const struct digest *code,
                                struct stored_code *code_out, struct error *err);

struct redemption {
    int64_t row;
    struct digest code;
    int64_t now_s;
    const char *jti;
    /* the ledger's entry */
    const char *authorization_id;
    const char *kid;
    struct digest token;
    struct digest subject;
    int64_t expires_s;
};

/* Spends the code and enters the token into the ledger. Fails with CODE_SPENT if the row was not
 * ours to spend any more (spent, or expired meanwhile); then nothing was written. */
MUST_CHECK bool store_redeem(struct store *store, const struct redemption *redemption,
                             struct error *err);

/* A write that proves that writes work. */
MUST_CHECK bool store_heartbeat(struct store *store, int64_t now_s, struct error *err);

/* Deletes at most `limit` rows that nobody needs any more. */
MUST_CHECK bool store_purge(struct store *store, int64_t now_s, int limit, struct error *err);

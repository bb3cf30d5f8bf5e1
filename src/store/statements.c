#include "store/statements.h"

/* What an operator sees of a row, the stage by the time $1 as its sixth column; then come FROM and
 * WHERE. */
#define AUTHORIZATION_FACTS                                                                        \
    "SELECT id, uuid, created_s, coalesce(code_expires_s, expires_s) AS end_s,"                    \
    " CASE WHEN cancelled_s IS NOT NULL THEN 'cancelled'"                                          \
    " WHEN redeemed_s IS NOT NULL THEN 'redeemed'"                                                 \
    " WHEN coalesce(code_expires_s, expires_s) <= $1 THEN 'expired'"                               \
    " WHEN code_hash IS NOT NULL THEN 'approved'"                                                  \
    " ELSE 'open' END AS stage, redeemed_s, cancelled_s, holder_did, scope, jti"

#define TREE_COLUMNS "number, node, epoch, size, edge, pruned, pruned_edge"

/* A row lives in three stages: open (no code), approved (a code), done (redeemed, cancelled, or
 * never will be). keep_until_s is when nobody asks for it any more. The exchange itself touches no
 * index. */
const char *const statements[STATEMENT_COUNT] = {
    [BEGIN] = "BEGIN",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [RELEASE_PAIR] = "UPDATE authorizations SET pair_hash = NULL"
                     " WHERE pair_hash = $1 AND expires_s <= $2",
    [CREATE_AUTHORIZATION] =
        "INSERT INTO authorizations (uuid, state, nonce, presentation_definition, pair_hash,"
        " created_s, expires_s, keep_until_s) VALUES ($1, $2, $3, $4, $5, $6, $7, $7)"
        " ON CONFLICT DO NOTHING",
    [FIND_AUTHORIZATION] =
        "SELECT state, nonce, presentation_definition, expires_s, tries, code_hash IS NOT NULL"
        " FROM authorizations WHERE uuid = $1",
    [COUNT_TRY] = "UPDATE authorizations SET tries = tries + 1"
                  " WHERE uuid = $1 AND code_hash IS NULL",
    [APPROVE] = "UPDATE authorizations SET holder_did = $1, scope = $2, code_hash = $3,"
                " code_expires_s = $4, keep_until_s = $5, presentation_hash = $6"
                " WHERE uuid = $7 AND code_hash IS NULL AND expires_s > $8 AND tries < $9"
                " AND NOT EXISTS (SELECT 1 FROM authorizations WHERE presentation_hash = $6)"
                " RETURNING id, state, nonce, presentation_definition",
    [AUTHORIZATION_STATUS] = "SELECT code_hash IS NOT NULL, expires_s > $1, tries < $2"
                             " FROM authorizations WHERE uuid = $3",
    [REDEEM] = "UPDATE authorizations SET redeemed_s = $1, jti = $2, token_expires_s = $3"
               " WHERE id = $4 AND code_hash = $5 AND redeemed_s IS NULL"
               " AND code_expires_s > $1",
    /* A write, whatever became of the row: it waits for a transaction that still has it, and its
     * COMMIT for the standby to have all that came before. */
    [HAS_REDEEMED] = "UPDATE authorizations SET jti = jti WHERE id = $1"
                     " RETURNING jti IS NOT NULL AND jti = $2",
    [MAKE_TREE] = "INSERT INTO ledger_trees (number, node, epoch, size, edge, pruned, pruned_edge)"
                  " SELECT coalesce(max(number), 0) + 1, $1, $2, 0, $3, 0, $3 FROM ledger_trees",
    [LOCK_TREE] = "UPDATE ledger_trees SET size = size WHERE node = $1 AND epoch = $2"
                  " RETURNING " TREE_COLUMNS,
    [KEEP_TREE] = "UPDATE ledger_trees SET size = $1, edge = $2, pruned = $3, pruned_edge = $4"
                  " WHERE number = $5",
    [LIST_TREES] = "SELECT " TREE_COLUMNS " FROM ledger_trees ORDER BY number",
    [APPEND_ENTRY] = "INSERT INTO ledger (id, jti, leaf, entry) VALUES ($1, $2, $3, $4)",
    [READ_ENTRIES] = "SELECT id, jti, leaf, entry FROM ledger WHERE id >= $1 AND id < $2"
                     " ORDER BY id LIMIT $3",
    [FIND_ENTRIES] = "SELECT id, jti, leaf, entry FROM ledger WHERE jti = $1 ORDER BY id",
    [DELETE_ENTRIES] = "DELETE FROM ledger WHERE id >= $1 AND id < $2",
    [ADD_CHECKPOINT] = "INSERT INTO checkpoints (tree, size, time_s, note, jwk)"
                       " VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
    [LIST_CHECKPOINTS] = "SELECT tree, size, time_s, note, jwk FROM checkpoints"
                         " WHERE tree = $1 AND size > $2 ORDER BY size LIMIT $3",
    [LAST_CHECKPOINT] = "SELECT tree, size, time_s, note, jwk FROM checkpoints"
                        " WHERE tree = $1 ORDER BY size DESC LIMIT 1",
    [RAW_TREES] = "SELECT " TREE_COLUMNS " FROM ledger_trees WHERE number >= $1"
                  " ORDER BY number LIMIT $2",
    [RAW_ENTRIES] = "SELECT id, jti, leaf, entry FROM ledger WHERE id >= $1 AND id <= $2"
                    " ORDER BY id LIMIT $3",
    [RAW_CHECKPOINTS] = "SELECT tree, size, time_s, note, jwk FROM checkpoints"
                        " WHERE (tree, size) >= ($1, $2) ORDER BY tree, size LIMIT $3",
    [REVOKE_TOKEN] = "INSERT INTO revoked_tokens (jti, token_expires_s, revoked_s)"
                     " VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    [LIST_REVOKED] = "SELECT jti FROM revoked_tokens WHERE token_expires_s > $1"
                     " ORDER BY revoked_s DESC, jti LIMIT $2",
    [CANCEL_ALL] = "UPDATE authorizations SET cancelled_s = $1, expires_s = 0, code_expires_s = 0"
                   " WHERE redeemed_s IS NULL AND cancelled_s IS NULL"
                   " AND coalesce(code_expires_s, expires_s) > $1",
    /* Another value each time: SQLite writes no page that stays as it is. */
    [HEARTBEAT] = "UPDATE heartbeat SET time_s = CASE time_s WHEN $1 THEN -$1 ELSE $1 END",
    [PURGE_REVOKED] = "DELETE FROM revoked_tokens WHERE jti IN (SELECT jti FROM revoked_tokens"
                      " WHERE token_expires_s <= $1 LIMIT $2)",
    [PURGE_OPEN] = "DELETE FROM authorizations WHERE id IN (SELECT id FROM authorizations"
                   " WHERE keep_until_s <= $1 AND code_hash IS NULL LIMIT $2)",
    [PURGE_DONE] = "DELETE FROM authorizations WHERE id IN (SELECT id FROM authorizations"
                   " WHERE keep_until_s <= $1 AND code_hash IS NOT NULL LIMIT $2)",
    [COUNT_OPEN] = "SELECT count(*) FROM authorizations WHERE code_hash IS NULL",
    [FIND_CODE] = "SELECT id, uuid, holder_did, scope, code_expires_s, redeemed_s IS NOT NULL,"
                  " jti, token_expires_s FROM authorizations WHERE code_hash = $1",
    [LIST_AUTHORIZATIONS] = "SELECT * FROM (" AUTHORIZATION_FACTS " FROM authorizations) AS listed"
                            " WHERE ($2 = '' OR stage = $2) AND id < $3 ORDER BY id DESC LIMIT $4",
    [DESCRIBE_AUTHORIZATION] = AUTHORIZATION_FACTS
    ", presentation_definition FROM authorizations WHERE uuid >= $2 AND uuid < $3 LIMIT 2",
    /* Expired at 0, not at $1: the request or exchange that is under way may have a clock that is
     * behind. */
    [CANCEL_AUTHORIZATION] = "UPDATE authorizations SET cancelled_s = $1, expires_s = 0,"
                             " code_expires_s = 0 WHERE uuid = $2 AND redeemed_s IS NULL"
                             " AND cancelled_s IS NULL"
                             " AND coalesce(code_expires_s, expires_s) > $1",
    [LIST_KEYS] = "SELECT kid, signer, algorithm, jwk, description, state, since_s, due_s,"
                  " last_expiry_s FROM keys ORDER BY since_s, kid",
    [NOTE_KEY_USE] = "UPDATE keys SET last_expiry_s = $1 WHERE kid = $2 AND last_expiry_s < $1",
    [ADD_KEY] = "INSERT INTO keys (kid, signer, algorithm, jwk, description, state, since_s, due_s)"
                " VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
    [CHANGE_KEY] = "UPDATE keys SET state = $1, since_s = $2, due_s = $3"
                   " WHERE kid = $4 AND state = $5",
};

/*
 * The statements of every engine, in the SQL that SQLite and PostgreSQL share. Parameters first
 * appear in the order of their numbers.
 */
#pragma once

enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    RELEASE_PAIR,
    CREATE_AUTHORIZATION,
    FIND_AUTHORIZATION,
    COUNT_TRY,
    APPROVE,
    AUTHORIZATION_STATUS,
    REDEEM,
    HAS_REDEEMED,
    MAKE_TREE,
    LOCK_TREE,
    KEEP_TREE,
    LIST_TREES,
    APPEND_ENTRY,
    READ_ENTRIES,
    FIND_ENTRIES,
    DELETE_ENTRIES,
    ADD_CHECKPOINT,
    LIST_CHECKPOINTS,
    LAST_CHECKPOINT,
    RAW_TREES,
    RAW_ENTRIES,
    RAW_CHECKPOINTS,
    REVOKE_TOKEN,
    LIST_REVOKED,
    CANCEL_ALL,
    HEARTBEAT,
    PURGE_REVOKED,
    PURGE_OPEN,
    PURGE_DONE,
    COUNT_OPEN,
    FIND_CODE,
    LIST_AUTHORIZATIONS,
    DESCRIBE_AUTHORIZATION,
    CANCEL_AUTHORIZATION,
    LIST_KEYS,
    NOTE_KEY_USE,
    ADD_KEY,
    CHANGE_KEY,
    STATEMENT_COUNT,
};

extern const char *const statements[STATEMENT_COUNT];

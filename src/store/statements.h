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
    APPEND_LEDGER,
    HEARTBEAT,
    PURGE_OPEN,
    PURGE_DONE,
    COUNT_OPEN,
    FIND_CODE,
    LIST_AUTHORIZATIONS,
    DESCRIBE_AUTHORIZATION,
    CANCEL_AUTHORIZATION,
    LIST_KEYS,
    LAST_EXPIRY,
    ADD_KEY,
    CHANGE_KEY,
    NOTE_KEY_CHANGE,
    STATEMENT_COUNT,
};

extern const char *const statements[STATEMENT_COUNT];

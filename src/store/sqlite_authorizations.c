/* Authorizations and codes in SQLite. */
#include "store/sqlite_store.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/memory.h"

/* ---- authorizations ---- */

static bool insert_authorization(struct connection *writer, const struct new_authorization *new,
                                 struct error *err)
{
    scoped(release_statement) sqlite3_stmt *insert = statement_of(writer, CREATE_AUTHORIZATION);

    bind_text(insert, 1, new->id);
    bind_text(insert, 2, new->state);
    bind_text(insert, 3, new->nonce);
    bind_text(insert, 4, new->presentation_definition);
    bind_digest(insert, 5, &new->pair);
    bind_number(insert, 6, new->created_s);
    bind_number(insert, 7, new->expires_s);
    return run(writer, insert, "create an authorization", err)
        && (sqlite3_changes(writer->db) == 1
            || fail(err, ERROR_INVALID_REQUEST,
                    "state and nonce are those of another open request"));
}

bool sqlite_create_authorization(struct store *store, const struct new_authorization *new,
                                 struct error *err)
{
    struct sqlite_store *self = (struct sqlite_store *)store;
    scoped(release_statement) sqlite3_stmt *release = statement_of(&self->writer, RELEASE_PAIR);

    if (self->open_requests >= self->base.max_open_requests) {
        return fail(err, ERROR_OVERLOADED, "%" PRId64 " authorization requests are open",
                    self->open_requests);
    }
    bind_digest(release, 1, &new->pair);
    bind_number(release, 2, new->created_s);
    if (!run(&self->writer, release, "release state and nonce", err)
        || !insert_authorization(&self->writer, new, err)) {
        return false;
    }
    self->open_requests++;
    return true;
}

static bool read_authorization(struct connection *reader, const char *id,
                               struct open_authorization *found_out, struct error *err)
{
    scoped(release_statement) sqlite3_stmt *find = statement_of(reader, FIND_AUTHORIZATION);

    bind_text(find, 1, id);
    switch (sqlite3_step(find)) {
    case SQLITE_ROW:
        break;
    case SQLITE_DONE:
        return fail(err, ERROR_NOT_FOUND, "no such authorization request");
    default:
        return fail_sqlite(err, reader->db, "look an authorization up");
    }
    column_text(find, 0, found_out->state, sizeof(found_out->state));
    column_text(find, 1, found_out->nonce, sizeof(found_out->nonce));
    found_out->presentation_definition = column_copy(find, 2);
    found_out->expires_s = sqlite3_column_int64(find, 3);
    found_out->tries = sqlite3_column_int64(find, 4);
    found_out->has_code = sqlite3_column_int(find, 5) != 0;
    return true;
}

bool sqlite_find_authorization(struct store *store, const char *id,
                               struct open_authorization *found_out, struct error *err)
{
    struct sqlite_store *self = (struct sqlite_store *)store;
    struct reader *reader = lock_reader(self);
    const bool found = read_authorization(&reader->connection, id, found_out, err);

    unlock_reader(reader);
    return found;
}

bool sqlite_count_try(struct store *store, const char *id, struct error *err)
{
    struct sqlite_store *self = (struct sqlite_store *)store;
    scoped(release_statement) sqlite3_stmt *count = statement_of(&self->writer, COUNT_TRY);

    bind_text(count, 1, id);
    return run(&self->writer, count, "count a try", err);
}

static int64_t tries_max(const struct approval *approval)
{
    return approval->presentation != NULL ? approval->presentation->tries_max : INT64_MAX;
}

/* Why no row was approved. */
static bool fail_approval(struct connection *writer, const struct approval *approval,
                          struct error *err)
{
    scoped(release_statement) sqlite3_stmt *status = statement_of(writer, AUTHORIZATION_STATUS);

    bind_number(status, 1, approval->now_s);
    bind_number(status, 2, tries_max(approval));
    bind_text(status, 3, approval->id);
    switch (sqlite3_step(status)) {
    case SQLITE_ROW:
        break;
    case SQLITE_DONE:
        return fail(err, ERROR_NOT_FOUND, "no such authorization request");
    default:
        return fail_sqlite(err, writer->db, "look an authorization up");
    }
    if (sqlite3_column_int(status, 0) != 0) {
        return fail(err, ERROR_CONFLICT, "the authorization request has its code already");
    }
    if (sqlite3_column_int(status, 1) == 0) {
        return fail(err, ERROR_NOT_FOUND, "the authorization request has expired");
    }
    return sqlite3_column_int(status, 2) == 0
             ? fail(err, ERROR_NOT_OPEN, "the authorization request was tried too often")
             : fail(err, ERROR_PRESENTATION, "the presentation was used for another request");
}

static void bind_approval(sqlite3_stmt *approve, const struct approval *approval,
                          int64_t retention_s)
{
    const struct used_presentation *presentation = approval->presentation;
    int64_t keep_until_s = approval->code_expires_s + retention_s;

    if (presentation != NULL && presentation->usable_until_s > keep_until_s) {
        keep_until_s = presentation->usable_until_s;
    }
    bind_text(approve, 1, approval->holder_did);
    bind_text(approve, 2, approval->scope);
    bind_digest(approve, 3, &approval->code);
    bind_number(approve, 4, approval->code_expires_s);
    bind_number(approve, 5, keep_until_s);
    if (presentation != NULL) {
        bind_digest(approve, 6, &presentation->identity);
    }
    bind_text(approve, 7, approval->id);
    bind_number(approve, 8, approval->now_s);
    bind_number(approve, 9, tries_max(approval));
}

bool sqlite_approve(struct store *store, const struct approval *approval,
                    struct approved_authorization *approved_out, struct error *err)
{
    struct sqlite_store *self = (struct sqlite_store *)store;
    scoped(release_statement) sqlite3_stmt *approve = statement_of(&self->writer, APPROVE);

    bind_approval(approve, approval, self->base.retention_s);
    switch (sqlite3_step(approve)) {
    case SQLITE_ROW:
        break;
    case SQLITE_DONE:
        return fail_approval(&self->writer, approval, err);
    default:
        return fail_sqlite(err, self->writer.db, "approve an authorization");
    }
    approved_out->row = sqlite3_column_int64(approve, 0);
    column_text(approve, 1, approved_out->state, sizeof(approved_out->state));
    column_text(approve, 2, approved_out->nonce, sizeof(approved_out->nonce));
    approved_out->presentation_definition = column_copy(approve, 3);
    self->open_requests--;
    return true;
}

/* ---- codes ---- */

static bool read_code(struct connection *reader, const struct digest *code,
                      struct stored_code *code_out, struct error *err)
{
    scoped(release_statement) sqlite3_stmt *find = statement_of(reader, FIND_CODE);

    bind_digest(find, 1, code);
    switch (sqlite3_step(find)) {
    case SQLITE_ROW:
        break;
    case SQLITE_DONE:
        return fail(err, ERROR_CODE_UNKNOWN, "no such authorization code");
    default:
        return fail_sqlite(err, reader->db, "look a code up");
    }
    code_out->row = sqlite3_column_int64(find, 0);
    column_text(find, 1, code_out->authorization_id, sizeof(code_out->authorization_id));
    column_text(find, 2, code_out->holder_did, sizeof(code_out->holder_did));
    column_text(find, 3, code_out->scope, sizeof(code_out->scope));
    code_out->expires_s = sqlite3_column_int64(find, 4);
    code_out->spent = sqlite3_column_int(find, 5) != 0;
    column_text(find, 6, code_out->jti, sizeof(code_out->jti));
    code_out->token_expires_s = sqlite3_column_int64(find, 7);
    return true;
}

bool sqlite_find_code(struct store *store, const struct digest *code, struct stored_code *code_out,
                      struct error *err)
{
    struct sqlite_store *self = (struct sqlite_store *)store;

    struct reader *reader = lock_reader(self);
    const bool found = read_code(&reader->connection, code, code_out, err);

    unlock_reader(reader);
    return found;
}

/* The engine is in this process: store_redeem() can do all of it. */
bool sqlite_send_redemption(struct store *store, const struct redemption *redemption, int64_t now_s,
                            struct error *err)
{
    (void)store, (void)redemption, (void)now_s, (void)err;
    return true;
}

bool sqlite_redeem(struct store *store, const struct redemption *redemption, int64_t now_s,
                   struct error *err)
{
    struct connection *writer = &((struct sqlite_store *)store)->writer;
    scoped(release_statement) sqlite3_stmt *redeem = statement_of(writer, REDEEM);

    bind_number(redeem, 1, now_s);
    bind_text(redeem, 2, redemption->jti);
    bind_number(redeem, 3, redemption->token_expires_s);
    bind_number(redeem, 4, redemption->row);
    bind_digest(redeem, 5, &redemption->code);
    if (!run(writer, redeem, "spend a code", err)) {
        return false;
    }
    return sqlite3_changes(writer->db) == 1
        || fail(err, ERROR_CODE_SPENT, "the code was spent or expired meanwhile");
}

bool sqlite_has_redeemed(struct store *store, const struct redemption *redemption,
                         bool *redeemed_out, struct error *err)
{
    struct connection *writer = &((struct sqlite_store *)store)->writer;
    scoped(release_statement) sqlite3_stmt *ask = statement_of(writer, HAS_REDEEMED);

    bind_number(ask, 1, redemption->row);
    bind_text(ask, 2, redemption->jti);
    const int result = sqlite3_step(ask);
    if (result != SQLITE_ROW && result != SQLITE_DONE) {
        return fail_sqlite(err, writer->db, "look for a redemption");
    }
    *redeemed_out = result == SQLITE_ROW && sqlite3_column_int(ask, 0) != 0;
    return true;
}

/* ---- authorizations as an operator sees them ---- */

static bool read_facts(sqlite3_stmt *row, struct stored_authorization *out, struct error *err)
{
    char stage[16];

    *out = (struct stored_authorization){ .row = sqlite3_column_int64(row, 0) };
    column_text(row, 1, out->id, sizeof(out->id));
    out->created_s = sqlite3_column_int64(row, 2);
    out->expires_s = sqlite3_column_int64(row, 3);
    column_text(row, 4, stage, sizeof(stage));
    out->redeemed_s = sqlite3_column_int64(row, 5);
    out->cancelled_s = sqlite3_column_int64(row, 6);
    column_text(row, 7, out->holder_did, sizeof(out->holder_did));
    column_text(row, 8, out->scope, sizeof(out->scope));
    column_text(row, 9, out->jti, sizeof(out->jti));
    return authorization_stage_from_name(stage, &out->stage)
        || fail(err, ERROR_INTERNAL, "authorization %s has no stage", out->id);
}

static bool read_authorizations(struct connection *reader,
                                const struct authorization_filter *filter,
                                struct authorization_list *list, struct error *err)
{
    scoped(release_statement) sqlite3_stmt *rows = statement_of(reader, LIST_AUTHORIZATIONS);
    int result;

    bind_number(rows, 1, filter->now_s);
    bind_text(rows, 2, filter->stage != NULL ? authorization_stage_name(*filter->stage) : "");
    bind_number(rows, 3, filter->before_row);
    bind_number(rows, 4, filter->limit);
    while ((result = sqlite3_step(rows)) == SQLITE_ROW) {
        list->authorizations =
            xrealloc(list->authorizations, (list->count + 1) * sizeof(*list->authorizations));
        if (!read_facts(rows, &list->authorizations[list->count], err)) {
            return false;
        }
        list->count++;
    }
    return result == SQLITE_DONE || fail_sqlite(err, reader->db, "list the authorizations");
}

bool sqlite_list_authorizations(struct store *store, const struct authorization_filter *filter,
                                struct authorization_list *list_out, struct error *err)
{
    struct reader *reader = lock_reader((struct sqlite_store *)store);

    *list_out = (struct authorization_list){ .count = 0 };
    const bool good = read_authorizations(&reader->connection, filter, list_out, err);
    unlock_reader(reader);
    if (!good) {
        authorization_list_clear(list_out);
    }
    return good;
}

/* The ids that begin so: their alphabet, 0-9a-f and '-', ends before 'g'. */
static bool describe_authorization(struct connection *connection, const char *beginning,
                                   int64_t now_s, struct stored_authorization *found_out,
                                   struct error *err)
{
    scoped(release_statement) sqlite3_stmt *find = statement_of(connection, DESCRIBE_AUTHORIZATION);
    char end[AUTHORIZATION_ID_LENGTH + 2];

    (void)snprintf(end, sizeof(end), "%sg", beginning);
    bind_number(find, 1, now_s);
    bind_text(find, 2, beginning);
    bind_text(find, 3, end);
    int result = sqlite3_step(find);
    if (result == SQLITE_DONE) {
        return fail(err, ERROR_NOT_FOUND, "no authorization has an id that begins with \"%s\"",
                    beginning);
    }
    if (result != SQLITE_ROW) {
        return fail_sqlite(err, connection->db, "look an authorization up");
    }
    if (!read_facts(find, found_out, err)) {
        return false;
    }
    const char *definition = (const char *)sqlite3_column_text(find, 10);
    found_out->presentation_definition = definition != NULL ? xstrdup(definition) : NULL;
    result = sqlite3_step(find);
    if (result == SQLITE_DONE) {
        return true;
    }
    stored_authorization_clear(found_out);
    return result == SQLITE_ROW
             ? fail(err, ERROR_CONFLICT,
                    "\"%s\" begins the ids of several authorizations: write more of it", beginning)
             : fail_sqlite(err, connection->db, "look an authorization up");
}

bool sqlite_describe_authorization(struct store *store, const char *beginning, int64_t now_s,
                                   struct stored_authorization *found_out, struct error *err)
{
    struct reader *reader = lock_reader((struct sqlite_store *)store);
    const bool found =
        describe_authorization(&reader->connection, beginning, now_s, found_out, err);

    unlock_reader(reader);
    return found;
}

/* Why no row was cancelled. */
static bool fail_cancellation(struct connection *writer, const char *id, int64_t now_s,
                              struct error *err)
{
    scoped(stored_authorization_clear) struct stored_authorization found = { .row = 0 };

    if (!describe_authorization(writer, id, now_s, &found, err)) {
        return false;
    }
    return found.stage == AUTHORIZATION_REDEEMED
             ? fail(err, ERROR_CONFLICT,
                    "authorization %s is redeemed: what can be revoked is its token, jti %s", id,
                    found.jti)
             : fail(err, ERROR_CONFLICT, "authorization %s is %s already", id,
                    authorization_stage_name(found.stage));
}

bool sqlite_cancel_authorization(struct store *store, const char *id, int64_t now_s,
                                 struct error *err)
{
    struct connection *writer = &((struct sqlite_store *)store)->writer;
    scoped(release_statement) sqlite3_stmt *cancel = statement_of(writer, CANCEL_AUTHORIZATION);

    bind_number(cancel, 1, now_s);
    bind_text(cancel, 2, id);
    return run(writer, cancel, "cancel an authorization", err)
        && (sqlite3_changes(writer->db) == 1 || fail_cancellation(writer, id, now_s, err));
}

bool sqlite_cancel_all(struct store *store, int64_t now_s, int64_t *cancelled_out,
                       struct error *err)
{
    struct connection *writer = &((struct sqlite_store *)store)->writer;
    scoped(release_statement) sqlite3_stmt *cancel = statement_of(writer, CANCEL_ALL);

    bind_number(cancel, 1, now_s);
    if (!run(writer, cancel, "cancel all authorizations", err)) {
        return false;
    }
    *cancelled_out = sqlite3_changes(writer->db);
    return true;
}

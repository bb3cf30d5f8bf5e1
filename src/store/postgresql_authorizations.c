/* Authorizations and codes in PostgreSQL. */
#include "store/postgresql_store.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- authorizations ---- */

static bool release_pair(struct pg_store *self, const struct new_authorization *new,
                         struct error *err)
{
    struct pg_arguments arguments = { .count = 0 };

    pg_add_digest(&arguments, &new->pair);
    pg_add_number(&arguments, new->created_s);
    return pg_send(&self->writer, RELEASE_PAIR, &arguments, err);
}

static bool insert_authorization(struct pg_store *self, const struct new_authorization *new,
                                 int64_t *inserted_out, struct error *err)
{
    struct pg_arguments arguments = { .count = 0 };

    pg_add_text(&arguments, new->id);
    pg_add_text(&arguments, new->state);
    pg_add_text(&arguments, new->nonce);
    pg_add_text(&arguments, new->presentation_definition);
    pg_add_digest(&arguments, &new->pair);
    pg_add_number(&arguments, new->created_s);
    pg_add_number(&arguments, new->expires_s);
    return pg_write(self, CREATE_AUTHORIZATION, &arguments, inserted_out, "create an authorization",
                    err);
}

bool postgresql_create_authorization(struct store *store, const struct new_authorization *new,
                                     struct error *err)
{
    struct pg_store *self = (struct pg_store *)store;
    int64_t inserted = 0;

    if (self->open_requests >= self->base.max_open_requests) {
        return fail(err, ERROR_OVERLOADED, "%" PRId64 " authorization requests are open",
                    self->open_requests);
    }
    if (!release_pair(self, new, err) || !insert_authorization(self, new, &inserted, err)) {
        return false;
    }
    if (inserted == 0) {
        return fail(err, ERROR_INVALID_REQUEST,
                    "state and nonce are those of another open request");
    }
    self->open_requests++;
    return true;
}

bool postgresql_find_authorization(struct store *store, const char *id,
                                   struct open_authorization *found_out, struct error *err)
{
    scoped(pg_release_result) PGresult *found = NULL;
    struct pg_arguments arguments = { .count = 0 };

    pg_add_text(&arguments, id);
    if (!pg_read((struct pg_store *)store, FIND_AUTHORIZATION, &arguments, &found,
                 "look an authorization up", err)) {
        return false;
    }
    if (PQntuples(found) == 0) {
        return fail(err, ERROR_NOT_FOUND, "no such authorization request");
    }
    pg_text(found, 0, 0, found_out->state, sizeof(found_out->state));
    pg_text(found, 0, 1, found_out->nonce, sizeof(found_out->nonce));
    found_out->presentation_definition = pg_copy(found, 0, 2);
    found_out->expires_s = pg_number(found, 0, 3);
    found_out->tries = pg_number(found, 0, 4);
    found_out->has_code = pg_number(found, 0, 5) != 0;
    return true;
}

bool postgresql_count_try(struct store *store, const char *id, struct error *err)
{
    struct pg_arguments arguments = { .count = 0 };

    pg_add_text(&arguments, id);
    return pg_write((struct pg_store *)store, COUNT_TRY, &arguments, NULL, "count a try", err);
}

static int64_t tries_max(const struct approval *approval)
{
    return approval->presentation != NULL ? approval->presentation->tries_max : INT64_MAX;
}

/* Why no row was approved. */
static bool fail_approval(struct pg_store *self, const struct approval *approval, struct error *err)
{
    scoped(pg_release_result) PGresult *status = NULL;
    struct pg_arguments arguments = { .count = 0 };

    pg_add_number(&arguments, approval->now_s);
    pg_add_number(&arguments, tries_max(approval));
    pg_add_text(&arguments, approval->id);
    if (!pg_write_returning(self, AUTHORIZATION_STATUS, &arguments, &status,
                            "look an authorization up", err)) {
        return false;
    }
    if (PQntuples(status) == 0) {
        return fail(err, ERROR_NOT_FOUND, "no such authorization request");
    }
    if (pg_number(status, 0, 0) != 0) {
        return fail(err, ERROR_CONFLICT, "the authorization request has its code already");
    }
    if (pg_number(status, 0, 1) == 0) {
        return fail(err, ERROR_NOT_FOUND, "the authorization request has expired");
    }
    return pg_number(status, 0, 2) == 0
             ? fail(err, ERROR_NOT_OPEN, "the authorization request was tried too often")
             : fail(err, ERROR_PRESENTATION, "the presentation was used for another request");
}

static void add_approval(struct pg_arguments *arguments, const struct approval *approval,
                         int64_t retention_s)
{
    const struct used_presentation *presentation = approval->presentation;
    int64_t keep_until_s = approval->code_expires_s + retention_s;

    if (presentation != NULL && presentation->usable_until_s > keep_until_s) {
        keep_until_s = presentation->usable_until_s;
    }
    pg_add_text(arguments, approval->holder_did);
    pg_add_text(arguments, approval->scope);
    pg_add_digest(arguments, &approval->code);
    pg_add_number(arguments, approval->code_expires_s);
    pg_add_number(arguments, keep_until_s);
    if (presentation != NULL) {
        pg_add_digest(arguments, &presentation->identity);
    } else {
        pg_add_text(arguments, NULL);
    }
    pg_add_text(arguments, approval->id);
    pg_add_number(arguments, approval->now_s);
    pg_add_number(arguments, tries_max(approval));
}

bool postgresql_approve(struct store *store, const struct approval *approval,
                        struct approved_authorization *approved_out, struct error *err)
{
    struct pg_store *self = (struct pg_store *)store;
    scoped(pg_release_result) PGresult *approved = NULL;
    struct pg_arguments arguments = { .count = 0 };

    add_approval(&arguments, approval, self->base.retention_s);
    if (!pg_write_returning(self, APPROVE, &arguments, &approved, "approve an authorization",
                            err)) {
        return false;
    }
    if (PQntuples(approved) == 0) {
        return fail_approval(self, approval, err);
    }
    approved_out->row = pg_number(approved, 0, 0);
    pg_text(approved, 0, 1, approved_out->state, sizeof(approved_out->state));
    pg_text(approved, 0, 2, approved_out->nonce, sizeof(approved_out->nonce));
    approved_out->presentation_definition = pg_copy(approved, 0, 3);
    self->open_requests--;
    return true;
}

/* ---- codes ---- */

bool postgresql_find_code(struct store *store, const struct digest *code,
                          struct stored_code *code_out, struct error *err)
{
    scoped(pg_release_result) PGresult *found = NULL;
    struct pg_arguments arguments = { .count = 0 };

    pg_add_digest(&arguments, code);
    if (!pg_read((struct pg_store *)store, FIND_CODE, &arguments, &found, "look a code up", err)) {
        return false;
    }
    if (PQntuples(found) == 0) {
        return fail(err, ERROR_CODE_UNKNOWN, "no such authorization code");
    }
    code_out->row = pg_number(found, 0, 0);
    pg_text(found, 0, 1, code_out->authorization_id, sizeof(code_out->authorization_id));
    pg_text(found, 0, 2, code_out->holder_did, sizeof(code_out->holder_did));
    pg_text(found, 0, 3, code_out->scope, sizeof(code_out->scope));
    code_out->expires_s = pg_number(found, 0, 4);
    code_out->spent = pg_number(found, 0, 5) != 0;
    pg_text(found, 0, 6, code_out->jti, sizeof(code_out->jti));
    code_out->token_expires_s = pg_number(found, 0, 7);
    return true;
}

bool postgresql_send_redemption(struct store *store, const struct redemption *redemption,
                                int64_t now_s, struct error *err)
{
    struct pg_arguments arguments = { .count = 0 };

    pg_add_number(&arguments, now_s);
    pg_add_text(&arguments, redemption->jti);
    pg_add_number(&arguments, redemption->token_expires_s);
    pg_add_number(&arguments, redemption->row);
    pg_add_digest(&arguments, &redemption->code);
    return pg_send(&((struct pg_store *)store)->writer, REDEEM, &arguments, err);
}

/* Reads the results of all redemptions that were sent, the first time. */
bool postgresql_redeem(struct store *store, const struct redemption *redemption, int64_t now_s,
                       struct error *err)
{
    struct pg_connection *writer = &((struct pg_store *)store)->writer;

    (void)redemption, (void)now_s;
    if (writer->redeemed_taken == writer->redeemed_count
        && !pg_finish(writer, NULL, pg_answer_deadline(), "spend the codes", err)) {
        return false;
    }
    if (writer->redeemed_taken == writer->redeemed_count) {
        return fail(err, ERROR_INTERNAL, "a redemption that was not sent");
    }
    return writer->redeemed[writer->redeemed_taken++] == 1
        || fail(err, ERROR_CODE_SPENT, "the code was spent or expired meanwhile");
}

bool postgresql_has_redeemed(struct store *store, const struct redemption *redemption,
                             bool *redeemed_out, struct error *err)
{
    scoped(pg_release_result) PGresult *row = NULL;
    struct pg_arguments arguments = { .count = 0 };

    pg_add_number(&arguments, redemption->row);
    pg_add_text(&arguments, redemption->jti);
    if (!pg_write_returning((struct pg_store *)store, HAS_REDEEMED, &arguments, &row,
                            "look for a redemption", err)) {
        return false;
    }
    *redeemed_out = PQntuples(row) == 1 && pg_number(row, 0, 0) != 0;
    return true;
}

/* ---- authorizations as an operator sees them ---- */

static bool read_facts(const PGresult *result, int row, struct stored_authorization *out,
                       struct error *err)
{
    char stage[16];

    *out = (struct stored_authorization){ .row = pg_number(result, row, 0) };
    pg_text(result, row, 1, out->id, sizeof(out->id));
    out->created_s = pg_number(result, row, 2);
    out->expires_s = pg_number(result, row, 3);
    pg_text(result, row, 4, stage, sizeof(stage));
    out->redeemed_s = pg_number(result, row, 5);
    out->cancelled_s = pg_number(result, row, 6);
    pg_text(result, row, 7, out->holder_did, sizeof(out->holder_did));
    pg_text(result, row, 8, out->scope, sizeof(out->scope));
    pg_text(result, row, 9, out->jti, sizeof(out->jti));
    return authorization_stage_from_name(stage, &out->stage)
        || fail(err, ERROR_INTERNAL, "authorization %s has no stage", out->id);
}

bool postgresql_list_authorizations(struct store *store, const struct authorization_filter *filter,
                                    struct authorization_list *list_out, struct error *err)
{
    scoped(pg_release_result) PGresult *rows = NULL;
    scoped(authorization_list_clear) struct authorization_list list = { .count = 0 };
    struct pg_arguments arguments = { .count = 0 };

    *list_out = (struct authorization_list){ .count = 0 };
    pg_add_number(&arguments, filter->now_s);
    pg_add_text(&arguments, filter->stage != NULL ? authorization_stage_name(*filter->stage) : "");
    pg_add_number(&arguments, filter->before_row);
    pg_add_number(&arguments, filter->limit);
    if (!pg_read((struct pg_store *)store, LIST_AUTHORIZATIONS, &arguments, &rows,
                 "list the authorizations", err)) {
        return false;
    }
    list.authorizations = pg_list(rows, sizeof(*list.authorizations));
    for (int row = 0; row < PQntuples(rows); row++) {
        if (!read_facts(rows, row, &list.authorizations[list.count++], err)) {
            return false;
        }
    }
    *list_out = list;
    list = (struct authorization_list){ .count = 0 };
    return true;
}

/* The ids that begin so: their alphabet, 0-9a-f and '-', ends before 'g'. */
struct beginning {
    char end[AUTHORIZATION_ID_LENGTH + 2];
    struct pg_arguments arguments;
};

static void fill_beginning(struct beginning *out, const char *beginning, int64_t now_s)
{
    out->arguments = (struct pg_arguments){ .count = 0 };
    (void)snprintf(out->end, sizeof(out->end), "%sg", beginning);
    pg_add_number(&out->arguments, now_s);
    pg_add_text(&out->arguments, beginning);
    pg_add_text(&out->arguments, out->end);
}

static bool read_described(const PGresult *found, const char *beginning,
                           struct stored_authorization *found_out, struct error *err)
{
    if (PQntuples(found) == 0) {
        return fail(err, ERROR_NOT_FOUND, "no authorization has an id that begins with \"%s\"",
                    beginning);
    }
    if (PQntuples(found) > 1) {
        return fail(err, ERROR_CONFLICT,
                    "\"%s\" begins the ids of several authorizations: write more of it", beginning);
    }
    if (!read_facts(found, 0, found_out, err)) {
        return false;
    }
    found_out->presentation_definition = pg_copy(found, 0, 10);
    return true;
}

bool postgresql_describe_authorization(struct store *store, const char *beginning, int64_t now_s,
                                       struct stored_authorization *found_out, struct error *err)
{
    scoped(pg_release_result) PGresult *found = NULL;
    struct beginning range;

    fill_beginning(&range, beginning, now_s);
    return pg_read((struct pg_store *)store, DESCRIBE_AUTHORIZATION, &range.arguments, &found,
                   "look an authorization up", err)
        && read_described(found, beginning, found_out, err);
}

/* Why no row was cancelled. */
static bool fail_cancellation(struct pg_store *self, const char *id, int64_t now_s,
                              struct error *err)
{
    scoped(stored_authorization_clear) struct stored_authorization authorization = { .row = 0 };
    scoped(pg_release_result) PGresult *found = NULL;
    struct beginning range;

    fill_beginning(&range, id, now_s);
    if (!pg_write_returning(self, DESCRIBE_AUTHORIZATION, &range.arguments, &found,
                            "look an authorization up", err)
        || !read_described(found, id, &authorization, err)) {
        return false;
    }
    return authorization.stage == AUTHORIZATION_REDEEMED
             ? fail(err, ERROR_CONFLICT,
                    "authorization %s is redeemed: what can be revoked is its token, jti %s", id,
                    authorization.jti)
             : fail(err, ERROR_CONFLICT, "authorization %s is %s already", id,
                    authorization_stage_name(authorization.stage));
}

bool postgresql_cancel_authorization(struct store *store, const char *id, int64_t now_s,
                                     struct error *err)
{
    struct pg_store *self = (struct pg_store *)store;
    struct pg_arguments arguments = { .count = 0 };
    int64_t cancelled = 0;

    pg_add_number(&arguments, now_s);
    pg_add_text(&arguments, id);
    return pg_write(self, CANCEL_AUTHORIZATION, &arguments, &cancelled, "cancel an authorization",
                    err)
        && (cancelled == 1 || fail_cancellation(self, id, now_s, err));
}

bool postgresql_cancel_all(struct store *store, int64_t now_s, int64_t *cancelled_out,
                           struct error *err)
{
    struct pg_arguments arguments = { .count = 0 };

    pg_add_number(&arguments, now_s);
    return pg_write((struct pg_store *)store, CANCEL_ALL, &arguments, cancelled_out,
                    "cancel all authorizations", err);
}

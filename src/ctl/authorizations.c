#include "ctl/authorizations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/text.h"
#include "core/approval.h"
#include "ctl/ctl.h"

enum {
    LIMIT_DEFAULT = 50,
    LIMIT_MAX = 1000000,
    PAGE = 100, /* rows of one look into the store: nobody waits for a long one */
    BEGINNING_MIN = 4,
    FACTS_MAX = 2048,
};

/* ---- options ---- */

enum {
    OPTION_STATE = 512,
    OPTION_LIMIT,
    OPTION_HOLDER_DID,
    OPTION_SCOPE,
    OPTION_CODE_FILE,
};

static bool parse_limit(const char *text, int *limit_out)
{
    char *end = NULL;
    const long limit = strtol(text, &end, 10);

    *limit_out = (int)limit;
    return end != text && *end == '\0' && limit >= 1 && limit <= LIMIT_MAX;
}

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct authorizations_options *options = state->input;

    switch (key) {
    case OPTION_STATE:
        if (!authorization_stage_from_name(value, &options->wanted)) {
            argp_error(state, "--state: open, approved, redeemed, expired or cancelled");
        }
        options->stage = &options->wanted;
        return 0;
    case OPTION_LIMIT:
        if (!parse_limit(value, &options->limit)) {
            argp_error(state, "--limit: 1 to %d", LIMIT_MAX);
        }
        return 0;
    case OPTION_HOLDER_DID:
        options->holder_did = value;
        return 0;
    case OPTION_SCOPE:
        options->scope = value;
        return 0;
    case OPTION_CODE_FILE:
        options->code_file = value;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option argp_options[] = {
    { "state", OPTION_STATE, "STATE", 0,
      "list: only these: open, approved, redeemed, expired or cancelled", 0 },
    { "limit", OPTION_LIMIT, "N", 0, "list: at most so many (default: 50)", 0 },
    { "holder-did", OPTION_HOLDER_DID, "DID", 0, "approve: whose the request is", 0 },
    { "scope", OPTION_SCOPE, "SCOPE", 0, "approve: the token's scope (default: none)", 0 },
    { "code-file", OPTION_CODE_FILE, "FILE", 0,
      "approve: where the code is written to; a new file, readable by you alone", 0 },
    { .name = NULL },
};

const struct argp authorizations_argp = { .options = argp_options, .parser = parse_option };

/* ---- one authorization ---- */

static bool is_beginning(const char *text)
{
    const size_t length = strlen(text);
    return length >= BEGINNING_MIN && length <= AUTHORIZATION_ID_LENGTH
        && strspn(text, "0123456789abcdef-") == length;
}

/* On false *status_out is the exit status. */
static bool find(const struct service_options *service, const char *id, struct store **store_out,
                 struct stored_authorization *found_out, int *status_out)
{
    struct error err = { .code = ERROR_NONE };

    if (!is_beginning(id)) {
        (void)fprintf(stderr,
                      "issuerctl: an authorization's ID is a UUID in lower case, or at least %d "
                      "characters of its beginning\n",
                      BEGINNING_MIN);
        *status_out = EX_USAGE;
        return false;
    }
    if (!ctl_open_store(service, store_out, &err)) {
        *status_out = ctl_complain(&err);
        return false;
    }
    if (!store_describe_authorization(*store_out, id, wall_s(), found_out, &err)) {
        *status_out = ctl_refuse(&err);
        return false;
    }
    return true;
}

/* Both ends of a long DID, for people. */
struct short_did {
    char text[48];
};

static struct short_did short_did_of(const char *did)
{
    struct short_did shorter;
    const size_t length = strlen(did);

    if (length <= 40) {
        (void)snprintf(shorter.text, sizeof(shorter.text), "%s", length > 0 ? did : "-");
    } else {
        (void)snprintf(shorter.text, sizeof(shorter.text), "%.24s…%s", did, did + length - 8);
    }
    return shorter;
}

/* The time that matters at its stage. */
static const char *end_of(const struct stored_authorization *authorization, int64_t *time_s_out)
{
    switch (authorization->stage) {
    case AUTHORIZATION_REDEEMED:
        *time_s_out = authorization->redeemed_s;
        return "redeemed";
    case AUTHORIZATION_CANCELLED:
        *time_s_out = authorization->cancelled_s;
        return "cancelled";
    case AUTHORIZATION_EXPIRED:
        *time_s_out = authorization->expires_s;
        return "expired";
    case AUTHORIZATION_OPEN:
    case AUTHORIZATION_APPROVED:
        break;
    }
    *time_s_out = authorization->expires_s;
    return "expires";
}

static void print_line(const struct stored_authorization *authorization)
{
    int64_t end_s = 0;
    const char *end = end_of(authorization, &end_s);

    printf("%s  %-9s  created %s  %-9s %s  %s\n", authorization->id,
           authorization_stage_name(authorization->stage),
           instant_of(authorization->created_s).text, end, instant_of(end_s).text,
           short_did_of(authorization->holder_did).text);
}

static void add_facts(struct text *text, const struct stored_authorization *authorization)
{
    int64_t end_s = 0;
    const char *end = end_of(authorization, &end_s);

    text_add(text, "{");
    ctl_add_member(text, "id", authorization->id);
    ctl_add_member(text, "state", authorization_stage_name(authorization->stage));
    ctl_add_member(text, "created", instant_of(authorization->created_s).text);
    ctl_add_member(text, end, instant_of(end_s).text);
    if (authorization->holder_did[0] != '\0') {
        ctl_add_member(text, "holder_did", authorization->holder_did);
    }
    if (authorization->scope[0] != '\0') {
        ctl_add_member(text, "scope", authorization->scope);
    }
    if (authorization->jti[0] != '\0') {
        ctl_add_member(text, "jti", authorization->jti);
    }
}

static void print_json(const struct stored_authorization *authorization)
{
    char buffer[FACTS_MAX];
    struct text text = text_over(buffer, sizeof(buffer));

    add_facts(&text, authorization);
    printf("%s", buffer);
    if (authorization->presentation_definition != NULL) {
        printf(",\"presentation_definition\":%s", authorization->presentation_definition);
    }
    printf("}");
}

/* ---- authorizations list ---- */

/* Prints a page, of which `printed` went before; how many it had. */
static bool list_page(struct store *store, struct authorization_filter *filter, int printed,
                      bool json, int *count_out, struct error *err)
{
    scoped(authorization_list_clear) struct authorization_list list = { .count = 0 };

    if (!store_list_authorizations(store, filter, &list, err)) {
        return false;
    }
    for (size_t i = 0; i < list.count; i++) {
        if (json) {
            printf("%s", printed > 0 || i > 0 ? "," : "");
            print_json(&list.authorizations[i]);
        } else {
            print_line(&list.authorizations[i]);
        }
        filter->before_row = list.authorizations[i].row;
    }
    *count_out = (int)list.count;
    return true;
}

int authorizations_list(const struct service_options *service,
                        const struct authorizations_options *options)
{
    scoped(release_store) struct store *store = NULL;
    struct error err = { .code = ERROR_NONE };
    struct authorization_filter filter = { .stage = options->stage,
                                           .before_row = INT64_MAX,
                                           .now_s = wall_s() };
    int left = options->limit > 0 ? options->limit : LIMIT_DEFAULT;
    int printed = 0;
    int count = 0;

    if (!ctl_open_store(service, &store, &err)) {
        return ctl_complain(&err);
    }
    printf("%s", options->json ? "[" : "");
    do {
        filter.limit = left < PAGE ? left : PAGE;
        if (!list_page(store, &filter, printed, options->json, &count, &err)) {
            return ctl_complain(&err);
        }
        printed += count;
        left -= count;
    } while (left > 0 && count == filter.limit);
    printf("%s", options->json ? "]\n" : "");
    return EX_OK;
}

/* ---- authorizations show ---- */

static void print_fact(const char *name, const char *value)
{
    if (value[0] != '\0') {
        printf("%-12s%s\n", name, value);
    }
}

static void print_facts(const struct stored_authorization *authorization)
{
    int64_t end_s = 0;
    const char *end = end_of(authorization, &end_s);
    const char *definition = authorization->presentation_definition;

    print_fact("id", authorization->id);
    print_fact("state", authorization_stage_name(authorization->stage));
    print_fact("created", instant_of(authorization->created_s).text);
    print_fact(end, instant_of(end_s).text);
    print_fact("holder", authorization->holder_did);
    print_fact("scope", authorization->scope);
    print_fact("jti", authorization->jti);
    print_fact("definition",
               definition != NULL ? definition : "none: control of the DID is all that is asked");
}

int authorizations_show(const struct service_options *service, const char *id,
                        const struct authorizations_options *options)
{
    scoped(release_store) struct store *store = NULL;
    scoped(stored_authorization_clear) struct stored_authorization found = { .row = 0 };
    int status = EX_OK;

    if (!find(service, id, &store, &found, &status)) {
        return status;
    }
    if (options->json) {
        print_json(&found);
        printf("\n");
    } else {
        if (found.presentation_definition != NULL) {
            ctl_make_plain(found.presentation_definition); /* anyone may have written it */
        }
        print_facts(&found);
    }
    return EX_OK;
}

/* ---- authorizations approve ---- */

struct approving {
    struct approval approval; /* without its times */
    int64_t code_lifetime_s;
};

static bool write_approval(void *context, struct ledger *ledger, struct store *store, int64_t now_s,
                           struct error *err)
{
    struct approving *self = context;
    const struct ledger_entry entry = { .time_s = now_s,
                                        .kind = LEDGER_APPROVED,
                                        .authorization_id = self->approval.id };
    struct approved_authorization approved = { .row = 0 };

    self->approval.now_s = now_s;
    self->approval.code_expires_s = now_s + self->code_lifetime_s;
    if (!store_approve(store, &self->approval, &approved, err)) {
        return false;
    }
    free(approved.presentation_definition);
    return ledger_append(ledger, store, &entry, err);
}

/* The file first: a code that is in the store and nowhere else helps nobody. */
static bool approve(const struct service_options *service, struct store *store,
                    const struct approval_request *request, struct new_file *file,
                    int64_t *expires_s_out, struct error *err)
{
    char code[CODE_SIZE];
    struct approving approving = { .approval = { .id = request->id,
                                                 .holder_did = request->holder_did,
                                                 .scope = request->scope },
                                   .code_lifetime_s = service->code_lifetime_s };

    if (!approval_check(request, err)) {
        return false;
    }
    approving.approval.code = approval_make_code(code);
    const bool good = new_file_write(file, code, strlen(code), err)
                   && ctl_write(service, store, write_approval, &approving, err);
    explicit_bzero(code, sizeof(code));
    *expires_s_out = approving.approval.code_expires_s;
    return good;
}

int authorizations_approve(const struct service_options *service, const char *id,
                           const struct authorizations_options *options)
{
    scoped(new_file_clear) struct new_file file = { .path = NULL };
    scoped(release_store) struct store *store = NULL;
    scoped(stored_authorization_clear) struct stored_authorization found = { .row = 0 };
    struct error err = { .code = ERROR_NONE };
    int64_t expires_s = 0;
    int status = EX_OK;

    if (options->holder_did == NULL || options->code_file == NULL) {
        (void)fprintf(stderr, "issuerctl: authorizations approve needs --holder-did DID and "
                              "--code-file FILE\n");
        return EX_USAGE;
    }
    if (!new_file_make(options->code_file, &file, &err)) {
        (void)ctl_complain(&err);
        return EX_CANTCREAT;
    }
    if (!find(service, id, &store, &found, &status)) {
        return status;
    }
    if (found.stage != AUTHORIZATION_OPEN) {
        (void)fprintf(stderr, "issuerctl: authorization %s is %s already\n", found.id,
                      authorization_stage_name(found.stage));
        return CTL_REFUSED;
    }
    const struct approval_request request = { .id = found.id,
                                              .holder_did = options->holder_did,
                                              .scope = options->scope };
    if (!approve(service, store, &request, &file, &expires_s, &err)) {
        return ctl_refuse(&err);
    }
    new_file_keep(&file);
    printf(options->json ? "{\"id\":\"%s\",\"state\":\"approved\",\"expires\":\"%s\"}\n"
                         : "authorization %s is approved; its code is good until %s\n",
           found.id, instant_of(expires_s).text);
    return EX_OK;
}

/* ---- authorizations cancel ---- */

static bool write_cancellation(void *context, struct ledger *ledger, struct store *store,
                               int64_t now_s, struct error *err)
{
    const char *id = context;
    const struct ledger_entry entry = { .time_s = now_s,
                                        .kind = LEDGER_CANCELLED,
                                        .authorization_id = id };

    return store_cancel_authorization(store, id, now_s, err)
        && ledger_append(ledger, store, &entry, err);
}

static int confirm(const struct stored_authorization *found)
{
    char question[256];

    (void)snprintf(question, sizeof(question), "Cancel authorization %s (%s, holder %s)? [y/N] ",
                   found->id, authorization_stage_name(found->stage),
                   short_did_of(found->holder_did).text);
    return ctl_confirm("authorizations cancel", question);
}

int authorizations_cancel(const struct service_options *service, const char *id,
                          const struct authorizations_options *options)
{
    scoped(release_store) struct store *store = NULL;
    scoped(stored_authorization_clear) struct stored_authorization found = { .row = 0 };
    struct error err = { .code = ERROR_NONE };
    int status = EX_OK;

    if (!find(service, id, &store, &found, &status)) {
        return status;
    }
    const bool is_alive =
        found.stage == AUTHORIZATION_OPEN || found.stage == AUTHORIZATION_APPROVED;
    if (is_alive && !options->yes && (status = confirm(&found)) != EX_OK) {
        return status;
    }
    if (!ctl_write(service, store, write_cancellation, found.id, &err)) {
        return ctl_refuse(&err);
    }
    printf(options->json ? "{\"id\":\"%s\",\"state\":\"cancelled\"}\n"
                         : "authorization %s is cancelled\n",
           found.id);
    return EX_OK;
}

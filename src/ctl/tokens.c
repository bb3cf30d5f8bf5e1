#include "ctl/tokens.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/memory.h"
#include "base/text.h"
#include "core/ledger.h"
#include "ctl/ctl.h"
#include "jose/json.h"

enum { JTI_MIN = 16, LISTED_MAX = 100000, LINE_SIZE = 2 * LEDGER_ENTRY_MAX };

/* ---- what the ledger tells of a token ---- */

struct token_story {
    bool issued;
    int64_t expires_s;
    int64_t revoked_s;             /* 0: it was not */
    char reason[LEDGER_ENTRY_MAX]; /* "": none was given */
};

static int64_t number_of(const cJSON *entry, const char *name)
{
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(entry, name);
    return cJSON_IsNumber(number) ? (int64_t)number->valuedouble : 0;
}

static bool has_kind(const cJSON *entry, enum ledger_kind kind)
{
    const char *name = json_text(entry, "kind");
    return name != NULL && strcmp(name, ledger_kind_name(kind)) == 0;
}

static bool take_entry(void *context, const struct ledger_row *row, struct error *err)
{
    struct token_story *story = context;
    scoped(release_cjson) cJSON *entry = NULL;

    if (!json_parse_object(row->entry, strlen(row->entry), &entry, err)) {
        return error_context(err, "a ledger entry about token %s", row->jti);
    }
    if (has_kind(entry, LEDGER_ISSUED)) {
        story->issued = true;
        story->expires_s = number_of(entry, "expires");
    }
    if (has_kind(entry, LEDGER_REVOKED)) {
        const char *reason = json_text(entry, "reason");
        story->revoked_s = number_of(entry, "time");
        (void)snprintf(story->reason, sizeof(story->reason), "%s", reason != NULL ? reason : "");
    }
    return true;
}

static bool read_story(struct store *store, const char *jti, struct token_story *story_out,
                       struct error *err)
{
    *story_out = (struct token_story){ .issued = false };
    return store_find_entries(store, jti, take_entry, story_out, err);
}

/* ---- tokens revoke ---- */

static bool is_jti(const char *text)
{
    const size_t length = strlen(text);
    return length >= JTI_MIN && length <= JTI_LENGTH
        && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
               == length;
}

/* Whether there is something to revoke. */
static bool check_story(const struct token_story *story, const char *jti, int64_t now_s,
                        struct error *err)
{
    if (!story->issued) {
        return fail(err, ERROR_NOT_FOUND, "the ledger has no token %s", jti);
    }
    if (story->expires_s <= now_s) {
        return fail(err, ERROR_CONFLICT, "token %s expired at %s: there is nothing to revoke", jti,
                    instant_of(story->expires_s).text);
    }
    return story->revoked_s == 0
        || fail(err, ERROR_CONFLICT, "token %s was revoked already, at %s", jti,
                instant_of(story->revoked_s).text);
}

struct revoking {
    const char *jti;
    const char *reason;
    int64_t expires_s;
};

static bool write_revocation(void *context, struct ledger *ledger, struct store *store,
                             int64_t now_s, struct error *err)
{
    const struct revoking *self = context;
    const struct ledger_entry entry = { .time_s = now_s,
                                        .kind = LEDGER_REVOKED,
                                        .jti = self->jti,
                                        .expires_s = self->expires_s,
                                        .reason = self->reason };
    bool is_new = false;

    if (!store_revoke_token(store, self->jti, self->expires_s, now_s, &is_new, err)) {
        return false;
    }
    if (!is_new) {
        return fail(err, ERROR_CONFLICT, "token %s was revoked already", self->jti);
    }
    return ledger_append(ledger, store, &entry, err);
}

static bool revoke(const struct service_options *service, struct store *store, const char *jti,
                   const char *reason, struct token_story *story_out, struct error *err)
{
    if (!read_story(store, jti, story_out, err)
        || !check_story(story_out, jti, store_now_s(store), err)) {
        return false;
    }
    struct revoking revoking = { .jti = jti, .reason = reason, .expires_s = story_out->expires_s };
    return ctl_write(service, store, write_revocation, &revoking, err);
}

int tokens_revoke(const struct service_options *service, const char *jti,
                  const struct tokens_options *options)
{
    scoped(release_store) struct store *store = NULL;
    struct error err = { .code = ERROR_NONE };
    struct token_story story;

    if (!is_jti(jti)) {
        (void)fprintf(stderr,
                      "issuerctl: a token's JTI is the claim jti: %d to %d characters of "
                      "[A-Za-z0-9-_]\n",
                      JTI_MIN, JTI_LENGTH);
        return EX_USAGE;
    }
    if (!ctl_open_store(service, &store, &err)) {
        return ctl_complain(&err);
    }
    if (!revoke(service, store, jti, options->reason, &story, &err)) {
        return ctl_refuse(&err);
    }
    printf(options->json ? "{\"jti\":\"%s\",\"state\":\"revoked\",\"expires\":\"%s\"}\n"
                         : "token %s is revoked; within a second every issuerd on this store lists "
                           "it at /api/v1/tokens/revoked, until it expires at %s\n",
           jti, instant_of(story.expires_s).text);
    return EX_OK;
}

/* ---- tokens revoked ---- */

static void print_json(const char *jti, const struct token_story *story)
{
    char buffer[LINE_SIZE];
    struct text text = text_over(buffer, sizeof(buffer));

    text_add(&text, "{");
    ctl_add_member(&text, "jti", jti);
    ctl_add_member(&text, "revoked", instant_of(story->revoked_s).text);
    ctl_add_member(&text, "expires", instant_of(story->expires_s).text);
    if (story->reason[0] != '\0') {
        ctl_add_member(&text, "reason", story->reason);
    }
    text_add(&text, "}");
    printf("%s", buffer);
}

static void print_line(const char *jti, struct token_story *story)
{
    ctl_make_plain(story->reason);
    printf("%s  revoked %s  expires %s  %s\n", jti, instant_of(story->revoked_s).text,
           instant_of(story->expires_s).text, story->reason[0] != '\0' ? story->reason : "-");
}

int tokens_revoked(const struct service_options *service, const struct tokens_options *options)
{
    scoped(release_store) struct store *store = NULL;
    scoped(revoked_list_clear) struct revoked_list list = { .count = 0 };
    struct error err = { .code = ERROR_NONE };

    if (!ctl_open_store(service, &store, &err)
        || !store_list_revoked(store, store_now_s(store), LISTED_MAX, &list, &err)) {
        return ctl_complain(&err);
    }
    printf("%s", options->json ? "[" : "");
    for (size_t i = 0; i < list.count; i++) {
        struct token_story story;
        if (!read_story(store, list.jtis[i], &story, &err)) {
            return ctl_complain(&err);
        }
        if (options->json) {
            printf("%s", i > 0 ? "," : "");
            print_json(list.jtis[i], &story);
        } else {
            print_line(list.jtis[i], &story);
        }
    }
    printf("%s", options->json ? "]\n" : "");
    return EX_OK;
}

#include "core/key_rules.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { SLACK_S = 5 }; /* until every issuerd has noticed, and what was being signed is out */

bool key_is_published(enum key_state state)
{
    return state == KEY_PUBLISHED || state == KEY_ACTIVE || state == KEY_RETIRING;
}

static size_t count_published(const struct key_list *list)
{
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        count += key_is_published(list->keys[i].state);
    }
    return count;
}

static size_t count_active(const struct key_list *list)
{
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        count += list->keys[i].state == KEY_ACTIVE;
    }
    return count;
}

static const struct stored_key *find(const struct key_list *list, const char *kid,
                                     struct error *err)
{
    const struct stored_key *found = NULL;

    for (size_t i = 0; i < list->count; i++) {
        if (strncmp(list->keys[i].kid, kid, strlen(kid)) == 0) {
            if (found != NULL) {
                (void)!fail(err, ERROR_INVALID_REQUEST, "several keys begin with \"%s\"", kid);
                return NULL;
            }
            found = &list->keys[i];
        }
    }
    if (found == NULL) {
        (void)!fail(err, ERROR_NOT_FOUND, "no key \"%s\": see issuerctl keys list", kid);
    }
    return found;
}

MUST_CHECK static bool fail_order(struct error *err, const struct stored_key *key,
                                  const char *what_it_takes)
{
    return fail(err, ERROR_CONFLICT, "key %s is %s: %s", key->kid, key_state_name(key->state),
                what_it_takes);
}

MUST_CHECK static bool fail_early(struct error *err, const struct stored_key *key, const char *why)
{
    struct tm parts;
    char due[32] = "";
    const time_t due_s = (time_t)key->due_s;

    (void)gmtime_r(&due_s, &parts);
    (void)strftime(due, sizeof(due), "%Y-%m-%dT%H:%M:%SZ", &parts);
    return fail(err, ERROR_CONFLICT, "key %s is %s until %s: %s", key->kid,
                key_state_name(key->state), due, why);
}

static bool plan_publish(const struct key_rules *rules, const struct key_list *list,
                         const struct stored_key *key, struct key_change *change, struct error *err)
{
    if (key->state != KEY_GENERATED) {
        return fail_order(err, key, "only a generated key is published");
    }
    if (count_published(list) >= KEYS_PUBLISHED_MAX) {
        return fail(err, ERROR_CONFLICT, "%d keys are published already: retire one",
                    KEYS_PUBLISHED_MAX);
    }
    change->to = KEY_PUBLISHED;
    change->due_s = change->now_s + rules->jwks_max_age_s + SLACK_S;
    return true;
}

static bool plan_activate(const struct key_list *list, const struct stored_key *key,
                          bool is_emergency, struct key_change *change, struct error *err)
{
    change->to = KEY_ACTIVE;
    if (is_emergency && key->state == KEY_GENERATED) {
        return count_published(list) < KEYS_PUBLISHED_MAX
            || fail(err, ERROR_CONFLICT, "%d keys are published already: retire one",
                    KEYS_PUBLISHED_MAX);
    }
    if (key->state != KEY_PUBLISHED) {
        return fail_order(err, key, "publish it first; a key that was retired does not come back");
    }
    return is_emergency || change->now_s >= key->due_s
        || fail_early(err, key, "verifiers may have a JWK Set without it");
}

/* When the last token of a key that signs no more has expired. It may live longer than the present
 * configuration lets new ones. */
static int64_t last_token_s(const struct key_rules *rules, const struct stored_key *key,
                            int64_t now_s)
{
    const int64_t longest_s = now_s + rules->token_lifetime_s;
    const bool lived_longer = key->last_expiry_s > longest_s + KEY_USE_AHEAD_S;

    return (lived_longer ? key->last_expiry_s : longest_s) + SLACK_S;
}

static bool plan_retire(const struct key_rules *rules, const struct key_list *list,
                        const struct stored_key *key, bool is_emergency, struct key_change *change,
                        struct error *err)
{
    const bool has_signed = key->state == KEY_ACTIVE || key->state == KEY_RETIRING;

    if (key->state == KEY_RETIRED || key->state == KEY_DESTROYED) {
        return fail_order(err, key, "it is out of use already");
    }
    if (key->state == KEY_RETIRING && !is_emergency) {
        return fail_early(err, key, "it is retired by itself when its last token has expired");
    }
    if (key->state == KEY_ACTIVE && !is_emergency && count_active(list) == 1) {
        return fail(err, ERROR_CONFLICT, "key %s is the only active one: activate another first",
                    key->kid);
    }
    change->to = has_signed && !is_emergency ? KEY_RETIRING : KEY_RETIRED;
    change->due_s = change->to == KEY_RETIRING ? last_token_s(rules, key, change->now_s) : 0;
    return true;
}

bool key_rules_plan(const struct key_rules *rules, const struct key_list *list,
                    const struct key_request *request, struct key_change *change_out,
                    struct error *err)
{
    const struct stored_key *key = find(list, request->kid, err);
    const bool is_emergency = request->emergency != NULL;

    if (key == NULL) {
        return false;
    }
    *change_out = (struct key_change){ .from = key->state,
                                       .now_s = request->now_s,
                                       .reason = is_emergency ? request->emergency : "" };
    memcpy(change_out->kid, key->kid, sizeof(change_out->kid));
    switch (request->step) {
    case KEY_PUBLISH:
        return plan_publish(rules, list, key, change_out, err);
    case KEY_ACTIVATE:
        return plan_activate(list, key, is_emergency, change_out, err);
    case KEY_RETIRE:
        return plan_retire(rules, list, key, is_emergency, change_out, err);
    case KEY_DESTROY:
        change_out->to = KEY_DESTROYED;
        return key->state == KEY_RETIRED || fail_order(err, key, "retire it first");
    }
    return fail(err, ERROR_INTERNAL, "no such step");
}

bool key_rules_has_retired(const struct stored_key *key, int64_t now_s,
                           struct key_change *change_out)
{
    *change_out = (struct key_change){
        .from = KEY_RETIRING, .to = KEY_RETIRED, .now_s = now_s, .reason = ""
    };
    memcpy(change_out->kid, key->kid, sizeof(change_out->kid));
    return key->state == KEY_RETIRING && now_s >= key->due_s;
}

/* Two configurations of one server: how they differ, and what of it a reload takes over. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "config_table.h"

static bool is_of_signers(const struct config_setting *setting)
{
    return strcmp(setting->section, "signer") == 0;
}

static const void *field_of(const struct config_setting *setting, const void *fields)
{
    return (const char *)fields + setting->offset;
}

static bool same_list(const struct config_list *a, const struct config_list *b)
{
    bool same = a->count == b->count;

    for (size_t i = 0; i < a->count && same; i++) {
        same = strcmp(a->items[i], b->items[i]) == 0;
    }
    return same;
}

static bool same_value(const struct config_setting *setting, const void *a, const void *b)
{
    const void *left = field_of(setting, a);
    const void *right = field_of(setting, b);

    if (setting->repeats) {
        return same_list(left, right);
    }
    switch (setting->type) {
    case CONFIG_NUMBER:
        return *(const int64_t *)left == *(const int64_t *)right;
    case CONFIG_YES_NO:
        return *(const bool *)left == *(const bool *)right;
    case CONFIG_CHOICE:
    case CONFIG_TEXT:
        return strcmp(*(char *const *)left, *(char *const *)right) == 0;
    }
    return false;
}

static bool is_set(const struct config_setting *setting, const void *fields)
{
    return (*(char *const *)field_of(setting, fields))[0] != '\0';
}

static bool changes_at_once(const struct config_setting *setting, const struct config *a,
                            const struct config *b)
{
    return setting->reload == CONFIG_AT_ONCE
        || (setting->reload == CONFIG_IF_SET && is_set(setting, a) && is_set(setting, b));
}

/* Which signer has the ledger's key is settled at the start, and with it what the others are for. */
static bool signers_change_at_once(const struct config *a, const struct config *b)
{
    return strcmp(a->ledger_signer, b->ledger_signer) == 0;
}

static const struct config_signer *find_signer(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->signer_count; i++) {
        if (strcmp(config->signers[i].name, name) == 0) {
            return &config->signers[i];
        }
    }
    return NULL;
}

/* ---- differences ---- */

static void add(struct config_differences *differences, bool at_once, const char *name,
                const char *what)
{
    struct config_difference *difference = &differences->list[differences->count++];

    assert(differences->count <= CONFIG_DIFFERENCES_MAX);
    difference->at_once = at_once;
    (void)snprintf(difference->name, sizeof(difference->name), "%s%s", name, what);
}

static void compare_signer(const struct config_signer *before, const struct config_signer *after,
                           bool at_once, struct config_differences *differences)
{
    size_t count = 0;
    const struct config_setting *settings = config_settings(&count);

    for (size_t i = 0; i < count; i++) {
        if (is_of_signers(&settings[i]) && !same_value(&settings[i], before, after)) {
            char name[64];
            (void)snprintf(name, sizeof(name), "signer %s.", after->name);
            add(differences, at_once, name, settings[i].name);
        }
    }
}

static void compare_signers(const struct config *running, const struct config *wanted,
                            struct config_differences *differences)
{
    const bool at_once = signers_change_at_once(running, wanted);

    for (size_t i = 0; i < wanted->signer_count; i++) {
        const struct config_signer *after = &wanted->signers[i];
        const struct config_signer *before = find_signer(running, after->name);
        char name[64];
        (void)snprintf(name, sizeof(name), "signer %s", after->name);
        if (before == NULL) {
            add(differences, at_once, name, " (new)");
        } else {
            compare_signer(before, after, at_once, differences);
        }
    }
    for (size_t i = 0; i < running->signer_count; i++) {
        if (find_signer(wanted, running->signers[i].name) == NULL) {
            char name[64];
            (void)snprintf(name, sizeof(name), "signer %s", running->signers[i].name);
            add(differences, at_once, name, " (gone)");
        }
    }
}

void config_compare(const struct config *running, const struct config *wanted,
                    struct config_differences *differences_out)
{
    size_t count = 0;
    const struct config_setting *settings = config_settings(&count);

    differences_out->count = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_of_signers(&settings[i]) && !same_value(&settings[i], running, wanted)) {
            char section[16];
            (void)snprintf(section, sizeof(section), "%s.", settings[i].section);
            add(differences_out, changes_at_once(&settings[i], running, wanted), section,
                settings[i].name);
        }
    }
    compare_signers(running, wanted, differences_out);
}

/* ---- exchange ---- */

static size_t size_of(const struct config_setting *setting)
{
    switch (setting->type) {
    case CONFIG_NUMBER:
        return sizeof(int64_t);
    case CONFIG_YES_NO:
        return sizeof(bool);
    case CONFIG_CHOICE:
    case CONFIG_TEXT:
        break;
    }
    return setting->repeats ? sizeof(struct config_list) : sizeof(char *);
}

static void swap_bytes(void *a, void *b, size_t size)
{
    uint8_t *left = a;
    uint8_t *right = b;

    for (size_t i = 0; i < size; i++) {
        const uint8_t kept = left[i];
        left[i] = right[i];
        right[i] = kept;
    }
}

static void exchange_signers(struct config *a, struct config *b)
{
    if (signers_change_at_once(a, b)) {
        swap_bytes(a->signers, b->signers, sizeof(a->signers));
        swap_bytes(&a->signer_count, &b->signer_count, sizeof(a->signer_count));
    }
}

void config_exchange(struct config *running, struct config *wanted)
{
    size_t count = 0;
    const struct config_setting *settings = config_settings(&count);

    for (size_t i = 0; i < count; i++) {
        if (!is_of_signers(&settings[i]) && changes_at_once(&settings[i], running, wanted)) {
            swap_bytes((char *)running + settings[i].offset, (char *)wanted + settings[i].offset,
                       size_of(&settings[i]));
        }
    }
    exchange_signers(running, wanted);
    /* What follows from others of these: */
    swap_bytes(running->trust_words, wanted->trust_words, sizeof(running->trust_words));
    swap_bytes(running->trusted, wanted->trusted, sizeof(running->trusted));
    swap_bytes(&running->trusted_count, &wanted->trusted_count, sizeof(running->trusted_count));
    swap_bytes(&running->log_level, &wanted->log_level, sizeof(running->log_level));
}

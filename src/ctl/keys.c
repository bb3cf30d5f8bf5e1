#include "ctl/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/text.h"
#include "core/keyring.h"
#include "ctl/ctl.h"

static bool open_keyring(const struct service_options *service, struct store **store_out,
                         struct key_list *list_out, struct error *err)
{
    return ctl_open_store(service, store_out, err) && store_list_keys(*store_out, list_out, err);
}

/* ---- one key, on the keyring, on a device, or both ---- */

struct entry {
    const char *signer;
    bool is_audit;                   /* the ledger's */
    const struct stored_key *stored; /* NULL: not on the keyring */
    const struct signer_key *device; /* NULL: no device was asked, or it failed */
    struct error err;                /* of the device */
};

static void print_next(const struct stored_key *key)
{
    if (key->due_s != 0 && key->state == KEY_PUBLISHED) {
        printf("  may be activated from %s", instant_of(key->due_s).text);
    }
    if (key->due_s != 0 && key->state == KEY_RETIRING) {
        printf("  retired by itself at %s", instant_of(key->due_s).text);
    }
}

/* As the keyring has the key; else as its device does. */
struct facts {
    const char *algorithm;
    const char *kid;
    const char *description;
    const char *jwk; /* NULL: neither has it */
};

static struct facts facts_of(const struct entry *entry)
{
    if (entry->stored != NULL) {
        return (struct facts){ entry->stored->algorithm, entry->stored->kid,
                               entry->stored->description, entry->stored->jwk };
    }
    if (entry->device != NULL) {
        return (struct facts){ entry->device->algorithm, entry->device->kid,
                               entry->device->description, entry->device->jwk };
    }
    return (struct facts){ "-", "-", "", NULL };
}

/* The ledger's key has no life on the keyring. */
static const char *state_of(const struct entry *entry, const char *none)
{
    return entry->stored != NULL ? key_state_name(entry->stored->state)
         : entry->is_audit       ? "audit"
                                 : none;
}

static void print_entry(const struct entry *entry)
{
    const struct stored_key *stored = entry->stored;
    const struct facts facts = facts_of(entry);

    printf("%-10s %-12s %-7s %-43s", state_of(entry, "-"), entry->signer, facts.algorithm,
           facts.kid);
    if (stored != NULL) {
        printf("  since %s", instant_of(stored->since_s).text);
        print_next(stored);
    }
    if (entry->err.code != ERROR_NONE) {
        printf("  %s\n", error_line(&entry->err).text);
    } else {
        const bool is_missing =
            entry->device == NULL && stored != NULL && stored->state != KEY_DESTROYED;
        printf("  %s%s\n", facts.description,
               is_missing ? " (no signer of this configuration has it)" : "");
    }
}

static void print_entry_json(const struct entry *entry)
{
    char buffer[8192];
    struct text text = text_over(buffer, sizeof(buffer));
    const struct stored_key *stored = entry->stored;
    const struct facts facts = facts_of(entry);

    text_add(&text, "{");
    ctl_add_member(&text, "signer", entry->signer);
    if (state_of(entry, NULL) != NULL) {
        ctl_add_member(&text, "state", state_of(entry, NULL));
    }
    if (stored != NULL) {
        ctl_add_member(&text, "since", instant_of(stored->since_s).text);
        if (stored->due_s != 0) {
            ctl_add_member(&text, "due", instant_of(stored->due_s).text);
        }
    }
    if (facts.jwk != NULL) {
        ctl_add_member(&text, "algorithm", facts.algorithm);
        ctl_add_member(&text, "kid", facts.kid);
        ctl_add_member(&text, "key", facts.description);
        text_add(&text, ",\"jwk\":");
        text_add(&text, facts.jwk);
        text_add(&text, entry->device != NULL ? ",\"on_device\":true" : ",\"on_device\":false");
    }
    if (entry->device != NULL && entry->device->device[0] != '\0') {
        ctl_add_member(&text, "device", entry->device->device);
        ctl_add_member(&text, "attributes", entry->device->attributes);
    }
    if (entry->err.code != ERROR_NONE) {
        ctl_add_member(&text, "error", error_line(&entry->err).text);
        text_add(&text, entry->err.code == ERROR_KEY_NOT_FOUND ? ",\"is_missing\":true" : "");
    }
    text_add(&text, "}");
    printf("%s", buffer);
}

/* ---- keys list ---- */

struct listing {
    struct entry *entries;
    size_t count;
    struct signer_key *device_keys; /* one a signer */
};

static void listing_clear(struct listing *listing)
{
    free(listing->entries);
    free(listing->device_keys);
}

static struct entry *entry_of_kid(struct listing *listing, const char *kid)
{
    for (size_t i = 0; i < listing->count; i++) {
        const struct entry *entry = &listing->entries[i];
        if (entry->stored != NULL && strcmp(entry->stored->kid, kid) == 0) {
            return &listing->entries[i];
        }
    }
    return NULL;
}

/* The newest key that is still in use and that the signer had, for a device that does not answer. */
static struct entry *entry_of_signer(struct listing *listing, const char *signer)
{
    struct entry *found = NULL;

    for (size_t i = 0; i < listing->count; i++) {
        struct entry *entry = &listing->entries[i];
        if (entry->stored != NULL && strcmp(entry->signer, signer) == 0
            && entry->stored->state < KEY_RETIRED) {
            found = entry;
        }
    }
    return found;
}

static void list_signer(struct listing *listing, const struct signers_options *signers,
                        size_t index)
{
    const struct signer_ceremony_options probe = { .ceremony = CEREMONY_PROBE };
    struct signer_key *key = &listing->device_keys[index];
    const char *name = signers->signers[index].name;
    struct error err = { .code = ERROR_NONE };

    const bool is_audit = signers->signers[index].purpose == SIGNER_CHECKPOINTS;
    const bool there = signer_run_ceremony(signers, index, &probe, key, &err);
    struct entry *entry = there     ? entry_of_kid(listing, key->kid)
                        : !is_audit ? entry_of_signer(listing, name)
                                    : NULL;
    if (entry == NULL) {
        entry = &listing->entries[listing->count++];
        *entry = (struct entry){ .signer = name };
    }
    entry->is_audit = is_audit;
    entry->err = err;
    entry->device = there ? key : NULL;
}

/* Every key of the keyring, then what else the devices hold, or say. */
static void listing_fill(struct listing *listing, const struct signers_options *signers,
                         const struct key_list *keyring)
{
    listing->entries = xcalloc(keyring->count + signers->count, sizeof(*listing->entries));
    listing->device_keys = xcalloc(signers->count, sizeof(*listing->device_keys));
    for (size_t i = 0; i < keyring->count; i++) {
        const struct stored_key *key = &keyring->keys[i];
        listing->entries[listing->count++] = (struct entry){ .signer = key->signer, .stored = key };
    }
    for (size_t i = 0; i < signers->count; i++) {
        list_signer(listing, signers, i);
    }
}

int keys_list(const struct service_options *service, const struct ctl_options *options)
{
    scoped(release_store) struct store *store = NULL;
    scoped(key_list_clear) struct key_list keyring = { .count = 0 };
    scoped(listing_clear) struct listing listing = { .count = 0 };
    struct error err = { .code = ERROR_NONE };
    int status = EX_OK;

    if (!open_keyring(service, &store, &keyring, &err) && err.code != ERROR_NOT_FOUND) {
        return ctl_complain(&err);
    }
    listing_fill(&listing, &service->signers, &keyring);
    printf("%s", options->json ? "[" : "");
    for (size_t i = 0; i < listing.count; i++) {
        const struct entry *entry = &listing.entries[i];
        status = entry->err.code != ERROR_NONE ? EX_UNAVAILABLE : status;
        if (options->json) {
            printf("%s", i > 0 ? "," : "");
            print_entry_json(entry);
        } else {
            print_entry(entry);
        }
    }
    printf("%s", options->json ? "]\n" : "");
    return status;
}

/* ---- ceremonies ---- */

static bool find_signer(const struct signers_options *signers, const char *name, size_t *index_out,
                        struct error *err)
{
    for (size_t i = 0; i < signers->count; i++) {
        if (strcmp(signers->signers[i].name, name) == 0) {
            *index_out = i;
            return true;
        }
    }
    return fail(err, ERROR_CONFIG, "the configuration has no [signer %s]", name);
}

static bool write_new_key(void *context, struct ledger *ledger, struct store *store, int64_t now_s,
                          struct error *err)
{
    (void)now_s;
    return keyring_enter_key(ledger, store, context, err);
}

static bool write_key_change(void *context, struct ledger *ledger, struct store *store,
                             int64_t now_s, struct error *err)
{
    (void)now_s;
    return keyring_change_key(ledger, store, context, err);
}

/* On a keyring that has no key yet issuerd enters, as active, what it finds at its start. */
static bool enter_generated(const struct service_options *service, const char *signer,
                            const struct signer_key *key, struct error *err)
{
    scoped(release_store) struct store *store = NULL;
    scoped(key_list_clear) struct key_list keyring = { .count = 0 };
    struct stored_key stored = { .state = KEY_GENERATED, .since_s = wall_s() };

    if (!open_keyring(service, &store, &keyring, err)) {
        return err->code == ERROR_NOT_FOUND;
    }
    if (keyring.count == 0) {
        return true;
    }
    (void)snprintf(stored.kid, sizeof(stored.kid), "%s", key->kid);
    (void)snprintf(stored.signer, sizeof(stored.signer), "%s", signer);
    (void)snprintf(stored.algorithm, sizeof(stored.algorithm), "%s", key->algorithm);
    (void)snprintf(stored.jwk, sizeof(stored.jwk), "%s", key->jwk);
    (void)snprintf(stored.description, sizeof(stored.description), "%s", key->description);
    return ctl_write(service, store, write_new_key, &stored, err);
}

int keys_generate(const struct service_options *service, const char *signer,
                  const struct ctl_options *options)
{
    const struct signer_ceremony_options ceremony = { .ceremony = CEREMONY_GENERATE_KEY,
                                                      .algorithm = options->algorithm,
                                                      .rsa_bits = options->rsa_bits };
    struct error err = { .code = ERROR_NONE };
    struct signer_key key = { .kid = "" };
    struct entry entry = { .signer = signer, .device = &key };
    size_t index = 0;

    if (!find_signer(&service->signers, signer, &index, &err)) {
        return ctl_complain(&err);
    }
    entry.is_audit = service->signers.signers[index].purpose == SIGNER_CHECKPOINTS;
    if (!signer_run_ceremony(&service->signers, index, &ceremony, &key, &err)
        || (!entry.is_audit && !enter_generated(service, signer, &key, &err))) {
        return ctl_complain(&err);
    }
    if (options->json) {
        print_entry_json(&entry);
        printf("\n");
    } else {
        print_entry(&entry);
    }
    return EX_OK;
}

int token_init(const struct service_options *service, const char *signer,
               const struct ctl_options *options)
{
    const struct signer_ceremony_options ceremony = { .ceremony = CEREMONY_INIT_TOKEN,
                                                      .so_pin_file = options->so_pin_file };
    struct error err = { .code = ERROR_NONE };
    struct signer_key none;
    size_t index = 0;

    if (options->so_pin_file == NULL) {
        (void)fprintf(stderr, "issuerctl: token init needs --so-pin-file FILE\n");
        return EX_USAGE;
    }
    if (!find_signer(&service->signers, signer, &index, &err)
        || !signer_run_ceremony(&service->signers, index, &ceremony, &none, &err)) {
        return ctl_complain(&err);
    }
    printf("token initialised for signer %s\n", signer);
    return EX_OK;
}

/* ---- steps of a key's life ---- */

static const struct stored_key *stored_key_of(const struct key_list *list, const char *kid)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->keys[i].kid, kid) == 0) {
            return &list->keys[i];
        }
    }
    return NULL;
}

/* The device first: a key that is gone and not noted can be noted again, not the other way round. In
 * an emergency the operator's word counts for a device that is lost. */
static bool destroy_on_device(const struct signers_options *signers, const struct stored_key *key,
                              bool is_emergency, struct error *err)
{
    const struct signer_ceremony_options ceremony = { .ceremony = CEREMONY_DESTROY_KEY,
                                                      .kid = key->kid };
    struct signer_key none;
    size_t index = 0;

    return (find_signer(signers, key->signer, &index, err)
            && signer_run_ceremony(signers, index, &ceremony, &none, err))
        || is_emergency
        || error_context(err, "not destroyed (--emergency REASON if its device is lost)");
}

static void print_step(const struct key_change *change, const struct ctl_options *options)
{
    struct stored_key key = { .state = change->to, .due_s = change->due_s };

    if (options->json) {
        printf("{\"kid\":\"%s\",\"state\":\"%s\"", change->kid, key_state_name(change->to));
        if (change->due_s != 0) {
            printf(",\"due\":\"%s\"", instant_of(change->due_s).text);
        }
        printf("}\n");
    } else {
        printf("key %s is %s", change->kid, key_state_name(change->to));
        print_next(&key);
        printf("\n");
    }
}

int keys_step(const struct service_options *service, enum key_step step, const char *kid,
              const struct ctl_options *options)
{
    const struct key_request request = {
        .step = step, .kid = kid, .emergency = options->emergency, .now_s = wall_s()
    };
    scoped(release_store) struct store *store = NULL;
    scoped(key_list_clear) struct key_list keyring = { .count = 0 };
    struct error err = { .code = ERROR_NONE };
    struct key_change change;

    if (!open_keyring(service, &store, &keyring, &err)) {
        return ctl_complain(&err);
    }
    if (!key_rules_plan(&service->keys, &keyring, &request, &change, &err)) {
        (void)ctl_complain(&err);
        return CTL_REFUSED;
    }
    if ((step == KEY_DESTROY
         && !destroy_on_device(&service->signers, stored_key_of(&keyring, change.kid),
                               options->emergency != NULL, &err))
        || !ctl_write(service, store, write_key_change, &change, &err)) {
        return ctl_complain(&err);
    }
    print_step(&change, options);
    return EX_OK;
}

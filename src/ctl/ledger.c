#include "ctl/ledger_command.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/json_check.h"

enum { PAGE = 4096 };

DEFINE_RELEASE(release_key, struct audit_key, audit_key_free)

/* ---- options ---- */

enum {
    OPTION_STORE = 768,
    OPTION_AUDIT_KEY,
    OPTION_TRUSTED,
    OPTION_OUT,
    OPTION_TREE,
    OPTION_FROM,
    OPTION_ALL,
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct ledger_arguments *arguments = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        arguments->from = -1;
        return 0;
    case OPTION_STORE:
        arguments->store_url = value;
        return 0;
    case OPTION_AUDIT_KEY:
        if (arguments->key_count == AUDIT_KEYS_MAX) {
            argp_error(state, "--audit-key: at most %d", AUDIT_KEYS_MAX);
        }
        arguments->key_paths[arguments->key_count++] = value;
        return 0;
    case OPTION_TRUSTED:
        if (arguments->trusted_count == AUDIT_TRUSTED_MAX) {
            argp_error(state, "--trusted-checkpoint: at most %d", AUDIT_TRUSTED_MAX);
        }
        arguments->trusted_paths[arguments->trusted_count++] = value;
        return 0;
    case OPTION_OUT:
        arguments->out = value;
        return 0;
    case OPTION_TREE:
        arguments->tree = value;
        return 0;
    case OPTION_FROM:
        if (!tree_size_parse(value, strlen(value), &arguments->from)) {
            argp_error(state, "--from: an index: 0, 1, 2, ...");
        }
        return 0;
    case OPTION_ALL:
        arguments->all = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option argp_options[] = {
    { "store", OPTION_STORE, "URL", 0,
      "The store to read, a copy say (sqlite:/PATH); then no configuration is needed", 0 },
    { "audit-key", OPTION_AUDIT_KEY, "FILE", 0,
      "The key whose checkpoints are trusted, in PEM or as JWK; may be given again", 0 },
    { "trusted-checkpoint", OPTION_TRUSTED, "FILE", 0,
      "verify: a checkpoint that was kept away from the store; may be given again", 0 },
    { "out", OPTION_OUT, "FILE", 0, "prove: where to (default: JTI.tlog-proof); a new file", 0 },
    { "tree", OPTION_TREE, "NODE/EPOCH", 0,
      "export, checkpoint, audit-key, consistency: of this tree", 0 },
    { "from", OPTION_FROM, "INDEX", 0, "export: from this entry of the --tree on", 0 },
    { "all", OPTION_ALL, NULL, 0, "checkpoint: the newest of every tree", 0 },
    { .name = NULL },
};

const struct argp ledger_argp = { .options = argp_options, .parser = parse_option };

/* ---- what the commands share ---- */

int ledger_refuse(const struct ledger_command *command, const char *what)
{
    char buffer[1024];
    struct text text = text_over(buffer, sizeof(buffer));

    if (command->arguments->json) {
        text_add_json_string(&text, what);
        printf("{\"wrong\":{\"what\":%s}}\n", buffer);
    } else {
        printf("WRONG: %s\n", what);
    }
    return CTL_REFUSED;
}

static bool is_named(const struct ledger_tree *tree, const char *name)
{
    char own[LEDGER_NODE_MAX + 24];

    (void)snprintf(own, sizeof(own), "%s/%" PRId64, tree->node, tree->epoch);
    return strcmp(own, name) == 0;
}

/* The node whose trees are meant; NULL: there are several. */
static const char *node_of(const struct ledger_command *command,
                           const struct ledger_tree_list *list)
{
    if (command->node != NULL) {
        return command->node;
    }
    for (size_t i = 1; i < list->count; i++) {
        if (strcmp(list->trees[i].node, list->trees[0].node) != 0) {
            return NULL;
        }
    }
    return list->count > 0 ? list->trees[0].node : "";
}

bool ledger_choose_tree(const struct ledger_command *command, struct ledger_tree *tree_out,
                        struct error *err)
{
    scoped(ledger_tree_list_clear) struct ledger_tree_list list = { .count = 0 };
    const char *name = command->arguments->tree;
    const struct ledger_tree *found = NULL;

    if (!store_list_trees(command->store, &list, err)) {
        return false;
    }
    const char *node = node_of(command, &list);
    if (name == NULL && node == NULL) {
        return fail(err, ERROR_INVALID_REQUEST,
                    "the store has trees of several nodes: say which with --tree NODE/EPOCH");
    }
    for (size_t i = 0; i < list.count; i++) {
        const struct ledger_tree *tree = &list.trees[i];
        if (name != NULL
                ? is_named(tree, name)
                : strcmp(tree->node, node) == 0 && (found == NULL || tree->epoch > found->epoch)) {
            found = tree;
        }
    }
    if (found == NULL) {
        return name != NULL
                 ? fail(err, ERROR_NOT_FOUND, "the ledger has no tree \"%s\"", name)
                 : fail(err, ERROR_NOT_FOUND, "the ledger has no tree of the node \"%s\"", node);
    }
    *tree_out = *found;
    return true;
}

bool ledger_open_checkpoint(const struct ledger_command *command,
                            const struct stored_checkpoint *checkpoint, struct tree_head *head_out,
                            struct audit_key **key_out, struct error *err)
{
    scoped(release_key) struct audit_key *key = NULL;
    struct signed_note note;
    bool is_trusted = command->key_count == 0;

    if (!signed_note_parse(checkpoint->note, strlen(checkpoint->note), &note, err)
        || !tree_head_parse(&note, head_out, err)
        || !audit_key_from_jwk(checkpoint->jwk, &key, err)) {
        err->code = ERROR_CONFLICT;
        return error_context(err, "the newest checkpoint");
    }
    for (size_t i = 0; i < command->key_count; i++) {
        is_trusted = is_trusted || strcmp(audit_key_jwk(command->keys[i]), audit_key_jwk(key)) == 0;
    }
    if (!is_trusted || !signed_note_is_by(&note, head_out->origin, key)) {
        return fail(err, ERROR_CONFLICT, "the newest checkpoint is not signed by the audit key");
    }
    *key_out = take(key);
    return true;
}

/* ---- checkpoint ---- */

static void print_checkpoint(const struct ledger_command *command, const struct ledger_tree *tree,
                             const struct stored_checkpoint *checkpoint, bool is_first)
{
    char buffer[8 * sizeof(checkpoint->note)];
    struct text text = text_over(buffer, sizeof(buffer));

    if (!command->arguments->json) {
        printf("%s%s", is_first ? "" : "\n", checkpoint->note);
        return;
    }
    text_add_json_string(&text, checkpoint->note);
    printf("%s{\"tree\":\"%s/%" PRId64 "\",\"size\":%" PRId64 ",\"note\":%s}\n",
           is_first ? "" : ",", tree->node, tree->epoch, checkpoint->size, buffer);
}

static int print_newest(struct ledger_command *command)
{
    struct ledger_tree tree = { .number = 0 };
    struct stored_checkpoint checkpoint;
    struct error err = { .code = ERROR_NONE };

    if (!ledger_choose_tree(command, &tree, &err)
        || !store_last_checkpoint(command->store, tree.number, &checkpoint, &err)) {
        return ctl_refuse(&err);
    }
    print_checkpoint(command, &tree, &checkpoint, true);
    return EX_OK;
}

static int print_all(struct ledger_command *command)
{
    scoped(ledger_tree_list_clear) struct ledger_tree_list list = { .count = 0 };
    struct stored_checkpoint checkpoint;
    struct error err = { .code = ERROR_NONE };
    bool is_first = true;

    if (!store_list_trees(command->store, &list, &err)) {
        return ctl_complain(&err);
    }
    printf("%s", command->arguments->json ? "[" : "");
    for (size_t i = 0; i < list.count; i++) {
        if (store_last_checkpoint(command->store, list.trees[i].number, &checkpoint, &err)) {
            print_checkpoint(command, &list.trees[i], &checkpoint, is_first);
            is_first = false;
        } else if (err.code != ERROR_NOT_FOUND) {
            return ctl_complain(&err);
        }
    }
    printf("%s", command->arguments->json ? "]\n" : "");
    return EX_OK;
}

static int ledger_checkpoint(struct ledger_command *command)
{
    return command->arguments->all ? print_all(command) : print_newest(command);
}

/* ---- audit-key ---- */

static int ledger_audit_key(struct ledger_command *command)
{
    scoped(release_key) struct audit_key *key = NULL;
    scoped(release_memory) char *pem = NULL;
    struct ledger_tree tree = { .number = 0 };
    struct stored_checkpoint checkpoint;
    struct tree_head head = { .size = 0 };
    uint8_t id[AUDIT_KEY_ID_LENGTH] = { 0 };
    struct error err = { .code = ERROR_NONE };

    if (!ledger_choose_tree(command, &tree, &err)
        || !store_last_checkpoint(command->store, tree.number, &checkpoint, &err)
        || !ledger_open_checkpoint(command, &checkpoint, &head, &key, &err)) {
        return ctl_refuse(&err);
    }
    audit_key_id(key, head.origin, id);
    if (command->arguments->json) {
        printf(
            "{\"origin\":\"%s\",\"key_id\":\"%02x%02x%02x%02x\",\"self_asserted\":%s,\"jwk\":%s}\n",
            head.origin, id[0], id[1], id[2], id[3], command->key_count == 0 ? "true" : "false",
            audit_key_jwk(key));
        return EX_OK;
    }
    pem = audit_key_pem(key);
    printf("The audit key of %s, key id %02x%02x%02x%02x, as the newest checkpoint in the store\n"
           "names it: compare it with what the signing device says before you trust it.\n%s",
           head.origin, id[0], id[1], id[2], id[3], pem);
    return EX_OK;
}

/* ---- export ---- */

struct export
{
    const struct ledger_tree *tree;
    int64_t next;
};

/* The entry last, so that who wants its bytes takes them from behind "entry": to the last brace. */
static bool print_entry(void *context, const struct ledger_row *row, struct error *err)
{
    struct export *export = context;
    struct error reason;

    if (!json_check(row->entry, strlen(row->entry), &reason) || strchr(row->entry, '\n') != NULL) {
        return fail(err, ERROR_CONFLICT,
                    "entry %" PRId64 " of the tree %s/%" PRId64
                    " is not a line of JSON: issuerctl ledger verify",
                    row->index, export->tree->node, export->tree->epoch);
    }
    export->next = row->index + 1;
    return printf("{\"tree\":\"%s/%" PRId64 "\",\"index\":%" PRId64 ",\"entry\":%s}\n",
                  export->tree->node, export->tree->epoch, row->index, row->entry)
             > 0
        || fail_errno(err, ERROR_STORE_UNAVAILABLE, "write the entries");
}

static bool export_tree(struct store *store, const struct ledger_tree *tree, int64_t from,
                        struct error *err)
{
    struct export export = { .tree = tree, .next = from };
    int64_t before;

    do {
        before = export.next;
        if (!store_read_entries(store, tree->number, before, PAGE, print_entry, &export, err)) {
            return false;
        }
    } while (export.next > before);
    return true;
}

static int ledger_export(struct ledger_command *command)
{
    scoped(ledger_tree_list_clear) struct ledger_tree_list list = { .count = 0 };
    const struct ledger_arguments *arguments = command->arguments;
    const int64_t from = arguments->from >= 0 ? arguments->from : 0;
    struct ledger_tree tree = { .number = 0 };
    struct error err = { .code = ERROR_NONE };

    if (arguments->tree == NULL && arguments->from >= 0) {
        (void)fprintf(stderr, "issuerctl: --from needs --tree NODE/EPOCH\n");
        return EX_USAGE;
    }
    if (arguments->tree != NULL) {
        return ledger_choose_tree(command, &tree, &err)
                    && export_tree(command->store, &tree, from, &err)
                 ? EX_OK
                 : ctl_refuse(&err);
    }
    if (!store_list_trees(command->store, &list, &err)) {
        return ctl_complain(&err);
    }
    for (size_t i = 0; i < list.count; i++) {
        if (!export_tree(command->store, &list.trees[i], 0, &err)) {
            return ctl_refuse(&err);
        }
    }
    return EX_OK;
}

/* ---- running one ---- */

typedef int run_fn(struct ledger_command *command);
typedef int run_on_fn(struct ledger_command *command, const char *operand);

static const struct {
    const char *name;
    size_t operands;
    run_fn *run;
    run_on_fn *run_on;
    bool needs_no_store;
} commands[] = {
    { "verify", 0, ledger_verify, NULL, false },
    { "prove", 1, NULL, ledger_prove, false },
    { "check-proof", 1, NULL, ledger_check_proof, true },
    { "consistency", 2, NULL, NULL, false },
    { "export", 0, ledger_export, NULL, false },
    { "checkpoint", 0, ledger_checkpoint, NULL, false },
    { "audit-key", 0, ledger_audit_key, NULL, false },
};

/* COUNT_OF(commands): there is none. */
static size_t find_command(const char *const *words, size_t count)
{
    size_t i = 0;

    while (i < COUNT_OF(commands)
           && (count != commands[i].operands + 1 || strcmp(words[0], commands[i].name) != 0)) {
        i++;
    }
    return i;
}

bool ledger_needs_configuration(const char *const *words, size_t count,
                                const struct ledger_arguments *arguments)
{
    const size_t which = find_command(words, count);

    return arguments->store_url == NULL
        && (which == COUNT_OF(commands) || !commands[which].needs_no_store);
}

static bool read_keys(struct ledger_command *command, struct error *err)
{
    for (size_t i = 0; i < command->arguments->key_count; i++) {
        if (!audit_key_read(command->arguments->key_paths[i], &command->keys[i], err)) {
            return false;
        }
        command->key_count++;
    }
    return true;
}

static bool open_to_read(const struct service_options *service, struct ledger_command *command,
                         struct error *err)
{
    const struct store_options options = { .must_exist = true, .read_only = true };
    const char *url = command->arguments->store_url;

    assert(url != NULL || service != NULL); /* ledger_needs_configuration() */
    return store_open(url != NULL ? url : service->store_url, &options, &command->store, err);
}

static void release_command(struct ledger_command *command)
{
    for (size_t i = 0; i < command->key_count; i++) {
        audit_key_free(command->keys[i]);
    }
    store_close(command->store);
}

int ledger_run(const struct service_options *service, const char *const *words, size_t count,
               const struct ledger_arguments *arguments)
{
    scoped(release_command) struct ledger_command command = { .arguments = arguments };
    const size_t which = find_command(words, count);
    struct error err = { .code = ERROR_NONE };

    if (which == COUNT_OF(commands)) {
        (void)fprintf(stderr, "issuerctl: no such command; see issuerctl --help\n");
        return EX_USAGE;
    }
    if (service != NULL && arguments->store_url == NULL) {
        command.node = service->ledger.node;
    }
    if (!read_keys(&command, &err)) {
        return ctl_refuse(&err);
    }
    if (!commands[which].needs_no_store && !open_to_read(service, &command, &err)) {
        return ctl_complain(&err);
    }
    switch (commands[which].operands) {
    case 0:
        return commands[which].run(&command);
    case 1:
        return commands[which].run_on(&command, words[1]);
    default:
        return ledger_consistency(&command, words[1], words[2]);
    }
}

#include "core/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json_check.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"

enum { HEAD_FILE_MAX = 2048 };

struct ledger {
    const struct ledger_options *options;

    /* the writing thread's own */
    bool is_locked; /* in this transaction, and `tree` is what it has become */
    struct ledger_tree tree;

    pthread_mutex_t lock;
    int64_t epoch;
    struct merkle_edge committed;
    int64_t checkpointed;
    bool is_rolled_back;
    _Atomic bool
        permits; /* what follows from these, for the exchange to look at without the lock */
};

/* ---- entries ---- */

static const char *const kind_names[LEDGER_KINDS] = {
    [LEDGER_ISSUED] = "issued",     [LEDGER_REPLAYED] = "replayed",
    [LEDGER_REVOKED] = "revoked",   [LEDGER_KEY] = "key",
    [LEDGER_APPROVED] = "approved", [LEDGER_CANCELLED] = "cancelled",
    [LEDGER_STARTED] = "started",   [LEDGER_START_REFUSED] = "start_refused",
    [LEDGER_STOPPED] = "stopped",   [LEDGER_RESTORED] = "restored",
    [LEDGER_PRUNED] = "pruned",
};

const char *ledger_kind_name(enum ledger_kind kind)
{
    return kind_names[kind];
}

static void add_text(struct text *text, const char *name, const char *value)
{
    if (value != NULL) {
        text_add(text, ",\"");
        text_add(text, name);
        text_add(text, "\":");
        text_add_json_string(text, value);
    }
}

static void add_digest(struct text *text, const char *name, const struct digest *digest)
{
    if (digest != NULL) {
        text_add(text, ",\"");
        text_add(text, name);
        text_add(text, "\":\"");
        text_add_base64url(text, digest->bytes, sizeof(digest->bytes));
        text_add(text, "\"");
    }
}

static void print_entry(struct text *text, const struct ledger_entry *entry)
{
    text_add(text, "{\"time\":");
    text_add_number(text, entry->time_s);
    add_text(text, "kind", kind_names[entry->kind]);
    add_text(text, "jti", entry->jti);
    add_text(text, "kid", entry->kid);
    add_text(text, "authorization", entry->authorization_id);
    add_digest(text, "token", entry->token);
    add_digest(text, "subject", entry->subject);
    if (entry->expires_s != 0) {
        text_add(text, ",\"expires\":");
        text_add_number(text, entry->expires_s);
    }
    add_text(text, "state", entry->state);
    add_text(text, "reason", entry->reason);
    add_text(text, "detail", entry->detail);
    text_add(text, "}");
}

/* What people wrote may be anything. */
static bool check_entry(const struct ledger_entry *entry, const struct text *text,
                        struct error *err)
{
    struct error json = { .code = ERROR_NONE };

    if (text->overflowed) {
        return fail(err, ERROR_INVALID_REQUEST, "a ledger entry of more than %zu bytes",
                    text->size - 1);
    }
    return (entry->reason == NULL && entry->detail == NULL)
        || json_check(text->start, text->length, &json)
        || fail(err, ERROR_INVALID_REQUEST, "the reason is no UTF-8 text");
}

/* ---- the head file ---- */

struct head {
    int64_t epoch;
    int64_t size;
    char root[48]; /* base64 */
};

static bool read_text(const char *path, char *text, size_t size, bool *is_there_out,
                      struct error *err)
{
    scoped(release_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        *is_there_out = false;
        return errno == ENOENT || fail_errno(err, ERROR_CONFIG, "open %s", path);
    }
    const ssize_t length = read(fd, text, size - 1);
    if (length < 0) {
        return fail_errno(err, ERROR_CONFIG, "read %s", path);
    }
    text[length] = '\0';
    *is_there_out = true;
    return true;
}

/* The three lines of a checkpoint; its origin ends with /NODE/EPOCH. */
static bool parse_head(const char *text, const char *node, struct head *head_out)
{
    const char *end = strchr(text, '\n');
    const char *slash = end != NULL ? memrchr(text, '/', (size_t)(end - text)) : NULL;
    const size_t node_length = strlen(node);

    return slash != NULL && slash - text > (ptrdiff_t)node_length
        && slash[-(ptrdiff_t)node_length - 1] == '/'
        && memcmp(slash - node_length, node, node_length) == 0
        && sscanf(slash + 1, "%" SCNd64 "\n%" SCNd64 "\n%47s", &head_out->epoch, &head_out->size,
                  head_out->root)
               == 3;
}

/* *head_out is of size 0 if there is no file. */
static bool read_head(const struct ledger_options *options, struct head *head_out,
                      struct error *err)
{
    char text[HEAD_FILE_MAX];
    bool is_there = false;

    *head_out = (struct head){ .size = 0 };
    if (!read_text(options->head_path, text, sizeof(text), &is_there, err)) {
        return false;
    }
    return !is_there || parse_head(text, options->node, head_out)
        || fail(err, ERROR_CONFIG,
                "%s: not a checkpoint of the node %s: if another node's file stands there, set "
                "ledger.checkpoint_file",
                options->head_path, options->node);
}

static bool has_root(const struct merkle_edge *edge, const char *wanted)
{
    const struct digest root = merkle_root(edge);
    char buffer[48];
    struct text text = text_over(buffer, sizeof(buffer));

    text_add_base64(&text, root.bytes, sizeof(root.bytes));
    return strcmp(buffer, wanted) == 0;
}

/* ---- the tree as it was committed ---- */

static bool is_behind(const struct ledger *self)
{
    return self->options->backlog_max > 0
        && self->committed.size - self->checkpointed > self->options->backlog_max;
}

/* With the lock held, after a change. */
static void settle_permission(struct ledger *self)
{
    atomic_store(&self->permits, !self->is_rolled_back && !is_behind(self));
}

static void report_rollback(const struct ledger *self, const struct ledger_tree *found,
                            int64_t epoch, int64_t size)
{
    log_event(LOG_LEVEL_ERROR, "ledger.rolled_back",
              "node=%s epoch=%" PRId64 " size=%" PRId64 " known_epoch=%" PRId64
              " known_size=%" PRId64 " effect='no token is issued' hint='a store restored from an "
              "older copy? issuerctl ledger accept-restore'",
              self->options->node, found->epoch, found->edge.size, epoch, size);
}

/* Two edges of one size are equal if their trees are. */
static bool same_edge(const struct merkle_edge *a, const struct merkle_edge *b)
{
    return a->size == b->size
        && memcmp(a->roots, b->roots, merkle_edge_count(a->size) * sizeof(a->roots[0])) == 0;
}

/* Holds the locked tree against what was committed before; it may have grown by an operator's tool. */
static bool check_committed(struct ledger *self, struct error *err)
{
    const struct ledger_tree *found = &self->tree;

    pthread_mutex_lock(&self->lock);
    const int64_t known = self->committed.size;
    const bool is_older = found->edge.size < known
                       || (found->edge.size == known && !same_edge(&found->edge, &self->committed));
    const bool is_news = is_older && !self->is_rolled_back;
    self->is_rolled_back = self->is_rolled_back || is_older;
    const bool refused = self->is_rolled_back;
    settle_permission(self);
    pthread_mutex_unlock(&self->lock);

    if (is_news) {
        report_rollback(self, found, found->epoch, known);
    }
    return !refused
        || fail(err, ERROR_STORE_ROLLED_BACK,
                "the store is older than the ledger's last entries: issuerctl ledger "
                "accept-restore");
}

/* ---- open ---- */

static const struct ledger_tree *newest_tree(const struct ledger_tree_list *list, const char *node)
{
    const struct ledger_tree *newest = NULL;

    for (size_t i = 0; i < list->count; i++) {
        const struct ledger_tree *tree = &list->trees[i];
        if (strcmp(tree->node, node) == 0 && (newest == NULL || tree->epoch > newest->epoch)) {
            newest = tree;
        }
    }
    return newest;
}

static bool is_older_than(const struct ledger_tree *tree, const struct head *head)
{
    return tree->epoch < head->epoch
        || (tree->epoch == head->epoch
            && (tree->edge.size < head->size
                || (tree->edge.size == head->size && !has_root(&tree->edge, head->root))));
}

static bool read_checkpointed(struct store *store, int64_t tree, int64_t *size_out,
                              struct error *err)
{
    struct stored_checkpoint last = { .size = 0 };

    if (!store_last_checkpoint(store, tree, &last, err) && err->code != ERROR_NOT_FOUND) {
        return false;
    }
    *size_out = last.size;
    return true;
}

static bool adopt_newest(struct ledger *self, struct store *store, struct error *err)
{
    scoped(ledger_tree_list_clear) struct ledger_tree_list list = { .count = 0 };
    struct head head;

    if (!read_head(self->options, &head, err) || !store_list_trees(store, &list, err)) {
        return false;
    }
    const struct ledger_tree none = { .epoch = 1 };
    const struct ledger_tree *newest = newest_tree(&list, self->options->node);
    const struct ledger_tree *tree = newest != NULL ? newest : &none;
    int64_t checkpointed = 0;
    if (newest != NULL && !read_checkpointed(store, tree->number, &checkpointed, err)) {
        return false;
    }
    pthread_mutex_lock(&self->lock);
    self->epoch = tree->epoch;
    self->committed = tree->edge;
    self->checkpointed = checkpointed;
    self->is_rolled_back = is_older_than(tree, &head);
    settle_permission(self);
    pthread_mutex_unlock(&self->lock);
    if (self->is_rolled_back) {
        report_rollback(self, tree, head.epoch, head.size);
    }
    return true;
}

bool ledger_open(const struct ledger_options *options, struct store *store,
                 struct ledger **ledger_out, struct error *err)
{
    struct ledger *self = xcalloc(1, sizeof(*self));

    self->options = options;
    pthread_mutex_init(&self->lock, NULL);
    if (!adopt_newest(self, store, err)) {
        ledger_close(self);
        return error_context(err, "ledger");
    }
    *ledger_out = self;
    return true;
}

void ledger_close(struct ledger *self)
{
    if (self != NULL) {
        pthread_mutex_destroy(&self->lock);
        free(self);
    }
}

/* ---- append ---- */

static bool lock_tree(struct ledger *self, struct store *store, struct error *err)
{
    if (self->is_locked) {
        return true;
    }
    const int64_t epoch = ledger_status(self).epoch;
    if (!store_lock_tree(store, self->options->node, epoch, &self->tree, err)
        || !check_committed(self, err)) {
        return false;
    }
    self->is_locked = true;
    return true;
}

bool ledger_append(struct ledger *self, struct store *store, const struct ledger_entry *entry,
                   struct error *err)
{
    char buffer[LEDGER_ENTRY_MAX];
    struct text text = text_over(buffer, sizeof(buffer));

    print_entry(&text, entry);
    if (!check_entry(entry, &text, err) || !lock_tree(self, store, err)) {
        return false;
    }
    const struct ledger_row row = { .tree = self->tree.number,
                                    .index = self->tree.edge.size,
                                    .entry = buffer,
                                    .jti = entry->jti,
                                    .leaf = merkle_leaf(buffer, text.length) };
    if (!store_append_entry(store, &row, err)) {
        return false;
    }
    merkle_append(&self->tree.edge, &row.leaf);
    return true;
}

bool ledger_seal(struct ledger *self, struct store *store, struct error *err)
{
    return !self->is_locked || store_keep_tree(store, &self->tree, err);
}

void ledger_settle(struct ledger *self, bool committed)
{
    if (self->is_locked && committed) {
        pthread_mutex_lock(&self->lock);
        self->committed = self->tree.edge;
        settle_permission(self);
        pthread_mutex_unlock(&self->lock);
    }
    self->is_locked = false;
}

/* ---- status ---- */

struct ledger_status ledger_status(struct ledger *self)
{
    pthread_mutex_lock(&self->lock);
    const struct ledger_status status = { .epoch = self->epoch,
                                          .size = self->committed.size,
                                          .checkpointed = self->checkpointed,
                                          .is_rolled_back = self->is_rolled_back,
                                          .permits = atomic_load(&self->permits) };
    pthread_mutex_unlock(&self->lock);
    return status;
}

bool ledger_permits(struct ledger *self, struct error *err)
{
    if (atomic_load_explicit(&self->permits, memory_order_relaxed)) {
        return true;
    }
    const struct ledger_status status = ledger_status(self);
    if (status.is_rolled_back) {
        return fail(err, ERROR_LEDGER_STOPPED,
                    "the store was rolled back: issuerctl ledger accept-restore");
    }
    return status.permits
        || fail(err, ERROR_LEDGER_STOPPED,
                "%" PRId64 " entries of the ledger wait for a checkpoint: see the audit signer",
                status.size - status.checkpointed);
}

void ledger_note_checkpoint(struct ledger *self, int64_t epoch, int64_t size)
{
    pthread_mutex_lock(&self->lock);
    if (epoch == self->epoch && size > self->checkpointed) {
        self->checkpointed = size;
        settle_permission(self);
    }
    pthread_mutex_unlock(&self->lock);
}

bool ledger_look(struct ledger *self, struct store *store, struct error *err)
{
    scoped(ledger_tree_list_clear) struct ledger_tree_list list = { .count = 0 };

    if (!ledger_status(self).is_rolled_back) {
        return true;
    }
    if (!store_list_trees(store, &list, err)) {
        return false;
    }
    const struct ledger_tree *newest = newest_tree(&list, self->options->node);
    if (newest == NULL || newest->epoch <= ledger_status(self).epoch) {
        return true;
    }
    pthread_mutex_lock(&self->lock);
    self->epoch = newest->epoch;
    self->committed = newest->edge;
    self->checkpointed = 0;
    self->is_rolled_back = false;
    settle_permission(self);
    pthread_mutex_unlock(&self->lock);
    log_event(LOG_LEVEL_NOTICE, "ledger.restore_accepted", "node=%s epoch=%" PRId64,
              self->options->node, newest->epoch);
    return true;
}

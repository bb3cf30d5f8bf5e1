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

#include "base/clock.h"
#include "base/crash_point.h"
#include "base/json_check.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"

enum { HEAD_FILE_MAX = 2048, PRUNE_EVERY_S = 60 };

/* What is remembered of a tree outside the store. */
struct head {
    int64_t epoch;
    int64_t size;
    char root[48]; /* base64 */
};

struct ledger {
    const struct ledger_options *options;
    _Atomic int64_t backlog_max; /* as the options have them, or ledger_set_limits() last */
    _Atomic int64_t retention_s;

    /* the writing thread's own */
    bool is_locked; /* in this transaction, and `tree` is what it has become */
    struct ledger_tree tree;
    bool is_pruning;     /* a run of steps has begun */
    int64_t prune_due_s; /* when it is worth while to look again */

    pthread_mutex_t lock;
    int64_t number; /* of the tree in the store; 0: not there yet */
    int64_t epoch;
    struct merkle_edge committed;
    int64_t checkpointed;
    bool is_rolled_back;
    int64_t stopped_ns; /* since when it does not permit; 0: it does */
    struct head lost;   /* is_rolled_back: what the store should have had */
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
    [LEDGER_PRUNED] = "pruned",     [LEDGER_CLOCK] = "clock",
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

/* Every entry begins so: print_entry(). */
static bool read_time(const char *entry, int64_t *time_s_out)
{
    static const char beginning[] = "{\"time\":";
    char *end = NULL;

    if (strncmp(entry, beginning, strlen(beginning)) != 0) {
        return false;
    }
    *time_s_out = strtoll(entry + strlen(beginning), &end, 10);
    return *end == ',';
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

/* The decimal number that a line consists of. `*line` moves to the next. */
static bool take_number_line(const char **line, int64_t *number_out)
{
    char *end = NULL;

    *number_out = strtoll(*line, &end, 10);
    if (end == *line || *end != '\n') {
        return false;
    }
    *line = end + 1;
    return true;
}

/* The three lines of a checkpoint; its origin ends with /NODE/EPOCH. */
static bool parse_head(const char *text, const char *node, struct head *head_out)
{
    const char *end = strchr(text, '\n');
    const char *slash = end != NULL ? memrchr(text, '/', (size_t)(end - text)) : NULL;
    const size_t node_length = strlen(node);

    if (slash == NULL || slash - text <= (ptrdiff_t)node_length
        || slash[-(ptrdiff_t)node_length - 1] != '/'
        || memcmp(slash - node_length, node, node_length) != 0) {
        return false;
    }
    const char *line = slash + 1;
    if (!take_number_line(&line, &head_out->epoch) || !take_number_line(&line, &head_out->size)) {
        return false;
    }
    const size_t length = strcspn(line, "\n");
    (void)snprintf(head_out->root, sizeof(head_out->root), "%.*s", (int)length, line);
    return length > 0 && length < sizeof(head_out->root);
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

static struct head head_of(int64_t epoch, const struct merkle_edge *edge)
{
    struct head head = { .epoch = epoch, .size = edge->size };
    const struct digest root = merkle_root(edge);
    struct text text = text_over(head.root, sizeof(head.root));

    text_add_base64(&text, root.bytes, sizeof(root.bytes));
    return head;
}

static bool has_root(const struct merkle_edge *edge, const char *wanted)
{
    return strcmp(head_of(0, edge).root, wanted) == 0;
}

/* ---- the tree as it was committed ---- */

static bool is_behind(const struct ledger *self)
{
    const int64_t backlog_max = self->backlog_max;
    return backlog_max > 0 && self->committed.size - self->checkpointed > backlog_max;
}

/* With the lock held, after a change. */
static void settle_permission(struct ledger *self)
{
    const bool permits = !self->is_rolled_back && !is_behind(self);

    atomic_store(&self->permits, permits);
    self->stopped_ns = permits ? 0 : self->stopped_ns != 0 ? self->stopped_ns : monotonic_ns();
}

/* With the lock held. */
static void note_rollback(struct ledger *self, const struct ledger_tree *found,
                          const struct head *lost)
{
    self->is_rolled_back = true;
    self->lost = *lost;
    log_event(LOG_LEVEL_ERROR, "ledger.rolled_back",
              "node=%s epoch=%" PRId64 " size=%" PRId64 " known_epoch=%" PRId64
              " known_size=%" PRId64 " effect='no token is issued' hint='a store restored from an "
              "older copy? issuerctl ledger accept-restore'",
              self->options->node, found->epoch, found->edge.size, lost->epoch, lost->size);
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
    const struct merkle_edge *known = &self->committed;
    const bool is_older = found->edge.size < known->size
                       || (found->edge.size == known->size && !same_edge(&found->edge, known));
    if (is_older && !self->is_rolled_back) {
        const struct head lost = head_of(self->epoch, known);
        note_rollback(self, found, &lost);
    }
    const bool refused = self->is_rolled_back;
    settle_permission(self);
    pthread_mutex_unlock(&self->lock);

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

static bool read_last_checkpoint(struct store *store, int64_t tree,
                                 struct stored_checkpoint *last_out, struct error *err)
{
    *last_out = (struct stored_checkpoint){ .size = 0 };
    return store_last_checkpoint(store, tree, last_out, err) || err->code == ERROR_NOT_FOUND;
}

static bool take_time(void *context, const struct ledger_row *row, struct error *err)
{
    (void)err, (void)read_time(row->entry, context); /* what is not whole, ledger verify finds */
    return true;
}

/* No clock is right that is behind the tree's last entry, or the checkpoint behind it. The last ones, not
 * the latest: an entry may say that an operator put the clock back. */
static bool set_clock_floor(struct store *store, const struct ledger_tree *tree,
                            const struct stored_checkpoint *last, struct error *err)
{
    int64_t floor_s = 0;

    if (tree->edge.size > 0
        && !store_read_entries(store, tree->number, tree->edge.size - 1, 1, take_time, &floor_s,
                               err)) {
        return false;
    }
    if (last->size == tree->edge.size && last->time_s > floor_s) {
        floor_s = last->time_s;
    }
    store_set_clock_floor(store, floor_s);
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
    struct stored_checkpoint last = { .size = 0 };
    if (newest != NULL
        && (!read_last_checkpoint(store, tree->number, &last, err)
            || !set_clock_floor(store, tree, &last, err))) {
        return false;
    }
    pthread_mutex_lock(&self->lock);
    self->number = tree->number;
    self->epoch = tree->epoch;
    self->committed = tree->edge;
    self->checkpointed = last.size;
    if (is_older_than(tree, &head)) {
        note_rollback(self, tree, &head);
    }
    settle_permission(self);
    pthread_mutex_unlock(&self->lock);
    return true;
}

bool ledger_open(const struct ledger_options *options, struct store *store,
                 struct ledger **ledger_out, struct error *err)
{
    struct ledger *self = xcalloc(1, sizeof(*self));

    self->options = options;
    self->backlog_max = options->backlog_max;
    self->retention_s = options->retention_s;
    pthread_mutex_init(&self->lock, NULL);
    if (!adopt_newest(self, store, err)) {
        ledger_close(self);
        return error_context(err, "ledger");
    }
    *ledger_out = self;
    return true;
}

void ledger_set_limits(struct ledger *self, int64_t backlog_max, int64_t retention_s)
{
    pthread_mutex_lock(&self->lock);
    self->backlog_max = backlog_max;
    self->retention_s = retention_s;
    settle_permission(self);
    pthread_mutex_unlock(&self->lock);
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

static bool append_locked(struct ledger *self, struct store *store,
                          const struct ledger_entry *entry, struct error *err)
{
    char buffer[LEDGER_ENTRY_MAX];
    struct text text = text_over(buffer, sizeof(buffer));

    print_entry(&text, entry);
    if (!check_entry(entry, &text, err)) {
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
    CRASH_POINT(LEDGER_APPENDED);
    return true;
}

bool ledger_append(struct ledger *self, struct store *store, const struct ledger_entry *entry,
                   struct error *err)
{
    return lock_tree(self, store, err) && append_locked(self, store, entry, err);
}

bool ledger_check(struct ledger *self, struct store *store, struct error *err)
{
    return lock_tree(self, store, err);
}

bool ledger_seal(struct ledger *self, struct store *store, struct error *err)
{
    return !self->is_locked || store_keep_tree(store, &self->tree, err);
}

void ledger_settle(struct ledger *self, bool committed)
{
    if (self->is_locked && committed) {
        pthread_mutex_lock(&self->lock);
        self->is_rolled_back = self->is_rolled_back && self->tree.epoch <= self->epoch;
        self->epoch = self->tree.epoch;
        self->number = self->tree.number;
        self->committed = self->tree.edge;
        settle_permission(self);
        pthread_mutex_unlock(&self->lock);
    }
    self->is_locked = false;
}

/* ---- prune ---- */

/* What of a tree goes: its edge grows by each entry that is past its time. */
struct pruning {
    struct merkle_edge edge;
    int64_t before_s;
    int64_t end; /* index: no further */
};

static bool take_old(void *context, const struct ledger_row *row, struct error *err)
{
    struct pruning *self = context;
    const struct digest leaf = merkle_leaf(row->entry, strlen(row->entry));
    int64_t time_s = 0;

    if (!digest_equal(&leaf, &row->leaf) || row->index != self->edge.size
        || !read_time(row->entry, &time_s)) {
        return fail(err, ERROR_INTERNAL,
                    "entry %" PRId64 " of the ledger is not what was appended: issuerctl ledger "
                    "verify; nothing is deleted",
                    row->index);
    }
    if (time_s >= self->before_s || row->index >= self->end) {
        return fail(err, ERROR_NOT_FOUND, "no more of them");
    }
    merkle_append(&self->edge, &leaf);
    return true;
}

static bool note_pruned(struct ledger *self, struct store *store, int64_t now_s, struct error *err)
{
    char detail[64];
    const struct ledger_entry entry = { .time_s = now_s, .kind = LEDGER_PRUNED, .detail = detail };

    (void)snprintf(detail, sizeof(detail), "entries before %" PRId64, self->tree.pruned.size);
    self->is_pruning = false;
    return append_locked(self, store, &entry, err);
}

bool ledger_prune(struct ledger *self, struct store *store, int64_t now_s, int limit,
                  bool *more_out, struct error *err)
{
    const struct ledger_status status = ledger_status(self);
    const int64_t retention_s = self->retention_s;
    struct pruning pruning = { .before_s = now_s - retention_s, .end = status.checkpointed };

    *more_out = false;
    if (retention_s == 0 || status.is_rolled_back || status.checkpointed == 0
        || now_s < self->prune_due_s) {
        return true;
    }
    if (!lock_tree(self, store, err)) {
        return false;
    }
    pruning.edge = self->tree.pruned;
    if (!store_read_entries(store, self->tree.number, pruning.edge.size, limit, take_old, &pruning,
                            err)
        && err->code != ERROR_NOT_FOUND) {
        log_error(LOG_LEVEL_ERROR, "ledger.prune_failed", err, "%s", "");
        return err->code == ERROR_INTERNAL; /* the others of the transaction are not to blame */
    }
    const int64_t count = pruning.edge.size - self->tree.pruned.size;
    if (count == 0) {
        self->prune_due_s = now_s + PRUNE_EVERY_S;
        return !self->is_pruning || note_pruned(self, store, now_s, err);
    }
    self->is_pruning = true;
    self->tree.pruned = pruning.edge;
    *more_out = count == limit;
    return store_delete_entries(store, self->tree.number, pruning.edge.size, err);
}

/* ---- a restored store ---- */

static void print_lost(char *out, size_t size, const char *node, const struct head *found,
                       const struct head *lost)
{
    (void)snprintf(out, size,
                   "the store has %s/%" PRId64 " of size %" PRId64
                   " with root %s; lost is %s/%" PRId64 " of size %" PRId64 " with root %s",
                   node, found->epoch, found->size, found->root, node, lost->epoch, lost->size,
                   lost->root);
}

bool ledger_accept_restore(struct ledger *self, struct store *store, int64_t now_s,
                           const char *reason, int64_t *cancelled_out, struct error *err)
{
    char detail[512];
    const struct ledger_entry entry = {
        .time_s = now_s, .kind = LEDGER_RESTORED, .reason = reason, .detail = detail
    };

    if (!self->is_rolled_back) {
        return fail(err, ERROR_CONFLICT,
                    "the store is not older than what %s remembers: nothing is to be accepted",
                    self->options->head_path);
    }
    const struct head found = head_of(self->epoch, &self->committed);
    const int64_t newest = self->lost.epoch > self->epoch ? self->lost.epoch : self->epoch;
    print_lost(detail, sizeof(detail), self->options->node, &found, &self->lost);
    if (!store_lock_tree(store, self->options->node, newest + 1, &self->tree, err)) {
        return false;
    }
    self->is_locked = true;
    return append_locked(self, store, &entry, err)
        && store_cancel_all(store, now_s, cancelled_out, err);
}

/* ---- status ---- */

struct ledger_status ledger_status(struct ledger *self)
{
    pthread_mutex_lock(&self->lock);
    const struct ledger_status status = { .epoch = self->epoch,
                                          .size = self->committed.size,
                                          .checkpointed = self->checkpointed,
                                          .backlog_max = self->backlog_max,
                                          .is_rolled_back = self->is_rolled_back,
                                          .permits = atomic_load(&self->permits),
                                          .stopped_ns = self->stopped_ns };
    pthread_mutex_unlock(&self->lock);
    return status;
}

struct ledger_head ledger_head(struct ledger *self)
{
    pthread_mutex_lock(&self->lock);
    const struct ledger_head head = { .tree = self->number,
                                      .epoch = self->epoch,
                                      .size = self->committed.size,
                                      .root = merkle_root(&self->committed),
                                      .is_rolled_back = self->is_rolled_back };
    pthread_mutex_unlock(&self->lock);
    return head;
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
    self->number = newest->number;
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

#include "ctl/audit.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "ctl/audit_entry.h"
#include "ctl/audit_tree.h"
#include "ctl/files.h"

enum {
    PAGE = 4096,
    TREES_MAX = 100000,
    TREE_NUMBER_MAX = (1 << 23) - 1, /* ids are of 63 bits, of which the index has 40 */
    INDEX_BITS = 40,
    CHECKPOINTS = 32, /* of a page */
    CHECKPOINT_TEXT_MAX = sizeof(((struct stored_checkpoint *)NULL)->note),
};

/* The columns of a row, in the order of enum ledger_table. */
enum { TREE_NUMBER, TREE_NODE, TREE_EPOCH, TREE_SIZE, TREE_EDGE, TREE_PRUNED, TREE_PRUNED_EDGE };
enum { ENTRY_ID, ENTRY_JTI, ENTRY_LEAF, ENTRY_ENTRY };
enum { CHECKPOINT_TREE, CHECKPOINT_SIZE, CHECKPOINT_TIME, CHECKPOINT_NOTE, CHECKPOINT_JWK };

enum { EDGE_BYTES_MAX = (AUDIT_LEVELS - 1) * sizeof(struct digest) };

struct kept_edge {
    int64_t size;
    size_t length;
    uint8_t bytes[EDGE_BYTES_MAX];
};

struct kept_tree {
    int64_t number;
    char node[LEDGER_NODE_MAX + 1];
    int64_t epoch;
    struct kept_edge edge;
    struct kept_edge pruned;
};

/* A checkpoint that waits for its tree to come to its size; only then is it looked at, so that what
 * is wrong before it is found before. */
struct awaited {
    int64_t size;
    int64_t time_s;
    char note[CHECKPOINT_TEXT_MAX]; /* "": none that could be */
    char jwk[CHECKPOINT_TEXT_MAX];
};

struct audit {
    struct store *store;
    const struct audit_options *options;
    struct audit_report *report;

    struct kept_tree *trees;
    size_t tree_count;
    int64_t all;

    const struct kept_tree *kept; /* the tree at hand; NULL: none */
    struct audited_tree audited;
    struct audit_tree tree;
    int64_t agreed; /* the size at which a root was last found right */

    struct awaited awaited[CHECKPOINTS]; /* checkpoints of the tree, by size */
    size_t awaited_count;
    size_t awaited_next;
    int64_t read_size;  /* the greatest that was read */
    bool has_more;      /* checkpoints of this tree, not read yet */
    int64_t stray_tree; /* what follows the last one that was read, a tree's number; 0: nothing */
    int64_t next_stop;  /* the size at which something waits to be compared */

    struct audit_key *store_key; /* of the store's word, the last one */
};

/* ---- findings ---- */

/* Ends the audit: something is wrong with the entries `index` to `last_index`. */
__attribute__((format(printf, 5, 0))) static bool find(struct audit *self, int64_t index,
                                                       int64_t last_index, struct error *err,
                                                       const char *format, va_list args)
{
    struct audit_report *report = self->report;

    report->is_wrong = true;
    if (self->kept != NULL) {
        memcpy(report->node, self->kept->node, sizeof(report->node));
        report->epoch = self->kept->epoch;
    }
    report->index = index;
    report->last_index = last_index;
    (void)vsnprintf(report->what, sizeof(report->what), format, args);
    for (char *at = report->what; *at != '\0'; at++) {
        *at = (char)(*at >= ' ' && *at < 0x7f ? *at : '?');
    }
    return fail(err, ERROR_CONFLICT, "%s", report->what);
}

__attribute__((format(printf, 4, 5))) MUST_CHECK static bool
wrong_entry(struct audit *self, int64_t index, struct error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const bool result = find(self, index, index, err, format, args);
    va_end(args);
    return result;
}

__attribute__((format(printf, 3, 4))) MUST_CHECK static bool
wrong(struct audit *self, struct error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const bool result = find(self, -1, -1, err, format, args);
    va_end(args);
    return result;
}

/* An entry that came after the last root that was right. */
__attribute__((format(printf, 3, 4))) MUST_CHECK static bool
wrong_since(struct audit *self, struct error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int64_t last = self->tree.size - 1;
    const bool result =
        find(self, self->agreed <= last ? self->agreed : -1, last, err, format, args);
    va_end(args);
    return result;
}

/* ---- what the store keeps of the trees ---- */

static bool keep_edge(const struct raw_value *size, const struct raw_value *edge,
                      struct kept_edge *edge_out)
{
    struct audit_tree tree;

    if (size->type != RAW_NUMBER || edge->type != RAW_BYTES
        || edge->length > sizeof(edge_out->bytes)
        || !audit_begin(&tree, size->number, (const uint8_t *)edge->bytes, edge->length, NULL)) {
        return false;
    }
    edge_out->size = size->number;
    edge_out->length = edge->length;
    if (edge->length > 0) {
        memcpy(edge_out->bytes, edge->bytes, edge->length);
    }
    return true;
}

static bool keep_node(const struct raw_value *node, struct kept_tree *tree)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789._-";

    if (node->type != RAW_TEXT || node->length == 0 || node->length >= sizeof(tree->node)
        || strspn(node->bytes, allowed) != node->length) {
        return false;
    }
    memcpy(tree->node, node->bytes, node->length + 1);
    return true;
}

static bool take_tree_row(void *context, const struct raw_value *row, struct error *err)
{
    struct audit *self = context;
    struct kept_tree tree = { .number = row[TREE_NUMBER].number };

    if (self->tree_count == TREES_MAX) {
        return wrong(self, err, "more than %d trees", TREES_MAX);
    }
    if (row[TREE_NUMBER].type != RAW_NUMBER || tree.number < 1 || tree.number > TREE_NUMBER_MAX) {
        return wrong(self, err, "a tree whose number is out of bounds: %" PRId64, tree.number);
    }
    if (!keep_node(&row[TREE_NODE], &tree) || row[TREE_EPOCH].type != RAW_NUMBER
        || row[TREE_EPOCH].number < 1) {
        return wrong(self, err, "the tree of number %" PRId64 " names no node, or no epoch",
                     tree.number);
    }
    tree.epoch = row[TREE_EPOCH].number;
    self->kept = &tree; /* for the finding's name */
    if (!keep_edge(&row[TREE_SIZE], &row[TREE_EDGE], &tree.edge)
        || !keep_edge(&row[TREE_PRUNED], &row[TREE_PRUNED_EDGE], &tree.pruned)
        || tree.pruned.size > tree.edge.size) {
        const bool result = wrong(self, err, "the tree's size and its edge do not fit");
        self->kept = NULL;
        return result;
    }
    self->kept = NULL;
    self->trees = xrealloc(self->trees, (self->tree_count + 1) * sizeof(*self->trees));
    self->trees[self->tree_count++] = tree;
    self->all += tree.edge.size - tree.pruned.size;
    return true;
}

static bool read_trees(struct audit *self, struct error *err)
{
    int64_t next = INT64_MIN;
    size_t before;

    do {
        const struct raw_range range = { .table = LEDGER_TREES, .first = next, .limit = PAGE };
        before = self->tree_count;
        if (!store_read_raw(self->store, &range, take_tree_row, self, err)) {
            return false;
        }
        next = self->tree_count > 0 ? self->trees[self->tree_count - 1].number + 1 : 0;
    } while (self->tree_count == before + PAGE);
    return true;
}

/* ---- checkpoints ---- */

/* The key that a checkpoint says it is signed by: one that we trust, or the store's word. */
static bool find_key(struct audit *self, const char *jwk, const struct audit_key **key_out,
                     struct error *err)
{
    for (size_t i = 0; i < self->options->key_count; i++) {
        if (strcmp(audit_key_jwk(self->options->keys[i]), jwk) == 0) {
            *key_out = self->options->keys[i];
            return true;
        }
    }
    if (self->options->key_count > 0) {
        return fail(err, ERROR_INVALID_REQUEST, "it names another key than the audit key");
    }
    if (self->store_key == NULL || strcmp(audit_key_jwk(self->store_key), jwk) != 0) {
        audit_key_free(take(self->store_key));
        if (!audit_key_from_jwk(jwk, &self->store_key, err)) {
            return error_context(err, "its key");
        }
    }
    *key_out = self->store_key;
    return true;
}

/* In the store a note stands as it was made: one signature line, and nothing that only others could
 * have added. */
static bool check_note(struct audit *self, const struct awaited *awaited,
                       struct tree_head *head_out, struct error *err)
{
    struct signed_note parsed;
    const struct audit_key *key = NULL;

    if (!signed_note_parse(awaited->note, strlen(awaited->note), &parsed, err)
        || !tree_head_parse(&parsed, head_out, err) || !find_key(self, awaited->jwk, &key, err)) {
        return false;
    }
    return (parsed.signature_count == 1 && signed_note_is_by(&parsed, head_out->origin, key))
        || fail(err, ERROR_INVALID_REQUEST, "not signed by its key");
}

static bool check_origin(struct audit *self, const struct tree_head *head, struct error *err)
{
    char node[LEDGER_NODE_MAX + 1];
    int64_t epoch = 0;

    return (tree_head_names(head, node, sizeof(node), &epoch) && strcmp(node, self->kept->node) == 0
            && epoch == self->kept->epoch)
        || fail(err, ERROR_INVALID_REQUEST, "of another tree, %s", head->origin);
}

/* All but the root. */
static bool check_head(struct audit *self, const struct awaited *awaited,
                       struct tree_head *head_out, struct error *err)
{
    struct error reason = { .code = ERROR_NONE };

    if (!check_note(self, awaited, head_out, &reason) || !check_origin(self, head_out, &reason)) {
        return wrong(self, err, "the checkpoint at size %" PRId64 ": %s", awaited->size,
                     reason.message);
    }
    return head_out->size == awaited->size
        || wrong(self, err, "the checkpoint at size %" PRId64 ": it is for the size %" PRId64,
                 awaited->size, head_out->size);
}

/* What cannot be a note or a key stays "", which is none. */
static void keep_text(const struct raw_value *value, char text_out[static CHECKPOINT_TEXT_MAX])
{
    text_out[0] = '\0';
    if (value->type == RAW_TEXT && value->length < CHECKPOINT_TEXT_MAX
        && strlen(value->bytes) == value->length) {
        memcpy(text_out, value->bytes, value->length + 1);
    }
}

/* Of the tree at hand; a row of another ends the page, and is looked at when that tree begins. */
static bool take_checkpoint_row(void *context, const struct raw_value *row, struct error *err)
{
    struct audit *self = context;

    if (row[CHECKPOINT_TREE].type != RAW_NUMBER || row[CHECKPOINT_SIZE].type != RAW_NUMBER) {
        return wrong(self, err, "a checkpoint whose tree or size is no number");
    }
    if (self->stray_tree != 0) {
        return true;
    }
    if (row[CHECKPOINT_TREE].number != self->kept->number) {
        self->has_more = false;
        self->stray_tree = row[CHECKPOINT_TREE].number;
        return true;
    }
    struct awaited *awaited = &self->awaited[self->awaited_count++];
    awaited->size = row[CHECKPOINT_SIZE].number;
    awaited->time_s = row[CHECKPOINT_TIME].type == RAW_NUMBER ? row[CHECKPOINT_TIME].number : 0;
    keep_text(&row[CHECKPOINT_NOTE], awaited->note);
    keep_text(&row[CHECKPOINT_JWK], awaited->jwk);
    self->read_size = awaited->size;
    self->audited.checkpoints++;
    return true;
}

static bool read_checkpoints(struct audit *self, int64_t first_size, struct error *err)
{
    const struct raw_range range = { .table = LEDGER_CHECKPOINTS,
                                     .first = self->kept->number,
                                     .first_size = first_size,
                                     .limit = CHECKPOINTS };

    self->awaited_count = 0;
    self->awaited_next = 0;
    self->stray_tree = 0;
    self->has_more = true;
    if (!store_read_raw(self->store, &range, take_checkpoint_row, self, err)) {
        return false;
    }
    self->has_more = self->has_more && self->awaited_count == CHECKPOINTS;
    return true;
}

/* No row lies between two trees, before the first, or behind the last. */
static bool take_stray_checkpoint(void *context, const struct raw_value *row, struct error *err)
{
    struct audit *self = context;
    const struct kept_tree *next = self->kept;

    if (next != NULL && row[CHECKPOINT_TREE].type == RAW_NUMBER
        && row[CHECKPOINT_TREE].number >= next->number) {
        return true;
    }
    self->kept = NULL;
    return wrong(self, err, "a checkpoint of the tree of number %" PRId64 ", which there is not",
                 row[CHECKPOINT_TREE].number);
}

static bool take_stray_entry(void *context, const struct raw_value *row, struct error *err)
{
    struct audit *self = context;
    const int64_t id = row[ENTRY_ID].number;

    self->kept = NULL;
    return wrong(self, err,
                 "entry %" PRId64 " of the tree of number %" PRId64 ", which there is not",
                 id & (AUDIT_SIZE_MAX - 1), id >> INDEX_BITS);
}

/* `self->kept` is the tree that comes next, or NULL. */
static bool check_between(struct audit *self, int64_t number_before, struct error *err)
{
    const struct kept_tree *next = self->kept;
    const struct raw_range checkpoints = {
        .table = LEDGER_CHECKPOINTS, .first = number_before + 1, .first_size = INT64_MIN, .limit = 1
    };
    const struct raw_range before_all = {
        .table = LEDGER_CHECKPOINTS, .first = INT64_MIN, .first_size = INT64_MIN, .limit = 1
    };
    const struct raw_range entries = {
        .table = LEDGER_ENTRIES,
        .first = number_before == 0 ? INT64_MIN : (number_before + 1) << INDEX_BITS,
        .last = next != NULL ? (next->number << INDEX_BITS) - 1 : INT64_MAX,
        .limit = 1,
    };
    const bool is_possible = number_before < TREE_NUMBER_MAX;

    return store_read_raw(self->store, number_before == 0 ? &before_all : &checkpoints,
                          take_stray_checkpoint, self, err)
        && (!is_possible || entries.first > entries.last
            || store_read_raw(self->store, &entries, take_stray_entry, self, err));
}

/* ---- roots ---- */

/* The next size at which a checkpoint of the store, or a trusted one, waits; the tree's own size at
 * last. */
static void set_next_stop(struct audit *self)
{
    int64_t next = INT64_MAX;

    if (self->awaited_next < self->awaited_count) {
        next = self->awaited[self->awaited_next].size;
    }
    for (size_t i = 0; i < self->options->trusted_count; i++) {
        const struct trusted_head *trusted = &self->options->trusted[i];
        if (trusted->epoch == self->kept->epoch && strcmp(trusted->node, self->kept->node) == 0
            && trusted->head.size > self->tree.size && trusted->head.size < next) {
            next = trusted->head.size;
        }
    }
    self->next_stop = next;
}

static bool check_trusted(struct audit *self, const struct digest *root, struct error *err)
{
    for (size_t i = 0; i < self->options->trusted_count; i++) {
        const struct trusted_head *trusted = &self->options->trusted[i];
        if (trusted->head.size != self->tree.size || trusted->epoch != self->kept->epoch
            || strcmp(trusted->node, self->kept->node) != 0) {
            continue;
        }
        if (!digest_equal(&trusted->head.root, root)) {
            return wrong_since(self, err,
                               "the first %" PRId64 " entries are not those of the trusted "
                               "checkpoint %s",
                               self->tree.size, trusted->path);
        }
    }
    return true;
}

static bool check_checkpoint(struct audit *self, const struct awaited *awaited,
                             const struct digest *root, struct error *err)
{
    struct tree_head head;

    if (!check_head(self, awaited, &head, err)) {
        return false;
    }
    if (!digest_equal(&head.root, root)) {
        return wrong_since(self, err,
                           "the first %" PRId64 " entries are not those of the checkpoint at that "
                           "size",
                           self->tree.size);
    }
    self->audited.covered = self->tree.size;
    return awaited->time_s >= self->audited.last_s - AUDIT_CLOCK_MAX_S
        || wrong(self, err, "the checkpoint at size %" PRId64 " is older than the entries under it",
                 self->tree.size);
}

/* The tree has come to a size at which something is known of it. */
static bool check_roots(struct audit *self, struct error *err)
{
    const struct digest root = audit_root(&self->tree);

    while (self->awaited_next < self->awaited_count
           && self->awaited[self->awaited_next].size == self->tree.size) {
        if (!check_checkpoint(self, &self->awaited[self->awaited_next++], &root, err)) {
            return false;
        }
    }
    if (!check_trusted(self, &root, err)) {
        return false;
    }
    self->agreed = self->tree.size;
    set_next_stop(self);
    return true;
}

/* ---- entries ---- */

static bool same_jti(const struct audit_entry *entry, const struct raw_value *column)
{
    return entry->jti == NULL ? column->type == RAW_NULL
                              : column->type == RAW_TEXT && column->length == entry->jti_length
                                    && memcmp(column->bytes, entry->jti, column->length) == 0;
}

/* Time goes on, unless an operator says that the clock is right again. */
static bool check_time(struct audit *self, int64_t index, int64_t time_s, bool may_go_back,
                       struct error *err)
{
    struct audited_tree *audited = &self->audited;

    if (audited->first_s == 0) {
        audited->first_s = time_s;
    } else if (time_s < audited->last_s - AUDIT_CLOCK_MAX_S && !may_go_back) {
        return wrong_entry(self, index, err,
                           "its time is %" PRId64 " s before that of the entry "
                           "before it",
                           audited->last_s - time_s);
    }
    audited->last_s = time_s;
    return true;
}

static bool check_entry(struct audit *self, int64_t index, const struct raw_value *row,
                        struct digest *leaf_out, struct error *err)
{
    const struct raw_value *text = &row[ENTRY_ENTRY];
    const struct raw_value *leaf = &row[ENTRY_LEAF];
    struct audit_entry entry;
    struct error reason;

    if (text->type != RAW_TEXT || text->length > AUDIT_ENTRY_MAX) {
        return wrong_entry(self, index, err, "the entry is no text, or too long");
    }
    *leaf_out = audit_leaf(text->bytes, text->length);
    if (leaf->type != RAW_BYTES || leaf->length != sizeof(leaf_out->bytes)
        || memcmp(leaf->bytes, leaf_out->bytes, leaf->length) != 0) {
        return wrong_entry(self, index, err, "the entry is not what its leaf is the hash of");
    }
    if (!audit_entry_parse(text->bytes, text->length, &entry, &reason)) {
        return wrong_entry(self, index, err, "the entry is malformed: %s", reason.message);
    }
    if (!same_jti(&entry, &row[ENTRY_JTI])) {
        return wrong_entry(self, index, err, "the column jti is not the entry's");
    }
    return check_time(self, index, entry.time_s, strcmp(entry.kind, "clock") == 0, err);
}

static bool take_entry_row(void *context, const struct raw_value *row, struct error *err)
{
    struct audit *self = context;
    const int64_t index = row[ENTRY_ID].number & (AUDIT_SIZE_MAX - 1);
    struct digest leaf;

    if (index < self->kept->pruned.size) {
        return wrong_entry(self, index, err, "it is there, but the tree begins at %" PRId64,
                           self->kept->pruned.size);
    }
    if (self->tree.size == self->kept->edge.size) {
        return wrong_entry(self, index, err, "it is one too many: the tree has %" PRId64 " entries",
                           self->kept->edge.size);
    }
    if (index != self->tree.size) {
        return wrong_entry(self, self->tree.size, err, "it is missing");
    }
    if (!check_entry(self, index, row, &leaf, err)) {
        return false;
    }
    audit_append(&self->tree, &leaf);
    self->report->entries++;
    return self->tree.size != self->next_stop || check_roots(self, err);
}

/* Up to where the next page of checkpoints is needed. */
static int page_limit(const struct audit *self)
{
    if (self->has_more) {
        const int64_t to_last = self->awaited[self->awaited_count - 1].size - self->tree.size;
        return to_last < PAGE ? (int)to_last : PAGE;
    }
    return PAGE;
}

/* Reads one page; *is_last_out: nothing follows it. */
static bool read_page(struct audit *self, bool *is_last_out, struct error *err)
{
    const int64_t base = self->kept->number << INDEX_BITS;
    const int64_t before = self->tree.size;
    /* From the first row of all, for what should not be there before the first entry. */
    const bool is_first = before == self->kept->pruned.size;
    const struct raw_range range = { .table = LEDGER_ENTRIES,
                                     .first = is_first ? base : base + before,
                                     .last = base + AUDIT_SIZE_MAX - 1,
                                     .limit = page_limit(self) };

    if (!store_read_raw(self->store, &range, take_entry_row, self, err)) {
        return false;
    }
    *is_last_out = self->tree.size < before + range.limit;
    if (self->options->progress != NULL) {
        self->options->progress(self->options->context, self->report->entries, self->all);
    }
    return true;
}

/* ---- trees ---- */

static bool begin_tree(struct audit *self, const struct kept_tree *kept, struct error *err)
{
    self->kept = kept;
    self->audited = (struct audited_tree){ .epoch = kept->epoch,
                                           .size = kept->edge.size,
                                           .pruned = kept->pruned.size };
    memcpy(self->audited.node, kept->node, sizeof(kept->node));
    if (!audit_begin(&self->tree, kept->pruned.size, kept->pruned.bytes, kept->pruned.length,
                     NULL)) {
        return fail(err, ERROR_INTERNAL, "a tree's edge is not what it was");
    }
    self->agreed = self->tree.size;
    return read_checkpoints(self, INT64_MIN, err);
}

/* Those of a size that was pruned: their signature is all that can be checked. */
static bool pass_pruned(struct audit *self, struct error *err)
{
    for (;;) {
        while (self->awaited_next < self->awaited_count
               && self->awaited[self->awaited_next].size < self->tree.size) {
            struct tree_head head;
            if (!check_head(self, &self->awaited[self->awaited_next++], &head, err)) {
                return false;
            }
            self->audited.covered = head.size;
        }
        if (self->awaited_next < self->awaited_count || !self->has_more) {
            return check_roots(self, err);
        }
        if (!read_checkpoints(self, self->read_size + 1, err)) {
            return false;
        }
    }
}

static bool read_entries(struct audit *self, struct error *err)
{
    bool is_last = false;

    while (!is_last) {
        if (!read_page(self, &is_last, err)) {
            return false;
        }
        if (self->has_more && self->awaited_next == self->awaited_count) {
            if (!read_checkpoints(self, self->read_size + 1, err)) {
                return false;
            }
            set_next_stop(self);
        }
    }
    return true;
}

static bool end_tree(struct audit *self, struct error *err)
{
    const struct kept_tree *kept = self->kept;

    if (self->tree.size < kept->edge.size) {
        return wrong_entry(self, self->tree.size, err,
                           "it is missing: the tree has %" PRId64 " entries", kept->edge.size);
    }
    if (!audit_has_edge(&self->tree, kept->edge.bytes, kept->edge.length)) {
        return wrong_since(self, err, "the tree's edge is not that of its entries");
    }
    if (self->awaited_next < self->awaited_count) {
        return wrong_entry(self, self->tree.size, err,
                           "it is missing: there is a checkpoint at size %" PRId64
                           ", and the tree has %" PRId64 " entries",
                           self->awaited[self->awaited_next].size, self->tree.size);
    }
    self->audited.root = audit_root(&self->tree);
    self->report->checkpoints += self->audited.checkpoints;
    self->report->trees++;
    if (self->options->take_tree != NULL) {
        self->options->take_tree(self->options->context, &self->audited);
    }
    return true;
}

/* ---- trusted checkpoints ---- */

static const struct kept_tree *tree_of(const struct audit *self, const struct trusted_head *trusted)
{
    for (size_t i = 0; i < self->tree_count; i++) {
        if (self->trees[i].epoch == trusted->epoch
            && strcmp(self->trees[i].node, trusted->node) == 0) {
            return &self->trees[i];
        }
    }
    return NULL;
}

/* Before any entry is read: what no entry can show. */
static bool check_reach(struct audit *self, const struct trusted_head *trusted, struct error *err)
{
    const struct kept_tree *kept = tree_of(self, trusted);

    if (kept == NULL) {
        return wrong(self, err, "the tree %s/%" PRId64 ", of which %s tells, is not in the store",
                     trusted->node, trusted->epoch, trusted->path);
    }
    self->kept = kept;
    if (trusted->head.size > kept->edge.size) {
        return wrong_entry(self, kept->edge.size, err,
                           "it is missing: by the trusted checkpoint %s there were %" PRId64
                           " entries, now there are %" PRId64 ": the ledger was cut, or the store "
                           "rolled back",
                           trusted->path, trusted->head.size, kept->edge.size);
    }
    if (trusted->head.size < kept->pruned.size) {
        return wrong(self, err,
                     "the trusted checkpoint %s is of %" PRId64 " entries, of which none is left "
                     "to compare: the first %" PRId64 " were pruned; take a newer one",
                     trusted->path, trusted->head.size, kept->pruned.size);
    }
    self->kept = NULL;
    self->report->trusted++;
    return true;
}

bool trusted_head_read(const char *path, struct audit_key *const *keys, size_t key_count,
                       struct trusted_head *trusted_out, struct error *err)
{
    scoped(release_memory) char *text = NULL;
    struct signed_note note;
    size_t length = 0;
    bool is_signed = key_count == 0;

    if (!ctl_read_file(path, NOTE_MAX, &text, &length, err)) {
        return false;
    }
    *trusted_out = (struct trusted_head){ .path = path };
    if (!signed_note_parse(text, length, &note, err)
        || !tree_head_parse(&note, &trusted_out->head, err)) {
        return error_context(err, "%s", path);
    }
    if (!tree_head_names(&trusted_out->head, trusted_out->node, sizeof(trusted_out->node),
                         &trusted_out->epoch)) {
        return fail(err, ERROR_INVALID_REQUEST,
                    "%s: a checkpoint whose origin is not of a ledger: ISSUER/ledger/NODE/EPOCH",
                    path);
    }
    for (size_t i = 0; i < key_count && !is_signed; i++) {
        is_signed = signed_note_is_by(&note, trusted_out->head.origin, keys[i]);
    }
    return is_signed || fail(err, ERROR_INVALID_REQUEST, "%s: not signed by the audit key", path);
}

/* ---- all of it ---- */

static bool audit_tree(struct audit *self, const struct kept_tree *kept, struct error *err)
{
    return begin_tree(self, kept, err) && pass_pruned(self, err) && read_entries(self, err)
        && end_tree(self, err);
}

static bool audit_all(struct audit *self, struct error *err)
{
    int64_t number = 0;

    if (!read_trees(self, err)) {
        return false;
    }
    for (size_t i = 0; i < self->options->trusted_count; i++) {
        if (!check_reach(self, &self->options->trusted[i], err)) {
            return false;
        }
    }
    for (size_t i = 0; i < self->tree_count; i++) {
        self->kept = &self->trees[i];
        if (!check_between(self, number, err) || !audit_tree(self, &self->trees[i], err)) {
            return false;
        }
        number = self->trees[i].number;
    }
    self->kept = NULL;
    return check_between(self, number, err);
}

static void release_audit(struct audit **self)
{
    free((*self)->trees);
    audit_key_free((*self)->store_key);
    free(*self);
}

bool audit_ledger(struct store *store, const struct audit_options *options,
                  struct audit_report *report_out, struct error *err)
{
    scoped(release_audit) struct audit *self = xcalloc(1, sizeof(*self));

    *report_out = (struct audit_report){ .index = -1, .last_index = -1 };
    self->store = store;
    self->options = options;
    self->report = report_out;
    return audit_all(self, err) || report_out->is_wrong;
}

/* issuerctl ledger verify */
#include "ctl/ledger_command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "ctl/base64.h"
#include "ctl/progress.h"

struct verification {
    struct progress progress;
    struct audited_tree *trees; /* in which nothing was found */
    size_t tree_count;
};

static void clear(struct verification *verification)
{
    free(verification->trees);
}

static void take_tree(void *context, const struct audited_tree *tree)
{
    struct verification *self = context;

    self->trees = xrealloc(self->trees, (self->tree_count + 1) * sizeof(*self->trees));
    self->trees[self->tree_count++] = *tree;
}

static void show_progress(void *context, int64_t done, int64_t all)
{
    progress_show(&((struct verification *)context)->progress, "entries", done, all);
}

/* ---- for people ---- */

struct base64_digest {
    char text[48];
};

static struct base64_digest base64_of(const struct digest *digest)
{
    struct base64_digest base64 = { "" };
    struct text text = text_over(base64.text, sizeof(base64.text));

    text_add_base64(&text, digest->bytes, sizeof(digest->bytes));
    return base64;
}

static void print_tree(const struct audited_tree *tree)
{
    const int64_t uncovered = tree->size - tree->covered;

    printf("tree %s/%" PRId64 ": %" PRId64 " entries", tree->node, tree->epoch, tree->size);
    if (tree->pruned > 0) {
        printf(", the first %" PRId64 " pruned", tree->pruned);
    }
    if (tree->last_s > 0) {
        printf(", %s to %s", instant_of(tree->first_s).text, instant_of(tree->last_s).text);
    }
    printf("\n  root %s\n", base64_of(&tree->root).text);
    if (tree->checkpoints == 0) {
        printf("  no checkpoint: nobody has signed these entries\n");
    } else {
        printf("  checkpoints: %" PRId64 "; the newest covers %" PRId64 " entries",
               tree->checkpoints, tree->covered);
        printf(uncovered > 0 ? ", %" PRId64 " are not covered yet\n" : ", all of them\n",
               uncovered);
    }
}

static void print_signers(const struct ledger_command *command, const struct audit_report *report)
{
    if (report->checkpoints > 0 && command->key_count == 0) {
        printf("the checkpoints are signed by keys that the store itself names (self-asserted): "
               "--audit-key FILE says whom to trust\n");
    } else if (report->checkpoints > 0) {
        printf("every checkpoint is signed by the audit key\n");
    }
    if (report->trusted == 0) {
        printf("an end that was cut off, or a store rolled back to an older copy, shows against a "
               "--trusted-checkpoint alone\n");
    }
}

static void print_wrong(const struct audit_report *report)
{
    printf("WRONG: ");
    if (report->node[0] != '\0') {
        printf("tree %s/%" PRId64 ", ", report->node, report->epoch);
    }
    if (report->index >= 0 && report->last_index > report->index) {
        printf("one of the entries %" PRId64 " to %" PRId64 ": ", report->index,
               report->last_index);
    } else if (report->index >= 0) {
        printf("entry %" PRId64 ": ", report->index);
    }
    printf("%s\n", report->what);
}

static void print_report(const struct ledger_command *command, const struct verification *self,
                         const struct audit_report *report)
{
    for (size_t i = 0; i < self->tree_count; i++) {
        print_tree(&self->trees[i]);
    }
    if (report->is_wrong) {
        print_wrong(report);
        return;
    }
    print_signers(command, report);
    printf("verified: %" PRId64 " entries, trees: %" PRId64 ", checkpoints: %" PRId64
           ", trusted checkpoints: %" PRId64 "\n",
           report->entries, report->trees, report->checkpoints, report->trusted);
}

/* ---- for a machine ---- */

static void print_tree_json(const struct audited_tree *tree)
{
    printf("{\"tree\":\"%s/%" PRId64 "\",\"size\":%" PRId64 ",\"pruned\":%" PRId64
           ",\"root\":\"%s\",\"checkpoints\":%" PRId64 ",\"covered\":%" PRId64,
           tree->node, tree->epoch, tree->size, tree->pruned, base64_of(&tree->root).text,
           tree->checkpoints, tree->covered);
    if (tree->last_s > 0) {
        printf(",\"first\":\"%s\",\"last\":\"%s\"", instant_of(tree->first_s).text,
               instant_of(tree->last_s).text);
    }
    printf("}");
}

static void print_wrong_json(const struct audit_report *report)
{
    char buffer[1024];
    struct text text = text_over(buffer, sizeof(buffer));

    printf(",\"wrong\":{");
    if (report->node[0] != '\0') {
        printf("\"tree\":\"%s/%" PRId64 "\",", report->node, report->epoch);
    }
    if (report->index >= 0) {
        printf("\"index\":%" PRId64 ",\"last_index\":%" PRId64 ",", report->index,
               report->last_index);
    }
    text_add_json_string(&text, report->what);
    printf("\"what\":%s}", buffer);
}

static void print_report_json(const struct ledger_command *command, const struct verification *self,
                              const struct audit_report *report)
{
    printf("{\"verified\":%s,\"entries\":%" PRId64 ",\"checkpoints\":%" PRId64
           ",\"trusted_checkpoints\":%" PRId64 ",\"self_asserted\":%s,\"trees\":[",
           report->is_wrong ? "false" : "true", report->entries, report->checkpoints,
           report->trusted, command->key_count == 0 ? "true" : "false");
    for (size_t i = 0; i < self->tree_count; i++) {
        printf("%s", i > 0 ? "," : "");
        print_tree_json(&self->trees[i]);
    }
    printf("]");
    if (report->is_wrong) {
        print_wrong_json(report);
    }
    printf("}\n");
}

/* ---- the command ---- */

static bool read_trusted(const struct ledger_command *command, struct trusted_head *trusted,
                         struct error *err)
{
    for (size_t i = 0; i < command->arguments->trusted_count; i++) {
        if (!trusted_head_read(command->arguments->trusted_paths[i], command->keys,
                               command->key_count, &trusted[i], err)) {
            return false;
        }
    }
    return true;
}

int ledger_verify(struct ledger_command *command)
{
    scoped(clear) struct verification self = { .trees = NULL };
    scoped(release_memory) struct trusted_head *trusted =
        xcalloc(AUDIT_TRUSTED_MAX, sizeof(*trusted));
    const struct audit_options options = { .keys = command->keys,
                                           .key_count = command->key_count,
                                           .trusted = trusted,
                                           .trusted_count = command->arguments->trusted_count,
                                           .take_tree = take_tree,
                                           .progress = show_progress,
                                           .context = &self };
    struct audit_report report;
    struct error err = { .code = ERROR_NONE };

    if (!read_trusted(command, trusted, &err)) {
        return ctl_refuse(&err);
    }
    progress_begin(&self.progress);
    const bool read = audit_ledger(command->store, &options, &report, &err);
    progress_end(&self.progress);
    if (!read) {
        return ctl_complain(&err);
    }
    if (command->arguments->json) {
        print_report_json(command, &self, &report);
    } else {
        print_report(command, &self, &report);
    }
    return report.is_wrong ? CTL_REFUSED : EX_OK;
}

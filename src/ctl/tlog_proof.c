#include "ctl/tlog_proof.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "ctl/base64.h"
#include "ctl/signed_note.h"

static const char HEADER[] = "c2sp.org/tlog-proof@v1";
static const char EXTRA[] = "extra ";
static const char INDEX[] = "index ";

void tlog_proof_clear(struct tlog_proof *proof)
{
    free(proof->entry);
    *proof = (struct tlog_proof){ .entry = NULL };
}

char *tlog_proof_print(const struct tlog_proof *proof)
{
    char *buffer = xcalloc(1, TLOG_PROOF_MAX);
    struct text text = text_over(buffer, TLOG_PROOF_MAX);

    text_add(&text, HEADER);
    text_add(&text, "\n");
    text_add(&text, EXTRA);
    text_add_base64(&text, proof->entry, proof->entry_length);
    text_add(&text, "\n");
    text_add(&text, INDEX);
    text_add_number(&text, proof->index);
    text_add(&text, "\n");
    for (size_t i = 0; i < proof->path.count; i++) {
        text_add_base64(&text, proof->path.hashes[i].bytes, sizeof(proof->path.hashes[i].bytes));
        text_add(&text, "\n");
    }
    text_add(&text, "\n");
    text_add_bytes(&text, proof->note, proof->note_length);
    assert(!text.overflowed); /* the entry and the note are bounded */
    return buffer;
}

/* ---- reading ---- */

struct line {
    const char *start;
    size_t length;
};

/* Takes the next line off; false if no newline ends it. */
static bool next_line(const char **at, const char *end, struct line *line_out)
{
    const char *newline = memchr(*at, '\n', (size_t)(end - *at));

    if (newline == NULL) {
        return false;
    }
    *line_out = (struct line){ .start = *at, .length = (size_t)(newline - *at) };
    *at = newline + 1;
    return true;
}

/* Takes `prefix` off the line; false, and nothing done, if it does not begin so. */
static bool skip_prefix(struct line *line, const char *prefix)
{
    const size_t length = strlen(prefix);

    if (line->length < length || memcmp(line->start, prefix, length) != 0) {
        return false;
    }
    line->start += length;
    line->length -= length;
    return true;
}

static bool read_header(const char **at, const char *end)
{
    struct line line;

    return next_line(at, end, &line) && skip_prefix(&line, HEADER) && line.length == 0;
}

static bool read_entry(const char **at, const char *end, struct tlog_proof *proof)
{
    struct line line;

    if (!next_line(at, end, &line) || !skip_prefix(&line, EXTRA)) {
        return false;
    }
    proof->entry = xcalloc(1, AUDIT_ENTRY_MAX + 1);
    return base64_decode(line.start, line.length, (uint8_t *)proof->entry, AUDIT_ENTRY_MAX,
                         &proof->entry_length);
}

static bool read_index(const char **at, const char *end, struct tlog_proof *proof)
{
    struct line line;

    return next_line(at, end, &line) && skip_prefix(&line, INDEX)
        && tree_size_parse(line.start, line.length, &proof->index);
}

/* Up to the empty line and with it. */
static bool read_path(const char **at, const char *end, struct audit_proof *path)
{
    struct line line;
    size_t length = 0;

    while (next_line(at, end, &line)) {
        if (line.length == 0) {
            return true;
        }
        if (path->count == AUDIT_PROOF_MAX
            || !base64_decode(line.start, line.length, path->hashes[path->count].bytes,
                              sizeof(struct digest), &length)
            || length != sizeof(struct digest)) {
            return false;
        }
        path->count++;
    }
    return false;
}

bool tlog_proof_parse(const char *text, size_t length, struct tlog_proof *proof_out,
                      struct error *err)
{
    scoped(tlog_proof_clear) struct tlog_proof proof = { .entry = NULL };
    const char *at = text;
    const char *end = text + length;

    if (!read_header(&at, end)) {
        return fail(err, ERROR_INVALID_REQUEST, "no proof: its first line is not \"%s\"", HEADER);
    }
    if (!read_entry(&at, end, &proof)) {
        return fail(err, ERROR_INVALID_REQUEST,
                    "a proof without the entry: line 2 is \"extra \" and the entry in base64");
    }
    if (!read_index(&at, end, &proof)) {
        return fail(err, ERROR_INVALID_REQUEST, "a proof without an index in line 3");
    }
    if (!read_path(&at, end, &proof.path)) {
        return fail(
            err, ERROR_INVALID_REQUEST,
            "a proof whose hashes are not 32 bytes of base64 a line and then an empty line");
    }
    proof.note = at;
    proof.note_length = (size_t)(end - at);
    *proof_out = proof;
    proof.entry = NULL;
    return true;
}

#include "ctl/signed_note.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "ctl/audit_tree.h"
#include "ctl/base64.h"

static const char DASH[] = "\xe2\x80\x94 "; /* U+2014, and a space */

/* ---- notes ---- */

static size_t utf8_length(const uint8_t *at, size_t left)
{
    static const struct {
        uint8_t first, last;         /* of the leading bytes */
        uint8_t second, second_last; /* of the byte that follows (RFC 3629 4) */
        size_t length;
    } forms[] = {
        { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
        { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
        { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };

    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        if (at[0] < forms[i].first || at[0] > forms[i].last) {
            continue;
        }
        if (left < forms[i].length || at[1] < forms[i].second || at[1] > forms[i].second_last) {
            return 0;
        }
        for (size_t next = 2; next < forms[i].length; next++) {
            if ((at[next] & 0xc0) != 0x80) {
                return 0;
            }
        }
        return forms[i].length;
    }
    return at[0] < 0x80 ? 1 : 0;
}

/* UTF-8 without control characters but newlines. */
static bool is_note_text(const char *text, size_t length)
{
    const uint8_t *at = (const uint8_t *)text;
    const uint8_t *end = at + length;

    while (at < end) {
        const size_t character = utf8_length(at, (size_t)(end - at));
        if (character == 0 || (*at < ' ' && *at != '\n')) {
            return false;
        }
        at += character;
    }
    return true;
}

static bool parse_signature(const char *line, size_t length, struct note_signature *signature_out)
{
    const size_t dash = strlen(DASH);

    if (length < dash || memcmp(line, DASH, dash) != 0) {
        return false;
    }
    const char *name = line + dash;
    const char *space = memchr(name, ' ', length - dash);
    if (space == NULL || space == name || memchr(name, '+', (size_t)(space - name)) != NULL) {
        return false;
    }
    *signature_out = (struct note_signature){
        .name = name,
        .name_length = (size_t)(space - name),
        .base64 = space + 1,
        .base64_length = (size_t)(line + length - (space + 1)),
    };
    return signature_out->base64_length >= 8 && signature_out->base64_length % 4 == 0
        && memchr(space + 1, ' ', signature_out->base64_length) == NULL;
}

static bool parse_signatures(const char *at, const char *end, struct signed_note *note)
{
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (newline == NULL || note->signature_count == NOTE_SIGNATURES_MAX
            || !parse_signature(at, (size_t)(newline - at),
                                &note->signatures[note->signature_count++])) {
            return false;
        }
        at = newline + 1;
    }
    return note->signature_count > 0;
}

bool signed_note_parse(const char *note, size_t length, struct signed_note *note_out,
                       struct error *err)
{
    *note_out = (struct signed_note){ .text = note, .text_length = length };
    if (length == 0 || length > NOTE_MAX || note[length - 1] != '\n'
        || !is_note_text(note, length)) {
        return fail(err, ERROR_INVALID_REQUEST,
                    "not the text of a note: UTF-8, at most %d bytes, a newline at its end",
                    NOTE_MAX);
    }
    const char *break_at = memmem(note, length, "\n\n", 2);
    if (break_at == NULL) {
        return true;
    }
    for (const char *next = break_at; next != NULL;
         next = memmem(break_at + 1, length - (size_t)(break_at + 1 - note), "\n\n", 2)) {
        break_at = next; /* the last one */
    }
    note_out->text_length = (size_t)(break_at + 1 - note);
    return parse_signatures(break_at + 2, note + length, note_out)
        || fail(err, ERROR_INVALID_REQUEST, "a note whose signature lines are malformed");
}

bool signed_note_is_by(const struct signed_note *note, const char *name,
                       const struct audit_key *key)
{
    unsigned verified = 0;
    uint8_t id[AUDIT_KEY_ID_LENGTH];

    audit_key_id(key, name, id);
    for (size_t i = 0; i < note->signature_count; i++) {
        const struct note_signature *line = &note->signatures[i];
        uint8_t bytes[AUDIT_KEY_ID_LENGTH + AUDIT_SIGNATURE_MAX];
        size_t length = 0;
        if (line->name_length != strlen(name) || memcmp(line->name, name, line->name_length) != 0
            || !base64_decode(line->base64, line->base64_length, bytes, sizeof(bytes), &length)
            || length <= sizeof(id) || memcmp(bytes, id, sizeof(id)) != 0) {
            continue; /* of a key that we do not know */
        }
        if (!audit_key_verifies(key, note->text, note->text_length, bytes + sizeof(id),
                                length - sizeof(id))) {
            return false;
        }
        verified++;
    }
    return verified == 1;
}

/* ---- checkpoints ---- */

bool tree_size_parse(const char *digits, size_t length, int64_t *size_out)
{
    int64_t size = 0;

    if (length == 0 || length > 13 || (digits[0] == '0' && length > 1)) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (digits[i] < '0' || digits[i] > '9') {
            return false;
        }
        size = size * 10 + (digits[i] - '0');
    }
    *size_out = size;
    return size < AUDIT_SIZE_MAX;
}

static bool is_origin(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] <= ' ' || text[i] >= 0x7f || text[i] == '+') {
            return false;
        }
    }
    return length > 0 && length <= ORIGIN_MAX;
}

static bool parse_root(const char *text, size_t length, struct digest *root_out)
{
    size_t decoded = 0;

    return base64_decode(text, length, root_out->bytes, sizeof(root_out->bytes), &decoded)
        && decoded == sizeof(root_out->bytes);
}

bool tree_head_parse(const struct signed_note *note, struct tree_head *head_out, struct error *err)
{
    const char *lines[3];
    size_t lengths[3];
    const char *at = note->text;
    const char *end = note->text + note->text_length;

    for (int i = 0; i < 3; i++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (newline == NULL) {
            return fail(err, ERROR_INVALID_REQUEST, "a checkpoint has three lines");
        }
        lines[i] = at;
        lengths[i] = (size_t)(newline - at);
        at = newline + 1;
    }
    if (at != end) {
        return fail(err, ERROR_INVALID_REQUEST, "a checkpoint has three lines, and no more");
    }
    if (!is_origin(lines[0], lengths[0])) {
        return fail(err, ERROR_INVALID_REQUEST, "a checkpoint without an origin in line 1");
    }
    (void)snprintf(head_out->origin, sizeof(head_out->origin), "%.*s", (int)lengths[0], lines[0]);
    if (!tree_size_parse(lines[1], lengths[1], &head_out->size)) {
        return fail(err, ERROR_INVALID_REQUEST, "a checkpoint without a size in line 2");
    }
    return parse_root(lines[2], lengths[2], &head_out->root)
        || fail(err, ERROR_INVALID_REQUEST, "a checkpoint without a root in line 3");
}

bool tree_head_names(const struct tree_head *head, char *node_out, size_t node_size,
                     int64_t *epoch_out)
{
    static const char ledger[] = "/ledger";
    const char *end = strrchr(head->origin, '/');
    const char *start = end;

    while (start != NULL && start > head->origin && start[-1] != '/') {
        start--;
    }
    const size_t before =
        start != NULL && start > head->origin ? (size_t)(start - 1 - head->origin) : 0;
    if (before <= strlen(ledger) || start == end || (size_t)(end - start) >= node_size
        || memcmp(start - 1 - strlen(ledger), ledger, strlen(ledger)) != 0) {
        return false;
    }
    (void)snprintf(node_out, node_size, "%.*s", (int)(end - start), start);
    return tree_size_parse(end + 1, strlen(end + 1), epoch_out) && *epoch_out > 0;
}

/*
 * Checkpoints, proofs and entries that anybody may have written. The input is taken as each of them as
 * it is; and its first line as the entry of a proof, what follows as the rest, so that the fuzzer need
 * not find out base64.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "ctl/audit_entry.h"
#include "ctl/signed_note.h"
#include "ctl/tlog_proof.h"
#include "fuzz/fuzz.h"

static void try_key(const char *text)
{
    struct audit_key *key = NULL;
    struct error err;

    if (audit_key_from_jwk(text, &key, &err)) {
        FUZZ_ASSERT(strcmp(audit_key_jwk(key), text) == 0);
        audit_key_free(key);
    }
}

static void try_note(const char *text, size_t length)
{
    struct signed_note note;
    struct tree_head head;
    struct error err;
    char node[65];
    int64_t epoch;

    if (!signed_note_parse(text, length, &note, &err)) {
        FUZZ_ASSERT(err.code == ERROR_INVALID_REQUEST && err.message[0] != '\0');
        return;
    }
    FUZZ_ASSERT(note.text_length <= length && note.text[note.text_length - 1] == '\n');
    if (tree_head_parse(&note, &head, &err)) {
        FUZZ_ASSERT(head.size >= 0 && head.size < AUDIT_SIZE_MAX && head.origin[0] != '\0');
        if (tree_head_names(&head, node, sizeof(node), &epoch)) {
            FUZZ_ASSERT(node[0] != '\0' && epoch > 0);
        }
    }
}

static void try_entry(const char *text, size_t length)
{
    struct audit_entry entry;
    struct error err;

    if (audit_entry_parse(text, length, &entry, &err)) {
        FUZZ_ASSERT(entry.kind[0] != '\0' && entry.time_s >= 0);
        FUZZ_ASSERT(entry.jti == NULL || entry.jti + entry.jti_length < text + length);
    }
}

/* What can be read is written again as it was. */
static void try_proof(const char *text, size_t length)
{
    struct tlog_proof proof;
    struct digest digest = { { 0 } };
    struct error err;

    if (!tlog_proof_parse(text, length, &proof, &err)) {
        FUZZ_ASSERT(err.code == ERROR_INVALID_REQUEST && err.message[0] != '\0');
        return;
    }
    char *again = tlog_proof_print(&proof);
    FUZZ_ASSERT(strlen(again) == length && memcmp(again, text, length) == 0);
    free(again);
    try_entry(proof.entry, proof.entry_length);
    try_note(proof.note, proof.note_length);
    (void)audit_verify_inclusion(&proof.path, proof.index, proof.index + 3, &digest, &digest);
    (void)audit_verify_consistency(&proof.path, proof.index, proof.index + 3, &digest, &digest);
    tlog_proof_clear(&proof);
}

static void try_lines(char *text, size_t size)
{
    char *buffer = malloc(2 * size + 256);
    FUZZ_ASSERT(buffer != NULL);
    struct text proof = text_over(buffer, 2 * size + 256);
    const char *entry = fuzz_line(&text);

    text_add(&proof, "c2sp.org/tlog-proof@v1\nextra ");
    text_add_base64(&proof, entry, strlen(entry));
    text_add(&proof, "\nindex 5\n");
    text_add(&proof, text);
    FUZZ_ASSERT(!proof.overflowed);
    try_proof(buffer, proof.length);
    free(buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_text(data, size);

    try_note(text, size);
    try_entry(text, size);
    try_key(text);
    if (memchr(text, '\0', size) == NULL) {
        try_proof(text, size);
        try_lines(text, size);
    }
    free(text);
    return 0;
}

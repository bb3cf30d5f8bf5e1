#include "support/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <sqlite3.h>

#include "base/memory.h"

enum { BUSY_MS = 5000, HASH = SHA256_DIGEST_LENGTH, KEY_ID = 4 };

/* ---- texts ---- */

/* Body, and perhaps an empty line and one signature (C2SP signed-note). */
static bool take_apart(struct checkpoint_seen *seen)
{
    long long size = 0;
    int body = 0;
    char name[256] = "";

    seen->signature[0] = '\0';
    if (sscanf(seen->text, "%255[^\n]\n%lld\n%47[A-Za-z0-9+/=]\n%n", seen->origin, &size,
               seen->root, &body)
            != 3
        || body == 0) {
        fprintf(stderr, "no checkpoint: %s\n", seen->text);
        return false;
    }
    seen->size = size;
    return seen->text[body] == '\0'
        || (sscanf(seen->text + body, "\n\xe2\x80\x94 %255[^ \n] %159[A-Za-z0-9+/=]\n", name,
                   seen->signature)
                == 2
            && strcmp(name, seen->origin) == 0);
}

bool checkpoint_of_file(const struct instance *instance, struct checkpoint_seen *seen_out)
{
    char path[512];

    memset(seen_out, 0, sizeof(*seen_out));
    (void)snprintf(path, sizeof(path), "%s/node-1.checkpoint", instance_directory(instance));
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    (void)!fread(seen_out->text, 1, sizeof(seen_out->text) - 1, file);
    (void)fclose(file);
    return take_apart(seen_out);
}

/* ---- the store ---- */

static sqlite3_stmt *ask(const struct instance *instance, const char *sql, sqlite3 **db_out)
{
    sqlite3_stmt *statement = NULL;

    if (sqlite3_open_v2(instance_store_path(instance), db_out, SQLITE_OPEN_READWRITE, NULL)
            != SQLITE_OK
        || sqlite3_busy_timeout(*db_out, BUSY_MS) != SQLITE_OK
        || sqlite3_prepare_v2(*db_out, sql, -1, &statement, NULL) != SQLITE_OK) {
        fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(*db_out));
    }
    return statement;
}

static void end(sqlite3 *db, sqlite3_stmt *statement)
{
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
}

static int64_t count(const struct instance *instance, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = ask(instance, sql, &db);
    const int64_t number = statement != NULL && sqlite3_step(statement) == SQLITE_ROW
                             ? sqlite3_column_int64(statement, 0)
                             : -1;
    end(db, statement);
    return number;
}

int64_t checkpoint_count(const struct instance *instance)
{
    return count(instance, "SELECT count(*) FROM checkpoints");
}

int64_t checkpoint_entries(const struct instance *instance)
{
    return count(instance, "SELECT count(*) FROM ledger");
}

bool checkpoint_of_store(const struct instance *instance, struct checkpoint_seen *seen_out)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement =
        ask(instance, "SELECT note, jwk, size FROM checkpoints ORDER BY tree DESC, size DESC", &db);
    const bool found = statement != NULL && sqlite3_step(statement) == SQLITE_ROW;
    int64_t size = 0;

    memset(seen_out, 0, sizeof(*seen_out));
    if (found) {
        (void)snprintf(seen_out->text, sizeof(seen_out->text), "%s",
                       (const char *)sqlite3_column_text(statement, 0));
        (void)snprintf(seen_out->jwk, sizeof(seen_out->jwk), "%s",
                       (const char *)sqlite3_column_text(statement, 1));
        size = sqlite3_column_int64(statement, 2);
    }
    end(db, statement);
    return found && take_apart(seen_out) && seen_out->size == size;
}

/* ---- the tree ---- */

static void hash_node(const unsigned char *left, const unsigned char *right, unsigned char *out)
{
    unsigned char bytes[1 + 2 * HASH] = { 1 };

    memcpy(bytes + 1, left, HASH);
    memcpy(bytes + 1 + HASH, right, HASH);
    (void)SHA256(bytes, sizeof(bytes), out);
}

/* RFC 6962 2.1, as it stands there. */
static void hash_tree(const unsigned char *leaves, int64_t size, unsigned char *out)
{
    unsigned char left[HASH];
    unsigned char right[HASH];
    int64_t k = 1;

    if (size == 1) {
        memcpy(out, leaves, HASH);
        return;
    }
    while (2 * k < size) {
        k *= 2;
    }
    hash_tree(leaves, k, left);
    hash_tree(leaves + k * HASH, size - k, right);
    hash_node(left, right, out);
}

/* How many it found; `leaves` has room for `size`. */
static int64_t read_leaves(const struct instance *instance, int64_t size, unsigned char *leaves)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = ask(instance, "SELECT entry FROM ledger ORDER BY id", &db);
    unsigned char data[4096] = { 0 };
    int64_t found = 0;

    while (statement != NULL && found < size && sqlite3_step(statement) == SQLITE_ROW) {
        const int length = snprintf((char *)data + 1, sizeof(data) - 1, "%s",
                                    (const char *)sqlite3_column_text(statement, 0));
        (void)SHA256(data, (size_t)length + 1, leaves + found++ * HASH);
    }
    end(db, statement);
    return found;
}

bool checkpoint_root_is_right(const struct instance *instance, const struct checkpoint_seen *seen)
{
    scoped(release_memory) unsigned char *leaves = xcalloc((size_t)seen->size + 1, HASH);
    unsigned char root[HASH];
    unsigned char base64[64];

    if (seen->size < 1 || read_leaves(instance, seen->size, leaves) != seen->size) {
        fprintf(stderr, "the store has fewer entries than %lld\n", (long long)seen->size);
        return false;
    }
    hash_tree(leaves, seen->size, root);
    (void)EVP_EncodeBlock(base64, root, HASH);
    return strcmp((const char *)base64, seen->root) == 0;
}

/* ---- the signature ---- */

static bool read_member(const cJSON *jwk, const char *name, unsigned char out[HASH])
{
    const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(jwk, name));
    unsigned char base64[64] = "";
    unsigned char decoded[64];

    if (value == NULL || strlen(value) != 43) {
        return false;
    }
    for (int i = 0; i < 43; i++) {
        base64[i] = (unsigned char)(value[i] == '-' ? '+' : value[i] == '_' ? '/' : value[i]);
    }
    base64[43] = '=';
    const bool good = EVP_DecodeBlock(decoded, base64, 44) == HASH + 1;
    memcpy(out, decoded, HASH);
    return good;
}

static EVP_PKEY *read_key(const char *text, bool *is_ecdsa_out)
{
    /* SubjectPublicKeyInfo of P-256, up to the point's X. */
    static const unsigned char head[] = "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06"
                                        "\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04";
    unsigned char info[sizeof(head) - 1 + 2 * HASH];
    const unsigned char *at = info;
    unsigned char x[HASH];
    cJSON *jwk = cJSON_Parse(text);
    EVP_PKEY *key = NULL;

    memcpy(info, head, sizeof(head) - 1);
    *is_ecdsa_out = read_member(jwk, "y", info + sizeof(head) - 1 + HASH);
    if (*is_ecdsa_out && read_member(jwk, "x", info + sizeof(head) - 1)) {
        key = d2i_PUBKEY(NULL, &at, sizeof(info));
    } else if (read_member(jwk, "x", x)) {
        key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, HASH);
    }
    cJSON_Delete(jwk);
    return key;
}

/* C2SP signed-note: ECDSA of the SubjectPublicKeyInfo, Ed25519 of name, line feed, 0x01 and key. */
static bool has_key_id(EVP_PKEY *key, bool is_ecdsa, const char *name, const unsigned char *id)
{
    unsigned char bytes[512];
    unsigned char hash[HASH];
    unsigned char *at = bytes;
    size_t length = 0;

    if (is_ecdsa) {
        length = (size_t)i2d_PUBKEY(key, &at);
    } else {
        size_t key_length = HASH;
        length = (size_t)snprintf((char *)bytes, sizeof(bytes), "%s\n\x01", name);
        (void)EVP_PKEY_get_raw_public_key(key, bytes + length, &key_length);
        length += key_length;
    }
    (void)SHA256(bytes, length, hash);
    return memcmp(hash, id, KEY_ID) == 0;
}

bool checkpoint_verifies(const struct checkpoint_seen *seen, const char *jwk)
{
    unsigned char line[160];
    const size_t encoded = strlen(seen->signature);
    const size_t padding = encoded - strcspn(seen->signature, "=");
    const int decoded = EVP_DecodeBlock(line, (const unsigned char *)seen->signature, (int)encoded);
    const char *end_of_body = strstr(seen->text, "\n\n");
    bool is_ecdsa = false;
    EVP_PKEY *key = read_key(jwk, &is_ecdsa);

    if (decoded <= KEY_ID || key == NULL || end_of_body == NULL) {
        EVP_PKEY_free(key);
        return false;
    }
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const bool good =
        has_key_id(key, is_ecdsa, seen->origin, line)
        && EVP_DigestVerifyInit(context, NULL, is_ecdsa ? EVP_sha256() : NULL, NULL, key) == 1
        && EVP_DigestVerify(context, line + KEY_ID, (size_t)decoded - padding - KEY_ID,
                            (const unsigned char *)seen->text,
                            (size_t)(end_of_body + 1 - seen->text))
               == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return good;
}

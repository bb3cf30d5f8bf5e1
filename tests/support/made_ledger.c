#include "support/made_ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/memory.h"
#include "base/text.h"
#include "jose/jwk.h"

enum { START_S = 1780000000, TOKEN_LIFETIME_S = 3600 };

#define MUST(condition) ((condition) ? (void)0 : give_up(#condition, NULL))
#define MUST_DO(call, err) ((call) ? (void)0 : give_up(#call, &(err)))

_Noreturn static void give_up(const char *what, const struct error *err)
{
    (void)fprintf(stderr, "made_ledger: %s: %s\n", what, err != NULL ? err->message : "");
    abort();
}

/* ---- opening ---- */

static void write_public_key(const struct made_ledger *made)
{
    FILE *file = fopen(made->key_path, "w");
    MUST(file != NULL && PEM_write_PUBKEY(file, made->key) == 1 && fclose(file) == 0);
}

static void make_key(struct made_ledger *made, const char *algorithm)
{
    const bool is_ed25519 = strcmp(algorithm, "Ed25519") == 0;
    struct jwk jwk;
    struct error err;

    made->key = is_ed25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519") : EVP_EC_gen("P-256");
    MUST(made->key != NULL);
    MUST_DO(jwk_from_key(made->key, is_ed25519 ? JOSE_ED25519 : JOSE_ES256, &jwk, &err), err);
    (void)snprintf(made->jwk, sizeof(made->jwk), "%s", jwk.json);
    write_public_key(made);
}

static void open_store(struct made_ledger *made)
{
    const struct store_options options = { .max_open_requests = 1000, .retention_s = 60 };
    struct error err;

    MUST_DO(store_open(made->url, &options, &made->store, &err), err);
    MUST_DO(ledger_open(&made->options, made->store, &made->ledger, &err), err);
}

void made_ledger_open(struct made_ledger *made, const char *directory, const char *node,
                      const char *algorithm)
{
    *made = (struct made_ledger){ .time_s = START_S, .seed = 1 };
    (void)snprintf(made->directory, sizeof(made->directory), "%s", directory);
    (void)snprintf(made->store_path, sizeof(made->store_path), "%s/store.db", directory);
    (void)snprintf(made->url, sizeof(made->url), "sqlite:%s/store.db", directory);
    (void)snprintf(made->key_path, sizeof(made->key_path), "%s/audit.pem", directory);
    (void)snprintf(made->head_path, sizeof(made->head_path), "%s/head", directory);
    made->options = (struct ledger_options){ .node = node, .head_path = made->head_path };
    make_key(made, algorithm);
    open_store(made);
}

void made_ledger_close(struct made_ledger *made)
{
    ledger_close(take(made->ledger));
    store_close(take(made->store));
    EVP_PKEY_free(take(made->key));
}

void made_ledger_settle(struct made_ledger *made)
{
    ledger_close(take(made->ledger));
    store_close(take(made->store));
    open_store(made);
}

/* ---- appending ---- */

/* splitmix64: the same ledger every time. */
static uint64_t next_random(struct made_ledger *made)
{
    uint64_t z = made->seed += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static void random_base64url(struct made_ledger *made, size_t bytes, char *out, size_t size)
{
    uint8_t random[32];
    struct text text = text_over(out, size);

    for (size_t i = 0; i < sizeof(random); i += 8) {
        const uint64_t value = next_random(made);
        memcpy(random + i, &value, 8);
    }
    text_add_base64url(&text, random, bytes);
}

static void append_issued(struct made_ledger *made, struct error *err)
{
    char jti[JTI_LENGTH + 1];
    char kid[48];
    char uuid[AUTHORIZATION_ID_LENGTH + 1];
    struct digest token;
    struct digest subject;

    random_base64url(made, 16, jti, sizeof(jti));
    random_base64url(made, 32, kid, sizeof(kid));
    (void)snprintf(uuid, sizeof(uuid), "01890a5d-ac96-774b-8c6e-%012llx",
                   (unsigned long long)(next_random(made) & 0xffffffffffff));
    token = sha256(jti, strlen(jti));
    subject = sha256(kid, strlen(kid));
    const struct ledger_entry entry = { .time_s = made->time_s,
                                        .kind = LEDGER_ISSUED,
                                        .jti = jti,
                                        .kid = kid,
                                        .authorization_id = uuid,
                                        .token = &token,
                                        .subject = &subject,
                                        .expires_s = made->time_s + TOKEN_LIFETIME_S };
    MUST_DO(ledger_append(made->ledger, made->store, &entry, err), *err);
}

static void append_other(struct made_ledger *made, struct error *err)
{
    const struct ledger_entry entry = { .time_s = made->time_s,
                                        .kind = LEDGER_STARTED,
                                        .detail = "issuerd 1, \"caf\xc3\xa9\"" };
    MUST_DO(ledger_append(made->ledger, made->store, &entry, err), *err);
}

void made_ledger_append(struct made_ledger *made, int count)
{
    int64_t now_s = 0;
    struct error err;

    MUST_DO(store_begin(made->store, &now_s, &err), err);
    for (int i = 0; i < count; i++) {
        made->time_s++;
        if (made->time_s % 50 == 1) {
            append_other(made, &err);
        } else {
            append_issued(made, &err);
        }
    }
    MUST_DO(ledger_seal(made->ledger, made->store, &err), err);
    MUST_DO(store_commit(made->store, &err), err);
    ledger_settle(made->ledger, true);
}

/* ---- checkpoints ---- */

static void sign(struct made_ledger *made, const char *origin, const char *body, struct text *note)
{
    const bool is_ed25519 = EVP_PKEY_get_base_id(made->key) == EVP_PKEY_ED25519;
    unsigned char *spki = NULL;
    uint8_t signature[4 + 128];
    size_t length = sizeof(signature) - 4;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    char named[512];
    struct text key_name = text_over(named, sizeof(named));

    const int spki_length = i2d_PUBKEY(made->key, &spki);
    MUST(spki_length > 0 && context != NULL);
    /* The id: C2SP signed-note for Ed25519, of which the last 32 bytes of the DER are the key. */
    text_add(&key_name, origin);
    text_add_bytes(&key_name, "\n\x01", 2);
    text_add_bytes(&key_name, (const char *)spki + spki_length - 32, 32);
    const struct digest id =
        is_ed25519 ? sha256(named, key_name.length) : sha256(spki, (size_t)spki_length);
    memcpy(signature, id.bytes, 4);
    MUST(EVP_DigestSignInit(context, NULL, is_ed25519 ? NULL : EVP_sha256(), NULL, made->key) == 1);
    MUST(EVP_DigestSign(context, signature + 4, &length, (const unsigned char *)body, strlen(body))
         == 1);
    text_add(note, body);
    text_add(note, "\n\xe2\x80\x94 ");
    text_add(note, origin);
    text_add(note, " ");
    text_add_base64(note, signature, length + 4);
    text_add(note, "\n");
    EVP_MD_CTX_free(context);
    OPENSSL_free(spki);
}

static void compose(const struct ledger_tree *tree, const char *origin, struct text *body)
{
    const struct digest root = merkle_root(&tree->edge);

    text_add(body, origin);
    text_add(body, "\n");
    text_add_number(body, tree->edge.size);
    text_add(body, "\n");
    text_add_base64(body, root.bytes, sizeof(root.bytes));
    text_add(body, "\n");
}

void made_ledger_checkpoint(struct made_ledger *made)
{
    scoped(ledger_tree_list_clear) struct ledger_tree_list list = { .count = 0 };
    struct stored_checkpoint checkpoint = { .time_s = made->time_s };
    char origin[256];
    char body_buffer[512];
    struct text body = text_over(body_buffer, sizeof(body_buffer));
    struct text note = text_over(checkpoint.note, sizeof(checkpoint.note));
    struct error err;
    int64_t now_s = 0;

    MUST_DO(store_list_trees(made->store, &list, &err), err);
    MUST(list.count > 0);
    const struct ledger_tree *tree = &list.trees[list.count - 1];
    (void)snprintf(origin, sizeof(origin), MADE_ISSUER "/ledger/%s/%lld", tree->node,
                   (long long)tree->epoch);
    compose(tree, origin, &body);
    sign(made, origin, body_buffer, &note);
    checkpoint.tree = tree->number;
    checkpoint.size = tree->edge.size;
    (void)snprintf(checkpoint.jwk, sizeof(checkpoint.jwk), "%s", made->jwk);
    MUST_DO(store_begin(made->store, &now_s, &err), err);
    MUST_DO(store_add_checkpoint(made->store, &checkpoint, &err), err);
    MUST_DO(store_commit(made->store, &err), err);
}

/* ---- reading ---- */

static bool copy_jti(void *context, const struct ledger_row *row, struct error *err)
{
    (void)err;
    (void)snprintf(context, JTI_LENGTH + 1, "%s", row->jti != NULL ? row->jti : "");
    return true;
}

void made_ledger_jti(struct made_ledger *made, int64_t index, char jti_out[JTI_LENGTH + 1])
{
    struct error err;
    jti_out[0] = '\0';
    MUST_DO(store_read_entries(made->store, 1, index, 1, copy_jti, jti_out, &err), err);
}

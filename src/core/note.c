#include "core/note.h"

#include <string.h>

#include "base/base64url.h"
#include "base/memory.h"
#include "jose/json.h"

enum {
    KEY_ID_LENGTH = 4,
    COORDINATE = 32, /* of a point on P-256; also an Ed25519 public key */
    NAME_MAX_LENGTH = 700,
    DER_MAX = 2 + 2 * (2 + 1 + COORDINATE),
};

void note_add_origin(struct text *text, const char *issuer, const char *node, int64_t epoch)
{
    const char *scheme_end = strstr(issuer, "://");

    text_add(text, scheme_end != NULL ? scheme_end + strlen("://") : issuer);
    text_add(text, "/ledger/");
    text_add(text, node);
    text_add(text, "/");
    text_add_number(text, epoch);
}

void note_add_body(struct text *text, const char *origin, int64_t size, const struct digest *root)
{
    text_add(text, origin);
    text_add(text, "\n");
    text_add_number(text, size);
    text_add(text, "\n");
    text_add_base64(text, root->bytes, sizeof(root->bytes));
    text_add(text, "\n");
}

/* ---- the key's ID ---- */

static bool read_coordinate(const cJSON *jwk, const char *name, uint8_t out[static COORDINATE])
{
    const char *value = json_text(jwk, name);
    size_t length = 0;

    return value != NULL && base64url_decode(value, strlen(value), out, COORDINATE, &length)
        && length == COORDINATE;
}

/* The first bytes of the SHA-256 of the key's SubjectPublicKeyInfo (RFC 5480 2): the name is no part
 * of it (C2SP signed-note, ECDSA; as Rekor has it). */
static bool es256_key_id(const cJSON *jwk, struct digest *digest_out)
{
    /* SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING 04 || X || Y } */
    static const uint8_t head[] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04 };
    uint8_t info[sizeof(head) + 2 * COORDINATE];

    memcpy(info, head, sizeof(head));
    if (!read_coordinate(jwk, "x", info + sizeof(head))
        || !read_coordinate(jwk, "y", info + sizeof(head) + COORDINATE)) {
        return false;
    }
    *digest_out = sha256(info, sizeof(info));
    return true;
}

/* Of name, line feed, type and key (C2SP signed-note, Ed25519). */
static bool ed25519_key_id(const cJSON *jwk, const char *name, struct digest *digest_out)
{
    char buffer[NAME_MAX_LENGTH + 2 + COORDINATE + 1];
    struct text text = text_over(buffer, sizeof(buffer));
    uint8_t key[COORDINATE];

    if (!read_coordinate(jwk, "x", key)) {
        return false;
    }
    text_add(&text, name);
    text_add(&text, "\n\x01");
    text_add_bytes(&text, (const char *)key, sizeof(key));
    *digest_out = sha256(buffer, text.length);
    return !text.overflowed;
}

/* ---- the signature ---- */

/* An INTEGER has as few bytes as it needs, and a zero before one that would make it negative. */
static size_t put_integer(uint8_t *der, const uint8_t *number)
{
    size_t skipped = 0;

    while (skipped < COORDINATE - 1 && number[skipped] == 0) {
        skipped++;
    }
    const size_t zero = number[skipped] >> 7;
    const size_t length = COORDINATE - skipped + zero;
    der[0] = 0x02;
    der[1] = (uint8_t)length;
    der[2] = 0;
    memcpy(der + 2 + zero, number + skipped, COORDINATE - skipped);
    return 2 + length;
}

/* R || S as a SEQUENCE of two INTEGERs (RFC 3279 2.2.3). */
static size_t put_ecdsa_signature(uint8_t der[static DER_MAX], const uint8_t *signature)
{
    size_t length = 2;

    length += put_integer(der + length, signature);
    length += put_integer(der + length, signature + COORDINATE);
    der[0] = 0x30;
    der[1] = (uint8_t)(length - 2);
    return length;
}

bool note_add_signature(struct text *text, const char *name, const char *jwk,
                        const uint8_t *signature, size_t length, struct error *err)
{
    scoped(release_cjson) cJSON *key = NULL;
    struct digest id;
    uint8_t line[KEY_ID_LENGTH + DER_MAX];
    size_t used = KEY_ID_LENGTH;

    if (!json_parse_object(jwk, strlen(jwk), &key, err)) {
        return fail(err, ERROR_INTERNAL, "the audit key's JWK is none");
    }
    const char *curve = json_text(key, "crv");
    const bool is_es256 = curve != NULL && strcmp(curve, "P-256") == 0;
    const bool is_ed25519 = curve != NULL && strcmp(curve, "Ed25519") == 0;
    if (length != 2 * COORDINATE || !(is_es256 || is_ed25519)
        || !(is_es256 ? es256_key_id(key, &id) : ed25519_key_id(key, name, &id))) {
        return fail(err, ERROR_INTERNAL, "no signature, or no key, for a signed note");
    }
    memcpy(line, id.bytes, KEY_ID_LENGTH);
    if (is_es256) {
        used += put_ecdsa_signature(line + used, signature);
    } else {
        memcpy(line + used, signature, length);
        used += length;
    }
    text_add(text, "\n\xe2\x80\x94 "); /* U+2014 */
    text_add(text, name);
    text_add(text, " ");
    text_add_base64(text, line, used);
    text_add(text, "\n");
    return true;
}

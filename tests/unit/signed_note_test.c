/*
 * Signed notes and checkpoints, against notes that others have signed: golang.org/x/mod/sumdb/note's
 * (Ed25519), and checkpoints of the Rekor and Pixel logs (ECDSA P-256).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/text.h"
#include "ctl/base64.h"
#include "ctl/signed_note.h"
#include "support/run.h"

#define DASH "\xe2\x80\x94 "

/* golang.org/x/mod/sumdb/note: PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW */
#define PETER_X "GlzZBxQ8OExB6DDFvOEqqIF-xWSaqr8sMTiLNbLXRNY"
#define PETER_SIGNATURE                                                                            \
    DASH                                                                                           \
        "PeterNeumann "                                                                            \
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJ" \
        "nAM=\n"
#define PETER_TEXT                                                                                 \
    "If you think cryptography is the answer to your problem,\n"                                   \
    "then you don't know what your problem is.\n"
#define PETER_NOTE PETER_TEXT "\n" PETER_SIGNATURE

/* github.com/transparency-dev/formats, note_verifier_test.go. */
#define REKOR_KEY                                                                                  \
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE2G2Y+2tabdTV5BcGiBIx0a9fAFwrkBbmLSGtks4L3qX6yYY0zufBnhC8" \
    "Ur/iy55GhWP/9A/bY2LhC30M9+RYtw=="
#define REKOR_SIGNATURE                                                                            \
    DASH                                                                                           \
        "rekor.sigstore.dev "                                                                      \
        "wNI9ajBEAiARInWIWyCdyG27CO6LPnPekyw20qO0YJfoaPaowGp/XgIgc+qEHS3+GKVClgqq20uDLet7MCoTURUC" \
        "RdxwWBHHufk=\n"
#define REKOR_TEXT "Rekor\n798034\nf+7CoKgXKE/tNys9TTXcr/ad6U/K3xvznmzew9y6SP0=\n"
#define REKOR_NOTE REKOR_TEXT "\n" REKOR_SIGNATURE

#define PIXEL_KEY                                                                                  \
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE37jHQmTXJPC8sUj0Dg0N0ZlxfRqJZV1YzlclXLQzhVYPcC/JblDoez0D" \
    "SZwOSlShiCf4oo83MULQfec3erolDw=="
#define PIXEL_NOTE                                                                                 \
    "DEFAULT\n10\nbsWRucJU5xJPHb5eBdOm6+DM+VelCZBuvtI3sHERJ9Y=\n\n" DASH                           \
    "pixel6_transparency_log "                                                                     \
    "kcFuMDBFAiEAhqMAP8P6qf6QxtUJhzMhbN+MbZ9dwfUHzGQJmffJHtoCIGD0cNe47dHWBoPwYdgBCepB06/"          \
    "+g5O1FmYjXl06owL4\n"

#define HEAD(origin) origin "\n10\nbsWRucJU5xJPHb5eBdOm6+DM+VelCZBuvtI3sHERJ9Y=\n"

static struct {
    struct audit_key *key;
    struct signed_note note;
    struct tree_head head;
    struct error err;
    char path[64];
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    (void)snprintf(fixture.path, sizeof(fixture.path), "/tmp/signed_note_test.XXXXXX");
    const int fd = mkstemp(fixture.path);
    CU_ASSERT_TRUE_FATAL(fd >= 0);
    (void)close(fd);
}

static void tear_down(void)
{
    audit_key_free(take(fixture.key));
    (void)unlink(fixture.path);
}

static bool reads_key(const char *text)
{
    FILE *file = fopen(fixture.path, "w");

    CU_ASSERT_TRUE_FATAL(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
    audit_key_free(take(fixture.key));
    return audit_key_read(fixture.path, &fixture.key, &fixture.err);
}

static bool reads_pem(const char *base64)
{
    char pem[1024];

    (void)snprintf(
        pem, sizeof(pem),
        "Of the token that signs.\n-----BEGIN PUBLIC KEY-----\n%.64s\n%s\n-----END PUBLIC "
        "KEY-----\n",
        base64, base64 + 64);
    return reads_key(pem);
}

static bool reads_peter(void)
{
    return reads_key("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" PETER_X "\"}\n");
}

static bool parses(const char *note)
{
    return signed_note_parse(note, strlen(note), &fixture.note, &fixture.err);
}

static bool is_by(const char *note, const char *name)
{
    return parses(note) && signed_note_is_by(&fixture.note, name, fixture.key);
}

static bool is_head(const char *note)
{
    return parses(note) && tree_head_parse(&fixture.note, &fixture.head, &fixture.err);
}

static void test_a_note_of_go_verifies(void)
{
    CU_ASSERT_TRUE_FATAL(reads_peter());
    CU_ASSERT_TRUE(is_by(PETER_NOTE, "PeterNeumann"));
    CU_ASSERT_EQUAL(fixture.note.text_length, strlen(PETER_TEXT));
    CU_ASSERT_FALSE(is_by(PETER_NOTE, "PeterNeuman"));
}

static void test_checkpoints_of_rekor_and_pixel_verify(void)
{
    CU_ASSERT_TRUE_FATAL(reads_pem(REKOR_KEY));
    CU_ASSERT_TRUE(is_by(REKOR_NOTE, "rekor.sigstore.dev"));
    CU_ASSERT_FALSE(is_by(PIXEL_NOTE, "pixel6_transparency_log"));
    CU_ASSERT_TRUE(is_head(REKOR_NOTE));
    CU_ASSERT_STRING_EQUAL(fixture.head.origin, "Rekor");
    CU_ASSERT_EQUAL(fixture.head.size, 798034);
    CU_ASSERT_EQUAL(fixture.head.root.bytes[0], 0x7f);
    CU_ASSERT_EQUAL(fixture.head.root.bytes[31], 0xfd);

    CU_ASSERT_TRUE_FATAL(reads_pem(PIXEL_KEY));
    CU_ASSERT_TRUE(is_by(PIXEL_NOTE, "pixel6_transparency_log"));
}

/* A name that nobody uses yet, or the same name with the id of no key. */
static void test_signatures_of_others_do_not_matter(void)
{
    CU_ASSERT_TRUE_FATAL(reads_peter());
    CU_ASSERT_TRUE(
        is_by(PETER_TEXT "\n" DASH "witness AAAAAAAAAAA=\n" PETER_SIGNATURE, "PeterNeumann"));
    CU_ASSERT_TRUE(
        is_by(PETER_TEXT "\n" PETER_SIGNATURE DASH "PeterNeumann AAAAAAAA\n", "PeterNeumann"));
    CU_ASSERT_FALSE(is_by(PETER_TEXT "\n" DASH "PeterNeumann AAAAAAAA\n", "PeterNeumann"));
    CU_ASSERT_FALSE(is_by(PETER_TEXT, "PeterNeumann"));
    CU_ASSERT_FALSE(is_by(PETER_TEXT "\n" PETER_SIGNATURE PETER_SIGNATURE, "PeterNeumann"));
}

static void test_every_changed_byte_of_a_note_is_seen(void)
{
    static const char *const notes[] = { PETER_NOTE, REKOR_NOTE };
    static const char *const names[] = { "PeterNeumann", "rekor.sigstore.dev" };
    unsigned changes = 0;

    for (size_t i = 0; i < COUNT_OF(notes); i++) {
        CU_ASSERT_TRUE_FATAL(i == 0 ? reads_peter() : reads_pem(REKOR_KEY));
        char note[512];
        const size_t length = (size_t)snprintf(note, sizeof(note), "%s", notes[i]);
        for (size_t at = 0; at < length; at++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                note[at] = (char)(notes[i][at] ^ (1 << bit));
                struct signed_note parsed;
                CU_ASSERT_FALSE(signed_note_parse(note, length, &parsed, &fixture.err)
                                && signed_note_is_by(&parsed, names[i], fixture.key));
                changes++;
            }
            note[at] = notes[i][at];
        }
    }
    CU_ASSERT_TRUE(changes > 2000);
}

static void test_malformed_notes_are_refused(void)
{
    static const char *const malformed[] = {
        "",
        "text",
        "text\n\n",
        "text\n\n" DASH "name AAAAAAAA",
        "text\n\n- name AAAAAAAA\n",
        "text\n\n" DASH "AAAAAAAA\n",
        "text\n\n" DASH " AAAAAAAA\n",
        "text\n\n" DASH "na+me AAAAAAAA\n",
        "text\n\n" DASH "name  AAAAAAAA\n",
        "text\n\n" DASH "name AAAAAAA\n",
        "text\n\n" DASH "name \n",
        "te\rxt\n\n" DASH "name AAAAAAAA\n",
        "te\xc0\xafxt\n\n" DASH "name AAAAAAAA\n",
        "te\xed\xa0\x80xt\n\n" DASH "name AAAAAAAA\n",
        "te\xe2\x80\n\n" DASH "name AAAAAAAA\n",
    };

    CU_ASSERT_TRUE(parses("text\n\n" DASH "name AAAAAAAA\n"));
    CU_ASSERT_TRUE(parses("t\xc3\xa9xt \xf0\x9f\x8c\xb2\n\nmore\n\n" DASH "name AAAAAAAA\n"));
    for (size_t i = 0; i < COUNT_OF(malformed); i++) {
        CU_ASSERT_FALSE(parses(malformed[i]));
        CU_ASSERT_EQUAL(fixture.err.code, ERROR_INVALID_REQUEST);
    }
}

static void test_malformed_checkpoints_are_refused(void)
{
    static const char *const malformed[] = {
        "origin\n10\n",
        "\n10\nbsWRucJU5xJPHb5eBdOm6+DM+VelCZBuvtI3sHERJ9Y=\n",
        "origin \n10\nbsWRucJU5xJPHb5eBdOm6+DM+VelCZBuvtI3sHERJ9Y=\n",
        "or+igin\n10\nbsWRucJU5xJPHb5eBdOm6+DM+VelCZBuvtI3sHERJ9Y=\n",
        "origin\n010\nbsWRucJU5xJPHb5eBdOm6+DM+VelCZBuvtI3sHERJ9Y=\n",
        "origin\n-1\nbsWRucJU5xJPHb5eBdOm6+DM+VelCZBuvtI3sHERJ9Y=\n",
        "origin\n\nbsWRucJU5xJPHb5eBdOm6+DM+VelCZBuvtI3sHERJ9Y=\n",
        "origin\n1099511627776\nbsWRucJU5xJPHb5eBdOm6+DM+VelCZBuvtI3sHERJ9Y=\n",
        "origin\n10\nbsWRucJU5xJPHb5eBdOm6+DM+VelCZBuvtI3sHERJ9Z=\n",
        "origin\n10\nbsWRucJU5xJPHb5eBdOm6-DM-VelCZBuvtI3sHERJ9Y=\n",
        "origin\n10\nbsWRucJU5xJPHb5eBdOm6+DM+VelCZBuvtI3sHERJ9Y\n",
        "origin\n10\nbsWRucJU5xJPHb5eBdOm6+DM+VelCZBuvtI3sHEz\n",
        "origin\n10\nbsWRucJU5xJPHb5eBdOm6+DM+VelCZBuvtI3sHERJ9Y=\nextension\n",
    };

    CU_ASSERT_TRUE(is_head(HEAD("origin")));
    for (size_t i = 0; i < COUNT_OF(malformed); i++) {
        CU_ASSERT_FALSE(is_head(malformed[i]));
    }
}

static void test_an_origin_names_a_node_and_an_epoch(void)
{
    static const char *const nameless[] = {
        HEAD("issuer.example"),
        HEAD("/ledger/node/1"),
        HEAD("issuer.example/ledger/1"),
        HEAD("issuer.example/ledger/node/0"),
        HEAD("issuer.example/ledger/n/01"),
        HEAD("issuer.example/ledger/n/"),
        HEAD("issuer.example/ledger//1"),
        HEAD("issuer.example/xledger/n/1"),
    };
    char node[65];
    int64_t epoch = 0;

    CU_ASSERT_TRUE(is_head(HEAD("issuer.example/a/ledger/node-1/12")));
    CU_ASSERT_TRUE(tree_head_names(&fixture.head, node, sizeof(node), &epoch));
    CU_ASSERT_STRING_EQUAL(node, "node-1");
    CU_ASSERT_EQUAL(epoch, 12);
    CU_ASSERT_TRUE(is_head(HEAD("issuer.example/ledger/ledger/1")));
    CU_ASSERT_TRUE(tree_head_names(&fixture.head, node, sizeof(node), &epoch));
    CU_ASSERT_STRING_EQUAL(node, "ledger");
    for (size_t i = 0; i < COUNT_OF(nameless); i++) {
        CU_ASSERT_TRUE(is_head(nameless[i]));
        CU_ASSERT_FALSE(tree_head_names(&fixture.head, node, sizeof(node), &epoch));
    }
}

static void test_a_key_is_the_same_in_pem_and_jwk(void)
{
    CU_ASSERT_TRUE_FATAL(reads_pem(REKOR_KEY));
    struct audit_key *again = NULL;
    CU_ASSERT_TRUE_FATAL(audit_key_from_jwk(audit_key_jwk(fixture.key), &again, &fixture.err));
    char *pem = audit_key_pem(again);
    audit_key_free(again);
    CU_ASSERT_PTR_NOT_NULL(strstr(pem, "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE2G2Y"));
    CU_ASSERT_TRUE(reads_key(pem));
    CU_ASSERT_TRUE(is_by(REKOR_NOTE, "rekor.sigstore.dev"));
    free(pem);
}

static void test_what_is_no_audit_key_is_refused(void)
{
    static const char *const keys[] = {
        "",
        "nothing\n",
        "{}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" PETER_X "\",\"d\":\"" PETER_X "\"}",
        /* RFC 7518 is not asked: secp256k1's generator */
        "{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"eb5mfvncu6xVoGKVzocLBwKb_"
        "NstzijZWfKBWxb4F5g\","
        "\"y\":\"SDradyajxGVdpPv8DhEIqP0XtEimhVQZnEfQj_sQ1Lg\"}",
    };
    struct audit_key *key = NULL;

    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        CU_ASSERT_FALSE(reads_key(keys[i]));
        CU_ASSERT_EQUAL(fixture.err.code, ERROR_INVALID_REQUEST);
    }
    /* Another spelling of a good key is not what issuerd wrote. */
    CU_ASSERT_TRUE_FATAL(reads_peter());
    CU_ASSERT_FALSE(audit_key_from_jwk(
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" PETER_X "\"}", &key, &fixture.err));
}

static void test_base64_is_that_of_rfc_4648(void)
{
    static const char *const plain[] = { "", "f", "fo", "foo", "foob", "fooba", "foobar" };
    static const char *const coded[] = { "",         "Zg==",     "Zm8=",    "Zm9v",
                                         "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy" };
    static const char *const wrong[] = { "Zg",   "Zg=",  "Zh==",   "Zm9=", "Zg==Zg==",
                                         "====", "Z===", "Zm9v\n", "-_-_", "Z g=" };
    uint8_t bytes[16];
    size_t length = 0;

    for (size_t i = 0; i < COUNT_OF(plain); i++) {
        char buffer[16];
        struct text text = text_over(buffer, sizeof(buffer));
        text_add_base64(&text, plain[i], strlen(plain[i]));
        CU_ASSERT_STRING_EQUAL(buffer, coded[i]);
        CU_ASSERT_TRUE(base64_decode(coded[i], strlen(coded[i]), bytes, sizeof(bytes), &length));
        CU_ASSERT_TRUE(length == i && memcmp(bytes, plain[i], i) == 0);
        CU_ASSERT_FALSE(i > 0 && base64_decode(coded[i], strlen(coded[i]), bytes, i - 1, &length));
    }
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        CU_ASSERT_FALSE(base64_decode(wrong[i], strlen(wrong[i]), bytes, sizeof(bytes), &length));
    }
    CU_ASSERT_TRUE(base64_decode("+/+/", 4, bytes, sizeof(bytes), &length) && bytes[0] == 0xfb);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a note of go verifies", test_a_note_of_go_verifies },
        { "checkpoints of rekor and pixel verify", test_checkpoints_of_rekor_and_pixel_verify },
        { "signatures of others do not matter", test_signatures_of_others_do_not_matter },
        { "every changed byte of a note is seen", test_every_changed_byte_of_a_note_is_seen },
        { "malformed notes are refused", test_malformed_notes_are_refused },
        { "malformed checkpoints are refused", test_malformed_checkpoints_are_refused },
        { "an origin names a node and an epoch", test_an_origin_names_a_node_and_an_epoch },
        { "a key is the same in pem and jwk", test_a_key_is_the_same_in_pem_and_jwk },
        { "what is no audit key is refused", test_what_is_no_audit_key_is_refused },
        { "base64 is that of rfc 4648", test_base64_is_that_of_rfc_4648 },
        CU_TEST_INFO_NULL,
    };
    return run_suite("signed note", set_up, tear_down, tests);
}

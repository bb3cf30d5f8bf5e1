/*
 * What a signer is for, seen from issuerd: real issuerd-signers with key files. TEST_SIGNER is the
 * program. Run by tests/support/with_software.sh.
 */
#include "hsm/signer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "jose/claims.h"
#include "support/run.h"
#include "support/uri.h"
#include "support/verify.h"

#define ISSUER "https://issuer.example"
#define ROOT "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
#define OTHER_ROOT "DsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
#define ORIGIN "issuer.example/ledger/node-1/1\n"

enum { TOKENS, CHECKPOINTS, SIGNERS, DEADLINE_S = 20 };

static struct {
    EVP_PKEY *keys[SIGNERS];
    char uris[SIGNERS][1200];
    struct signer_options options[SIGNERS];
    struct signers_options all;
    struct signers *signers;
    struct error err;
    bool is_over; /* the one request that is under way */
    enum error_code code;
    struct signature signature;
} fixture;

static void on_failed(void *context, void *tag, enum error_code code)
{
    (void)context, (void)tag;
    fixture.code = code;
    fixture.is_over = true;
}

static void on_signature(void *context, void *tag, const uint8_t *bytes, size_t length,
                         int64_t sign_ns)
{
    (void)context, (void)tag, (void)sign_ns;
    memcpy(fixture.signature.bytes, bytes, length);
    fixture.signature.length = length;
    fixture.code = ERROR_NONE;
    fixture.is_over = true;
}

/* `key` NULL: the file is not there. The signer's fixture owns it. */
static void use_key(size_t index, const char *name, EVP_PKEY *key)
{
    char *uri = fixture.uris[index];

    (void)snprintf(uri, sizeof(fixture.uris[index]), "file:%s/%s", getenv("TEST_DIR"), name);
    EVP_PKEY_free(fixture.keys[index]);
    fixture.keys[index] = key;
    if (key != NULL) {
        FILE *file = fopen(uri + strlen("file:"), "we");
        CU_ASSERT_PTR_NOT_NULL_FATAL(file);
        CU_ASSERT_EQUAL(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
        (void)fclose(file);
        (void)chmod(uri + strlen("file:"), 0600);
    }
    fixture.options[index].uri = uri;
}

static void set_up(void)
{
    static const struct signer_options typical = {
        .algorithm = "", .sessions = 2, .queue = 16, .queue_ms = 10000, .deadline_ms = 10000
    };

    memset(&fixture, 0, sizeof(fixture));
    for (size_t i = 0; i < SIGNERS; i++) {
        fixture.options[i] = typical;
    }
    fixture.options[TOKENS].name = "main";
    fixture.options[CHECKPOINTS].name = "audit";
    fixture.options[CHECKPOINTS].purpose = SIGNER_CHECKPOINTS;
    use_key(TOKENS, "main.pem", EVP_EC_gen("P-256"));
    use_key(CHECKPOINTS, "audit.pem", EVP_EC_gen("P-256"));
    fixture.all = (struct signers_options){ .program = getenv("TEST_SIGNER"),
                                            .issuer = ISSUER,
                                            .audience = ISSUER,
                                            .lifetime_max_s = 3600,
                                            .development = true,
                                            .signers = fixture.options,
                                            .count = SIGNERS,
                                            .failed = on_failed };
}

static void tear_down(void)
{
    signers_stop(take(fixture.signers));
    for (size_t i = 0; i < SIGNERS; i++) {
        EVP_PKEY_free(take(fixture.keys[i]));
    }
}

static bool start(void)
{
    return signers_start(&fixture.all, &fixture.signers, &fixture.err);
}

/* What became of it is in fixture.code. */
static bool ask(size_t index, const char *input)
{
    const int64_t deadline_ns = monotonic_ns() + DEADLINE_S * NS_PER_S;

    fixture.is_over = false;
    if (!signers_submit(fixture.signers, index, input, strlen(input), deadline_ns, &fixture,
                        &fixture.err)) {
        return false;
    }
    while (!fixture.is_over && monotonic_ns() < deadline_ns) {
        (void)signers_collect(fixture.signers, 100, on_signature, NULL);
    }
    return fixture.is_over;
}

static bool signs(size_t index, enum jose_algorithm algorithm, const char *input)
{
    return ask(index, input) && fixture.code == ERROR_NONE
        && signature_verifies(fixture.keys[index], algorithm, input, strlen(input),
                              &fixture.signature);
}

static bool refuses(size_t index, const char *input)
{
    return ask(index, input) && fixture.code == ERROR_INTERNAL;
}

/* A token that the signer `index` would sign, were it one for tokens. */
static const char *token_input(char out[static 2048], const char *header)
{
    char payload_buffer[1024];
    struct text payload = text_over(payload_buffer, sizeof(payload_buffer));
    struct text text = text_over(out, 2048);
    const struct access_token_claims claims = { .issuer = ISSUER,
                                                .subject = "did:example:1",
                                                .audience = ISSUER,
                                                .client_id = "did:example:1",
                                                .jti = "AAECAwQFBgcICQoLDA0ODw",
                                                .issued_s = wall_s(),
                                                .expires_s = wall_s() + 60 };

    access_token_payload(&payload, &claims);
    text_add(&text, header);
    text_add(&text, ".");
    text_add_base64url(&text, payload_buffer, payload.length);
    return out;
}

static const struct signer_key *key_of(size_t index)
{
    return signers_status(fixture.signers, index).key;
}

static void test_each_signer_signs_what_it_is_for(void)
{
    char input[2048];

    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_TRUE(signs(TOKENS, JOSE_ES256, token_input(input, key_of(TOKENS)->header)));
    CU_ASSERT_TRUE(signs(CHECKPOINTS, JOSE_ES256, ORIGIN "1\n" ROOT "\n"));
}

static void test_an_ed25519_key_signs_checkpoints(void)
{
    use_key(CHECKPOINTS, "audit.pem", EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_TRUE(signs(CHECKPOINTS, JOSE_ED25519, ORIGIN "1\n" ROOT "\n"));
}

static void test_a_signer_for_checkpoints_signs_no_token(void)
{
    char header_json[160];
    char header_buffer[200];
    struct text json = text_over(header_json, sizeof(header_json));
    struct text header = text_over(header_buffer, sizeof(header_buffer));
    char input[2048];

    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_STRING_EQUAL(key_of(CHECKPOINTS)->header, "");
    access_token_header(&json, "ES256", key_of(CHECKPOINTS)->kid);
    text_add_base64url(&header, header_json, json.length);
    CU_ASSERT_TRUE(refuses(CHECKPOINTS, token_input(input, header_buffer)));
    CU_ASSERT_TRUE(refuses(CHECKPOINTS, token_input(input, key_of(TOKENS)->header)));
    CU_ASSERT_TRUE(refuses(CHECKPOINTS, token_input(input, "")));
}

static void test_a_signer_for_tokens_signs_no_checkpoint(void)
{
    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_TRUE(refuses(TOKENS, ORIGIN "1\n" ROOT "\n"));
}

static void test_a_signer_remembers_the_tree_for_its_life(void)
{
    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_TRUE(signs(CHECKPOINTS, JOSE_ES256, ORIGIN "20\n" ROOT "\n"));
    CU_ASSERT_TRUE(refuses(CHECKPOINTS, ORIGIN "19\n" ROOT "\n"));
    CU_ASSERT_TRUE(refuses(CHECKPOINTS, ORIGIN "20\n" OTHER_ROOT "\n"));
    CU_ASSERT_TRUE(signs(CHECKPOINTS, JOSE_ES256, ORIGIN "20\n" ROOT "\n"));
    CU_ASSERT_TRUE(signs(CHECKPOINTS, JOSE_ES256, ORIGIN "21\n" OTHER_ROOT "\n"));
}

static void test_a_signer_for_checkpoints_is_never_chosen(void)
{
    const struct signer_key *key = NULL;
    size_t index = SIGNERS;

    CU_ASSERT_TRUE_FATAL(start());
    signers_permit(fixture.signers, CHECKPOINTS, true);
    CU_ASSERT_FALSE(signers_choose(fixture.signers, &index, &key, &fixture.err));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_DEVICE_UNAVAILABLE);
    signers_permit(fixture.signers, TOKENS, true);
    CU_ASSERT_TRUE(signers_choose(fixture.signers, &index, &key, &fixture.err));
    CU_ASSERT_EQUAL(index, TOKENS);
}

static bool start_fails(enum error_code code, const char *words)
{
    const bool failed =
        !start() && fixture.err.code == code && strstr(fixture.err.message, words) != NULL;
    if (!failed) {
        printf("\n    code %d: %s\n", (int)fixture.err.code, fixture.err.message);
    }
    return failed;
}

static void test_no_key_for_tokens_is_a_failure_whoever_has_the_audit_key(void)
{
    use_key(TOKENS, "none.pem", NULL);
    CU_ASSERT_TRUE(start_fails(ERROR_KEY_NOT_FOUND, "signer main"));
}

static void test_no_audit_key_is_no_failure(void)
{
    use_key(CHECKPOINTS, "none.pem", NULL);
    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_EQUAL(signers_status(fixture.signers, CHECKPOINTS).state, SIGNER_DOWN);
    CU_ASSERT_EQUAL(signers_status(fixture.signers, TOKENS).state, SIGNER_UP);
}

/* A TPM that may come back: issuerd waits for it, the audit key or not. */
static void test_no_audit_key_is_no_failure_while_the_other_device_is_down(void)
{
    char path[512];

    (void)snprintf(path, sizeof(path), "%s/auth", getenv("TEST_DIR"));
    FILE *file = fopen(path, "we");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    (void)fputs("71942", file);
    (void)fclose(file);
    (void)snprintf(fixture.uris[TOKENS], sizeof(fixture.uris[TOKENS]),
                   "tpm:handle=0x81000001?tcti=swtpm:host=127.0.0.1,port=1&pin-source=file:%s",
                   uri_path(path).text);
    use_key(CHECKPOINTS, "none.pem", NULL);
    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_EQUAL(signers_status(fixture.signers, TOKENS).state, SIGNER_DOWN);
}

static void test_an_audit_key_of_another_algorithm_is_refused(void)
{
    use_key(CHECKPOINTS, "audit.pem", EVP_EC_gen("P-384"));
    CU_ASSERT_TRUE(start_fails(ERROR_KEY_POLICY, "ES256 or Ed25519"));
    use_key(CHECKPOINTS, "audit.pem", EVP_RSA_gen(2048));
    CU_ASSERT_TRUE(start_fails(ERROR_KEY_POLICY, "ES256 or Ed25519"));
}

static void test_one_key_for_both_is_refused(void)
{
    fixture.options[CHECKPOINTS].uri = fixture.options[TOKENS].uri;
    CU_ASSERT_TRUE(start_fails(ERROR_CONFIG, "have one key"));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "each signer signs what it is for", test_each_signer_signs_what_it_is_for },
        { "an Ed25519 key signs checkpoints", test_an_ed25519_key_signs_checkpoints },
        { "a signer for checkpoints signs no token", test_a_signer_for_checkpoints_signs_no_token },
        { "a signer for tokens signs no checkpoint", test_a_signer_for_tokens_signs_no_checkpoint },
        { "a signer remembers the tree for its life",
          test_a_signer_remembers_the_tree_for_its_life },
        { "a signer for checkpoints is never chosen",
          test_a_signer_for_checkpoints_is_never_chosen },
        { "no key for tokens is a failure, whoever has the audit key",
          test_no_key_for_tokens_is_a_failure_whoever_has_the_audit_key },
        { "no audit key is no failure", test_no_audit_key_is_no_failure },
        { "no audit key is no failure while the other device is down",
          test_no_audit_key_is_no_failure_while_the_other_device_is_down },
        { "an audit key of another algorithm is refused",
          test_an_audit_key_of_another_algorithm_is_refused },
        { "one key for both is refused", test_one_key_for_both_is_refused },
        CU_TEST_INFO_NULL,
    };
    log_set_level(LOG_LEVEL_ERROR);
    return run_suite("signer purposes", set_up, tear_down, tests);
}

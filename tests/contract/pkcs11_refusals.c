/*
 * What the pkcs11: provider refuses, and in which words. Run by tests/support/with_softhsm.sh; the
 * keys that must be refused are made here, past the provider. Two modules in front of SoftHSM2 show
 * what it cannot be brought to: TEST_SHIM (tests/faults/pkcs11_shim.c) and TEST_TOKEN_INFO_SHIM.
 */
#include "hsm/key_provider.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "hsm/pkcs11_device.h"
#include "hsm/pkcs11_signature.h"
#include "support/run.h"
#include "support/uri.h"
#include "support/verify.h"

enum { URI_MAX = 4096, PATH_LENGTH = 512 };

/* ---- files and URIs ---- */

struct path {
    char text[PATH_LENGTH];
};

static struct path in_dir(const char *name)
{
    struct path path;
    (void)snprintf(path.text, sizeof(path.text), "%s/%s", getenv("TEST_DIR"), name);
    return path;
}

static void write_file(const char *name, const char *content, mode_t mode)
{
    const struct path path = in_dir(name);
    FILE *file = fopen(path.text, "w");
    fputs(content, file);
    fclose(file);
    (void)chmod(path.text, mode);
    (void)usleep(5000); /* the shim looks at its faults every 2 ms */
}

struct uri {
    char text[URI_MAX];
};

/* `path` is what stands before the question mark. */
static struct uri uri_of(const char *path, const char *module, const char *pin_name)
{
    struct uri uri;
    (void)!snprintf(uri.text, sizeof(uri.text), "pkcs11:%s?module-path=%s&pin-source=file:%s", path,
                    uri_path(module).text, uri_path(in_dir(pin_name).text).text);
    return uri;
}

static struct uri uri_of_object(const char *label)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "token=issuerd%%20test;object=%s", label);
    return uri_of(path, getenv("TEST_MODULE"), "pin");
}

static struct uri uri_through(const char *shim)
{
    return uri_of("token=issuerd%20test;object=signer", getenv(shim), "pin");
}

/* ---- the fixture ---- */

static struct {
    struct device_key *key;
    struct error err;
} fixture;

static void close_key(void)
{
    if (fixture.key != NULL) {
        pkcs11_provider.close(take(fixture.key));
    }
}

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    setenv("SHIM_MODULE", getenv("TEST_MODULE"), 1);
    setenv("TOKEN_INFO_MODULE", getenv("TEST_SHIM"), 1); /* one behind the other */
    unsetenv("TOKEN_INFO_FLAGS");
    unsetenv("TOKEN_INFO_SESSIONS");
    setenv("SHIM_CONTROL", in_dir("faults").text, 1);
    setenv("SHIM_LOG", in_dir("calls").text, 1);
    (void)unlink(in_dir("faults").text);
    (void)unlink(in_dir("calls").text);
}

static bool open_with(const char *uri, bool session_copy)
{
    const struct key_options options = {
        .uri = uri,
        .sessions = 2,
        .session_copy = session_copy,
    };
    close_key();
    return pkcs11_provider.open(&options, &fixture.key, &fixture.err);
}

static bool open_uri(const char *uri)
{
    return open_with(uri, false);
}

static bool sign_verifies(void)
{
    struct signature signature = { .length = 0 };
    return pkcs11_provider.sign(fixture.key, 1, "input", 5, &signature, &fixture.err)
        && signature_verifies(fixture.key->public_key, fixture.key->algorithm, "input", 5,
                              &signature);
}

/* True if the URI is refused with the code, a line that has the words, and no word of the query. */
static bool is_refused(const char *uri, enum error_code code, const char *words)
{
    const bool opened = open_uri(uri);
    const struct error_line line = error_line(&fixture.err);
    const bool good = !opened && fixture.err.code == code && strstr(line.text, words) != NULL
                   && strstr(line.text, "71942") == NULL && strstr(line.text, "&pin") == NULL;
    if (!good) {
        fprintf(stderr, "\n%s\n  gave %d \"%s\",\n  not %d \"%s\"\n", uri,
                opened ? 0 : (int)fixture.err.code, line.text, (int)code, words);
    }
    return good;
}

static unsigned count_lines(const char *name, const char *start)
{
    char line[256];
    unsigned count = 0;
    FILE *file = fopen(in_dir(name).text, "r");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        count += strncmp(line, start, strlen(start)) == 0;
    }
    if (file != NULL) {
        fclose(file);
    }
    return count;
}

/* ---- keys that must be refused ---- */

static const struct bad_key {
    const char *label;
    CK_ATTRIBUTE_TYPE flag;
    bool value;
    const char *words;
} bad_keys[] = {
    { "extractable", CKA_EXTRACTABLE, true, "CKA_EXTRACTABLE is true" },
    { "readable", CKA_SENSITIVE, false, "CKA_SENSITIVE is false" },
    { "decrypts", CKA_DECRYPT, true, "CKA_DECRYPT is true" },
    { "unwraps", CKA_UNWRAP, true, "CKA_UNWRAP is true" },
    { "derives", CKA_DERIVE, true, "CKA_DERIVE is true" },
    { "recovers", CKA_SIGN_RECOVER, true, "CKA_SIGN_RECOVER is true" },
    { "silent", CKA_SIGN, false, "CKA_SIGN is false" },
    { "open", CKA_PRIVATE, false, "CKA_PRIVATE is false" },
    { "asking", CKA_ALWAYS_AUTHENTICATE, true, "CKA_ALWAYS_AUTHENTICATE is true" },
};

static const uint8_t p256[] = { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 };
static const uint8_t p521[] = { 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23 };
static const uint8_t ed448[] = { 0x13, 0x0a, 'e', 'd', 'w', 'a', 'r', 'd', 's', '4', '4', '8' };

struct recipe {
    const char *label;
    CK_MECHANISM_TYPE mechanism;
    const void *parameter; /* CKA_EC_PARAMS or CKA_MODULUS_BITS */
    size_t parameter_length;
    CK_ATTRIBUTE_TYPE flag; /* made as `value` */
    bool value;
};

static CK_RV make_key(const struct pkcs11_session *session, const struct recipe *recipe)
{
    static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    static uint8_t id = 0;
    char *label = (char *)(uintptr_t)recipe->label;
    CK_ATTRIBUTE private_key[] = {
        { CKA_TOKEN, &yes, 1 },      { CKA_PRIVATE, &yes, 1 },
        { CKA_SENSITIVE, &yes, 1 },  { CKA_EXTRACTABLE, &no, 1 },
        { CKA_SIGN, &yes, 1 },       { CKA_SIGN_RECOVER, &no, 1 },
        { CKA_DECRYPT, &no, 1 },     { CKA_UNWRAP, &no, 1 },
        { CKA_DERIVE, &no, 1 },      { CKA_ALWAYS_AUTHENTICATE, &no, 1 },
        { CKA_ID, &id, sizeof(id) }, { CKA_LABEL, label, strlen(label) },
    };
    CK_ATTRIBUTE public_key[] = {
        { CKA_TOKEN, &yes, 1 },
        { CKA_ID, &id, sizeof(id) },
        { CKA_LABEL, label, strlen(label) },
        { recipe->mechanism == CKM_RSA_PKCS_KEY_PAIR_GEN ? CKA_MODULUS_BITS : CKA_EC_PARAMS,
          (void *)(uintptr_t)recipe->parameter, recipe->parameter_length },
    };
    CK_MECHANISM mechanism = { recipe->mechanism, NULL, 0 };
    CK_OBJECT_HANDLE handles[2];

    id++;
    for (size_t i = 0; i < COUNT_OF(private_key); i++) {
        if (private_key[i].type == recipe->flag) {
            private_key[i].pValue = recipe->value ? &yes : &no;
        }
    }
    return session->device->api->C_GenerateKeyPair(session->handle, &mechanism, public_key,
                                                   COUNT_OF(public_key), private_key,
                                                   COUNT_OF(private_key), &handles[0], &handles[1]);
}

/* A key from outside: sensitive and not extractable by now, but it was in the clear once. */
static CK_RV import_key(const struct pkcs11_session *session)
{
    static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_KEY_TYPE type = CKK_EC;
    uint8_t scalar[32] = { 1, 2, 3 };
    CK_OBJECT_HANDLE handle;
    CK_ATTRIBUTE key[] = {
        { CKA_CLASS, &class, sizeof(class) },
        { CKA_KEY_TYPE, &type, sizeof(type) },
        { CKA_EC_PARAMS, (void *)(uintptr_t)p256, sizeof(p256) },
        { CKA_VALUE, scalar, sizeof(scalar) },
        { CKA_LABEL, (char[]){ "imported" }, strlen("imported") },
        { CKA_TOKEN, &yes, 1 },
        { CKA_PRIVATE, &yes, 1 },
        { CKA_SENSITIVE, &yes, 1 },
        { CKA_EXTRACTABLE, &no, 1 },
        { CKA_SIGN, &yes, 1 },
        { CKA_SIGN_RECOVER, &no, 1 },
        { CKA_DECRYPT, &no, 1 },
        { CKA_UNWRAP, &no, 1 },
        { CKA_DERIVE, &no, 1 },
    };
    return session->device->api->C_CreateObject(session->handle, key, COUNT_OF(key), &handle);
}

static bool make_keys(const struct pkcs11_session *session)
{
    const CK_ULONG small = 1024;
    const struct recipe others[] = {
        { "twin", CKM_EC_KEY_PAIR_GEN, p256, sizeof(p256), CKA_SIGN, true },
        { "twin", CKM_EC_KEY_PAIR_GEN, p256, sizeof(p256), CKA_SIGN, true },
        { "p521", CKM_EC_KEY_PAIR_GEN, p521, sizeof(p521), CKA_SIGN, true },
        { "edwards", CKM_EC_EDWARDS_KEY_PAIR_GEN, ed448, sizeof(ed448), CKA_SIGN, true },
        { "small", CKM_RSA_PKCS_KEY_PAIR_GEN, &small, sizeof(small), CKA_SIGN, true },
    };
    CK_RV rv = import_key(session);

    for (size_t i = 0; rv == CKR_OK && i < COUNT_OF(others); i++) {
        rv = make_key(session, &others[i]);
    }
    for (size_t i = 0; rv == CKR_OK && i < COUNT_OF(bad_keys); i++) {
        const struct recipe recipe = { bad_keys[i].label, CKM_EC_KEY_PAIR_GEN, p256,
                                       sizeof(p256),      bad_keys[i].flag,    bad_keys[i].value };
        rv = make_key(session, &recipe);
    }
    if (rv != CKR_OK) {
        fprintf(stderr, "make the bad keys: 0x%lx\n", rv);
    }
    return rv == CKR_OK;
}

static bool make_bad_keys_here(void)
{
    struct error err = { .code = ERROR_NONE };
    const struct uri text = uri_of_object("signer");
    scoped(release_pkcs11_uri) struct pkcs11_uri *uri = NULL;
    scoped(release_pkcs11_device) struct pkcs11_device *device = NULL;
    scoped(pkcs11_session_close) struct pkcs11_session session = { 0 };

    if (!pkcs11_uri_parse(text.text, &uri, &err) || !pkcs11_device_open(uri, &device, &err)
        || !pkcs11_device_choose_token(device, uri, &err)
        || !pkcs11_session_open(device, CKF_RW_SESSION, &session, &err)
        || !pkcs11_device_login(device, uri, &err)) {
        fprintf(stderr, "%s\n", error_line(&err).text);
        return false;
    }
    return make_keys(&session);
}

/* In a process of its own: SoftHSM2 loses a few bytes when it makes an Ed25519 key, and a leak check
 * would count them as ours. */
static bool make_bad_keys(void)
{
    int status = 1;
    const pid_t child = fork();

    if (child == 0) {
        _exit(make_bad_keys_here() ? 0 : 1);
    }
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

/* ---- the tests ---- */

static void test_a_good_key_opens_beside_keys_that_are_refused(void)
{
    CU_ASSERT_TRUE_FATAL(open_uri(getenv("TEST_KEY_URI")));
    CU_ASSERT_TRUE(sign_verifies());
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.key->description, "token \"issuerd test\" serial "));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.key->description, "object \"signer\""));
}

static void test_a_key_that_may_do_more_or_leave_is_refused_by_attribute(void)
{
    for (size_t i = 0; i < COUNT_OF(bad_keys); i++) {
        CU_ASSERT_TRUE(
            is_refused(uri_of_object(bad_keys[i].label).text, ERROR_KEY_POLICY, bad_keys[i].words));
        CU_ASSERT_PTR_NOT_NULL(strstr(fixture.err.message, bad_keys[i].label));
    }
}

static void test_a_key_of_the_wrong_kind_is_refused(void)
{
    CU_ASSERT_TRUE(is_refused(uri_of_object("imported").text, ERROR_KEY_POLICY, "CKA_LOCAL"));
    CU_ASSERT_TRUE(
        is_refused(uri_of_object("p521").text, ERROR_KEY_POLICY, "none of the named curves"));
    CU_ASSERT_TRUE(
        is_refused(uri_of_object("edwards").text, ERROR_KEY_POLICY, "none of the named curves"));
    CU_ASSERT_TRUE(is_refused(uri_of_object("small").text, ERROR_KEY_POLICY, "1024"));
}

static void test_no_key_and_two_keys_are_not_found(void)
{
    CU_ASSERT_TRUE(is_refused(getenv("TEST_MISSING_KEY_URI"), ERROR_KEY_NOT_FOUND, "there is \""));
    CU_ASSERT_TRUE(is_refused(uri_of_object("twin").text, ERROR_KEY_NOT_FOUND,
                              "2 private keys match pkcs11:token=issuerd%20test;object=twin: "
                              "name one by id="));
}

/* The twins were made first: their CKA_IDs are 1 and 2. */
static void test_twins_are_told_apart_by_id_with_or_without_the_label(void)
{
    CU_ASSERT_TRUE_FATAL(open_uri(uri_of_object("twin;id=%01").text));
    CU_ASSERT_TRUE(sign_verifies());
    EVP_PKEY *first = fixture.key->public_key;
    (void)EVP_PKEY_up_ref(first);
    const bool second_opened = open_uri(uri_of_object("twin;id=%02").text);
    const bool differ = second_opened && EVP_PKEY_eq(first, fixture.key->public_key) == 0;
    const bool found_by_id =
        open_uri(uri_of("token=issuerd%20test;id=%01", getenv("TEST_MODULE"), "pin").text);
    const bool same = found_by_id && EVP_PKEY_eq(first, fixture.key->public_key) == 1;
    EVP_PKEY_free(first);
    CU_ASSERT_TRUE(differ);
    CU_ASSERT_TRUE(same);
    CU_ASSERT_TRUE(is_refused(uri_of_object("signer;id=%01").text, ERROR_KEY_NOT_FOUND, "no such"));
}

static void test_a_token_that_is_not_there_is_waited_for(void)
{
    CU_ASSERT_TRUE(
        is_refused(uri_of("token=other;object=signer", getenv("TEST_MODULE"), "pin").text,
                   ERROR_DEVICE_UNAVAILABLE, "there is token \"issuerd test\" serial"));
}

static void test_a_module_that_is_none_is_named(void)
{
    const char *key = "token=issuerd%20test;object=signer";

    CU_ASSERT_TRUE(is_refused(uri_of(key, "/nonexistent/m.so", "pin").text, ERROR_CONFIG,
                              "/nonexistent/m.so"));
    CU_ASSERT_TRUE(is_refused("pkcs11:token=t;object=k?module-path=/a b.so&pin-source=file:/pin",
                              ERROR_CONFIG, "blank"));
    CU_ASSERT_TRUE(is_refused(uri_of(key, "libsofthsm2.so", "pin").text, ERROR_CONFIG, "absolute"));
    CU_ASSERT_TRUE(is_refused(uri_of(key, "/lib/x86_64-linux-gnu/libm.so.6", "pin").text,
                              ERROR_CONFIG, "libm.so.6"));
}

static void test_a_uri_that_is_not_to_be_followed_is_refused(void)
{
    static const struct {
        const char *uri;
        const char *words;
    } cases[] = {
        { "pkcs11:token=issuerd%20test;object=signer", "add ?module-path=" },
        { "pkcs11:token=t;object=k?module-path=/m.so&pin-value=71942-user", "use pin-source=" },
        { "pkcs11:token=t;pin-value=71942-user?module-path=/m.so", "pkcs11:token=t;" },
        { "pkcs11:token=t;object=k;color=red?module-path=/m.so", "does not know" },
        { "pkcs11:token=t;object=k;type=public?module-path=/m.so", "type= must be private" },
        { "pkcs11:token=a b;object=k?module-path=/m.so", "%20" },
        { "pkcs11:token=%zz;object=k?module-path=/m.so", "RFC 7512" },
        { "pkcs11:token", "RFC 7512" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CU_ASSERT_TRUE(is_refused(cases[i].uri, ERROR_CONFIG, cases[i].words));
    }
}

static void test_a_pin_source_that_is_not_a_private_file_is_refused(void)
{
    char uri[URI_MAX];
    static const struct {
        const char *query;
        const char *words;
    } cases[] = {
        { "", "add pin-source=" },
        { "&pin-source=%7Ccat%20/etc/hostname", "file:/PATH" },
        { "&pin-source=file:relative", "file:/PATH" },
        { "&pin-source=file://host/pin", "file:/PATH" },
        { "&pin-source=file:/nonexistent/pin", "/nonexistent/pin" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        (void)snprintf(uri, sizeof(uri), "pkcs11:token=issuerd%%20test?module-path=%s%s",
                       getenv("TEST_MODULE"), cases[i].query);
        CU_ASSERT_TRUE(is_refused(uri, ERROR_CONFIG, cases[i].words));
    }
    write_file("shared-pin", "71942-user\n", 0644);
    CU_ASSERT_TRUE(is_refused(
        uri_of("token=issuerd%20test;object=signer", getenv("TEST_MODULE"), "shared-pin").text,
        ERROR_CONFIG, "chmod 600"));
}

static void test_a_wrong_pin_is_tried_once(void)
{
    write_file("wrong-pin", "00000-wrong\n", 0600);
    CU_ASSERT_TRUE(is_refused(
        uri_of("token=issuerd%20test;object=signer", getenv("TEST_SHIM"), "wrong-pin").text,
        ERROR_KEY_LOCKED, "CKR_PIN_INCORRECT"));
    CU_ASSERT_EQUAL(count_lines("calls", "C_Login"), 1);
}

static void test_a_token_that_should_not_be_tried_is_not(void)
{
    static const struct {
        const char *flag;
        enum error_code code;
        const char *words;
    } cases[] = {
        { "0x40000", ERROR_KEY_LOCKED, "PIN is locked" },
        { "0x20000", ERROR_KEY_LOCKED, "one try is left" },
        { "0x80000", ERROR_KEY_LOCKED, "PIN changed" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        setenv("TOKEN_INFO_FLAGS", cases[i].flag, 1);

        CU_ASSERT_TRUE(
            is_refused(uri_through("TEST_TOKEN_INFO_SHIM").text, cases[i].code, cases[i].words));
    }
    CU_ASSERT_EQUAL(count_lines("calls", "C_Login"), 0);
}

static void test_a_token_with_few_sessions_serves_with_those(void)
{
    static const struct {
        const char *ceiling; /* the anchor and libp11 take two */
        unsigned sessions;
    } cases[] = { { "1", 1 }, { "3", 1 }, { "4", 2 }, { "100", 2 }, { "0", 2 } };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        setenv("TOKEN_INFO_SESSIONS", cases[i].ceiling, 1);
        CU_ASSERT_TRUE_FATAL(open_uri(uri_through("TEST_TOKEN_INFO_SHIM").text));
        CU_ASSERT_EQUAL(fixture.key->sessions, cases[i].sessions);
    }
    setenv("TOKEN_INFO_SESSIONS", "0", 1);
    write_file("faults", "C_OpenSession rv=0xb1 after=2 count=1\n", 0600); /* the second worker's */
    CU_ASSERT_TRUE_FATAL(open_uri(uri_through("TEST_SHIM").text));
    CU_ASSERT_EQUAL(fixture.key->sessions, 1);
}

static void test_a_session_that_cannot_be_opened_is_an_error_and_no_wait(void)
{
    for (unsigned opened = 0; opened < 4; opened++) {
        char fault[64];
        (void)snprintf(fault, sizeof(fault), "C_OpenSession rv=0xb1 after=%u\n", opened);
        write_file("faults", fault, 0600);
        CU_ASSERT_TRUE(is_refused(uri_through("TEST_SHIM").text, ERROR_DEVICE_UNAVAILABLE,
                                  "CKR_SESSION_COUNT"));
    }
}

static void test_a_login_that_fails_is_classed_by_who_must_act(void)
{
    write_file("faults", "C_Login rv=0xa4\n", 0600);
    CU_ASSERT_TRUE(is_refused(uri_through("TEST_SHIM").text, ERROR_KEY_LOCKED, "CKR_PIN_LOCKED"));
    write_file("faults", "C_Login rv=0x30 \n", 0600);
    CU_ASSERT_TRUE(
        is_refused(uri_through("TEST_SHIM").text, ERROR_DEVICE_UNAVAILABLE, "CKR_DEVICE_ERROR"));
}

static void test_a_signature_that_fails_is_the_devices_trouble(void)
{
    struct signature signature = { .length = 0 };
    static const char *const faults[] = { "C_SignInit rv=0x68\n", "C_Sign rv=0x30\n",
                                          "C_Sign rv=0x80000042\n" };
    static const char *const words[] = { "C_SignInit [pkcs11 0x68: CKR_KEY_FUNCTION_NOT_PERMITTED]",
                                         "C_Sign [pkcs11 0x30: CKR_DEVICE_ERROR]",
                                         "C_Sign [pkcs11 0x80000042: " };

    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        write_file("faults", faults[i], 0600);
        CU_ASSERT_TRUE_FATAL(open_uri(uri_through("TEST_SHIM").text));
        CU_ASSERT_FALSE(pkcs11_provider.sign(fixture.key, 0, "input", 5, &signature, &fixture.err));
        CU_ASSERT_EQUAL(fixture.err.code, ERROR_DEVICE_UNAVAILABLE);
        CU_ASSERT_PTR_NOT_NULL(strstr(error_line(&fixture.err).text, words[i]));
    }
}

/* Opens with stderr, where the log goes, in the file "log". */
static bool open_with_copies(void)
{
    const int kept = dup(STDERR_FILENO);
    const int log = open(in_dir("log").text, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    (void)dup2(log, STDERR_FILENO);
    const bool opened = open_with(uri_through("TEST_SHIM").text, true);
    (void)dup2(kept, STDERR_FILENO);
    (void)close(log);
    (void)close(kept);
    return opened;
}

static void test_each_session_signs_with_a_copy_of_its_own(void)
{
    CU_ASSERT_TRUE_FATAL(open_with_copies());
    CU_ASSERT_TRUE(sign_verifies());
    CU_ASSERT_EQUAL(count_lines("log", "<"), 0);
}

static void test_a_refused_session_copy_falls_back_to_the_token_object(void)
{
    write_file("faults", "C_CopyObject rv=0x1b\n", 0600);
    CU_ASSERT_TRUE_FATAL(open_with_copies());
    CU_ASSERT_TRUE(sign_verifies());
    CU_ASSERT_EQUAL(count_lines("log", "<4>signer.session_copy_refused"), 1);
}

static void test_ceremonies_overwrite_nothing(void)
{
    const struct path so_pin = in_dir("so-pin");
    const struct ceremony_options ceremony = { .so_pin_file = so_pin.text };
    const struct key_options options = { .uri = getenv("TEST_KEY_URI"), .sessions = 1 };

    CU_ASSERT_FALSE(pkcs11_provider.init_token(&options, &ceremony, &fixture.err));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CONFLICT);
    CU_ASSERT_FALSE(pkcs11_provider.generate(&options, &ceremony, &fixture.err));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CONFLICT);
}

static void test_a_second_token_is_told_apart(void)
{
    const struct path so_pin = in_dir("so-pin");
    const struct ceremony_options ceremony = { .so_pin_file = so_pin.text };
    const struct uri second = uri_of("token=second;object=signer", getenv("TEST_MODULE"), "pin");
    const struct key_options options = { .uri = second.text, .sessions = 1 };

    write_file("short-pin", "1\n", 0600);
    const struct uri bad = uri_of("token=second", getenv("TEST_MODULE"), "short-pin");
    const struct key_options bad_options = { .uri = bad.text, .sessions = 1 };
    CU_ASSERT_FALSE(pkcs11_provider.init_token(&bad_options, &ceremony, &fixture.err));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CONFIG);

    CU_ASSERT_TRUE_FATAL(pkcs11_provider.init_token(&options, &ceremony, &fixture.err));
    CU_ASSERT_TRUE(is_refused(second.text, ERROR_KEY_NOT_FOUND, "there is none"));
    CU_ASSERT_TRUE_FATAL(pkcs11_provider.generate(&options, &ceremony, &fixture.err));
    CU_ASSERT_TRUE(open_uri(second.text));
    CU_ASSERT_TRUE(
        is_refused(uri_of("manufacturer=SoftHSM%20project", getenv("TEST_MODULE"), "pin").text,
                   ERROR_CONFIG, "names 2 tokens"));
}

/* 1, n - 1 and n bytes a half: a device that shortens does so once in 2^16 signatures or less. */
static void check_widening(size_t half)
{
    const size_t narrow[] = { 1, half - 1, half };

    for (size_t i = 0; i < COUNT_OF(narrow); i++) {
        struct signature signature = { .length = 2 * narrow[i] };
        memset(signature.bytes, 0xaa, narrow[i]);
        memset(signature.bytes + narrow[i], 0xbb, narrow[i]);
        CU_ASSERT_TRUE_FATAL(signature_widen(&signature, half, &fixture.err));
        CU_ASSERT_EQUAL(signature.length, 2 * half);
        CU_ASSERT_EQUAL(signature.bytes[0], narrow[i] == half ? 0xaa : 0);
        CU_ASSERT_EQUAL(signature.bytes[half - 1], 0xaa);
        CU_ASSERT_EQUAL(signature.bytes[half], narrow[i] == half ? 0xbb : 0);
        CU_ASSERT_EQUAL(signature.bytes[2 * half - 1], 0xbb);
    }
}

static void test_a_short_ecdsa_signature_is_widened(void)
{
    check_widening(jose_ecdsa_half(JOSE_ES256));
    check_widening(jose_ecdsa_half(JOSE_ES384));
}

static void test_an_ecdsa_signature_of_another_shape_is_refused(void)
{
    static const size_t lengths[] = { 0, 1, 63, 65, 66, 72 };
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        struct signature signature = { .length = lengths[i] };
        CU_ASSERT_FALSE(signature_widen(&signature, ES256_HALF, &fixture.err));
        CU_ASSERT_EQUAL(fixture.err.code, ERROR_DEVICE_UNAVAILABLE);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a good key opens beside keys that are refused",
          test_a_good_key_opens_beside_keys_that_are_refused },
        { "a key that may do more or leave is refused by attribute",
          test_a_key_that_may_do_more_or_leave_is_refused_by_attribute },
        { "a key of the wrong kind is refused", test_a_key_of_the_wrong_kind_is_refused },
        { "no key and two keys are not found", test_no_key_and_two_keys_are_not_found },
        { "twins are told apart by id with or without the label",
          test_twins_are_told_apart_by_id_with_or_without_the_label },
        { "a token that is not there is waited for", test_a_token_that_is_not_there_is_waited_for },
        { "a module that is none is named", test_a_module_that_is_none_is_named },
        { "a URI that is not to be followed is refused",
          test_a_uri_that_is_not_to_be_followed_is_refused },
        { "a pin-source that is not a private file is refused",
          test_a_pin_source_that_is_not_a_private_file_is_refused },
        { "a wrong PIN is tried once", test_a_wrong_pin_is_tried_once },
        { "a token that should not be tried is not", test_a_token_that_should_not_be_tried_is_not },
        { "a token with few sessions serves with those",
          test_a_token_with_few_sessions_serves_with_those },
        { "a session that cannot be opened is an error and no wait",
          test_a_session_that_cannot_be_opened_is_an_error_and_no_wait },
        { "a login that fails is classed by who must act",
          test_a_login_that_fails_is_classed_by_who_must_act },
        { "a signature that fails is the device's trouble",
          test_a_signature_that_fails_is_the_devices_trouble },
        { "each session signs with a copy of its own",
          test_each_session_signs_with_a_copy_of_its_own },
        { "a refused session copy falls back to the token's object",
          test_a_refused_session_copy_falls_back_to_the_token_object },
        { "ceremonies overwrite nothing", test_ceremonies_overwrite_nothing },
        { "a second token is told apart", test_a_second_token_is_told_apart },
        { "a short ECDSA signature is widened", test_a_short_ecdsa_signature_is_widened },
        { "an ECDSA signature of another shape is refused",
          test_an_ecdsa_signature_of_another_shape_is_refused },
        CU_TEST_INFO_NULL,
    };
    if (!make_bad_keys()) {
        return 1;
    }
    return run_suite("pkcs11 refusals", set_up, close_key, tests);
}

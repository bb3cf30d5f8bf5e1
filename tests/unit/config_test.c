/* The configuration: every row of its table, its refusals, and the sample file. */
#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "config_table.h"
#include "support/run.h"

/* A directory with a blank in its name, the files that a good configuration needs, and what the
 * last config_load() gave. */
static struct {
    char directory[64];
    char path[128];
    char text[16384];
    size_t length;
    struct config *config;
    struct config_problems problems;
} fixture;

static void write_file(const char *name, const char *content, size_t length, mode_t mode)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", fixture.directory, name);
    FILE *file = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fwrite(content, 1, length, file), length);
    (void)fclose(file);
    CU_ASSERT_EQUAL(chmod(path, mode), 0);
}

static void make_directory(void)
{
    memset(&fixture, 0, sizeof(fixture));
    (void)snprintf(fixture.directory, sizeof(fixture.directory), "/tmp/config test XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(fixture.directory));
    (void)snprintf(fixture.path, sizeof(fixture.path), "%s/issuerd.conf", fixture.directory);
    write_file("secret", "s3cret", 6, 0600);
    write_file("open", "s3cret", 6, 0644);
    write_file("pin", "1234", 4, 0600);
    write_file("module.so", "", 0, 0755);
    write_file("key.pem", "key", 3, 0600);
}

static void forget_result(void)
{
    if (fixture.config != NULL) {
        config_free(take(fixture.config));
    }
    config_problems_clear(&fixture.problems);
}

static void remove_directory(void)
{
    static const char *const NAMES[] = { "secret",  "open",         "pin", "module.so",
                                         "key.pem", "issuerd.conf", "help" };
    char path[256];
    for (size_t i = 0; i < COUNT_OF(NAMES); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", fixture.directory, NAMES[i]);
        (void)unlink(path);
    }
    (void)rmdir(fixture.directory);
    forget_result();
}

static bool load_bytes(const char *bytes, size_t length)
{
    forget_result();
    write_file("issuerd.conf", bytes, length, 0644);
    return config_load(fixture.path, &fixture.config, &fixture.problems);
}

/* Every '@' in a text stands for the directory; URIs have "@20" for it, percent-encoded. */
static void add_text(const char *text)
{
    for (; *text != '\0' && fixture.length + 64 < sizeof(fixture.text); text++) {
        if (text[0] == '@' && text[1] == '2' && text[2] == '0') {
            const char *part = fixture.directory; /* "/tmp/config test XXXXXX" */
            for (; *part != '\0'; part++) {
                const char *piece = *part == ' ' ? "%20" : (char[]){ *part, '\0' };
                memcpy(fixture.text + fixture.length, piece, strlen(piece));
                fixture.length += strlen(piece);
            }
            text += 2;
        } else if (text[0] == '@' && text[1] == '/') {
            memcpy(fixture.text + fixture.length, fixture.directory, strlen(fixture.directory));
            fixture.length += strlen(fixture.directory);
        } else {
            fixture.text[fixture.length++] = *text;
        }
    }
    fixture.text[fixture.length] = '\0';
}

static bool load(const char *text)
{
    fixture.length = 0;
    add_text(text);
    return load_bytes(fixture.text, fixture.length);
}

#define GOOD_URI "pkcs11:token=a;object=b?module-path=@20/module.so&pin-source=file:@20/pin"

/* Each on the line of its index, counted from 1. */
static const struct {
    const char *section;
    const char *name;
    const char *value;
} GOOD[] = {
    { "issuer", "url", "https://issuer.example" },
    { "admin", "client_secret_file", "@/secret" },
    { "store", "url", "sqlite:@/issuerd.db" },
    { "signer", "uri", GOOD_URI },
};

static int lines_so_far(void)
{
    int lines = 1;
    for (size_t i = 0; i < fixture.length; i++) {
        lines += fixture.text[i] == '\n';
    }
    return lines;
}

static void add_heading(const char *section)
{
    add_text("[");
    add_text(section);
    add_text(strcmp(section, "signer") == 0 ? " main]\n" : "]\n");
}

/* Loads the least good configuration with one setting changed or added. Returns its line. */
static int load_with(const char *section, const char *name, const char *value, bool *good_out)
{
    static const char *const SECTIONS[] = { "issuer", "public", "admin",    "store",
                                            "ledger", "tokens", "metadata", "did",
                                            "trust",  "log",    "signer" };
    int line = 0;
    fixture.length = 0;
    for (size_t i = 0; i < COUNT_OF(SECTIONS); i++) {
        add_heading(SECTIONS[i]);
        for (size_t j = 0; j < COUNT_OF(GOOD); j++) {
            if (strcmp(GOOD[j].section, SECTIONS[i]) == 0
                && !(strcmp(section, SECTIONS[i]) == 0 && strcmp(name, GOOD[j].name) == 0)) {
                add_text(GOOD[j].name);
                add_text(" = ");
                add_text(GOOD[j].value);
                add_text("\n");
            }
        }
        if (strcmp(section, SECTIONS[i]) == 0) {
            line = lines_so_far();
            add_text(name);
            add_text(" = ");
            add_text(value);
            add_text("\n");
        }
    }
    *good_out = load_bytes(fixture.text, fixture.length);
    return line;
}

static void show_problems(const char *what)
{
    printf("\n    %s:\n", what);
    config_print_problems(stdout, "issuerd.conf", &fixture.problems);
}

static void expect_good(const char *section, const char *name, const char *value)
{
    bool good = false;
    (void)load_with(section, name, value, &good);
    CU_ASSERT_TRUE(good);
    if (!good) {
        show_problems(value);
    }
}

/* One problem, on the line, about the setting. */
static void expect_refused(const char *section, const char *name, const char *value)
{
    bool good = false;
    char about[64];
    const int line = load_with(section, name, value, &good);
    (void)snprintf(about, sizeof(about), "%s%s.%s", section,
                   strcmp(section, "signer") == 0 ? " main" : "", name);
    const bool right = !good && fixture.problems.count == 1 && fixture.problems.list[0].line == line
                    && strcmp(fixture.problems.list[0].setting, about) == 0;
    CU_ASSERT_TRUE(right);
    if (!right) {
        show_problems(value);
    }
}

static bool has_problem(int line, const char *setting, const char *words)
{
    for (size_t i = 0; i < fixture.problems.count; i++) {
        const struct config_problem *problem = &fixture.problems.list[i];
        if (problem->line == line && strcmp(problem->setting, setting) == 0
            && strstr(problem->text, words) != NULL) {
            return true;
        }
    }
    show_problems(words);
    return false;
}

/* --- the table --- */

static void test_numbers_hold_their_bounds(void)
{
    size_t count = 0;
    const struct config_setting *settings = config_settings(&count);
    for (size_t i = 0; i < count; i++) {
        const struct config_setting *row = &settings[i];
        if (row->type != CONFIG_NUMBER) {
            continue;
        }
        const int64_t good[] = { row->min, row->max };
        const int64_t bad[] = { row->min - 1, row->max + 1 };
        for (size_t j = 0; j < COUNT_OF(good); j++) {
            char number[32];
            (void)snprintf(number, sizeof(number), "%" PRId64, good[j]);
            expect_good(row->section, row->name, number);
            (void)snprintf(number, sizeof(number), "%" PRId64, bad[j]);
            expect_refused(row->section, row->name, number);
        }
        expect_good(row->section, row->name, row->preset);
        static const char *const NOT_NUMBERS[] = { "",     "many", "1.5",
                                                   "0x20", "60s",  "+60",
                                                   "6 0",  "--1",  "99999999999999999999" };
        for (size_t j = 0; j < COUNT_OF(NOT_NUMBERS); j++) {
            expect_refused(row->section, row->name, NOT_NUMBERS[j]);
        }
    }
}

static void test_choices_take_their_words_alone(void)
{
    size_t count = 0;
    const struct config_setting *settings = config_settings(&count);
    for (size_t i = 0; i < count; i++) {
        const struct config_setting *row = &settings[i];
        if (row->type == CONFIG_CHOICE) {
            char words[128];
            char *rest = words;
            (void)snprintf(words, sizeof(words), "%s", row->choices);
            for (char *word; (word = strsep(&rest, " ")) != NULL;) {
                expect_good(row->section, row->name, word);
            }
            expect_refused(row->section, row->name, row->choices);
        }
        if (row->type == CONFIG_CHOICE || row->type == CONFIG_YES_NO) {
            expect_good(row->section, row->name, row->preset);
            expect_refused(row->section, row->name, "YES");
            expect_refused(row->section, row->name, "other");
        }
    }
}

enum { SAMPLES_MAX = 32 };

static const struct {
    const char *section;
    const char *name;
    const char *good[SAMPLES_MAX];
    const char *bad[SAMPLES_MAX];
} TEXTS[] = {
    { "issuer",
      "url",
      { "https://issuer.example", "https://issuer.example:8443/tenant/a%20b",
        "http://127.0.0.1:8080", "http://localhost", "http://[::1]:8080",
        "https://[2001:db8::1]/x" },
      { "",
        "issuer.example",
        "ftp://issuer.example",
        "https://",
        "https:///x",
        "https://issuer.example/",
        "https://issuer.example?a=b",
        "https://issuer.example#x",
        "https://user:pw@issuer.example",
        "https://issuer.example:0",
        "https://issuer.example:99999",
        "https://issuer.example:",
        "https://issuer example",
        "https://[::g]",
        "https://[::1",
        "http://issuer.example",
        "http://127.0.0.1.example",
        "https://issuer.example/%zz",
        "https://issuer.example/\"",
        "https://issu\xc3\xa9r.example",
        "HTTPS://issuer.example" } },
    { "public",
      "listen",
      { "127.0.0.1:0", "[::1]:65535", "unix:/run/issuerd.sock", "unix:@/a socket" },
      { "",
        "0.0.0.0:8080",
        "[::]:443",
        "192.0.2.1:0",
        "8080",
        ":8080",
        "localhost:8080",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:80a",
        "::1:8080",
        "[::1]",
        "[127.0.0.1]:80",
        "unix:relative",
        "unix:",
        "127.0.0.1:8080 # here",
        "127.0.0.1:8081",
        "256.0.0.1:80",
        "unix:/23456789012345678901234567890123456789012345678901234567890123456789012345678901"
        "234567890123456789012345678" } },
    { "public", "tls_certificate_file", { "" }, { "cert.pem", "@/cert.pem" } },
    { "public", "tls_key_file", { "" }, { "key.pem", "@/key.pem" } },
    { "admin", "tls_certificate_file", { "" }, { "cert.pem", "@/cert.pem" } },
    { "admin", "tls_key_file", { "" }, { "key.pem", "@/key.pem" } },
    { "admin", "tls_client_ca_file", { "" }, { "ca.pem", "@/ca.pem" } },
    { "admin",
      "listen",
      { "127.0.0.1:0", "127.8.8.8:9", "[::1]:8080", "unix:/run/admin.sock" },
      { "", "0.0.0.0:8081", "[::]:8081", "192.0.2.1:8081", "127.0.0.1:8080", "admin:1" } },
    { "admin",
      "client_secret_file",
      { "@/secret" },
      { "", "secret", "@/open", "@/missing", "@/", "s3cret" } },
    { "store",
      "url",
      { "sqlite:@/issuerd.db", "sqlite:@/secret" },
      { "", "sqlite:", "sqlite:issuerd.db", "sqlite:@/missing/issuerd.db", "sqlite:@/",
        "sqlite:/tmp", "postgresql://db/issuer", "@/issuerd.db" } },
    { "store", "state_dir", { "", "@/" }, { "state", "@/missing", "@/secret" } },
    { "tokens",
      "audience",
      { "", "https://api.example", "payments" },
      { "two words", "\xc3\xa9" } },
    { "metadata",
      "credential_endpoint",
      { "", "https://issuer.example/credential?x=1" },
      { "/credential", "http://issuer.example/credential", "https://a/#b" } },
    { "metadata",
      "schema_endpoint",
      { "", "https://issuer.example/" },
      { "x", "http://a.example" } },
    { "metadata",
      "offering_endpoint",
      { "", "https://issuer.example/" },
      { "x", "http://b.example" } },
    { "metadata",
      "display_name",
      { "", "Landesbank \"S\xc3\xbc"
            "d\"" },
      { "S\xfc"
        "d",
        "\xed\xa0\x80" } },
    { "public",
      "trusted_proxy",
      { "10.0.0.0/8", "192.0.2.1", "192.0.2.1/32", "2001:db8::/32", "::1", "::ffff:10.0.0.0/104" },
      { "", "proxy.example", "10.0.0.0/33", "10.0.0.1/", "10.0.0.1/8x", "2001:db8::/129", "10.0.0",
        "10.0.0.1/8", "2001:db8::1/32", "::ffff:10.0.0.0/8", "0.0.0.0/0", "::/0", "::/64" } },
    { "did",
      "resolver_url",
      { "", "https://resolver.example", "http://127.0.0.1:8080/a" },
      { "resolver", "https://resolver.example/", "https://a/?b", "http://resolver.example" } },
    { "trust",
      "issuer",
      { "did:web:a.example", "did:web:a.example Degree  Diploma", "did:key:z1 a:b/c" },
      { "", "Degree", "did:web:a.example#1", "did:web:a.example \"Degree\"", "did:WEB:a",
        "did:web:a T\xc3\xa4", "did:web:a 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17" } },
    { "signer",
      "uri",
      { GOOD_URI, "pkcs11:token=a?pin-source=@20/pin&module-path=@20/module.so",
        "pkcs11:token=a?pin-source=file://@20/pin&module-path=@20/module.so",
        "tpm:handle=0x81000001?tcti=device:/dev/tpmrm0&pin-source=file:@20/pin",
        "tpm:handle=0x81000001?tcti=d&auth=password&pin-source=@20/pin" },
      { "",
        "token=a",
        "tpm:0x81000001",
        "tpm:handle=0x80000001?tcti=d&pin-source=file:@20/pin",
        "tpm:handle=0x81000001?pin-source=file:@20/pin",
        "tpm:handle=0x81000001?tcti=d",
        "tpm:handle=0x81000001?tcti=d&pin-source=file:@20/missing",
        "tpm:handle=0x81000001?tcti=d&pin-source=file:@20/open",
        "tpm:handle=0x81000001?tcti=d&pin-source=file:@20/pin&auth=none",
        "PKCS11:token=a",
        "pkcs11:token=a",
        "file:@/key.pem",
        "file:key.pem",
        "file:@/missing",
        "file:@/open",
        "file:@/",
        "pkcs11:token=a?module-path=@20/module.so",
        "pkcs11:token=a?pin-source=file:@20/pin",
        "pkcs11:token=a?module-path=@20/missing.so&pin-source=file:@20/pin",
        "pkcs11:token=a?module-path=module.so&pin-source=file:@20/pin",
        "pkcs11:token=a?module-path=@20/module.so&pin-source=file:@20/missing",
        "pkcs11:token=a?module-path=@20/module.so&pin-source=file:@20/open",
        "pkcs11:token=a?module-path=@20/module.so&pin-source=file:pin",
        "pkcs11:token=a?module-path=@20/module.so&pin-source=%7ccat%20@20/pin",
        "pkcs11:token=a?module-path=@20/module.so&pin-source=file:@20/pin&pin-source=file:@20/pin",
        "pkcs11:token=a?module-path=@20/module.so&pin-source=file:@20/pin%0",
        "pkcs11:token=a?module-path=@20/module.so&pin-source=file:@20/pin%00",
        "pkcs11:token=a?module-path=@20/module.so&pin-source=file:@20/pin&pin-value=7351",
        "pkcs11:token=a b?module-path=@20/module.so&pin-source=file:@20/pin" } },
    { "ledger", "signer", { "" }, { "main", "audit", "Main" } }, /* "main" is the only one */
    { "ledger", "node", { "", "node-1", "A.b_c" }, { "a/b", "a b", "\xc3\xa4", "a\"" } },
    { "ledger",
      "checkpoint_file",
      { "", "@/node.checkpoint", "/var/lib/issuerd/a" },
      { "node.checkpoint", "./a" } },
    { "signer",
      "setenv",
      { "SOFTHSM2_CONF=@/softhsm2.conf", "_a1=", "A=b=c ;d" },
      { "", "NAME", "=x", "1A=x", "A B=x", "A-B=x", "LD_PRELOAD=/x.so", "LD_LIBRARY_PATH=/x" } },
};

static void test_texts_take_what_is_well_formed(void)
{
    for (size_t i = 0; i < COUNT_OF(TEXTS); i++) {
        for (size_t j = 0; j < SAMPLES_MAX && TEXTS[i].good[j] != NULL; j++) {
            expect_good(TEXTS[i].section, TEXTS[i].name, TEXTS[i].good[j]);
        }
        for (size_t j = 0; j < SAMPLES_MAX && TEXTS[i].bad[j] != NULL; j++) {
            expect_refused(TEXTS[i].section, TEXTS[i].name, TEXTS[i].bad[j]);
        }
    }
}

static void test_every_text_is_bounded_and_has_samples(void)
{
    size_t count = 0;
    const struct config_setting *settings = config_settings(&count);
    char longest[2048];
    for (size_t i = 0; i < count; i++) {
        if (settings[i].type != CONFIG_TEXT) {
            continue;
        }
        bool found = false;
        for (size_t j = 0; j < COUNT_OF(TEXTS); j++) {
            found = found
                 || (strcmp(TEXTS[j].section, settings[i].section) == 0
                     && strcmp(TEXTS[j].name, settings[i].name) == 0);
        }
        CU_ASSERT_TRUE(found);
        CU_ASSERT_TRUE_FATAL(settings[i].max > 0 && settings[i].max < (int64_t)sizeof(longest) - 1);
        memset(longest, 'a', sizeof(longest));
        longest[settings[i].max + 1] = '\0';
        expect_refused(settings[i].section, settings[i].name, longest);
    }
}

static void test_every_row_explains_itself(void)
{
    size_t count = 0;
    const struct config_setting *settings = config_settings(&count);
    for (size_t i = 0; i < count; i++) {
        CU_ASSERT_TRUE(strlen(settings[i].sentence) > 20);
        CU_ASSERT_EQUAL(settings[i].sentence[strlen(settings[i].sentence) - 1], '.');
        CU_ASSERT_PTR_NOT_NULL(settings[i].preset);
        CU_ASSERT_TRUE(settings[i].reload >= CONFIG_NEXT_START
                       && settings[i].reload <= CONFIG_IF_SET);
        CU_ASSERT_TRUE(!settings[i].required || settings[i].example != NULL);
        CU_ASSERT_PTR_EQUAL(config_setting_find(settings[i].section, settings[i].name),
                            &settings[i]);
    }
}

/* --- whole files --- */

#define REQUIRED                                                                                   \
    "[issuer]\nurl = https://issuer.example\n[admin]\nclient_secret_file = @/secret\n"             \
    "[store]\nurl = sqlite:@/issuerd.db\n"
#define COMPLETE REQUIRED "[signer main]\nuri = " GOOD_URI "\n"

static void test_defaults_are_as_documented(void)
{
    CU_ASSERT_TRUE_FATAL(load(COMPLETE));
    const struct config *config = fixture.config;
    CU_ASSERT_STRING_EQUAL(config->issuer_url, "https://issuer.example");
    CU_ASSERT_STRING_EQUAL(config->audience, config->issuer_url);
    CU_ASSERT_FALSE(config->development);
    CU_ASSERT_EQUAL(config->jwks_max_age_s, 300);
    CU_ASSERT_STRING_EQUAL(config->public_listen, "127.0.0.1:8080");
    CU_ASSERT_EQUAL(config->public_address.socket.ss_family, AF_INET);
    CU_ASSERT_EQUAL(config->connections, 2048);
    CU_ASSERT_EQUAL(config->connections_per_address, 1024);
    CU_ASSERT_EQUAL(config->head_timeout_s, 5);
    CU_ASSERT_EQUAL(config->body_timeout_s, 10);
    CU_ASSERT_EQUAL(config->idle_timeout_s, 30);
    CU_ASSERT_STRING_EQUAL(config->admin_listen, "127.0.0.1:8081");
    CU_ASSERT_EQUAL(config->retention_s, 86400);
    CU_ASSERT_EQUAL(config->max_open_requests, 100000);
    CU_ASSERT_STRING_EQUAL(config->ledger_signer, "");
    CU_ASSERT_EQUAL(config->checkpoint_entries, 10000);
    CU_ASSERT_EQUAL(config->checkpoint_s, 30);
    CU_ASSERT_EQUAL(config->backlog_max, 100000);
    CU_ASSERT_EQUAL(config->token_lifetime_s, 3600);
    CU_ASSERT_EQUAL(config->code_lifetime_s, 60);
    CU_ASSERT_EQUAL(config->request_lifetime_s, 600);
    CU_ASSERT_STRING_EQUAL(config->display_name, "");
    CU_ASSERT_EQUAL(config->log_level, LOG_LEVEL_INFO);
    CU_ASSERT_EQUAL_FATAL(config->signer_count, 1);
    CU_ASSERT_STRING_EQUAL(config->signers[0].name, "main");
    CU_ASSERT_STRING_EQUAL(config->signers[0].algorithm, "");
    CU_ASSERT_EQUAL(config->signers[0].sessions, 2);
    CU_ASSERT_EQUAL(config->signers[0].deadline_ms, 1500);
    CU_ASSERT_EQUAL(config->signers[0].queue, 128);
    CU_ASSERT_EQUAL(config->signers[0].queue_ms, 500);
    CU_ASSERT_FALSE(config->signers[0].session_copy);
    CU_ASSERT_EQUAL(config->signers[0].setenv.count, 0);
    CU_ASSERT_EQUAL(config->signers[0].line, 7);
}

static void test_values_reach_their_fields(void)
{
    CU_ASSERT_TRUE_FATAL(
        load(COMPLETE
             "session_copy = yes ; measured\nsetenv = A=1\nsetenv=B=2\nalgorithm = RS256\n"
             "[signer second]\nuri=file:@/key.pem\n"
             "[log]\nlevel = debug\n[public]\nlisten = unix:@/a socket\n[tokens]\naudience = x\n"
             "[metadata]\ndisplay_name = A \"B\" C\n; nothing\n# nothing\n\n"
             "credential_endpoint = https://a.example/;b\n")
        == false);
    CU_ASSERT_TRUE(has_problem(14, "signer second.uri", "development"));
    CU_ASSERT_TRUE_FATAL(
        load(COMPLETE
             "session_copy = yes ; measured\nsetenv = A=1\nsetenv=B=2\nalgorithm = RS256\n"
             "[log]\nlevel = debug\n[public]\nlisten = unix:@/a socket\n[tokens]\naudience = x\n"
             "[metadata]\ndisplay_name = A \"B\" C\n; nothing\n# nothing\n\n"
             "credential_endpoint = https://a.example/;b\n"));
    const struct config *config = fixture.config;
    CU_ASSERT_TRUE(config->signers[0].session_copy);
    CU_ASSERT_EQUAL_FATAL(config->signers[0].setenv.count, 2);
    CU_ASSERT_STRING_EQUAL(config->signers[0].setenv.items[0], "A=1");
    CU_ASSERT_STRING_EQUAL(config->signers[0].setenv.items[1], "B=2");
    CU_ASSERT_STRING_EQUAL(config->signers[0].algorithm, "RS256");
    CU_ASSERT_EQUAL(strncmp(config->signers[0].uri, "pkcs11:token=a;object=b?", 24), 0);
    CU_ASSERT_EQUAL(config->log_level, LOG_LEVEL_DEBUG);
    CU_ASSERT_EQUAL(config->public_address.socket.ss_family, AF_UNIX);
    CU_ASSERT_STRING_EQUAL(config->audience, "x");
    CU_ASSERT_STRING_EQUAL(config->display_name, "A \"B\" C");
    CU_ASSERT_STRING_EQUAL(config->credential_endpoint, "https://a.example/;b");
}

/* --- two configurations of one server --- */

static struct config *loaded(const char *text)
{
    CU_ASSERT_TRUE_FATAL(load(text));
    return take(fixture.config);
}

static bool differs(const struct config *running, const struct config *wanted, const char *name,
                    bool at_once)
{
    struct config_differences differences;

    config_compare(running, wanted, &differences);
    for (size_t i = 0; i < differences.count; i++) {
        if (strcmp(differences.list[i].name, name) == 0) {
            return differences.list[i].at_once == at_once;
        }
    }
    return false;
}

static size_t count_differences(const struct config *running, const struct config *wanted)
{
    struct config_differences differences;

    config_compare(running, wanted, &differences);
    return differences.count;
}

/* A good value that is not the default; NULL: the bounds allow none here. */
static const char *another_value(const struct config_setting *row, char buffer[static 64])
{
    if (row->type == CONFIG_YES_NO) {
        return "yes";
    }
    if (row->type == CONFIG_NUMBER) {
        (void)snprintf(buffer, 64, "%" PRId64, row->max);
        return buffer;
    }
    if (row->type == CONFIG_CHOICE) {
        (void)snprintf(buffer, 64, "%.*s", (int)strcspn(row->choices, " "), row->choices);
        return strcmp(buffer, row->preset) != 0 ? buffer : strrchr(row->choices, ' ') + 1;
    }
    return NULL;
}

static void expect_difference(const struct config_setting *row, const char *value)
{
    bool good = false;
    char name[80];

    (void)load_with("log", "level", "info", &good);
    CU_ASSERT_TRUE_FATAL(good);
    struct config *running = take(fixture.config);
    (void)load_with(row->section, row->name, value, &good);
    if (good) {
        (void)snprintf(name, sizeof(name), "%s%s.%s", row->section,
                       strcmp(row->section, "signer") == 0 ? " main" : "", row->name);
        CU_ASSERT_TRUE(differs(running, fixture.config, name, row->reload == CONFIG_AT_ONCE));
    }
    config_free(running);
}

static void test_a_change_of_any_setting_is_seen(void)
{
    size_t count = 0;
    char buffer[64];
    const struct config_setting *settings = config_settings(&count);

    for (size_t i = 0; i < count; i++) {
        const char *value = another_value(&settings[i], buffer);
        if (value != NULL) {
            expect_difference(&settings[i], value);
        }
    }
    for (size_t i = 0; i < COUNT_OF(TEXTS); i++) {
        const struct config_setting *row = config_setting_find(TEXTS[i].section, TEXTS[i].name);
        for (size_t j = 1; j < SAMPLES_MAX && TEXTS[i].good[j] != NULL; j++) {
            expect_difference(row, TEXTS[i].good[j]);
        }
    }
}

static void test_equal_configurations_do_not_differ(void)
{
    struct config *running =
        loaded(COMPLETE "setenv = A=1\n[trust]\nissuer = did:web:a.example B C\n");
    struct config *wanted =
        loaded("; moved\n" COMPLETE "setenv = A=1\n[trust]\nissuer = did:web:a.example B C\n");

    CU_ASSERT_EQUAL(count_differences(running, wanted), 0);
    config_free(running);
    config_free(wanted);
}

static void test_a_reload_takes_over_what_it_may_and_can_be_undone(void)
{
    struct config *running = loaded(COMPLETE "[trust]\nissuer = did:web:a.example A\n");
    struct config *wanted =
        loaded(COMPLETE "setenv = A=1\nsetenv = B=2\n[trust]\n"
                        "issuer = did:web:a.example A B\nissuer = did:web:b.example\n"
                        "[log]\nlevel = debug\n[public]\nlisten = 127.0.0.1:9\n"
                        "connections = 7\n[metadata]\ndisplay_name = New\n");

    CU_ASSERT_TRUE(differs(running, wanted, "trust.issuer", true));
    CU_ASSERT_TRUE(differs(running, wanted, "signer main.setenv", true));
    config_exchange(running, wanted);
    CU_ASSERT_EQUAL(running->connections, 7);
    CU_ASSERT_EQUAL(running->log_level, LOG_LEVEL_DEBUG);
    CU_ASSERT_STRING_EQUAL(running->display_name, "New");
    CU_ASSERT_EQUAL(running->signers[0].setenv.count, 2);
    CU_ASSERT_EQUAL_FATAL(running->trusted_count, 2);
    CU_ASSERT_STRING_EQUAL(running->trusted[1].did, "did:web:b.example");
    CU_ASSERT_STRING_EQUAL(running->trusted[0].types[1], "B");
    CU_ASSERT_STRING_EQUAL(running->public_listen, "127.0.0.1:8080");
    CU_ASSERT_STRING_EQUAL(wanted->public_listen, "127.0.0.1:9");
    config_exchange(running, wanted);
    CU_ASSERT_EQUAL(running->connections, 2048);
    CU_ASSERT_EQUAL(running->log_level, LOG_LEVEL_INFO);
    CU_ASSERT_EQUAL(running->trusted_count, 1);
    CU_ASSERT_EQUAL(running->trusted[0].type_count, 1);
    config_free(running);
    config_free(wanted);
}

#define SECOND "[signer second]\nuri = " GOOD_URI "\nsessions = 3\n"

static void test_signers_come_go_and_change(void)
{
    struct config *one = loaded(COMPLETE);
    struct config *two = loaded(COMPLETE SECOND);
    struct config *other = loaded(COMPLETE "sessions = 5\nqueue = 9\n" SECOND);

    CU_ASSERT_TRUE(differs(one, two, "signer second (new)", true));
    CU_ASSERT_EQUAL(count_differences(one, two), 1);
    CU_ASSERT_TRUE(differs(two, one, "signer second (gone)", true));
    CU_ASSERT_TRUE(differs(two, other, "signer main.sessions", true));
    CU_ASSERT_TRUE(differs(two, other, "signer main.queue", true));
    CU_ASSERT_EQUAL(count_differences(two, other), 2);
    config_exchange(one, two);
    CU_ASSERT_EQUAL(one->signer_count, 2);
    CU_ASSERT_EQUAL(two->signer_count, 1);
    config_free(one);
    config_free(two);
    config_free(other);
}

/* Else the ledger's key would sign tokens, or a token's key checkpoints. */
static void test_signers_stay_as_they_are_where_the_ledgers_is_another(void)
{
    static const char audit[] = "[ledger]\nsigner = audit\n[signer audit]\nuri = "
                                "pkcs11:token=a;object=c?module-path=@20/module.so"
                                "&pin-source=file:@20/pin\n";
    char text[4096];
    (void)snprintf(text, sizeof(text), "%s%s", COMPLETE, audit);
    struct config *without = loaded(COMPLETE);
    struct config *with = loaded(text);

    CU_ASSERT_TRUE(differs(without, with, "ledger.signer", false));
    CU_ASSERT_TRUE(differs(without, with, "signer audit (new)", false));
    CU_ASSERT_TRUE(differs(with, without, "signer audit (gone)", false));
    config_exchange(without, with);
    CU_ASSERT_EQUAL(without->signer_count, 1);
    CU_ASSERT_EQUAL(with->signer_count, 2);
    config_free(without);
    config_free(with);
}

#define WITH_TLS(certificate, more)                                                                \
    COMPLETE "[public]\ntls_certificate_file = " certificate "\ntls_key_file = @/k.pem\n" more

/* Whether a listener has TLS, and whom it asks, does not change under its address. */
static void test_tls_files_change_at_once_and_tls_itself_at_the_next_start(void)
{
    struct config *plain = loaded(COMPLETE);
    struct config *one = loaded(WITH_TLS("@/c.pem", ""));
    struct config *two = loaded(WITH_TLS("@/d.pem", ""));

    CU_ASSERT_TRUE(differs(plain, one, "public.tls_certificate_file", false));
    CU_ASSERT_TRUE(differs(one, plain, "public.tls_certificate_file", false));
    CU_ASSERT_TRUE(differs(one, plain, "public.tls_key_file", false));
    CU_ASSERT_TRUE(differs(one, two, "public.tls_certificate_file", true));
    config_exchange(one, plain);
    CU_ASSERT_TRUE(one->public_tls.certificate_file[0] != '\0');
    config_exchange(one, two);
    CU_ASSERT_PTR_NOT_NULL(strstr(one->public_tls.certificate_file, "d.pem"));
    config_free(plain);
    config_free(one);
    config_free(two);
}

#define WITH_STORE(settings)                                                                       \
    "[issuer]\nurl = https://issuer.example\n[admin]\nclient_secret_file = @/secret\n"             \
    "[store]\n" settings "\n[signer main]\nuri = " GOOD_URI "\n"

#define IN_POSTGRESQL(url) WITH_STORE("state_dir = @/\nurl = " url)

static void test_a_postgresql_store_is_named_as_libpq_reads_it(void)
{
    CU_ASSERT_TRUE(load(IN_POSTGRESQL("postgresql:///issuerd?host=/run/postgresql&user=issuerd")));
    CU_ASSERT_TRUE(load(IN_POSTGRESQL("postgres://issuerd@localhost,[::1]:5433/issuerd")));
    CU_ASSERT_TRUE(load(IN_POSTGRESQL("postgresql://a.example,b.example/issuerd?passfile=/run/p"
                                      "&sslmode=verify-full&sslrootcert=/etc/ssl/db.pem")));
}

static void test_a_postgresql_store_is_refused_for_what_its_url_says(void)
{
    CU_ASSERT_FALSE(load(IN_POSTGRESQL("postgresql://issuerd:pw@localhost/issuerd")));
    CU_ASSERT_TRUE(has_problem(7, "store.url", "passfile=/PATH"));
    CU_ASSERT_FALSE(load(IN_POSTGRESQL("postgresql://localhost/issuerd?password=pw")));
    CU_ASSERT_TRUE(has_problem(7, "store.url", "passfile=/PATH"));
    CU_ASSERT_FALSE(load(IN_POSTGRESQL("postgresql://localhost")));
    CU_ASSERT_TRUE(has_problem(7, "store.url", "must name a database"));
    CU_ASSERT_FALSE(load(IN_POSTGRESQL("postgresql://localhost,db.example/issuerd")));
    CU_ASSERT_TRUE(has_problem(7, "store.url", "db.example and no sslmode"));
    CU_ASSERT_FALSE(load(IN_POSTGRESQL("postgresql://localhost/issuerd?no_such=1")));
    CU_ASSERT_TRUE(has_problem(7, "store.url", "no_such"));
    CU_ASSERT_FALSE(load(IN_POSTGRESQL("postgresql:///issuerd?host=/a,/b&port=1,2,3")));
    CU_ASSERT_TRUE(has_problem(7, "store.url", "as many hosts"));
    CU_ASSERT_FALSE(load(IN_POSTGRESQL("postgresql:///issuerd?host=/,/,/,/,/,/,/,/,/")));
    CU_ASSERT_TRUE(has_problem(7, "store.url", "more than 8 hosts"));
    CU_ASSERT_FALSE(load(IN_POSTGRESQL("mysql://localhost/issuerd")));
    CU_ASSERT_TRUE(has_problem(7, "store.url", "postgresql://HOST/DATABASE"));
}

static void test_the_state_directory_is_the_sqlite_file_s_unless_it_is_named(void)
{
    char directory[256];

    CU_ASSERT_TRUE_FATAL(load(COMPLETE));
    (void)snprintf(directory, sizeof(directory), "%s", fixture.config->state_dir);
    CU_ASSERT_TRUE_FATAL(load(WITH_STORE("state_dir = @/\nurl = sqlite:/tmp/i.db")));
    CU_ASSERT_EQUAL(strncmp(fixture.config->state_dir, directory, strlen(directory)), 0);
    CU_ASSERT_FALSE(load(WITH_STORE("state_dir = @/missing\nurl = sqlite:/tmp/i.db")));
    CU_ASSERT_TRUE(has_problem(6, "store.state_dir", "make it"));
}

static void test_trust_is_split_into_dids_and_types(void)
{
    CU_ASSERT_TRUE_FATAL(load(COMPLETE "[trust]\nissuer = did:web:a.example Degree  Diploma\n"
                                       "issuer = did:web:b.example\n"));
    const struct config *config = fixture.config;
    CU_ASSERT_EQUAL_FATAL(config->trusted_count, 2);
    CU_ASSERT_STRING_EQUAL(config->trusted[0].did, "did:web:a.example");
    CU_ASSERT_EQUAL_FATAL(config->trusted[0].type_count, 2);
    CU_ASSERT_STRING_EQUAL(config->trusted[0].types[0], "Degree");
    CU_ASSERT_STRING_EQUAL(config->trusted[0].types[1], "Diploma");
    CU_ASSERT_STRING_EQUAL(config->trusted[1].did, "did:web:b.example");
    CU_ASSERT_EQUAL(config->trusted[1].type_count, 0);
    CU_ASSERT_FALSE(load(COMPLETE "[trust]\nissuer = did:web:a A\nissuer = did:web:a B\n"));
    CU_ASSERT_TRUE(has_problem(11, "trust.issuer", "names did:web:a twice"));
}

#define AUDIT_URI "pkcs11:token=a;object=audit?module-path=@20/module.so&pin-source=file:@20/pin"
#define WITH_AUDIT COMPLETE "[ledger]\nsigner = audit\n[signer audit]\nuri = "

static void test_the_ledgers_signer_has_a_key_of_its_own(void)
{
    CU_ASSERT_TRUE(load(WITH_AUDIT AUDIT_URI "\n"));
    CU_ASSERT_STRING_EQUAL(fixture.config->ledger_signer, "audit");
    CU_ASSERT_TRUE(load(WITH_AUDIT AUDIT_URI "\nalgorithm = ES256\n"));
    CU_ASSERT_TRUE(load(WITH_AUDIT AUDIT_URI "\nalgorithm = Ed25519\n"));

    CU_ASSERT_FALSE(load(WITH_AUDIT GOOD_URI "\n"));
    CU_ASSERT_TRUE(has_problem(12, "signer audit.uri", "is the key of [signer main] too"));
    CU_ASSERT_FALSE(load(WITH_AUDIT AUDIT_URI "\nalgorithm = PS256\n"));
    CU_ASSERT_TRUE(has_problem(13, "signer audit.algorithm", "must be ES256 or Ed25519"));
    CU_ASSERT_FALSE(load(WITH_AUDIT AUDIT_URI "\nalgorithm = ES384\n"));
    CU_ASSERT_TRUE(has_problem(13, "signer audit.algorithm", "must be ES256 or Ed25519"));
    CU_ASSERT_TRUE(load(COMPLETE "[signer other]\nuri = " AUDIT_URI "\nalgorithm = ES384\n"));
}

static void test_the_ledgers_signer_is_one_of_several(void)
{
    CU_ASSERT_FALSE(load(COMPLETE "[ledger]\nsigner = main\n"));
    CU_ASSERT_TRUE(has_problem(10, "ledger.signer", "is the only signer"));
    CU_ASSERT_EQUAL(fixture.problems.count, 1);
    CU_ASSERT_FALSE(load(COMPLETE "[ledger]\nsigner = audit\n"));
    CU_ASSERT_TRUE(has_problem(10, "ledger.signer", "add a [signer audit]"));
}

/* C2SP signed-note: a key's name has neither blanks nor plus signs. */
static void test_an_issuer_with_a_plus_names_no_audit_key(void)
{
    static const char rest[] = "[admin]\nclient_secret_file = @/secret\n[store]\n"
                               "url = sqlite:@/issuerd.db\n[signer main]\nuri = " GOOD_URI "\n";
    char text[1024];

    (void)snprintf(text, sizeof(text), "[issuer]\nurl = https://a.example/b+c\n%s", rest);
    CU_ASSERT_TRUE(load(text));
    (void)snprintf(text, sizeof(text),
                   "[issuer]\nurl = https://a.example/b+c\n%s[ledger]\nsigner = audit\n"
                   "[signer audit]\nuri = " AUDIT_URI "\n",
                   rest);
    CU_ASSERT_FALSE(load(text));
    CU_ASSERT_TRUE(has_problem(2, "issuer.url", "'+'"));
}

static void test_a_list_is_bounded(void)
{
    char text[8192];
    size_t length = (size_t)snprintf(text, sizeof(text), COMPLETE "[public]\n");

    for (int i = 0; i <= CONFIG_LIST_MAX; i++) {
        length +=
            (size_t)snprintf(text + length, sizeof(text) - length, "trusted_proxy = ::%x\n", i);
    }
    CU_ASSERT_FALSE(load(text));
    CU_ASSERT_TRUE(has_problem(10 + CONFIG_LIST_MAX, "public.trusted_proxy", "one too many"));
}

static void test_development_allows_files_and_plain_http(void)
{
    CU_ASSERT_TRUE(load("[issuer]\nurl = http://issuer.example\nenvironment = development\n"
                        "[admin]\nclient_secret_file = @/secret\n[store]\nurl = sqlite:@/i.db\n"
                        "[signer a]\nuri = file:@/key.pem\n"));
}

#define PUBLIC_TLS "tls_certificate_file = /c.pem\ntls_key_file = /k.pem\n"
#define ADMIN_TLS "tls_certificate_file = /c.pem\ntls_key_file = /k.pem\n"
#define WITHOUT_ADMIN                                                                              \
    "[issuer]\nurl = https://issuer.example\n[store]\nurl = sqlite:@/issuerd.db\n"                 \
    "[signer main]\nuri = " GOOD_URI "\n[admin]\nclient_secret_file = @/secret\n" /* 7, 8 */

static void test_a_public_listener_for_others_needs_tls_or_a_proxy(void)
{
    CU_ASSERT_FALSE(load(COMPLETE "[public]\nlisten = 0.0.0.0:8080\n"));
    CU_ASSERT_TRUE(has_problem(10, "public.listen", "trusted_proxy"));
    CU_ASSERT_TRUE(load(COMPLETE "[public]\nlisten = 0.0.0.0:8080\ntrusted_proxy = 10.0.0.1\n"));
    CU_ASSERT_FALSE(load(COMPLETE "[public]\nlisten = 0.0.0.0:8081\ntrusted_proxy = 10.0.0.1\n"));
    CU_ASSERT_TRUE(has_problem(10, "public.listen", "the address of the admin listener too"));
    CU_ASSERT_TRUE(load(COMPLETE "[public]\nlisten = 0.0.0.0:8080\n" PUBLIC_TLS));
    CU_ASSERT_EQUAL(fixture.config->public_tls.line, 11);
    CU_ASSERT_STRING_EQUAL(fixture.config->public_tls.key_file, "/k.pem");
    CU_ASSERT_TRUE(load(WITHOUT_ADMIN "[public]\nlisten = [::1]:8080\n"));
}

static void test_an_admin_listener_for_others_needs_client_certificates(void)
{
    CU_ASSERT_FALSE(load(WITHOUT_ADMIN "listen = 0.0.0.0:8081\n"));
    CU_ASSERT_TRUE(has_problem(9, "admin.listen", "tls_client_ca_file"));
    CU_ASSERT_FALSE(load(WITHOUT_ADMIN "listen = 0.0.0.0:8081\n" ADMIN_TLS));
    CU_ASSERT_TRUE(has_problem(9, "admin.listen", "tls_client_ca_file"));
    CU_ASSERT_TRUE(
        load(WITHOUT_ADMIN "listen = 0.0.0.0:8081\n" ADMIN_TLS "tls_client_ca_file = /ca.pem\n"));
}

static void test_a_unix_socket_has_no_tls(void)
{
    CU_ASSERT_FALSE(load(COMPLETE "[public]\nlisten = unix:@/a socket\n" PUBLIC_TLS));
    CU_ASSERT_TRUE(has_problem(11, "public.tls_certificate_file", "Unix socket"));
}

static void test_all_problems_come_at_once_in_order_of_lines(void)
{
    CU_ASSERT_FALSE(load("loose = 1\n"         /* 1 */
                         "[issuer]\n"          /* 2 */
                         "urll = https://a\n"  /* 3, and url is missing */
                         "[tokens]\n"          /* 4 */
                         "lifetime_s = 5\n"    /* 5 */
                         "lifetime_s = 3600\n" /* 6 */
                         "colour = red\n"      /* 7 */
                         "nothing here\n"      /* 8 */
                         "= 5\n"               /* 9 */
                         "[token]\n"           /* 10 */
                         "ignored = 1\n"       /* 11 */
                         "[tokens]\n"          /* 12 */
                         "[signer]\n"          /* 13 */
                         "[signer Bad_Name]\n" /* 14 */
                         "[signer a]\n"        /* 15 */
                         "[signer a]\n"        /* 16 */
                         "[zzz] x\n"           /* 17 */
                         "a\001b = 1\n"));     /* 18 */
    CU_ASSERT_TRUE(has_problem(0, "admin.client_secret_file", "missing"));
    CU_ASSERT_TRUE(has_problem(0, "store.url", "missing"));
    CU_ASSERT_TRUE(has_problem(1, "", "before the first [section]"));
    CU_ASSERT_TRUE(has_problem(2, "issuer.url", "missing"));
    CU_ASSERT_TRUE(has_problem(3, "issuer.urll", "did you mean url?"));
    CU_ASSERT_TRUE(has_problem(5, "tokens.lifetime_s", "from 60 to 86400"));
    CU_ASSERT_TRUE(has_problem(6, "tokens.lifetime_s", "twice, first on line 5"));
    CU_ASSERT_TRUE(has_problem(7, "tokens.colour", "not a known setting"));
    CU_ASSERT_TRUE(has_problem(8, "", "neither"));
    CU_ASSERT_TRUE(has_problem(9, "", "neither"));
    CU_ASSERT_TRUE(has_problem(10, "[token]", "did you mean [tokens]?"));
    CU_ASSERT_TRUE(has_problem(12, "[tokens]", "twice, first on line 4"));
    CU_ASSERT_TRUE(has_problem(13, "[signer]", "must have a name"));
    CU_ASSERT_TRUE(has_problem(14, "[signer Bad_Name]", "a-z, 0-9"));
    CU_ASSERT_TRUE(has_problem(15, "signer a.uri", "missing"));
    CU_ASSERT_TRUE(has_problem(16, "[signer a]", "twice, first on line 15"));
    CU_ASSERT_TRUE(has_problem(17, "[zzz]", "not a known section"));
    CU_ASSERT_TRUE(has_problem(17, "", "after ']'"));
    CU_ASSERT_TRUE(has_problem(18, "", "control character"));
    CU_ASSERT_EQUAL(fixture.problems.count, 19);
    for (size_t i = 1; i < fixture.problems.count; i++) {
        CU_ASSERT_TRUE(fixture.problems.list[i - 1].line <= fixture.problems.list[i].line);
    }
}

static void test_a_lost_heading_makes_nothing_missing(void)
{
    CU_ASSERT_FALSE(load("[issuer\nurl = https://issuer.example\n"));
    CU_ASSERT_EQUAL(fixture.problems.count, 1);
    CU_ASSERT_TRUE(has_problem(1, "", "no ']'"));
}

static void test_long_names_are_not_cut(void)
{
    CU_ASSERT_FALSE(load(COMPLETE "[tokens5678901234567890123456789012345678901234567890x]\n"
                                  "[tokens]\n"
                                  "lifetime_s8901234567890123456789012345678901234567890x = 5\n"));
    CU_ASSERT_EQUAL(fixture.problems.count, 2);
    CU_ASSERT_TRUE(has_problem(9, "[tokens5678901234567890123456789012345678...]", "known"));
    CU_ASSERT_TRUE(has_problem(11, "tokens.lifetime_s89012345678901234567...", "known"));
    CU_ASSERT_TRUE(load(REQUIRED "[signer 12345678901234567890123456789012]\nuri=" GOOD_URI "\n"));
    CU_ASSERT_FALSE(load(REQUIRED "[signer 123456789012345678901234567890123]\nuri=" GOOD_URI));
    CU_ASSERT_EQUAL(fixture.problems.count, 1);
}

static void test_a_line_holds_4096_bytes(void)
{
    for (int extra = 0; extra < 2; extra++) {
        fixture.length = 0;
        add_text(COMPLETE);
        fixture.text[fixture.length++] = ';';
        memset(fixture.text + fixture.length, 'x', 4095);
        fixture.length += 4095 + (size_t)extra;
        fixture.text[fixture.length - 1] = 'x';
        memcpy(fixture.text + fixture.length, "\nfault\n", 7);
        fixture.length += 7;
        CU_ASSERT_FALSE(load_bytes(fixture.text, fixture.length));
        CU_ASSERT_EQUAL(fixture.problems.count, (size_t)(1 + extra));
        CU_ASSERT_TRUE(has_problem(10, "", "neither"));
        CU_ASSERT_TRUE(extra == 0 || has_problem(9, "", "longer than 4096"));
    }
}

static void test_line_ends_bom_and_nul(void)
{
    char crlf[4096];
    size_t length = 0;

    CU_ASSERT_TRUE_FATAL(load("\xEF\xBB\xBF" COMPLETE "sessions = 3")); /* no newline at the end */
    CU_ASSERT_EQUAL(fixture.config->signers[0].sessions, 3);
    for (const char *at = fixture.text; *at != '\0'; at++) {
        if (*at == '\n') {
            crlf[length++] = '\r';
        }
        crlf[length++] = *at;
    }
    CU_ASSERT_TRUE_FATAL(load_bytes(crlf, length));
    CU_ASSERT_EQUAL(fixture.config->signers[0].sessions, 3);
    fixture.text[fixture.length - 1] = '\0';
    CU_ASSERT_FALSE(load_bytes(fixture.text, fixture.length));
    CU_ASSERT_TRUE(has_problem(9, "", "control character"));
    CU_ASSERT_FALSE(load_bytes("", 0));
    CU_ASSERT_EQUAL(fixture.problems.count, 4);
}

static void test_an_indented_line_is_a_setting_of_its_own(void)
{
    CU_ASSERT_TRUE_FATAL(load(COMPLETE "  sessions = 4\n\tqueue:5\n"));
    CU_ASSERT_EQUAL(fixture.config->signers[0].sessions, 4);
    CU_ASSERT_EQUAL(fixture.config->signers[0].queue, 5);
}

static void expect_unreadable(const char *path, const char *words)
{
    forget_result();
    CU_ASSERT_FALSE(config_load(path, &fixture.config, &fixture.problems));
    CU_ASSERT_EQUAL(fixture.problems.count, 1);
    CU_ASSERT_TRUE(has_problem(0, "", words));
}

static void test_what_is_no_file_is_refused(void)
{
    static char large[65537];
    memset(large, '\n', sizeof(large));
    expect_unreadable("/nonexistent/issuerd.conf", "cannot be opened");
    expect_unreadable(fixture.directory, "not a regular file");
    expect_unreadable("/dev/zero", "not a regular file");
    (void)load_bytes(large, sizeof(large));
    expect_unreadable(fixture.path, "larger than");
}

static void test_at_most_eight_signers(void)
{
    char section[128];
    fixture.length = 0;
    add_text(REQUIRED);
    for (int i = 0; i < 9; i++) {
        (void)snprintf(section, sizeof(section), "[signer s%d]\nuri = %s\n", i, GOOD_URI);
        add_text(section);
        CU_ASSERT_EQUAL(load_bytes(fixture.text, fixture.length), i < 8);
    }
    CU_ASSERT_EQUAL(fixture.problems.count, 1);
    CU_ASSERT_TRUE(has_problem(23, "[signer s8]", "at most 8"));
}

static void test_a_pin_is_never_repeated(void)
{
    char printed[4096] = "";
    CU_ASSERT_FALSE(load(REQUIRED "[signer a]\nuri = pkcs11:token=a?pin-value=7351\n"
                                  "pin-value = 7351\n[log]\nlevel = 7351\n"));
    FILE *out = fmemopen(printed, sizeof(printed), "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    config_print_problems(out, "a.conf", &fixture.problems);
    (void)fclose(out);
    CU_ASSERT_PTR_NULL(strstr(printed, "7351"));
    CU_ASSERT_PTR_NOT_NULL(strstr(printed, "a.conf:8: signer a.uri: holds the PIN itself"));
    CU_ASSERT_PTR_NOT_NULL(strstr(printed, "\na.conf: 3 problems\n"));
}

/* --- the help and the sample --- */

static size_t read_all(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    const size_t length = fread(text, 1, size - 1, file);
    (void)fclose(file);
    text[length] = '\0';
    return length;
}

static char help[32768];

static void print_help(void)
{
    FILE *out = fmemopen(help, sizeof(help), "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    config_print_help(out);
    (void)fclose(out);
}

static void test_the_sample_file_is_the_help(void)
{
    static char sample[32768];
    print_help();
    (void)read_all(SOURCE_DIR "/systemd/issuerd.conf", sample, sizeof(sample));
    CU_ASSERT_STRING_EQUAL(sample, help);
}

static void test_comments_of_the_help_fit_80_columns(void)
{
    print_help();
    for (const char *line = help; *line != '\0';) {
        const size_t length = strcspn(line, "\n");
        CU_ASSERT_TRUE(line[0] != '#' || length <= 80);
        line += length + (line[length] == '\n' ? 1 : 0);
    }
}

/* Every commented setting taken in: defaults and examples are good values where they stand. */
static void test_the_help_names_every_setting_with_a_good_value(void)
{
    size_t count = 0;
    const struct config_setting *settings = config_settings(&count);
    print_help();
    for (size_t i = 0; i < count; i++) {
        char line[512];
        const struct config_setting *row = &settings[i];
        const char *value = row->example != NULL ? row->example : row->preset;
        (void)snprintf(line, sizeof(line), "\n%s%s =%s%s\n", row->required ? "" : "#", row->name,
                       value[0] == '\0' ? "" : " ", value);
        CU_ASSERT_PTR_NOT_NULL(strstr(help, line));
        if (!row->required) {
            expect_good(row->section, row->name, value);
        }
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "numbers hold their bounds", test_numbers_hold_their_bounds },
        { "choices take their words alone", test_choices_take_their_words_alone },
        { "texts take what is well-formed", test_texts_take_what_is_well_formed },
        { "every text is bounded and has samples", test_every_text_is_bounded_and_has_samples },
        { "every row explains itself", test_every_row_explains_itself },
        { "a change of any setting is seen", test_a_change_of_any_setting_is_seen },
        { "equal configurations do not differ", test_equal_configurations_do_not_differ },
        { "a reload takes over what it may, and can be undone",
          test_a_reload_takes_over_what_it_may_and_can_be_undone },
        { "signers come, go and change", test_signers_come_go_and_change },
        { "signers stay as they are where the ledger's is another",
          test_signers_stay_as_they_are_where_the_ledgers_is_another },
        { "TLS files change at once, and TLS itself at the next start",
          test_tls_files_change_at_once_and_tls_itself_at_the_next_start },
        { "defaults are as documented", test_defaults_are_as_documented },
        { "values reach their fields", test_values_reach_their_fields },
        { "a PostgreSQL store is named as libpq reads it",
          test_a_postgresql_store_is_named_as_libpq_reads_it },
        { "a PostgreSQL store is refused for what its URL says",
          test_a_postgresql_store_is_refused_for_what_its_url_says },
        { "the state directory is the SQLite file's unless it is named",
          test_the_state_directory_is_the_sqlite_file_s_unless_it_is_named },
        { "trust is split into DIDs and types", test_trust_is_split_into_dids_and_types },
        { "the ledger's signer has a key of its own",
          test_the_ledgers_signer_has_a_key_of_its_own },
        { "the ledger's signer is one of several", test_the_ledgers_signer_is_one_of_several },
        { "an issuer with a plus names no audit key",
          test_an_issuer_with_a_plus_names_no_audit_key },
        { "a list is bounded", test_a_list_is_bounded },
        { "development allows files and plain http", test_development_allows_files_and_plain_http },
        { "a public listener for others needs TLS or a proxy",
          test_a_public_listener_for_others_needs_tls_or_a_proxy },
        { "an admin listener for others needs client certificates",
          test_an_admin_listener_for_others_needs_client_certificates },
        { "a Unix socket has no TLS", test_a_unix_socket_has_no_tls },
        { "all problems come at once, in order of lines",
          test_all_problems_come_at_once_in_order_of_lines },
        { "a lost heading makes nothing missing", test_a_lost_heading_makes_nothing_missing },
        { "long names are not cut", test_long_names_are_not_cut },
        { "a line holds 4096 bytes", test_a_line_holds_4096_bytes },
        { "line ends, BOM and NUL", test_line_ends_bom_and_nul },
        { "an indented line is a setting of its own",
          test_an_indented_line_is_a_setting_of_its_own },
        { "what is no file is refused", test_what_is_no_file_is_refused },
        { "at most eight signers", test_at_most_eight_signers },
        { "a PIN is never repeated", test_a_pin_is_never_repeated },
        { "the sample file is the help", test_the_sample_file_is_the_help },
        { "comments of the help fit 80 columns", test_comments_of_the_help_fit_80_columns },
        { "the help names every setting with a good value",
          test_the_help_names_every_setting_with_a_good_value },
        CU_TEST_INFO_NULL,
    };
    return run_suite("config", make_directory, remove_directory, tests);
}

/* TLS of both listeners: what is spoken and what is not, whom the admin listener lets in, and
 * certificates that change under way. Every test has a server of its own. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/api.h"
#include "support/health.h"
#include "support/load.h"
#include "support/program.h"
#include "support/run.h"

#define JWKS_PATH "/.well-known/jwks.json"

enum { RUN_S = 120, PATH_SIZE = 1024, CONFIG_STATUS = 78, CLIENTS_MAX = 64 };

static struct {
    struct instance *instance;
    struct http_client *clients[CLIENTS_MAX];
    size_t client_count;
    struct load *load;
} fixture;

static char certificates[PATH_SIZE];

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.instance = instance_new(NULL);
}

/* The server must have ended well unless a test has ended it. */
static void tear_down(void)
{
    load_free(take(fixture.load));
    for (size_t i = 0; i < fixture.client_count; i++) {
        http_close(take(fixture.clients[i]));
    }
    if (instance_pid(fixture.instance) != 0) {
        CU_ASSERT_EQUAL(instance_stop(fixture.instance, 30), 0);
    }
    instance_free(take(fixture.instance));
    http_show_certificate(NULL, NULL);
}

/* The fixture closes it. */
static struct http_client *keep(struct http_client *client)
{
    fixture.clients[fixture.client_count++] = client;
    return client;
}

static void wait_ms(int64_t milliseconds)
{
    const struct timespec pause = timespec_from_ns(milliseconds * NS_PER_MS);
    (void)nanosleep(&pause, NULL);
}

/* A path beside the configuration, until the next call but one. */
static const char *place_of(const char *name)
{
    static char paths[2][PATH_SIZE];
    static size_t turn;
    char *path = paths[turn++ % 2];

    (void)snprintf(path, PATH_SIZE, "%s/%s", instance_directory(fixture.instance), name);
    return path;
}

/* Puts `name` of make_certificates.sh to where the configuration says `place`, at once. */
static void put(const char *place, const char *name)
{
    char target[PATH_SIZE + 64];

    (void)snprintf(target, sizeof(target), "%s/%s", certificates, name);
    (void)unlink(place_of("new"));
    CU_ASSERT_EQUAL_FATAL(symlink(target, place_of("new")), 0);
    CU_ASSERT_EQUAL_FATAL(rename(place_of("new"), place_of(place)), 0);
}

static void put_pair(const char *section, const char *name)
{
    char place[64];
    char file[64];

    (void)snprintf(place, sizeof(place), "%s.pem", section);
    (void)snprintf(file, sizeof(file), "%s.pem", name);
    put(place, file);
    (void)snprintf(place, sizeof(place), "%s.key", section);
    (void)snprintf(file, sizeof(file), "%s.key", name);
    put(place, file);
}

static void use_tls(const char *section, const char *name)
{
    char place[64];

    put_pair(section, name);
    (void)snprintf(place, sizeof(place), "%s.pem", section);
    instance_set(fixture.instance, "%s.tls_certificate_file=%s", section, place_of(place));
    (void)snprintf(place, sizeof(place), "%s.key", section);
    instance_set(fixture.instance, "%s.tls_key_file=%s", section, place_of(place));
}

static void use_client_ca(const char *name)
{
    put("ca.pem", name);
    instance_set(fixture.instance, "admin.tls_client_ca_file=%s", place_of("ca.pem"));
}

/* What clients show from now on; NULL: nothing. */
static void show(const char *name)
{
    static char certificate[PATH_SIZE + 64];
    static char key[PATH_SIZE + 64];

    (void)snprintf(certificate, sizeof(certificate), "%s/%s.pem", certificates, name);
    (void)snprintf(key, sizeof(key), "%s/%s.key", certificates, name);
    http_show_certificate(name != NULL ? certificate : NULL, name != NULL ? key : NULL);
}

static bool start_with(const char *public_name)
{
    use_tls("public", public_name);
    return instance_start(fixture.instance);
}

static struct http_client *connect_public(void)
{
    return keep(http_connect(instance_public_port(fixture.instance)));
}

static struct http_client *connect_admin(void)
{
    return keep(http_connect(instance_admin_port(fixture.instance)));
}

/* Runs a line of shell in which $C is where the certificates are, $B where the programs are, $P the
 * public port and $A the other. */
static const struct program_result *run_shell(const char *line)
{
    char port[16];
    char programs[PATH_SIZE];
    const char *const argv[] = { "sh", "-c", line, NULL };

    (void)snprintf(programs, sizeof(programs), "%s", getenv("TEST_ISSUERD"));
    *strrchr(programs, '/') = '\0';
    (void)snprintf(port, sizeof(port), "%d", instance_public_port(fixture.instance));
    (void)setenv("P", port, 1);
    (void)snprintf(port, sizeof(port), "%d", instance_admin_port(fixture.instance));
    (void)setenv("A", port, 1);
    (void)setenv("C", certificates, 1);
    (void)setenv("B", programs, 1);
    return program_run(argv, RUN_S);
}

/* ---- versions and suites ---- */

#define S_CLIENT "timeout 20 openssl s_client -connect 127.0.0.1:$P "
#define AT_LEVEL_0 "-cipher ALL@SECLEVEL=0 </dev/null"

static bool is_spoken(const char *line)
{
    return run_shell(line)->status == 0;
}

static void test_tls_12_and_13_are_spoken_and_nothing_older(void)
{
    CU_ASSERT_TRUE_FATAL(start_with("ecdsa"));
    CU_ASSERT_TRUE(is_spoken(S_CLIENT "-tls1_3 </dev/null"));
    CU_ASSERT_TRUE(is_spoken(S_CLIENT "-tls1_2 </dev/null"));
    CU_ASSERT_FALSE(is_spoken(S_CLIENT "-tls1_1 " AT_LEVEL_0));
    CU_ASSERT_FALSE(is_spoken(S_CLIENT "-tls1 " AT_LEVEL_0));
}

static void test_suites_without_forward_secrecy_or_aead_are_refused(void)
{
    CU_ASSERT_TRUE_FATAL(start_with("rsa"));
    CU_ASSERT_TRUE(is_spoken(S_CLIENT "-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256 </dev/null"));
    CU_ASSERT_TRUE(is_spoken(S_CLIENT "-tls1_2 -cipher ECDHE-RSA-CHACHA20-POLY1305 </dev/null"));
    CU_ASSERT_FALSE(is_spoken(S_CLIENT "-tls1_2 -cipher ECDHE-RSA-AES128-SHA256 </dev/null"));
    CU_ASSERT_FALSE(is_spoken(S_CLIENT "-tls1_2 -cipher ECDHE-RSA-AES256-SHA </dev/null"));
    CU_ASSERT_FALSE(is_spoken(S_CLIENT "-tls1_2 -cipher AES256-GCM-SHA384 </dev/null"));
    CU_ASSERT_FALSE(is_spoken(S_CLIENT "-tls1_2 -cipher DHE-RSA-AES256-GCM-SHA384 </dev/null"));
    CU_ASSERT_FALSE(is_spoken(S_CLIENT "-tls1_2 -sigalgs RSA+SHA1 " AT_LEVEL_0));
}

static void test_no_session_is_resumed(void)
{
    CU_ASSERT_TRUE_FATAL(start_with("ecdsa"));
    CU_ASSERT_TRUE(
        program_ended(run_shell("sleep 1 | " S_CLIENT "-tls1_3 -sess_out \"$C/session\" >/dev/null;"
                                " test -s \"$C/session\" || echo no ticket came"),
                      0, "no ticket came"));
    const struct program_result *result =
        run_shell("sleep 3 | " S_CLIENT "-tls1_2 -reconnect | grep -E '^(New|Reused)'");
    CU_ASSERT_PTR_NOT_NULL(strstr(result->output, "New, TLSv1.2"));
    CU_ASSERT_PTR_NULL(strstr(result->output, "Reused"));
}

/* Each suite that it takes is forward secret and authenticated; sslscan names the rest as it is. */
static void assert_scan_is_clean(const char *output)
{
    static const char *const wanted[] = {
        "SSLv2     disabled",     "SSLv3     disabled",
        "TLSv1.0   disabled",     "TLSv1.1   disabled",
        "TLSv1.2   enabled",      "TLSv1.3   enabled",
        "supports TLS Fallback",  "Session renegotiation not supported",
        "TLSv1.3 not vulnerable", "TLSv1.2 not vulnerable",
    };
    size_t suites = 0;

    for (size_t i = 0; i < COUNT_OF(wanted); i++) {
        CU_ASSERT_PTR_NOT_NULL(strstr(output, wanted[i]));
    }
    for (const char *at = output; (at = strstr(at, " bits ")) != NULL; at++) {
        char suite[64] = "";
        (void)sscanf(at, " bits %63s", suite);
        if (strpbrk(suite, "-_") == NULL) {
            continue; /* a group of the key exchange */
        }
        CU_ASSERT_TRUE(strncmp(suite, "TLS_", 4) == 0 || strncmp(suite, "ECDHE-", 6) == 0);
        CU_ASSERT_TRUE(strstr(suite, "GCM") != NULL || strstr(suite, "POLY1305") != NULL);
        suites++;
    }
    CU_ASSERT_TRUE(suites >= 6);
}

static void scan(const char *name)
{
    use_tls("public", name);
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    assert_scan_is_clean(run_shell("sslscan --no-colour 127.0.0.1:$P")->output);
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, 30), 0);
}

static void test_sslscan_finds_nothing_weak(void)
{
    scan("ecdsa");
    scan("rsa");
}

/* ---- certificates ---- */

static void test_exchanges_are_made_with_ecdsa_and_with_rsa(void)
{
    CU_ASSERT_TRUE_FATAL(start_with("ecdsa"));
    CU_ASSERT_TRUE(api_serves(fixture.instance));
    CU_ASSERT_STRING_EQUAL(http_server_name(connect_public()), "ecdsa");
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, 30), 0);
    CU_ASSERT_TRUE_FATAL(start_with("rsa"));
    CU_ASSERT_TRUE(api_serves(fixture.instance));
    CU_ASSERT_STRING_EQUAL(http_server_name(connect_public()), "rsa");
}

static void test_the_issuers_are_sent_with_the_certificate(void)
{
    CU_ASSERT_TRUE_FATAL(start_with("chained"));
    CU_ASSERT_TRUE(program_ended(run_shell(S_CLIENT "-CAfile \"$C/ca.pem\" </dev/null"), 0,
                                 "Verify return code: 0 (ok)"));
}

static void test_plain_http_is_not_answered(void)
{
    CU_ASSERT_TRUE_FATAL(start_with("ecdsa"));
    struct http_client *client = keep(http_connect_plain(instance_public_port(fixture.instance)));
    CU_ASSERT_EQUAL(http_get(client, JWKS_PATH)->status, 0);
    CU_ASSERT_TRUE(api_serves(fixture.instance));
}

/* ---- what is refused at the start ---- */

static bool is_refused(const char *option, const char *words)
{
    const char *const argv[] = { "issuerd", option, instance_conf_path(fixture.instance), NULL };

    instance_write_conf(fixture.instance);
    return program_ended(program_run(argv, RUN_S), CONFIG_STATUS, words);
}

static void test_certificates_that_no_client_should_see_are_refused(void)
{
    static const struct {
        const char *certificate;
        const char *key;
        const char *words;
    } bad[] = {
        { "missing.pem", "ecdsa.key", "tls_certificate_file: " },
        { "missing.pem", "ecdsa.key", "cannot be opened" },
        { "ecdsa.pem", "missing.key", "tls_key_file: " },
        { "ecdsa.key", "ecdsa.key", "holds no PEM certificates" },
        { "ecdsa.pem", "ecdsa.pem", "is no PEM private key" },
        { "ecdsa.pem", "renewed.key", "is not the key of the certificate" },
        { "expired.pem", "expired.key", "has expired on " },
        { "early.pem", "early.key", "is not for TLS servers" },
        { "early-server.pem", "early-server.key", "is not valid before " },
        { "small.pem", "small.key", "has a key of 1024 bits" },
        { "ed25519.pem", "ed25519.key", "neither RSA nor ECDSA" },
        { "client-only.pem", "client-only.key", "is not for TLS servers" },
        { "under-leaf.pem", "under-leaf.key", "certificate 2 is no CA's" },
        { "jumbled.pem", "ecdsa.key", "certificate 2 did not issue the one before it" },
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        use_tls("public", "ecdsa");
        put("public.pem", bad[i].certificate);
        put("public.key", bad[i].key);
        CU_ASSERT_TRUE(is_refused("--check-config", bad[i].words));
        CU_ASSERT_TRUE(is_refused("--config", bad[i].words));
    }
}

static void test_a_key_open_to_others_is_refused(void)
{
    const char *key = place_of("own.key");
    CU_ASSERT_TRUE(program_ended(run_shell("cat \"$C/ecdsa.key\""), 0, "PRIVATE KEY"));
    FILE *file = fopen(key, "we");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    (void)fputs(run_shell("cat \"$C/ecdsa.key\"")->output, file);
    (void)fclose(file);
    use_tls("public", "ecdsa");
    instance_set(fixture.instance, "public.tls_key_file=%s", place_of("own.key"));
    CU_ASSERT_EQUAL(chmod(place_of("own.key"), 0640), 0);
    CU_ASSERT_TRUE(is_refused("--check-config", "is open to others (mode 0640): chmod 600 it"));
    CU_ASSERT_EQUAL(chmod(place_of("own.key"), 0600), 0);
    CU_ASSERT_TRUE(instance_start(fixture.instance));
}

static void test_client_cas_that_could_vouch_for_nobody_are_refused(void)
{
    use_tls("admin", "ecdsa");
    use_client_ca("admin.pem");
    CU_ASSERT_TRUE(is_refused("--check-config", "certificate 1 is no CA's"));
    use_client_ca("admin.key");
    CU_ASSERT_TRUE(is_refused("--config", "holds no PEM certificates"));
    use_client_ca("missing");
    CU_ASSERT_TRUE(is_refused("--config", "tls_client_ca_file"));
}

static void test_all_listeners_are_checked_at_once(void)
{
    use_tls("public", "expired");
    use_tls("admin", "small");
    CU_ASSERT_TRUE(is_refused("--check-config", "[public]: tls_certificate_file: "));
    CU_ASSERT_TRUE(is_refused("--check-config", "[admin]: tls_certificate_file: "));
    CU_ASSERT_TRUE(is_refused("--check-config", "2 problems"));
}

static const struct program_result *check_config(void)
{
    const char *const argv[] = { "issuerd", "--check-config", instance_conf_path(fixture.instance),
                                 NULL };

    instance_write_conf(fixture.instance);
    return program_run(argv, RUN_S);
}

static bool is_warned_of(const char *words)
{
    return program_ended(check_config(), 0, words);
}

static void test_what_should_be_looked_after_is_said_and_served(void)
{
    use_tls("public", "chained");
    CU_ASSERT_TRUE(is_warned_of("good"));
    CU_ASSERT_PTR_NULL(strstr(check_config()->output, "warning"));
    use_tls("public", "soon");
    CU_ASSERT_TRUE(is_warned_of("[public]: warning: "));
    CU_ASSERT_TRUE(is_warned_of("renew it"));
    use_tls("admin", "aia");
    CU_ASSERT_TRUE(is_warned_of("the server's own certificate alone"));
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "tls.advice listener='[public]'"));
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, "tls.advice listener='[admin]'"));
    CU_ASSERT_TRUE(api_serves(fixture.instance));
}

/* ---- client certificates ---- */

static bool start_for_admins(void)
{
    use_tls("admin", "rsa");
    use_client_ca("ca.pem");
    return start_with("ecdsa");
}

static void assert_not_let_in(const char *name, const char *words)
{
    show(name);
    struct http_client *client = connect_admin();
    const struct http_reply *reply = http_get(client, "/livez");
    CU_ASSERT_TRUE(is_error_reply(reply, 403, API_CLIENT_CERTIFICATE, "GET", "/livez"));
    CU_ASSERT_PTR_NOT_NULL(strstr(reply->body, words));
    CU_ASSERT_STRING_EQUAL(http_header(reply, "Connection"), "close");
    CU_ASSERT_TRUE(http_is_closed_by_server(client));
}

static void test_only_a_client_certificate_that_counts_is_let_in(void)
{
    CU_ASSERT_TRUE_FATAL(start_for_admins());
    assert_not_let_in(NULL, "none was sent");
    assert_not_let_in("stranger", "is of no CA that this listener trusts");
    assert_not_let_in("lapsed", "has expired");
    assert_not_let_in("early", "is not valid yet");
    assert_not_let_in("server-only", "is not for TLS clients");
    assert_not_let_in("weak", "too weak");
    show("admin");
    struct http_client *client = connect_admin();
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(http_get(client, "/livez")->status, 200);
    }
    CU_ASSERT_TRUE(api_serves(fixture.instance));
}

#define CURL_12 "curl -s --tls-max 1.2 --cacert \"$C/ca.pem\" https://localhost:$A/livez "

static void test_client_certificates_count_in_tls_12_too(void)
{
    char port[16];

    CU_ASSERT_TRUE_FATAL(start_for_admins());
    (void)snprintf(port, sizeof(port), "%d", instance_admin_port(fixture.instance));
    (void)setenv("A", port, 1);
    CU_ASSERT_TRUE(program_ended(run_shell(CURL_12), 0, "none was sent"));
    CU_ASSERT_TRUE(
        program_ended(run_shell(CURL_12 "--cert \"$C/stranger.pem\" --key \"$C/stranger.key\""), 0,
                      "is of no CA"));
    CU_ASSERT_TRUE(program_ended(
        run_shell(CURL_12 "--cert \"$C/admin.pem\" --key \"$C/admin.key\""), 0, "live"));
}

static void test_nothing_is_done_for_a_client_that_is_not_let_in(void)
{
    char id[API_ID_SIZE];

    CU_ASSERT_TRUE_FATAL(start_for_admins());
    CU_ASSERT_TRUE_FATAL(api_create(connect_public(), id));
    show("stranger");
    CU_ASSERT_EQUAL(api_approve(fixture.instance, connect_admin(), id, HOLDER_DID, NULL)->status,
                    403);
    show("admin");
    CU_ASSERT_EQUAL(api_approve(fixture.instance, connect_admin(), id, HOLDER_DID, NULL)->status,
                    200);
}

static void test_the_public_listener_asks_for_no_certificate(void)
{
    CU_ASSERT_TRUE_FATAL(start_for_admins());
    show("stranger");
    CU_ASSERT_EQUAL(http_get(connect_public(), JWKS_PATH)->status, 200);
    CU_ASSERT_TRUE(
        program_ended(run_shell(S_CLIENT "</dev/null"), 0, "No client certificate CA names sent"));
}

/* ---- reload ---- */

static int count_logged(const char *event)
{
    char line[1024];
    int count = 0;
    FILE *file = fopen(instance_log_path(fixture.instance), "re");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        count += strstr(line, event) != NULL;
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return count;
}

/* Sends SIGHUP; true once one more `event` is logged. */
static bool reload(const char *event)
{
    const int before = count_logged(event);

    (void)kill(instance_pid(fixture.instance), SIGHUP);
    for (int i = 0; i < 1000; i++) {
        if (count_logged(event) > before) {
            return true;
        }
        wait_ms(10);
    }
    return false;
}

static void test_a_renewal_under_load_drops_no_connection(void)
{
    CU_ASSERT_TRUE_FATAL(start_with("ecdsa"));
    struct http_client *old = connect_public();
    CU_ASSERT_EQUAL(http_get(old, JWKS_PATH)->status, 200);
    fixture.load = load_start(fixture.instance, 4);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.load);
    for (int i = 0; i < 20; i++) {
        const char *name = i % 2 == 0 ? "rsa" : "renewed";
        put_pair("public", name);
        CU_ASSERT_TRUE(reload("config.reloaded"));
        CU_ASSERT_STRING_EQUAL(http_server_name(connect_public()), name);
    }
    CU_ASSERT_EQUAL(http_get(old, JWKS_PATH)->status, 200);
    CU_ASSERT_STRING_EQUAL(http_server_name(old), "ecdsa");
    CU_ASSERT_TRUE(load_goes_on(fixture.load, 5));
    const struct load_book *book = load_stop(fixture.load);
    CU_ASSERT_EQUAL(book->issued, book->count);
    CU_ASSERT_EQUAL(book->wrong + book->unanswered + book->spent, 0);
}

static void assert_reload_is_refused(const char *certificate, const char *key, const char *words)
{
    put("public.pem", certificate);
    put("public.key", key);
    CU_ASSERT_TRUE(reload("config.refused"));
    CU_ASSERT_TRUE(instance_has_logged(fixture.instance, words));
    CU_ASSERT_STRING_EQUAL(http_server_name(connect_public()), "ecdsa");
    CU_ASSERT_TRUE(health_is_ready(fixture.instance));
    CU_ASSERT_TRUE(api_serves(fixture.instance));
}

static void test_a_bad_renewal_changes_nothing(void)
{
    CU_ASSERT_TRUE_FATAL(start_with("ecdsa"));
    assert_reload_is_refused("renewed.pem", "ecdsa.key", "is not the key of the certificate");
    assert_reload_is_refused("expired.pem", "expired.key", "has expired on");
    assert_reload_is_refused("missing.pem", "renewed.key", "cannot be opened");
    CU_ASSERT_EQUAL(count_logged("config.reloaded"), 0);
    put_pair("public", "renewed");
    CU_ASSERT_TRUE(reload("config.reloaded"));
    CU_ASSERT_STRING_EQUAL(http_server_name(connect_public()), "renewed");
}

static void test_one_bad_listener_keeps_the_other_as_it_is(void)
{
    use_tls("admin", "ecdsa");
    CU_ASSERT_TRUE_FATAL(start_with("ecdsa"));
    put_pair("public", "renewed");
    put_pair("admin", "expired");
    CU_ASSERT_TRUE(reload("config.refused"));
    CU_ASSERT_STRING_EQUAL(http_server_name(connect_public()), "ecdsa");
    CU_ASSERT_STRING_EQUAL(http_server_name(connect_admin()), "ecdsa");
}

static void test_client_cas_are_renewed_for_new_connections(void)
{
    CU_ASSERT_TRUE_FATAL(start_for_admins());
    show("admin");
    struct http_client *old = connect_admin();
    CU_ASSERT_EQUAL(http_get(old, "/livez")->status, 200);
    put("ca.pem", "other-ca.pem");
    CU_ASSERT_TRUE(reload("config.reloaded"));
    CU_ASSERT_EQUAL(http_get(old, "/livez")->status, 200);
    assert_not_let_in("admin", "is of no CA that this listener trusts");
    show("stranger");
    CU_ASSERT_EQUAL(http_get(connect_admin(), "/livez")->status, 200);
}

static void test_a_reload_without_tls_changes_nothing(void)
{
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_TRUE(reload("config.reloaded"));
    CU_ASSERT_TRUE(api_serves(fixture.instance));
    CU_ASSERT_EQUAL(health_metric(fixture.instance, "issuerd_tls_certificate_expiry_seconds"), -1);
}

static double end_of(const char *name)
{
    char line[256];

    (void)snprintf(
        line, sizeof(line),
        "date -u -d \"$(openssl x509 -in \"$C/%s.pem\" -noout -enddate | cut -d= -f2)\" +%%s",
        name);
    return strtod(run_shell(line)->output, NULL);
}

static void test_the_metric_tells_when_the_certificate_expires(void)
{
    static const char sample[] = "issuerd_tls_certificate_expiry_seconds{listener=\"public\"}";

    CU_ASSERT_TRUE_FATAL(start_with("ecdsa"));
    CU_ASSERT_EQUAL(health_metric(fixture.instance, sample), end_of("ecdsa"));
    put_pair("public", "soon");
    CU_ASSERT_TRUE(reload("config.reloaded"));
    CU_ASSERT_EQUAL(health_metric(fixture.instance, sample), end_of("soon"));
    CU_ASSERT_NOT_EQUAL(end_of("ecdsa"), end_of("soon"));
}

/* ---- deadlines and places ---- */

#define HELLO_BEGIN "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"

static const char half_head[] = "GET " JWKS_PATH " HTTP/1.1\r\nX-Half: ";

/* True if the connection was closed, without a byte, when it was due and not before. */
static bool is_cut_in_time(struct http_client *client, int64_t begun_ns, int64_t due_s)
{
    const bool closed = http_is_closed_by_server(client);
    const int64_t took_ns = monotonic_ns() - begun_ns;

    return closed && took_ns > due_s * NS_PER_S - 300 * (int64_t)NS_PER_MS
        && took_ns < (due_s + 2) * HEALTH_SLACK * NS_PER_S;
}

static void test_a_handshake_that_hangs_is_cut_at_the_deadline(void)
{
    instance_set(fixture.instance, "public.head_timeout_s=2");
    CU_ASSERT_TRUE_FATAL(start_with("ecdsa"));
    const int port = instance_public_port(fixture.instance);
    const int64_t begun_ns = monotonic_ns();
    struct http_client *silent = keep(http_connect_plain(port));
    struct http_client *half = keep(http_connect_plain(port));
    struct http_client *idle = connect_public();
    struct http_client *slow = connect_public();

    CU_ASSERT_TRUE(http_send(half, HELLO_BEGIN, sizeof(HELLO_BEGIN) - 1));
    CU_ASSERT_TRUE(http_send_text(slow, half_head));
    CU_ASSERT_TRUE(is_cut_in_time(silent, begun_ns, 2));
    CU_ASSERT_TRUE(is_cut_in_time(half, begun_ns, 2));
    CU_ASSERT_TRUE(is_cut_in_time(idle, begun_ns, 2));
    CU_ASSERT_TRUE(is_cut_in_time(slow, begun_ns, 2));
    CU_ASSERT_TRUE(api_serves(fixture.instance));
}

static void test_a_later_head_that_hangs_is_cut_at_the_deadline(void)
{
    instance_set(fixture.instance, "public.head_timeout_s=2");
    CU_ASSERT_TRUE_FATAL(start_with("ecdsa"));
    struct http_client *client = connect_public();

    CU_ASSERT_EQUAL(http_get(client, JWKS_PATH)->status, 200);
    wait_ms(500); /* for the server to see that nothing has come */
    const int64_t begun_ns = monotonic_ns();
    CU_ASSERT_TRUE(http_send_text(client, half_head));
    CU_ASSERT_TRUE(is_cut_in_time(client, begun_ns, 2));
}

static void test_a_handshake_in_drips_is_cut_at_the_deadline(void)
{
    instance_set(fixture.instance, "public.head_timeout_s=2");
    CU_ASSERT_TRUE_FATAL(start_with("ecdsa"));
    const int64_t begun_ns = monotonic_ns();
    struct http_client *client = keep(http_connect_plain(instance_public_port(fixture.instance)));
    bool is_open = http_send(client, HELLO_BEGIN, sizeof(HELLO_BEGIN) - 1);

    while (is_open && monotonic_ns() - begun_ns < 10 * HEALTH_SLACK * NS_PER_S) {
        wait_ms(100);
        is_open = http_send(client, "x", 1);
    }
    CU_ASSERT_FALSE(is_open);
    CU_ASSERT_TRUE(monotonic_ns() - begun_ns < 4 * HEALTH_SLACK * NS_PER_S);
}

static void test_who_only_shakes_hands_gives_way(void)
{
    enum { PLACES = 8 };

    instance_set(fixture.instance, "public.connections=%d", PLACES);
    instance_set(fixture.instance, "public.head_timeout_s=60");
    CU_ASSERT_TRUE_FATAL(start_with("ecdsa"));
    const int port = instance_public_port(fixture.instance);
    for (int i = 0; i < PLACES; i++) {
        struct http_client *client = i % 2 == 0 ? connect_public() : keep(http_connect_plain(port));
        CU_ASSERT_TRUE(i % 2 == 0 || http_send(client, HELLO_BEGIN, sizeof(HELLO_BEGIN) - 1));
    }
    wait_ms(1500 * HEALTH_SLACK); /* a new connection's grace */
    CU_ASSERT_EQUAL(http_get(connect_public(), JWKS_PATH)->status, 200);
    CU_ASSERT_TRUE(http_is_closed_by_server(fixture.clients[0])); /* the oldest */
    CU_ASSERT_EQUAL(http_get(connect_public(), JWKS_PATH)->status, 200);
    CU_ASSERT_TRUE(http_is_closed_by_server(fixture.clients[1]));
    CU_ASSERT_EQUAL(http_get(fixture.clients[2], JWKS_PATH)->status, 200);
}

static void test_over_the_limit_is_answered_503_in_tls(void)
{
    instance_set(fixture.instance, "public.connections=2");
    CU_ASSERT_TRUE_FATAL(start_with("ecdsa"));
    CU_ASSERT_EQUAL(http_get(connect_public(), JWKS_PATH)->status, 200);
    CU_ASSERT_EQUAL(http_get(connect_public(), JWKS_PATH)->status, 200);
    CU_ASSERT_TRUE(is_error_reply(http_get(connect_public(), JWKS_PATH), 503, API_OVERLOADED, "GET",
                                  JWKS_PATH));
}

static void test_connections_at_rest_do_not_delay_the_end(void)
{
    instance_set(fixture.instance, "public.head_timeout_s=60");
    CU_ASSERT_TRUE_FATAL(start_with("ecdsa"));
    struct http_client *shaken = connect_public();
    struct http_client *used = connect_public();
    struct http_client *silent = keep(http_connect_plain(instance_public_port(fixture.instance)));
    const int64_t begun_ns = monotonic_ns();

    CU_ASSERT_EQUAL(http_get(used, JWKS_PATH)->status, 200);
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, 30), 0);
    CU_ASSERT_TRUE(monotonic_ns() - begun_ns < 5 * HEALTH_SLACK * NS_PER_S);
    CU_ASSERT_TRUE(http_is_closed_by_server(shaken));
    CU_ASSERT_TRUE(http_is_closed_by_server(used));
    CU_ASSERT_TRUE(http_is_closed_by_server(silent));
}

/* libmicrohttpd would turn in circles if it were stopped with any of them under way. */
static void test_handshakes_under_way_do_not_delay_the_end(void)
{
    instance_set(fixture.instance, "public.head_timeout_s=1");
    for (int round = 0; round < 5; round++) {
        CU_ASSERT_TRUE_FATAL(start_with("ecdsa"));
        const int port = instance_public_port(fixture.instance);
        for (int i = 0; i < 10; i++) {
            struct http_client *client = keep(http_connect_plain(port));
            CU_ASSERT_TRUE(i % 2 == 0 || http_send(client, HELLO_BEGIN, sizeof(HELLO_BEGIN) - 1));
        }
        CU_ASSERT_EQUAL(instance_stop(fixture.instance, 10 * HEALTH_SLACK), 0);
    }
}

/* ---- what is no TLS ---- */

static void test_broken_records_harm_nobody(void)
{
    static const struct {
        const char *bytes;
        size_t length;
    } broken[] = {
#define BYTES(text) { text, sizeof(text) - 1 }
        BYTES(HELLO_BEGIN),                        /* cut */
        BYTES("\x16\x03\x01"),                     /* cut in its head */
        BYTES("\x17\x03\x03\x00\x05hello"),        /* data before any handshake */
        BYTES("\x16\x03\x01\xff\xff\x01\x00\xff"), /* longer than a record may be */
        BYTES("\x16\x03\x01\x00\x00"),             /* empty */
        BYTES("\x15\x03\x01\x00\x02\x02\x28"),     /* a fatal alert */
        BYTES("\x80\x2e\x01\x03\x01\x00\x15\x00"), /* SSL 2 */
        BYTES("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
#undef BYTES
    };
    CU_ASSERT_TRUE_FATAL(start_with("ecdsa"));
    for (size_t i = 0; i < COUNT_OF(broken); i++) {
        struct http_client *client = http_connect_plain(instance_public_port(fixture.instance));
        CU_ASSERT_TRUE(http_send(client, broken[i].bytes, broken[i].length));
        http_close(client);
        CU_ASSERT_EQUAL(http_get(connect_public(), JWKS_PATH)->status, 200);
    }
    CU_ASSERT_TRUE(api_serves(fixture.instance));
}

static void test_a_client_that_goes_in_the_middle_harms_nobody(void)
{
    CU_ASSERT_TRUE_FATAL(start_with("ecdsa"));
    for (int i = 0; i < 20; i++) {
        struct http_client *client = http_connect(instance_public_port(fixture.instance));
        CU_ASSERT_TRUE(http_send_text(client, half_head));
        http_abort(client);
    }
    CU_ASSERT_TRUE(api_serves(fixture.instance));
}

static void test_renegotiation_is_refused(void)
{
    CU_ASSERT_TRUE_FATAL(start_with("ecdsa"));
    CU_ASSERT_FALSE(is_spoken("(sleep 1; echo R; sleep 1) | " S_CLIENT "-tls1_2"));
    CU_ASSERT_TRUE(api_serves(fixture.instance));
}

/* ---- issuerctl ---- */

#define STATUS "\"$B\"/issuerctl status --url https://127.0.0.1:$A --ca-file \"$C\"/ca.pem "
#define AS_ADMIN "--client-certificate \"$C\"/admin.pem --client-key \"$C\"/admin.key"

static void test_issuerctl_asks_as_the_client_it_is(void)
{
    CU_ASSERT_TRUE_FATAL(start_for_admins());
    show("admin");
    CU_ASSERT_TRUE_FATAL(api_serves(fixture.instance));
    const struct program_result *result = run_shell(STATUS AS_ADMIN);
    CU_ASSERT_EQUAL(result->status, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(result->output, "\nISSUING "));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(result->output, "TLS      the certificate of public expires at "));
    CU_ASSERT_PTR_NOT_NULL(strstr(result->output, "TLS      the certificate of admin expires at "));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(run_shell(STATUS AS_ADMIN " --json")->output, "\"listener\":\"admin\""));
}

static void test_issuerctl_says_why_a_listener_has_no_ear_for_it(void)
{
    static const struct {
        const char *line;
        const char *words;
    } cases[] = {
        { STATUS, "answers 403: This listener wants a client certificate: none was sent." },
        { STATUS "--client-certificate \"$C\"/stranger.pem --client-key \"$C\"/stranger.key",
          "answers 403: The client certificate is of no CA that this listener trusts." },
        { STATUS "--client-certificate \"$C\"/missing.pem",
          "no answer: could not load PEM client" },
        { "\"$B\"/issuerctl status --url https://127.0.0.1:$A --ca-file "
          "\"$C\"/other-ca.pem " AS_ADMIN,
          "no answer: SSL certificate problem" },
        { "\"$B\"/issuerctl status --url https://127.0.0.1:$A " AS_ADMIN,
          "no answer: SSL certificate problem" },
        { "\"$B\"/issuerctl status --url http://127.0.0.1:$A", "no answer: " },
    };

    CU_ASSERT_TRUE_FATAL(start_for_admins());
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct program_result *result = run_shell(cases[i].line);
        CU_ASSERT_EQUAL(result->status, 69);
        if (strstr(result->errors, cases[i].words) == NULL) {
            printf("\n    %s: %s", cases[i].line, result->errors);
            CU_FAIL("it does not say so");
        }
    }
}

static void test_a_wallet_trades_its_code_over_tls(void)
{
    CU_ASSERT_TRUE_FATAL(start_with("rsa"));
    CU_ASSERT_EQUAL(
        run_shell("\"$B\"/issuerctl wallet --url https://127.0.0.1:$P --ca-file \"$C\"/ca.pem")
            ->status,
        0);
    CU_ASSERT_NOT_EQUAL(run_shell("\"$B\"/issuerctl wallet --url https://127.0.0.1:$P")->status, 0);
}

/* ---- what the processes hold ---- */

static bool maps(pid_t pid, const char *library)
{
    char path[64];
    char line[1024];
    bool found = false;

    (void)snprintf(path, sizeof(path), "/proc/%d/maps", pid);
    FILE *file = fopen(path, "re");
    while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL) {
        found = strstr(line, library) != NULL;
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return found;
}

static void test_issuerd_loads_no_pkcs11_module_and_its_signer_no_tls(void)
{
    static const char *const modules[] = { "libsofthsm2",   "p11-kit-trust", "p11-kit-client",
                                           "p11-kit-proxy", "/pkcs11/",      "opensc" };

    CU_ASSERT_TRUE_FATAL(start_for_admins());
    show("admin");
    CU_ASSERT_TRUE(api_serves(fixture.instance));
    CU_ASSERT_TRUE(reload("config.reloaded"));
    const pid_t issuerd = instance_pid(fixture.instance);
    CU_ASSERT_TRUE(maps(issuerd, "libgnutls"));
    for (size_t i = 0; i < COUNT_OF(modules); i++) {
        CU_ASSERT_FALSE(maps(issuerd, modules[i]));
    }
    const pid_t signer = instance_signer_pid(fixture.instance);
    CU_ASSERT_TRUE(maps(signer, "libsofthsm2"));
    CU_ASSERT_FALSE(maps(signer, "libgnutls"));
    CU_ASSERT_FALSE(maps(signer, "libmicrohttpd"));
}

static bool make_certificates(void)
{
    const char *const argv[] = { "sh", getenv("TEST_MAKE_CERTIFICATES"), certificates, NULL };

    (void)snprintf(certificates, sizeof(certificates), "%s/certificates", getenv("TEST_DIR"));
    return mkdir(certificates, 0700) == 0 && program_ended(program_run(argv, RUN_S), 0, "");
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "TLS 1.2 and 1.3 are spoken, and nothing older",
          test_tls_12_and_13_are_spoken_and_nothing_older },
        { "suites without forward secrecy or AEAD are refused",
          test_suites_without_forward_secrecy_or_aead_are_refused },
        { "no session is resumed", test_no_session_is_resumed },
        { "sslscan finds nothing weak", test_sslscan_finds_nothing_weak },
        { "exchanges are made with ECDSA and with RSA",
          test_exchanges_are_made_with_ecdsa_and_with_rsa },
        { "the issuers are sent with the certificate",
          test_the_issuers_are_sent_with_the_certificate },
        { "plain HTTP is not answered", test_plain_http_is_not_answered },
        { "certificates that no client should see are refused",
          test_certificates_that_no_client_should_see_are_refused },
        { "a key open to others is refused", test_a_key_open_to_others_is_refused },
        { "client CAs that could vouch for nobody are refused",
          test_client_cas_that_could_vouch_for_nobody_are_refused },
        { "all listeners are checked at once", test_all_listeners_are_checked_at_once },
        { "what should be looked after is said, and served",
          test_what_should_be_looked_after_is_said_and_served },
        { "only a client certificate that counts is let in",
          test_only_a_client_certificate_that_counts_is_let_in },
        { "client certificates count in TLS 1.2 too",
          test_client_certificates_count_in_tls_12_too },
        { "nothing is done for a client that is not let in",
          test_nothing_is_done_for_a_client_that_is_not_let_in },
        { "the public listener asks for no certificate",
          test_the_public_listener_asks_for_no_certificate },
        { "a renewal under load drops no connection",
          test_a_renewal_under_load_drops_no_connection },
        { "a bad renewal changes nothing", test_a_bad_renewal_changes_nothing },
        { "one bad listener keeps the other as it is",
          test_one_bad_listener_keeps_the_other_as_it_is },
        { "client CAs are renewed for new connections",
          test_client_cas_are_renewed_for_new_connections },
        { "a reload without TLS changes nothing", test_a_reload_without_tls_changes_nothing },
        { "the metric tells when the certificate expires",
          test_the_metric_tells_when_the_certificate_expires },
        { "a handshake that hangs is cut at the deadline",
          test_a_handshake_that_hangs_is_cut_at_the_deadline },
        { "a later head that hangs is cut at the deadline",
          test_a_later_head_that_hangs_is_cut_at_the_deadline },
        { "a handshake in drips is cut at the deadline",
          test_a_handshake_in_drips_is_cut_at_the_deadline },
        { "who only shakes hands gives way", test_who_only_shakes_hands_gives_way },
        { "over the limit is answered 503 in TLS", test_over_the_limit_is_answered_503_in_tls },
        { "connections at rest do not delay the end",
          test_connections_at_rest_do_not_delay_the_end },
        { "handshakes under way do not delay the end",
          test_handshakes_under_way_do_not_delay_the_end },
        { "broken records harm nobody", test_broken_records_harm_nobody },
        { "a client that goes in the middle harms nobody",
          test_a_client_that_goes_in_the_middle_harms_nobody },
        { "renegotiation is refused", test_renegotiation_is_refused },
        { "issuerctl asks as the client it is", test_issuerctl_asks_as_the_client_it_is },
        { "issuerctl says why a listener has no ear for it",
          test_issuerctl_says_why_a_listener_has_no_ear_for_it },
        { "a wallet trades its code over TLS", test_a_wallet_trades_its_code_over_tls },
        { "issuerd loads no PKCS#11 module, and its signer no TLS",
          test_issuerd_loads_no_pkcs11_module_and_its_signer_no_tls },
        CU_TEST_INFO_NULL,
    };

    if (!make_certificates()) {
        return 2;
    }
    return run_suite("tls", set_up, tear_down, tests);
}

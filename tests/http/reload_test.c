/*
 * SIGHUP: what a changed configuration does to a server that runs, what waits for the next start, and
 * that a bad one does nothing. The signers have reload_signers_test.c, certificates tls_test.c.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/api.h"
#include "support/health.h"
#include "support/holder.h"
#include "support/load.h"
#include "support/run.h"

#define ISSUER "https://issuer.example" /* the instances' */
#define METADATA_PATH "/.well-known/openid-credential-issuer"
#define DEFINITION                                                                                 \
    "{\"id\":\"d\",\"input_descriptors\":[{\"id\":\"degree\",\"constraints\":{\"fields\":[{"       \
    "\"path\":[\"$.credentialSubject.degree\"],\"filter\":{\"const\":\"MSc\"}}]}}]}"
#define SUBMISSION                                                                                 \
    "{\"id\":\"s\",\"definition_id\":\"d\",\"descriptor_map\":[{\"id\":\"degree\","                \
    "\"format\":\"jwt_vc\",\"path\":\"$.vp.verifiableCredential[0]\"}]}"

enum { CLIENTS_MAX = 32 };

static struct {
    struct instance *instance;
    struct load *load;
    struct http_client *clients[CLIENTS_MAX];
    size_t client_count;
    struct holder issuer;
    struct holder holder;
    char *credential;
    char *vp;
    char *body;
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.instance = instance_new(NULL);
    instance_set(fixture.instance, "tokens.code_lifetime_s=300");
    fixture.issuer = holder_new("ES256");
    fixture.holder = holder_new("Ed25519");
}

static void tear_down(void)
{
    load_free(take(fixture.load));
    while (fixture.client_count > 0) {
        http_close(fixture.clients[--fixture.client_count]);
    }
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, 30), 0);
    instance_free(take(fixture.instance));
    holder_clear(&fixture.issuer);
    holder_clear(&fixture.holder);
    free(take(fixture.credential));
    free(take(fixture.vp));
    free(take(fixture.body));
}

/* The fixture closes it. */
static struct http_client *connect_public(void)
{
    CU_ASSERT_TRUE_FATAL(fixture.client_count < CLIENTS_MAX);
    return fixture.clients[fixture.client_count++] =
               http_connect(instance_public_port(fixture.instance));
}

static struct http_client *connect_admin(void)
{
    CU_ASSERT_TRUE_FATAL(fixture.client_count < CLIENTS_MAX);
    return fixture.clients[fixture.client_count++] =
               http_connect(instance_admin_port(fixture.instance));
}

static bool start(void)
{
    return instance_start(fixture.instance);
}

static bool reload_with(const char *setting)
{
    instance_set(fixture.instance, "%s", setting);
    return instance_reload(fixture.instance);
}

static bool has_logged(const char *text)
{
    return instance_has_logged(fixture.instance, text);
}

/* What the log of a good reload says to have changed. */
static bool has_changed(const char *names)
{
    char line[512];

    (void)snprintf(line, sizeof(line), "<5>config.reloaded changed='%s'\n", names);
    return has_logged(line);
}

/* ---- each class of change ---- */

static void test_without_a_change_nothing_happens(void)
{
    CU_ASSERT_TRUE_FATAL(start());
    const pid_t signer = instance_signer_pid(fixture.instance);
    CU_ASSERT_TRUE(instance_reload(fixture.instance));
    CU_ASSERT_TRUE(has_changed(""));
    CU_ASSERT_EQUAL(instance_signer_pid(fixture.instance), signer);
    CU_ASSERT_TRUE(api_serves(fixture.instance));
}

static bool metadata_has(struct http_client *client, const char *text)
{
    const struct http_reply *reply = http_get(client, METADATA_PATH);
    return reply->status == 200 && strstr(reply->body, text) != NULL;
}

static void test_metadata_changes_for_connections_that_are_open(void)
{
    instance_set(fixture.instance, "metadata.display_name=One");
    CU_ASSERT_TRUE_FATAL(start());
    struct http_client *client = connect_public();
    CU_ASSERT_TRUE(metadata_has(client, "\"name\":\"One\""));
    CU_ASSERT_TRUE(reload_with("metadata.display_name=Another"));
    CU_ASSERT_TRUE(has_changed("metadata.display_name"));
    CU_ASSERT_TRUE(metadata_has(client, "\"name\":\"Another\""));
}

static void test_a_limit_of_requests_comes_and_goes(void)
{
    char id[API_ID_SIZE];

    CU_ASSERT_TRUE_FATAL(start());
    struct http_client *client = connect_public();
    CU_ASSERT_TRUE(api_create(client, id));
    instance_set(fixture.instance, "public.requests_burst=2");
    CU_ASSERT_TRUE(reload_with("public.requests_per_s=1"));
    CU_ASSERT_TRUE(has_changed("public.requests_per_s, public.requests_burst"));
    bool is_limited = false;
    for (int i = 0; i < 8 && !is_limited; i++) {
        is_limited = !api_create(client, id);
    }
    CU_ASSERT_TRUE(is_limited);
    CU_ASSERT_TRUE(health_metric(fixture.instance, "issuerd_rate_limited_total") >= 1);
    CU_ASSERT_TRUE(reload_with("public.requests_per_s=0"));
    for (int i = 0; i < 8; i++) {
        CU_ASSERT_TRUE(api_create(client, id));
    }
}

static void test_a_limit_of_connections_holds_for_the_next_one(void)
{
    static const char begin[] = "GET " METADATA_PATH " HTTP/1.1\r\nHost: a\r\n";

    instance_set(fixture.instance, "public.head_timeout_s=60");
    CU_ASSERT_TRUE_FATAL(start());
    for (int i = 0; i < 3; i++) { /* at work, and so they do not give way */
        CU_ASSERT_TRUE(http_send(connect_public(), begin, sizeof(begin) - 1));
    }
    CU_ASSERT_TRUE(metadata_has(connect_public(), ISSUER));
    CU_ASSERT_TRUE(reload_with("public.connections=2"));
    CU_ASSERT_EQUAL(http_get(connect_public(), METADATA_PATH)->status, 503);
    CU_ASSERT_TRUE(http_send_text(fixture.clients[0], "\r\n"));
    CU_ASSERT_EQUAL(http_receive(fixture.clients[0], "GET")->status, 200); /* none was cut */
    CU_ASSERT_TRUE(reload_with("public.connections=100"));
    CU_ASSERT_TRUE(metadata_has(connect_public(), ISSUER));
}

/* The head of a request that never comes to its end. */
static int64_t head_is_cut_after_ms(void)
{
    static const char half[] = "GET " METADATA_PATH " HTTP/1.1\r\nHost: a\r\nX-Half: ";
    struct http_client *client = connect_public();
    const int64_t begin_ns = monotonic_ns();

    http_send(client, half, sizeof(half) - 1);
    (void)http_is_closed_by_server(client);
    return (monotonic_ns() - begin_ns) / NS_PER_MS;
}

static void test_a_deadline_holds_from_now_on(void)
{
    instance_set(fixture.instance, "public.head_timeout_s=30");
    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_TRUE(reload_with("public.head_timeout_s=1"));
    CU_ASSERT_TRUE(has_changed("public.head_timeout_s"));
    CU_ASSERT_TRUE(head_is_cut_after_ms() < 10000);
}

static void test_a_connection_rests_as_long_as_it_may_now(void)
{
    CU_ASSERT_TRUE_FATAL(start());
    struct http_client *client = connect_public();
    CU_ASSERT_TRUE(metadata_has(client, ISSUER));
    CU_ASSERT_TRUE(reload_with("public.idle_timeout_s=1"));
    CU_ASSERT_TRUE(metadata_has(client, ISSUER));
    const int64_t begin_ns = monotonic_ns();
    CU_ASSERT_TRUE(http_is_closed_by_server(client)); /* 30 s by the configuration of the start */
    CU_ASSERT_TRUE(monotonic_ns() - begin_ns < 15 * NS_PER_S);
}

static void test_the_bound_of_open_requests_changes(void)
{
    char id[API_ID_SIZE];

    CU_ASSERT_TRUE_FATAL(start());
    struct http_client *client = connect_public();
    CU_ASSERT_TRUE(api_create(client, id));
    CU_ASSERT_TRUE(reload_with("store.max_open_requests=1"));
    CU_ASSERT_FALSE(api_create(client, id));
    CU_ASSERT_TRUE(reload_with("store.max_open_requests=100"));
    CU_ASSERT_TRUE(api_create(client, id));
}

static bool is_gone(const struct instance *instance)
{
    char code[API_CODE_SIZE];

    return api_make_code(instance, NULL, code) && usleep(2200000) == 0
        && health_is_gone(instance, code);
}

static void test_codes_live_as_long_as_they_may_now(void)
{
    char code[API_CODE_SIZE];

    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_TRUE_FATAL(api_make_code(fixture.instance, NULL, code));
    CU_ASSERT_TRUE(reload_with("tokens.code_lifetime_s=1"));
    CU_ASSERT_TRUE(is_gone(fixture.instance));
    CU_ASSERT_TRUE(is_token_reply(api_redeem(connect_public(), code), NULL)); /* made before */
}

static void test_the_client_secret_is_read_again(void)
{
    char path[512];
    char id[API_ID_SIZE];

    CU_ASSERT_TRUE_FATAL(start());
    struct http_client *admin = connect_admin();
    CU_ASSERT_TRUE_FATAL(api_create(connect_public(), id));
    (void)snprintf(path, sizeof(path), "%s/client-secret", instance_directory(fixture.instance));
    FILE *file = fopen(path, "we");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs("another secret of the tests", file);
    fclose(file);
    CU_ASSERT_EQUAL(api_approve(fixture.instance, admin, id, HOLDER_DID, NULL)->status, 200);
    CU_ASSERT_TRUE_FATAL(api_create(connect_public(), id));
    CU_ASSERT_TRUE(instance_reload(fixture.instance));
    CU_ASSERT_EQUAL(api_approve(fixture.instance, admin, id, HOLDER_DID, NULL)->status, 401);
    CU_ASSERT_FALSE(has_logged("another secret"));
}

static void test_the_log_level_changes(void)
{
    instance_set(fixture.instance, "log.level=notice");
    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_TRUE(api_serves(fixture.instance));
    CU_ASSERT_FALSE(has_logged("authorization.approved"));
    CU_ASSERT_TRUE(reload_with("log.level=debug"));
    CU_ASSERT_TRUE(api_serves(fixture.instance));
    CU_ASSERT_TRUE(has_logged("authorization.approved"));
    CU_ASSERT_TRUE(has_logged("token.issued"));
}

/* ---- trust ---- */

static bool degree_is_accepted(void)
{
    char state[44];
    char nonce[44];
    char id[API_ID_SIZE];
    char path[128];
    struct http_client *client = connect_public();

    api_random_text(state);
    api_random_text(nonce);
    free(take(fixture.body));
    if (asprintf(&fixture.body,
                 "{\"state\":\"%s\",\"nonce\":\"%s\",\"presentation_definition\":" DEFINITION "}",
                 state, nonce)
        < 0) {
        abort();
    }
    if (!reply_member(http_post_json(client, AUTHORIZATIONS_PATH, fixture.body), "id", id,
                      sizeof(id))) {
        return false;
    }
    free(take(fixture.credential));
    fixture.credential = holder_sign(
        &fixture.issuer,
        "{\"iss\":\"%s\",\"sub\":\"%s\",\"nbf\":%lld,"
        "\"vc\":{\"@context\":[\"https://www.w3.org/2018/credentials/v1\"],\"type\":"
        "[\"VerifiableCredential\",\"DegreeCredential\"],\"credentialSubject\":{\"id\":\"%s\","
        "\"degree\":\"MSc\"}}}",
        fixture.issuer.did, fixture.holder.did, (long long)wall_s() - 60, fixture.holder.did);
    free(take(fixture.vp));
    fixture.vp = holder_sign(&fixture.holder,
                             "{\"iss\":\"%s\",\"aud\":\"" ISSUER "\",\"nonce\":\"%s\",\"iat\":%lld,"
                             "\"vp\":{\"type\":[\"VerifiablePresentation\"],"
                             "\"verifiableCredential\":[\"%s\"]}}",
                             fixture.holder.did, nonce, (long long)wall_s(), fixture.credential);
    free(take(fixture.body));
    if (asprintf(&fixture.body,
                 "{\"vp\":\"%s\",\"state\":\"%s\",\"nonce\":\"%s\","
                 "\"presentation_submission\":" SUBMISSION "}",
                 fixture.vp, state, nonce)
        < 0) {
        abort();
    }
    (void)snprintf(path, sizeof(path), AUTHORIZATIONS_PATH "/%s/validate", id);
    return http_post_json(client, path, fixture.body)->status == 200;
}

static void test_an_issuer_is_trusted_from_the_next_presentation_on(void)
{
    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_FALSE(degree_is_accepted());
    instance_set(fixture.instance, "trust.issuer=%s DegreeCredential", fixture.issuer.did);
    CU_ASSERT_TRUE(instance_reload(fixture.instance));
    CU_ASSERT_TRUE(has_changed("trust.issuer"));
    CU_ASSERT_TRUE(degree_is_accepted());
    instance_set(fixture.instance, "trust.issuer=%s DriverCredential", fixture.issuer.did);
    CU_ASSERT_TRUE(instance_reload(fixture.instance)); /* its types alone */
    CU_ASSERT_FALSE(degree_is_accepted());
    instance_drop(fixture.instance, "trust");
    CU_ASSERT_TRUE(instance_reload(fixture.instance));
    CU_ASSERT_FALSE(degree_is_accepted());
}

/* ---- what waits, what is refused ---- */

static void test_what_waits_for_the_next_start_is_named_each_time(void)
{
    CU_ASSERT_TRUE_FATAL(start());
    instance_set(fixture.instance, "issuer.url=https://other.example");
    instance_set(fixture.instance, "tokens.lifetime_s=60");
    CU_ASSERT_TRUE(reload_with("metadata.display_name=Now"));
    CU_ASSERT_TRUE(has_changed("metadata.display_name"));
    CU_ASSERT_TRUE(has_logged("<4>config.kept setting='issuer.url' effect='the change takes effect "
                              "at the next start'\n"));
    CU_ASSERT_TRUE(has_logged("config.kept setting='tokens.lifetime_s' "));
    CU_ASSERT_TRUE(metadata_has(connect_public(), "\"credential_issuer\":\"" ISSUER "\""));
    CU_ASSERT_TRUE(metadata_has(connect_public(), "Now"));
    CU_ASSERT_TRUE(api_serves(fixture.instance)); /* the signer's own rules are as they were */
    CU_ASSERT_TRUE(instance_reload(fixture.instance));
    CU_ASSERT_TRUE(has_changed("")); /* and kept again */
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, 30), 0);
    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_TRUE(metadata_has(connect_public(), "https://other.example"));
}

static void test_a_bad_configuration_changes_nothing_and_every_error_is_told(void)
{
    instance_set(fixture.instance, "metadata.display_name=Before");
    CU_ASSERT_TRUE_FATAL(start());
    const pid_t signer = instance_signer_pid(fixture.instance);
    instance_set(fixture.instance, "metadata.display_name=After");
    instance_set(fixture.instance, "public.connections=0");
    instance_set(fixture.instance, "signer main.sessions=many");
    CU_ASSERT_FALSE(instance_reload(fixture.instance));
    CU_ASSERT_TRUE(has_logged("setting='public.connections' problem='must be a whole number"));
    CU_ASSERT_TRUE(has_logged("setting='signer main.sessions' problem='must be a whole number"));
    CU_ASSERT_FALSE(has_logged("config.reloaded"));
    CU_ASSERT_TRUE(metadata_has(connect_public(), "\"name\":\"Before\""));
    CU_ASSERT_EQUAL(instance_signer_pid(fixture.instance), signer);
    CU_ASSERT_TRUE(api_serves(fixture.instance));
    instance_set(fixture.instance, "public.connections=10");
    CU_ASSERT_TRUE(reload_with("signer main.sessions=2"));
    CU_ASSERT_TRUE(metadata_has(connect_public(), "\"name\":\"After\""));
}

static void test_a_configuration_that_is_gone_changes_nothing(void)
{
    CU_ASSERT_TRUE_FATAL(start());
    CU_ASSERT_EQUAL(unlink(instance_conf_path(fixture.instance)), 0);
    (void)kill(instance_pid(fixture.instance), SIGHUP);
    for (int i = 0; i < 500 && !has_logged("config.refused"); i++) {
        (void)usleep(10000);
    }
    CU_ASSERT_TRUE(has_logged("config.refused"));
    CU_ASSERT_TRUE(api_serves(fixture.instance));
}

/* ---- under load ---- */

static void test_reloads_under_load_lose_no_exchange(void)
{
    CU_ASSERT_TRUE_FATAL(start());
    fixture.load = load_start(fixture.instance, 4);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.load);
    for (int i = 0; i < 30; i++) {
        instance_set(fixture.instance, "public.connections=%d", 100 + i % 7);
        instance_set(fixture.instance, "tokens.code_lifetime_s=%d", 300 + i % 2);
        instance_set(fixture.instance, "metadata.display_name=Name %d", i);
        instance_set(fixture.instance, "trust.issuer=did:web:a.example T%d", i);
        CU_ASSERT_TRUE(instance_reload(fixture.instance));
        CU_ASSERT_TRUE(load_goes_on(fixture.load, 1));
    }
    CU_ASSERT_TRUE(load_goes_on(fixture.load, 5));
    const struct load_book *book = load_stop(fixture.load);
    CU_ASSERT_EQUAL(book->issued, book->count);
    CU_ASSERT_EQUAL(book->wrong + book->unanswered + book->spent + book->refusals, 0);
}

int main(void)
{
    static CU_TestInfo tests[] = {
        { "without a change nothing happens", test_without_a_change_nothing_happens },
        { "metadata changes for connections that are open",
          test_metadata_changes_for_connections_that_are_open },
        { "a limit of requests comes and goes", test_a_limit_of_requests_comes_and_goes },
        { "a limit of connections holds for the next one",
          test_a_limit_of_connections_holds_for_the_next_one },
        { "a deadline holds from now on", test_a_deadline_holds_from_now_on },
        { "a connection rests as long as it may now",
          test_a_connection_rests_as_long_as_it_may_now },
        { "the bound of open requests changes", test_the_bound_of_open_requests_changes },
        { "codes live as long as they may now", test_codes_live_as_long_as_they_may_now },
        { "the client secret is read again", test_the_client_secret_is_read_again },
        { "the log level changes", test_the_log_level_changes },
        { "an issuer is trusted from the next presentation on",
          test_an_issuer_is_trusted_from_the_next_presentation_on },
        { "what waits for the next start is named each time",
          test_what_waits_for_the_next_start_is_named_each_time },
        { "a bad configuration changes nothing, and every error is told",
          test_a_bad_configuration_changes_nothing_and_every_error_is_told },
        { "a configuration that is gone changes nothing",
          test_a_configuration_that_is_gone_changes_nothing },
        { "reloads under load lose no exchange", test_reloads_under_load_lose_no_exchange },
        CU_TEST_INFO_NULL,
    };
    return run_suite("reload", set_up, tear_down, tests);
}

/*
 * systemd/haproxy.cfg as it is, but for addresses and paths, in front of two nodes on one database: TLS
 * outside and inside, health by the admin listeners' client certificate. One fixture for all tests, as
 * they go from a day like any other to the last node's end.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "contract/postgresql_fixture.h"
#include "support/api.h"
#include "support/health.h"
#include "support/program.h"
#include "support/run.h"
#include "support/uri.h"

#define JWKS_PATH "/.well-known/jwks.json"
#define ISSUED "issuerd_exchanges_total{result=\"issued\"}"
#define SPENT "issuerd_exchanges_total{result=\"spent_code\"}"

enum {
    A,
    B,
    NODES,
    CODES = 24, /* all of them at one node: once in 2^23 */
    CLIENTS = 6,
    PACE_US = 20000,
    BURST = 3,
    ATTEMPTS = 20,
    CALM_TOKENS = 30,
    PATH_SIZE = 1024,
    TEXT_SIZE = 1024 * 1024,
    STOP_S = 15 * HEALTH_SLACK,
    SOON_S = 20 * HEALTH_SLACK,
};

static struct {
    struct instance *nodes[NODES];
    pid_t proxy;
    int port; /* the proxy's */
    char directory[PATH_SIZE / 2];
    char log_path[PATH_SIZE];
    struct http_client *client;

    pthread_t threads[CLIENTS];
    unsigned thread_count;
    _Atomic bool stopping;
    _Atomic unsigned issued;
    _Atomic unsigned lost; /* codes that did not give their token at the first try */
} fixture;

static const char *path_of(const char *name)
{
    static char path[PATH_SIZE];
    (void)snprintf(path, sizeof(path), "%s/%s", fixture.directory, name);
    return path;
}

/* ---- the proxy ---- */

/* The text with every `from` turned into `to`; there must be one. Frees `text`. */
static char *replace(char *text, const char *from, const char *to)
{
    char *out = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&out, &size);
    const char *rest = text;

    CU_ASSERT_PTR_NOT_NULL(strstr(text, from));
    for (const char *at; (at = strstr(rest, from)) != NULL; rest = at + strlen(from)) {
        fprintf(stream, "%.*s%s", (int)(at - rest), rest, to);
    }
    fputs(rest, stream);
    (void)fclose(stream);
    free(text);
    return out;
}

static char *replace_node(char *text, int node, const char *from)
{
    char to[128];

    (void)snprintf(to, sizeof(to), "127.0.0.1:%d port %d verifyhost localhost",
                   instance_public_port(fixture.nodes[node]),
                   instance_admin_port(fixture.nodes[node]));
    return replace(text, from, to);
}

static char *read_text(const char *path)
{
    char *text = xcalloc(1, TEXT_SIZE);
    FILE *file = fopen(path, "re");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    (void)!fread(text, 1, TEXT_SIZE - 1, file);
    (void)fclose(file);
    return text;
}

static char *proxy_configuration(void)
{
    char *text = read_text(getenv("TEST_HAPROXY_CFG"));

    text = replace(text, "log /dev/log local0", "log stderr format raw local0");
    text = replace(text, "    user haproxy\n    group haproxy\n    chroot /var/lib/haproxy\n", "");
    text = replace(text, "/etc/haproxy", "\"${CERTIFICATES}\"");
    text = replace(text, "bind :443", "bind fd@${LISTENER}");
    text = replace_node(text, A, "10.0.0.1:8080 verifyhost a.issuer.example");
    return replace_node(text, B, "10.0.0.2:8080 verifyhost b.issuer.example");
}

static void write_configuration(void)
{
    char *text = proxy_configuration();
    FILE *file = fopen(path_of("haproxy.cfg"), "we");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_TRUE(fputs(text, file) >= 0);
    CU_ASSERT_EQUAL(fclose(file), 0);
    free(text);
}

/* On a port that the kernel chooses; inherited by the proxy. */
static int listen_anywhere(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(address);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);

    CU_ASSERT_TRUE_FATAL(bind(fd, (struct sockaddr *)&address, length) == 0 && listen(fd, 64) == 0
                         && getsockname(fd, (struct sockaddr *)&address, &length) == 0);
    fixture.port = ntohs(address.sin_port);
    return fd;
}

static void run_proxy(int listener)
{
    char text[16];
    const int log = open(fixture.log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)snprintf(text, sizeof(text), "%d", listener);
    (void)setenv("LISTENER", text, 1);
    (void)setenv("CERTIFICATES", fixture.directory, 1);
    (void)dup2(log, STDOUT_FILENO);
    (void)dup2(log, STDERR_FILENO);
    execlp("haproxy", "haproxy", "-db", "-f", path_of("haproxy.cfg"), NULL);
    _exit(127);
}

static void start_proxy(void)
{
    const int listener = listen_anywhere();

    write_configuration();
    fixture.proxy = fork();
    if (fixture.proxy == 0) {
        run_proxy(listener);
    }
    (void)close(listener);
    http_note_tls(fixture.port, true);
}

static bool proxy_has_logged(const char *text)
{
    char *log = read_text(fixture.log_path);
    const bool has_logged = strstr(log, text) != NULL;

    free(log);
    return has_logged;
}

/* ---- the nodes ---- */

static void make_node(int node, const char *store_url)
{
    static const char *const names[NODES] = { "a", "b" };
    struct instance *self = fixture.nodes[node] = instance_new(NULL);

    instance_set(self, "store.url=%s", store_url);
    instance_set(self, "store.state_dir=%s", instance_directory(self));
    instance_set(self, "ledger.node=%s", names[node]);
    instance_set(self, "tokens.code_lifetime_s=300");
    instance_set(self, "public.tls_certificate_file=%s", path_of("ecdsa.pem"));
    instance_set(self, "public.tls_key_file=%s", path_of("ecdsa.key"));
    instance_set(self, "public.trusted_proxy=127.0.0.1");
    instance_set(self, "public.connections_per_address=2048");
    instance_set(self, "admin.tls_certificate_file=%s", path_of("ecdsa.pem"));
    instance_set(self, "admin.tls_key_file=%s", path_of("ecdsa.key"));
    instance_set(self, "admin.tls_client_ca_file=%s", path_of("ca.pem"));
}

static bool start_node(int node)
{
    return instance_start(fixture.nodes[node])
        && health_await(fixture.nodes[node], health_is_ready,
                        monotonic_ns() + 2 * HEAL_S * NS_PER_S);
}

static bool start_node_where_it_was(int node)
{
    instance_set(fixture.nodes[node], "public.listen=127.0.0.1:%d",
                 instance_public_port(fixture.nodes[node]));
    instance_set(fixture.nodes[node], "admin.listen=127.0.0.1:%d",
                 instance_admin_port(fixture.nodes[node]));
    return start_node(node);
}

static void make_certificates(void)
{
    static const char joined[] = "cd \"$0\" && cat ecdsa.pem ecdsa.key >issuer.example.pem && "
                                 "cat admin.pem admin.key >issuerd-health.pem && "
                                 "cp ca.pem issuerd-ca.pem";
    const char *const make[] = { "sh", getenv("TEST_MAKE_CERTIFICATES"), fixture.directory, NULL };
    const char *const join[] = { "sh", "-c", joined, fixture.directory, NULL };
    static char certificate[PATH_SIZE];
    static char key[PATH_SIZE];

    CU_ASSERT_EQUAL_FATAL(mkdir(fixture.directory, 0700), 0);
    CU_ASSERT_TRUE_FATAL(program_ended(program_run(make, 60), 0, ""));
    CU_ASSERT_TRUE_FATAL(program_ended(program_run(join, 60), 0, ""));
    (void)snprintf(certificate, sizeof(certificate), "%s", path_of("admin.pem"));
    (void)snprintf(key, sizeof(key), "%s", path_of("admin.key"));
    http_show_certificate(certificate, key);
}

/* ---- requests through the proxy ---- */

/* The id goes to a node's admin listener for the code: the node need not be the one that made it. */
static bool make_code(struct http_client *client, int node, char code_out[static API_CODE_SIZE])
{
    char id[API_ID_SIZE];
    bool is_made = api_create(client, id);

    if (is_made) {
        struct http_client *admin = http_connect(instance_admin_port(fixture.nodes[node]));
        is_made = reply_member(api_approve(fixture.nodes[node], admin, id, HOLDER_DID, NULL),
                               "code", code_out, API_CODE_SIZE);
        http_close(admin);
    }
    return is_made;
}

static bool exchange(struct http_client *client, int node)
{
    char code[API_CODE_SIZE];
    return make_code(client, node, code) && is_token_reply(api_redeem(client, code), NULL);
}

static double count_at(int node, const char *sample)
{
    return health_metric(fixture.nodes[node], sample);
}

static void open_client(void)
{
    fixture.client = http_connect(fixture.port);
}

static void stop_clients(void)
{
    atomic_store(&fixture.stopping, true);
    while (fixture.thread_count > 0) {
        (void)pthread_join(fixture.threads[--fixture.thread_count], NULL);
    }
    atomic_store(&fixture.stopping, false);
}

static void close_client(void)
{
    stop_clients();
    http_close(take(fixture.client));
}

/* ---- a day like any other ---- */

static void test_both_nodes_are_found_ready(void)
{
    const int64_t deadline_ns = monotonic_ns() + SOON_S * NS_PER_S;

    while ((count_at(A, ISSUED) < 1 || count_at(B, ISSUED) < 1) && monotonic_ns() < deadline_ns) {
        CU_ASSERT_TRUE(exchange(fixture.client, A));
        (void)usleep(PACE_US);
    }
    CU_ASSERT_TRUE(count_at(A, ISSUED) >= 1);
    CU_ASSERT_TRUE(count_at(B, ISSUED) >= 1);
}

static void test_a_code_asked_for_again_comes_to_the_node_of_its_token(void)
{
    const double issued = count_at(A, ISSUED);
    const double issued_b = count_at(B, ISSUED);
    char code[API_CODE_SIZE];

    for (int i = 0; i < CODES; i++) {
        CU_ASSERT_TRUE_FATAL(make_code(fixture.client, B, code));
        CU_ASSERT_TRUE(is_token_reply(api_redeem(fixture.client, code), NULL));
        CU_ASSERT_TRUE(is_error_reply(api_redeem(fixture.client, code), 400, API_CODE_GONE, "POST",
                                      TOKENS_PATH));
    }
    CU_ASSERT_EQUAL(count_at(A, SPENT), count_at(A, ISSUED) - issued);
    CU_ASSERT_EQUAL(count_at(B, SPENT), count_at(B, ISSUED) - issued_b);
    CU_ASSERT_TRUE(count_at(A, SPENT) > 0);
    CU_ASSERT_TRUE(count_at(B, SPENT) > 0);
}

/* ---- whose request it is ---- */

static bool set_rate(unsigned per_s)
{
    bool is_set = true;

    for (int i = 0; i < NODES; i++) {
        instance_set(fixture.nodes[i], "public.requests_per_s=%u", per_s);
        instance_set(fixture.nodes[i], "public.requests_burst=%d", BURST);
        is_set &= instance_reload(fixture.nodes[i]);
    }
    return is_set;
}

/* How many of so many requests are answered 429. Each says that it comes from elsewhere. */
static unsigned count_limited(const char *source)
{
    unsigned limited = 0;
    struct http_client *client = http_connect_from(source, fixture.port);

    for (int i = 0; i < ATTEMPTS; i++) {
        char headers[256];
        (void)snprintf(headers, sizeof(headers),
                       "Content-Type: application/json\r\nX-Forwarded-For: 192.0.2.%d\r\n"
                       "Forwarded: for=192.0.2.%d\r\n",
                       i, i);
        const struct http_reply *reply =
            http_request(client, "POST", AUTHORIZATIONS_PATH, headers, "{}");
        limited += reply->status == 429;
        CU_ASSERT_TRUE(reply->status == 429 || reply->status == 400);
    }
    http_close(client);
    return limited;
}

static void test_the_client_s_address_reaches_issuerd_and_the_log(void)
{
    char id[API_ID_SIZE];

    CU_ASSERT_TRUE_FATAL(set_rate(1));
    CU_ASSERT_TRUE(count_limited("127.0.0.2") > 0);
    CU_ASSERT_TRUE(api_create(fixture.client, id));
    CU_ASSERT_TRUE_FATAL(set_rate(0));
    CU_ASSERT_TRUE(proxy_has_logged("127.0.0.2:"));
}

/* ---- messages that two readers could read in two ways ---- */

#define HOST "Host: issuer.example\r\n"
#define HEAD "POST " TOKENS_PATH " HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n"

#define BODY "{\"authorization_code\":\"@\"}"
#define LENGTH "Content-Length: 68\r\n" /* of BODY with the code for '@' */

/* Each hides an exchange behind what one reader takes for the end of the message and another does not. */
#define HIDDEN HEAD LENGTH "\r\n" BODY

static const char *const ambiguous[] = {
    HEAD "Content-Length: 0\r\nContent-Length: 5\r\n\r\n" HIDDEN,
    HEAD "Content-Length: 5\r\nContent-Length: 0\r\n\r\n" HIDDEN,
    HEAD "Content-Length: 0, 5\r\n\r\n" HIDDEN,
    HEAD "Content-Length: +0\r\n\r\n" HIDDEN,
    HEAD "Content-Length : 0\r\n\r\n" HIDDEN,
    HEAD "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" HIDDEN,
    HEAD "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" HIDDEN,
    HEAD "Transfer-Encoding : chunked\r\nContent-Length: 0\r\n\r\n" HIDDEN,
    HEAD "Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\n" HIDDEN,
    HEAD "Transfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n" HIDDEN,
    HEAD ": a\r\nContent-Length: 0\r\n\r\n" HIDDEN,
    HEAD HOST "Host: other.example\r\nContent-Length: 0\r\n\r\n" HIDDEN,
    "POST " TOKENS_PATH " HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" HIDDEN,
    "GET " JWKS_PATH " HTTP/1.1\r\n" HOST ": a\r\n" HIDDEN,
    "hello\r\n\r\n" HIDDEN,
    /* the exchange itself, with a head that is no good */
    HEAD LENGTH "Transfer_Encoding: chunked\r\n\r\n" BODY,
    HEAD LENGTH "X-Y: a\x01z\r\n\r\n" BODY,
    HEAD LENGTH "X-Y: a~z\r\n\r\n" BODY,
    HEAD LENGTH "X Y: a\r\n\r\n" BODY,
    "POST /\x1b[31m HTTP/1.1\r\n" HOST LENGTH "\r\n" BODY,
    HEAD "Transfer-Encoding: chunked\r\n\r\n44\r\n" BODY "\r\n0\r\n\r\n",
};

/* '~' is a NUL. */
static void send_with_code(struct http_client *client, const char *template, const char *code)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    for (const char *at = template; *at != '\0'; at++) {
        if (*at == '@') {
            fputs(code, stream);
        } else {
            fputc(*at == '~' ? '\0' : *at, stream);
        }
    }
    (void)fclose(stream);
    (void)http_send(client, text, size);
    free(text);
}

static bool is_refused(const char *template, const char *code)
{
    struct http_client *client = http_connect(fixture.port);

    send_with_code(client, template, code);
    const int status = http_receive(client, "POST")->status;
    http_close(client);
    if (status != 0 && (status < 400 || status >= 500)) {
        fprintf(stderr, "answered %d: %s\n", status, template);
        return false;
    }
    return true;
}

static void test_what_two_readers_could_read_differently_is_refused(void)
{
    char code[API_CODE_SIZE];

    CU_ASSERT_TRUE_FATAL(make_code(fixture.client, A, code));
    for (size_t i = 0; i < COUNT_OF(ambiguous); i++) {
        CU_ASSERT_TRUE(is_refused(ambiguous[i], code));
    }
    CU_ASSERT_TRUE(is_token_reply(api_redeem(fixture.client, code), NULL));
}

/* ---- a node goes ---- */

/* Half of the clients keep their connection, the others have a new one for each code. Each has an
 * address, and a pace, that the proxy's limit of requests lets pass: two an exchange. */
static void *exchange_codes(void *argument)
{
    const unsigned number = (unsigned)(uintptr_t)argument;
    char source[32];

    (void)snprintf(source, sizeof(source), "127.0.1.%u", number + 1);
    struct http_client *client = http_connect_from(source, fixture.port);
    while (!atomic_load(&fixture.stopping)) {
        atomic_fetch_add(exchange(client, B) ? &fixture.issued : &fixture.lost, 1);
        if (number % 2 == 0) {
            http_close(client);
            client = http_connect_from(source, fixture.port);
        }
        (void)usleep(PACE_US);
    }
    http_close(client);
    return NULL;
}

static bool start_clients(void)
{
    fixture.issued = fixture.lost = 0;
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (pthread_create(&fixture.threads[i], NULL, exchange_codes, (void *)(uintptr_t)i) != 0) {
            return false;
        }
        fixture.thread_count++;
    }
    return true;
}

static bool issues_more(void)
{
    const int64_t deadline_ns = monotonic_ns() + SOON_S * NS_PER_S;
    const unsigned before = fixture.issued;

    while (fixture.issued < before + CALM_TOKENS && monotonic_ns() < deadline_ns) {
        (void)usleep(5000);
    }
    return fixture.issued >= before + CALM_TOKENS;
}

static void test_a_node_that_drains_loses_nothing(void)
{
    CU_ASSERT_TRUE_FATAL(start_clients() && issues_more());
    CU_ASSERT_EQUAL(instance_stop(fixture.nodes[A], STOP_S), 0);
    CU_ASSERT_TRUE(issues_more());
    CU_ASSERT_TRUE_FATAL(start_node_where_it_was(A));
    CU_ASSERT_TRUE(issues_more());
    stop_clients();
    fprintf(stderr, "a drain and a start: %u tokens, %u lost\n", fixture.issued, fixture.lost);
    CU_ASSERT_EQUAL(fixture.lost, 0);
}

static void test_a_node_that_is_killed_leaves_the_other_at_work(void)
{
    instance_kill(fixture.nodes[A]);
    for (int i = 0; i < CODES; i++) {
        CU_ASSERT_TRUE(exchange(fixture.client, B));
    }
}

/* ---- no node is ready ---- */

/* Node A comes back with a PIN that its token refuses. */
static bool start_locked(void)
{
    const char *uri = getenv("TEST_KEY_URI");
    FILE *file = fopen(path_of("wrong-pin"), "we");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    (void)fputs("13579-wrong", file);
    (void)fclose(file);
    instance_set(fixture.nodes[A], "signer main.uri=%.*s&pin-source=file:%s",
                 (int)(strstr(uri, "&pin-source") - uri), uri, uri_path(path_of("wrong-pin")).text);
    instance_set(fixture.nodes[A], "public.listen=127.0.0.1:%d",
                 instance_public_port(fixture.nodes[A]));
    instance_set(fixture.nodes[A], "admin.listen=127.0.0.1:%d",
                 instance_admin_port(fixture.nodes[A]));
    return instance_start(fixture.nodes[A]);
}

/* True once an exchange is answered 503, by the proxy itself or by a node. */
static bool is_refused_soon(const char *code, const char *method, const char *path)
{
    const int64_t deadline_ns = monotonic_ns() + SOON_S * NS_PER_S;
    char wanted[64];
    bool is_there = false;

    (void)snprintf(wanted, sizeof(wanted), "\"path\":\"%s\"", path);
    while (!is_there && monotonic_ns() < deadline_ns) {
        const struct http_reply *reply = api_redeem(fixture.client, code);
        is_there = is_refusal_reply(reply) && strstr(reply->body, wanted) != NULL
                && is_error_reply(reply, 503, API_NO_SIGNER, method, path);
        (void)usleep(20000);
        http_close(fixture.client);
        fixture.client = http_connect(fixture.port);
    }
    return is_there;
}

static void test_a_node_that_lives_says_why_none_is_ready(void)
{
    char code[API_CODE_SIZE];

    CU_ASSERT_TRUE_FATAL(make_code(fixture.client, B, code));
    CU_ASSERT_TRUE_FATAL(start_locked());
    CU_ASSERT_EQUAL(instance_stop(fixture.nodes[B], STOP_S), 0);
    CU_ASSERT_TRUE(is_refused_soon(code, "POST", TOKENS_PATH));
    CU_ASSERT_EQUAL(http_get(fixture.client, JWKS_PATH)->status, 200);
    CU_ASSERT_EQUAL(instance_stop(fixture.nodes[A], STOP_S), 0);
    CU_ASSERT_TRUE(is_refused_soon(code, "", ""));
    CU_ASSERT_FALSE(proxy_has_logged(code));
}

static void set_up(void)
{
    (void)snprintf(fixture.directory, sizeof(fixture.directory), "%s/proxy", getenv("TEST_DIR"));
    (void)snprintf(fixture.log_path, sizeof(fixture.log_path), "%s/proxy.log", getenv("TEST_DIR"));
    const char *store_url = store_fixture_make();
    CU_ASSERT_PTR_NOT_NULL_FATAL(store_url);
    make_certificates();
    for (int i = 0; i < NODES; i++) {
        make_node(i, store_url);
        CU_ASSERT_TRUE_FATAL(start_node(i));
    }
    start_proxy();
}

static void test_it_starts_with_the_configuration_that_is_delivered(void)
{
    set_up();
    http_close(fixture.client);
    fixture.client = http_connect(fixture.port);
    CU_ASSERT_EQUAL(http_get(fixture.client, JWKS_PATH)->status, 200);
    CU_ASSERT_FALSE(proxy_has_logged("[WARNING]"));
}

static void end_all(void)
{
    if (fixture.proxy > 0) {
        (void)kill(fixture.proxy, SIGTERM);
        (void)waitpid(fixture.proxy, NULL, 0);
    }
    for (int i = 0; i < NODES; i++) {
        instance_free(fixture.nodes[i]);
    }
    store_fixture_remove();
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "it starts with the configuration that is delivered",
          test_it_starts_with_the_configuration_that_is_delivered },
        { "both nodes are found ready", test_both_nodes_are_found_ready },
        { "a code asked for again comes to the node of its token",
          test_a_code_asked_for_again_comes_to_the_node_of_its_token },
        { "the client's address reaches issuerd and the log",
          test_the_client_s_address_reaches_issuerd_and_the_log },
        { "what two readers could read differently is refused",
          test_what_two_readers_could_read_differently_is_refused },
        { "a node that drains loses nothing", test_a_node_that_drains_loses_nothing },
        { "a node that is killed leaves the other at work",
          test_a_node_that_is_killed_leaves_the_other_at_work },
        { "a node that lives says why none is ready",
          test_a_node_that_lives_says_why_none_is_ready },
        CU_TEST_INFO_NULL,
    };
    (void)signal(SIGPIPE, SIG_IGN); /* of a TLS connection that was refused */
    const int failed = run_suite("haproxy", open_client, close_client, tests);
    end_all();
    return failed != 0;
}

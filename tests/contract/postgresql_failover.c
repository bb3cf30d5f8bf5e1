/* The PostgreSQL store when servers and connections are lost: two clusters, one the other's synchronous
 * standby, and a proxy that cuts a transaction's connection at every so many bytes. */
#include "store/store.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "contract/postgresql_fixture.h"
#include "contract/store_steps.h"
#include "support/run.h"

enum { HEAL_S = 10, CUT_STEP = 29 };

static struct {
    char url[1024];
    struct store_options options;
    struct store *store;
    struct error err;
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.options = (struct store_options){ .max_open_requests = 100000, .retention_s = 10 };
    const char *url = store_fixture_make();
    (void)snprintf(fixture.url, sizeof(fixture.url), "%s", url != NULL ? url : "");
}

static bool open_store(void)
{
    const bool opened = store_open(fixture.url, &fixture.options, &fixture.store, &fixture.err);
    if (!opened) {
        (void)fprintf(stderr, "%s\n", error_line(&fixture.err).text);
        fixture.store = NULL;
    }
    return opened;
}

static bool append(int64_t index)
{
    return step_begin(fixture.store, &fixture.err)
        && step_append(fixture.store, index, NULL, &fixture.err)
        && store_commit(fixture.store, &fixture.err);
}

/* Until it goes on, at most HEAL_S. */
static bool append_soon(int64_t index)
{
    const int64_t deadline_ns = monotonic_ns() + HEAL_S * NS_PER_S;

    while (!append(index)) {
        if (monotonic_ns() > deadline_ns) {
            (void)fprintf(stderr, "%s\n", error_line(&fixture.err).text);
            return false;
        }
        store_rollback(fixture.store);
        (void)usleep(100000);
    }
    return true;
}

/* ---- clusters ---- */

/* provisioning/postgresql-cluster.sh; A is the cluster of with_postgresql.sh, B is beside it. */
static bool cluster(const char *arguments)
{
    char command[1024];

    (void)snprintf(command, sizeof(command),
                   "A=$TEST_POSTGRESQL_DIR B=$TEST_POSTGRESQL_DIR.b;"
                   "\"$TEST_POSTGRESQL_CLUSTER\" %s >/dev/null",
                   arguments);
    return system(command) == 0;
}

static bool read_url_of_both(void)
{
    FILE *output = popen("\"$TEST_POSTGRESQL_CLUSTER\" url \"$TEST_POSTGRESQL_DIR\""
                         " \"$TEST_POSTGRESQL_DIR.b\"",
                         "r");
    const bool read = output != NULL && fgets(fixture.url, sizeof(fixture.url), output) != NULL;

    fixture.url[strcspn(fixture.url, "\n")] = '\0';
    return output != NULL && pclose(output) == 0 && read;
}

static void tear_down(void)
{
    store_close(take(fixture.store));
    store_fixture_remove();
}

static void test_a_server_that_comes_back_is_used_again(void)
{
    struct ledger_tree_list trees = { .count = 0 };

    CU_ASSERT_TRUE_FATAL(open_store() && append(0));
    CU_ASSERT_TRUE_FATAL(cluster("kill \"$A\""));
    const int64_t start_ns = monotonic_ns();
    CU_ASSERT_FALSE(append(1));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_STORE_UNAVAILABLE);
    store_rollback(fixture.store);
    CU_ASSERT_FALSE(store_list_trees(fixture.store, &trees, &fixture.err));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_STORE_UNAVAILABLE);
    CU_ASSERT_TRUE(monotonic_ns() - start_ns < 6 * NS_PER_S);
    CU_ASSERT_TRUE_FATAL(cluster("start \"$A\""));
    CU_ASSERT_TRUE(append_soon(1));
    CU_ASSERT_TRUE(store_list_trees(fixture.store, &trees, &fixture.err));
    ledger_tree_list_clear(&trees);
}

/* The log while it lives, which goes to stderr. */
static int divert_log(char path[static 32])
{
    const int before = dup(STDERR_FILENO);
    (void)snprintf(path, 32, "/tmp/issuerd log.XXXXXX");
    const int log = mkstemp(path);

    (void)dup2(log, STDERR_FILENO);
    (void)close(log);
    return before;
}

static int count_in_log(const char *path, int before, const char *event)
{
    char line[2048];
    int count = 0;
    FILE *file = fopen(path, "r");

    (void)dup2(before, STDERR_FILENO);
    (void)close(before);
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        count += strstr(line, event) != NULL;
        (void)fputs(line, stderr);
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    (void)unlink(path);
    return count;
}

/* A dies, B takes over and goes on; then A comes back as it was, and is first in the URL. */
static void test_an_old_primary_that_comes_back_is_fenced_off(void)
{
    char path[32];

    CU_ASSERT_TRUE_FATAL(cluster("standby \"$B\" \"$A\"") && read_url_of_both());
    CU_ASSERT_TRUE_FATAL(open_store() && append(0));
    CU_ASSERT_TRUE_FATAL(cluster("kill \"$A\"") && cluster("promote \"$B\""));
    CU_ASSERT_TRUE(append_soon(1));
    CU_ASSERT_TRUE(append(2));

    CU_ASSERT_TRUE_FATAL(cluster("start \"$A\"") && cluster("alone \"$A\""));
    const int before = divert_log(path);
    bool good = true;
    for (int64_t i = 3; i < 6; i++) {
        good = good
            && cluster("psql \"$B\" -c \"SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                       " WHERE application_name = 'issuerd'\"")
            && append_soon(i);
    }
    const int fenced = count_in_log(path, before, "store.fenced");
    CU_ASSERT_TRUE(good);
    CU_ASSERT_EQUAL(fenced, 1);
    CU_ASSERT_EQUAL(postgresql_fixture_run("SELECT size FROM ledger_trees"), 1); /* of A */
    store_close(take(fixture.store));
    CU_ASSERT_TRUE(cluster("remove \"$B\""));
}

/* ---- the proxy ---- */

static struct {
    char directory[64];
    char path[108];
    char server[108];
    int listener;
    pthread_t thread;
    _Atomic bool stopping;
    _Atomic int64_t
        bytes_left; /* from the client, or to it, until all is cut; INT64_MAX: for ever */
    _Atomic bool of_client;
} proxy;

static int connect_to(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* Passes on what has come. False: an end, or the cut. */
static bool pass(int from, int to, bool is_client)
{
    char bytes[4096];
    const ssize_t count = read(from, bytes, sizeof(bytes));
    ssize_t allowed = count;
    bool cut = false;

    if (count <= 0) {
        return false;
    }
    if (atomic_load(&proxy.of_client) == is_client) {
        const int64_t left = atomic_load(&proxy.bytes_left);
        cut = left <= count;
        allowed = cut ? (ssize_t)left : count;
        if (left != INT64_MAX) {
            atomic_store(&proxy.bytes_left, cut ? INT64_MAX : left - count);
        }
    }
    return write(to, bytes, (size_t)allowed) == allowed && !cut;
}

static void *pump(void *argument)
{
    const int client = (int)(intptr_t)argument;
    const int server = connect_to(proxy.server);
    bool open = server >= 0;

    while (open && !atomic_load(&proxy.stopping)) {
        struct pollfd ends[] = { { .fd = client, .events = POLLIN },
                                 { .fd = server, .events = POLLIN } };
        if (poll(ends, 2, 100) > 0) {
            open = (ends[0].revents == 0 || pass(client, server, true))
                && (ends[1].revents == 0 || pass(server, client, false));
        }
    }
    (void)close(client);
    if (server >= 0) {
        (void)close(server);
    }
    return NULL;
}

static void *accept_clients(void *argument)
{
    while (!atomic_load(&proxy.stopping)) {
        struct pollfd waiting = { .fd = proxy.listener, .events = POLLIN };
        pthread_t thread;
        if (poll(&waiting, 1, 100) <= 0) {
            continue;
        }
        const int client = accept4(proxy.listener, NULL, NULL, SOCK_CLOEXEC);
        if (client >= 0 && pthread_create(&thread, NULL, pump, (void *)(intptr_t)client) == 0) {
            (void)pthread_detach(thread);
        }
    }
    return argument;
}

static bool start_proxy(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    (void)snprintf(proxy.directory, sizeof(proxy.directory), "/tmp/issuerd-proxy.XXXXXX");
    if (mkdtemp(proxy.directory) == NULL) {
        return false;
    }
    (void)snprintf(proxy.path, sizeof(proxy.path), "%s/.s.PGSQL.5432", proxy.directory);
    (void)snprintf(proxy.server, sizeof(proxy.server), "%s/.s.PGSQL.5432",
                   getenv("TEST_POSTGRESQL_DIR"));
    (void)snprintf(fixture.url, sizeof(fixture.url), "postgresql:///issuerd?host=%s&user=issuerd",
                   proxy.directory);
    memcpy(address.sun_path, proxy.path, sizeof(address.sun_path));
    atomic_store(&proxy.stopping, false);
    atomic_store(&proxy.bytes_left, INT64_MAX);
    proxy.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return bind(proxy.listener, (struct sockaddr *)&address, sizeof(address)) == 0
        && listen(proxy.listener, 16) == 0
        && pthread_create(&proxy.thread, NULL, accept_clients, NULL) == 0;
}

static void stop_proxy(void)
{
    atomic_store(&proxy.stopping, true);
    (void)pthread_join(proxy.thread, NULL);
    (void)close(proxy.listener);
    (void)unlink(proxy.path);
    (void)rmdir(proxy.directory);
    (void)usleep(300000); /* the pumps look every 100 ms */
}

static struct {
    unsigned number; /* of the next code */
    int64_t entries;
    unsigned committed;
    unsigned unavailable;
    unsigned in_doubt;
    unsigned wrong;
} cuts;

static int64_t entries_of(const char *jti)
{
    return store_fixture_ledger_entries(jti);
}

/* What a store may say, against what is there: the code is spent if, and only if, its entry is. */
static void judge(bool committed, unsigned number, int64_t row, const char *jti)
{
    const struct redemption redemption = step_redemption(number, row, jti);
    const enum error_code code = fixture.err.code;
    bool redeemed = false;

    while (!(step_begin(fixture.store, &fixture.err)
             && store_has_redeemed(fixture.store, &redemption, &redeemed, &fixture.err)
             && store_commit(fixture.store, &fixture.err))) {
        store_rollback(fixture.store);
        (void)usleep(50000);
    }
    const bool is_known = committed || code == ERROR_STORE_UNAVAILABLE;
    cuts.committed += committed;
    cuts.unavailable += !committed && code == ERROR_STORE_UNAVAILABLE;
    cuts.in_doubt += !committed && code == ERROR_STORE_IN_DOUBT;
    cuts.wrong += (entries_of(jti) == 1) != redeemed;
    cuts.wrong += is_known && redeemed != committed;
    cuts.wrong += !is_known && code != ERROR_STORE_IN_DOUBT;
    cuts.entries += redeemed;
}

/* One exchange whose connection is cut after so many bytes of BEGIN and what follows. */
static bool cut_at(int64_t bytes, bool of_client)
{
    const unsigned number = ++cuts.number;
    char jti[32];
    int64_t row = 0;

    (void)snprintf(jti, sizeof(jti), "jti-%u", number);
    while (!step_make_code(fixture.store, number, &row, &fixture.err)) {
        store_rollback(fixture.store);
        (void)usleep(50000);
    }
    atomic_store(&proxy.of_client, of_client);
    atomic_store(&proxy.bytes_left, bytes);
    const bool ran = step_begin(fixture.store, &fixture.err)
                  && step_redeem(fixture.store, number, row, jti, &fixture.err)
                  && step_append(fixture.store, cuts.entries, jti, &fixture.err);
    const bool committed = ran && store_commit(fixture.store, &fixture.err);
    const bool was_cut = atomic_load(&proxy.bytes_left) == INT64_MAX;
    atomic_store(&proxy.bytes_left, INT64_MAX);
    if (!ran) {
        store_rollback(fixture.store);
    }
    judge(committed, number, row, jti);
    return was_cut;
}

static void test_a_transaction_cut_at_any_byte_is_told_right(void)
{
    CU_ASSERT_TRUE_FATAL(start_proxy());
    const bool opened = open_store();
    memset(&cuts, 0, sizeof(cuts));
    for (int direction = 0; opened && direction < 2; direction++) {
        for (int64_t bytes = 1; cut_at(bytes, direction == 1); bytes += CUT_STEP) {
        }
    }
    store_close(take(fixture.store));
    stop_proxy();
    printf("(%u cuts: %u committed, %u not, %u in doubt) ", cuts.number, cuts.committed,
           cuts.unavailable, cuts.in_doubt);
    CU_ASSERT_TRUE(opened);
    CU_ASSERT_EQUAL(cuts.wrong, 0);
    CU_ASSERT_TRUE(cuts.committed > 0);
    CU_ASSERT_TRUE(cuts.unavailable > 0);
    CU_ASSERT_TRUE(cuts.in_doubt > 0);
    CU_ASSERT_EQUAL(store_fixture_ledger_entries(NULL), cuts.entries);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a transaction cut at any byte is told right",
          test_a_transaction_cut_at_any_byte_is_told_right },
        { "a server that comes back is used again", test_a_server_that_comes_back_is_used_again },
        { "an old primary that comes back is fenced off",
          test_an_old_primary_that_comes_back_is_fenced_off },
        CU_TEST_INFO_NULL,
    };
    return run_suite("postgresql failover", set_up, tear_down, tests);
}

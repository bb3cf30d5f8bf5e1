#include "ctl/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/memory.h"
#include "ctl/ctl.h"
#include "ctl/http_client.h"
#include "ctl/table.h"
#include "jose/json.h"

enum { WATCH_S = 1 };

/* ---- members: what is not as it should be reads as nothing ---- */

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static const char *text(const cJSON *object, const char *name)
{
    const char *value = json_text(object, name);
    return value != NULL ? value : "-";
}

static double number(const cJSON *object, const char *name)
{
    static const double largest = 253402300799; /* as a time: the last second of the year 9999 */
    const cJSON *value = member(object, name);
    const bool is_good =
        cJSON_IsNumber(value) && value->valuedouble >= 0 && value->valuedouble <= largest;

    return is_good ? value->valuedouble : 0;
}

static int64_t count(const cJSON *object, const char *name)
{
    return (int64_t)number(object, name);
}

static bool is_there(const cJSON *object, const char *name)
{
    const cJSON *value = member(object, name);
    return value != NULL && !cJSON_IsNull(value);
}

/* Nothing that a server says writes on the screen but letters. */
static void make_plain(cJSON *value)
{
    for (; value != NULL; value = value->next) {
        if (cJSON_IsString(value)) {
            ctl_make_plain(value->valuestring);
        }
        if (value->string != NULL) {
            ctl_make_plain(value->string);
        }
        make_plain(value->child); /* no deeper than json_check() lets through */
    }
}

/* ---- words ---- */

struct words {
    char text[32];
};

static struct words duration(int64_t seconds)
{
    static const struct {
        int64_t below_s;
        int64_t unit_s;
        const char *unit;
    } units[] = { { 120, 1, "s" }, { 7200, 60, "min" }, { 172800, 3600, "h" } };
    struct words words;
    size_t i = 0;

    while (i < COUNT_OF(units) && seconds >= units[i].below_s) {
        i++;
    }
    const int64_t unit_s = i < COUNT_OF(units) ? units[i].unit_s : 86400;
    (void)snprintf(words.text, sizeof(words.text), "%" PRId64 " %s",
                   seconds < 0 ? 0 : seconds / unit_s, i < COUNT_OF(units) ? units[i].unit : "d");
    return words;
}

static struct words ago(const cJSON *object, const char *name, int64_t now_s)
{
    struct words words = { "-" };

    if (is_there(object, name)) {
        (void)snprintf(words.text, sizeof(words.text), "%.24s ago",
                       duration(now_s - count(object, name)).text);
    }
    return words;
}

static struct words milliseconds(const cJSON *object, const char *name)
{
    struct words words = { "-" };

    if (is_there(object, name)) {
        (void)snprintf(words.text, sizeof(words.text), "%.1f ms", number(object, name));
    }
    return words;
}

/* ---- the screen ---- */

struct screen {
    FILE *out;
    const cJSON *status;
    int64_t now_s;
    struct table table;
};

static void print_headline(struct screen *self)
{
    const cJSON *exchanges = member(self->status, "exchanges");
    const cJSON *latency = member(member(self->status, "latency"), "exchange");
    const int64_t stopped_s = count(self->status, "stopped_since");

    (void)fprintf(self->out, "issuerd %s, %s, %s, up %s\n", text(self->status, "version"),
                  text(self->status, "node"), text(self->status, "issuer"),
                  duration(self->now_s - count(self->status, "started")).text);
    if (cJSON_IsTrue(member(self->status, "ready"))) {
        (void)fprintf(self->out, "ISSUING");
    } else if (stopped_s != 0) {
        (void)fprintf(self->out, "NOT ISSUING since %s (%s); codes stay good",
                      instant_of(stopped_s).text, duration(self->now_s - stopped_s).text);
    } else {
        (void)fprintf(self->out, "NOT ISSUING; codes stay good");
    }
    (void)fprintf(self->out, "   %.1f tokens/s, the last %s; p50 %s, p99 %s\n\n",
                  number(member(exchanges, "last_10_s"), "issued") / 10,
                  is_there(exchanges, "last_issued")
                      ? ago(exchanges, "last_issued", self->now_s).text
                      : "none yet",
                  milliseconds(latency, "p50_ms").text, milliseconds(latency, "p99_ms").text);
}

static void print_problems(struct screen *self)
{
    const cJSON *problem;

    cJSON_ArrayForEach(problem, member(self->status, "problems"))
    {
        const bool is_error = strcmp(text(problem, "level"), "error") == 0;
        (void)fprintf(self->out, "  %-8s %s", is_error ? "ERROR" : "warning",
                      text(problem, "text"));
        if (is_there(problem, "since")) {
            (void)fprintf(self->out, " Since %s (%s).", instant_of(count(problem, "since")).text,
                          duration(self->now_s - count(problem, "since")).text);
        }
        (void)fprintf(self->out, "\n  next     %s\n\n", text(problem, "next"));
    }
}

static const char *what_it_signs(const cJSON *signer)
{
    return strcmp(text(signer, "purpose"), "tokens") != 0 ? text(signer, "purpose")
         : cJSON_IsTrue(member(signer, "permitted"))      ? "tokens"
                                                          : "nothing yet";
}

static void print_signers(struct screen *self)
{
    static const char *const head[] = { "signer",     "signs",      "state",       "since",
                                        ">self-test", ">in flight", ">signatures", ">wrong",
                                        ">restarts",  NULL };
    const cJSON *signer;

    table_begin(&self->table, head);
    cJSON_ArrayForEach(signer, member(self->status, "signers"))
    {
        table_add(&self->table, "%s", text(signer, "name"));
        table_add(&self->table, "%s", what_it_signs(signer));
        table_add(&self->table, "%s", text(signer, "state"));
        table_add(&self->table, "%s", ago(signer, "since", self->now_s).text);
        table_add(&self->table, "%s",
                  is_there(signer, "self_test_age_s")
                      ? duration(count(signer, "self_test_age_s")).text
                      : "-");
        table_add(&self->table, "%" PRId64 " of %" PRId64, count(signer, "in_flight"),
                  count(signer, "queue_max"));
        table_add(&self->table, "%" PRId64, count(signer, "signatures"));
        table_add(&self->table, "%" PRId64, count(signer, "wrong_signatures"));
        table_add(&self->table, "%" PRId64, count(signer, "restarts"));
    }
    table_print(&self->table, self->out);
    cJSON_ArrayForEach(signer, member(self->status, "signers"))
    {
        const cJSON *error = member(signer, "last_error");
        if (cJSON_IsObject(error)) {
            (void)fprintf(self->out, "  %s, %s: %s\n", text(signer, "name"),
                          ago(error, "time", self->now_s).text, text(error, "text"));
        }
    }
    (void)fputs("\n", self->out);
}

static void add_next(struct screen *self, const cJSON *key)
{
    const char *state = text(key, "state");
    const int64_t due_s = count(key, "due") - self->now_s;
    const int64_t last_expiry_s = count(key, "last_expiry") - self->now_s;

    if (strcmp(state, "published") == 0 && due_s > 0) {
        table_add(&self->table, "may sign in %s", duration(due_s).text);
    } else if (strcmp(state, "published") == 0) {
        table_add(&self->table, "may sign: keys activate");
    } else if (strcmp(state, "generated") == 0) {
        table_add(&self->table, "keys publish");
    } else if (strcmp(state, "active") == 0 && last_expiry_s > 0) {
        table_add(&self->table, "its tokens live for %s", duration(last_expiry_s).text);
    } else if (strcmp(state, "retiring") == 0) {
        table_add(&self->table, "leaves the key set in %s", duration(last_expiry_s).text);
    } else {
        table_add(&self->table, "-");
    }
}

static void print_keys(struct screen *self)
{
    static const char *const head[] = { "key", "alg", "signer", "state", "since", "next", NULL };
    const cJSON *key;

    table_begin(&self->table, head);
    cJSON_ArrayForEach(key, member(self->status, "keys"))
    {
        table_add(&self->table, "%.10s", text(key, "kid"));
        table_add(&self->table, "%s", text(key, "algorithm"));
        table_add(&self->table, "%s", text(key, "signer"));
        table_add(&self->table, "%s", text(key, "state"));
        table_add(&self->table, "%s", ago(key, "since", self->now_s).text);
        add_next(self, key);
    }
    table_print(&self->table, self->out);
    (void)fputs("\n", self->out);
}

/* Those that ever came; tokens in any case. */
static void print_exchanges(struct screen *self)
{
    static const char *const head[] = { "exchanges", ">10 s", ">60 s", ">since start", NULL };
    const cJSON *exchanges = member(self->status, "exchanges");
    const cJSON *total;

    table_begin(&self->table, head);
    cJSON_ArrayForEach(total, member(exchanges, "total"))
    {
        const char *result = total->string != NULL ? total->string : "-";
        const int64_t since_start = count(member(exchanges, "total"), result);
        if (since_start == 0 && strcmp(result, "issued") != 0) {
            continue;
        }
        table_add(&self->table, "%s", result);
        table_add(&self->table, "%" PRId64, count(member(exchanges, "last_10_s"), result));
        table_add(&self->table, "%" PRId64, count(member(exchanges, "last_60_s"), result));
        table_add(&self->table, "%" PRId64, since_start);
    }
    table_print(&self->table, self->out);
    (void)fputs("\n", self->out);
}

static void print_latencies(struct screen *self)
{
    static const char *const head[] = { "latency of 60 s", ">p50", ">p99", ">count", NULL };
    static const char *const names[][2] = { { "exchange", "token issued" },
                                            { "sign", "signature" },
                                            { "commit", "commit" } };
    const cJSON *latency = member(self->status, "latency");

    table_begin(&self->table, head);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const cJSON *one = member(latency, names[i][0]);
        table_add(&self->table, "%s", names[i][1]);
        table_add(&self->table, "%s", milliseconds(one, "p50_ms").text);
        table_add(&self->table, "%s", milliseconds(one, "p99_ms").text);
        table_add(&self->table, "%" PRId64, count(one, "count"));
    }
    table_print(&self->table, self->out);
    (void)fputs("\n", self->out);
}

static void print_ledger(struct screen *self)
{
    const cJSON *ledger = member(self->status, "ledger");
    const cJSON *checkpoint = member(ledger, "checkpoint");

    (void)fprintf(self->out, "  ledger   ");
    if (is_there(ledger, "stopped")) {
        (void)fprintf(self->out, "STOPPED, %s: ", text(ledger, "stopped"));
    }
    (void)fprintf(self->out, "%s, %" PRId64 " entries", text(ledger, "tree"),
                  count(ledger, "size"));
    if (!is_there(ledger, "signer")) {
        (void)fprintf(self->out, "; checkpoints are not signed: no audit key\n");
        return;
    }
    (void)fprintf(self->out,
                  "; checkpoint of %s covers %" PRId64 ", %" PRId64 " of %" PRId64 " wait\n",
                  ago(checkpoint, "time", self->now_s).text, count(checkpoint, "size"),
                  count(ledger, "backlog"), count(ledger, "backlog_max"));
}

static void print_store(struct screen *self)
{
    const cJSON *store = member(self->status, "store");
    const cJSON *error = member(store, "last_error");

    (void)fprintf(self->out, "  store    %s, %s, last commit %s", text(store, "engine"),
                  cJSON_IsTrue(member(store, "good")) ? "commits" : "DOES NOT COMMIT",
                  ago(store, "last_commit", self->now_s).text);
    if (cJSON_IsObject(error)) {
        (void)fprintf(self->out, "; last error %s: %s", ago(error, "time", self->now_s).text,
                      text(error, "text"));
    }
    (void)fputs("\n", self->out);
}

static void print_clock(struct screen *self)
{
    const cJSON *clock = member(self->status, "clock");

    (void)fprintf(self->out, "  clock    of the %s, %s: %s\n", text(clock, "name"),
                  cJSON_IsTrue(member(clock, "trusted")) ? "trusted" : "NOT TRUSTED",
                  instant_of(count(clock, "time")).text);
}

static void print_listener(struct screen *self)
{
    const cJSON *edge = member(self->status, "public");
    const cJSON *certificate;

    (void)fprintf(self->out,
                  "  public   %s, %" PRId64 " of %" PRId64 " connections, %" PRId64
                  " requests answered 429\n",
                  text(edge, "address"), count(edge, "connections"), count(edge, "connections_max"),
                  count(edge, "rate_limited"));
    cJSON_ArrayForEach(certificate, member(self->status, "certificates"))
    {
        (void)fprintf(self->out, "  TLS      the certificate of %s expires at %s (%s)\n",
                      text(certificate, "listener"), instant_of(count(certificate, "expires")).text,
                      duration(count(certificate, "expires") - self->now_s).text);
    }
}

static void print_screen(FILE *out, const cJSON *status)
{
    scoped(release_memory) struct screen *screen = xcalloc(1, sizeof(*screen));

    screen->out = out;
    screen->status = status;
    screen->now_s = count(status, "time");
    print_headline(screen);
    print_problems(screen);
    print_signers(screen);
    print_keys(screen);
    print_exchanges(screen);
    print_latencies(screen);
    print_ledger(screen);
    print_store(screen);
    print_clock(screen);
    print_listener(screen);
}

/* ---- asking ---- */

bool status_ask(struct http_client *client, const char *url, struct http_answer *answer_out,
                cJSON **status_out, struct error *err)
{
    if (!http_client_send(client, "/api/v1/status", NULL, answer_out, err)) {
        return false;
    }
    if (answer_out->status != 200) {
        struct http_words words;
        http_answer_words(answer_out, &words);
        return fail(err, ERROR_TIMEOUT, "%s answers %ld%s%s", url, answer_out->status, words.text,
                    answer_out->status == 404 ? ": is it the admin listener?" : "");
    }
    if (!json_parse_object(answer_out->body, answer_out->length, status_out, err)) {
        return error_context(err, "%s: no status", url);
    }
    make_plain(*status_out);
    return true;
}

static int show(struct http_client *client, const struct status_options *options, FILE *out)
{
    scoped(release_cjson) cJSON *status = NULL;
    struct http_answer answer;
    struct error err = { .code = ERROR_NONE };

    if (!status_ask(client, options->server.url, &answer, &status, &err)) {
        (void)fprintf(options->watch && !options->json ? out : stderr, "issuerctl: %s\n",
                      error_line(&err).text);
        return EX_UNAVAILABLE;
    }
    if (options->json) {
        (void)fprintf(out, "%s\n", answer.body);
    } else {
        print_screen(out, status);
    }
    return cJSON_IsTrue(member(status, "ready")) ? EX_OK : CTL_REFUSED;
}

/* The whole of a screen at once: one that is cleared and then written flickers. */
_Noreturn static void watch(struct http_client *client, const struct status_options *options)
{
    const bool is_terminal = isatty(STDOUT_FILENO) != 0 && !options->json;

    for (;;) {
        scoped(release_memory) char *screen = NULL;
        size_t length = 0;
        FILE *out = open_memstream(&screen, &length);
        if (out == NULL) {
            abort();
        }
        (void)show(client, options, out);
        (void)fclose(out);
        (void)printf("%s%s%s", is_terminal ? "\033[H\033[J" : "", screen,
                     is_terminal || options->json ? "" : "\n");
        (void)fflush(stdout);
        (void)sleep(WATCH_S);
    }
}

int status_run(const struct status_options *options)
{
    scoped(release_client) struct http_client *client = http_client_new(&options->server);

    if (options->watch) {
        watch(client, options);
    }
    return show(client, options, stdout);
}

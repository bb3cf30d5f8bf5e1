/* A server's status as JSON. */
#include "core/status.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/memory.h"
#include "core/metrics.h"

/* ---- members ---- */

static void add_name(struct text *text, const char *name)
{
    const char before = text->length > 0 ? text->start[text->length - 1] : '{';

    text_add(text, before == '{' || before == '[' ? "\"" : ",\"");
    text_add(text, name);
    text_add(text, "\":");
}

static void add_number(struct text *text, const char *name, int64_t number)
{
    add_name(text, name);
    text_add_number(text, number);
}

/* null if it is 0. */
static void add_time(struct text *text, const char *name, int64_t time_s)
{
    add_name(text, name);
    if (time_s == 0) {
        text_add(text, "null");
    } else {
        text_add_number(text, time_s);
    }
}

static void add_flag(struct text *text, const char *name, bool flag)
{
    add_name(text, name);
    text_add(text, flag ? "true" : "false");
}

static void add_decimal(struct text *text, const char *name, double value)
{
    char digits[32];

    (void)snprintf(digits, sizeof(digits), "%.3f", value);
    add_name(text, name);
    text_add(text, digits);
}

static void add_null(struct text *text, const char *name)
{
    add_name(text, name);
    text_add(text, "null");
}

/* What devices and libraries say may be anything: only printable ASCII goes on. NULL: null. */
static void add_words(struct text *text, const char *name, const char *value)
{
    char plain[1024];
    size_t length = 0;

    if (value == NULL) {
        add_null(text, name);
        return;
    }
    for (; length < sizeof(plain) - 1 && value[length] != '\0'; length++) {
        plain[length] = value[length] >= ' ' && value[length] <= '~' ? value[length] : '?';
    }
    plain[length] = '\0';
    add_name(text, name);
    text_add_json_string(text, plain);
}

static void add_failure(struct text *text, const char *name, const struct status_failure *failure)
{
    if (failure->time_s == 0) {
        add_null(text, name);
        return;
    }
    add_name(text, name);
    text_add(text, "{");
    add_number(text, "time", failure->time_s);
    add_words(text, "text", failure->text);
    text_add(text, "}");
}

static void begin_item(struct text *text, size_t index)
{
    text_add(text, index > 0 ? ",{" : "{");
}

/* ---- parts ---- */

static void add_problems(struct text *text, const struct problems *problems)
{
    add_name(text, "problems");
    text_add(text, "[");
    for (size_t i = 0; i < problems->count; i++) {
        const struct problem *problem = &problems->list[i];
        begin_item(text, i);
        add_words(text, "name", problem->name);
        add_words(text, "level", problem->is_error ? "error" : "warning");
        add_words(text, "about", problem->about[0] != '\0' ? problem->about : NULL);
        add_time(text, "since", problem->since_s);
        add_words(text, "text", problem->text);
        add_words(text, "next", problem->next);
        text_add(text, "}");
    }
    text_add(text, "]");
}

static void add_counts(struct text *text, const char *name, const uint64_t *counts)
{
    add_name(text, name);
    text_add(text, "{");
    for (size_t i = 0; i < EXCHANGE_RESULTS; i++) {
        add_number(text, exchange_result_name((enum exchange_result)i), (int64_t)counts[i]);
    }
    text_add(text, "}");
}

static void add_history(struct text *text, const struct service_status *status)
{
    static const char *const names[EXCHANGE_KINDS] = {
        [EXCHANGE_KIND_ISSUED] = "issued",
        [EXCHANGE_KIND_REFUSED] = "refused",
        [EXCHANGE_KIND_FAILED] = "failed",
    };

    add_name(text, "history");
    text_add(text, "{");
    add_number(text, "end", status->history_end_s);
    add_number(text, "step_s", 1);
    for (size_t kind = 0; kind < EXCHANGE_KINDS; kind++) {
        add_name(text, names[kind]);
        text_add(text, "[");
        for (size_t i = 0; i < RECENT_S; i++) {
            text_add(text, i > 0 ? "," : "");
            text_add_number(text, (int64_t)status->history[i].counts[kind]);
        }
        text_add(text, "]");
    }
    text_add(text, "}");
}

static void add_exchanges(struct text *text, const struct service_status *status)
{
    add_name(text, "exchanges");
    text_add(text, "{");
    add_time(text, "last_issued", status->issued_s);
    add_counts(text, "total", status->total);
    add_counts(text, "last_60_s", status->last_60_s);
    add_counts(text, "last_10_s", status->last_10_s);
    add_history(text, status);
    text_add(text, "}");
}

static void add_latencies(struct text *text, const struct service_status *status)
{
    static const char *const names[LATENCIES] = {
        [LATENCY_EXCHANGE] = "exchange",
        [LATENCY_SIGN] = "sign",
        [LATENCY_COMMIT] = "commit",
    };

    add_name(text, "latency");
    text_add(text, "{");
    add_number(text, "window_s", RECENT_S);
    for (size_t i = 0; i < LATENCIES; i++) {
        const struct recent_latency *latency = &status->latencies[i];
        add_name(text, names[i]);
        text_add(text, "{");
        add_number(text, "count", (int64_t)latency->count);
        if (latency->count > 0) {
            add_decimal(text, "p50_ms", latency->p50_ms);
            add_decimal(text, "p99_ms", latency->p99_ms);
        } else {
            add_null(text, "p50_ms");
            add_null(text, "p99_ms");
        }
        text_add(text, "}");
    }
    text_add(text, "}");
}

static void add_signer(struct text *text, const struct status_signer *signer)
{
    const struct signer_key *key = signer->is.key;

    add_words(text, "name", signer->is.name);
    add_words(text, "purpose", signer->is.purpose == SIGNER_TOKENS ? "tokens" : "checkpoints");
    add_words(text, "state", signer_state_name(signer->is.state));
    add_time(text, "since", signer->since_s);
    add_flag(text, "permitted", signer->is.permitted);
    add_words(text, "kid", key != NULL ? key->kid : NULL);
    add_words(text, "algorithm", key != NULL ? key->algorithm : NULL);
    add_words(text, "key", key != NULL ? key->description : NULL);
    if (signer->self_test_age_ms < 0) {
        add_null(text, "self_test_age_s");
    } else {
        add_decimal(text, "self_test_age_s", (double)signer->self_test_age_ms / 1000);
    }
    add_number(text, "in_flight", signer->is.in_flight);
    add_number(text, "queue_max", signer->is.queue);
    add_number(text, "restarts", (int64_t)signer->is.restarts);
    add_number(text, "signatures", (int64_t)signer->is.signatures);
    add_number(text, "wrong_signatures", (int64_t)signer->is.wrong_signatures);
    add_failure(text, "last_error", &signer->failure);
}

static void add_signers(struct text *text, const struct service_status *status)
{
    add_name(text, "signers");
    text_add(text, "[");
    for (size_t i = 0; i < status->signer_count; i++) {
        begin_item(text, i);
        add_signer(text, &status->signers[i]);
        text_add(text, "}");
    }
    text_add(text, "]");
}

static void add_keys(struct text *text, const struct service_status *status)
{
    add_name(text, "keys");
    text_add(text, "[");
    for (size_t i = 0; i < status->key_count; i++) {
        const struct stored_key *key = status->keys[i].stored;
        begin_item(text, i);
        add_words(text, "kid", key->kid);
        add_words(text, "algorithm", key->algorithm);
        add_words(text, "signer", key->signer);
        add_words(text, "state", key_state_name(key->state));
        add_time(text, "since", key->since_s);
        add_time(text, "due", key->due_s);
        add_time(text, "last_expiry", key->last_expiry_s);
        text_add(text, "}");
    }
    text_add(text, "]");
}

static void add_ledger(struct text *text, const struct status_ledger *ledger)
{
    char tree[LEDGER_NODE_MAX + 24];

    (void)snprintf(tree, sizeof(tree), "%s/%" PRId64, ledger->node, ledger->epoch);
    add_name(text, "ledger");
    text_add(text, "{");
    add_words(text, "tree", tree);
    add_number(text, "size", ledger->size);
    add_words(text, "signer", ledger->signer);
    add_name(text, "checkpoint");
    text_add(text, "{");
    add_number(text, "size", ledger->checkpointed);
    add_time(text, "time", ledger->checkpoint_s);
    add_time(text, "failing_since", ledger->checkpoint_failing_s);
    text_add(text, "}");
    add_number(text, "backlog", ledger->signer != NULL ? ledger->size - ledger->checkpointed : 0);
    add_time(text, "backlog_max", ledger->backlog_max);
    add_words(text, "stopped",
              ledger->is_rolled_back   ? "rolled back"
              : ledger->stopped_s != 0 ? "backlog"
                                       : NULL);
    add_time(text, "stopped_since", ledger->stopped_s);
    text_add(text, "}");
}

static void add_store(struct text *text, const struct status_store *store)
{
    add_name(text, "store");
    text_add(text, "{");
    add_words(text, "engine", store->engine);
    add_flag(text, "good", store->failing_s == 0);
    add_time(text, "last_commit", store->committed_s);
    add_time(text, "failing_since", store->failing_s);
    add_failure(text, "last_error", &store->failure);
    text_add(text, "}");
}

void status_print_clock(const struct status_clock *clock, struct text *text)
{
    text_add(text, "{");
    add_words(text, "name", clock->is.name);
    add_flag(text, "trusted", clock->is.is_trusted);
    add_number(text, "time", clock->is.time_s);
    add_number(text, "deviation_s", clock->is.deviation_s);
    add_flag(text, "behind_ledger", !clock->is.is_trusted && clock->is.is_behind_ledger);
    add_time(text, "untrusted_since", clock->since_s);
    text_add(text, "}");
}

static void add_clock(struct text *text, const struct status_clock *clock)
{
    add_name(text, "clock");
    status_print_clock(clock, text);
}

static void add_edge(struct text *text, const struct edge_status *edge)
{
    add_name(text, "public");
    text_add(text, "{");
    add_words(text, "address", edge->public_address);
    add_number(text, "connections", edge->connections);
    add_number(text, "connections_max", edge->connections_max);
    add_number(text, "rate_limited", (int64_t)edge->rate_limited);
    text_add(text, "}");
    add_name(text, "certificates");
    text_add(text, "[");
    for (size_t i = 0; i < edge->certificate_count; i++) {
        begin_item(text, i);
        add_words(text, "listener", edge->certificates[i].listener);
        add_number(text, "expires", edge->certificates[i].expires_s);
        text_add(text, "}");
    }
    text_add(text, "]");
}

void status_print(const struct service_status *status, struct text *text)
{
    scoped(release_memory) struct problems *problems = xcalloc(1, sizeof(*problems));

    status_judge(status, problems);
    text_add(text, "{");
    add_number(text, "time", status->now_s);
    add_words(text, "version", ISSUERD_VERSION);
    add_words(text, "node", status->ledger.node);
    add_words(text, "issuer", status->issuer);
    add_number(text, "started", status->started_s);
    add_flag(text, "ready", status->ready);
    add_time(text, "stopped_since", problems->stopped_s);
    add_problems(text, problems);
    add_exchanges(text, status);
    add_latencies(text, status);
    add_signers(text, status);
    add_keys(text, status);
    add_ledger(text, &status->ledger);
    add_store(text, &status->store);
    add_clock(text, &status->clock);
    add_edge(text, &status->edge);
    text_add(text, "}");
}

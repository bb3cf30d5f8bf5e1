/*
 * What an operator wants to know of a server, gathered at one moment, told as one JSON object, and
 * judged: what is wrong, since when, and what to do next. Plain values; nothing here waits.
 *
 * The object's members are a promise (StatusDto in src/http/components.json describes each). Times in it
 * are seconds since 1970 by the store's clock; null is what there is not.
 */
#pragma once

#include "base/error.h"
#include "base/text.h"
#include "core/recent.h"
#include "hsm/signer.h"
#include "store/store.h"

enum {
    SELF_TEST_MAX_AGE_S = 10, /* over it a signer is not taken for one that works */
    CERTIFICATES_MAX = 2,     /* one a listener */
    CERTIFICATE_WARNING_S = 30 * 86400,
    STATUS_MAX = 128 * 1024,
    STATUS_KEYS_MAX = 32, /* of the keyring's: those that came to their state last */
    PROBLEMS_MAX = 48,
};

struct status_failure {
    int64_t time_s; /* 0: nothing ever failed */
    char text[512];
};

struct status_signer {
    struct signer_status is;
    int64_t since_s;
    int64_t self_test_age_ms; /* -1: none since it came up */
    struct status_failure failure;
};

struct status_key {
    const struct stored_key *stored;
    const char *absence; /* why no signer has it; NULL: one has, or none can say */
};

struct status_ledger {
    const char *node;
    int64_t epoch;
    int64_t size;
    int64_t checkpointed;
    int64_t backlog_max;          /* 0: no bound */
    const char *signer;           /* of the audit key; NULL: no checkpoint is signed */
    int64_t checkpoint_s;         /* when the newest signed one was made; 0: there is none */
    int64_t checkpoint_failing_s; /* since when none can be made; 0: one can */
    int64_t stopped_s;            /* since when it lets no token be issued; 0: it does */
    bool is_rolled_back;
};

struct status_store {
    const char *engine;
    int64_t committed_s; /* the last commit; 0: none yet */
    int64_t failing_s;   /* since when none came; 0: the last one did */
    struct status_failure failure;
};

struct status_clock {
    struct store_clock is;
    int64_t since_s; /* it is not trusted; 0: it is, or was so seen last */
};

struct certificate_status {
    const char *listener; /* "public", "admin" */
    int64_t expires_s;
};

/* What the HTTP edge knows. */
struct edge_status {
    const char *public_address; /* URL */
    unsigned connections;
    unsigned connections_max;
    uint64_t rate_limited;
    struct certificate_status certificates[CERTIFICATES_MAX];
    size_t certificate_count;
};

struct service_status {
    int64_t now_s;
    int64_t started_s;
    const char *issuer;
    bool ready;
    struct error reason; /* not ready: why */

    uint64_t total[EXCHANGE_RESULTS];
    uint64_t last_60_s[EXCHANGE_RESULTS];
    uint64_t last_10_s[EXCHANGE_RESULTS];
    struct recent_second history[RECENT_S];
    int64_t history_end_s; /* of its last second */
    int64_t issued_s;      /* the last token; 0: none yet */
    struct recent_latency latencies[LATENCIES];

    struct status_signer signers[SIGNERS_MAX];
    size_t signer_count;
    struct status_key keys[STATUS_KEYS_MAX];
    size_t key_count;
    struct status_ledger ledger;
    struct status_store store;
    struct status_clock clock;
    struct edge_status edge;
};

/* Something that is wrong. */
struct problem {
    const char *name; /* stable: "signer.down" */
    bool is_error;    /* no token is issued for it; else it is but a warning */
    char about[48];   /* which signer, key or listener; "": the server */
    int64_t since_s;  /* 0: not known */
    char text[640];
    char next[320]; /* what to do */
};

struct problems {
    struct problem list[PROBLEMS_MAX]; /* errors first */
    size_t count;
    int64_t stopped_s; /* since when no token can be issued; 0: not known, or one can */
};

/* True for a signer that signs tokens now, as its self-tests show. */
bool status_signs_tokens(const struct status_signer *signer);

/* A server that is not ready has at least one error. */
void status_judge(const struct service_status *status, struct problems *problems_out);

/* Appends the clock's object alone. */
void status_print_clock(const struct status_clock *clock, struct text *text);

/* Appends the object, with what status_judge() says. */
void status_print(const struct service_status *status, struct text *text);

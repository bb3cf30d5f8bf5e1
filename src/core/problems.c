/* What is wrong with a server, in an operator's words: each state that is bad has its sentence, and the
 * step that comes next. */
#include "core/status.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { DAY_S = 86400 };

__attribute__((format(printf, 6, 7))) static struct problem *add(struct problems *problems,
                                                                 const char *name, bool is_error,
                                                                 const char *about, int64_t since_s,
                                                                 const char *format, ...)
{
    struct problem *problem = &problems->list[problems->count];
    va_list args;

    problems->count += problems->count < PROBLEMS_MAX - 1; /* the last one's place is overwritten */
    *problem = (struct problem){ .name = name, .is_error = is_error, .since_s = since_s };
    (void)snprintf(problem->about, sizeof(problem->about), "%s", about);
    va_start(args, format);
    (void)vsnprintf(problem->text, sizeof(problem->text), format, args);
    va_end(args);
    return problem;
}

__attribute__((format(printf, 2, 3))) static void then(struct problem *problem, const char *format,
                                                       ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(problem->next, sizeof(problem->next), format, args);
    va_end(args);
}

/* ---- signers ---- */

static bool is_for_tokens(const struct status_signer *signer)
{
    return signer->is.purpose == SIGNER_TOKENS;
}

static bool is_proven(const struct status_signer *signer)
{
    return signer->is.state == SIGNER_UP && signer->self_test_age_ms >= 0
        && signer->self_test_age_ms < SELF_TEST_MAX_AGE_S * 1000;
}

bool status_signs_tokens(const struct status_signer *signer)
{
    return is_for_tokens(signer) && signer->is.permitted && is_proven(signer);
}

static bool any_signs_tokens(const struct service_status *status)
{
    for (size_t i = 0; i < status->signer_count; i++) {
        if (status_signs_tokens(&status->signers[i])) {
            return true;
        }
    }
    return false;
}

/* A signer that has not come up yet may have an active key: none knows which it is. */
static bool any_may_be_permitted(const struct service_status *status)
{
    for (size_t i = 0; i < status->signer_count; i++) {
        const struct signer_status *signer = &status->signers[i].is;
        if (is_for_tokens(&status->signers[i]) && (signer->permitted || signer->key == NULL)) {
            return true;
        }
    }
    return false;
}

/* What is lost with it: nothing yet that an error would be called, for the audit key. */
static const char *effect_of(const struct status_signer *signer, bool is_error)
{
    return !is_for_tokens(signer) ? " The ledger's checkpoints wait for it."
         : is_error               ? ""
                                  : " Another signer signs meanwhile.";
}

/* By the key it had, or by its name, if it has not come up since. */
static bool is_key_destroyed(const struct service_status *status,
                             const struct status_signer *signer)
{
    bool is_destroyed = false;

    for (size_t i = 0; i < status->key_count; i++) {
        const struct stored_key *key = status->keys[i].stored;
        const bool is_its = signer->is.key != NULL ? strcmp(key->kid, signer->is.key->kid) == 0
                                                   : strcmp(key->signer, signer->is.name) == 0;
        if (is_its && key->state != KEY_DESTROYED) {
            return false;
        }
        is_destroyed |= is_its;
    }
    return is_destroyed;
}

static void judge_destroyed(struct problems *problems, const struct status_signer *signer)
{
    then(add(problems, "signer.down", false, signer->is.name, signer->since_s,
             "Signer %s is down, as its key was destroyed.", signer->is.name),
         "Take [signer %s] out of the configuration, then: systemctl reload issuerd",
         signer->is.name);
}

static void judge_down(struct problems *problems, const struct status_signer *signer, bool is_error)
{
    const bool has_reason = signer->failure.time_s != 0;

    then(
        add(problems, "signer.down", is_error, signer->is.name, signer->since_s,
            "Signer %s is down%s%s.%s", signer->is.name, has_reason ? ": " : "",
            has_reason ? signer->failure.text : "", effect_of(signer, is_error)),
        "issuerd tries again by itself, every 5 s at most. Look at the device, its network and its "
        "module; the log has the cause at signer.down: journalctl -u issuerd");
}

static void judge_locked(struct problems *problems, const struct status_signer *signer,
                         bool is_error)
{
    then(add(problems, "signer.locked", is_error, signer->is.name, signer->since_s,
             "Signer %s is locked: its PIN was refused. It is not tried again, so that the token "
             "does not lock for good.%s",
             signer->is.name, effect_of(signer, is_error)),
         "Write the right PIN into the file that pin-source names in [signer %s]: it is tried "
         "within a second. Where that is a systemd credential, write it to where LoadCredential= "
         "takes it from, remove pin-refused-* from the state directory, and restart issuerd.",
         signer->is.name);
}

static void judge_unproven(struct problems *problems, const struct status_signer *signer,
                           bool is_error)
{
    then(add(problems, "signer.unproven", is_error, signer->is.name, signer->since_s,
             "Signer %s is up, and no self-test of the last %d s has verified.%s", signer->is.name,
             SELF_TEST_MAX_AGE_S, effect_of(signer, is_error)),
         "A device that hangs is started again by itself. If this stays, it is too slow or too "
         "busy: "
         "look at its load, and at deadline_ms and queue in [signer %s].",
         signer->is.name);
}

static void judge_signer(struct problems *problems, const struct service_status *status,
                         const struct status_signer *signer)
{
    const bool is_error = is_for_tokens(signer) && !any_signs_tokens(status);

    switch (signer->is.state) {
    case SIGNER_DOWN:
        if (is_key_destroyed(status, signer)) {
            judge_destroyed(problems, signer);
        } else {
            judge_down(problems, signer, is_error);
        }
        break;
    case SIGNER_LOCKED:
        judge_locked(problems, signer, is_error);
        break;
    case SIGNER_UP:
        if (!is_proven(signer)) {
            judge_unproven(problems, signer, is_error);
        }
        break;
    }
    if (signer->is.wrong_signatures > 0) {
        then(add(problems, "signer.wrong_signatures", false, signer->is.name, 0,
                 "The device of signer %s made %" PRIu64
                 " signatures that did not verify. None has left.",
                 signer->is.name, signer->is.wrong_signatures),
             "A device that computes wrongly once will do it again: exchange it. This is counted "
             "since issuerd started.");
    }
}

static void judge_signers(struct problems *problems, const struct service_status *status)
{
    for (size_t i = 0; i < status->signer_count; i++) {
        judge_signer(problems, status, &status->signers[i]);
    }
    if (!any_may_be_permitted(status) && status->clock.is.is_trusted) {
        then(add(problems, "keys.none_active", true, "", 0,
                 "No signer has an active key: no token can be signed."),
             "issuerctl keys list, then issuerctl keys activate KID");
    }
}

/* ---- keys ---- */

static void judge_keys(struct problems *problems, const struct service_status *status)
{
    for (size_t i = 0; i < status->key_count; i++) {
        const struct stored_key *key = status->keys[i].stored;
        if (status->keys[i].absence == NULL
            || (key->state != KEY_ACTIVE && key->state != KEY_PUBLISHED)) {
            continue;
        }
        then(add(problems, "key.missing", false, key->kid, 0, "Key %s is %s, and %s.", key->kid,
                 key_state_name(key->state), status->keys[i].absence),
             "Bring its device back, or retire the key: issuerctl keys retire %s", key->kid);
    }
}

/* ---- ledger ---- */

static void judge_ledger(struct problems *problems, const struct service_status *status)
{
    const struct status_ledger *ledger = &status->ledger;
    const int64_t backlog = ledger->size - ledger->checkpointed;

    if (ledger->is_rolled_back) {
        then(
            add(problems, "ledger.rolled_back", true, "", ledger->stopped_s,
                "The store is older than what was committed to it: it was restored from a copy, or "
                "is another one."),
            "If it was restored, and nothing newer can be had: issuerctl ledger accept-restore "
            "--reason TEXT. It cancels every open request and code.");
    } else if (ledger->stopped_s != 0) {
        then(add(problems, "ledger.backlog", true, "", ledger->stopped_s,
                 "%" PRId64 " entries of the ledger wait for a signed checkpoint, more than "
                 "backlog_max allows (%" PRId64 ").",
                 backlog, ledger->backlog_max),
             "Bring signer %s, which has the audit key, back; tokens are issued again with its "
             "first "
             "checkpoint.",
             ledger->signer != NULL ? ledger->signer : "");
    } else if (ledger->checkpoint_failing_s != 0) {
        struct problem *problem =
            add(problems, "ledger.checkpoint_failed", false, "", ledger->checkpoint_failing_s,
                "No checkpoint of the ledger can be made: %" PRId64 " entries wait.", backlog);
        then(problem,
             ledger->backlog_max > 0
                 ? "See ledger.checkpoint_failed in the log: journalctl -u issuerd. Over %" PRId64
                   " waiting entries no token is issued."
                 : "See ledger.checkpoint_failed in the log: journalctl -u issuerd.",
             ledger->backlog_max);
    }
}

/* ---- store ---- */

static void judge_store(struct problems *problems, const struct service_status *status)
{
    const struct status_store *store = &status->store;

    if (store->failing_s == 0) {
        return;
    }
    then(add(problems, "store.failing", true, "", store->failing_s,
             "The store does not take what is written: %s.", store->failure.text),
         strcmp(store->engine, "sqlite") == 0
             ? "Is the disk full, read-only or gone? df, dmesg, and the directory of store.url. "
               "Codes are still good; issuing goes on by itself."
             : "Is there a PostgreSQL that writes, and does it answer from here? Promote a standby "
               "if "
               "the primary is lost. Codes are still good; issuing goes on by itself.");
}

/* ---- the clock ---- */

static void judge_clock(struct problems *problems, const struct service_status *status)
{
    const struct status_clock *clock = &status->clock;
    const int64_t off_s = clock->is.deviation_s;

    if (clock->is.is_trusted) {
        return;
    }
    then(add(problems, "clock.untrusted", true, clock->is.name, clock->since_s,
             clock->is.is_behind_ledger
                 ? "The clock of the %s is %" PRId64 " s behind the ledger's last entry."
                 : "The clock of the %s was set: it is off by %" PRId64 " s.",
             clock->is.name, clock->is.is_behind_ledger ? -off_s : off_s),
         "If it is wrong, set it right (chronyc makestep); issuing goes on by itself. If it is "
         "right: "
         "issuerctl clock confirm");
}

/* ---- load ---- */

static void judge_load(struct problems *problems, const struct service_status *status)
{
    const uint64_t overloaded = status->last_10_s[EXCHANGE_OVERLOADED];
    const uint64_t internal = status->last_60_s[EXCHANGE_INTERNAL];

    if (overloaded > 0) {
        then(
            add(problems, "overload", false, "", 0,
                "%" PRIu64 " exchanges of the last 10 s found every queue full, and were told to "
                "come again.",
                overloaded),
            "A second signer, more sessions if the device has them, or fewer clients at once. What "
            "the device takes is in the latency of signatures.");
    }
    if (internal > 0) {
        then(add(problems, "internal", false, "", 0,
                 "%" PRIu64 " exchanges of the last minute ended with an internal error.",
                 internal),
             "The cause is in the log at http.refused: journalctl -u issuerd -p err");
    }
    if (status->edge.connections >= status->edge.connections_max) {
        then(add(problems, "connections", false, "", 0,
                 "All %u connections of the public listener are taken.",
                 status->edge.connections_max),
             "Who rests gives way to who comes; if all are at work: public.connections, "
             "public.idle_timeout_s, or another node.");
    }
}

static void judge_certificates(struct problems *problems, const struct service_status *status)
{
    for (size_t i = 0; i < status->edge.certificate_count; i++) {
        const struct certificate_status *certificate = &status->edge.certificates[i];
        const int64_t left_s = certificate->expires_s - status->now_s;
        if (left_s >= CERTIFICATE_WARNING_S) {
            continue;
        }
        struct problem *problem =
            left_s <= 0
                ? add(problems, "certificate.expired", false, certificate->listener,
                      certificate->expires_s,
                      "The TLS certificate of the %s listener has expired: clients refuse it.",
                      certificate->listener)
                : add(problems, "certificate.expires", false, certificate->listener, 0,
                      "The TLS certificate of the %s listener expires in %" PRId64 " days.",
                      certificate->listener, left_s / DAY_S);
        then(problem, "Put a new one into its place, then: systemctl reload issuerd");
    }
}

/* ---- all of it ---- */

/* Whatever else: who is not ready says why. */
static void judge_readiness(struct problems *problems, const struct service_status *status)
{
    for (size_t i = 0; i < problems->count; i++) {
        if (problems->list[i].is_error) {
            return;
        }
    }
    if (!status->ready) {
        then(add(problems, "not_ready", true, "", 0, "No token can be issued: %s.",
                 status->reason.message),
             "It may pass within seconds. If not, see the log: journalctl -u issuerd");
    }
}

static void move_errors_first(struct problems *problems)
{
    size_t place = 0;

    for (size_t i = 0; i < problems->count; i++) {
        if (problems->list[i].is_error) {
            const struct problem error = problems->list[i];
            memmove(&problems->list[place + 1], &problems->list[place],
                    (i - place) * sizeof(problems->list[0]));
            problems->list[place++] = error;
        }
    }
}

/* When the last signer went that could sign tokens. */
static int64_t signers_stopped_s(const struct service_status *status)
{
    int64_t stopped_s = 0;

    for (size_t i = 0; i < status->signer_count && !any_signs_tokens(status); i++) {
        const struct status_signer *signer = &status->signers[i];
        if (is_for_tokens(signer) && signer->is.permitted && signer->since_s > stopped_s) {
            stopped_s = signer->since_s;
        }
    }
    return stopped_s;
}

static int64_t earlier_of(int64_t a, int64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

void status_judge(const struct service_status *status, struct problems *problems_out)
{
    problems_out->count = 0;
    judge_clock(problems_out, status);
    judge_signers(problems_out, status);
    judge_ledger(problems_out, status);
    judge_store(problems_out, status);
    judge_keys(problems_out, status);
    judge_certificates(problems_out, status);
    judge_load(problems_out, status);
    judge_readiness(problems_out, status);
    move_errors_first(problems_out);
    problems_out->stopped_s =
        status->ready ? 0
                      : earlier_of(earlier_of(status->ledger.stopped_s, status->store.failing_s),
                                   earlier_of(status->clock.since_s, signers_stopped_s(status)));
}

/*
 * The ledger's checkpoints: when they are made, that anyone can verify them, and what becomes of the
 * issuing while the audit key's signer does not answer: it goes on, within a bound.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/api.h"
#include "support/checkpoint.h"
#include "support/health.h"
#include "support/ledger.h"
#include "support/program.h"
#include "support/run.h"

enum {
    SETTLE_S = 30 * HEALTH_SLACK,
    STOP_S = 25 * HEALTH_SLACK,
    NEVER_S = 3600,         /* by time no checkpoint is made */
    NEVER_ENTRIES = 100000, /* by entries likewise */
    QUIET_US = 500000,
};

static struct {
    struct instance *instance;
    struct checkpoint_seen seen;
    struct checkpoint_seen stored;
    int64_t wanted;
    char code[API_CODE_SIZE];
} fixture;

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.instance = instance_new(NULL);
    instance_set(fixture.instance, "ledger.node=node-1");
    instance_set(fixture.instance, "ledger.checkpoint_s=1");
    instance_set(fixture.instance, "tokens.code_lifetime_s=300");
}

static void tear_down(void)
{
    instance_free(take(fixture.instance));
}

static void due_after(int entries, int seconds)
{
    instance_set(fixture.instance, "ledger.checkpoint_entries=%d", entries);
    instance_set(fixture.instance, "ledger.checkpoint_s=%d", seconds);
}

static bool make_code(void)
{
    return api_make_code(fixture.instance, NULL, fixture.code);
}

static bool redeem(int tokens)
{
    bool good = true;
    for (int i = 0; i < tokens && good; i++) {
        good = make_code()
            && health_redeems_by(fixture.instance, fixture.code, monotonic_ns() + NS_PER_S);
    }
    return good;
}

static double ledger_metric(const char *name)
{
    char sample[64];
    (void)snprintf(sample, sizeof(sample), "issuerd_ledger_%s", name);
    return health_metric(fixture.instance, sample);
}

static bool is_logged(const char *words)
{
    return instance_has_logged(fixture.instance, words);
}

static bool holds_soon(bool (*holds)(const struct instance *))
{
    return health_await(fixture.instance, holds, monotonic_ns() + SETTLE_S * NS_PER_S);
}

/* ---- what the head file says ---- */

static bool covers_wanted(const struct instance *instance)
{
    return checkpoint_of_file(instance, &fixture.seen) && fixture.seen.size >= fixture.wanted;
}

static bool signs_wanted(const struct instance *instance)
{
    return covers_wanted(instance) && fixture.seen.signature[0] != '\0';
}

/* The head file has a signed checkpoint of so many entries, or soon has. */
static bool is_signed_up_to(int64_t entries)
{
    fixture.wanted = entries;
    return holds_soon(signs_wanted);
}

static bool is_kept_up_to(int64_t entries)
{
    fixture.wanted = entries;
    return holds_soon(covers_wanted);
}

static int64_t entries_now(void)
{
    return checkpoint_entries(fixture.instance);
}

static bool start(void)
{
    return instance_start(fixture.instance) && holds_soon(health_is_ready);
}

/* With the first checkpoint, which covers the start. */
static bool start_signed(void)
{
    return start() && is_signed_up_to(entries_now());
}

/* ---- checkpoints ---- */

static void check_note(void)
{
    CU_ASSERT_TRUE_FATAL(checkpoint_of_store(fixture.instance, &fixture.stored));
    CU_ASSERT_STRING_EQUAL(fixture.seen.origin, "issuer.example/ledger/node-1/1");
    CU_ASSERT_STRING_EQUAL(fixture.seen.text, fixture.stored.text);
    CU_ASSERT_TRUE(checkpoint_verifies(&fixture.seen, fixture.stored.jwk));
    CU_ASSERT_TRUE(checkpoint_root_is_right(fixture.instance, &fixture.seen));
}

static void test_a_start_is_covered_at_once_and_anyone_can_verify_it(void)
{
    char line[128];

    instance_use_audit_key(fixture.instance);
    due_after(NEVER_ENTRIES, NEVER_S);
    CU_ASSERT_TRUE_FATAL(start_signed());
    check_note();
    (void)snprintf(line, sizeof(line),
                   "ledger.checkpoint origin=issuer.example/ledger/node-1/1 size=%lld root=%s",
                   (long long)fixture.seen.size, fixture.seen.root);
    CU_ASSERT_TRUE(is_logged(line));
    CU_ASSERT_EQUAL(ledger_metric("size"), (double)fixture.seen.size);
    CU_ASSERT_EQUAL(ledger_metric("checkpoint_size"), (double)fixture.seen.size);
    CU_ASSERT_TRUE(ledger_metric("checkpoint_age_seconds") >= 0);
    CU_ASSERT_EQUAL(ledger_metric("stopped"), 0);
}

static void test_an_ed25519_key_signs_what_verifies_too(void)
{
    instance_use_audit_file(fixture.instance, "Ed25519");
    CU_ASSERT_TRUE_FATAL(start_signed() && redeem(3));
    CU_ASSERT_TRUE(is_signed_up_to(entries_now()));
    check_note();
}

static void test_another_text_or_another_key_does_not_verify(void)
{
    instance_use_audit_file(fixture.instance, "ES256");
    CU_ASSERT_TRUE_FATAL(start_signed());
    check_note();
    instance_free(take(fixture.instance));
    const struct checkpoint_seen first = fixture.seen;

    set_up();
    instance_use_audit_file(fixture.instance, "ES256");
    CU_ASSERT_TRUE_FATAL(start_signed());
    check_note();
    CU_ASSERT_FALSE(checkpoint_verifies(&first, fixture.stored.jwk));
    fixture.seen.text[strlen(fixture.seen.origin) + 1] ^= 1; /* a digit of the size */
    CU_ASSERT_FALSE(checkpoint_verifies(&fixture.seen, fixture.stored.jwk));
}

static void test_so_many_entries_make_a_checkpoint_due(void)
{
    instance_use_audit_key(fixture.instance);
    due_after(5, NEVER_S);
    CU_ASSERT_TRUE_FATAL(start_signed());
    const int64_t first = fixture.seen.size;
    CU_ASSERT_TRUE_FATAL(redeem(4));
    (void)usleep(QUIET_US);
    CU_ASSERT_TRUE(checkpoint_of_file(fixture.instance, &fixture.seen));
    CU_ASSERT_TRUE(fixture.seen.size < first + 4);
    CU_ASSERT_TRUE_FATAL(redeem(1));
    CU_ASSERT_TRUE(is_signed_up_to(first + 5));
    check_note();
}

static void test_a_checkpoint_is_due_before_the_issuing_would_stop(void)
{
    instance_use_audit_key(fixture.instance);
    due_after(NEVER_ENTRIES, NEVER_S);
    instance_set(fixture.instance, "ledger.backlog_max=100");
    CU_ASSERT_TRUE_FATAL(start_signed());
    CU_ASSERT_TRUE(redeem(110));
    CU_ASSERT_TRUE(checkpoint_count(fixture.instance) > 1);
}

static void test_so_many_seconds_make_a_checkpoint_due_if_there_is_an_entry(void)
{
    instance_use_audit_key(fixture.instance);
    due_after(NEVER_ENTRIES, 1);
    CU_ASSERT_TRUE_FATAL(start_signed() && redeem(1));
    CU_ASSERT_TRUE(is_signed_up_to(entries_now()));
    check_note();
    const int64_t count = checkpoint_count(fixture.instance);
    (void)sleep(3);
    CU_ASSERT_EQUAL(checkpoint_count(fixture.instance), count);
}

static void test_the_last_checkpoint_covers_the_stop(void)
{
    instance_use_audit_key(fixture.instance);
    due_after(NEVER_ENTRIES, NEVER_S);
    CU_ASSERT_TRUE_FATAL(start_signed() && redeem(2));
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, STOP_S), 0);
    CU_ASSERT_TRUE_FATAL(checkpoint_of_file(fixture.instance, &fixture.seen));
    CU_ASSERT_EQUAL(fixture.seen.size, entries_now());
    check_note();
    CU_ASSERT_TRUE_FATAL(start_signed()); /* and the tree goes on where it was */
    check_note();
    CU_ASSERT_FALSE(is_logged("ledger.rolled_back"));
}

static void test_without_an_audit_key_the_head_is_kept_and_nothing_signed(void)
{
    CU_ASSERT_TRUE_FATAL(start() && redeem(1));
    CU_ASSERT_TRUE(is_logged("ledger.not_signed"));
    CU_ASSERT_TRUE(is_kept_up_to(entries_now()));
    CU_ASSERT_STRING_EQUAL(fixture.seen.origin, "issuer.example/ledger/node-1/1");
    CU_ASSERT_STRING_EQUAL(fixture.seen.signature, "");
    CU_ASSERT_TRUE(checkpoint_root_is_right(fixture.instance, &fixture.seen));
    CU_ASSERT_EQUAL(checkpoint_count(fixture.instance), 0);
    CU_ASSERT_EQUAL(ledger_metric("checkpoint_age_seconds"), -1);
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, STOP_S), 0);
    CU_ASSERT_TRUE_FATAL(checkpoint_of_file(fixture.instance, &fixture.seen));
    CU_ASSERT_EQUAL(fixture.seen.size, entries_now());
}

/* ---- the audit key ---- */

static bool lists(const char *path, const char *text)
{
    struct http_client *client = http_connect(instance_public_port(fixture.instance));
    const struct http_reply *reply = http_get(client, path);
    const bool found = reply->status == 200 && strstr(reply->body, text) != NULL;
    http_close(client);
    return found;
}

static void read_kid(const char *jwk, char *kid_out, size_t size)
{
    cJSON *key = cJSON_Parse(jwk);
    const char *kid = cJSON_GetStringValue(cJSON_GetObjectItem(key, "kid"));
    (void)snprintf(kid_out, size, "%s", kid != NULL ? kid : "none");
    cJSON_Delete(key);
}

static void test_the_audit_key_signs_no_token_and_is_not_published(void)
{
    char kid[64];

    instance_use_audit_key(fixture.instance);
    CU_ASSERT_TRUE_FATAL(start_signed() && redeem(10) && is_signed_up_to(entries_now()));
    CU_ASSERT_TRUE_FATAL(checkpoint_of_store(fixture.instance, &fixture.stored));
    read_kid(fixture.stored.jwk, kid, sizeof(kid));
    CU_ASSERT_EQUAL(strlen(kid), 43);
    CU_ASSERT_FALSE(lists("/.well-known/jwks.json", kid));
    CU_ASSERT_TRUE(lists("/.well-known/jwks.json", "\"kid\""));
    CU_ASSERT_TRUE(health_signer_metric(fixture.instance, "main", "signatures_total") >= 10);
    CU_ASSERT_EQUAL(health_signer_metric(fixture.instance, "audit", "signatures_total"),
                    (double)checkpoint_count(fixture.instance));
    CU_ASSERT_EQUAL(ledger_keys(fixture.instance), 1);
}

static const struct program_result *ctl(const char *first, const char *second, const char *third)
{
    const char *const argv[] = { "issuerctl", "--config", instance_conf_path(fixture.instance),
                                 first,       second,     third,
                                 NULL };
    return program_run(argv, 60);
}

static const struct program_result *generate_audit(const char *algorithm)
{
    const char *const argv[] = { "issuerctl",   "--config", instance_conf_path(fixture.instance),
                                 "keys",        "generate", "audit",
                                 "--algorithm", algorithm,  NULL };
    return program_run(argv, 60);
}

static void test_issuerctl_shows_the_audit_key_and_enters_it_nowhere(void)
{
    instance_use_audit_key(fixture.instance);
    CU_ASSERT_TRUE_FATAL(start_signed());
    CU_ASSERT_TRUE(program_ended(ctl("keys", "list", NULL), 0, "audit      audit        ES256"));
    CU_ASSERT_TRUE(program_ended(ctl("keys", "list", "--json"), 0,
                                 "\"signer\":\"audit\",\"state\":\"audit\""));
    instance_set(fixture.instance, "signer audit.uri=pkcs11:token=issuerd%%20test;object=audit2%s",
                 strchr(getenv("TEST_KEY_URI"), '?'));
    instance_write_conf(fixture.instance);
    CU_ASSERT_TRUE(program_ended(generate_audit("PS256"), 69, "ES256 or Ed25519"));
    CU_ASSERT_TRUE(program_ended(generate_audit("ES256"), 0, "audit      audit"));
    CU_ASSERT_EQUAL(ledger_keys(fixture.instance), 1);
}

/* ---- while its signer does not answer ---- */

static bool is_down(const struct instance *instance)
{
    return health_signer_metric(instance, "audit", "up") == 0;
}

/* Issuing goes on, and what the store had is kept outside of it all the same; then all is signed. */
static void check_audit_fault(const char *faults)
{
    instance_use_audit_shim(fixture.instance);
    instance_set(fixture.instance, "signer audit.deadline_ms=%d", 500 * HEALTH_SLACK);
    CU_ASSERT_TRUE_FATAL(start_signed());
    const int64_t count = checkpoint_count(fixture.instance);
    instance_set_faults(fixture.instance, faults);
    CU_ASSERT_TRUE_FATAL(redeem(5));
    CU_ASSERT_TRUE(holds_soon(is_down));
    CU_ASSERT_TRUE(redeem(5));
    CU_ASSERT_EQUAL(health_ready_status(fixture.instance), 200);
    CU_ASSERT_TRUE(is_kept_up_to(entries_now()));
    CU_ASSERT_STRING_EQUAL(fixture.seen.signature, "");
    CU_ASSERT_TRUE(checkpoint_root_is_right(fixture.instance, &fixture.seen));
    CU_ASSERT_TRUE(checkpoint_count(fixture.instance) <= count + 1); /* one was under way */
    CU_ASSERT_TRUE(is_logged("ledger.checkpoint_failed"));

    instance_set_faults(fixture.instance, "");
    CU_ASSERT_TRUE(is_signed_up_to(entries_now()));
    check_note();
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, STOP_S), 0);
}

static void test_tokens_go_on_while_the_audit_signer_crashes(void)
{
    check_audit_fault("C_Sign abort\n");
}

static void test_tokens_go_on_while_the_audit_device_hangs(void)
{
    check_audit_fault("C_Sign hang\n");
}

static void test_tokens_go_on_while_the_audit_device_errs(void)
{
    check_audit_fault("C_Sign rv=0x30\n");
}

static bool is_stopped(const struct instance *instance)
{
    return health_metric(instance, "issuerd_ledger_stopped") == 1;
}

static bool has_logged_the_stop(const struct instance *instance)
{
    return instance_has_logged(instance, "ledger.backlog");
}

static bool has_logged_the_end_of_it(const struct instance *instance)
{
    return instance_has_logged(instance, "tokens are issued again");
}

static bool is_refused_for_the_ledger(void)
{
    struct http_client *client = http_connect(instance_public_port(fixture.instance));
    const struct http_reply *reply = api_redeem(client, fixture.code);
    const bool refused = is_error_reply(reply, 503, API_LEDGER_STOPPED, "POST", TOKENS_PATH)
                      && atoi(http_header(reply, "Retry-After")) > 0;
    http_close(client);
    return refused;
}

static void test_too_many_entries_without_a_checkpoint_stop_the_issuing_until_one_is_made(void)
{
    instance_use_audit_shim(fixture.instance);
    instance_set(fixture.instance, "ledger.backlog_max=8");
    CU_ASSERT_TRUE_FATAL(start_signed());
    instance_set_faults(fixture.instance, "C_Sign abort\n");
    CU_ASSERT_TRUE_FATAL(holds_soon(is_down) && redeem(4));
    for (int i = 0; i < 10 && !is_stopped(fixture.instance); i++) {
        (void)redeem(1);
    }
    CU_ASSERT_TRUE_FATAL(is_stopped(fixture.instance) && make_code());
    const int64_t tokens = ledger_entries(fixture.instance);
    CU_ASSERT_TRUE(is_refused_for_the_ledger());
    CU_ASSERT_TRUE(is_refused_for_the_ledger());
    CU_ASSERT_EQUAL(health_ready_status(fixture.instance), 503);
    CU_ASSERT_TRUE(holds_soon(has_logged_the_stop));
    CU_ASSERT_EQUAL(ledger_entries(fixture.instance), tokens);
    CU_ASSERT_TRUE(ledger_metric("size") - ledger_metric("checkpoint_size") > 8);

    instance_set_faults(fixture.instance, "");
    CU_ASSERT_TRUE(
        health_redeems_by(fixture.instance, fixture.code, monotonic_ns() + HEAL_S * NS_PER_S));
    CU_ASSERT_TRUE(holds_soon(has_logged_the_end_of_it));
    CU_ASSERT_TRUE(holds_soon(health_is_ready));
    CU_ASSERT_EQUAL(ledger_entries(fixture.instance), tokens + 1);
}

static void test_a_device_that_is_dead_holds_no_stop_up(void)
{
    instance_use_audit_shim(fixture.instance);
    due_after(NEVER_ENTRIES, NEVER_S);
    instance_set(fixture.instance, "signer audit.deadline_ms=10000");
    CU_ASSERT_TRUE_FATAL(start_signed() && redeem(1));
    instance_set_faults(fixture.instance, "C_Sign hang\n");
    const int64_t start_ns = monotonic_ns();
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, STOP_S), 0);
    CU_ASSERT_TRUE(monotonic_ns() - start_ns < 8 * HEALTH_SLACK * NS_PER_S);
    CU_ASSERT_TRUE_FATAL(checkpoint_of_file(fixture.instance, &fixture.seen));
    CU_ASSERT_EQUAL(fixture.seen.size, entries_now());
    CU_ASSERT_STRING_EQUAL(fixture.seen.signature, "");
}

static void test_an_audit_key_that_is_not_there_keeps_no_one_from_starting(void)
{
    instance_use_audit_key(fixture.instance);
    instance_set(fixture.instance, "signer audit.uri=pkcs11:token=issuerd%%20test;object=missing%s",
                 strchr(getenv("TEST_KEY_URI"), '?'));
    CU_ASSERT_TRUE_FATAL(start() && redeem(2));
    CU_ASSERT_TRUE(is_kept_up_to(entries_now()));
    CU_ASSERT_STRING_EQUAL(fixture.seen.signature, "");
}

/* ---- a store that is older ---- */

static bool signs_second_tree(const struct instance *instance)
{
    return checkpoint_of_file(instance, &fixture.seen) && fixture.seen.signature[0] != '\0'
        && strcmp(fixture.seen.origin, "issuer.example/ledger/node-1/2") == 0;
}

static bool copy(const char *from, const char *to)
{
    char source[600];
    char target[600];
    const char *const argv[] = { "cp", source, target, NULL };

    (void)snprintf(source, sizeof(source), "%s%s", instance_store_path(fixture.instance), from);
    (void)snprintf(target, sizeof(target), "%s%s", instance_store_path(fixture.instance), to);
    return program_run(argv, 60)->status == 0;
}

static void test_an_older_store_stops_the_issuing_and_is_never_signed(void)
{
    char text[CHECKPOINT_TEXT_SIZE];

    instance_use_audit_key(fixture.instance);
    CU_ASSERT_TRUE_FATAL(start_signed() && redeem(2));
    CU_ASSERT_EQUAL_FATAL(instance_stop(fixture.instance, STOP_S), 0);
    CU_ASSERT_TRUE_FATAL(copy("", ".older"));
    CU_ASSERT_TRUE_FATAL(start_signed() && redeem(2));
    CU_ASSERT_EQUAL_FATAL(instance_stop(fixture.instance, STOP_S), 0);
    CU_ASSERT_TRUE_FATAL(checkpoint_of_file(fixture.instance, &fixture.seen));
    memcpy(text, fixture.seen.text, sizeof(text));
    CU_ASSERT_TRUE_FATAL(copy(".older", ""));

    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance) && make_code());
    const int64_t count = checkpoint_count(fixture.instance);
    CU_ASSERT_TRUE(is_logged("ledger.rolled_back"));
    CU_ASSERT_TRUE(is_refused_for_the_ledger());
    CU_ASSERT_EQUAL(health_ready_status(fixture.instance), 503);
    CU_ASSERT_EQUAL(ledger_metric("stopped"), 1);
    CU_ASSERT_TRUE(ledger_metric("checkpoint_age_seconds") >= 0); /* of the store's last */
    (void)sleep(2);
    CU_ASSERT_EQUAL(health_signer_metric(fixture.instance, "audit", "signatures_total"), 0);
    CU_ASSERT_EQUAL(instance_stop(fixture.instance, STOP_S), 0);
    CU_ASSERT_EQUAL(checkpoint_count(fixture.instance), count);
    CU_ASSERT_TRUE_FATAL(checkpoint_of_file(fixture.instance, &fixture.seen));
    CU_ASSERT_STRING_EQUAL(fixture.seen.text, text);
}

static bool is_rolled_back(const struct instance *instance)
{
    return instance_has_logged(instance, "ledger.rolled_back");
}

/* Beneath the server that has written it, with nobody asking for anything. */
static void test_a_tree_that_went_back_is_noticed_by_the_next_checkpoint(void)
{
    instance_use_audit_key(fixture.instance);
    due_after(NEVER_ENTRIES, 3);
    CU_ASSERT_TRUE_FATAL(start_signed());
    const int64_t count = checkpoint_count(fixture.instance);
    CU_ASSERT_TRUE_FATAL(
        ledger_edit(fixture.instance, "CREATE TABLE older AS SELECT * FROM ledger_trees"));
    CU_ASSERT_TRUE_FATAL(redeem(1));
    CU_ASSERT_TRUE_FATAL(ledger_edit(fixture.instance,
                                     "UPDATE ledger_trees SET size = (SELECT size FROM older),"
                                     " edge = (SELECT edge FROM older)"));
    CU_ASSERT_TRUE(holds_soon(is_rolled_back));
    CU_ASSERT_EQUAL(checkpoint_count(fixture.instance), count);
    CU_ASSERT_EQUAL(health_ready_status(fixture.instance), 503);
}

static void test_a_restore_that_was_accepted_goes_on_in_a_new_tree_without_a_restart(void)
{
    const char *const argv[] = {
        "issuerctl", "--config",        instance_conf_path(fixture.instance),
        "ledger",    "accept-restore",  "--yes",
        "--reason",  "the disk failed", NULL
    };

    instance_use_audit_key(fixture.instance);
    CU_ASSERT_TRUE_FATAL(start_signed());
    CU_ASSERT_EQUAL_FATAL(instance_stop(fixture.instance, STOP_S), 0);
    CU_ASSERT_TRUE_FATAL(copy("", ".older"));
    CU_ASSERT_TRUE_FATAL(start_signed() && redeem(2));
    CU_ASSERT_EQUAL_FATAL(instance_stop(fixture.instance, STOP_S), 0);
    CU_ASSERT_TRUE_FATAL(copy(".older", ""));
    CU_ASSERT_TRUE_FATAL(instance_start(fixture.instance));
    CU_ASSERT_EQUAL(health_ready_status(fixture.instance), 503);

    CU_ASSERT_TRUE_FATAL(program_ended(program_run(argv, 60), 0, "a new tree"));
    CU_ASSERT_TRUE(holds_soon(health_is_ready));
    CU_ASSERT_TRUE(redeem(1));
    CU_ASSERT_TRUE(holds_soon(signs_second_tree));
    CU_ASSERT_TRUE_FATAL(checkpoint_of_store(fixture.instance, &fixture.stored));
    CU_ASSERT_TRUE(checkpoint_verifies(&fixture.seen, fixture.stored.jwk));
}

/* By neither entries nor time it would be. What went back is remembered outside of the store before. */
static void test_the_first_checkpoint_of_a_new_tree_is_due_at_once(void)
{
    const char *const argv[] = {
        "issuerctl", "--config",        instance_conf_path(fixture.instance),
        "ledger",    "accept-restore",  "--yes",
        "--reason",  "the disk failed", NULL
    };

    instance_use_audit_key(fixture.instance);
    due_after(NEVER_ENTRIES, NEVER_S);
    CU_ASSERT_TRUE_FATAL(start_signed());
    CU_ASSERT_TRUE_FATAL(
        ledger_edit(fixture.instance, "CREATE TABLE older AS SELECT * FROM ledger_trees"));
    CU_ASSERT_TRUE_FATAL(redeem(1));
    const int64_t lost = entries_now();
    CU_ASSERT_TRUE_FATAL(ledger_edit(fixture.instance,
                                     "UPDATE ledger_trees SET size = (SELECT size FROM older),"
                                     " edge = (SELECT edge FROM older)"));
    CU_ASSERT_FALSE(redeem(1));
    CU_ASSERT_TRUE_FATAL(is_kept_up_to(lost));
    CU_ASSERT_TRUE_FATAL(program_ended(program_run(argv, 60), 0, "a new tree"));
    CU_ASSERT_TRUE(holds_soon(signs_second_tree));
}

/* ---- the head file's place ---- */

static void test_a_head_file_that_cannot_be_written_is_refused_at_the_start(void)
{
    const char *const argv[] = { "issuerd", "--config", instance_conf_path(fixture.instance),
                                 NULL };

    instance_set(fixture.instance, "ledger.checkpoint_file=%s/none/head",
                 instance_directory(fixture.instance));
    instance_write_conf(fixture.instance);
    CU_ASSERT_TRUE(program_ended(program_run(argv, 60), 78, "ledger.checkpoint_file"));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a start is covered at once, and anyone can verify it",
          test_a_start_is_covered_at_once_and_anyone_can_verify_it },
        { "an Ed25519 key signs what verifies, too", test_an_ed25519_key_signs_what_verifies_too },
        { "another text, or another key, does not verify",
          test_another_text_or_another_key_does_not_verify },
        { "so many entries make a checkpoint due", test_so_many_entries_make_a_checkpoint_due },
        { "a checkpoint is due before the issuing would stop",
          test_a_checkpoint_is_due_before_the_issuing_would_stop },
        { "so many seconds make a checkpoint due, if there is an entry",
          test_so_many_seconds_make_a_checkpoint_due_if_there_is_an_entry },
        { "the last checkpoint covers the stop", test_the_last_checkpoint_covers_the_stop },
        { "without an audit key the head is kept, and nothing signed",
          test_without_an_audit_key_the_head_is_kept_and_nothing_signed },
        { "the audit key signs no token and is not published",
          test_the_audit_key_signs_no_token_and_is_not_published },
        { "issuerctl shows the audit key, and enters it nowhere",
          test_issuerctl_shows_the_audit_key_and_enters_it_nowhere },
        { "tokens go on while the audit signer crashes",
          test_tokens_go_on_while_the_audit_signer_crashes },
        { "tokens go on while the audit device hangs",
          test_tokens_go_on_while_the_audit_device_hangs },
        { "tokens go on while the audit device errs",
          test_tokens_go_on_while_the_audit_device_errs },
        { "too many entries without a checkpoint stop the issuing until one is made",
          test_too_many_entries_without_a_checkpoint_stop_the_issuing_until_one_is_made },
        { "a device that is dead holds no stop up", test_a_device_that_is_dead_holds_no_stop_up },
        { "an audit key that is not there keeps no one from starting",
          test_an_audit_key_that_is_not_there_keeps_no_one_from_starting },
        { "an older store stops the issuing, and is never signed",
          test_an_older_store_stops_the_issuing_and_is_never_signed },
        { "a tree that went back is noticed by the next checkpoint",
          test_a_tree_that_went_back_is_noticed_by_the_next_checkpoint },
        { "a restore that was accepted goes on in a new tree, without a restart",
          test_a_restore_that_was_accepted_goes_on_in_a_new_tree_without_a_restart },
        { "the first checkpoint of a new tree is due at once",
          test_the_first_checkpoint_of_a_new_tree_is_due_at_once },
        { "a head file that cannot be written is refused at the start",
          test_a_head_file_that_cannot_be_written_is_refused_at_the_start },
        CU_TEST_INFO_NULL,
    };
    return run_suite("checkpoints", set_up, tear_down, tests);
}

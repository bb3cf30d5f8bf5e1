#include "ctl/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/memory.h"
#include "ctl/ctl.h"
#include "ctl/status.h"
#include "jose/json.h"

static const char question[] = "Is that the right time, and shall tokens be issued by it? [y/N] ";

struct clock {
    char name[16];
    bool is_trusted;
    bool is_behind_ledger;
    int64_t time_s;
    int64_t deviation_s;
};

static int64_t whole(const cJSON *object, const char *name)
{
    static const double largest = 253402300799; /* as a time: the last second of the year 9999 */
    const double value = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(object, name));

    return value >= -largest && value <= largest ? (int64_t)value : 0; /* no number: none of both */
}

static bool is_true(const cJSON *object, const char *name)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, name));
}

static bool take_clock(const cJSON *object, struct clock *clock_out, struct error *err)
{
    const char *name = json_text(object, "name");

    if (name == NULL) {
        return fail(err, ERROR_TIMEOUT, "the server does not speak of its clock");
    }
    (void)snprintf(clock_out->name, sizeof(clock_out->name), "%s", name);
    clock_out->is_trusted = is_true(object, "trusted");
    clock_out->is_behind_ledger = is_true(object, "behind_ledger");
    clock_out->time_s = whole(object, "time");
    clock_out->deviation_s = whole(object, "deviation_s");
    return true;
}

static bool ask(struct http_client *client, const char *url, struct clock *clock_out,
                struct error *err)
{
    scoped(release_cjson) cJSON *status = NULL;
    struct http_answer answer;

    return status_ask(client, url, &answer, &status, err)
        && take_clock(cJSON_GetObjectItemCaseSensitive(status, "clock"), clock_out, err);
}

static void print_clock(const struct clock *clock)
{
    const int64_t off_s = clock->deviation_s;

    printf("the clock of the %s says %s\n", clock->name, instant_of(clock->time_s).text);
    if (clock->is_trusted) {
        printf("it is trusted\n");
    } else if (clock->is_behind_ledger) {
        printf("NOT TRUSTED: it is %" PRId64 " s behind the ledger's last entry\n", -off_s);
    } else {
        printf("NOT TRUSTED: it was set, and is %" PRId64 " s %s what it should be: %s\n",
               off_s < 0 ? -off_s : off_s, off_s < 0 ? "behind" : "ahead of",
               instant_of(clock->time_s - off_s).text);
    }
}

static void print_json(const struct clock *clock)
{
    printf("{\"name\":\"%s\",\"trusted\":%s,\"time\":%" PRId64 ",\"deviation_s\":%" PRId64
           ",\"behind_ledger\":%s}\n",
           clock->name, clock->is_trusted ? "true" : "false", clock->time_s, clock->deviation_s,
           clock->is_behind_ledger ? "true" : "false");
}

static void print(const struct clock_options *options, const struct clock *clock)
{
    (options->json ? print_json : print_clock)(clock);
    (void)fflush(stdout); /* before anybody is asked */
}

int clock_show(const struct clock_options *options)
{
    scoped(release_client) struct http_client *client = http_client_new(&options->server);
    struct error err = { .code = ERROR_NONE };
    struct clock clock = { .time_s = 0 };

    if (!ask(client, options->server.url, &clock, &err)) {
        return ctl_complain(&err);
    }
    print(options, &clock);
    return clock.is_trusted ? EX_OK : CTL_REFUSED;
}

static bool confirm(struct http_client *client, struct clock *clock, struct error *err)
{
    scoped(release_cjson) cJSON *now = NULL;
    struct http_answer answer;
    struct http_words words;
    char body[64];

    (void)snprintf(body, sizeof(body), "{\"deviation_s\":%" PRId64 "}", clock->deviation_s);
    if (!http_client_send(client, "/api/v1/clock/confirm", body, &answer, err)) {
        return false;
    }
    if (answer.status != 200) {
        http_answer_words(&answer, &words);
        return fail(err, answer.status < 500 ? ERROR_CONFLICT : ERROR_TIMEOUT,
                    "the server answers %ld%s", answer.status, words.text);
    }
    return json_parse_object(answer.body, answer.length, &now, err) && take_clock(now, clock, err);
}

int clock_confirm(const struct clock_options *options)
{
    scoped(release_client) struct http_client *client = http_client_new(&options->server);
    struct error err = { .code = ERROR_NONE };
    struct clock clock = { .time_s = 0 };

    if (!ask(client, options->server.url, &clock, &err)) {
        return ctl_complain(&err);
    }
    if (clock.is_trusted) {
        print(options, &clock);
        return EX_OK;
    }
    if (!options->yes) {
        print(options, &clock);
        const int status = ctl_confirm("clock confirm", question);
        if (status != EX_OK) {
            return status;
        }
    }
    if (!confirm(client, &clock, &err)) {
        return ctl_refuse(&err);
    }
    print(options, &clock);
    return clock.is_trusted ? EX_OK : CTL_REFUSED;
}

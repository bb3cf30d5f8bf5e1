#include "ctl/ctl.h"

#include <stdio.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum { WRITE_TRIES = 4 };

int ctl_complain(const struct error *err)
{
    (void)fprintf(stderr, "issuerctl: %s\n", error_line(err).text);
    return err->code == ERROR_CONFIG ? EX_CONFIG : EX_UNAVAILABLE;
}

int ctl_refuse(const struct error *err)
{
    const int status = ctl_complain(err);

    if (err->code == ERROR_NOT_FOUND || err->code == ERROR_CONFLICT) {
        return CTL_REFUSED;
    }
    return err->code == ERROR_INVALID_REQUEST ? EX_USAGE : status;
}

bool ctl_open_store(const struct service_options *service, struct store **store_out,
                    struct error *err)
{
    struct store_options options = service->store;

    options.must_exist = true;
    return store_open(service->store_url, &options, store_out, err);
}

static bool write_once(struct ledger *ledger, struct store *store, ctl_write_fn *write,
                       void *context, struct error *err)
{
    int64_t now_s = 0;

    if (!store_begin(store, &now_s, err)) {
        return false;
    }
    if (!write(context, ledger, store, now_s, err) || !ledger_seal(ledger, store, err)) {
        store_rollback(store);
        ledger_settle(ledger, false);
        return false;
    }
    const bool committed = store_commit(store, err);
    ledger_settle(ledger, committed);
    return committed;
}

bool ctl_write(const struct service_options *service, struct store *store, ctl_write_fn *write,
               void *context, struct error *err)
{
    scoped(release_ledger) struct ledger *ledger = NULL;
    bool written = false;

    if (!ledger_open(&service->ledger, store, &ledger, err)) {
        return false;
    }
    for (int i = 0; i < WRITE_TRIES && !written; i++) {
        written = write_once(ledger, store, write, context, err);
        if (!written && err->code != ERROR_STORE_CONFLICT) {
            return false;
        }
    }
    return written;
}

int ctl_confirm(const char *command, const char *question)
{
    char answer[8];

    if (isatty(STDIN_FILENO) == 0) {
        (void)fprintf(stderr, "issuerctl: %s needs --yes where nobody can be asked\n", command);
        return EX_USAGE;
    }
    (void)fputs(question, stderr);
    if (fgets(answer, sizeof(answer), stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y')) {
        return EX_OK;
    }
    (void)fprintf(stderr, "issuerctl: %s: not done\n", command);
    return CTL_REFUSED;
}

struct instant instant_of(int64_t seconds)
{
    struct instant instant;
    struct tm parts;
    const time_t time = (time_t)seconds;

    (void)gmtime_r(&time, &parts);
    (void)strftime(instant.text, sizeof(instant.text), "%Y-%m-%dT%H:%M:%SZ", &parts);
    return instant;
}

void ctl_add_member(struct text *text, const char *name, const char *value)
{
    text_add(text, text->length > 1 ? ",\"" : "\"");
    text_add(text, name);
    text_add(text, "\":");
    text_add_json_string(text, value);
}

void ctl_make_plain(char *text)
{
    for (; *text != '\0'; text++) {
        *text = *text >= ' ' && *text < 0x7f ? *text : '?';
    }
}

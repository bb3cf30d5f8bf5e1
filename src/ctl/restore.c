#include "ctl/restore.h"

#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>

#include "base/log.h"
#include "ctl/ctl.h"

static const char question[] =
    "The store is older than the ledger of this node was. From here on a new tree of the ledger\n"
    "begins, which says so, and every request and code that is open in the store is cancelled, as\n"
    "it may have been used. Were all other nodes stopped, and is there no newer copy? Accept? "
    "[y/N] ";

struct acceptance {
    const char *reason;
    int64_t cancelled;
};

static bool write_acceptance(void *context, struct ledger *ledger, struct store *store,
                             int64_t now_s, struct error *err)
{
    struct acceptance *self = context;
    return ledger_accept_restore(ledger, store, now_s, self->reason, &self->cancelled, err);
}

/* Before anybody is asked. */
static bool check_rolled_back(const struct service_options *service, struct store *store,
                              struct error *err)
{
    scoped(release_ledger) struct ledger *ledger = NULL;

    return ledger_open(&service->ledger, store, &ledger, err)
        && (ledger_status(ledger).is_rolled_back
            || fail(err, ERROR_CONFLICT, "the store is as new as %s: nothing is to be accepted",
                    service->ledger.head_path));
}

int ledger_accept(const struct service_options *service, const struct restore_options *options)
{
    scoped(release_store) struct store *store = NULL;
    struct acceptance acceptance = { .reason = options->reason };
    struct error err = { .code = ERROR_NONE };

    if (options->reason == NULL) {
        (void)fprintf(stderr, "issuerctl: ledger accept-restore needs --reason TEXT: the ledger "
                              "keeps it\n");
        return EX_USAGE;
    }
    log_set_level(LOG_LEVEL_NONE); /* the question says what ledger.rolled_back would */
    if (!ctl_open_store(service, &store, &err) || !check_rolled_back(service, store, &err)) {
        return ctl_refuse(&err);
    }
    const int status = options->yes ? EX_OK : ctl_confirm("ledger accept-restore", question);
    if (status != EX_OK) {
        return status;
    }
    if (!ctl_write(service, store, write_acceptance, &acceptance, &err)) {
        return ctl_refuse(&err);
    }
    printf(options->json ? "{\"accepted\":true,\"cancelled\":%" PRId64 "}\n"
                         : "accepted: a new tree of the ledger has begun; cancelled: %" PRId64
                           " open requests and codes\n",
           acceptance.cancelled);
    return EX_OK;
}

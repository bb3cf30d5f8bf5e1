/* Picks the engine by the URL's scheme and passes every call on. */
#include "store/store.h"

#include <string.h>

#include "base/memory.h"
#include "store/store_driver.h"

static const struct store_driver *const drivers[] = { &sqlite_driver };

bool store_open(const char *url, const struct store_options *options, struct store **store_out,
                struct error *err)
{
    for (size_t i = 0; i < COUNT_OF(drivers); i++) {
        const size_t length = strlen(drivers[i]->scheme);
        if (strncmp(url, drivers[i]->scheme, length) == 0 && url[length] == ':') {
            return drivers[i]->open(url + length + 1, options, store_out, err);
        }
    }
    return fail(err, ERROR_CONFIG, "store.url: no engine for this scheme (sqlite:)");
}

void store_close(struct store *store)
{
    if (store != NULL) {
        store->driver->close(store);
    }
}

bool store_begin(struct store *store, struct error *err)
{
    return store->driver->begin(store, err);
}

bool store_commit(struct store *store, struct error *err)
{
    return store->driver->commit(store, err);
}

void store_rollback(struct store *store)
{
    store->driver->rollback(store);
}

bool store_create_authorization(struct store *store, const struct new_authorization *authorization,
                                struct error *err)
{
    return store->driver->create_authorization(store, authorization, err);
}

bool store_approve(struct store *store, const struct approval *approval,
                   struct approved_authorization *approved_out, struct error *err)
{
    return store->driver->approve(store, approval, approved_out, err);
}

bool store_find_code(struct store *store, const struct digest *code, struct stored_code *code_out,
                     struct error *err)
{
    return store->driver->find_code(store, code, code_out, err);
}

bool store_redeem(struct store *store, const struct redemption *redemption, struct error *err)
{
    return store->driver->redeem(store, redemption, err);
}

bool store_heartbeat(struct store *store, int64_t now_s, struct error *err)
{
    return store->driver->heartbeat(store, now_s, err);
}

bool store_purge(struct store *store, int64_t now_s, int limit, struct error *err)
{
    return store->driver->purge(store, now_s, limit, err);
}

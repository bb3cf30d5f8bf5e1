/* What may change while the service runs, changed as a whole or not at all. */
#include "core/service_state.h"

struct trust_options trust_options_of(const struct service_options *options)
{
    return (struct trust_options){ .audience = options->issuer,
                                   .resolver_url = options->did_resolver_url,
                                   .issuers = options->trusted,
                                   .issuer_count = options->trusted_count };
}

struct trust *service_trust(struct service *self)
{
    pthread_mutex_lock(&self->trust_lock);
    struct trust *trust = trust_share(self->trust);
    pthread_mutex_unlock(&self->trust_lock);
    return trust;
}

/* A trust that is the same stays, and with it the documents that its resolver remembers. */
static void set_trust(struct service *self, const struct service_options *options)
{
    const struct trust_options wanted = trust_options_of(options);

    if (trust_is(self->trust, &wanted)) {
        return;
    }
    pthread_mutex_lock(&self->trust_lock);
    struct trust *before = self->trust;
    self->trust = trust_new(&wanted);
    pthread_mutex_unlock(&self->trust_lock);
    trust_release(before);
}

static void set_limits(struct service *self, const struct service_options *options)
{
    const struct ledger_options *ledger = &options->ledger;

    self->code_lifetime_s = options->code_lifetime_s;
    self->request_lifetime_s = options->request_lifetime_s;
    store_set_limits(self->store, options->store.max_open_requests, options->store.retention_s);
    ledger_set_limits(self->ledger, ledger->backlog_max, ledger->retention_s);
    checkpointer_set_pace(self->checkpointer, options->checkpoint_entries, options->checkpoint_s,
                          ledger->backlog_max);
}

static bool signs(const struct signer_status *signer)
{
    return signer->state == SIGNER_UP && signer->permitted;
}

static bool any_signs(const struct signer_status *signers, size_t count)
{
    bool any = false;

    for (size_t i = 0; i < count; i++) {
        any = any || signs(&signers[i]);
    }
    return any;
}

/* Before they are chosen: no moment is without one that may sign. */
static void permit_new_signers(struct service *self)
{
    struct signer_status signers[SIGNERS_MAX];
    const size_t count = signers_list_change(self->signers, signers);

    for (size_t i = 0; i < count; i++) {
        signers_permit(self->signers, signers[i].id, keyring_permits(self->keyring, &signers[i]));
    }
}

static bool check_signing_goes_on(struct service *self, struct error *err)
{
    struct signer_status now[SIGNERS_MAX];
    struct signer_status then[SIGNERS_MAX];
    const size_t count_now = signers_list(self->signers, now);
    const size_t count_then = signers_list_change(self->signers, then);

    return any_signs(then, count_then) || !any_signs(now, count_now)
        || fail(err, ERROR_CONFIG,
                "no signer with an active key would be left, and there is one now: publish and "
                "activate the new one's key first (issuerctl keys)");
}

bool service_begin_reload(struct service *self, const struct service_options *options,
                          struct error *err)
{
    return signers_begin_change(self->signers, options->signers.signers, options->signers.count,
                                err);
}

bool service_reload_is_settled(struct service *self)
{
    return signers_change_is_settled(self->signers);
}

void service_abandon_reload(struct service *self)
{
    signers_abandon_change(self->signers);
}

bool service_end_reload(struct service *self, const struct service_options *options,
                        struct error *err)
{
    permit_new_signers(self);
    if (!signers_check_change(self->signers, err) || !check_signing_goes_on(self, err)) {
        signers_abandon_change(self->signers);
        return false;
    }
    signers_end_change(self->signers);
    set_limits(self, options);
    set_trust(self, options);
    return true;
}

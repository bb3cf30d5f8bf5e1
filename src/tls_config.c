#include "tls_config.h"

#include "base/log.h"

enum { PUBLIC, ADMIN };

/* What the configuration says of a listener's TLS. */
struct wanted {
    const char *section;
    struct tls_files files;
    int line;
};

void tls_renewal_clear(struct tls_renewal *renewal)
{
    for (size_t i = 0; i < TLS_LISTENERS; i++) {
        tls_credentials_release(renewal->credentials[i]);
    }
}

static struct wanted wanted_of(const struct config *config, size_t listener)
{
    const bool is_public = listener == PUBLIC;
    const struct config_tls *tls = is_public ? &config->public_tls : &config->admin_tls;

    return (struct wanted){
        .section = is_public ? "[public]" : "[admin]",
        .files.certificate = tls->certificate_file,
        .files.key = tls->key_file,
        .files.client_ca = is_public ? "" : config->admin_client_ca_file,
        .line = tls->line,
    };
}

static bool load(const struct wanted *wanted, int64_t now_s, struct tls_credentials **out,
                 struct error *err)
{
    return wanted->files.certificate[0] == '\0'
        || tls_credentials_load(&wanted->files, now_s, out, err);
}

static size_t advise(const struct tls_credentials *credentials, int64_t now_s,
                     struct tls_advice advice_out[static TLS_ADVICE_MAX])
{
    return credentials != NULL ? tls_credentials_advise(credentials, now_s, advice_out) : 0;
}

static bool load_all(const struct config *config, int64_t now_s, struct tls_renewal *loaded,
                     struct error *err)
{
    for (size_t i = 0; i < TLS_LISTENERS; i++) {
        struct tls_advice advice[TLS_ADVICE_MAX];
        const struct wanted wanted = wanted_of(config, i);
        if (!load(&wanted, now_s, &loaded->credentials[i], err)) {
            return error_context(err, "%s", wanted.section);
        }
        const size_t count = advise(loaded->credentials[i], now_s, advice);
        for (size_t j = 0; j < count; j++) {
            log_event(LOG_LEVEL_WARNING, "tls.advice", "listener='%s' text='%s'", wanted.section,
                      advice[j].text);
        }
    }
    return true;
}

static struct tls *place(struct tls_credentials *credentials)
{
    return credentials != NULL ? tls_new(credentials) : NULL;
}

bool listeners_tls_open(const struct config *config, int64_t now_s, struct listeners_tls *tls_out,
                        struct error *err)
{
    scoped(tls_renewal_clear) struct tls_renewal loaded = { .credentials = { NULL } };

    if (!load_all(config, now_s, &loaded, err)) {
        return false;
    }
    tls_out->public_tls = place(take(loaded.credentials[PUBLIC]));
    tls_out->admin_tls = place(take(loaded.credentials[ADMIN]));
    return true;
}

bool tls_renewal_read(const struct config *config, int64_t now_s, struct tls_renewal *renewal_out,
                      struct error *err)
{
    *renewal_out = (struct tls_renewal){ .credentials = { NULL } };
    return load_all(config, now_s, renewal_out, err);
}

void listeners_tls_renew(struct listeners_tls *self, struct tls_renewal *renewal)
{
    if (self->public_tls != NULL) {
        tls_renew(self->public_tls, take(renewal->credentials[PUBLIC]));
    }
    if (self->admin_tls != NULL) {
        tls_renew(self->admin_tls, take(renewal->credentials[ADMIN]));
    }
}

void listeners_tls_clear(struct listeners_tls *self)
{
    tls_free(self->public_tls);
    tls_free(self->admin_tls);
}

void listeners_tls_check(const struct config *config, const char *path, int64_t now_s, FILE *out,
                         struct config_problems *problems)
{
    scoped(tls_renewal_clear) struct tls_renewal loaded = { .credentials = { NULL } };
    struct error err;

    for (size_t i = 0; i < TLS_LISTENERS; i++) {
        struct tls_advice advice[TLS_ADVICE_MAX];
        const struct wanted wanted = wanted_of(config, i);
        if (!load(&wanted, now_s, &loaded.credentials[i], &err)) {
            config_problems_add(problems, wanted.line, wanted.section, "%s", error_line(&err).text);
        }
        const size_t count = advise(loaded.credentials[i], now_s, advice);
        for (size_t j = 0; j < count && out != NULL; j++) {
            (void)fprintf(out, "%s:%d: %s: warning: %s\n", path, wanted.line, wanted.section,
                          advice[j].text);
        }
    }
}

#include "sandbox_config.h"

#include <string.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/sandbox.h"
#include "base/secret.h"
#include "store/store.h"

static bool resolves_names(const struct config *config)
{
    return config->resolver_url[0] != '\0'
        || strcmp(store_engine_name(config->store_url), "postgresql") == 0;
}

/* /etc as a whole, where files are replaced: by a DHCP client, by whoever adds a user. */
static void allow_system(struct sandbox_files *files, const struct config *config)
{
    static const char *const always[] = { "/usr/lib",
                                          "/usr/lib64",
                                          "/lib",
                                          "/lib64",
                                          "/usr/local/lib",
                                          "/etc/ld.so.cache",
                                          "/etc/ssl/openssl.cnf",
                                          "/etc/localtime",
                                          "/usr/share/zoneinfo",
                                          "/dev/null",
                                          "/dev/urandom",
                                          "/proc/self",
                                          "/proc/sys/vm/overcommit_memory",
                                          "/sys/devices/system/cpu" };

    for (size_t i = 0; i < COUNT_OF(always); i++) {
        sandbox_files_allow(files, SANDBOX_READ, always[i]);
    }
    if (resolves_names(config)) {
        sandbox_files_allow(files, SANDBOX_READ, "/etc");
        sandbox_files_allow(files, SANDBOX_READ, "/usr/share/ca-certificates");
        sandbox_files_allow_beside(files, SANDBOX_READ, "/etc/resolv.conf");
    }
}

static void allow_secret(struct sandbox_files *files, const char *path)
{
    if (secret_is_credential(path)) { /* beside it lies the PIN */
        sandbox_files_allow(files, SANDBOX_READ, path);
    } else {
        sandbox_files_allow_beside(files, SANDBOX_READ, path);
    }
}

static void allow_tls(struct sandbox_files *files, const struct config *config)
{
    const char *const paths[] = { config->public_tls.certificate_file, config->public_tls.key_file,
                                  config->admin_tls.certificate_file, config->admin_tls.key_file,
                                  config->admin_client_ca_file };

    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        allow_secret(files, paths[i]);
    }
}

static void allow_listener(struct sandbox_files *files, const struct config_address *address)
{
    if (address->socket.ss_family == AF_UNIX) {
        sandbox_files_allow_beside(
            files, SANDBOX_SOCKETS,
            ((const struct sockaddr_un *)(const void *)&address->socket)->sun_path);
    }
}

static void allow_store_file(void *files, const char *path, bool is_written)
{
    sandbox_files_allow_beside(files, is_written ? SANDBOX_WRITE : SANDBOX_READ, path);
}

static void allow_all(struct sandbox_files *files, const struct config *config, const char *path)
{
    sandbox_files_allow_beside(files, SANDBOX_READ, path);
    allow_secret(files, config->client_secret_file);
    allow_tls(files, config);
    allow_listener(files, &config->public_address);
    allow_listener(files, &config->admin_address);
    store_list_files(config->store_url, allow_store_file, files);
    sandbox_files_allow(files, SANDBOX_WRITE, config->state_dir);
    sandbox_files_allow_beside(files, SANDBOX_WRITE, config->checkpoint_file);
    allow_system(files, config);
}

static void report_missing(const char *what, const struct error *err)
{
    log_error(LOG_LEVEL_WARNING, "sandbox.missing", err, "what=%s effect='it is done without'",
              what);
}

void sandbox_config_limit_files(const struct config *config, const char *path)
{
    struct error err;
    int abi = 0;

    if (sandbox_mode_from_name(config->sandbox_mode) != SANDBOX_ENFORCE) {
        return;
    }
    struct sandbox_files *files = sandbox_files_new();
    allow_all(files, config, path);
    if (!sandbox_files_enforce(files, &abi, &err)) {
        report_missing("files", &err);
    } else {
        log_event(LOG_LEVEL_INFO, "sandbox.files", "landlock=%d", abi);
    }
}

void sandbox_config_limit_calls(const struct config *config)
{
    const enum sandbox_mode mode = sandbox_mode_from_name(config->sandbox_mode);
    struct error err;

    if (!sandbox_limit_calls(SANDBOX_CALLS_SERVER, mode, &err)) {
        report_missing("calls", &err);
    } else {
        log_event(mode == SANDBOX_ENFORCE ? LOG_LEVEL_INFO : LOG_LEVEL_NOTICE, "sandbox.calls",
                  "mode=%s", config->sandbox_mode);
    }
}

bool sandbox_config_check(const struct config *config, struct error *err)
{
    return !resolves_names(config) || sandbox_may_read("/etc/hosts")
        || fail(err, ERROR_CONFIG,
                "did.resolver_url: there was none at the start, so names cannot be resolved: "
                "restart issuerd");
}

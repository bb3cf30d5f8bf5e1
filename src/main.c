/* issuerd: reads the configuration, starts the service and its two HTTP servers, reloads at SIGHUP,
 * waits for SIGTERM. */
#include <argp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "activation.h"
#include "base/clock.h"
#include "base/journal.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/secret.h"
#include "config.h"
#include "core/service.h"
#include "hsm/launcher.h"
#include "http/server.h"
#include "jose/json.h"
#include "notify.h"
#include "sandbox_config.h"
#include "service_config.h"
#include "tls_config.h"

enum { DRAIN_S = 10 };

/* ---- arguments ---- */

enum { OPTION_CHECK = 256, OPTION_SETTINGS };

struct arguments {
    const char *config;
    bool check;
    bool settings;
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;

    switch (key) {
    case OPTION_CHECK:
        arguments->check = true;
        arguments->config = value;
        return 0;
    case 'c':
        arguments->config = value;
        return 0;
    case OPTION_SETTINGS:
        arguments->settings = true;
        return 0;
    case ARGP_KEY_END:
        if (arguments->config == NULL && !arguments->settings) {
            argp_error(state, "which configuration? --config FILE");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const char *argp_program_version = "issuerd " ISSUERD_VERSION;

static void parse_arguments(int argc, char **argv, struct arguments *arguments_out)
{
    static const struct argp_option options[] = {
        { "config", 'c', "FILE", 0, "Serve as FILE says, in the foreground", 0 },
        { "check-config", OPTION_CHECK, "FILE", 0,
          "List everything that is wrong with FILE, then exit: 0 nothing, 78 something", 0 },
        { "settings", OPTION_SETTINGS, NULL, 0, "Print every setting of the configuration file",
          0 },
        { .name = NULL },
    };
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc =
            "issuerd trades single-use authorization codes for JWT access tokens whose "
            "signing key never leaves a PKCS#11 HSM or a TPM 2.0.\v"
            "SIGTERM ends it: what is in flight is finished within 10 s. SIGHUP has it read its "
            "configuration again, with the files that it names: all of it, or with an error in it "
            "nothing, takes effect, but for what the log says waits for the next start. Exit "
            "status: 0 ended "
            "by a signal, 64 wrong arguments, 78 wrong configuration, 70 anything else.",
    };
    argp_err_exit_status = EX_USAGE;
    (void)argp_parse(&argp, argc, argv, 0, NULL, arguments_out);
}

/* ---- the server's life ---- */

/* A connection is a descriptor. Shells and systemd give 1,024, for the sake of select(2), and leave
 * it to programs that use poll(2) to ask for all they may have. */
static void raise_file_limit(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

/* Blocked before any thread starts, so that only main takes them, in sigwait(). The one child is the
 * launcher, which ends after us. */
static sigset_t block_signals(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGCHLD);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    return signals;
}

static struct server_limits server_limits_from(const struct config *config, enum server_role role)
{
    const bool is_public = role == SERVER_PUBLIC;

    return (struct server_limits){
        .connections = (unsigned)config->connections,
        .connections_per_address =
            is_public ? (unsigned)config->connections_per_address : (unsigned)config->connections,
        .head_timeout_s = config->head_timeout_s,
        .body_timeout_s = config->body_timeout_s,
        .idle_timeout_s = config->idle_timeout_s,
        .requests_per_s = is_public ? (unsigned)config->requests_per_s : 0,
        .requests_burst = (unsigned)config->requests_burst,
        .trusted_proxies = (const char *const *)config->trusted_proxies.items,
        .trusted_proxy_count = config->trusted_proxies.count,
        .forwarded_by_rfc7239 = strcmp(config->client_address_header, "Forwarded") == 0,
    };
}

static struct server_options server_options_from(const struct config *config, enum server_role role,
                                                 int passed_fd)
{
    const struct config_address *address =
        role == SERVER_PUBLIC ? &config->public_address : &config->admin_address;

    return (struct server_options){
        .role = role,
        .address = (const struct sockaddr *)&address->socket,
        .address_length = address->length,
        .passed_fd = passed_fd,
        .limits = server_limits_from(config, role),
    };
}

static bool site_settings_fill(struct site_settings *out, const struct config *config,
                               struct error *err)
{
    scoped(secret_clear) struct secret secret;

    if (!secret_read(config->client_secret_file, &secret, err)) {
        return error_context(err, "admin.client_secret_file");
    }
    *out = (struct site_settings){ .jwks_max_age_s = config->jwks_max_age_s,
                                   .client_secret = sha256(secret.text, secret.length) };
    (void)snprintf(out->display_name, sizeof(out->display_name), "%s", config->display_name);
    (void)snprintf(out->credential_endpoint, sizeof(out->credential_endpoint), "%s",
                   config->credential_endpoint);
    (void)snprintf(out->schema_endpoint, sizeof(out->schema_endpoint), "%s",
                   config->schema_endpoint);
    (void)snprintf(out->offering_endpoint, sizeof(out->offering_endpoint), "%s",
                   config->offering_endpoint);
    return true;
}

struct running {
    const char *path; /* of the configuration */
    struct config *config;
    struct service_config service_config;
    struct listeners_tls tls;
    struct server_options public_options;
    struct server_options admin_options;
    struct site site;
    struct service *service;
    struct server *public_server;
    struct server *admin_server;
};

/* In the launcher, of its own copy of what is running: as a reload would have the signers. */
static bool read_signers(void *context, struct signers_options *options_out, struct error *err)
{
    struct running *running = context;
    struct config_problems problems = { .count = 0 };
    struct config *wanted = NULL;

    if (!config_load(running->path, &wanted, &problems)) {
        config_problems_clear(&problems);
        return fail(err, ERROR_CONFIG, "the configuration file, as it stands now, has errors");
    }
    config_exchange(running->config, wanted);
    config_free(wanted);
    if (!service_config_fill(&running->service_config, running->config, err)) {
        return false;
    }
    *options_out = running->service_config.options.signers;
    return true;
}

/* Before the first thread, and before anything is open that a signer should not have. */
static bool start_launcher(struct running *running, struct error *err)
{
    struct signers_options *signers = &running->service_config.options.signers;

    return service_config_fill(&running->service_config, running->config, err)
        && launcher_start(signers, read_signers, running, &signers->launcher, err);
}

static bool start(struct running *running, const struct activation *passed, struct error *err)
{
    const struct config *config = running->config;
    struct site_settings settings;

    running->public_options = server_options_from(config, SERVER_PUBLIC, passed->public_fd);
    running->admin_options = server_options_from(config, SERVER_ADMIN, passed->admin_fd);
    if (!listeners_tls_open(config, wall_s(), &running->tls, err)
        || !site_settings_fill(&settings, config, err)
        || !service_start(&running->service_config.options, &running->service, err)) {
        return false;
    }
    running->site.service = running->service;
    running->site.issuer = config->issuer_url;
    running->site.state = site_state_new(&settings);
    running->public_options.tls = running->site.public_tls = running->tls.public_tls;
    running->admin_options.tls = running->site.admin_tls = running->tls.admin_tls;
    if (!server_start(&running->public_options, &running->site, &running->public_server, err)) {
        return error_context(err, "[public]");
    }
    running->site.public_server = running->public_server;
    if (!server_start(&running->admin_options, &running->site, &running->admin_server, err)) {
        return error_context(err, "[admin]");
    }
    return true;
}

/* ---- what systemd is told ---- */

enum { TELL_EVERY_S = 2 };

/* As long as nothing comes within it, the watchdog is not fed: service_is_alive(). */
static void tell(struct running *running)
{
    struct error err;

    if (service_is_alive(running->service)) {
        notify_alive();
    }
    if (service_is_ready(running->service, &err)) {
        notify_status("issuing: public %s admin %s", server_address(running->public_server),
                      server_address(running->admin_server));
    } else {
        const struct error_line line = error_line(&err);
        notify_status("not issuing: %s", line.text);
    }
}

/* ---- reload ---- */

static void report_problems(const struct config_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct config_problem *problem = &problems->list[i];
        log_event(LOG_LEVEL_ERROR, "config.refused", "line=%d setting='%s' problem='%s'",
                  problem->line, problem->setting, problem->text);
    }
}

/* All that --check-config looks at. NULL: it has errors, and they are told. */
static struct config *load_again(const char *path)
{
    struct config_problems problems = { .count = 0 };
    struct config *wanted = NULL;

    if (config_load(path, &wanted, &problems)) {
        listeners_tls_check(wanted, path, wall_s(), NULL, &problems);
    }
    if (problems.count > 0 && wanted != NULL) {
        config_free(take(wanted));
    }
    report_problems(&problems);
    config_problems_clear(&problems);
    return wanted;
}

static void report_changes(const struct config_differences *differences)
{
    char names_buffer[512] = "";
    struct text names = text_over(names_buffer, sizeof(names_buffer) - sizeof(", ..."));

    for (size_t i = 0; i < differences->count; i++) {
        const struct config_difference *difference = &differences->list[i];
        if (!difference->at_once) {
            log_event(LOG_LEVEL_WARNING, "config.kept",
                      "setting='%s' effect='the change takes effect at the next start'",
                      difference->name);
        } else if (!names.overflowed) {
            text_add(&names, names.length > 0 ? ", " : "");
            text_add(&names, difference->name);
        }
    }
    log_event(LOG_LEVEL_NOTICE, "config.reloaded", "changed='%s%s'", names_buffer,
              names.overflowed ? ", ..." : "");
}

static bool is_to_end(void)
{
    sigset_t pending;

    return sigpending(&pending) == 0
        && (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1
            || sigismember(&pending, SIGCHLD) == 1);
}

/* A device takes its time to start. Meanwhile it serves, and tells so. */
static bool await_signers(struct running *running, struct error *err)
{
    const struct timespec pause = timespec_from_ns(20 * NS_PER_MS);
    int64_t tell_ns = monotonic_ns() + TELL_EVERY_S * NS_PER_S;

    while (!service_reload_is_settled(running->service)) {
        if (is_to_end()) {
            return fail(err, ERROR_SHUTTING_DOWN, "shutting down");
        }
        if (notify_is_heard() && monotonic_ns() >= tell_ns) {
            tell(running);
            tell_ns = monotonic_ns() + TELL_EVERY_S * NS_PER_S;
        }
        (void)nanosleep(&pause, NULL);
    }
    return true;
}

static bool change_service(struct running *running, const struct service_options *options,
                           struct error *err)
{
    if (!service_begin_reload(running->service, options, err)) {
        return false;
    }
    if (!await_signers(running, err)) {
        service_abandon_reload(running->service);
        return false;
    }
    return service_end_reload(running->service, options, err);
}

/* What running->config has become. Whatever can fail comes first; the signers are the last of it. */
static bool take_over(struct running *running, struct error *err)
{
    const struct config *config = running->config;
    scoped(release_memory) struct service_config *next = xcalloc(1, sizeof(*next));
    scoped(tls_renewal_clear) struct tls_renewal renewal = { .credentials = { NULL } };
    struct site_settings settings;

    if (!sandbox_config_check(config, err) || !tls_renewal_read(config, wall_s(), &renewal, err)
        || !site_settings_fill(&settings, config, err) || !service_config_fill(next, config, err)
        || !change_service(running, &next->options, err)) {
        return false;
    }
    const struct server_limits public_limits = server_limits_from(config, SERVER_PUBLIC);
    const struct server_limits admin_limits = server_limits_from(config, SERVER_ADMIN);
    listeners_tls_renew(&running->tls, &renewal);
    site_state_set(running->site.state, &settings);
    server_set_limits(running->public_server, &public_limits);
    server_set_limits(running->admin_server, &admin_limits);
    log_set_level(config->log_level);
    return true;
}

/* What can change while it serves. Nothing does unless all of it is good. */
static void reload(struct running *running)
{
    struct config_differences differences;
    struct config *wanted = load_again(running->path);
    struct error err = { .code = ERROR_NONE };

    if (wanted == NULL) {
        return;
    }
    config_compare(running->config, wanted, &differences);
    config_exchange(running->config, wanted);
    if (take_over(running, &err)) {
        report_changes(&differences);
    } else {
        config_exchange(running->config, wanted);
        log_error(LOG_LEVEL_ERROR, "config.refused", &err, "%s", "effect='all is as before'");
    }
    config_free(wanted);
}

/* ---- until the end ---- */

/* Without anybody to tell, nothing is done but wait. */
static int await_signal(const sigset_t *signals)
{
    const int64_t watchdog_ns = notify_watchdog_ns();
    const int64_t tick_ns = watchdog_ns > 0 && watchdog_ns < 2 * TELL_EVERY_S * NS_PER_S
                              ? watchdog_ns / 2
                              : TELL_EVERY_S * NS_PER_S;
    const struct timespec tick = timespec_from_ns(tick_ns);

    return notify_is_heard() ? sigtimedwait(signals, NULL, &tick) : sigwaitinfo(signals, NULL);
}

/* Returns the signal that ends it. */
static int serve_until_signal(struct running *running, const sigset_t *signals)
{
    notify_ready();
    for (;;) {
        if (notify_is_heard()) {
            tell(running);
        }
        const int signal_number = await_signal(signals);
        if (signal_number == SIGHUP) {
            notify_reloading();
            reload(running);
            notify_ready();
        } else if (signal_number > 0) {
            notify_stopping();
            return signal_number;
        }
    }
}

/* ---- the end ---- */

/* The admin listener last: health is told while the public one drains. */
static void drain(struct running *running)
{
    const int64_t deadline_ns = monotonic_ns() + DRAIN_S * NS_PER_S;

    server_begin_drain(running->public_server);
    server_begin_drain(running->admin_server);
    if (!server_drain(running->public_server, deadline_ns)
        || !server_drain(running->admin_server, deadline_ns)) {
        log_event(LOG_LEVEL_WARNING, "server.drain_incomplete", "seconds=%d", DRAIN_S);
    }
}

static void stop(struct running *running)
{
    server_stop(running->admin_server);
    server_stop(running->public_server);
    service_stop(running->service);
    launcher_stop(running->service_config.options.signers.launcher);
    site_state_free(running->site.state);
    listeners_tls_clear(&running->tls);
}

/* The signers inherit what is permitted. */
static void lock_memory(void)
{
    if (!process_lock_memory()) {
        log_event(LOG_LEVEL_WARNING, "memory.not_locked", "effect='%s' hint='%s'",
                  "what is swapped out may hold codes and PINs",
                  "LimitMEMLOCK=infinity (ulimit -l unlimited), or no swap space");
    }
}

static int serve(struct config *config, const char *path)
{
    scoped(release_memory) struct running *running = xcalloc(1, sizeof(*running));
    const sigset_t signals = block_signals();
    struct activation passed;
    struct error err = { .code = ERROR_NONE };

    running->path = path;
    running->config = config;
    lock_memory();
    notify_open();
    const bool launched = activation_take(&passed, &err) && start_launcher(running, &err);
    if (launched) {
        sandbox_config_limit_files(config, path);
    }
    if (!launched || !start(running, &passed, &err)) {
        const struct error_line line = error_line(&err);
        notify_status("not started: %s", line.text);
        log_error(LOG_LEVEL_ERROR, "server.not_started", &err, "%s", "");
        stop(running);
        return err.code == ERROR_INTERNAL || err.code == ERROR_STORE_UNAVAILABLE ? EX_SOFTWARE
                                                                                 : EX_CONFIG;
    }
    sandbox_config_limit_calls(config);
    printf("issuerd ready: public %s admin %s\n", server_address(running->public_server),
           server_address(running->admin_server));
    (void)fflush(stdout);
    const int signal_number = serve_until_signal(running, &signals);
    if (signal_number == SIGCHLD) {
        log_event(LOG_LEVEL_ERROR, "launcher.died", "effect='%s'",
                  "no signer can be started any more: issuerd ends, to be started again");
    }
    log_event(LOG_LEVEL_NOTICE, "server.stopping", "signal=%d", signal_number);
    drain(running);
    stop(running);
    log_event(LOG_LEVEL_NOTICE, "server.stopped", "%s", "");
    return signal_number == SIGCHLD ? EX_SOFTWARE : EX_OK;
}

static int check_files(const struct config *config, const char *path)
{
    struct config_problems problems = { .count = 0 };

    listeners_tls_check(config, path, wall_s(), stdout, &problems);
    if (problems.count > 0) {
        config_print_problems(stderr, path, &problems);
        config_problems_clear(&problems);
        return EX_CONFIG;
    }
    printf("%s: good\n", path);
    return EX_OK;
}

int main(int argc, char **argv)
{
    struct arguments arguments = { .config = NULL };
    struct config_problems problems = { .count = 0 };
    struct config *config = NULL;

    process_harden();
    json_wipe_freed();
    journal_open(JOURNAL_SOCKET);
    raise_file_limit();
    (void)umask(077);
    parse_arguments(argc, argv, &arguments);
    if (arguments.settings) {
        config_print_help(stdout);
        return EX_OK;
    }
    if (!config_load(arguments.config, &config, &problems)) {
        config_print_problems(stderr, arguments.config, &problems);
        config_problems_clear(&problems);
        return EX_CONFIG;
    }
    int status = EX_OK;
    if (arguments.check) {
        status = check_files(config, arguments.config);
    } else {
        log_set_level(config->log_level);
        status = serve(config, arguments.config);
    }
    config_free(config);
    return status;
}

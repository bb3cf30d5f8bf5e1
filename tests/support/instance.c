#include "support/instance.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "support/answers.h"
#include "support/http_client.h"
#include "support/uri.h"

enum { PATH_LENGTH = 512, SETTINGS_MAX = 64, START_DEADLINE_S = 60, VARIABLES_MAX = 8 };

static const char client_secret[] = "S5kvQ-a-client-S5kvQ-secret-S5kvQ";

struct setting {
    char *section;
    char *name;
    char *value;
};

struct instance {
    struct setting settings[SETTINGS_MAX];
    size_t setting_count;
    pid_t pid; /* 0: not running */
    int output_fd;
    int passed_fds[2]; /* public, admin; -1: none */
    const char *variables[VARIABLES_MAX];
    size_t variable_count;
    int public_port;
    int admin_port;
    char directory[PATH_LENGTH];
    char conf_path[PATH_LENGTH];
    char log_path[PATH_LENGTH];
    char store_path[PATH_LENGTH];
    char store_url[2 * PATH_LENGTH];
    char control_path[PATH_LENGTH];
    char shim_log_path[PATH_LENGTH];
};

/* A test cannot go on without its tools. */
_Noreturn static void give_up(const char *what)
{
    fprintf(stderr, "instance: %s: %s\n", what, strerror(errno));
    exit(2);
}

static const char *require_variable(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL) {
        fprintf(stderr, "instance: %s is not set; run by with_DEVICE.sh\n", name);
        exit(2);
    }
    return value;
}

/* ---- settings ---- */

static struct setting *find_setting(struct instance *self, const char *section, const char *name)
{
    for (size_t i = 0; i < self->setting_count; i++) {
        if (strcmp(self->settings[i].section, section) == 0
            && strcmp(self->settings[i].name, name) == 0) {
            return &self->settings[i];
        }
    }
    return NULL;
}

/* Takes `text` apart: the section ends at the last '.' before the first '='. */
static void apply(struct instance *self, char *text)
{
    char *equals = strchr(text, '=');
    char *dot = equals != NULL ? memrchr(text, '.', (size_t)(equals - text)) : NULL;

    if (dot == NULL || self->setting_count == SETTINGS_MAX) {
        fprintf(stderr, "instance: no setting, or one too many: %s\n", text);
        exit(2);
    }
    *equals = '\0';
    *dot = '\0';
    struct setting *setting =
        strcmp(dot + 1, "setenv") == 0 ? NULL : find_setting(self, text, dot + 1);
    if (setting == NULL) {
        setting = &self->settings[self->setting_count++];
        setting->section = xstrdup(text);
        setting->name = xstrdup(dot + 1);
    }
    free(setting->value);
    setting->value = xstrdup(equals + 1);
}

void instance_set(struct instance *self, const char *format, ...)
{
    scoped(release_memory) char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0) {
        abort();
    }
    va_end(args);
    apply(self, text);
}

void instance_drop(struct instance *self, const char *section)
{
    size_t kept = 0;

    for (size_t i = 0; i < self->setting_count; i++) {
        struct setting *setting = &self->settings[i];
        if (strcmp(setting->section, section) != 0) {
            self->settings[kept++] = *setting;
            continue;
        }
        free(setting->section);
        free(setting->name);
        free(setting->value);
    }
    memset(&self->settings[kept], 0, (self->setting_count - kept) * sizeof(self->settings[0]));
    self->setting_count = kept;
}

/* A section's settings need not stand together in the list, but must in the file. */
static void write_section(FILE *file, const struct instance *self, const char *section)
{
    fprintf(file, "[%s]\n", section);
    for (size_t i = 0; i < self->setting_count; i++) {
        if (strcmp(self->settings[i].section, section) == 0) {
            fprintf(file, "%s = %s\n", self->settings[i].name, self->settings[i].value);
        }
    }
}

static bool is_first_of_section(const struct instance *self, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (strcmp(self->settings[i].section, self->settings[index].section) == 0) {
            return false;
        }
    }
    return true;
}

void instance_write_conf(const struct instance *self)
{
    FILE *file = fopen(self->conf_path, "we");
    if (file == NULL) {
        give_up(self->conf_path);
    }
    for (size_t i = 0; i < self->setting_count; i++) {
        if (is_first_of_section(self, i)) {
            write_section(file, self, self->settings[i].section);
        }
    }
    fclose(file);
}

/* ---- the directory ---- */

static void write_file(const char *path, const char *content)
{
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        give_up(path);
    }
    fputs(content, file);
    fclose(file);
}

static void name_file(const struct instance *self, char path_out[static PATH_LENGTH],
                      const char *name)
{
    if (snprintf(path_out, PATH_LENGTH, "%s/%s", self->directory, name) >= PATH_LENGTH) {
        give_up("too long a path");
    }
}

/* A test cannot go on without it. */
static void run_tool(const char *const *argv)
{
    int status = 0;
    const pid_t pid = fork();

    if (pid == 0) {
        execvp(argv[0], (char *const *)argv);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        give_up(argv[0]);
    }
}

/* A database of its own, as the directory is: of the name that ends the directory's. */
static void make_database(struct instance *self)
{
    const char *url = require_variable("TEST_POSTGRESQL_URL");
    const char *query = strchr(url, '?');
    const char *name = strrchr(self->directory, '/') + 1;
    char sql[128];

    (void)snprintf(sql, sizeof(sql), "CREATE DATABASE \"%s\" OWNER issuerd", name);
    const char *const argv[] = { "psql", "-qX", "-d", require_variable("TEST_POSTGRESQL_ADMIN"),
                                 "-c",   sql,   NULL };
    run_tool(argv);
    (void)snprintf(self->store_url, sizeof(self->store_url), "postgresql:///%s%s", name, query);
    instance_set(self, "store.state_dir=%s", self->directory);
}

static void make_store(struct instance *self)
{
    const char *engine = getenv("TEST_STORE");

    if (engine != NULL && strcmp(engine, "postgresql") == 0) {
        make_database(self);
    } else {
        name_file(self, self->store_path, "issuerd.db");
        (void)snprintf(self->store_url, sizeof(self->store_url), "sqlite:%s", self->store_path);
    }
    instance_set(self, "store.url=%s", self->store_url);
}

struct instance *instance_new(const char *const *settings)
{
    struct instance *self = xcalloc(1, sizeof(*self));
    char secret_path[PATH_LENGTH];

    self->output_fd = -1;
    self->passed_fds[0] = self->passed_fds[1] = -1;
    (void)umask(077);
    (void)snprintf(self->directory, sizeof(self->directory), "%s/instance.XXXXXX",
                   require_variable("TEST_DIR"));
    if (mkdtemp(self->directory) == NULL) {
        give_up(self->directory);
    }
    name_file(self, self->conf_path, "issuerd.conf");
    name_file(self, self->log_path, "issuerd.log");
    name_file(self, self->control_path, "shim-control");
    name_file(self, self->shim_log_path, "shim-log");
    name_file(self, secret_path, "client-secret");
    write_file(secret_path, client_secret);

    instance_set(self, "issuer.url=https://issuer.example");
    instance_set(self, "public.listen=127.0.0.1:0");
    instance_set(self, "public.requests_per_s=0");
    instance_set(self, "admin.listen=127.0.0.1:0");
    instance_set(self, "admin.client_secret_file=%s", secret_path);
    make_store(self);
    instance_set(self, "signer main.uri=%s", require_variable("TEST_KEY_URI"));
    if (getenv("SOFTHSM2_CONF") != NULL) {
        instance_set(self, "signer main.setenv=SOFTHSM2_CONF=%s", getenv("SOFTHSM2_CONF"));
    }
#ifdef SANITIZED
    instance_set(self,
                 "signer main.deadline_ms=10000"); /* slow is not what these tests are about */
#endif
    for (; settings != NULL && *settings != NULL; settings++) {
        instance_set(self, "%s", *settings);
    }
    return self;
}

/* ---- what it inherits ---- */

enum { FIRST_PASSED_FD = 3, HELD_FROM_FD = 10, BACKLOG = 1024 };

/* At a descriptor above those that issuerd finds its own at. */
static int listen_anywhere(int *port_out)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(address);
    scoped(release_fd) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) != 0 || listen(fd, BACKLOG) != 0
        || getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
        give_up("listen");
    }
    *port_out = ntohs(address.sin_port);
    return fcntl(fd, F_DUPFD_CLOEXEC, HELD_FROM_FD);
}

void instance_pass_sockets(struct instance *self)
{
    self->passed_fds[0] = listen_anywhere(&self->public_port);
    self->passed_fds[1] = listen_anywhere(&self->admin_port);
    instance_set(self, "public.listen=127.0.0.1:%d", self->public_port);
    instance_set(self, "admin.listen=127.0.0.1:%d", self->admin_port);
}

void instance_set_variable(struct instance *self, const char *variable)
{
    if (self->variable_count == VARIABLES_MAX) {
        give_up(variable);
    }
    self->variables[self->variable_count++] = variable;
}

/* In the child. LISTEN_PID has its own number. */
static void pass_sockets(const struct instance *self)
{
    static char pid[32];

    if (self->passed_fds[0] >= 0) {
        (void)snprintf(pid, sizeof(pid), "LISTEN_PID=%d", getpid());
        (void)putenv(pid);
        (void)putenv((char *)"LISTEN_FDS=2");
        (void)putenv((char *)"LISTEN_FDNAMES=public:admin");
        (void)dup2(self->passed_fds[0], FIRST_PASSED_FD);
        (void)dup2(self->passed_fds[1], FIRST_PASSED_FD + 1);
    }
}

/* ---- start ---- */

/* "issuerd ready: public https://127.0.0.1:1 admin http://127.0.0.1:2". */
static bool take_ports(struct instance *self, const char *line)
{
    char public[8];
    char admin[8];

    if (sscanf(line, "issuerd ready: public %7[a-z]://127.0.0.1:%d admin %7[a-z]://127.0.0.1:%d",
               public, &self->public_port, admin, &self->admin_port)
        != 4) {
        return false;
    }
    http_note_tls(self->public_port, strcmp(public, "https") == 0);
    http_note_tls(self->admin_port, strcmp(admin, "https") == 0);
    answers_note_server(self->public_port, self->admin_port);
    return true;
}

/* In the child, between fork and exec. */
_Noreturn static void become_issuerd(const struct instance *self, const char *program, int output)
{
    const int log = open(self->log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = 1024; /* what a login shell and systemd give, whatever the test has */
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && dup2(output, STDOUT_FILENO) >= 0
        && dup2(log, STDERR_FILENO) >= 0) {
        for (size_t i = 0; i < self->variable_count; i++) {
            (void)putenv((char *)self->variables[i]);
        }
        pass_sockets(self);
        execl(program, "issuerd", "--config", self->conf_path, (char *)NULL);
    }
    _exit(127);
}

/* The one line that issuerd prints; false at its end or at the deadline. */
static bool read_line(int fd, char *line, size_t size, int64_t deadline_ns)
{
    size_t length = 0;

    while (length < size - 1) {
        struct pollfd readable = { .fd = fd, .events = POLLIN };
        const int64_t left_ms = (deadline_ns - monotonic_ns()) / NS_PER_MS;
        if (left_ms <= 0 || poll(&readable, 1, (int)left_ms) <= 0
            || read(fd, line + length, 1) != 1) {
            return false;
        }
        if (line[length] == '\n') {
            line[length] = '\0';
            return true;
        }
        length++;
    }
    return false;
}

void instance_show_log(const struct instance *self)
{
    char line[1024];
    FILE *file = fopen(self->log_path, "re");

    fprintf(stderr, "the log of issuerd:\n");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        fputs(line, stderr);
    }
    if (file != NULL) {
        fclose(file);
    }
}

bool instance_start(struct instance *self)
{
    const char *program = require_variable("TEST_ISSUERD");
    char line[256];
    int output[2];

    instance_write_conf(self);
    if (pipe2(output, O_CLOEXEC) != 0) {
        give_up("pipe");
    }
    self->pid = fork();
    if (self->pid < 0) {
        give_up("fork");
    }
    if (self->pid == 0) {
        become_issuerd(self, program, output[1]);
    }
    (void)close(output[1]);
    self->output_fd = output[0];
    const int64_t deadline_ns = monotonic_ns() + START_DEADLINE_S * NS_PER_S;
    if (read_line(self->output_fd, line, sizeof(line), deadline_ns) && take_ports(self, line)) {
        return true;
    }
    instance_show_log(self);
    instance_kill(self);
    return false;
}

/* ---- stop ---- */

static int ended(struct instance *self, int status)
{
    self->pid = 0;
    release_fd(&self->output_fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int instance_wait(struct instance *self, int deadline_s)
{
    const int64_t deadline_ns = monotonic_ns() + deadline_s * NS_PER_S;
    const struct timespec pause = timespec_from_ns(5 * NS_PER_MS);
    int status = 0;

    if (self->pid == 0) {
        return -1;
    }
    while (waitpid(self->pid, &status, WNOHANG) == 0) {
        if (monotonic_ns() > deadline_ns) {
            instance_kill(self);
            return -1;
        }
        (void)nanosleep(&pause, NULL);
    }
    return ended(self, status);
}

void instance_terminate(struct instance *self)
{
    if (self->pid != 0) {
        (void)kill(self->pid, SIGTERM);
    }
}

int instance_stop(struct instance *self, int deadline_s)
{
    instance_terminate(self);
    return instance_wait(self, deadline_s);
}

void instance_kill(struct instance *self)
{
    int status = 0;

    if (self->pid != 0) {
        (void)kill(self->pid, SIGKILL);
        (void)waitpid(self->pid, &status, 0);
        (void)ended(self, status);
    }
}

void instance_free(struct instance *self)
{
    if (self == NULL) {
        return;
    }
    instance_kill(self);
    release_fd(&self->passed_fds[0]);
    release_fd(&self->passed_fds[1]);
    for (size_t i = 0; i < self->setting_count; i++) {
        free(self->settings[i].section);
        free(self->settings[i].name);
        free(self->settings[i].value);
    }
    free(self);
}

/* ---- what there is to know ---- */

pid_t instance_pid(const struct instance *self)
{
    return self->pid;
}

/* True if `pid` is of this name, after its exec and before its end; then its parent is *parent_out. */
static bool is_running_as(pid_t pid, const char *name, pid_t *parent_out)
{
    char path[64];
    char its_name[32] = "";
    char state = 'Z';

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    const bool is_read =
        file != NULL && fscanf(file, "%*d (%31[^)]) %c %d", its_name, &state, parent_out) == 3;
    if (file != NULL) {
        fclose(file);
    }
    return is_read && state != 'Z' && strcmp(its_name, name) == 0;
}

/* Between the two is the launcher. */
static bool is_signer_of(pid_t issuerd, pid_t pid)
{
    pid_t launcher = 0;
    pid_t its_parent = 0;

    return is_running_as(pid, "issuerd-signer", &launcher)
        && is_running_as(launcher, "issuerd-launch", &its_parent) && its_parent == issuerd;
}

static int compare_pids(const void *a, const void *b)
{
    const pid_t left = *(const pid_t *)a;
    const pid_t right = *(const pid_t *)b;
    return (left > right) - (left < right);
}

size_t instance_signer_pids(const struct instance *self, pid_t *pids_out, size_t size)
{
    size_t count = 0;
    DIR *all = opendir("/proc");

    for (const struct dirent *entry; (entry = readdir(all)) != NULL;) {
        const pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid > 0 && self->pid != 0 && count < size && is_signer_of(self->pid, pid)) {
            pids_out[count++] = pid;
        }
    }
    closedir(all);
    qsort(pids_out, count, sizeof(*pids_out), compare_pids);
    return count;
}

pid_t instance_signer_pid(const struct instance *self)
{
    pid_t pids[16];
    return instance_signer_pids(self, pids, COUNT_OF(pids)) > 0 ? pids[0] : 0;
}

int instance_public_port(const struct instance *self)
{
    return self->public_port;
}

int instance_admin_port(const struct instance *self)
{
    return self->admin_port;
}

const char *instance_directory(const struct instance *self)
{
    return self->directory;
}

const char *instance_conf_path(const struct instance *self)
{
    return self->conf_path;
}

const char *instance_log_path(const struct instance *self)
{
    return self->log_path;
}

const char *instance_store_path(const struct instance *self)
{
    return self->store_path;
}

const char *instance_store_url(const struct instance *self)
{
    return self->store_url;
}

const char *instance_client_secret(const struct instance *self)
{
    (void)self;
    return client_secret;
}

bool instance_has_logged(const struct instance *self, const char *text)
{
    scoped(release_memory) char *line = NULL;
    size_t size = 0;
    bool found = false;
    FILE *file = fopen(self->log_path, "re");

    while (file != NULL && !found && getline(&line, &size, file) >= 0) {
        found = strstr(line, text) != NULL;
    }
    if (file != NULL) {
        fclose(file);
    }
    return found;
}

/* ---- reload ---- */

/* How many lines of the log hold `text`. */
static unsigned count_logged(const struct instance *self, const char *text)
{
    scoped(release_memory) char *line = NULL;
    size_t size = 0;
    unsigned count = 0;
    FILE *file = fopen(self->log_path, "re");

    while (file != NULL && getline(&line, &size, file) >= 0) {
        count += strstr(line, text) != NULL;
    }
    if (file != NULL) {
        fclose(file);
    }
    return count;
}

bool instance_reload(struct instance *self)
{
    static const char taken[] = ">config.reloaded ";
    static const char refused[] = ">config.refused ";
    const unsigned taken_before = count_logged(self, taken);
    const unsigned refused_before = count_logged(self, refused);
    const int64_t deadline_ns = monotonic_ns() + START_DEADLINE_S * NS_PER_S;
    const struct timespec pause = timespec_from_ns(5 * NS_PER_MS);
    bool is_taken = false;

    instance_write_conf(self);
    (void)kill(self->pid, SIGHUP);
    while (!is_taken && count_logged(self, refused) == refused_before
           && monotonic_ns() < deadline_ns) {
        (void)nanosleep(&pause, NULL);
        is_taken = count_logged(self, taken) > taken_before;
    }
    return is_taken;
}

/* ---- the shim ---- */

char *key_uri_through(const char *module)
{
    static const char attribute[] = "module-path=";
    const char *uri = require_variable("TEST_KEY_URI");
    const char *begin = strstr(uri, attribute) + strlen(attribute);
    char *other = NULL;

    if (asprintf(&other, "%.*s%s%s", (int)(begin - uri), uri, uri_path(module).text,
                 begin + strcspn(begin, "&"))
        < 0) {
        abort();
    }
    return other;
}

static void name_shim_files(struct instance *self, const char *signer)
{
    instance_set_faults(self, "");
    instance_set(self, "signer %s.setenv=SHIM_CONTROL=%s", signer, self->control_path);
    instance_set(self, "signer %s.setenv=SHIM_LOG=%s", signer, self->shim_log_path);
}

void instance_use_shim(struct instance *self)
{
    scoped(release_memory) char *uri = key_uri_through(require_variable("TEST_SHIM"));

    instance_set(self, "signer main.uri=%s", uri);
    instance_set(self, "signer main.setenv=SHIM_MODULE=%s", require_variable("TEST_MODULE"));
    name_shim_files(self, "main");
}

void instance_use_tcti_shim(struct instance *self, bool password)
{
    const char *uri = require_variable("TEST_KEY_URI");
    const char *inner = strstr(uri, "tcti=") + strlen("tcti=");

    instance_set(self, "signer main.uri=%.*s%s:%s%s", (int)(inner - uri), uri,
                 uri_path(require_variable("TEST_TCTI_SHIM")).text, inner,
                 password ? "&auth=password" : "");
    name_shim_files(self, "main");
}

void instance_set_faults(struct instance *self, const char *lines)
{
    char path[PATH_LENGTH + 8];

    (void)snprintf(path, sizeof(path), "%s.new", self->control_path);
    write_file(path, lines);
    if (rename(path, self->control_path) != 0) {
        give_up(self->control_path);
    }
}

/* ---- the audit key ---- */

static void use_audit_uri(struct instance *self, const char *uri)
{
    instance_set(self, "ledger.signer=audit");
    instance_set(self, "signer audit.uri=%s", uri);
#ifdef SANITIZED
    instance_set(self, "signer audit.deadline_ms=10000");
#endif
}

/* `uri` with the object "audit" instead of its own. */
static char *audit_uri(const char *uri)
{
    char *other = NULL;

    if (asprintf(&other, "pkcs11:token=issuerd%%20test;object=audit%s", strchr(uri, '?')) < 0) {
        abort();
    }
    return other;
}

void instance_use_audit_key(struct instance *self)
{
    static bool is_made;
    scoped(release_memory) char *uri = audit_uri(require_variable("TEST_KEY_URI"));
    const char *const argv[] = { require_variable("TEST_TOKEN_TOOL"), "generate", uri, "ES256",
                                 NULL };

    if (!is_made) {
        run_tool(argv);
        is_made = true;
    }
    use_audit_uri(self, uri);
    instance_set(self, "signer audit.setenv=SOFTHSM2_CONF=%s", require_variable("SOFTHSM2_CONF"));
}

void instance_use_audit_shim(struct instance *self)
{
    scoped(release_memory) char *through = key_uri_through(require_variable("TEST_SHIM"));
    scoped(release_memory) char *uri = audit_uri(through);

    instance_use_audit_key(self);
    instance_set(self, "signer audit.uri=%s", uri);
    instance_set(self, "signer audit.setenv=SHIM_MODULE=%s", require_variable("TEST_MODULE"));
    name_shim_files(self, "audit");
}

void instance_use_audit_file(struct instance *self, const char *algorithm)
{
    const bool is_es256 = strcmp(algorithm, "ES256") == 0;
    char path[PATH_LENGTH];
    char uri[PATH_LENGTH + 8];

    name_file(self, path, "audit.pem");
    const char *const argv[] = { "openssl",
                                 "genpkey",
                                 "-quiet",
                                 "-out",
                                 path,
                                 "-algorithm",
                                 is_es256 ? "EC" : "ED25519",
                                 is_es256 ? "-pkeyopt" : NULL,
                                 "ec_paramgen_curve:P-256",
                                 NULL };
    run_tool(argv);
    (void)snprintf(uri, sizeof(uri), "file:%s", path);
    use_audit_uri(self, uri);
    instance_set(self, "issuer.environment=development");
}

const char *instance_shim_log_path(const struct instance *self)
{
    return self->shim_log_path;
}

/*
 * A real issuerd with a real token: started in a directory of its own under TEST_DIR, with ports
 * that the kernel chooses. Run by tests/support/with_DEVICE.sh; TEST_ISSUERD is the program,
 * TEST_STORE=postgresql gives it a database of its own in the cluster of with_postgresql.sh, TEST_SHIM, for those who use it, tests/faults/pkcs11_shim.c.
 *
 * Threads: one, and the same one for start and stop: the server dies with the thread it came from.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct instance;

/* Makes the directory, the client secret and, at every start, issuerd.conf. Each of `settings`, up
 * to a NULL, is "SECTION.NAME=VALUE" ("tokens.code_lifetime_s=1", "signer main.sessions=4"); it
 * replaces what was there, but for setenv, of which there are many. NULL: no settings. */
struct instance *instance_new(const char *const *settings);

/* For the next start. The value is printed by `format`. */
void instance_set(struct instance *instance, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Takes a whole section out again, for the next start or reload. */
void instance_drop(struct instance *instance, const char *section);

/* Writes issuerd.conf, sends SIGHUP and waits for what comes of it: true if it was taken over, false if
 * the log says that it was refused, or nothing within a minute. */
bool instance_reload(struct instance *instance);

/* Writes issuerd.conf without a start, for programs that only read it. */
void instance_write_conf(const struct instance *instance);

/* Opens both listening sockets here, on ports that stay, and passes them at every start as systemd does
 * (sd_listen_fds(3)). They are closed with the instance. */
void instance_pass_sockets(struct instance *instance);

/* "NAME=value", for its environment from the next start on. Borrowed. */
void instance_set_variable(struct instance *instance, const char *variable);

/* True once it serves. Waits at most 60 s; what it logged goes to stderr if it does not come. May
 * be called again after a stop or a kill: same directory, same store, other ports. */
bool instance_start(struct instance *instance);

/* SIGTERM; does not wait. */
void instance_terminate(struct instance *instance);

/* SIGTERM, then instance_wait(). */
int instance_stop(struct instance *instance, int deadline_s);

/* The exit status, 128 + N if signal N ended it, -1 if it ran longer than the deadline (it is
 * killed then) or did not run. */
int instance_wait(struct instance *instance, int deadline_s);

/* SIGKILL. */
void instance_kill(struct instance *instance);

/* Kills it if it runs. The directory goes with TEST_DIR. NULL is fine. */
void instance_free(struct instance *instance);

pid_t instance_pid(const struct instance *instance);

/* The issuerd-signer that issuerd started; with several, those of the lowest ids. */
pid_t instance_signer_pid(const struct instance *instance); /* 0: none at the moment */
size_t instance_signer_pids(const struct instance *instance, pid_t *pids_out, size_t size);

int instance_public_port(const struct instance *instance);
int instance_admin_port(const struct instance *instance);

/* Borrowed, for the instance's life. */
const char *instance_directory(const struct instance *instance);
const char *instance_conf_path(const struct instance *instance);
const char *instance_log_path(const struct instance *instance);   /* stderr of all its runs */
const char *instance_store_path(const struct instance *instance); /* of SQLite alone */
const char *instance_store_url(const struct instance *instance);
const char *instance_client_secret(const struct instance *instance);

/* True if the log of all its runs holds `text`. */
bool instance_has_logged(const struct instance *instance, const char *text);

/* To stderr. */
void instance_show_log(const struct instance *instance);

/* TEST_KEY_URI with another module in its module-path. The caller frees. */
char *key_uri_through(const char *module);

/* Puts tests/faults/pkcs11_shim.c between the signer "main" and SoftHSM2. */
void instance_use_shim(struct instance *instance);

/* Puts tests/faults/tcti_shim.c (TEST_TCTI_SHIM) between the signer "main" and its TPM; `password`: with
 * auth=password in its URI. */
void instance_use_tcti_shim(struct instance *instance, bool password);

/* Gives the ledger an audit key, that of the signer "audit": another one on the token of the tests,
 * which is made by TEST_TOKEN_TOOL the first time. */
void instance_use_audit_key(struct instance *instance);

/* The same, with the shim between the signer "audit", and it alone, and SoftHSM2. */
void instance_use_audit_shim(struct instance *instance);

/* An audit key in a file beside the configuration, made at each call: `algorithm` is ES256 or Ed25519. In
 * an environment of development. */
void instance_use_audit_file(struct instance *instance, const char *algorithm);

/* What the shim does from now on, by lines of its control file; "": nothing. It looks every 2 ms. */
void instance_set_faults(struct instance *instance, const char *lines);

/* What the shim logged of the LOGGED functions. */
const char *instance_shim_log_path(const struct instance *instance);

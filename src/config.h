/*
 * The configuration: one INI file, read at start and at each reload. Every setting is a row of the table in
 * config_table.c, which parses, checks and prints the help (config_print_help).
 *
 * An inline comment is a ';' after white space; a value may therefore contain ';' (PKCS#11 URIs
 * do). Every section stands once.
 *
 * Threads: config_load sets the globals of libinih; one thread calls it.
 */
#pragma once

#include "base/error.h"
#include "base/log.h"
#include "hsm/signer.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

enum {
    CONFIG_SIGNERS_MAX = SIGNERS_MAX,
    CONFIG_SIGNER_NAME_MAX = 32,
    CONFIG_LIST_MAX = 64,
    CONFIG_TRUST_TYPES_MAX = 16,
    CONFIG_DIFFERENCES_MAX = 256,
};

/* Where to listen: AF_INET, AF_INET6 or AF_UNIX. */
struct config_address {
    struct sockaddr_storage socket;
    socklen_t length;
};

/* Files of a listener's TLS. They are named here, and read by those who serve (tls_config.h). */
struct config_tls {
    char *certificate_file; /* "": plain HTTP */
    char *key_file;
    int line; /* of the certificate's */
};

/* A setting that may be given several times, in the order of its lines. */
struct config_list {
    char **items;
    size_t count;
};

/* No text below is ever NULL; one that is not set is "". */
struct config_signer {
    char name[CONFIG_SIGNER_NAME_MAX + 1];
    char *uri;
    char *algorithm; /* "": what the key's type suggests */
    int64_t sessions;
    int64_t deadline_ms;
    int64_t queue;
    int64_t queue_ms;
    bool session_copy;
    struct config_list setenv; /* "NAME=value" */
    char *sandbox;             /* "": by the uri, as the mode */
    char *sandbox_mode;
    int line; /* of its [signer NAME] */
};

/* An issuer of credentials, and what it is trusted for. */
struct config_trust {
    const char *did;
    const char *types[CONFIG_TRUST_TYPES_MAX];
    size_t type_count; /* 0: everything */
};

struct config {
    char *issuer_url;
    char *environment;
    bool development; /* environment = development */
    int64_t jwks_max_age_s;
    char *sandbox_mode;

    char *public_listen;
    struct config_address public_address;
    struct config_tls public_tls;
    int64_t connections;
    int64_t connections_per_address;
    int64_t head_timeout_s;
    int64_t body_timeout_s;
    int64_t idle_timeout_s;
    int64_t requests_per_s; /* 0: no limit */
    int64_t requests_burst;
    struct config_list trusted_proxies; /* ADDRESS or ADDRESS/BITS */
    char *client_address_header;

    char *admin_listen;
    struct config_address admin_address;
    struct config_tls admin_tls;
    char *admin_client_ca_file; /* "": no client certificate is asked for */
    char *client_secret_file;

    char *store_url;
    char *state_dir;
    int64_t retention_s;
    int64_t max_open_requests;

    char *ledger_node;   /* "": the host's name */
    char *ledger_signer; /* "": checkpoints are not signed */
    int64_t checkpoint_entries;
    int64_t checkpoint_s;
    int64_t backlog_max;
    int64_t ledger_retention_s;
    char *checkpoint_file; /* "": NODE.checkpoint in the state directory */

    int64_t token_lifetime_s;
    int64_t code_lifetime_s;
    int64_t request_lifetime_s;
    char *audience; /* the issuer URL if not set */

    char *credential_endpoint;
    char *schema_endpoint;
    char *offering_endpoint;
    char *display_name;

    char *resolver_url; /* "": none */
    struct config_list trust;
    char *trust_words[CONFIG_LIST_MAX]; /* the same, cut into the words that `trusted` has */
    struct config_trust trusted[CONFIG_LIST_MAX];
    size_t trusted_count;

    char *log_level_name;
    enum log_level log_level;

    struct config_signer signers[CONFIG_SIGNERS_MAX];
    size_t signer_count;
};

struct config_problem {
    int line;         /* 0: of the file as a whole */
    char setting[80]; /* "signer main.uri", "[signer main]", or "" for the line as such */
    char text[512];   /* what is wrong and what to do; never a value that could be a secret */
};

/* In the order of their lines. */
struct config_problems {
    struct config_problem *list;
    size_t count;
};

/* Reads and checks all of `path`, with the files it names. On true the caller owns *config_out
 * (config_free). On false *problems_out lists everything that is wrong, one or more, and the
 * caller clears it. */
MUST_CHECK bool config_load(const char *path, struct config **config_out,
                            struct config_problems *problems_out);
void config_free(struct config *config);
void config_problems_clear(struct config_problems *problems);

/* A setting, or a whole signer, that another configuration has otherwise. Never a value. */
struct config_difference {
    char name
        [80]; /* "public.connections", "signer main.sessions", "signer main (new)" or "(gone)" */
    bool at_once; /* a reload takes it over; else it takes effect at the next start */
};

struct config_differences {
    struct config_difference list[CONFIG_DIFFERENCES_MAX];
    size_t count;
};

/* What of `wanted` the one that a server runs by has otherwise, in the order of the table. */
void config_compare(const struct config *running, const struct config *wanted,
                    struct config_differences *differences_out);

/* Each gets what the other has of what a reload takes over; a second time, and both are as before. */
void config_exchange(struct config *running, struct config *wanted);

/* Puts one more into its place. */
void config_problems_add(struct config_problems *problems, int line, const char *setting,
                         const char *format, ...) __attribute__((format(printf, 4, 5)));

/* "FILE:LINE: section.name: text" per problem, then a line with their number. */
void config_print_problems(FILE *out, const char *path, const struct config_problems *problems);

/* Every setting with type, bounds, default and a sentence, in the form of a configuration file to
 * start from: this is systemd/issuerd.conf. Comments are wrapped at 80 columns. */
void config_print_help(FILE *out);

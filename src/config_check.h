/*
 * What makes a value good: addresses, URLs (config_address.c), paths, key URIs (config_check.c).
 * Only config*.c include it.
 *
 * Every function here fails with ERROR_CONFIG and a message that says what is wrong and what to
 * do. None echoes a URI, as one with pin-value holds a secret.
 */
#pragma once

#include "config.h"
#include "config_table.h"

#include <string.h>

static inline bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* HOST:PORT, [V6]:PORT or unix:/PATH. */
MUST_CHECK bool config_parse_address(const char *text, struct config_address *address_out,
                                     struct error *err);
bool config_address_is_local(const struct config_address *address);

/* True if both cannot be bound at once. */
bool config_addresses_clash(const struct config_address *a, const struct config_address *b);

/* The checks of single values that the table names. */
config_check_fn config_check_issuer_url;
config_check_fn config_check_link;
config_check_fn config_check_address;
config_check_fn config_check_visible;
config_check_fn config_check_display_name;
config_check_fn config_check_store_url;
config_check_fn config_check_node;
config_check_fn config_check_path;
config_check_fn config_check_secret_file;
config_check_fn config_check_key_uri;
config_check_fn config_check_setenv;
config_check_fn config_check_trust;
config_check_fn config_check_proxy;

/* http: reaches no one but this machine's own: in production a URL must be https:. */
bool config_url_is_plain_and_remote(const char *url);

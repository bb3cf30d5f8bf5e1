/* issuerctl wallet: a wallet to try a server with, from the request to the token. */
#pragma once

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>

#include "ctl/http_client.h"
#include "ctl/wallet_key.h"

enum { WALLET_CREDENTIALS_MAX = 16 };

struct wallet_options {
    struct http_peer server;
    const char *algorithm; /* NULL: ES256, or the key's */
    const char *key_file;  /* NULL: a new key, in memory alone */
    enum wallet_did_method did;
    const char *definition_file; /* NULL: none */
    const char *credential_files[WALLET_CREDENTIALS_MAX];
    size_t credential_count;
    const char *token_file; /* NULL: the token is thrown away */
    bool json;
};

/* The options of this command; their input is a struct wallet_options. */
extern const struct argp wallet_argp;

/* Prints what it does, never a code or a token, and returns the exit status. */
int wallet_run(const struct wallet_options *options);

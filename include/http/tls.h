/*
 * TLS of a listener: what it shows and asks of its clients, read from PEM files as a whole, and
 * renewed as a whole under connections that go on with what they began with.
 *
 * Credentials are counted references, and never change once they are loaded.
 *
 * Threads: any.
 */
#pragma once

#include "base/error.h"
#include "base/memory.h"

#include <stddef.h>
#include <stdint.h>

struct tls_credentials;

struct tls_files {
    const char *certificate; /* the server's own first, then that of each issuer */
    const char *key;
    const char *client_ca; /* whose certificates clients must show; "": none is asked for */
};

/* Reads and checks the files. On true the caller owns *credentials_out. Fails with CONFIG, naming
 * the file, what is wrong with it at `now_s` and what to do. */
MUST_CHECK bool tls_credentials_load(const struct tls_files *files, int64_t now_s,
                                     struct tls_credentials **credentials_out, struct error *err);

/* One more reference; the caller owns it. */
struct tls_credentials *tls_credentials_share(struct tls_credentials *credentials);

/* Gives a reference back. NULL is fine. */
void tls_credentials_release(struct tls_credentials *credentials);
DEFINE_RELEASE(release_tls_credentials, struct tls_credentials, tls_credentials_release)

/* When the first certificate of the chain ends, in Unix time. */
int64_t tls_credentials_end_s(const struct tls_credentials *credentials);

enum { TLS_ADVICE_MAX = 2 };

struct tls_advice {
    char text[320];
};

/* What an operator should look after though it serves, a sentence each. Returns how many. */
size_t tls_credentials_advise(const struct tls_credentials *credentials, int64_t now_s,
                              struct tls_advice advice_out[static TLS_ADVICE_MAX]);

/* A listener's place for its credentials. */
struct tls;

/* Takes the reference. */
struct tls *tls_new(struct tls_credentials *credentials);

/* After the listener has ended. NULL is fine. */
void tls_free(struct tls *tls);

/* From now on handshakes are made with these. Takes the reference. */
void tls_renew(struct tls *tls, struct tls_credentials *credentials);

/* Those of the next handshake. The caller owns the reference. */
struct tls_credentials *tls_current(struct tls *tls);

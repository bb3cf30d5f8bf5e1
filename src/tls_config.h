/*
 * The TLS of both listeners, from the configuration's files to the places where servers look.
 * A file is read when the server starts, when it is told to reload, and by --check-config; whoever
 * else reads the configuration does without: an expired certificate must not stop issuerctl.
 */
#pragma once

#include "config.h"
#include "http/tls.h"

struct listeners_tls {
    struct tls *public_tls; /* NULL: plain HTTP */
    struct tls *admin_tls;
};

/* Reads the files. On true the caller owns what is in *tls_out (listeners_tls_clear). Fails with
 * CONFIG. Logs what an operator should look after (tls.advice), as does the reload. */
MUST_CHECK bool listeners_tls_open(const struct config *config, int64_t now_s,
                                   struct listeners_tls *tls_out, struct error *err);

enum { TLS_LISTENERS = 2 };

/* What is read for a reload, before it is known whether it comes to that. */
struct tls_renewal {
    struct tls_credentials *credentials[TLS_LISTENERS]; /* public, admin; NULL: plain HTTP */
};

/* Reads the files. The caller clears *renewal_out. Fails with CONFIG. */
MUST_CHECK bool tls_renewal_read(const struct config *config, int64_t now_s,
                                 struct tls_renewal *renewal_out, struct error *err);
void tls_renewal_clear(struct tls_renewal *renewal);

/* From now on handshakes are made with these, which are taken out of the renewal. Listeners without TLS
 * stay so. */
void listeners_tls_renew(struct listeners_tls *tls, struct tls_renewal *renewal);

/* After the servers have ended. */
void listeners_tls_clear(struct listeners_tls *tls);

/* Reads the files and adds what is wrong with them to the problems; what should be looked after is
 * printed to `out` (NULL: not), as "FILE:LINE: [SECTION]: warning: ...". */
void listeners_tls_check(const struct config *config, const char *path, int64_t now_s, FILE *out,
                         struct config_problems *problems);

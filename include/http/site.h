/*
 * What endpoints need besides the request: the service, what else is to be told of, and what the
 * configuration says. The last may change while they work, so each takes a copy.
 *
 * Threads: any.
 */
#pragma once

#include "base/digest.h"
#include "core/service.h"
#include "http/tls.h"

#include <stdint.h>

enum { SITE_URL_MAX = 512, SITE_NAME_MAX = 128 };

struct site_settings {
    int64_t jwks_max_age_s;
    struct digest client_secret;          /* SHA-256 of what x-client-secret must hold */
    char display_name[SITE_NAME_MAX + 1]; /* these four: "" if not configured */
    char credential_endpoint[SITE_URL_MAX + 1];
    char schema_endpoint[SITE_URL_MAX + 1];
    char offering_endpoint[SITE_URL_MAX + 1];
};

/* Where they are kept. */
struct site_state;

struct server;

/* Borrowed. */
struct site {
    struct service *service;
    const char *issuer;
    struct site_state *state;
    const struct server *public_server; /* for its metrics; set before the admin server starts */
    struct tls *public_tls;             /* these two for the metrics; NULL: plain HTTP */
    struct tls *admin_tls;
};

struct site_state *site_state_new(const struct site_settings *settings);

/* After the servers have ended. NULL is fine. */
void site_state_free(struct site_state *state);

/* Requests that come from now on are answered by these. */
void site_state_set(struct site_state *state, const struct site_settings *settings);

struct site_settings site_settings(const struct site *site);

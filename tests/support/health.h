/* How an instance is, as an operator and a client see it, against the bounds of the promises. */
#pragma once

#include "support/instance.h"

#include <stdbool.h>
#include <stdint.h>

/* The sanitizers' own slowness is not what the bounds are about. */
#ifdef SANITIZED
enum { HEALTH_SLACK = 4 };
#else
enum { HEALTH_SLACK = 1 };
#endif

enum {
    ANSWER_S = 2 * HEALTH_SLACK, /* a request is answered, whatever the signer does */
    HEAL_S = 5 * HEALTH_SLACK,   /* after a fault ends the service heals */
};

/* GET /readyz of the admin listener: 200, 503 or whatever it says; 0: no answer. */
int health_ready_status(const struct instance *instance);

/* The value of the sample in /metrics that begins with `sample` and a blank; -1: none. */
double health_metric(const struct instance *instance, const char *sample);

/* The same for issuerd_signer_NAME{signer="SIGNER"}. */
double health_signer_metric(const struct instance *instance, const char *signer, const char *name);

/* True once the signer has made some more signatures for tokens; false after `seconds`. */
bool health_signs_within(const struct instance *instance, const char *signer, int seconds);

/* Calls `holds` every few milliseconds. True once it holds; false at the monotonic deadline. */
bool health_await(const struct instance *instance, bool (*holds)(const struct instance *),
                  int64_t deadline_ns);

bool health_is_ready(const struct instance *instance);     /* readyz is 200 */
bool health_is_not_ready(const struct instance *instance); /* readyz is 503 */
bool health_has_signer(const struct instance *instance);   /* a signer process is there */

/* True for one redeem that is answered 503 with Retry-After within ANSWER_S. */
bool health_is_refused_for_now(const struct instance *instance, const char *code);

/* True for one redeem that is answered 400: spent or expired. */
bool health_is_gone(const struct instance *instance, const char *code);

/* Redeems until the token comes, which must verify; any other answer than 503 with Retry-After
 * within ANSWER_S is a failure. False at the monotonic deadline. */
bool health_redeems_by(const struct instance *instance, const char *code, int64_t deadline_ns);

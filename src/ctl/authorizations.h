/* issuerctl's commands on authorization requests and their codes, straight on the store, beside a
 * running issuerd. Each prints, never a code, and returns the exit status. */
#pragma once

#include <argp.h>

#include "core/service.h"

struct authorizations_options {
    const enum authorization_stage *stage; /* list; NULL: any. Points into this struct */
    enum authorization_stage wanted;
    int limit;              /* list; 0: the default */
    const char *holder_did; /* approve */
    const char *scope;      /* approve; NULL: none */
    const char *code_file;  /* approve */
    bool yes;               /* cancel: do not ask */
    bool json;
};

/* The options of these commands; their input is a struct authorizations_options. */
extern const struct argp authorizations_argp;

/* `id`: an authorization's, or what it alone begins with. */
int authorizations_list(const struct service_options *service,
                        const struct authorizations_options *options);
int authorizations_show(const struct service_options *service, const char *id,
                        const struct authorizations_options *options);
int authorizations_approve(const struct service_options *service, const char *id,
                           const struct authorizations_options *options);
int authorizations_cancel(const struct service_options *service, const char *id,
                          const struct authorizations_options *options);

/* issuerctl's commands on keys and tokens. Each prints, and returns the exit status. */
#pragma once

#include "core/key_rules.h"
#include "core/service.h"

struct ctl_options {
    const char *algorithm;    /* keys generate; NULL: as configured */
    const char *so_pin_file;  /* token init */
    const char *emergency;    /* keys activate, retire: the reason; NULL: none */
    unsigned rsa_bits;        /* keys generate; 0: the default */
    const char *evidence_dir; /* keys evidence; NULL: "evidence", beside the store */
    const char *ak_name;      /* keys evidence: the attestation key's, in hex; NULL: any */
    bool json;
};

int keys_list(const struct service_options *service, const struct ctl_options *options);
int keys_generate(const struct service_options *service, const char *signer,
                  const struct ctl_options *options);
int keys_step(const struct service_options *service, enum key_step step, const char *kid,
              const struct ctl_options *options);
int token_init(const struct service_options *service, const char *signer,
               const struct ctl_options *options);

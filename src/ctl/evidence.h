/*
 * A key's evidence: the file KID.json that provisioning/pkcs11-key.sh and tpm-key.sh write for the
 * auditor. It is checked where it lies, without the device.
 */
#pragma once

#include "ctl/keys.h"

/* issuerctl keys evidence: reads and checks the file in `directory` whose name begins with `kid`,
 * prints what it proves and what it does not. Returns the exit status: 0, or 1, the reason on
 * stderr. */
int keys_evidence(const char *directory, const char *kid, const struct ctl_options *options);

/* The times of a JWT (RFC 7519 4.1.4 to 4.1.6). */
#pragma once

#include "base/error.h"

#include <stdint.h>

#include <cjson/cJSON.h>

/* Seconds since 1970, fractions dropped; -1: not there. */
struct jwt_times {
    int64_t issued_s;
    int64_t not_before_s;
    int64_t expires_s;
};

/* Fails with PRESENTATION if one is there that is no NumericDate from 0 to the year 9999. */
MUST_CHECK bool jwt_times_read(const cJSON *claims, struct jwt_times *times_out, struct error *err);

/* Whatever is there must hold: not expired, not before nbf, not issued in the future; `skew_s` is
 * forgiven each. Fails with PRESENTATION. */
MUST_CHECK bool jwt_times_check(const struct jwt_times *times, int64_t now_s, int64_t skew_s,
                                struct error *err);

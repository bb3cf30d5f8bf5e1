#include "vc/jwt_time.h"

static const double YEAR_9999_S = 253402300799.0;

static bool read_time(const cJSON *claims, const char *name, int64_t *time_s_out, struct error *err)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(claims, name);

    *time_s_out = -1;
    if (value == NULL) {
        return true;
    }
    if (!cJSON_IsNumber(value) || value->valuedouble < 0 || value->valuedouble > YEAR_9999_S) {
        return fail(err, ERROR_PRESENTATION, "%s is no time in seconds since 1970", name);
    }
    *time_s_out = (int64_t)value->valuedouble;
    return true;
}

bool jwt_times_read(const cJSON *claims, struct jwt_times *times_out, struct error *err)
{
    return read_time(claims, "iat", &times_out->issued_s, err)
        && read_time(claims, "nbf", &times_out->not_before_s, err)
        && read_time(claims, "exp", &times_out->expires_s, err);
}

bool jwt_times_check(const struct jwt_times *times, int64_t now_s, int64_t skew_s,
                     struct error *err)
{
    if (times->expires_s >= 0 && times->expires_s + skew_s <= now_s) {
        return fail(err, ERROR_PRESENTATION, "it has expired (exp)");
    }
    if (times->not_before_s > now_s + skew_s) {
        return fail(err, ERROR_PRESENTATION, "it is not valid yet (nbf)");
    }
    return times->issued_s <= now_s + skew_s
        || fail(err, ERROR_PRESENTATION, "it was issued in the future (iat)");
}

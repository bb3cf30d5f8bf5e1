/* POST /api/v1/clock/confirm: an operator takes the clock for right. */
#include "http/endpoint.h"

#include "base/memory.h"
#include "http/json_body.h"

enum { ANSWER_MAX = 512 };

bool clock_endpoint(const struct site *site, const struct request *request, struct reply *reply,
                    struct error *err)
{
    scoped(release_json) cJSON *body = NULL;
    int64_t deviation_s = 0;
    const struct json_member members[] = {
        { .name = "deviation_s",
          .type = JSON_NUMBER,
          .required = true,
          .number_out = &deviation_s },
    };

    if (!json_body_parse(request, members, COUNT_OF(members), &body, err)
        || !service_confirm_clock(site->service, deviation_s, err)) {
        return false;
    }
    struct text text = reply_text(reply, ANSWER_MAX);
    service_print_clock(site->service, &text);
    return reply_set_text(reply, 200, &text, err);
}

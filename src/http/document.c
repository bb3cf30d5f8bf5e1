#include "http/document.h"

#include <stdio.h>
#include <string.h>

#include "base/base64url.h"
#include "base/digest.h"

/* A strong validator of the content (RFC 9110 8.8.3). */
static void set_etag(struct reply *reply, const struct text *text)
{
    const struct digest digest = sha256(text->start, text->length);
    char *at = reply->etag_text;

    *at++ = '"';
    at += base64url_encode(at, digest.bytes, sizeof(digest.bytes) / 2);
    *at++ = '"';
    *at = '\0';
    reply->etag = reply->etag_text;
}

/* If-None-Match (RFC 9110 13.1.2): our one tag among those named, or "*". */
static bool is_known_to_client(const struct request *request, const struct reply *reply)
{
    const char *tags = request_header(request, "If-None-Match");
    return tags != NULL && (strcmp(tags, "*") == 0 || strstr(tags, reply->etag) != NULL);
}

bool reply_document(const struct request *request, struct reply *reply, const struct text *text,
                    int64_t max_age_s, struct error *err)
{
    static _Thread_local char cache_control[48];

    if (!reply_set_text(reply, 200, text, err)) {
        return false;
    }
    (void)snprintf(cache_control, sizeof(cache_control), "public, max-age=%lld",
                   (long long)max_age_s);
    reply->cache_control = cache_control;
    set_etag(reply, text);
    if (is_known_to_client(request, reply)) {
        reply->status = 304;
        reply->body_length = 0;
    }
    return true;
}

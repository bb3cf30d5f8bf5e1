/* GET /: the operator's page, page.html, which the build embeds. Its policy lets it run its own script,
 * which is known by its hash, and ask this server; nothing else is loaded, run or framed. */
#include "http/endpoint.h"

#include <pthread.h>
#include <string.h>

#include "base/digest.h"
#include "base/memory.h"

static const char page[] = {
#include "http/page.inc"
};

static char policy[512];

/* CSP 3, 6.7.3.1: the hash of what stands between the tags, to the letter. */
static void add_hash(struct text *text, const char *begin_tag, const char *end_tag)
{
    const char *begin = strstr(page, begin_tag) + strlen(begin_tag);
    const struct digest hash = sha256(begin, (size_t)(strstr(begin, end_tag) - begin));

    text_add(text, " 'sha256-");
    text_add_base64(text, hash.bytes, sizeof(hash.bytes));
    text_add(text, "'");
}

static void compose_policy(void)
{
    struct text text = text_over(policy, sizeof(policy));

    text_add(&text, "default-src 'none'; connect-src 'self'; img-src data:; script-src");
    add_hash(&text, "<script>", "</script>");
    text_add(&text, "; style-src");
    add_hash(&text, "<style>", "</style>");
    text_add(&text, "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
                    "require-trusted-types-for 'script'; trusted-types 'none'");
}

bool page_endpoint(const struct site *site, const struct request *request, struct reply *reply,
                   struct error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static const struct reply_header headers[] = {
        { "Content-Security-Policy", policy },
        { "X-Content-Type-Options", "nosniff" },
        { "Referrer-Policy", "no-referrer" },
        { "Cross-Origin-Resource-Policy", "same-origin" },
        { .name = NULL },
    };
    struct text text = reply_text(reply, sizeof(page));

    (void)site, (void)request;
    (void)pthread_once(&once, compose_policy);
    text_add_bytes(&text, page, sizeof(page) - 1);
    if (!reply_set_text(reply, 200, &text, err)) {
        return false;
    }
    reply->content_type = "text/html; charset=utf-8";
    reply->headers = headers;
    return true;
}

#include "ctl/http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "base/memory.h"

enum { URL_MAX = 4096 };

struct http_client {
    const char *url;
    CURL *curl;
    char problem[CURL_ERROR_SIZE];
    size_t length;
    char body[HTTP_ANSWER_MAX + 1];
};

DEFINE_RELEASE(release_headers, struct curl_slist, curl_slist_free_all)

struct http_client *http_client_new(const char *url)
{
    struct http_client *self = xcalloc(1, sizeof(*self));

    self->url = url;
    self->curl = curl_easy_init();
    if (self->curl == NULL) {
        abort();
    }
    return self;
}

/* Answers hold codes and tokens. */
void http_client_free(struct http_client *self)
{
    curl_easy_cleanup(self->curl);
    explicit_bzero(self->body, self->length);
    free(self);
}

/* Less than all of it tells curl to give up. */
static size_t take_bytes(const char *bytes, size_t size, size_t count, void *context)
{
    struct http_client *self = context;
    const size_t length = size * count;

    if (length > HTTP_ANSWER_MAX - self->length) {
        return 0;
    }
    memcpy(self->body + self->length, bytes, length);
    self->length += length;
    return length;
}

static void set_rules(struct http_client *self)
{
    curl_easy_reset(self->curl);
    (void)curl_easy_setopt(self->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(self->curl, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(self->curl, CURLOPT_TIMEOUT_MS, (long)HTTP_DEADLINE_MS);
    (void)curl_easy_setopt(self->curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(self->curl, CURLOPT_USERAGENT, "issuerctl/" ISSUERD_VERSION);
    (void)curl_easy_setopt(self->curl, CURLOPT_WRITEFUNCTION, take_bytes);
    (void)curl_easy_setopt(self->curl, CURLOPT_WRITEDATA, self);
    (void)curl_easy_setopt(self->curl, CURLOPT_ERRORBUFFER, self->problem);
}

static void set_url(struct http_client *self, const char *path)
{
    const bool is_socket = strncmp(self->url, "unix:", strlen("unix:")) == 0;
    char url[URL_MAX];

    (void)snprintf(url, sizeof(url), "%s%s", is_socket ? "http://localhost" : self->url, path);
    (void)curl_easy_setopt(self->curl, CURLOPT_URL, url);
    if (is_socket) {
        (void)curl_easy_setopt(self->curl, CURLOPT_UNIX_SOCKET_PATH, self->url + strlen("unix:"));
    }
}

bool http_client_send(struct http_client *self, const char *path, const char *json,
                      struct http_answer *answer_out, struct error *err)
{
    scoped(release_headers) struct curl_slist *headers =
        curl_slist_append(NULL, "Content-Type: application/json");

    set_rules(self);
    set_url(self, path);
    if (json != NULL) {
        (void)curl_easy_setopt(self->curl, CURLOPT_HTTPHEADER, headers);
        (void)curl_easy_setopt(self->curl, CURLOPT_POSTFIELDS, json);
    }
    self->length = 0;
    self->problem[0] = '\0';
    const CURLcode code = curl_easy_perform(self->curl);
    if (code != CURLE_OK) {
        return fail(err, ERROR_TIMEOUT, "%s: no answer: %s", self->url,
                    self->problem[0] != '\0' ? self->problem : curl_easy_strerror(code));
    }
    self->body[self->length] = '\0';
    (void)curl_easy_getinfo(self->curl, CURLINFO_RESPONSE_CODE, &answer_out->status);
    answer_out->body = self->body;
    answer_out->length = self->length;
    return true;
}

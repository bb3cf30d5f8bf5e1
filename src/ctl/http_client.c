#include "ctl/http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "base/memory.h"
#include "base/secret.h"
#include "ctl/ctl.h"
#include "jose/json.h"

enum {
    URL_MAX = 1024,
    URL_SIZE = 4096, /* with a path behind it */
};

struct http_client {
    const struct http_peer *peer;
    CURL *curl;
    char problem[CURL_ERROR_SIZE];
    size_t length;
    char body[HTTP_ANSWER_MAX + 1];
};

static void free_headers(struct curl_slist *headers)
{
    for (struct curl_slist *at = headers; at != NULL; at = at->next) {
        explicit_bzero(at->data, strlen(at->data)); /* one may hold a secret */
    }
    curl_slist_free_all(headers);
}

DEFINE_RELEASE(release_headers, struct curl_slist, free_headers)

/* ---- options ---- */

enum {
    OPTION_URL = 1024,
    OPTION_CA_FILE,
    OPTION_CLIENT_CERTIFICATE,
    OPTION_CLIENT_KEY,
    OPTION_CLIENT_SECRET_FILE,
};

static bool is_url(const char *text)
{
    const size_t length = strlen(text);

    if (strncmp(text, "unix:/", 6) == 0) {
        return length <= URL_MAX;
    }
    return (strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0)
        && length <= URL_MAX && text[length - 1] != '/' && strcspn(text, "?#@ \\\"<>") == length;
}

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct http_peer *peer = state->input;

    switch (key) {
    case OPTION_URL:
        peer->url = value;
        if (!is_url(value)) {
            argp_error(
                state,
                "--url: http://HOST:PORT or https://HOST:PORT without a slash at the end, or "
                "unix:/PATH");
        }
        return 0;
    case OPTION_CA_FILE:
        peer->ca_file = value;
        return 0;
    case OPTION_CLIENT_CERTIFICATE:
        peer->certificate = value;
        return 0;
    case OPTION_CLIENT_KEY:
        peer->key = value;
        return 0;
    case OPTION_CLIENT_SECRET_FILE:
        peer->secret_file = value;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option argp_options[] = {
    { "url", OPTION_URL, "URL", 0,
      "Where the server is: https://HOST:PORT, http://127.0.0.1:8080, or unix:/PATH. status, "
      "clock: "
      "its admin listener (default: the configuration's)",
      0 },
    { "ca-file", OPTION_CA_FILE, "FILE", 0,
      "The CAs that may vouch for the server (default: the system's)", 0 },
    { "client-certificate", OPTION_CLIENT_CERTIFICATE, "FILE", 0,
      "What an admin listener with tls_client_ca_file asks for", 0 },
    { "client-key", OPTION_CLIENT_KEY, "FILE", 0, "Its private key (default: in the same file)",
      0 },
    { "client-secret-file", OPTION_CLIENT_SECRET_FILE, "FILE", 0,
      "clock confirm: where the client secret is (default: the configuration's)", 0 },
    { .name = NULL },
};

const struct argp http_peer_argp = { .options = argp_options, .parser = parse_option };

/* ---- the client ---- */

struct http_client *http_client_new(const struct http_peer *peer)
{
    struct http_client *self = xcalloc(1, sizeof(*self));

    self->peer = peer;
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

static void set_certificates(struct http_client *self)
{
    const struct http_peer *peer = self->peer;

    if (peer->ca_file != NULL) {
        (void)curl_easy_setopt(self->curl, CURLOPT_CAINFO, peer->ca_file);
        (void)curl_easy_setopt(self->curl, CURLOPT_CAPATH, NULL);
    }
    if (peer->certificate != NULL) {
        (void)curl_easy_setopt(self->curl, CURLOPT_SSLCERT, peer->certificate);
        (void)curl_easy_setopt(self->curl, CURLOPT_SSLKEY,
                               peer->key != NULL ? peer->key : peer->certificate);
    }
}

static void set_url(struct http_client *self, const char *path)
{
    const char *base = self->peer->url;
    const bool is_socket = strncmp(base, "unix:", strlen("unix:")) == 0;
    char url[URL_SIZE];

    (void)snprintf(url, sizeof(url), "%s%s", is_socket ? "http://localhost" : base, path);
    (void)curl_easy_setopt(self->curl, CURLOPT_URL, url);
    if (is_socket) {
        (void)curl_easy_setopt(self->curl, CURLOPT_UNIX_SOCKET_PATH, base + strlen("unix:"));
    }
}

/* The caller wipes and frees the list. */
static bool add_secret(const struct http_peer *peer, struct curl_slist **headers, struct error *err)
{
    static const char name[] = "x-client-secret: ";
    scoped(secret_clear) struct secret secret = { .length = 0 };
    char line[sizeof(name) + SECRET_MAX];

    if (peer->secret_file == NULL) {
        return true;
    }
    if (!secret_read(peer->secret_file, &secret, err)) {
        return error_context(err, "--client-secret-file");
    }
    (void)snprintf(line, sizeof(line), "%s%s", name, secret.text);
    *headers = curl_slist_append(*headers, line);
    explicit_bzero(line, sizeof(line));
    return true;
}

bool http_client_send(struct http_client *self, const char *path, const char *json,
                      struct http_answer *answer_out, struct error *err)
{
    scoped(release_headers) struct curl_slist *headers =
        curl_slist_append(NULL, "Content-Type: application/json");

    set_rules(self);
    set_certificates(self);
    set_url(self, path);
    if (json != NULL) {
        if (!add_secret(self->peer, &headers, err)) {
            return false;
        }
        (void)curl_easy_setopt(self->curl, CURLOPT_HTTPHEADER, headers);
        (void)curl_easy_setopt(self->curl, CURLOPT_POSTFIELDS, json);
    }
    self->length = 0;
    self->problem[0] = '\0';
    const CURLcode code = curl_easy_perform(self->curl);
    if (code != CURLE_OK) {
        return fail(err, ERROR_TIMEOUT, "%s: no answer: %s", self->peer->url,
                    self->problem[0] != '\0' ? self->problem : curl_easy_strerror(code));
    }
    self->body[self->length] = '\0';
    (void)curl_easy_getinfo(self->curl, CURLINFO_RESPONSE_CODE, &answer_out->status);
    answer_out->body = self->body;
    answer_out->length = self->length;
    return true;
}

void http_answer_words(const struct http_answer *answer, struct http_words *words_out)
{
    scoped(release_cjson) cJSON *body = NULL;
    struct error ignored;

    words_out->text[0] = '\0';
    if (json_parse_object(answer->body, answer->length, &body, &ignored)
        && json_text(body, "message") != NULL) {
        (void)snprintf(words_out->text, sizeof(words_out->text), ": %s",
                       json_text(body, "message"));
        ctl_make_plain(words_out->text);
    }
}

#include "vc/did_resolver.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <openssl/err.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "jose/json.h"
#include "vc/document_cache.h"

#define ACCEPT                                                                                     \
    "Accept: application/did+ld+json, application/did+json, application/did-resolution, "          \
    "application/json"

enum { ANSWER_HEAD_MAX = 16 * 1024, ESCAPE_LENGTH = 3, TELL_EVERY_S = 60 };

static const char identifiers[] = "/1.0/identifiers/";

struct did_resolver {
    const char *url;
    struct document_cache *cache;
    _Atomic int64_t tell_ns; /* from when on a failure is logged again */
    pthread_mutex_t lock;
    unsigned fetches;                     /* at the moment */
    CURL *idle[DID_RESOLVER_FETCHES_MAX]; /* with the connections that they keep */
    unsigned idle_count;
};

/* One request and what came of it. */
struct fetch {
    char *url;
    char *body; /* room for DID_DOCUMENT_MAX and a NUL */
    size_t body_length;
    size_t head_length;
    bool too_large;
    struct curl_slist *headers;
    char complaint[CURL_ERROR_SIZE];
};

DEFINE_RELEASE(release_headers, struct curl_slist, curl_slist_free_all)

static void fetch_clear(struct fetch *fetch)
{
    free(fetch->url);
    free(fetch->body);
    release_headers(&fetch->headers);
}

/* ---- a resolver's life ---- */

static void init_curl(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        abort();
    }
}

struct did_resolver *did_resolver_new(const char *url)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct did_resolver *self = xcalloc(1, sizeof(*self));

    pthread_once(&once, init_curl);
    self->url = url;
    self->cache = document_cache_new();
    pthread_mutex_init(&self->lock, NULL);
    return self;
}

void did_resolver_free(struct did_resolver *self)
{
    if (self == NULL) {
        return;
    }
    while (self->idle_count > 0) {
        curl_easy_cleanup(self->idle[--self->idle_count]);
    }
    document_cache_free(self->cache);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

/* *handle_out is one that kept its connection, or new. */
static bool begin_fetch(struct did_resolver *self, CURL **handle_out, struct error *err)
{
    pthread_mutex_lock(&self->lock);
    const bool has_room = self->fetches < DID_RESOLVER_FETCHES_MAX;
    self->fetches += has_room;
    *handle_out = has_room && self->idle_count > 0 ? self->idle[--self->idle_count] : NULL;
    pthread_mutex_unlock(&self->lock);
    if (!has_room) {
        return fail(err, ERROR_RESOLVER_UNAVAILABLE, "%d DIDs are being resolved already",
                    DID_RESOLVER_FETCHES_MAX);
    }
    if (*handle_out == NULL) {
        *handle_out = curl_easy_init();
    }
    if (*handle_out == NULL) {
        abort(); /* out of memory */
    }
    return true;
}

static void end_fetch(struct did_resolver *self, CURL *handle)
{
    curl_easy_reset(handle); /* nothing of the request stays, its connection does */
    pthread_mutex_lock(&self->lock);
    self->fetches--;
    self->idle[self->idle_count++] = handle;
    pthread_mutex_unlock(&self->lock);
}

/* ---- the request ---- */

/* did:web:localhost%3A8443 is the segment did:web:localhost%253A8443; nothing else in a DID has to
 * be escaped in a path (RFC 3986 3.3). */
static char *make_url(const char *url, const char *did)
{
    const size_t size = strlen(url) + sizeof(identifiers) + strlen(did) * ESCAPE_LENGTH;
    char *whole = xcalloc(1, size);
    struct text text = text_over(whole, size);

    text_add(&text, url);
    text_add(&text, identifiers);
    for (const char *at = did; *at != '\0'; at++) {
        text_add_bytes(&text, at, 1);
        text_add(&text, *at == '%' ? "25" : "");
    }
    return whole;
}

/* For libcurl: anything but the length ends the transfer. */
static size_t take_body(char *data, size_t size, size_t length, void *context)
{
    struct fetch *fetch = context;

    (void)size; /* 1 */
    if (length > DID_DOCUMENT_MAX - fetch->body_length) {
        fetch->too_large = true;
        return 0;
    }
    memcpy(fetch->body + fetch->body_length, data, length);
    fetch->body_length += length;
    return length;
}

static size_t take_header(char *data, size_t size, size_t length, void *context)
{
    struct fetch *fetch = context;

    (void)data, (void)size;
    fetch->head_length += length;
    fetch->too_large = fetch->head_length > ANSWER_HEAD_MAX;
    return fetch->too_large ? 0 : length;
}

/* libcurl's types of the values are checked by its own macro. */
static void set_limits(CURL *handle)
{
    (void)curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, (long)DID_RESOLVER_DEADLINE_MS);
    (void)curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, (long)DID_RESOLVER_DEADLINE_MS);
    (void)curl_easy_setopt(handle, CURLOPT_QUICK_EXIT, 1L); /* no name is waited for beyond it */
    (void)curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(handle, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(handle, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
}

static void set_request(CURL *handle, struct fetch *fetch)
{
    (void)curl_easy_setopt(handle, CURLOPT_URL, fetch->url);
    (void)curl_easy_setopt(handle, CURLOPT_HTTPHEADER, fetch->headers);
    (void)curl_easy_setopt(handle, CURLOPT_USERAGENT, "issuerd/" ISSUERD_VERSION);
    (void)curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, take_header);
    (void)curl_easy_setopt(handle, CURLOPT_HEADERDATA, fetch);
    (void)curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, take_body);
    (void)curl_easy_setopt(handle, CURLOPT_WRITEDATA, fetch);
    (void)curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, fetch->complaint);
}

static bool fail_curl(struct error *err, CURLcode number, const char *complaint)
{
    struct text text = text_over(err->cause.text, sizeof(err->cause.text));
    (void)!fail(err, ERROR_RESOLVER_UNAVAILABLE, "the DID resolver did not answer");
    err->cause.library = "curl";
    err->cause.number = (unsigned long)number;
    const char *words = complaint[0] != '\0' ? complaint : curl_easy_strerror(number);
    text_add_bytes(&text, words, strnlen(words, sizeof(err->cause.text) - 1));
    return false;
}

/* ---- the answer ---- */

static bool check_status(CURL *handle, struct error *err)
{
    long status = 0;

    (void)curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
    switch (status) {
    case 200:
        return true;
    case 400:
    case 501:
        return fail(err, ERROR_INVALID_REQUEST, "the DID resolver knows no DIDs of this form");
    case 404:
        return fail(err, ERROR_INVALID_REQUEST, "there is no such DID");
    case 410:
        return fail(err, ERROR_INVALID_REQUEST, "the DID is deactivated");
    default:
        return fail(err, ERROR_RESOLVER_UNAVAILABLE, "the DID resolver answered %ld", status);
    }
}

/* Of all lines of that name; how many there are is bounded with the head. */
static void read_cache_control(CURL *handle, struct freshness *freshness)
{
    struct curl_header *line = NULL;

    for (size_t i = 0;
         curl_easy_header(handle, "Cache-Control", i, CURLH_HEADER, -1, &line) == CURLHE_OK; i++) {
        freshness_read(freshness, line->value);
    }
}

/* For how long the answer may be kept; 0: not at all. It has an Age where a cache gave it (RFC 9111
 * 4.2). */
static int64_t lifetime_s(CURL *handle)
{
    struct freshness freshness = { .max_age_s = 0 };
    struct curl_header *age = NULL;
    int64_t age_s = 0;

    read_cache_control(handle, &freshness);
    if (curl_easy_header(handle, "Age", 0, CURLH_HEADER, -1, &age) == CURLHE_OK) {
        age_s = delta_seconds(age->value, strlen(age->value));
    }
    return age_s >= 0 && age_s < freshness.max_age_s ? freshness.max_age_s - age_s : 0;
}

/* Some resolvers tell with 200 what the specification has a status for. */
static bool check_result(const cJSON *result, struct error *err)
{
    const cJSON *resolution = cJSON_GetObjectItemCaseSensitive(result, "didResolutionMetadata");
    const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(result, "didDocumentMetadata");
    const char *error = json_text(resolution, "error");

    if (error != NULL && strcmp(error, "notFound") == 0) {
        return fail(err, ERROR_INVALID_REQUEST, "there is no such DID");
    }
    if (error != NULL) {
        return fail(err, ERROR_RESOLVER_UNAVAILABLE, "the DID resolver told of an error");
    }
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(metadata, "deactivated"))) {
        return fail(err, ERROR_INVALID_REQUEST, "the DID is deactivated");
    }
    return true;
}

/* Printed anew a number may be longer than it was. */
static bool print_document(const cJSON *document, char **document_out, struct error *err)
{
    scoped(release_memory) char *text = NULL;

    if (!cJSON_IsObject(document)) {
        return fail(err, ERROR_RESOLVER_UNAVAILABLE, "the DID resolver's document is no object");
    }
    text = cJSON_PrintUnformatted(document);
    if (text == NULL || strlen(text) > DID_DOCUMENT_MAX) {
        return fail(err, ERROR_RESOLVER_UNAVAILABLE, "a DID document of more than %d bytes",
                    DID_DOCUMENT_MAX);
    }
    *document_out = take(text);
    return true;
}

/* The body is a resolution result (DID Resolution 7.1) or the document itself. */
static bool read_document(struct fetch *fetch, char **document_out, struct error *err)
{
    scoped(release_cjson) cJSON *object = NULL;

    if (!json_parse_object(fetch->body, fetch->body_length, &object, err)) {
        err->code = ERROR_RESOLVER_UNAVAILABLE;
        return error_context(err, "the DID resolver's answer");
    }
    if (!check_result(object, err)) {
        return false;
    }
    const cJSON *document = cJSON_GetObjectItemCaseSensitive(object, "didDocument");
    if (document != NULL) {
        return print_document(document, document_out, err);
    }
    *document_out = take(fetch->body);
    return true;
}

/* ---- resolving ---- */

static bool perform(const struct did_resolver *self, CURL *handle, const char *did,
                    char **document_out, int64_t *lifetime_s_out, struct error *err)
{
    scoped(fetch_clear) struct fetch fetch = {
        .url = make_url(self->url, did),
        .body = xcalloc(1, DID_DOCUMENT_MAX + 1),
        .headers = curl_slist_append(NULL, ACCEPT),
    };

    set_limits(handle);
    set_request(handle, &fetch);
    const CURLcode code = curl_easy_perform(handle);
    ERR_clear_error(); /* what it leaves behind would be read as the cause of another failure */
    if (fetch.too_large) {
        return fail(err, ERROR_RESOLVER_UNAVAILABLE, "the DID resolver's answer is too large");
    }
    if (code != CURLE_OK) {
        return fail_curl(err, code, fetch.complaint);
    }
    *lifetime_s_out = lifetime_s(handle);
    return check_status(handle, err) && read_document(&fetch, document_out, err);
}

/* Not each time: whom a wallet names may be one whom no resolver can find out about. */
static void tell(struct did_resolver *self, const struct error *err, int64_t now_ns)
{
    int64_t due_ns = atomic_load(&self->tell_ns);

    if (now_ns >= due_ns
        && atomic_compare_exchange_strong(&self->tell_ns, &due_ns,
                                          now_ns + TELL_EVERY_S * NS_PER_S)) {
        log_error(LOG_LEVEL_WARNING, "resolver.failed", err, "silent_s=%d", TELL_EVERY_S);
    }
}

static bool fetch(struct did_resolver *self, const char *did, int64_t now_ns, char **document_out,
                  struct error *err)
{
    CURL *handle = NULL;
    int64_t lifetime = 0;

    if (!begin_fetch(self, &handle, err)) {
        return false;
    }
    const bool fetched = perform(self, handle, did, document_out, &lifetime, err);
    end_fetch(self, handle);
    if (fetched && lifetime > 0) {
        document_cache_keep(self->cache, did, *document_out, now_ns, now_ns + lifetime * NS_PER_S);
    }
    return fetched;
}

bool did_resolver_fetch(struct did_resolver *self, const char *did, int64_t now_ns,
                        char **document_out, struct error *err)
{
    *document_out = document_cache_find(self->cache, did, now_ns);
    if (*document_out != NULL || fetch(self, did, now_ns, document_out, err)) {
        return true;
    }
    if (err->code == ERROR_RESOLVER_UNAVAILABLE) {
        tell(self, err, now_ns);
    }
    return false;
}

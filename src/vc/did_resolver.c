#include "vc/did_resolver.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/text.h"
#include "jose/did.h"
#include "jose/json.h"

enum { URL_SIZE = 2304 };

/* A document that may be kept; the list's first was used last. */
struct entry {
    struct entry *next;
    char *did;
    char *document;
    int64_t until_ns;
};

struct did_resolver {
    const char *url;
    pthread_mutex_t lock; /* over all below */
    struct entry *cache;
    size_t cached;
    unsigned fetches;
};

/* ---- memory of answers ---- */

static void entry_free(struct entry *entry)
{
    free(entry->did);
    free(entry->document);
    free(entry);
}

/* Takes an entry out of the list, and frees it if its time is over. */
static struct entry *unlink_entry(struct did_resolver *self, const char *did, int64_t now_ns)
{
    for (struct entry **at = &self->cache; *at != NULL; at = &(*at)->next) {
        struct entry *entry = *at;
        if (strcmp(entry->did, did) != 0) {
            continue;
        }
        *at = entry->next;
        self->cached--;
        if (entry->until_ns > now_ns) {
            return entry;
        }
        entry_free(entry);
        return NULL;
    }
    return NULL;
}

static void link_first(struct did_resolver *self, struct entry *entry)
{
    entry->next = self->cache;
    self->cache = entry;
    self->cached++;
}

static void drop_last(struct did_resolver *self)
{
    struct entry **at = &self->cache;
    while ((*at)->next != NULL) {
        at = &(*at)->next;
    }
    entry_free(take(*at));
    self->cached--;
}

/* A copy of the document, if it is kept. */
static char *recall(struct did_resolver *self, const char *did, int64_t now_ns)
{
    char *document = NULL;

    pthread_mutex_lock(&self->lock);
    struct entry *entry = unlink_entry(self, did, now_ns);
    if (entry != NULL) {
        document = xstrdup(entry->document);
        link_first(self, entry);
    }
    pthread_mutex_unlock(&self->lock);
    return document;
}

static void remember(struct did_resolver *self, const char *did, const char *document,
                     int64_t now_ns, int64_t max_age_s)
{
    struct entry *entry = xcalloc(1, sizeof(*entry));

    entry->did = xstrdup(did);
    entry->document = xstrdup(document);
    entry->until_ns = now_ns + max_age_s * NS_PER_S;
    pthread_mutex_lock(&self->lock);
    struct entry *before = unlink_entry(self, did, now_ns);
    if (before != NULL) {
        entry_free(before);
    }
    if (self->cached == DID_RESOLVER_CACHED_MAX) {
        drop_last(self);
    }
    link_first(self, entry);
    pthread_mutex_unlock(&self->lock);
}

/* ---- one request ---- */

struct answer {
    char body[DID_DOCUMENT_MAX + 1];
    size_t length;
    long status;
    int64_t max_age_s; /* 0: not to be kept */
    bool must_not_be_kept;
};

/* A document that is too large ends the transfer. */
static size_t take_body(char *data, size_t size, size_t count, void *context)
{
    struct answer *answer = context;
    const size_t length = size * count;

    if (length > DID_DOCUMENT_MAX - answer->length) {
        return 0;
    }
    memcpy(answer->body + answer->length, data, length);
    answer->length += length;
    return length;
}

/* One directive of Cache-Control (RFC 9111 5.2.2), without white space around it. */
static void take_directive(struct answer *answer, const char *text, size_t length)
{
    static const char max_age[] = "max-age=";
    const size_t name = strlen(max_age);

    if ((length == strlen("no-store") && strncasecmp(text, "no-store", length) == 0)
        || (length == strlen("no-cache") && strncasecmp(text, "no-cache", length) == 0)) {
        answer->must_not_be_kept = true;
    }
    if (length > name && length < name + 10 && strncasecmp(text, max_age, name) == 0
        && strspn(text + name, "0123456789") >= length - name) {
        answer->max_age_s = strtoll(text + name, NULL, 10);
    }
}

static size_t take_header(char *data, size_t size, size_t count, void *answer)
{
    static const char name[] = "cache-control:";
    char line[256];
    const size_t length = size * count;

    if (length < sizeof(line) && length > strlen(name)
        && strncasecmp(data, name, strlen(name)) == 0) {
        (void)snprintf(line, sizeof(line), "%.*s", (int)(length - strlen(name)),
                       data + strlen(name));
        for (const char *at = line; *at != '\0';) {
            at += strspn(at, ", \t\r\n");
            const size_t directive = strcspn(at, ", \t\r\n");
            take_directive(answer, at, directive);
            at += directive;
        }
    }
    return length;
}

/* The DID's '%' is written as %25, so that it arrives as it is; all else of a DID may stand in a path. */
static void print_url(const char *base, const char *did, char url_out[static URL_SIZE])
{
    struct text url = text_over(url_out, URL_SIZE);

    text_add(&url, base);
    text_add(&url, "/1.0/identifiers/");
    for (const char *at = did; *at != '\0'; at++) {
        text_add_bytes(&url, *at == '%' ? "%25" : at, *at == '%' ? 3 : 1);
    }
}

DEFINE_RELEASE(release_curl, CURL, curl_easy_cleanup)

static void release_headers(struct curl_slist **headers)
{
    curl_slist_free_all(*headers);
}

static bool configure(CURL *curl, const char *url, struct curl_slist *headers,
                      struct answer *answer)
{
    return curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK
        && curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK
        && curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK
        && curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK
        && curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK
        && curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK
        && curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)DID_RESOLVER_DEADLINE_MS) == CURLE_OK
        && curl_easy_setopt(curl, CURLOPT_USERAGENT, "issuerd/" ISSUERD_VERSION) == CURLE_OK
        && curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers) == CURLE_OK
        && curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK
        && curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer) == CURLE_OK
        && curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK
        && curl_easy_setopt(curl, CURLOPT_HEADERDATA, answer) == CURLE_OK;
}

static bool get(const char *url, struct answer *answer, struct error *err)
{
    scoped(release_curl) CURL *curl = curl_easy_init();
    scoped(release_headers) struct curl_slist *headers = curl_slist_append(
        NULL, "Accept: application/did+ld+json, application/did+json, application/json");

    if (curl == NULL || headers == NULL || !configure(curl, url, headers, answer)) {
        return fail(err, ERROR_INTERNAL, "set up a request to the DID resolver");
    }
    const CURLcode result = curl_easy_perform(curl);
    if (result != CURLE_OK) {
        (void)!fail(err, ERROR_RESOLVER_UNAVAILABLE, "the DID resolver did not answer");
        err->cause.library = "curl";
        err->cause.number = (unsigned long)result;
        (void)snprintf(err->cause.text, sizeof(err->cause.text), "%s", curl_easy_strerror(result));
        return false;
    }
    return curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status) == CURLE_OK;
}

/* ---- what an answer says ---- */

static bool fail_answer(struct error *err, const char *what)
{
    return fail(err, ERROR_RESOLVER_UNAVAILABLE, "the DID resolver's answer %s", what);
}

static bool check_status(const struct answer *answer, struct error *err)
{
    switch (answer->status) {
    case 200:
        return true;
    case 404:
        return fail(err, ERROR_INVALID_REQUEST, "there is no such DID");
    case 410:
        return fail(err, ERROR_INVALID_REQUEST, "the DID is deactivated");
    case 400: /* invalidDid */
    case 501: /* methodNotSupported */
        return fail(err, ERROR_INVALID_REQUEST, "the DID resolver knows no such DIDs");
    default:
        return fail(err, ERROR_RESOLVER_UNAVAILABLE, "the DID resolver answered %ld",
                    answer->status);
    }
}

/* A resolution result (DID Resolution 7) has the document inside, and words about it. */
static bool open_result(const cJSON *result, const cJSON **document_out, struct error *err)
{
    const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(result, "didDocumentMetadata");
    const char *error =
        json_text(cJSON_GetObjectItemCaseSensitive(result, "didResolutionMetadata"), "error");

    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(metadata, "deactivated"))) {
        return fail(err, ERROR_INVALID_REQUEST, "the DID is deactivated");
    }
    if (error != NULL && strcasecmp(error, "notFound") == 0) {
        return fail(err, ERROR_INVALID_REQUEST, "there is no such DID");
    }
    *document_out = cJSON_GetObjectItemCaseSensitive(result, "didDocument");
    return (error == NULL && cJSON_IsObject(*document_out)) || fail_answer(err, "has no document");
}

static bool take_document(const struct answer *answer, char **document_out, struct error *err)
{
    scoped(release_cjson) cJSON *body = NULL;
    const cJSON *document = NULL;
    struct error ignored;

    if (!json_parse_object(answer->body, answer->length, &body, &ignored)) {
        return fail_answer(err, "is not a JSON object");
    }
    document = body;
    if (cJSON_GetObjectItemCaseSensitive(body, "didDocument") != NULL
        && !open_result(body, &document, err)) {
        return false;
    }
    char *printed = cJSON_PrintUnformatted(document);
    if (printed == NULL) {
        abort();
    }
    *document_out = xstrdup(printed);
    cJSON_free(printed);
    return true;
}

/* ---- all of it ---- */

static bool begin_fetch(struct did_resolver *self, struct error *err)
{
    pthread_mutex_lock(&self->lock);
    const bool may = self->fetches < DID_RESOLVER_FETCHES_MAX;
    self->fetches += may;
    pthread_mutex_unlock(&self->lock);
    return may
        || fail(err, ERROR_RESOLVER_UNAVAILABLE, "%d DIDs are being resolved already",
                DID_RESOLVER_FETCHES_MAX);
}

static void end_fetch(struct did_resolver *self)
{
    pthread_mutex_lock(&self->lock);
    self->fetches--;
    pthread_mutex_unlock(&self->lock);
}

static bool fetch(struct did_resolver *self, const char *did, int64_t now_ns, char **document_out,
                  struct error *err)
{
    scoped(release_memory) struct answer *answer = xcalloc(1, sizeof(*answer));
    char url[URL_SIZE];

    print_url(self->url, did, url);
    if (!get(url, answer, err) || !check_status(answer, err)
        || !take_document(answer, document_out, err)) {
        return false;
    }
    if (answer->max_age_s > 0 && !answer->must_not_be_kept) {
        remember(self, did, *document_out, now_ns,
                 answer->max_age_s < DID_RESOLVER_MAX_AGE_S ? answer->max_age_s
                                                            : DID_RESOLVER_MAX_AGE_S);
    }
    return true;
}

bool did_resolver_fetch(struct did_resolver *resolver, const char *did, int64_t now_ns,
                        char **document_out, struct error *err)
{
    *document_out = recall(resolver, did, now_ns);
    if (*document_out != NULL) {
        return true;
    }
    if (!begin_fetch(resolver, err)) {
        return false;
    }
    const bool fetched = fetch(resolver, did, now_ns, document_out, err);
    end_fetch(resolver);
    return fetched;
}

static void initialize_curl(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        abort();
    }
}

struct did_resolver *did_resolver_new(const char *url)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct did_resolver *self = xcalloc(1, sizeof(*self));

    (void)pthread_once(&once, initialize_curl);
    self->url = url;
    pthread_mutex_init(&self->lock, NULL);
    return self;
}

void did_resolver_free(struct did_resolver *resolver)
{
    if (resolver == NULL) {
        return;
    }
    while (resolver->cache != NULL) {
        drop_last(resolver);
    }
    pthread_mutex_destroy(&resolver->lock);
    free(resolver);
}

#include "vc/document_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "vc/did_resolver.h"

enum { DELTA_DIGITS_MAX = 9, DELTA_MAX = 999999999 };

/* ---- how long an answer may be kept ---- */

int64_t delta_seconds(const char *text, size_t length)
{
    int64_t seconds = 0;

    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        seconds = i < DELTA_DIGITS_MAX ? seconds * 10 + (text[i] - '0') : DELTA_MAX;
    }
    return length > 0 ? seconds : -1;
}

/* True for a directive of that name, with or without an argument. */
static bool is_directive(const char *directive, size_t length, const char *name)
{
    const size_t name_length = strlen(name);

    return length >= name_length && strncasecmp(directive, name, name_length) == 0
        && (length == name_length || directive[name_length] == '=');
}

static void read_max_age(struct freshness *freshness, const char *text, size_t length)
{
    const int64_t stated = delta_seconds(text, length);
    const int64_t seconds = stated < DID_RESOLVER_MAX_AGE_S ? stated : DID_RESOLVER_MAX_AGE_S;

    if (stated < 0) {
        freshness->is_forbidden = true;
    }
    if (!freshness->is_stated || seconds < freshness->max_age_s) {
        freshness->max_age_s = seconds;
    }
    freshness->is_stated = true;
}

static void read_directive(struct freshness *freshness, const char *directive, size_t length)
{
    static const char max_age[] = "max-age";
    const size_t before = sizeof(max_age); /* with its '=' */

    if (is_directive(directive, length, "no-store")
        || is_directive(directive, length, "no-cache")) {
        freshness->is_forbidden = true;
    } else if (is_directive(directive, length, max_age)) {
        read_max_age(freshness, directive + (length < before ? length : before),
                     length < before ? 0 : length - before);
    }
}

/* Quoted arguments are not looked for: none of these directives takes one, and what stands in
 * another's is the resolver's word too. */
void freshness_read(struct freshness *freshness, const char *cache_control)
{
    for (const char *at = cache_control; *at != '\0';) {
        at += strspn(at, ", \t");
        size_t length = strcspn(at, ",");
        const char *next = at + length;
        while (length > 0 && (at[length - 1] == ' ' || at[length - 1] == '\t')) {
            length--;
        }
        read_directive(freshness, at, length);
        at = next;
    }
    if (freshness->is_forbidden) {
        freshness->max_age_s = 0;
    }
}

/* ---- the cache ---- */

struct kept {
    char *did; /* NULL: a free place */
    char *document;
    int64_t until_ns;
    uint64_t used; /* when, by the cache's count of uses */
};

struct document_cache {
    pthread_mutex_t lock;
    uint64_t uses;
    struct kept places[DID_RESOLVER_CACHED_MAX];
};

struct document_cache *document_cache_new(void)
{
    struct document_cache *self = xcalloc(1, sizeof(*self));
    pthread_mutex_init(&self->lock, NULL);
    return self;
}

static void empty(struct kept *kept)
{
    free(kept->did);
    free(kept->document);
    *kept = (struct kept){ .did = NULL };
}

void document_cache_free(struct document_cache *self)
{
    for (size_t i = 0; i < COUNT_OF(self->places); i++) {
        empty(&self->places[i]);
    }
    pthread_mutex_destroy(&self->lock);
    free(self);
}

static struct kept *find(struct document_cache *self, const char *did)
{
    for (size_t i = 0; i < COUNT_OF(self->places); i++) {
        if (self->places[i].did != NULL && strcmp(self->places[i].did, did) == 0) {
            return &self->places[i];
        }
    }
    return NULL;
}

char *document_cache_find(struct document_cache *self, const char *did, int64_t now_ns)
{
    char *document = NULL;

    pthread_mutex_lock(&self->lock);
    struct kept *kept = find(self, did);
    if (kept != NULL && kept->until_ns > now_ns) {
        kept->used = ++self->uses;
        document = xstrdup(kept->document);
    }
    pthread_mutex_unlock(&self->lock);
    return document;
}

/* Free places and stale documents come before the least recently used. */
static struct kept *find_place(struct document_cache *self, int64_t now_ns)
{
    struct kept *oldest = &self->places[0];

    for (size_t i = 0; i < COUNT_OF(self->places); i++) {
        struct kept *one = &self->places[i];
        if (one->did == NULL || one->until_ns <= now_ns) {
            return one;
        }
        if (one->used < oldest->used) {
            oldest = one;
        }
    }
    return oldest;
}

void document_cache_keep(struct document_cache *self, const char *did, const char *document,
                         int64_t now_ns, int64_t until_ns)
{
    pthread_mutex_lock(&self->lock);
    struct kept *place = find(self, did);
    if (place == NULL) {
        place = find_place(self, now_ns);
    }
    empty(place);
    *place = (struct kept){ .did = xstrdup(did),
                            .document = xstrdup(document),
                            .until_ns = until_ns,
                            .used = ++self->uses };
    pthread_mutex_unlock(&self->lock);
}

/*
 * DID documents kept for as long as their resolver allows (RFC 9111), at most
 * DID_RESOLVER_CACHED_MAX. What is stale is never handed out.
 *
 * Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the Cache-Control lines of an answer say together. Begins as all zero. */
struct freshness {
    int64_t max_age_s; /* the shortest, at most DID_RESOLVER_MAX_AGE_S; 0: not to be kept */
    bool is_stated;
    bool is_forbidden;
};

/* Reads one more line. A max-age that is not a plain number, no-store and no-cache forbid. */
void freshness_read(struct freshness *freshness, const char *cache_control);

/* A number of seconds (RFC 9111 1.2.2), those of more than nine digits as the largest of nine;
 * -1: it is none. */
int64_t delta_seconds(const char *text, size_t length);

struct document_cache;

struct document_cache *document_cache_new(void);
void document_cache_free(struct document_cache *cache);

/* A copy of the document, which the caller frees; NULL: there is none that is fresh at `now_ns`. */
char *document_cache_find(struct document_cache *cache, const char *did, int64_t now_ns);

/* Keeps a copy until `until_ns`, in the place of the DID's last one, of a stale one, or of the least
 * recently used. */
void document_cache_keep(struct document_cache *cache, const char *did, const char *document,
                         int64_t now_ns, int64_t until_ns);

/* What is kept of a resolver's answers, and for how long. */
#include "vc/document_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "support/run.h"
#include "vc/did_resolver.h"

static struct {
    struct document_cache *cache;
    char did[32];
} fixture;

static void set_up(void)
{
    fixture.cache = document_cache_new();
}

static void tear_down(void)
{
    document_cache_free(take(fixture.cache));
}

static const char *did_number(int number)
{
    (void)snprintf(fixture.did, sizeof(fixture.did), "did:test:%d", number);
    return fixture.did;
}

static bool holds(const char *did, int64_t now_ns, const char *document)
{
    scoped(release_memory) char *found = document_cache_find(fixture.cache, did, now_ns);
    return found != NULL && strcmp(found, document) == 0;
}

static bool has(const char *did, int64_t now_ns)
{
    scoped(release_memory) char *found = document_cache_find(fixture.cache, did, now_ns);
    return found != NULL;
}

static void fill(int64_t until_ns)
{
    for (int i = 0; i < DID_RESOLVER_CACHED_MAX; i++) {
        document_cache_keep(fixture.cache, did_number(i), "{}", 0, until_ns);
    }
}

/* ---- the cache ---- */

static void test_document_is_found_while_it_is_fresh(void)
{
    document_cache_keep(fixture.cache, "did:test:a", "{\"a\":1}", 0, 10);
    CU_ASSERT_TRUE(holds("did:test:a", 0, "{\"a\":1}"));
    CU_ASSERT_TRUE(holds("did:test:a", 9, "{\"a\":1}"));
    CU_ASSERT_FALSE(has("did:test:a", 10));
    CU_ASSERT_FALSE(has("did:test:b", 0));
    CU_ASSERT_FALSE(has("did:test:A", 0));
}

static void test_newer_document_takes_the_older_ones_place(void)
{
    fill(10);
    document_cache_keep(fixture.cache, "did:test:7", "{\"new\":1}", 5, 20);
    CU_ASSERT_TRUE(holds("did:test:7", 15, "{\"new\":1}"));
    for (int i = 0; i < DID_RESOLVER_CACHED_MAX; i++) {
        CU_ASSERT_TRUE(has(did_number(i), 9));
    }
}

static void test_least_recently_used_goes_first(void)
{
    fill(10);
    CU_ASSERT_TRUE(has("did:test:0", 1));
    document_cache_keep(fixture.cache, "did:test:new", "{}", 1, 10);
    CU_ASSERT_FALSE(has("did:test:1", 1));
    CU_ASSERT_TRUE(has("did:test:new", 1));
    for (int i = 0; i < DID_RESOLVER_CACHED_MAX; i++) {
        CU_ASSERT_TRUE(i == 1 || has(did_number(i), 1));
    }
}

static void test_stale_document_goes_before_all_others(void)
{
    fill(10);
    document_cache_keep(fixture.cache, "did:test:200", "{}", 0, 5); /* used last */
    document_cache_keep(fixture.cache, "did:test:new", "{}", 5, 10);
    for (int i = 0; i < DID_RESOLVER_CACHED_MAX; i++) {
        CU_ASSERT_EQUAL(has(did_number(i), 5), i != 200);
    }
}

/* ---- how long ---- */

static int64_t max_age(const char *first, const char *second)
{
    struct freshness freshness = { .max_age_s = 0 };
    freshness_read(&freshness, first);
    freshness_read(&freshness, second);
    return freshness.max_age_s;
}

static void test_max_age_is_found_among_directives(void)
{
    CU_ASSERT_EQUAL(max_age("max-age=60", ""), 60);
    CU_ASSERT_EQUAL(max_age("", "max-age=60"), 60);
    CU_ASSERT_EQUAL(max_age("public,max-age=60,must-revalidate", ""), 60);
    CU_ASSERT_EQUAL(max_age(" ,, private\t,\t Max-Age=60 , x", ""), 60);
    CU_ASSERT_EQUAL(max_age("s-maxage=1, max-age=60", ""), 60);
    CU_ASSERT_EQUAL(max_age("max-age=00060", ""), 60);
    CU_ASSERT_EQUAL(max_age("max-age=0", ""), 0);
}

static void test_shortest_max_age_counts(void)
{
    CU_ASSERT_EQUAL(max_age("max-age=60, max-age=30", ""), 30);
    CU_ASSERT_EQUAL(max_age("max-age=30", "max-age=60"), 30);
}

static void test_max_age_is_at_most_an_hour(void)
{
    CU_ASSERT_EQUAL(max_age("max-age=3600", ""), 3600);
    CU_ASSERT_EQUAL(max_age("max-age=3601", ""), DID_RESOLVER_MAX_AGE_S);
    CU_ASSERT_EQUAL(max_age("max-age=99999999999999999999999999", ""), DID_RESOLVER_MAX_AGE_S);
}

static void test_without_a_max_age_nothing_is_kept(void)
{
    CU_ASSERT_EQUAL(max_age("", ""), 0);
    CU_ASSERT_EQUAL(max_age("public", ""), 0);
    CU_ASSERT_EQUAL(max_age("s-maxage=60", ""), 0);
    CU_ASSERT_EQUAL(max_age("xmax-age=60", ""), 0);
    CU_ASSERT_EQUAL(max_age("max-ages=60", ""), 0);
}

static void test_no_store_and_no_cache_forbid(void)
{
    CU_ASSERT_EQUAL(max_age("max-age=60, no-store", ""), 0);
    CU_ASSERT_EQUAL(max_age("No-Cache", "max-age=60"), 0);
    CU_ASSERT_EQUAL(max_age("max-age=60", "no-cache=\"Set-Cookie\""), 0);
    CU_ASSERT_EQUAL(max_age("no-storage, max-age=60", ""), 60);
}

static void test_max_age_that_is_no_number_forbids(void)
{
    static const char *const lines[] = {
        "max-age",     "max-age=",     "max-age=-1",     "max-age=+60",
        "max-age=6 0", "max-age= 60",  "max-age=\"60\"", "max-age=60s",
        "max-age=1e3", "max-age=0x10", "max-age=60;60",
    };

    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        CU_ASSERT_EQUAL(max_age(lines[i], ""), 0);
        CU_ASSERT_EQUAL(max_age(lines[i], "max-age=60"), 0);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a document is found while it is fresh", test_document_is_found_while_it_is_fresh },
        { "a newer document takes the older one's place",
          test_newer_document_takes_the_older_ones_place },
        { "the least recently used goes first", test_least_recently_used_goes_first },
        { "a stale document goes before all others", test_stale_document_goes_before_all_others },
        { "max-age is found among directives", test_max_age_is_found_among_directives },
        { "the shortest max-age counts", test_shortest_max_age_counts },
        { "max-age is at most an hour", test_max_age_is_at_most_an_hour },
        { "without a max-age nothing is kept", test_without_a_max_age_nothing_is_kept },
        { "no-store and no-cache forbid", test_no_store_and_no_cache_forbid },
        { "a max-age that is no number forbids", test_max_age_that_is_no_number_forbids },
        CU_TEST_INFO_NULL,
    };
    return run_suite("document cache", set_up, tear_down, tests);
}

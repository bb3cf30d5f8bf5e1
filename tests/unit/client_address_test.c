#include "http/client_address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "support/run.h"

static struct trusted_proxies proxies;

static void set_up(void)
{
    proxies = (struct trusted_proxies){ .count = 2 };
    CU_ASSERT_TRUE_FATAL(address_prefix_parse("10.0.0.0/8", &proxies.prefixes[0]));
    CU_ASSERT_TRUE_FATAL(address_prefix_parse("2001:db8::/32", &proxies.prefixes[1]));
}

/* The client's address as a text, of a request from `peer`. */
static const char *client(const char *peer, const char *header)
{
    static char text[INET6_ADDRSTRLEN];
    struct in6_addr from;

    CU_ASSERT_TRUE_FATAL(address_parse(peer, strlen(peer), &from));
    const struct in6_addr found = client_address(&proxies, &from, header);
    if (IN6_IS_ADDR_V4MAPPED(&found)) {
        (void)inet_ntop(AF_INET, &found.s6_addr[12], text, sizeof(text));
    } else {
        (void)inet_ntop(AF_INET6, &found, text, sizeof(text));
    }
    return text;
}

static void expect(const char *peer, const char *header, const char *wanted)
{
    const char *found = client(peer, header);

    if (strcmp(found, wanted) != 0) {
        fprintf(stderr, "from %s with \"%s\": %s, not %s\n", peer, header, found, wanted);
        CU_FAIL("another client");
    }
}

static void test_a_stranger_speaks_for_nobody(void)
{
    expect("192.0.2.7", "198.51.100.1", "192.0.2.7");
    expect("192.0.2.7", NULL, "192.0.2.7");
    proxies.count = 0;
    expect("10.0.0.1", "198.51.100.1", "10.0.0.1");
    expect("::", "198.51.100.1", "::");
}

static void test_a_proxy_speaks_for_the_last_that_is_none(void)
{
    expect("10.0.0.1", "198.51.100.1", "198.51.100.1");
    expect("10.0.0.1", "203.0.113.9, 198.51.100.1",
           "198.51.100.1"); /* the first is the client's word */
    expect("10.0.0.1", "203.0.113.9,198.51.100.1 , 10.1.1.1", "198.51.100.1");
    expect("2001:db8::1", "10.2.2.2", "10.2.2.2");
    expect("10.0.0.1", "", "10.0.0.1");
    expect("::", "198.51.100.1", "198.51.100.1"); /* a Unix socket */
}

static void test_addresses_are_read_as_proxies_write_them(void)
{
    expect("10.0.0.1", "198.51.100.1:4711", "198.51.100.1");
    expect("10.0.0.1", "2001:db9::7", "2001:db9::7");
    expect("10.0.0.1", "[2001:db9::7]", "2001:db9::7");
    expect("10.0.0.1", "[2001:db9::7]:4711", "2001:db9::7");
}

static void test_what_is_no_address_ends_the_walk(void)
{
    static const char *const bad[] = { "unknown",
                                       "_hidden",
                                       "198.51.100.1, x",
                                       "a, ,",
                                       "[2001:db9::7",
                                       "198.51.100.1, 10.1.1.1, 300.1.1.1",
                                       ":",
                                       "]" };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        expect("10.0.0.1", bad[i], "10.0.0.1");
    }
    expect("10.0.0.1", "unknown, 10.9.9.9", "10.9.9.9");
}

static void test_forwarded_is_read_where_it_is_configured(void)
{
    proxies.by_rfc7239 = true;
    expect("10.0.0.1", "for=198.51.100.1", "198.51.100.1");
    expect("10.0.0.1", "for=192.0.2.43, for=198.51.100.17;by=10.0.0.1;proto=https",
           "198.51.100.17");
    expect("10.0.0.1", "For=\"[2001:db9:cafe::17]:4711\"", "2001:db9:cafe::17");
    expect("10.0.0.1", "proto=http; for = 198.51.100.1", "10.0.0.1");
    expect("10.0.0.1", "proto=http;FOR=\"198.51.100.1:80\"", "198.51.100.1");
    expect("10.0.0.1", "for=198.51.100.1;host=\"a,b\"", "198.51.100.1");
    expect("10.0.0.1", "for=198.51.100.1:80;;", "198.51.100.1");
    expect("10.0.0.1", "for=[2001:db9::7]:80 ; by=_x", "2001:db9::7");
    expect("10.0.0.1", "for=_secret", "10.0.0.1");
    expect("10.0.0.1", "198.51.100.1", "10.0.0.1");
}

/* A proxy that passes the Host header on, in quotes or without. */
static void test_a_host_is_no_parameter_of_its_own(void)
{
    proxies.by_rfc7239 = true;
    expect("10.0.0.1", "host=\"x;for=203.0.113.9;y\";for=198.51.100.1", "198.51.100.1");
    expect("10.0.0.1", "for=198.51.100.1;host=\"x,for=203.0.113.9\"", "198.51.100.1");
    expect("10.0.0.1", "host=\"\\\"x;for=203.0.113.9\";for=198.51.100.1", "198.51.100.1");
    expect("10.0.0.1", "host=x;for=203.0.113.9;for=198.51.100.1", "10.0.0.1");
    expect("10.0.0.1", "for=198.51.100.1;host=\"a\\\",for=203.0.113.9;x=\\\"b\"", "10.0.0.1");
}

/* A client that opens a quote, before what a proxy adds. */
static void test_a_quote_of_the_client_hides_no_hop(void)
{
    proxies.by_rfc7239 = true;
    expect("10.0.0.1", "for=203.0.113.9;x=\", for=198.51.100.1", "198.51.100.1");
    expect("10.0.0.1", "for=203.0.113.9;x=\",for=\"[2001:db9::7]:80\"", "2001:db9::7");
    expect("10.0.0.1", "for=203.0.113.9;x=\"\\,for=198.51.100.1", "198.51.100.1");
}

static void test_a_malformed_hop_ends_the_walk(void)
{
    static const char *const bad[] = {
        "for",
        "for=",
        "for=\"\"",
        "for=\"",
        "for=\"198.51.100.1",
        "for=198.51.100.1\"",
        "for=198.51.100.1\"\"",
        "for=\"198.51.100.1\"x",
        "for=198.51.100.1 x",
        "for= 198.51.100.1",
        "=198.51.100.1",
        "for=198.51.100.1;for=198.51.100.1",
        "for=198.51.100.1;x",
        "for=198.51.100.1;x=",
        "f(r=1;for=198.51.100.1",
        "by=198.51.100.1",
    };

    proxies.by_rfc7239 = true;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char header[128];
        expect("10.0.0.1", bad[i], "10.0.0.1");
        (void)snprintf(header, sizeof(header), "for=203.0.113.9, %s, for=10.9.9.9", bad[i]);
        expect("10.0.0.1", header, "10.9.9.9");
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a stranger speaks for nobody", test_a_stranger_speaks_for_nobody },
        { "a proxy speaks for the last that is none",
          test_a_proxy_speaks_for_the_last_that_is_none },
        { "addresses are read as proxies write them",
          test_addresses_are_read_as_proxies_write_them },
        { "what is no address ends the walk", test_what_is_no_address_ends_the_walk },
        { "Forwarded is read where it is configured",
          test_forwarded_is_read_where_it_is_configured },
        { "a host is no parameter of its own", test_a_host_is_no_parameter_of_its_own },
        { "a quote of the client hides no hop", test_a_quote_of_the_client_hides_no_hop },
        { "a malformed hop ends the walk", test_a_malformed_hop_ends_the_walk },
        CU_TEST_INFO_NULL,
    };
    return run_suite("client address", set_up, NULL, tests);
}

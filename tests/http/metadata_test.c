/* The documents about the issuer that anyone may read: OAuth metadata, the DID document. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/memory.h"
#include "support/api.h"
#include "support/run.h"

#define JWKS_PATH "/.well-known/jwks.json"
#define DID_PATH "/.well-known/did.json"
#define ISSUER_PATH "/.well-known/openid-credential-issuer"
#define OPENAPI_PATH "/openapi.json"
#define OAUTH_PATH "/.well-known/oauth-authorization-server"

static struct {
    struct instance *instance;
    struct http_client *client;
    cJSON *json;
    cJSON *jwks;
} fixture;

static void connect_public(void)
{
    fixture.client = http_connect(instance_public_port(fixture.instance));
}

static void close_public(void)
{
    http_close(take(fixture.client));
    cJSON_Delete(take(fixture.json));
    cJSON_Delete(take(fixture.jwks));
}

static const cJSON *get_document(const char *path)
{
    const struct http_reply *reply = http_get(fixture.client, path);

    CU_ASSERT_EQUAL(reply->status, 200);
    cJSON_Delete(fixture.json);
    fixture.json = cJSON_ParseWithLength(reply->body, reply->body_length);
    return fixture.json;
}

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static const char *text_member(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(member(object, name));
    return text != NULL ? text : "";
}

static bool is_list(const cJSON *list, const char *printed)
{
    cJSON *wanted = cJSON_Parse(printed);
    const bool equal = list != NULL && cJSON_Compare(list, wanted, true);
    cJSON_Delete(wanted);
    return equal;
}

/* ---- metadata ---- */

static void test_issuer_metadata_lists_algorithms_of_proofs(void)
{
    const cJSON *types = member(get_document(ISSUER_PATH), "proof_types_supported");

    CU_ASSERT_EQUAL(cJSON_GetArraySize(types), 1);
    CU_ASSERT_TRUE(is_list(member(member(types, "jwt"), "proof_signing_alg_values_supported"),
                           "[\"ES256\",\"ES384\",\"ES256K\",\"Ed25519\",\"EdDSA\"]"));
}

static void test_oauth_metadata_names_what_there_is(void)
{
    const cJSON *metadata = get_document(OAUTH_PATH);

    CU_ASSERT_EQUAL(cJSON_GetArraySize(metadata), 7);
    CU_ASSERT_STRING_EQUAL(text_member(metadata, "issuer"), "https://issuer.example");
    CU_ASSERT_STRING_EQUAL(text_member(metadata, "token_endpoint"),
                           "https://issuer.example/api/v1/tokens");
    CU_ASSERT_STRING_EQUAL(text_member(metadata, "jwks_uri"),
                           "https://issuer.example/.well-known/jwks.json");
    CU_ASSERT_STRING_EQUAL(text_member(metadata, "issuerd_revoked_tokens_uri"),
                           "https://issuer.example/api/v1/tokens/revoked");
    CU_ASSERT_TRUE(is_list(member(metadata, "response_types_supported"), "[\"code\"]"));
    CU_ASSERT_TRUE(is_list(member(metadata, "grant_types_supported"), "[\"authorization_code\"]"));
    CU_ASSERT_TRUE(
        is_list(member(metadata, "token_endpoint_auth_methods_supported"), "[\"none\"]"));
}

static void assert_cached(const char *path, const char *type)
{
    char headers[160];
    const struct http_reply *reply = http_get(fixture.client, path);

    CU_ASSERT_EQUAL(reply->status, 200);
    CU_ASSERT_STRING_EQUAL(http_header(reply, "Content-Type"), type);
    CU_ASSERT_STRING_EQUAL(http_header(reply, "Cache-Control"), "public, max-age=300");
    (void)snprintf(headers, sizeof(headers), "If-None-Match: %s\r\n", http_header(reply, "ETag"));
    CU_ASSERT_EQUAL(http_request(fixture.client, "GET", path, headers, NULL)->status, 304);
    CU_ASSERT_EQUAL(
        http_request(fixture.client, "GET", path, "If-None-Match: \"other\"\r\n", NULL)->status,
        200);
}

static void test_documents_are_cached_by_their_tag(void)
{
    assert_cached(ISSUER_PATH, "application/json");
    assert_cached(OAUTH_PATH, "application/json");
    assert_cached(DID_PATH, "application/did+json");
    assert_cached(OPENAPI_PATH, "application/json");
}

static void test_api_document_is_the_same_on_both_ports(void)
{
    char tag[128];
    const struct http_reply *reply = http_get(fixture.client, OPENAPI_PATH);

    CU_ASSERT_EQUAL(reply->status, 200);
    (void)snprintf(tag, sizeof(tag), "%s", http_header(reply, "ETag"));
    http_close(fixture.client);
    fixture.client = http_connect(instance_admin_port(fixture.instance));
    CU_ASSERT_STRING_EQUAL(text_member(get_document(OPENAPI_PATH), "openapi"), "3.1.0");
    CU_ASSERT_STRING_EQUAL(http_header(http_get(fixture.client, OPENAPI_PATH), "ETag"), tag);
}

static void test_documents_are_not_on_the_admin_port(void)
{
    http_close(fixture.client);
    fixture.client = http_connect(instance_admin_port(fixture.instance));
    CU_ASSERT_TRUE(
        is_error_reply(http_get(fixture.client, OAUTH_PATH), 404, API_NO_ROUTE, "GET", OAUTH_PATH));
    CU_ASSERT_TRUE(
        is_error_reply(http_get(fixture.client, DID_PATH), 404, API_NO_ROUTE, "GET", DID_PATH));
}

/* ---- did:web ---- */

static void test_did_document_holds_the_key_that_signs(void)
{
    const struct http_reply *reply = http_get(fixture.client, JWKS_PATH);
    fixture.jwks = cJSON_ParseWithLength(reply->body, reply->body_length);
    const cJSON *key = cJSON_GetArrayItem(member(fixture.jwks, "keys"), 0);
    const cJSON *document = get_document(DID_PATH);
    const cJSON *methods = member(document, "verificationMethod");
    const cJSON *method = cJSON_GetArrayItem(methods, 0);
    char id[160];

    (void)snprintf(id, sizeof(id), "did:web:issuer.example#%s", text_member(key, "kid"));
    CU_ASSERT_STRING_EQUAL(text_member(document, "id"), "did:web:issuer.example");
    CU_ASSERT_EQUAL(cJSON_GetArraySize(methods), 1);
    CU_ASSERT_STRING_EQUAL(text_member(method, "id"), id);
    CU_ASSERT_STRING_EQUAL(text_member(method, "type"), "JsonWebKey");
    CU_ASSERT_STRING_EQUAL(text_member(method, "controller"), "did:web:issuer.example");
    CU_ASSERT_TRUE(cJSON_Compare(member(method, "publicKeyJwk"), key, true));
    CU_ASSERT_EQUAL(cJSON_GetArraySize(member(document, "assertionMethod")), 1);
    CU_ASSERT_STRING_EQUAL(
        cJSON_GetStringValue(cJSON_GetArrayItem(member(document, "assertionMethod"), 0)), id);
}

/* ---- other issuers ---- */

static struct instance *other; /* the test's own server */

static void end_other(void)
{
    close_public();
    instance_free(take(other));
}

static void serve_issuer(const char *setting)
{
    const char *const settings[] = { "issuer.environment=development", setting, NULL };

    other = instance_new(settings);
    CU_ASSERT_TRUE_FATAL(instance_start(other));
    fixture.client = http_connect(instance_public_port(other));
}

static void assert_no_did(const char *setting)
{
    serve_issuer(setting);
    CU_ASSERT_TRUE(
        is_error_reply(http_get(fixture.client, DID_PATH), 404, API_NO_ROUTE, "GET", DID_PATH));
    CU_ASSERT_EQUAL(http_get(fixture.client, OAUTH_PATH)->status, 200);
}

static void test_port_of_the_issuer_is_in_its_did(void)
{
    serve_issuer("issuer.url=https://issuer.example:8443");
    CU_ASSERT_STRING_EQUAL(text_member(get_document(DID_PATH), "id"),
                           "did:web:issuer.example%3A8443");
}

static void test_issuer_without_tls_has_no_did(void)
{
    assert_no_did("issuer.url=http://issuer.example");
}

static void test_issuer_with_a_path_has_no_did(void)
{
    assert_no_did("issuer.url=https://issuer.example/tenant");
}

static void test_issuer_at_an_ipv4_address_has_no_did(void)
{
    assert_no_did("issuer.url=https://192.0.2.1");
}

static void test_issuer_at_an_ipv6_address_has_no_did(void)
{
    assert_no_did("issuer.url=https://[2001:db8::1]:8443");
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "issuer metadata lists the algorithms of proofs",
          test_issuer_metadata_lists_algorithms_of_proofs },
        { "OAuth metadata names what there is", test_oauth_metadata_names_what_there_is },
        { "documents are cached by their tag", test_documents_are_cached_by_their_tag },
        { "the API's document is the same on both ports",
          test_api_document_is_the_same_on_both_ports },
        { "documents are not on the admin port", test_documents_are_not_on_the_admin_port },
        { "the DID document holds the key that signs", test_did_document_holds_the_key_that_signs },
        CU_TEST_INFO_NULL,
    };
    CU_TestInfo other_tests[] = {
        { "the port of the issuer is in its DID", test_port_of_the_issuer_is_in_its_did },
        { "an issuer without TLS has no DID", test_issuer_without_tls_has_no_did },
        { "an issuer with a path has no DID", test_issuer_with_a_path_has_no_did },
        { "an issuer at an IPv4 address has no DID", test_issuer_at_an_ipv4_address_has_no_did },
        { "an issuer at an IPv6 address has no DID", test_issuer_at_an_ipv6_address_has_no_did },
        CU_TEST_INFO_NULL,
    };

    fixture.instance = instance_new(NULL);
    if (!instance_start(fixture.instance)) {
        return 1;
    }
    int failed = run_suite("metadata", connect_public, close_public, tests);
    const int status = instance_stop(fixture.instance, 30);
    instance_free(fixture.instance);
    failed |= run_suite("metadata of other issuers", NULL, end_other, other_tests);
    return failed != 0 || status != 0;
}

#include "ctl/wallet.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <cjson/cJSON.h>
#include <openssl/evp.h>

#include "base/base64url.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/memory.h"
#include "base/text.h"
#include "ctl/ctl.h"
#include "ctl/http_client.h"
#include "ctl/wallet_vp.h"
#include "jose/json.h"
#include "jose/jwt.h"

enum {
    URL_MAX = 1024,
    INPUT_MAX = 60 * 1024, /* a definition, a credential */
    BODY_MAX = JWT_MAX + 16 * 1024,
    RANDOM_SIZE = BASE64URL_LENGTH(32) + 1,
    CODE_MIN = 32,
    CODE_MAX = 128,
};

DEFINE_RELEASE(release_http, struct http_client, http_client_free)
DEFINE_RELEASE(release_key, EVP_PKEY, EVP_PKEY_free)

/* ---- options ---- */

enum {
    OPTION_ALG = 768,
    OPTION_DID,
    OPTION_KEY,
    OPTION_DEFINITION,
    OPTION_CREDENTIAL,
    OPTION_TOKEN_FILE,
};

static bool is_algorithm(const char *name)
{
    scoped(release_key) EVP_PKEY *key = wallet_key_new(name);
    return key != NULL;
}

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct wallet_options *options = state->input;

    switch (key) {
    case OPTION_ALG:
        options->algorithm = value;
        if (!is_algorithm(value)) {
            argp_error(state, "--alg: " WALLET_ALGORITHM_NAMES);
        }
        return 0;
    case OPTION_DID:
        options->did = strcmp(value, "jwk") == 0 ? WALLET_DID_JWK : WALLET_DID_KEY;
        if (options->did == WALLET_DID_KEY && strcmp(value, "key") != 0) {
            argp_error(state, "--did: key or jwk");
        }
        return 0;
    case OPTION_KEY:
        options->key_file = value;
        return 0;
    case OPTION_DEFINITION:
        options->definition_file = value;
        return 0;
    case OPTION_CREDENTIAL:
        if (options->credential_count == WALLET_CREDENTIALS_MAX) {
            argp_error(state, "--credential: at most %d", WALLET_CREDENTIALS_MAX);
        }
        options->credential_files[options->credential_count++] = value;
        return 0;
    case OPTION_TOKEN_FILE:
        options->token_file = value;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option argp_options[] = {
    { "alg", OPTION_ALG, "ALG", 0,
      "What the holder signs with: " WALLET_ALGORITHM_NAMES " (default: ES256)", 0 },
    { "did", OPTION_DID, "METHOD", 0, "The holder's DID: key or jwk (default: key)", 0 },
    { "key", OPTION_KEY, "FILE", 0,
      "The holder's private key in PEM (default: a new one, which is forgotten)", 0 },
    { "definition", OPTION_DEFINITION, "FILE", 0, "Ask with this presentation definition", 0 },
    { "credential", OPTION_CREDENTIAL, "FILE", 0,
      "Present this JWT credential; the first for the definition's first input descriptor, and so "
      "on",
      0 },
    { "token-file", OPTION_TOKEN_FILE, "FILE", 0,
      "Where the token is written to; a new file, readable by you alone (default: nowhere)", 0 },
    { .name = NULL },
};

const struct argp wallet_argp = { .options = argp_options, .parser = parse_option };

/* ---- the wallet ---- */

struct wallet {
    const struct wallet_options *options;
    struct http_client *http;
    EVP_PKEY *key;
    struct wallet_did holder;
    char *definition_text; /* NULL: none */
    cJSON *definition;
    char *credentials[WALLET_CREDENTIALS_MAX];
    /* what the server said */
    char issuer[URL_MAX + 1];
    char authorize_path[URL_MAX + 1]; /* below the URL, as is the next */
    char token_path[URL_MAX + 1];
    char id[AUTHORIZATION_ID_LENGTH + 1];
    char state[RANDOM_SIZE];
    char nonce[RANDOM_SIZE];
    char code[CODE_MAX + 1];
    cJSON *token; /* the answer that has it */
};

static void wallet_clear(struct wallet *wallet)
{
    release_http(&wallet->http);
    release_key(&wallet->key);
    cJSON_Delete(wallet->definition);
    free(wallet->definition_text);
    for (size_t i = 0; i < WALLET_CREDENTIALS_MAX; i++) {
        free(wallet->credentials[i]);
    }
    cJSON_Delete(wallet->token);
    explicit_bzero(wallet->code, sizeof(wallet->code));
}

/* A step, for people. */
__attribute__((format(printf, 2, 3))) static void tell(const struct wallet *wallet,
                                                       const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (!wallet->options->json) {
        (void)vprintf(format, args);
        (void)fflush(stdout);
    }
    va_end(args);
}

/* ---- what it brings along ---- */

static bool open_key(struct wallet *wallet, struct error *err)
{
    const struct wallet_options *options = wallet->options;

    if (options->key_file == NULL) {
        wallet->key = wallet_key_new(options->algorithm != NULL ? options->algorithm : "ES256");
    } else if (!wallet_key_read(options->key_file, &wallet->key, err)) {
        return false;
    }
    if (options->algorithm != NULL
        && strcmp(options->algorithm, wallet_key_algorithm(wallet->key)) != 0) {
        return fail(err, ERROR_INVALID_REQUEST, "%s is a key for %s, not for %s", options->key_file,
                    wallet_key_algorithm(wallet->key), options->algorithm);
    }
    return wallet_did_of(wallet->key, options->did, &wallet->holder, err);
}

static size_t descriptor_count(const struct wallet *wallet)
{
    return (size_t)cJSON_GetArraySize(
        cJSON_GetObjectItemCaseSensitive(wallet->definition, "input_descriptors"));
}

static bool read_definition(struct wallet *wallet, struct error *err)
{
    const char *path = wallet->options->definition_file;
    size_t length = 0;

    if (path == NULL) {
        return true;
    }
    if (!ctl_read_file(path, INPUT_MAX, &wallet->definition_text, &length, err)) {
        return false;
    }
    if (!json_parse_object(wallet->definition_text, length, &wallet->definition, err)) {
        return error_context(err, "%s", path);
    }
    if (json_text(wallet->definition, "id") == NULL) {
        return fail(err, ERROR_INVALID_REQUEST, "%s: a presentation definition has an id", path);
    }
    return descriptor_count(wallet) == wallet->options->credential_count
        || fail(err, ERROR_INVALID_REQUEST,
                "%s: %zu input descriptors, but --credential was given %zu times", path,
                descriptor_count(wallet), wallet->options->credential_count);
}

static bool read_credentials(struct wallet *wallet, struct error *err)
{
    for (size_t i = 0; i < wallet->options->credential_count; i++) {
        const char *path = wallet->options->credential_files[i];
        size_t length = 0;

        if (!ctl_read_file(path, INPUT_MAX, &wallet->credentials[i], &length, err)) {
            return false;
        }
        char *text = wallet->credentials[i];
        text[strcspn(text, "\r\n")] = '\0';
        if (text[0] == '\0'
            || text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                 "-_.")]
                   != '\0') {
            return fail(err, ERROR_INVALID_REQUEST, "%s: not a JWT, in one line", path);
        }
    }
    return true;
}

static void make_random(char out[static RANDOM_SIZE])
{
    uint8_t bytes[32];

    random_bytes(bytes, sizeof(bytes));
    out[base64url_encode(out, bytes, sizeof(bytes))] = '\0';
}

/* ---- requests ---- */

/* With `body` a POST. The caller owns *answer_out. */
static bool call(struct wallet *wallet, const char *path, const char *body, long wanted,
                 cJSON **answer_out, struct error *err)
{
    const char *method = body != NULL ? "POST" : "GET";
    struct http_answer answer;

    tell(wallet, "%s %s ... ", method, path);
    if (!http_client_send(wallet->http, path, body, &answer, err)) {
        tell(wallet, "\n");
        return false;
    }
    tell(wallet, "%ld\n", answer.status);
    if (answer.status != wanted) {
        struct http_words words;
        http_answer_words(&answer, &words);
        return fail(err, ERROR_CONFLICT, "%s %.64s: %ld%s", method, path, answer.status,
                    words.text);
    }
    if (!json_parse_object(answer.body, answer.length, answer_out, err)) {
        err->code = ERROR_CONFLICT;
        return error_context(err, "%s %s: the answer", method, path);
    }
    return true;
}

/* A member of an answer that is text of these characters. */
static bool take_text(const cJSON *answer, const char *name, const char *alphabet, char *out,
                      size_t size, struct error *err)
{
    const char *text = json_text(answer, name);

    if (text == NULL || text[0] == '\0' || strlen(text) >= size
        || text[strspn(text, alphabet)] != '\0') {
        return fail(err, ERROR_CONFLICT, "the answer's %s is missing or malformed", name);
    }
    (void)snprintf(out, size, "%s", text);
    return true;
}

#define UNRESERVED "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"

/* An endpoint is asked where the server is, which need not be where its issuer's name leads to. */
static bool take_path(const struct wallet *wallet, const cJSON *metadata, const char *name,
                      char path_out[static URL_MAX + 1], struct error *err)
{
    const size_t length = strlen(wallet->issuer);
    char url[URL_MAX + 1];

    if (!take_text(metadata, name, UNRESERVED ":/%", url, sizeof(url), err)) {
        return false;
    }
    if (strncmp(url, wallet->issuer, length) != 0 || url[length] != '/') {
        return fail(err, ERROR_CONFLICT, "%s is not below %s, the issuer", name, wallet->issuer);
    }
    (void)snprintf(path_out, URL_MAX + 1, "%s", url + length);
    return true;
}

/* ---- the steps ---- */

static bool discover(struct wallet *wallet, struct error *err)
{
    scoped(release_cjson) cJSON *metadata = NULL;

    if (!call(wallet, "/.well-known/openid-credential-issuer", NULL, 200, &metadata, err)
        || !take_text(metadata, "credential_issuer", UNRESERVED ":/%", wallet->issuer,
                      sizeof(wallet->issuer), err)
        || !take_path(wallet, metadata, "authorize_endpoint", wallet->authorize_path, err)
        || !take_path(wallet, metadata, "token_endpoint", wallet->token_path, err)) {
        return false;
    }
    tell(wallet, "  issuer %s\n", wallet->issuer);
    return true;
}

static void add_member(struct text *text, const char *name, const char *value)
{
    text_add(text, name);
    text_add_json_string(text, value);
}

static bool ask(struct wallet *wallet, struct error *err)
{
    scoped(release_memory) char *buffer = xcalloc(1, BODY_MAX);
    scoped(release_cjson) cJSON *answer = NULL;
    struct text body = text_over(buffer, BODY_MAX);

    make_random(wallet->state);
    make_random(wallet->nonce);
    add_member(&body, "{\"state\":", wallet->state);
    add_member(&body, ",\"nonce\":", wallet->nonce);
    if (wallet->definition != NULL) {
        text_add(&body, ",\"presentation_definition\":");
        text_add(&body, wallet->definition_text);
    }
    text_add(&body, "}");
    if (!call(wallet, wallet->authorize_path, body.start, 201, &answer, err)
        || !take_text(answer, "id", "0123456789abcdefABCDEF-", wallet->id, sizeof(wallet->id),
                      err)) {
        return false;
    }
    tell(wallet, "  request %s\n", wallet->id);
    return true;
}

/* Presentation Exchange 2.0, clause 6. */
static void add_submission(struct text *body, const struct wallet *wallet)
{
    const cJSON *descriptors =
        cJSON_GetObjectItemCaseSensitive(wallet->definition, "input_descriptors");
    char id[RANDOM_SIZE];

    make_random(id);
    add_member(body, ",\"presentation_submission\":{\"id\":", id);
    add_member(body, ",\"definition_id\":", json_text(wallet->definition, "id"));
    text_add(body, ",\"descriptor_map\":[");
    for (size_t i = 0; i < wallet->options->credential_count; i++) {
        const char *descriptor = json_text(cJSON_GetArrayItem(descriptors, (int)i), "id");
        add_member(body, i == 0 ? "{\"id\":" : ",{\"id\":", descriptor != NULL ? descriptor : "");
        text_add(body, ",\"format\":\"jwt_vc\",\"path\":\"$.vp.verifiableCredential[");
        text_add_number(body, (int64_t)i);
        text_add(body, "]\"}");
    }
    text_add(body, "]}");
}

static bool print_proof(struct wallet *wallet, struct text *body, struct error *err)
{
    scoped(release_memory) char *buffer = xcalloc(1, JWT_MAX + 1);
    struct text jwt = text_over(buffer, JWT_MAX + 1);
    const struct wallet_vp vp = { .key = wallet->key,
                                  .holder = &wallet->holder,
                                  .audience = wallet->issuer,
                                  .nonce = wallet->nonce,
                                  .credentials = (const char *const *)wallet->credentials,
                                  .credential_count = wallet->options->credential_count,
                                  .issued_s = wall_s() };

    if (!wallet_vp_print(&vp, &jwt, err)) {
        return false;
    }
    add_member(body, "{\"vp\":", jwt.start);
    add_member(body, ",\"state\":", wallet->state);
    add_member(body, ",\"nonce\":", wallet->nonce);
    if (wallet->options->credential_count > 0 && wallet->definition != NULL) {
        add_submission(body, wallet);
    }
    text_add(body, "}");
    return !body->overflowed
        || fail(err, ERROR_INVALID_REQUEST, "the proof is larger than %d bytes", BODY_MAX);
}

static bool prove(struct wallet *wallet, struct error *err)
{
    scoped(release_memory) char *buffer = xcalloc(1, BODY_MAX);
    scoped(release_cjson) cJSON *answer = NULL;
    struct text body = text_over(buffer, BODY_MAX);
    char path[URL_MAX + 64];

    (void)snprintf(path, sizeof(path), "%s/%s/validate", wallet->authorize_path, wallet->id);
    if (!print_proof(wallet, &body, err) || !call(wallet, path, body.start, 200, &answer, err)
        || !take_text(answer, "code", UNRESERVED, wallet->code, sizeof(wallet->code), err)) {
        return false;
    }
    const char *holder = json_text(answer, "holder_did");
    if (holder != NULL && strcmp(holder, wallet->holder.did) != 0) {
        return fail(err, ERROR_CONFLICT, "the server takes us for somebody else");
    }
    tell(wallet, "  code: %zu characters\n", strlen(wallet->code));
    return true;
}

static bool exchange(struct wallet *wallet, struct error *err)
{
    char buffer[CODE_MAX + 64];
    struct text body = text_over(buffer, sizeof(buffer));

    add_member(&body, "{\"authorization_code\":", wallet->code);
    text_add(&body, "}");
    const bool good =
        call(wallet, wallet->token_path, body.start, 201, &wallet->token, err)
        && ((json_text(wallet->token, "access_token") != NULL
             && cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(wallet->token, "expires_in")))
            || fail(err, ERROR_CONFLICT,
                    "the answer's access_token or expires_in is missing or malformed"));
    explicit_bzero(buffer, sizeof(buffer));
    return good;
}

/* ---- the token ---- */

/* The header of a token that is a JWT; to a wallet it need not be one. NULL: it is none. */
static cJSON *token_header(const char *token)
{
    uint8_t bytes[1024];
    size_t length = 0;
    cJSON *header = NULL;
    struct error ignored;

    return base64url_decode(token, strcspn(token, "."), bytes, sizeof(bytes), &length)
                && json_parse_object((const char *)bytes, length, &header, &ignored)
             ? header
             : NULL;
}

static const char *plain_member(cJSON *object, const char *name)
{
    char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));

    if (text == NULL) {
        return "unknown";
    }
    ctl_make_plain(text);
    return text;
}

static void report(const struct wallet *wallet)
{
    scoped(release_cjson) cJSON *header = token_header(json_text(wallet->token, "access_token"));
    const double lifetime_s =
        cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(wallet->token, "expires_in"));
    const char *algorithm = plain_member(header, "alg");
    const char *kid = plain_member(header, "kid");
    char buffer[8192];
    struct text text = text_over(buffer, sizeof(buffer));

    if (!wallet->options->json) {
        printf("token for %s, valid for %.0f s (%s, kid %s)\n", wallet->holder.did, lifetime_s,
               algorithm, kid);
        return;
    }
    add_member(&text, "{\"holder_did\":", wallet->holder.did);
    add_member(&text, ",\"issuer\":", wallet->issuer);
    add_member(&text, ",\"authorization\":", wallet->id);
    add_member(&text, ",\"algorithm\":", algorithm);
    add_member(&text, ",\"kid\":", kid);
    printf("%s,\"expires_in\":%.0f}\n", buffer, lifetime_s);
}

static bool walk(struct wallet *wallet, struct error *err)
{
    if (!open_key(wallet, err) || !read_definition(wallet, err) || !read_credentials(wallet, err)) {
        return false;
    }
    tell(wallet, "holder %s\n", wallet->holder.did);
    return discover(wallet, err) && ask(wallet, err) && prove(wallet, err) && exchange(wallet, err);
}

int wallet_run(const struct wallet_options *options)
{
    scoped(new_file_clear) struct new_file file = { .path = NULL };
    scoped(wallet_clear) struct wallet wallet = { .options = options };
    struct error err = { .code = ERROR_NONE };

    if (options->server.url == NULL) {
        (void)fprintf(stderr, "issuerctl: wallet needs --url URL\n");
        return EX_USAGE;
    }
    /* the file first: a code that is spent for nothing helps nobody */
    if (options->token_file != NULL && !new_file_make(options->token_file, &file, &err)) {
        (void)ctl_complain(&err);
        return EX_CANTCREAT;
    }
    wallet.http = http_client_new(&options->server);
    if (!walk(&wallet, &err)) {
        return ctl_refuse(&err);
    }
    if (options->token_file != NULL) {
        const char *token = json_text(wallet.token, "access_token");
        if (!new_file_write(&file, token, strlen(token), &err)) {
            return ctl_complain(&err);
        }
        new_file_keep(&file);
    }
    report(&wallet);
    return EX_OK;
}

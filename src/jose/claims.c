#include "jose/claims.h"

static void add_member(struct text *text, const char *name, const char *value)
{
    text_add(text, name);
    text_add_json_string(text, value);
}

static void add_time(struct text *text, const char *name, int64_t seconds)
{
    text_add(text, name);
    text_add_number(text, seconds);
}

static void add_header(struct text *text, const char *algorithm, const char *kid, const char *typ)
{
    add_member(text, "{\"alg\":", algorithm);
    add_member(text, ",\"kid\":", kid);
    add_member(text, ",\"typ\":", typ);
    text_add(text, "}");
}

void access_token_header(struct text *text, const char *algorithm, const char *kid)
{
    add_header(text, algorithm, kid, "at+jwt");
}

void access_token_payload(struct text *text, const struct access_token_claims *claims)
{
    add_member(text, "{\"iss\":", claims->issuer);
    add_member(text, ",\"sub\":", claims->subject);
    add_member(text, ",\"aud\":", claims->audience);
    add_member(text, ",\"client_id\":", claims->client_id);
    if (claims->scope != NULL) {
        add_member(text, ",\"scope\":", claims->scope);
    }
    add_member(text, ",\"jti\":", claims->jti);
    add_time(text, ",\"iat\":", claims->issued_s);
    add_time(text, ",\"nbf\":", claims->issued_s);
    add_time(text, ",\"exp\":", claims->expires_s);
    text_add(text, "}");
}

void revoked_tokens_header(struct text *text, const char *algorithm, const char *kid)
{
    add_header(text, algorithm, kid, "revoked-tokens+jwt");
}

void revoked_tokens_payload(struct text *text, const struct revoked_tokens_claims *claims)
{
    add_member(text, "{\"iss\":", claims->issuer);
    add_time(text, ",\"iat\":", claims->issued_s);
    add_time(text, ",\"exp\":", claims->expires_s);
    text_add(text, claims->complete ? ",\"complete\":true" : ",\"complete\":false");
    text_add(text, ",\"revoked\":[");
    for (size_t i = 0; i < claims->count; i++) {
        text_add(text, i > 0 ? "," : "");
        text_add_json_string(text, claims->jtis[i]);
    }
    text_add(text, "]}");
}

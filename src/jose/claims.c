#include "jose/claims.h"

static void add_member(struct text *text, const char *name, const char *value)
{
    text_add(text, name);
    text_add_json_string(text, value);
}

void access_token_header(struct text *text, const char *algorithm, const char *kid)
{
    add_member(text, "{\"alg\":", algorithm);
    add_member(text, ",\"kid\":", kid);
    text_add(text, ",\"typ\":\"at+jwt\"}");
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
    text_add(text, ",\"iat\":");
    text_add_number(text, claims->issued_s);
    text_add(text, ",\"nbf\":");
    text_add_number(text, claims->issued_s);
    text_add(text, ",\"exp\":");
    text_add_number(text, claims->expires_s);
    text_add(text, "}");
}

#include "ctl/wallet_vp.h"

#include "base/memory.h"
#include "jose/jwt.h"

static void add_member(struct text *text, const char *name, const char *value)
{
    text_add(text, name);
    text_add_json_string(text, value);
}

static void add_header(struct text *jwt, const struct wallet_vp *vp)
{
    char buffer[2048];
    struct text header = text_over(buffer, sizeof(buffer));

    add_member(&header, "{\"alg\":", wallet_key_algorithm(vp->key));
    add_member(&header, ",\"kid\":", vp->holder->kid);
    text_add(&header, ",\"typ\":\"JWT\"}");
    text_add_base64url(jwt, header.start, header.length);
}

static void add_claims(struct text *claims, const struct wallet_vp *vp)
{
    add_member(claims, "{\"iss\":", vp->holder->did);
    add_member(claims, ",\"sub\":", vp->holder->did);
    add_member(claims, ",\"aud\":", vp->audience);
    add_member(claims, ",\"nonce\":", vp->nonce);
    text_add(claims, ",\"iat\":");
    text_add_number(claims, vp->issued_s);
    text_add(claims, ",\"exp\":");
    text_add_number(claims, vp->issued_s + WALLET_VP_LIFETIME_S);
    text_add(claims, ",\"vp\":{\"@context\":[\"https://www.w3.org/2018/credentials/v1\"],"
                     "\"type\":[\"VerifiablePresentation\"]");
    for (size_t i = 0; i < vp->credential_count; i++) {
        add_member(claims, i == 0 ? ",\"verifiableCredential\":[" : ",", vp->credentials[i]);
    }
    text_add(claims, vp->credential_count > 0 ? "]}}" : "}}");
}

bool wallet_vp_print(const struct wallet_vp *vp, struct text *jwt, struct error *err)
{
    scoped(release_memory) char *buffer = xcalloc(1, JWT_MAX);
    struct text claims = text_over(buffer, JWT_MAX);
    struct wallet_signature signature;

    add_header(jwt, vp);
    add_claims(&claims, vp);
    text_add(jwt, ".");
    text_add_base64url(jwt, claims.start, claims.length);
    if (!wallet_sign(vp->key, jwt->start, jwt->length, &signature, err)) {
        return false;
    }
    text_add(jwt, ".");
    text_add_base64url(jwt, signature.bytes, signature.length);
    return (!jwt->overflowed && !claims.overflowed)
        || fail(err, ERROR_INVALID_REQUEST, "the presentation is larger than %d bytes", JWT_MAX);
}

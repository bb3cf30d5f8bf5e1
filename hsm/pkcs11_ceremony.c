#include "hsm/pkcs11_ceremony.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/digest.h"
#include "base/memory.h"
#include "base/secret.h"
#include "hsm/pkcs11_device.h"
#include "hsm/pkcs11_error.h"
#include "hsm/pkcs11_key.h"
#include "hsm/pkcs11_uri.h"

enum {
    ID_LENGTH = 16,
    TEMPLATE_MAX = 16,
    RSA_BITS_DEFAULT = 3072,
    RSA_BITS_MIN = 2048,
    RSA_BITS_MAX = 4096,
};

struct template
{
    CK_ATTRIBUTE attributes[TEMPLATE_MAX];
    CK_ULONG length;
};

struct pair {
    CK_OBJECT_HANDLE public_key;
    CK_OBJECT_HANDLE private_key;
};

static void add(struct template *template, CK_ATTRIBUTE_TYPE type, const void *value, size_t length)
{
    assert(template->length < TEMPLATE_MAX);
    /* PKCS#11 has no const; the module reads. */
    template->attributes[template->length++] =
        (CK_ATTRIBUTE){ type, (void *)(uintptr_t)value, length };
}

static void add_flag(struct template *template, CK_ATTRIBUTE_TYPE type, bool flag)
{
    static const CK_BBOOL yes = CK_TRUE;
    static const CK_BBOOL no = CK_FALSE;
    add(template, type, flag ? &yes : &no, sizeof(yes));
}

static void add_private_flags(struct template *template)
{
    add_flag(template, CKA_TOKEN, true);
    add_flag(template, CKA_PRIVATE, true);
    add_flag(template, CKA_SENSITIVE, true);
    add_flag(template, CKA_EXTRACTABLE, false);
    add_flag(template, CKA_SIGN, true);
    add_flag(template, CKA_SIGN_RECOVER, false);
    add_flag(template, CKA_DECRYPT, false);
    add_flag(template, CKA_UNWRAP, false);
    add_flag(template, CKA_DERIVE, false);
}

static void add_public_flags(struct template *template)
{
    add_flag(template, CKA_TOKEN, true);
    add_flag(template, CKA_PRIVATE, false); /* readable without the PIN */
    add_flag(template, CKA_VERIFY, true);
    add_flag(template, CKA_VERIFY_RECOVER, false);
    add_flag(template, CKA_ENCRYPT, false);
    add_flag(template, CKA_WRAP, false);
}

static bool generate_pair(const struct pkcs11_session *session, const struct pkcs11_uri *uri,
                          enum jose_algorithm algorithm, CK_ULONG bits, struct pair *pair_out,
                          struct error *err)
{
    const bool rsa = algorithm == JOSE_RS256 || algorithm == JOSE_PS256;
    const struct pkcs11_curve *curve = pkcs11_curve_of(algorithm);
    static const uint8_t exponent[] = { 0x01, 0x00, 0x01 };
    const CK_ATTRIBUTE *label = pkcs11_uri_attribute(uri, CKA_LABEL);
    const CK_ATTRIBUTE *id = pkcs11_uri_attribute(uri, CKA_ID);
    uint8_t random_id[ID_LENGTH];
    CK_MECHANISM mechanism = { rsa                             ? CKM_RSA_PKCS_KEY_PAIR_GEN
                               : curve->type == CKK_EC_EDWARDS ? CKM_EC_EDWARDS_KEY_PAIR_GEN
                                                               : CKM_EC_KEY_PAIR_GEN,
                               NULL, 0 };
    struct template public_template = { .length = 0 };
    struct template private_template = { .length = 0 };

    random_bytes(random_id, sizeof(random_id));
    struct template *both[] = { &public_template, &private_template };
    for (size_t i = 0; i < COUNT_OF(both); i++) {
        add(both[i], CKA_LABEL, label->pValue, label->ulValueLen);
        add(both[i], CKA_ID, id != NULL ? id->pValue : random_id,
            id != NULL ? id->ulValueLen : sizeof(random_id));
    }
    add_private_flags(&private_template);
    add_public_flags(&public_template);
    if (rsa) {
        add(&public_template, CKA_MODULUS_BITS, &bits, sizeof(bits));
        add(&public_template, CKA_PUBLIC_EXPONENT, exponent, sizeof(exponent));
    } else {
        add(&public_template, CKA_EC_PARAMS, curve->params, curve->params_length);
    }
    const CK_RV rv = session->device->api->C_GenerateKeyPair(
        session->handle, &mechanism, public_template.attributes, public_template.length,
        private_template.attributes, private_template.length, &pair_out->public_key,
        &pair_out->private_key);
    return rv == CKR_OK
        || fail_pkcs11(err, rv, "%s: C_GenerateKeyPair", session->device->token_name);
}

/* Finds the new key as a signer would, and holds it to the same policy: a token may have taken the
 * template and done otherwise. */
static bool check_pair(const struct pkcs11_session *session, const struct pkcs11_uri *uri,
                       struct error *err)
{
    struct pkcs11_key key;
    EVP_PKEY *public_key = NULL;

    if (!pkcs11_key_find(session, uri, &key, err) || !pkcs11_key_check_policy(session, &key, err)
        || !pkcs11_key_read_public(session, &key, &public_key, err)) {
        return false;
    }
    EVP_PKEY_free(public_key);
    return true;
}

/* Fails with ERROR_CONFLICT if the URI names a key already. */
static bool check_vacant(const struct pkcs11_session *session, const struct pkcs11_uri *uri,
                         struct error *err)
{
    struct pkcs11_key key;
    struct error absent;

    if (pkcs11_uri_attribute(uri, CKA_LABEL) == NULL) {
        return fail(err, ERROR_CONFIG, "%s: add object= for the key's label",
                    pkcs11_uri_shown(uri));
    }
    if (pkcs11_key_find(session, uri, &key, &absent)) {
        return fail(err, ERROR_CONFLICT, "%s: there is such a key already", key.name);
    }
    if (absent.code != ERROR_KEY_NOT_FOUND) {
        *err = absent;
        return false;
    }
    return true;
}

static bool rsa_bits_of(const struct ceremony_options *ceremony, CK_ULONG *bits_out,
                        struct error *err)
{
    *bits_out = ceremony->rsa_bits == 0 ? RSA_BITS_DEFAULT : ceremony->rsa_bits;
    return (*bits_out >= RSA_BITS_MIN && *bits_out <= RSA_BITS_MAX)
        || fail(err, ERROR_CONFIG, "an RSA key of %lu bits: %d to %d are allowed", *bits_out,
                RSA_BITS_MIN, RSA_BITS_MAX);
}

bool pkcs11_generate(const struct key_options *options, const struct ceremony_options *ceremony,
                     struct error *err)
{
    CK_ULONG bits;
    struct pair pair;
    scoped(release_pkcs11_uri) struct pkcs11_uri *uri = NULL;
    scoped(release_pkcs11_device) struct pkcs11_device *device = NULL;
    scoped(pkcs11_session_close) struct pkcs11_session session = { 0 };

    if (!rsa_bits_of(ceremony, &bits, err) || !pkcs11_uri_parse(options->uri, &uri, err)
        || !pkcs11_device_open(uri, &device, err) || !pkcs11_device_choose_token(device, uri, err)
        || !pkcs11_session_open(device, CKF_RW_SESSION, &session, err)
        || !pkcs11_device_login(device, uri, err) || !check_vacant(&session, uri, err)
        || !generate_pair(&session, uri, ceremony->algorithm, bits, &pair, err)) {
        return false;
    }
    if (!check_pair(&session, uri, err)) {
        (void)device->api->C_DestroyObject(session.handle, pair.private_key);
        (void)device->api->C_DestroyObject(session.handle, pair.public_key);
        return error_context(err, "the new key was destroyed");
    }
    return true;
}

/* Before C_InitToken, so that nothing is left half made. */
static bool check_pin_length(const struct pkcs11_device *device, const char *which,
                             const struct secret *pin, struct error *err)
{
    const CK_TOKEN_INFO *token = &device->token;
    return (pin->length >= token->ulMinPinLen && pin->length <= token->ulMaxPinLen)
        || fail(err, ERROR_CONFIG, "the %s PIN must have %lu to %lu characters", which,
                token->ulMinPinLen, token->ulMaxPinLen);
}

static bool read_pins(const struct pkcs11_device *device, const struct pkcs11_uri *uri,
                      const char *so_pin_file, struct secret *so_pin_out,
                      struct secret *user_pin_out, struct error *err)
{
    if (so_pin_file == NULL) {
        return fail(err, ERROR_CONFIG, "no file with the security officer's PIN is given");
    }
    return secret_read(so_pin_file, so_pin_out, err)
        && check_pin_length(device, "security officer's", so_pin_out, err)
        && pkcs11_uri_read_pin(uri, user_pin_out, err)
        && check_pin_length(device, "user", user_pin_out, err);
}

static bool init_token(const struct pkcs11_device *device, const struct pkcs11_uri *uri,
                       struct secret *so_pin, struct error *err)
{
    CK_UTF8CHAR label[TOKEN_LABEL_SIZE];

    memcpy(label, pkcs11_uri_token_label(uri), sizeof(label));
    const CK_RV rv = device->api->C_InitToken(device->slot_id, (CK_UTF8CHAR *)so_pin->text,
                                              so_pin->length, label);
    return rv == CKR_OK || fail_pkcs11(err, rv, "%s: C_InitToken", pkcs11_uri_shown(uri));
}

static bool set_user_pin(const struct pkcs11_device *device, struct secret *so_pin,
                         struct secret *user_pin, struct error *err)
{
    scoped(pkcs11_session_close) struct pkcs11_session session = { 0 };
    const CK_FUNCTION_LIST *api = device->api;

    if (!pkcs11_session_open(device, CKF_RW_SESSION, &session, err)) {
        return false;
    }
    CK_RV rv = api->C_Login(session.handle, CKU_SO, (CK_UTF8CHAR *)so_pin->text, so_pin->length);
    if (rv != CKR_OK) {
        return fail_pkcs11(err, rv, "the security officer's login");
    }
    rv = api->C_InitPIN(session.handle, (CK_UTF8CHAR *)user_pin->text, user_pin->length);
    (void)api->C_Logout(session.handle);
    return rv == CKR_OK || fail_pkcs11(err, rv, "C_InitPIN");
}

bool pkcs11_init_token(const struct key_options *options, const struct ceremony_options *ceremony,
                       struct error *err)
{
    scoped(secret_clear) struct secret so_pin = { .length = 0 };
    scoped(secret_clear) struct secret user_pin = { .length = 0 };
    scoped(release_pkcs11_uri) struct pkcs11_uri *uri = NULL;
    scoped(release_pkcs11_device) struct pkcs11_device *device = NULL;

    if (!pkcs11_uri_parse(options->uri, &uri, err)) {
        return false;
    }
    if (pkcs11_uri_token_label(uri) == NULL) {
        return fail(err, ERROR_CONFIG, "%s: add token= for the token's label",
                    pkcs11_uri_shown(uri));
    }
    if (!pkcs11_device_open(uri, &device, err) || !pkcs11_device_choose_free_slot(device, uri, err)
        || !read_pins(device, uri, ceremony->so_pin_file, &so_pin, &user_pin, err)
        || !init_token(device, uri, &so_pin, err)) {
        return false;
    }
    return set_user_pin(device, &so_pin, &user_pin, err)
        || error_context(err, "%s: initialised, but it has no user PIN", pkcs11_uri_shown(uri));
}

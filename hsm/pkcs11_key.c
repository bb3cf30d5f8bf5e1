#include "hsm/pkcs11_key.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "hsm/pkcs11_error.h"
#include "jose/public_key.h"

enum {
    LABEL_MAX = 64,
    KEYS_MAX = 16, /* how many matches are counted */
    NAMED_MAX = 4, /* how many labels a message names */
    ATTRIBUTE_MAX = 1024,
};

static const struct pkcs11_curve curves[] = {
    { CKK_EC,
      "prime256v1",
      { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 },
      10,
      65 },
    { CKK_EC, "secp384r1", { 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22 }, 7, 97 },
    { CKK_EC_EDWARDS,
      "ED25519",
      { 0x13, 0x0c, 'e', 'd', 'w', 'a', 'r', 'd', 's', '2', '5', '5', '1', '9' },
      14,
      32 },
    { CKK_EC_EDWARDS, "ED25519", { 0x06, 0x03, 0x2b, 0x65, 0x70 }, 5, 32 }, /* RFC 8410 3 */
};

const struct pkcs11_curve *pkcs11_curve_of(enum jose_algorithm algorithm)
{
    return algorithm == JOSE_ED25519 ? &curves[2] : algorithm == JOSE_ES384 ? &curves[1] : curves;
}

struct bytes {
    uint8_t bytes[ATTRIBUTE_MAX];
    size_t length;
};

/* The value is empty if the token does not give it or it is longer than any of ours. */
static CK_RV read_attribute(const struct pkcs11_session *session, CK_OBJECT_HANDLE object,
                            CK_ATTRIBUTE_TYPE type, struct bytes *value_out)
{
    CK_ATTRIBUTE attribute = { type, value_out->bytes, sizeof(value_out->bytes) };
    const CK_RV rv =
        session->device->api->C_GetAttributeValue(session->handle, object, &attribute, 1);

    value_out->length = 0;
    if (rv == CKR_OK && attribute.ulValueLen <= sizeof(value_out->bytes)) {
        value_out->length = attribute.ulValueLen;
    }
    return rv;
}

static bool find_objects(const struct pkcs11_session *session, CK_ATTRIBUTE *template,
                         CK_ULONG length, CK_OBJECT_HANDLE *found, CK_ULONG *count_out,
                         struct error *err)
{
    CK_RV rv = session->device->api->C_FindObjectsInit(session->handle, template, length);
    if (rv != CKR_OK) {
        return fail_pkcs11(err, rv, "%s: C_FindObjectsInit", session->device->token_name);
    }
    *count_out = 0;
    rv = session->device->api->C_FindObjects(session->handle, found, KEYS_MAX, count_out);
    const CK_RV closed = session->device->api->C_FindObjectsFinal(session->handle);
    if (rv != CKR_OK || closed != CKR_OK) {
        return fail_pkcs11(err, rv != CKR_OK ? rv : closed, "%s: C_FindObjects",
                           session->device->token_name);
    }
    return true;
}

static void add_label(struct text *text, const struct pkcs11_session *session,
                      CK_OBJECT_HANDLE object)
{
    struct bytes label;

    (void)read_attribute(session, object, CKA_LABEL, &label);
    text_add(text, "\"");
    text_add_bytes(text, (const char *)label.bytes,
                   label.length < LABEL_MAX ? label.length : LABEL_MAX);
    text_add(text, "\"");
}

/* Says which private keys there are instead of the one that was asked for. */
static bool fail_not_found(const struct pkcs11_session *session, const struct pkcs11_uri *uri,
                           struct error *err)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE any = { CKA_CLASS, &class, sizeof(class) };
    CK_OBJECT_HANDLE found[KEYS_MAX];
    CK_ULONG count = 0;
    char labels[128];
    struct text there = text_over(labels, sizeof(labels));

    if (!find_objects(session, &any, 1, found, &count, err)) {
        return false;
    }
    for (CK_ULONG i = 0; i < count && i < NAMED_MAX; i++) {
        text_add(&there, i == 0 ? "" : ", ");
        add_label(&there, session, found[i]);
    }
    return fail(err, ERROR_KEY_NOT_FOUND, "%s: no such private key; there is %s%s",
                pkcs11_uri_shown(uri), count == 0 ? "none" : labels,
                count > NAMED_MAX ? ", ..." : "");
}

static bool describe(const struct pkcs11_session *session, struct pkcs11_key *key,
                     struct error *err)
{
    struct text name = text_over(key->name, sizeof(key->name));
    CK_ATTRIBUTE type = { CKA_KEY_TYPE, &key->type, sizeof(key->type) };

    text_add(&name, session->device->token_name);
    text_add(&name, ", object ");
    add_label(&name, session, key->handle);
    const CK_RV rv =
        session->device->api->C_GetAttributeValue(session->handle, key->handle, &type, 1);
    return rv == CKR_OK || fail_pkcs11(err, rv, "%s: read CKA_KEY_TYPE", key->name);
}

bool pkcs11_key_find(const struct pkcs11_session *session, const struct pkcs11_uri *uri,
                     struct pkcs11_key *key_out, struct error *err)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE template[3] = { { CKA_CLASS, &class, sizeof(class) } };
    CK_ULONG length = 1;
    CK_OBJECT_HANDLE found[KEYS_MAX];
    CK_ULONG count = 0;
    const CK_ATTRIBUTE *label = pkcs11_uri_attribute(uri, CKA_LABEL);
    const CK_ATTRIBUTE *id = pkcs11_uri_attribute(uri, CKA_ID);

    if (label != NULL) {
        template[length++] = *label;
    }
    if (id != NULL) {
        template[length++] = *id;
    }
    if (!find_objects(session, template, length, found, &count, err)) {
        return false;
    }
    if (count == 0) {
        return fail_not_found(session, uri, err);
    }
    if (count > 1) {
        return fail(err, ERROR_KEY_NOT_FOUND, "%lu private keys match %s: name one by id=", count,
                    pkcs11_uri_shown(uri));
    }
    key_out->handle = found[0];
    return describe(session, key_out, err);
}

/* A flag that the token does not know for this type of key is a thing the key cannot do. */
static bool read_flag(const struct pkcs11_session *session, const struct pkcs11_key *key,
                      CK_ATTRIBUTE_TYPE type, bool *flag_out, struct error *err)
{
    CK_BBOOL value = CK_FALSE;
    CK_ATTRIBUTE attribute = { type, &value, sizeof(value) };
    const CK_RV rv =
        session->device->api->C_GetAttributeValue(session->handle, key->handle, &attribute, 1);

    if (rv != CKR_OK && rv != CKR_ATTRIBUTE_TYPE_INVALID) {
        return fail_pkcs11(err, rv, "%s: read attribute 0x%lx", key->name, type);
    }
    *flag_out = rv == CKR_OK && attribute.ulValueLen == sizeof(value) && value != CK_FALSE;
    return true;
}

static const struct {
    CK_ATTRIBUTE_TYPE type;
    bool wanted;
    const char *name;
    const char *why;
} policy[] = {
    { CKA_PRIVATE, true, "CKA_PRIVATE", "anyone could use it without the PIN" },
    { CKA_SENSITIVE, true, "CKA_SENSITIVE", "it could be read in the clear" },
    { CKA_EXTRACTABLE, false, "CKA_EXTRACTABLE", "it could leave the token" },
    { CKA_LOCAL, true, "CKA_LOCAL", "it was not generated in the token" },
    { CKA_ALWAYS_SENSITIVE, true, "CKA_ALWAYS_SENSITIVE", "it could have been read" },
    { CKA_NEVER_EXTRACTABLE, true, "CKA_NEVER_EXTRACTABLE", "it could have left the token" },
    { CKA_SIGN, true, "CKA_SIGN", "it does not sign" },
    { CKA_SIGN_RECOVER, false, "CKA_SIGN_RECOVER", "it does more than sign" },
    { CKA_DECRYPT, false, "CKA_DECRYPT", "it does more than sign" },
    { CKA_UNWRAP, false, "CKA_UNWRAP", "it does more than sign" },
    { CKA_DERIVE, false, "CKA_DERIVE", "it does more than sign" },
    { CKA_ALWAYS_AUTHENTICATE, false, "CKA_ALWAYS_AUTHENTICATE",
      "it asks for the PIN at each signature" },
};

bool pkcs11_key_check_policy(const struct pkcs11_session *session, const struct pkcs11_key *key,
                             struct error *err)
{
    for (size_t i = 0; i < COUNT_OF(policy); i++) {
        bool flag = !policy[i].wanted;
        if (!read_flag(session, key, policy[i].type, &flag, err)) {
            return false;
        }
        if (flag != policy[i].wanted) {
            return fail(err, ERROR_KEY_POLICY, "%s: %s is %s (%s)", key->name, policy[i].name,
                        flag ? "true" : "false", policy[i].why);
        }
    }
    return true;
}

bool pkcs11_key_print_attributes(const struct pkcs11_session *session, const struct pkcs11_key *key,
                                 struct text *text, struct error *err)
{
    for (size_t i = 0; i < COUNT_OF(policy); i++) {
        bool flag = false;
        if (!read_flag(session, key, policy[i].type, &flag, err)) {
            return false;
        }
        text_add(text, i > 0 ? " " : "");
        text_add(text, policy[i].name);
        text_add(text, flag ? "=true" : "=false");
    }
    return true;
}

/* Asks for nothing but a private session object: SoftHSM refuses a template that names
 * CKA_EXTRACTABLE, even as it is. So the copy is looked at instead. */
bool pkcs11_key_copy(const struct pkcs11_session *session, const struct pkcs11_key *key,
                     struct pkcs11_key *copy_out, struct error *err)
{
    const CK_FUNCTION_LIST *api = session->device->api;
    CK_BBOOL yes = CK_TRUE;
    CK_BBOOL no = CK_FALSE;
    CK_ATTRIBUTE template[] = { { CKA_TOKEN, &no, sizeof(no) },
                                { CKA_PRIVATE, &yes, sizeof(yes) } };

    *copy_out = *key;
    const CK_RV rv = api->C_CopyObject(session->handle, key->handle, template, COUNT_OF(template),
                                       &copy_out->handle);
    if (rv != CKR_OK) {
        return fail_pkcs11(err, rv, "%s: C_CopyObject", key->name);
    }
    if (!pkcs11_key_check_policy(session, copy_out, err)) {
        (void)api->C_DestroyObject(session->handle, copy_out->handle);
        return error_context(err, "the session's copy");
    }
    return true;
}

static bool read_rsa(const struct pkcs11_session *session, const struct pkcs11_key *key,
                     EVP_PKEY **public_out, struct error *err)
{
    struct bytes modulus, exponent;
    CK_RV rv = read_attribute(session, key->handle, CKA_MODULUS, &modulus);

    if (rv == CKR_OK) {
        rv = read_attribute(session, key->handle, CKA_PUBLIC_EXPONENT, &exponent);
    }
    if (rv != CKR_OK) {
        return fail_pkcs11(err, rv, "%s: read its modulus and public exponent", key->name);
    }
    *public_out =
        public_key_from_rsa(modulus.bytes, modulus.length, exponent.bytes, exponent.length);
    return *public_out != NULL
        || fail_openssl(err, ERROR_KEY_POLICY, "%s: not an RSA public key", key->name);
}

/* NULL, with the error: none of ours, or it cannot be read. */
static const struct pkcs11_curve *read_curve(const struct pkcs11_session *session,
                                             const struct pkcs11_key *key, struct error *err)
{
    struct bytes params;
    const CK_RV rv = read_attribute(session, key->handle, CKA_EC_PARAMS, &params);

    for (size_t i = 0; rv == CKR_OK && i < COUNT_OF(curves); i++) {
        if (curves[i].type == key->type && curves[i].params_length == params.length
            && memcmp(curves[i].params, params.bytes, params.length) == 0) {
            return &curves[i];
        }
    }
    (void)!(rv != CKR_OK
                ? fail_pkcs11(err, rv, "%s: read CKA_EC_PARAMS", key->name)
                : fail(err, ERROR_KEY_POLICY,
                       "%s: CKA_EC_PARAMS is none of the named curves P-256, P-384 and Ed25519",
                       key->name));
    return NULL;
}

/* The public key object that has the private key's CKA_ID, or its label if it has no ID. */
static bool find_public(const struct pkcs11_session *session, const struct pkcs11_key *key,
                        CK_OBJECT_HANDLE *public_out, struct error *err)
{
    struct bytes name;
    CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
    CK_ATTRIBUTE template[] = { { CKA_CLASS, &class, sizeof(class) }, { CKA_ID, name.bytes, 0 } };
    CK_OBJECT_HANDLE found[KEYS_MAX];
    CK_ULONG count = 0;

    (void)read_attribute(session, key->handle, CKA_ID, &name);
    if (name.length == 0) {
        template[1].type = CKA_LABEL;
        (void)read_attribute(session, key->handle, CKA_LABEL, &name);
    }
    template[1].ulValueLen = name.length;
    if (!find_objects(session, template, COUNT_OF(template), found, &count, err)) {
        return false;
    }
    if (count != 1) {
        return fail(err, ERROR_KEY_NOT_FOUND, "%s: %lu public key objects have its %s, not one",
                    key->name, count, template[1].type == CKA_ID ? "CKA_ID" : "CKA_LABEL");
    }
    *public_out = found[0];
    return true;
}

/* The private half first: what is left if it stops half-way is of no use to anyone. */
bool pkcs11_key_destroy(const struct pkcs11_session *session, const struct pkcs11_key *key,
                        struct error *err)
{
    const CK_FUNCTION_LIST *api = session->device->api;
    CK_OBJECT_HANDLE public = CK_INVALID_HANDLE;
    struct error none;

    const bool has_public = find_public(session, key, &public, &none);
    CK_RV rv = api->C_DestroyObject(session->handle, key->handle);
    if (rv == CKR_OK && has_public) {
        rv = api->C_DestroyObject(session->handle, public);
    }
    return rv == CKR_OK || fail_pkcs11(err, rv, "%s: C_DestroyObject", key->name);
}

/* PKCS#11 has the point inside a DER OCTET STRING; some tokens give it bare. */
static const uint8_t *point_of(const struct bytes *value, const struct pkcs11_curve *curve)
{
    const uint8_t octet_string[] = { 0x04, (uint8_t)curve->point_length };
    const uint8_t *point = value->bytes;

    if (value->length == sizeof(octet_string) + curve->point_length
        && memcmp(point, octet_string, sizeof(octet_string)) == 0) {
        point += sizeof(octet_string);
    } else if (value->length != curve->point_length) {
        return NULL;
    }
    return curve->type == CKK_EC_EDWARDS || point[0] == 0x04 ? point : NULL;
}

static bool read_ec(const struct pkcs11_session *session, const struct pkcs11_key *key,
                    EVP_PKEY **public_out, struct error *err)
{
    const struct pkcs11_curve *curve = read_curve(session, key, err);
    CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
    struct bytes value;

    if (curve == NULL || !find_public(session, key, &object, err)) {
        return false;
    }
    const CK_RV rv = read_attribute(session, object, CKA_EC_POINT, &value);
    if (rv != CKR_OK) {
        return fail_pkcs11(err, rv, "%s: read CKA_EC_POINT", key->name);
    }
    const uint8_t *point = point_of(&value, curve);
    if (point != NULL) {
        *public_out = curve->type == CKK_EC_EDWARDS
                        ? public_key_from_ed25519(point, curve->point_length)
                        : public_key_from_point(curve->name, point, curve->point_length);
    }
    return (point != NULL && *public_out != NULL)
        || fail_openssl(err, ERROR_KEY_POLICY, "%s: CKA_EC_POINT is not a point of %s", key->name,
                        curve->name);
}

bool pkcs11_key_read_public(const struct pkcs11_session *session, const struct pkcs11_key *key,
                            EVP_PKEY **public_out, struct error *err)
{
    if (key->type == CKK_RSA) {
        return read_rsa(session, key, public_out, err);
    }
    if (key->type == CKK_EC || key->type == CKK_EC_EDWARDS) {
        return read_ec(session, key, public_out, err);
    }
    return fail(err, ERROR_KEY_POLICY, "%s: key type 0x%lx is neither EC, Ed25519 nor RSA",
                key->name, key->type);
}

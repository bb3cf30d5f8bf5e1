/* A private key on a token: found, held to the policy, and its public half read. */
#pragma once

#include "base/error.h"
#include "base/text.h"
#include "hsm/pkcs11_device.h"
#include "jose/algorithm.h"

#include <openssl/types.h>

struct pkcs11_key {
    CK_OBJECT_HANDLE handle;
    CK_KEY_TYPE type;
    char name[160]; /* "token \"main\" serial 1a2b, object \"issuerd-es256\"" */
};

/* Finds the one private key that the URI names. Fails with KEY_NOT_FOUND: none (says which are
 * there), or several. */
MUST_CHECK bool pkcs11_key_find(const struct pkcs11_session *session, const struct pkcs11_uri *uri,
                                struct pkcs11_key *key_out, struct error *err);

/* Refuses with KEY_POLICY, naming key and attribute, unless the key was made in the token, cannot
 * leave it, does nothing but sign, and signs without being asked for the PIN each time. */
MUST_CHECK bool pkcs11_key_check_policy(const struct pkcs11_session *session,
                                        const struct pkcs11_key *key, struct error *err);

/* Adds what the token says of each attribute of the policy: "CKA_PRIVATE=true CKA_SENSITIVE=true
 * ...". Fails as pkcs11_key_check_policy() does when the token does not answer. */
MUST_CHECK bool pkcs11_key_print_attributes(const struct pkcs11_session *session,
                                            const struct pkcs11_key *key, struct text *text,
                                            struct error *err);

/* Copies the key into the session, with which the copy ends; it is held to the same policy. Fails
 * with KEY_POLICY or DEVICE_UNAVAILABLE: not every token copies private keys. */
MUST_CHECK bool pkcs11_key_copy(const struct pkcs11_session *session, const struct pkcs11_key *key,
                                struct pkcs11_key *copy_out, struct error *err);

/* Reads the public half: RSA's from the private key, EC's from the public key object beside it.
 * Fails with KEY_POLICY (no such type or curve), KEY_NOT_FOUND (no public key object) or
 * DEVICE_UNAVAILABLE. The caller owns *public_out. */
MUST_CHECK bool pkcs11_key_read_public(const struct pkcs11_session *session,
                                       const struct pkcs11_key *key, EVP_PKEY **public_out,
                                       struct error *err);

/* Deletes the key and the public key object beside it, if there is one, over a session that may
 * write. Fails with DEVICE_UNAVAILABLE, ERROR_CONFIG or KEY_POLICY. */
MUST_CHECK bool pkcs11_key_destroy(const struct pkcs11_session *session,
                                   const struct pkcs11_key *key, struct error *err);

/* The curves, by what CKA_EC_PARAMS says of them. */
struct pkcs11_curve {
    CK_KEY_TYPE type;   /* CKK_EC or CKK_EC_EDWARDS */
    const char *name;   /* as OpenSSL has it */
    uint8_t params[14]; /* an object identifier, or a PrintableString (PKCS#11 2.3.10) */
    size_t params_length;
    size_t point_length; /* 04 || X || Y, or Ed25519's 32 octets */
};

/* Of the algorithms ES256, ES384, Ed25519. */
const struct pkcs11_curve *pkcs11_curve_of(enum jose_algorithm algorithm);

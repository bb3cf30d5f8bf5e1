/*
 * A key's RFC 7512 URI: which module, which token, which object, and where the PIN is.
 *
 *     pkcs11:token=main;object=issuerd-es256?module-path=/usr/lib/m.so&pin-source=file:/run/pin
 */
#pragma once

#include "base/error.h"
#include "base/secret.h"

#include <p11-kit/pkcs11.h>

enum { TOKEN_LABEL_SIZE = 32 /* CK_TOKEN_INFO.label */ };

struct pkcs11_uri;

/* Fails with ERROR_CONFIG: what does not parse or is not known, a pin-value, no module-path. The
 * caller owns *uri_out. */
MUST_CHECK bool pkcs11_uri_parse(const char *text, struct pkcs11_uri **uri_out, struct error *err);
void pkcs11_uri_free(struct pkcs11_uri *uri);
void release_pkcs11_uri(struct pkcs11_uri **uri);

/* The URI without its query part: what logs and errors may show. */
const char *pkcs11_uri_shown(const struct pkcs11_uri *uri);

/* An absolute path. */
const char *pkcs11_uri_module_path(const struct pkcs11_uri *uri);

/* True if the slot has the number that slot-id asks for, if any, and its token every attribute
 * (token, manufacturer, serial, model) that is given. */
bool pkcs11_uri_names_token(const struct pkcs11_uri *uri, CK_SLOT_ID slot,
                            const CK_TOKEN_INFO *token);

/* The label that token= gives, padded with blanks as C_InitToken wants it. NULL: none given. */
const CK_UTF8CHAR *pkcs11_uri_token_label(const struct pkcs11_uri *uri);

/* CKA_LABEL (from object=) or CKA_ID (from id=). NULL: none given. */
const CK_ATTRIBUTE *pkcs11_uri_attribute(const struct pkcs11_uri *uri, CK_ATTRIBUTE_TYPE type);

/* Reads the PIN from the file that pin-source names. Fails with ERROR_CONFIG. */
MUST_CHECK bool pkcs11_uri_read_pin(const struct pkcs11_uri *uri, struct secret *pin_out,
                                    struct error *err);

#include "http/tls.h"

#include <pthread.h>
#include <stdlib.h>

#include <gnutls/x509.h>

#include "http/tls_credentials.h"
#include "http/tls_session.h"

/* Forward secret, authenticated encryption alone (RFC 9325 4.2). PROFILE_MEDIUM is for the clients'
 * certificates: no SHA-1, no RSA key below 2048 bits. */
const char tls_priorities[] =
    "NONE:+VERS-TLS1.3:+VERS-TLS1.2:+CTYPE-X509:+COMP-NULL"
    ":+ECDHE-ECDSA:+ECDHE-RSA"
    ":+AES-256-GCM:+CHACHA20-POLY1305:+AES-128-GCM:+AEAD"
    ":+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1"
    ":+SIGN-ECDSA-SECP256R1-SHA256:+SIGN-ECDSA-SECP384R1-SHA384:+SIGN-ECDSA-SECP521R1-SHA512"
    ":+SIGN-ECDSA-SHA256:+SIGN-ECDSA-SHA384:+SIGN-ECDSA-SHA512"
    ":+SIGN-EDDSA-ED25519"
    ":+SIGN-RSA-PSS-RSAE-SHA256:+SIGN-RSA-PSS-RSAE-SHA384:+SIGN-RSA-PSS-RSAE-SHA512"
    ":+SIGN-RSA-SHA256:+SIGN-RSA-SHA384:+SIGN-RSA-SHA512"
    ":%SERVER_PRECEDENCE:%PROFILE_MEDIUM";

struct tls {
    pthread_mutex_t lock;
    struct tls_credentials *current;
};

struct tls *tls_new(struct tls_credentials *credentials)
{
    struct tls *self = xcalloc(1, sizeof(*self));

    pthread_mutex_init(&self->lock, NULL);
    self->current = credentials;
    return self;
}

void tls_free(struct tls *self)
{
    if (self == NULL) {
        return;
    }
    tls_credentials_release(self->current);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

void tls_renew(struct tls *self, struct tls_credentials *credentials)
{
    pthread_mutex_lock(&self->lock);
    struct tls_credentials *before = self->current;
    self->current = credentials;
    pthread_mutex_unlock(&self->lock);
    tls_credentials_release(before);
}

struct tls_credentials *tls_current(struct tls *self)
{
    pthread_mutex_lock(&self->lock);
    struct tls_credentials *credentials = tls_credentials_share(self->current);
    pthread_mutex_unlock(&self->lock);
    return credentials;
}

/* ---- sessions ---- */

void tls_session_prepare(gnutls_session_t session, const struct tls_credentials *credentials)
{
    (void)gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials->x509);
    gnutls_certificate_server_set_request(
        session, credentials->asks_for_client ? GNUTLS_CERT_REQUEST : GNUTLS_CERT_IGNORE);
}

/* What a client can act on comes first: of several faults one is told. */
static const char *fault_of(unsigned status)
{
    static const struct {
        unsigned bit;
        const char *words;
    } faults[] = {
        { GNUTLS_CERT_SIGNER_NOT_FOUND, "is of no CA that this listener trusts" },
        { GNUTLS_CERT_SIGNER_NOT_CA, "was issued by a certificate that is no CA's" },
        { GNUTLS_CERT_EXPIRED, "has expired" },
        { GNUTLS_CERT_NOT_ACTIVATED, "is not valid yet" },
        { GNUTLS_CERT_PURPOSE_MISMATCH, "is not for TLS clients (extended key usage clientAuth)" },
        { GNUTLS_CERT_INSECURE_ALGORITHM, "has, or is signed with, too weak a key or hash" },
    };
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        if ((status & faults[i].bit) != 0) {
            return faults[i].words;
        }
    }
    return "is not good";
}

bool tls_session_check_peer(gnutls_session_t session, const struct tls_credentials *credentials,
                            struct error *err)
{
    static char purpose[] = GNUTLS_KP_TLS_WWW_CLIENT;
    gnutls_typed_vdata_st wanted = { .type = GNUTLS_DT_KEY_PURPOSE_OID,
                                     .data = (unsigned char *)purpose };
    unsigned status = 0;

    if (!credentials->asks_for_client) {
        return true;
    }
    const int result = gnutls_certificate_verify_peers(session, &wanted, 1, &status);
    if (result == GNUTLS_E_NO_CERTIFICATE_FOUND) {
        return fail(err, ERROR_CLIENT_CERTIFICATE,
                    "This listener wants a client certificate: none was sent.");
    }
    if (result < 0) {
        return fail(err, ERROR_CLIENT_CERTIFICATE, "The client certificate cannot be checked.");
    }
    return status == 0
        || fail(err, ERROR_CLIENT_CERTIFICATE, "The client certificate %s.", fault_of(status));
}

/* TLS of a connection: what its session is given, and the verdict on its client's certificate. */
#pragma once

#include "http/tls.h"

#include <gnutls/gnutls.h>

/* The protocol versions and suites, as gnutls_priority_init(3) reads them. */
extern const char tls_priorities[];

/* Gives a session that has not begun its handshake the credentials, which must live as long. */
void tls_session_prepare(gnutls_session_t session, const struct tls_credentials *credentials);

/* True if the credentials ask for no client certificate, or one came in the handshake that counts:
 * of a CA of theirs, for TLS clients, and valid now. Fails with CLIENT_CERTIFICATE, in words for
 * the client. */
MUST_CHECK bool tls_session_check_peer(gnutls_session_t session,
                                       const struct tls_credentials *credentials,
                                       struct error *err);

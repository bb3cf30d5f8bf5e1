/* What tls_credentials.c loads and tls.c gives to sessions; nobody else includes it. */
#pragma once

#include "http/tls.h"

#include <gnutls/gnutls.h>

struct tls_credentials {
    _Atomic unsigned references;
    gnutls_certificate_credentials_t x509;
    bool asks_for_client;
    int64_t end_s;
    bool lacks_issuers; /* it stands alone, and says where its issuer's certificate can be had */
    char *certificate_file;
};

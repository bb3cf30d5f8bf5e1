/* Certificates and keys from files, and what must hold of them before a client sees them. */
#include "http/tls_credentials.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <gnutls/pkcs11.h>
#include <gnutls/x509.h>

#include "base/process.h"
#include "base/sandbox.h"
#include "base/secret.h"

enum {
    FILE_SIZE_MAX = 256 * 1024,
    CERTIFICATES_MAX = 64,
    RSA_BITS_MIN = 2048,
    EC_BITS_MIN = 256,
    SOON_S = 30 * 86400,
};

/* Its own is the first. */
struct chain {
    gnutls_x509_crt_t certificates[CERTIFICATES_MAX];
    unsigned count;
};

static void chain_clear(struct chain *chain)
{
    for (unsigned i = 0; i < chain->count; i++) {
        gnutls_x509_crt_deinit(chain->certificates[i]);
    }
}

static void key_clear(gnutls_x509_privkey_t *key)
{
    gnutls_x509_privkey_deinit(*key); /* NULL is fine */
}

static bool fail_gnutls(struct error *err, int result, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool fail_gnutls(struct error *err, int result, const char *format, ...)
{
    char message[sizeof(err->message)];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    (void)!fail(err, ERROR_CONFIG, "%s", message);
    err->cause.library = "gnutls";
    err->cause.number = (unsigned long)-result;
    (void)snprintf(err->cause.text, sizeof(err->cause.text), "%s", gnutls_strerror(result));
    return false;
}

/* GnuTLS would load every PKCS#11 module that p11-kit knows of, into the process that must never
 * hold one, when it first needs any. This says that none is wanted. And it frees what it decrypted as
 * it is, codes and client secrets. */
static void prepare_for_gnutls(void)
{
    (void)gnutls_pkcs11_init(GNUTLS_PKCS11_FLAG_MANUAL, NULL);
    process_wipe_freed_memory();
}

/* ---- files ---- */

struct day {
    char text[16];
};

static struct day day_of(int64_t seconds)
{
    struct day day;
    struct tm parts;
    const time_t time = (time_t)seconds;

    (void)gmtime_r(&time, &parts);
    (void)strftime(day.text, sizeof(day.text), "%Y-%m-%d", &parts);
    return day;
}

/* Not a FIFO's, which would have us wait. The caller frees. */
static bool read_text(const char *path, char **text_out, struct error *err)
{
    struct stat status;
    scoped(release_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0 || fstat(fd, &status) != 0) {
        return sandbox_fail_open(err, path);
    }
    if (!S_ISREG(status.st_mode) || status.st_size > FILE_SIZE_MAX) {
        return fail(err, ERROR_CONFIG, "%s is not a regular file of at most %d bytes", path,
                    FILE_SIZE_MAX);
    }
    if ((status.st_mode & 022) != 0) {
        return fail(err, ERROR_CONFIG, "%s can be written by others (mode %04o): chmod go-w it",
                    path, (unsigned)(status.st_mode & 07777));
    }
    scoped(release_memory) char *text = xcalloc(1, FILE_SIZE_MAX + 1);
    if (read(fd, text, FILE_SIZE_MAX) < 0) {
        return fail_errno(err, ERROR_CONFIG, "%s cannot be read", path);
    }
    *text_out = take(text);
    return true;
}

static bool read_chain(const char *path, struct chain *chain, struct error *err)
{
    scoped(release_memory) char *text = NULL;

    if (!read_text(path, &text, err)) {
        return false;
    }
    const gnutls_datum_t pem = { .data = (unsigned char *)text, .size = (unsigned)strlen(text) };
    unsigned count = CERTIFICATES_MAX;
    const int result =
        gnutls_x509_crt_list_import(chain->certificates, &count, &pem, GNUTLS_X509_FMT_PEM,
                                    GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED);
    if (result < 0) {
        return fail_gnutls(err, result, "%s holds no PEM certificates, or more than %d", path,
                           CERTIFICATES_MAX);
    }
    chain->count = (unsigned)result;
    return true;
}

static bool read_key(const char *path, gnutls_x509_privkey_t *key_out, struct error *err)
{
    scoped(secret_key_file_clear) struct secret_key_file file = { .length = 0 };

    if (!secret_read_key_file(path, &file, err)) {
        return false;
    }
    const gnutls_datum_t pem = { .data = (unsigned char *)file.text,
                                 .size = (unsigned)file.length };
    int result = gnutls_x509_privkey_init(key_out);
    if (result >= 0) {
        result = gnutls_x509_privkey_import2(*key_out, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
    }
    return result >= 0
        || fail_gnutls(err, result, "%s is no PEM private key without a passphrase", path);
}

/* ---- what must hold ---- */

static bool is_valid_at(gnutls_x509_crt_t certificate, int64_t now_s)
{
    return gnutls_x509_crt_get_activation_time(certificate) <= now_s
        && gnutls_x509_crt_get_expiration_time(certificate) > now_s;
}

static bool check_time(const char *path, gnutls_x509_crt_t certificate, int64_t now_s,
                       struct error *err)
{
    const int64_t begin_s = gnutls_x509_crt_get_activation_time(certificate);
    const int64_t end_s = gnutls_x509_crt_get_expiration_time(certificate);

    if (begin_s > now_s) {
        return fail(err, ERROR_CONFIG, "%s is not valid before %s: wait, or set the clock", path,
                    day_of(begin_s).text);
    }
    return end_s > now_s
        || fail(err, ERROR_CONFIG, "%s has expired on %s: renew it", path, day_of(end_s).text);
}

static bool is_ca(gnutls_x509_crt_t certificate)
{
    unsigned critical = 0;
    return gnutls_x509_crt_get_ca_status(certificate, &critical) > 0;
}

/* RFC 8446 4.4.2: each certificate certifies the one before it. */
static bool check_issuers(const char *path, const struct chain *chain, struct error *err)
{
    for (unsigned i = 1; i < chain->count; i++) {
        if (gnutls_x509_crt_check_issuer(chain->certificates[i - 1], chain->certificates[i]) != 1) {
            return fail(err, ERROR_CONFIG,
                        "%s: certificate %u did not issue the one before it: put the server's own"
                        " first, then each one's issuer",
                        path, i + 1);
        }
        if (!is_ca(chain->certificates[i])) {
            return fail(err, ERROR_CONFIG, "%s: certificate %u is no CA's (basicConstraints)", path,
                        i + 1);
        }
    }
    return true;
}

static bool check_public_key(const char *path, gnutls_x509_crt_t own, struct error *err)
{
    unsigned bits = 0;
    const int algorithm = gnutls_x509_crt_get_pk_algorithm(own, &bits);

    if (algorithm != GNUTLS_PK_RSA && algorithm != GNUTLS_PK_ECDSA) {
        return fail(err, ERROR_CONFIG, "%s has a key that is neither RSA nor ECDSA", path);
    }
    const unsigned least = algorithm == GNUTLS_PK_RSA ? RSA_BITS_MIN : EC_BITS_MIN;
    return bits >= least
        || fail(err, ERROR_CONFIG, "%s has a key of %u bits: %u is the least, make another one",
                path, bits, least);
}

static bool check_chain(const char *path, const struct chain *chain, int64_t now_s,
                        struct error *err)
{
    const gnutls_x509_crt_t own = chain->certificates[0];

    if (!check_public_key(path, own, err) || !check_issuers(path, chain, err)) {
        return false;
    }
    if (!gnutls_x509_crt_check_key_purpose(own, GNUTLS_KP_TLS_WWW_SERVER, 0)) {
        return fail(err, ERROR_CONFIG, "%s is not for TLS servers (extended key usage serverAuth)",
                    path);
    }
    for (unsigned i = 0; i < chain->count; i++) {
        if (!check_time(path, chain->certificates[i], now_s, err)) {
            return false;
        }
    }
    return true;
}

/* One that has expired may stand beside its successor: it vouches for nobody any more. */
static bool check_client_cas(const char *path, const struct chain *cas, int64_t now_s,
                             struct error *err)
{
    bool any_is_valid = false;

    for (unsigned i = 0; i < cas->count; i++) {
        if (!is_ca(cas->certificates[i])) {
            return fail(err, ERROR_CONFIG,
                        "%s: certificate %u is no CA's (basicConstraints): it could vouch for"
                        " nobody",
                        path, i + 1);
        }
        any_is_valid = any_is_valid || is_valid_at(cas->certificates[i], now_s);
    }
    return any_is_valid
        || fail(err, ERROR_CONFIG, "%s: none of its CA certificates is valid now: renew them",
                path);
}

/* ---- credentials ---- */

/* A CA that has its own certificate published is one that clients need not know. */
static bool names_its_issuer(gnutls_x509_crt_t certificate)
{
    gnutls_datum_t url = { .data = NULL };
    const int result = gnutls_x509_crt_get_authority_info_access(
        certificate, 0, GNUTLS_IA_CAISSUERS_URI, &url, NULL);

    gnutls_free(url.data);
    return result >= 0;
}

static void note_chain(struct tls_credentials *self, const char *path, const struct chain *chain)
{
    self->certificate_file = xstrdup(path);
    self->lacks_issuers = chain->count == 1 && names_its_issuer(chain->certificates[0]);
    self->end_s = INT64_MAX;
    for (unsigned i = 0; i < chain->count; i++) {
        const int64_t end_s = gnutls_x509_crt_get_expiration_time(chain->certificates[i]);
        self->end_s = end_s < self->end_s ? end_s : self->end_s;
    }
}

static bool set_certificate(struct tls_credentials *self, const struct tls_files *files,
                            int64_t now_s, struct error *err)
{
    scoped(chain_clear) struct chain chain = { .count = 0 };

    if (!read_chain(files->certificate, &chain, err)
        || !check_chain(files->certificate, &chain, now_s, err)) {
        return error_context(err, "tls_certificate_file");
    }
    scoped(key_clear) gnutls_x509_privkey_t key = NULL;
    if (!read_key(files->key, &key, err)) {
        return error_context(err, "tls_key_file");
    }
    const int result =
        gnutls_certificate_set_x509_key(self->x509, chain.certificates, (int)chain.count, key);
    if (result < 0) {
        return fail_gnutls(err, result, "tls_key_file: %s is not the key of the certificate in %s",
                           files->key, files->certificate);
    }
    note_chain(self, files->certificate, &chain);
    return true;
}

static bool set_client_ca(struct tls_credentials *self, const char *path, int64_t now_s,
                          struct error *err)
{
    scoped(chain_clear) struct chain cas = { .count = 0 };

    if (!read_chain(path, &cas, err) || !check_client_cas(path, &cas, now_s, err)) {
        return error_context(err, "tls_client_ca_file");
    }
    const int result =
        gnutls_certificate_set_x509_trust(self->x509, cas.certificates, (int)cas.count);
    self->asks_for_client = true;
    return result >= 0 || fail_gnutls(err, result, "tls_client_ca_file: trust %s", path);
}

bool tls_credentials_load(const struct tls_files *files, int64_t now_s,
                          struct tls_credentials **credentials_out, struct error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    scoped(release_tls_credentials) struct tls_credentials *self = xcalloc(1, sizeof(*self));

    (void)pthread_once(&once, prepare_for_gnutls);
    atomic_init(&self->references, 1);
    const int result = gnutls_certificate_allocate_credentials(&self->x509);
    if (result < 0) {
        return fail_gnutls(err, result, "make TLS credentials");
    }
    const bool is_set =
        set_certificate(self, files, now_s, err)
        && (files->client_ca[0] == '\0' || set_client_ca(self, files->client_ca, now_s, err));
    process_wipe_kept_memory(); /* the key's PEM, on its way */
    if (!is_set) {
        return false;
    }
    *credentials_out = take(self);
    return true;
}

struct tls_credentials *tls_credentials_share(struct tls_credentials *self)
{
    atomic_fetch_add(&self->references, 1);
    return self;
}

void tls_credentials_release(struct tls_credentials *self)
{
    if (self == NULL || atomic_fetch_sub(&self->references, 1) > 1) {
        return;
    }
    if (self->x509 != NULL) {
        gnutls_certificate_free_credentials(self->x509);
    }
    free(self->certificate_file);
    free(self);
}

int64_t tls_credentials_end_s(const struct tls_credentials *self)
{
    return self->end_s;
}

size_t tls_credentials_advise(const struct tls_credentials *self, int64_t now_s,
                              struct tls_advice advice_out[static TLS_ADVICE_MAX])
{
    size_t count = 0;

    if (self->end_s - now_s < SOON_S) {
        (void)snprintf(advice_out[count++].text, sizeof(advice_out->text),
                       "%s expires on %s: renew it", self->certificate_file,
                       day_of(self->end_s).text);
    }
    if (self->lacks_issuers) {
        (void)snprintf(advice_out[count++].text, sizeof(advice_out->text),
                       "%s holds the server's own certificate alone: put those of its issuers"
                       " behind it, or clients may not trust it",
                       self->certificate_file);
    }
    return count;
}

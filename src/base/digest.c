#include "base/digest.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;
static EVP_MD *sha256_algorithm; /* of the process, never freed */

static void fetch_sha256(void)
{
    sha256_algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
}

/* Fetched once: SHA256() looks the algorithm up at every call, which takes longer than to hash an
 * entry of the ledger. */
struct digest sha256(const void *bytes, size_t length)
{
    struct digest digest;

    (void)pthread_once(&sha256_once, fetch_sha256);
    if (sha256_algorithm == NULL
        || EVP_Digest(bytes, length, digest.bytes, NULL, sha256_algorithm, NULL) != 1) {
        abort(); /* no provider or no memory; a digest of what lay on the stack is worse */
    }
    return digest;
}

struct digest384 sha384(const void *bytes, size_t length)
{
    struct digest384 digest;
    if (SHA384(bytes, length, digest.bytes) == NULL) {
        abort();
    }
    return digest;
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return CRYPTO_memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* getrandom(2), not RAND_bytes: no engine or module that a library loads can replace it. */
void random_bytes(void *out, size_t length)
{
    uint8_t *at = out;
    while (length > 0) {
        const ssize_t got = getrandom(at, length, 0);
        if (got > 0) {
            at += got;
            length -= (size_t)got;
        } else if (got < 0 && errno != EINTR) {
            abort();
        }
    }
}

#include "base/digest.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include <openssl/crypto.h>
#include <openssl/sha.h>

struct digest sha256(const void *bytes, size_t length)
{
    struct digest digest;
    if (SHA256(bytes, length, digest.bytes) == NULL) {
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

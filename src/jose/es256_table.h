/*
 * ECDSA verification (FIPS 186-5 6.4.2) for one P-256 key that will verify thousands of signatures.
 * OpenSSL multiplies its built-in base point three times as fast as any other, by a table; here the
 * key's own point gets such a table. A verification then takes a third of EVP_PKEY_verify()'s time.
 * Nothing here is secret.
 */
#pragma once

#include "base/digest.h"
#include "jose/jws.h"

struct es256_table;

/* Takes about 20 ms. NULL if this OpenSSL makes no such tables. The caller owns the result. */
struct es256_table *es256_table_new(EVP_PKEY *key);

/* The same table for another thread: only scratch space is new. */
struct es256_table *es256_table_clone(const struct es256_table *table);

/* True only for R || S, both within [1, n - 1], that are the key's signature of the digest. */
bool es256_table_verify(struct es256_table *table, const struct digest *digest,
                        const uint8_t halves[static 2 * ES256_HALF]);

void es256_table_free(struct es256_table *table);

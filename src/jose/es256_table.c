#define OPENSSL_SUPPRESS_DEPRECATED /* EC_GROUP_precompute_mult() has no successor */

#include "jose/es256_table.h"

#include <stdlib.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/objects.h>

#include "base/memory.h"
#include "jose/p256_order.h"

enum { POINT_SIZE = 1 + 2 * ES256_HALF };

struct es256_table {
    EC_GROUP *curve; /* P-256 with its own base point G */
    EC_GROUP *keyed; /* P-256 with the key Q for a base point, and Q's table */
    BN_CTX *context;
    EC_POINT *base_part;
    EC_POINT *key_part;
    BIGNUM *r, *s, *e, *inverse, *u1, *u2, *x;
};

DEFINE_RELEASE(release_table, struct es256_table, es256_table_free)

/* Takes over `keyed`. */
static struct es256_table *table_around(EC_GROUP *keyed)
{
    scoped(release_table) struct es256_table *self = xcalloc(1, sizeof(*self));
    BIGNUM **const numbers[] = { &self->r,  &self->s,  &self->e, &self->inverse,
                                 &self->u1, &self->u2, &self->x };
    bool good = true;

    self->keyed = keyed;
    self->curve = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    self->context = BN_CTX_new();
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        *numbers[i] = BN_new();
        good = good && *numbers[i] != NULL;
    }
    if (!good || self->keyed == NULL || self->curve == NULL || self->context == NULL) {
        return NULL;
    }
    self->base_part = EC_POINT_new(self->curve);
    self->key_part = EC_POINT_new(self->curve);
    return self->base_part != NULL && self->key_part != NULL ? take(self) : NULL;
}

/* Puts the key in the base point's place and makes its table. */
static bool set_base_point(EC_GROUP *group, EVP_PKEY *key)
{
    uint8_t octets[POINT_SIZE];
    size_t length = 0;
    EC_POINT *point = EC_POINT_new(group);

    const bool good =
        point != NULL
        && EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, octets, sizeof(octets),
                                           &length)
               == 1
        && EC_POINT_oct2point(group, point, octets, length, NULL) == 1
        && EC_GROUP_set_generator(group, point, EC_GROUP_get0_order(group), BN_value_one()) == 1
        && EC_GROUP_precompute_mult(group, NULL) == 1 && EC_GROUP_have_precompute_mult(group) == 1;
    EC_POINT_free(point);
    return good;
}

struct es256_table *es256_table_new(EVP_PKEY *key)
{
    EC_GROUP *keyed = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);

    if (keyed == NULL || !set_base_point(keyed, key)) {
        EC_GROUP_free(keyed);
        return NULL;
    }
    return table_around(keyed);
}

struct es256_table *es256_table_clone(const struct es256_table *table)
{
    return table_around(EC_GROUP_dup(table->keyed)); /* shares the table by a reference count */
}

static bool in_range(const BIGNUM *number, const BIGNUM *order)
{
    return !BN_is_zero(number) && BN_cmp(number, order) < 0;
}

bool es256_table_verify(struct es256_table *self, const struct digest *digest,
                        const uint8_t halves[static 2 * ES256_HALF])
{
    const BIGNUM *n = EC_GROUP_get0_order(self->curve);
    BN_CTX *context = self->context;

    return BN_bin2bn(halves, ES256_HALF, self->r) != NULL
        && BN_bin2bn(halves + ES256_HALF, ES256_HALF, self->s) != NULL
        && BN_bin2bn(digest->bytes, sizeof(digest->bytes), self->e) != NULL && in_range(self->r, n)
        && in_range(self->s, n) && p256_order_inverse(self->inverse, self->s)
        && BN_mod_mul(self->u1, self->e, self->inverse, n, context) == 1
        && BN_mod_mul(self->u2, self->r, self->inverse, n, context) == 1
        && EC_POINT_mul(self->curve, self->base_part, self->u1, NULL, NULL, context) == 1
        && EC_POINT_mul(self->keyed, self->key_part, self->u2, NULL, NULL, context) == 1
        && EC_POINT_add(self->curve, self->base_part, self->base_part, self->key_part, context) == 1
        && EC_POINT_get_affine_coordinates(self->curve, self->base_part, self->x, NULL, context)
               == 1 /* fails at infinity */
        && BN_nnmod(self->x, self->x, n, context) == 1 && BN_cmp(self->x, self->r) == 0;
}

void es256_table_free(struct es256_table *self)
{
    if (self == NULL) {
        return;
    }
    EC_POINT_free(self->base_part);
    EC_POINT_free(self->key_part);
    EC_GROUP_free(self->keyed);
    EC_GROUP_free(self->curve);
    BN_free(self->r);
    BN_free(self->s);
    BN_free(self->e);
    BN_free(self->inverse);
    BN_free(self->u1);
    BN_free(self->u2);
    BN_free(self->x);
    BN_CTX_free(self->context);
    free(self);
}

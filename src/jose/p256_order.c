#include "jose/p256_order.h"

#include <stdint.h>

enum { WORDS = 4, WORD_BITS = 64 }; /* the loops over words are unrolled: it halves the time */

__extension__ typedef unsigned __int128 double_word;

struct words {
    uint64_t at[WORDS]; /* the least significant first */
};

static const struct words order = { { 0xf3b9cac2fc632551, 0xbce6faada7179e84, 0xffffffffffffffff,
                                      0xffffffff00000000 } };

/* -1 / n modulo 2^64 */
static const uint64_t order_factor = 0xccd1c8aaee00bc4f;

/* a - b. *borrow_out: it is 2^256 too much, for b is greater. */
static inline struct words subtract(const struct words *a, const struct words *b, bool *borrow_out)
{
    struct words difference;
    uint64_t borrow = 0;

#pragma GCC unroll 4
    for (int i = 0; i < WORDS; i++) {
        const double_word word = (double_word)a->at[i] - b->at[i] - borrow;
        difference.at[i] = (uint64_t)word;
        borrow = (uint64_t)(word >> WORD_BITS) & 1;
    }
    *borrow_out = borrow != 0;
    return difference;
}

/* a + factor * n, without what does not fit into 2^256. *carry_out: that. */
static inline struct words add_order(const struct words *a, uint64_t factor, uint64_t *carry_out)
{
    struct words sum;
    double_word carry = 0;

#pragma GCC unroll 4
    for (int i = 0; i < WORDS; i++) {
        carry += (double_word)factor * order.at[i] + a->at[i];
        sum.at[i] = (uint64_t)carry;
        carry >>= WORD_BITS;
    }
    *carry_out = (uint64_t)carry;
    return sum;
}

/* 0 < bits < 64; `carry` stands before a. */
static inline struct words shift(const struct words *a, uint64_t carry, unsigned bits)
{
    struct words shifted;

#pragma GCC unroll 4
    for (int i = 0; i < WORDS; i++) {
        const uint64_t next = i + 1 < WORDS ? a->at[i + 1] : carry;
        shifted.at[i] = a->at[i] >> bits | next << (WORD_BITS - bits);
    }
    return shifted;
}

static inline bool is_zero(const struct words *a)
{
    return (a->at[0] | a->at[1] | a->at[2] | a->at[3]) == 0;
}

/* Divides `value` by two until it is odd, and `coefficient` as often, modulo n. */
static inline void make_odd(struct words *value, struct words *coefficient)
{
    while ((value->at[0] & 1) == 0) {
        const unsigned bits =
            value->at[0] == 0 ? WORD_BITS - 1 : (unsigned)__builtin_ctzll(value->at[0]);
        const uint64_t mask = ((uint64_t)1 << bits) - 1;
        uint64_t carry;

        *coefficient = add_order(coefficient, coefficient->at[0] * order_factor & mask, &carry);
        *coefficient = shift(coefficient, carry, bits);
        *value = shift(value, 0, bits);
    }
}

/* a - b modulo n */
static inline struct words subtract_modulo(const struct words *a, const struct words *b)
{
    bool borrow;
    uint64_t carry;
    const struct words difference = subtract(a, b, &borrow);

    return borrow ? add_order(&difference, 1, &carry) : difference;
}

/* Stein's algorithm, with one coefficient for each side (Knuth, TAOCP 4.5.2, exercise 39): u = x * number
 * and v = y * number modulo n throughout, and both are 1 in the end, for n is prime. */
static struct words inverse_of(struct words u)
{
    struct words v = order;
    struct words x = { { 1 } };
    struct words y = { { 0 } };

    make_odd(&u, &x);
    for (;;) {
        bool is_less;
        const struct words difference = subtract(&u, &v, &is_less);
        if (is_less) {
            v = subtract(&v, &u, &is_less);
            y = subtract_modulo(&y, &x);
            make_odd(&v, &y);
        } else if (is_zero(&difference)) {
            return x;
        } else {
            u = difference;
            x = subtract_modulo(&x, &y);
            make_odd(&u, &x);
        }
    }
}

bool p256_order_inverse(BIGNUM *inverse_out, const BIGNUM *number)
{
    uint8_t bytes[WORDS * sizeof(uint64_t)];
    struct words words = { { 0 } };

    if (BN_bn2lebinpad(number, bytes, sizeof(bytes)) < 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof(bytes); i++) {
        words.at[i / sizeof(uint64_t)] |= (uint64_t)bytes[i] << 8 * (i % sizeof(uint64_t));
    }
    words = inverse_of(words);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(words.at[i / sizeof(uint64_t)] >> 8 * (i % sizeof(uint64_t)));
    }
    return BN_lebin2bn(bytes, sizeof(bytes), inverse_out) != NULL;
}

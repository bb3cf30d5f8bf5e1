/*
 * One pass over the text by recursive descent, at most JSON_DEPTH_MAX deep. The same function
 * decodes a character when a string is checked and when two names are compared, so an escape
 * cannot mean one thing here and another there.
 */
#include "base/json_check.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct scanner {
    const char *at;
    const char *end;
    unsigned depth;
    unsigned values;
    const char *fault; /* NULL: none. What is wrong at `at` */
};

/* The names of one object: where each begins, behind its quote, and a hash of its characters. */
struct names {
    unsigned count;
    uint32_t hashes[JSON_MEMBERS_MAX];
    const char *starts[JSON_MEMBERS_MAX];
};

static bool fault(struct scanner *scanner, const char *what)
{
    scanner->fault = what;
    return false;
}

static bool accept(struct scanner *scanner, char c)
{
    if (scanner->at == scanner->end || *scanner->at != c) {
        return false;
    }
    scanner->at++;
    return true;
}

static void skip_space(struct scanner *scanner)
{
    while (accept(scanner, ' ') || accept(scanner, '\n') || accept(scanner, '\r')
           || accept(scanner, '\t')) {
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The four digits behind "\u". */
static bool utf16_unit(struct scanner *scanner, uint32_t *unit_out)
{
    uint32_t unit = 0;
    for (int i = 0; i < 4; i++) {
        const int digit = scanner->at < scanner->end ? hex_digit(*scanner->at) : -1;
        if (digit < 0) {
            return fault(scanner, "\\u without four hexadecimal digits");
        }
        unit = unit << 4 | (uint32_t)digit;
        scanner->at++;
    }
    *unit_out = unit;
    return true;
}

static bool utf16_escape(struct scanner *scanner, uint32_t *character_out)
{
    uint32_t low;

    if (!utf16_unit(scanner, character_out)) {
        return false;
    }
    if (*character_out == 0) {
        return fault(scanner, "\\u0000"); /* a C string would end here */
    }
    if (*character_out < 0xd800 || *character_out > 0xdfff) {
        return true;
    }
    if (*character_out > 0xdbff || !accept(scanner, '\\') || !accept(scanner, 'u')) {
        return fault(scanner, "unpaired surrogate");
    }
    if (!utf16_unit(scanner, &low)) {
        return false;
    }
    if (low < 0xdc00 || low > 0xdfff) {
        return fault(scanner, "unpaired surrogate");
    }
    *character_out = 0x10000 + ((*character_out - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

/* What follows a backslash. */
static bool escape(struct scanner *scanner, uint32_t *character_out)
{
    static const char NAMES[] = "\"\\/bfnrt";
    static const char MEANINGS[] = "\"\\/\b\f\n\r\t";

    if (accept(scanner, 'u')) {
        return utf16_escape(scanner, character_out);
    }
    const char *name =
        scanner->at < scanner->end ? memchr(NAMES, *scanner->at, sizeof(NAMES) - 1) : NULL;
    if (name == NULL) {
        return fault(scanner, "unknown escape");
    }
    scanner->at++;
    *character_out = (unsigned char)MEANINGS[name - NAMES];
    return true;
}

/* A character of two to four bytes (RFC 3629 4). */
static bool utf8_sequence(struct scanner *scanner, uint32_t *character_out)
{
    static const uint32_t LEAST[] = { 0, 0x80, 0x800, 0x10000 }; /* by tail; less is overlong */
    const uint32_t lead = (unsigned char)*scanner->at;
    const size_t tail = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;

    if (lead < 0xc2 || lead > 0xf4 || (size_t)(scanner->end - scanner->at) <= tail) {
        return fault(scanner, "invalid UTF-8");
    }
    uint32_t character = lead & (0x3fU >> tail);
    for (size_t i = 1; i <= tail; i++) {
        const uint32_t byte = (unsigned char)scanner->at[i];
        if ((byte & 0xc0) != 0x80) {
            return fault(scanner, "invalid UTF-8");
        }
        character = character << 6 | (byte & 0x3f);
    }
    if (character < LEAST[tail] || character > 0x10ffff
        || (character >= 0xd800 && character <= 0xdfff)) {
        return fault(scanner, "invalid UTF-8");
    }
    scanner->at += tail + 1;
    *character_out = character;
    return true;
}

/* One character of a string; the caller has seen that it is there and not the closing quote. */
static bool string_character(struct scanner *scanner, uint32_t *character_out)
{
    const unsigned char byte = (unsigned char)*scanner->at;

    if (byte >= 0x80) {
        return utf8_sequence(scanner, character_out);
    }
    if (byte < 0x20) {
        return fault(scanner, "raw control byte in a string");
    }
    scanner->at++;
    *character_out = byte;
    return byte != '\\' || escape(scanner, character_out);
}

/* Eight characters at a time, as long as each is ASCII that means itself: no control, quote or
 * backslash. A byte is zero where (word - 0x01..) & ~word has its high bit. */
static void skip_plain(struct scanner *scanner)
{
    const uint64_t ones = 0x0101010101010101U;
    uint64_t word;

    while (scanner->end - scanner->at >= (ptrdiff_t)sizeof(word)) {
        memcpy(&word, scanner->at, sizeof(word));
        const uint64_t quote = word ^ ones * '"';
        const uint64_t backslash = word ^ ones * '\\';
        const uint64_t special = word | ((word - ones * ' ') & ~word) | ((quote - ones) & ~quote)
                               | ((backslash - ones) & ~backslash);
        if ((special & ones * 0x80) != 0) {
            return;
        }
        scanner->at += sizeof(word);
    }
}

/* The rest of a string that is a value. */
static bool text_rest(struct scanner *scanner)
{
    uint32_t character;

    skip_plain(scanner);
    while (!accept(scanner, '"')) {
        if (scanner->at == scanner->end) {
            return fault(scanner, "string without an end");
        }
        if (!string_character(scanner, &character)) {
            return false;
        }
    }
    return true;
}

/* The rest of a name behind its quote. The hash is FNV-1a over characters. */
static bool name_rest(struct scanner *scanner, uint32_t *hash_out)
{
    uint32_t hash = 2166136261U;
    uint32_t character;

    while (!accept(scanner, '"')) {
        if (scanner->at == scanner->end) {
            return fault(scanner, "string without an end");
        }
        if (!string_character(scanner, &character)) {
            return false;
        }
        hash = (hash ^ character) * 16777619U;
    }
    *hash_out = hash;
    return true;
}

/* Both names have passed name_rest(), so they decode and end. */
static bool same_name(const char *a, const char *b, const char *end)
{
    struct scanner left = { .at = a, .end = end };
    struct scanner right = { .at = b, .end = end };
    uint32_t of_left = 0;
    uint32_t of_right = 0;

    while (*left.at != '"' && *right.at != '"') {
        if (!string_character(&left, &of_left) || !string_character(&right, &of_right)
            || of_left != of_right) {
            return false;
        }
    }
    return *left.at == *right.at;
}

static bool name(struct scanner *scanner, struct names *names)
{
    uint32_t hash;

    if (!accept(scanner, '"')) {
        return fault(scanner, "expected a name");
    }
    const char *start = scanner->at;
    if (!name_rest(scanner, &hash)) {
        return false;
    }
    if (names->count == JSON_MEMBERS_MAX) {
        return fault(scanner, "too many members");
    }
    for (unsigned i = 0; i < names->count; i++) {
        if (names->hashes[i] == hash && same_name(names->starts[i], start, scanner->end)) {
            return fault(scanner, "a name twice in one object");
        }
    }
    names->hashes[names->count] = hash;
    names->starts[names->count++] = start;
    return true;
}

static size_t skip_digits(struct scanner *scanner)
{
    const char *start = scanner->at;
    while (scanner->at < scanner->end && *scanner->at >= '0' && *scanner->at <= '9') {
        scanner->at++;
    }
    return (size_t)(scanner->at - start);
}

static bool exponent(struct scanner *scanner, int64_t *exponent_out)
{
    const bool negative = accept(scanner, '-');
    if (!negative) {
        (void)accept(scanner, '+');
    }
    const char *digit = scanner->at;
    if (skip_digits(scanner) == 0) {
        return fault(scanner, "exponent without a digit");
    }
    int64_t value = 0;
    for (; digit < scanner->at && value < INT32_MAX; digit++) {
        value = value * 10 + (*digit - '0');
    }
    *exponent_out = negative ? -value : value;
    return true;
}

/* Follows the power of ten of the first digit that is not zero: that tells whether a double holds
 * the number, with neither a copy nor strtod and its locale. */
static bool number(struct scanner *scanner)
{
    int64_t power = 0;
    int64_t shift = 0;

    (void)accept(scanner, '-');
    bool zero = accept(scanner, '0');
    if (!zero) {
        const size_t whole = skip_digits(scanner);
        if (whole == 0) {
            return fault(scanner, "expected a value");
        }
        power = (int64_t)whole - 1;
    }
    if (accept(scanner, '.')) {
        const char *fraction = scanner->at;
        while (zero && accept(scanner, '0')) {
            power--;
        }
        if (skip_digits(scanner) > 0 && zero) {
            power--;
            zero = false;
        }
        if (scanner->at == fraction) {
            return fault(scanner, "decimal point without a digit");
        }
    }
    if ((accept(scanner, 'e') || accept(scanner, 'E')) && !exponent(scanner, &shift)) {
        return false;
    }
    return zero || power + shift < 308 || fault(scanner, "number out of range");
}

static bool literal(struct scanner *scanner, const char *word)
{
    const size_t length = strlen(word);
    if ((size_t)(scanner->end - scanner->at) < length || memcmp(scanner->at, word, length) != 0) {
        return fault(scanner, "expected a value");
    }
    scanner->at += length;
    return true;
}

static bool value(struct scanner *scanner);

static bool array_rest(struct scanner *scanner)
{
    skip_space(scanner);
    if (accept(scanner, ']')) {
        return true;
    }
    do {
        if (!value(scanner)) {
            return false;
        }
    } while (accept(scanner, ','));
    return accept(scanner, ']') || fault(scanner, "expected , or ]");
}

static bool object_rest(struct scanner *scanner)
{
    struct names names;
    names.count = 0; /* and the rest as it is: it is 3 KiB, and most objects have few members */

    skip_space(scanner);
    if (accept(scanner, '}')) {
        return true;
    }
    do {
        skip_space(scanner);
        if (!name(scanner, &names)) {
            return false;
        }
        skip_space(scanner);
        if (!accept(scanner, ':')) {
            return fault(scanner, "expected :");
        }
        if (!value(scanner)) {
            return false;
        }
    } while (accept(scanner, ','));
    return accept(scanner, '}') || fault(scanner, "expected , or }");
}

static bool nested(struct scanner *scanner, bool (*rest)(struct scanner *))
{
    if (scanner->depth == JSON_DEPTH_MAX) {
        return fault(scanner, "nested too deep");
    }
    scanner->depth++;
    const bool good = rest(scanner);
    scanner->depth--;
    return good;
}

static bool bare_value(struct scanner *scanner)
{
    if (accept(scanner, '"')) {
        return text_rest(scanner);
    }
    if (accept(scanner, '{')) {
        return nested(scanner, object_rest);
    }
    if (accept(scanner, '[')) {
        return nested(scanner, array_rest);
    }
    switch (scanner->at < scanner->end ? *scanner->at : '\0') {
    case 't':
        return literal(scanner, "true");
    case 'f':
        return literal(scanner, "false");
    case 'n':
        return literal(scanner, "null");
    default:
        return number(scanner);
    }
}

/* A value with the space around it. */
static bool value(struct scanner *scanner)
{
    skip_space(scanner);
    if (scanner->values == JSON_VALUES_MAX) {
        return fault(scanner, "too many values");
    }
    scanner->values++;
    if (!bare_value(scanner)) {
        return false;
    }
    skip_space(scanner);
    return true;
}

bool json_check(const char *text, size_t length, struct error *err)
{
    struct scanner scanner = { .at = text, .end = text + length };

    if (value(&scanner) && (scanner.at == scanner.end || fault(&scanner, "text after the value"))) {
        return true;
    }
    return fail(err, ERROR_INVALID_REQUEST, "not strict JSON: %s at byte %zu", scanner.fault,
                (size_t)(scanner.at - text));
}

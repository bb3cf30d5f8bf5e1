#include "hsm/lint_checkpoint.h"

#include <string.h>

#include "base/base64url.h"
#include "base/text.h"

enum { ROOT_CHARACTERS = 44 }; /* of 32 bytes in base64, the last one '=' */

#define SIZE_LIMIT (INT64_C(1) << 40)

/* What is left of the input. */
struct rest {
    const char *at;
    size_t length;
};

static bool skip(struct rest *rest, const char *text)
{
    const size_t length = strlen(text);

    if (rest->length < length || memcmp(rest->at, text, length) != 0) {
        return false;
    }
    *rest = (struct rest){ rest->at + length, rest->length - length };
    return true;
}

static size_t skip_some(struct rest *rest, const char *characters, size_t max)
{
    size_t count = 0;

    while (count < rest->length && count < max && rest->at[count] != '\0'
           && strchr(characters, rest->at[count]) != NULL) {
        count++;
    }
    *rest = (struct rest){ rest->at + count, rest->length - count };
    return count;
}

/* From 1, without a leading zero: a number has one form. */
static bool read_number(struct rest *rest, int64_t *number_out)
{
    const char *digits = rest->at;
    const size_t count = skip_some(rest, "0123456789", CHECKPOINT_DIGITS_MAX);

    *number_out = 0;
    for (size_t i = 0; i < count; i++) {
        *number_out = *number_out * 10 + (digits[i] - '0');
    }
    return count > 0 && digits[0] != '0';
}

static bool read_tree_name(struct rest *rest, struct text *name)
{
    const char *start = rest->at;
    int64_t epoch = 0;
    const bool good =
        skip_some(rest, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-",
                  CHECKPOINT_NODE_MAX)
            > 0
        && skip(rest, "/") && read_number(rest, &epoch);

    text_add_bytes(name, start, (size_t)(rest->at - start));
    return good && skip(rest, "\n");
}

static bool read_origin(const char *issuer, struct rest *rest, struct text *name, struct error *err)
{
    const char *scheme_end = strstr(issuer, "://");
    const char *log = scheme_end != NULL ? scheme_end + strlen("://") : issuer;

    return (skip(rest, log) && skip(rest, "/ledger/") && read_tree_name(rest, name))
        || fail(err, ERROR_LINT, "the origin is not a ledger of this issuer");
}

static bool read_size(struct rest *rest, int64_t *size_out, struct error *err)
{
    return (read_number(rest, size_out) && *size_out < SIZE_LIMIT && skip(rest, "\n"))
        || fail(err, ERROR_LINT, "the size is not a tree's");
}

/* Canonical base64 (RFC 4648 3.5, 4): base64url, but for two of its characters and the padding. */
static bool read_root(struct rest *rest, struct digest *root_out, struct error *err)
{
    char url[ROOT_CHARACTERS - 1];
    size_t length = 0;
    bool good = rest->length == ROOT_CHARACTERS + 1
             && memcmp(rest->at + ROOT_CHARACTERS - 1, "=\n", 2) == 0;

    for (size_t i = 0; good && i < sizeof(url); i++) {
        const char c = rest->at[i];
        good = c != '-' && c != '_';
        url[i] = c == '+' ? '-' : c == '/' ? '_' : c;
    }
    return (good
            && base64url_decode(url, sizeof(url), root_out->bytes, sizeof(root_out->bytes), &length)
            && length == sizeof(root_out->bytes))
        || fail(err, ERROR_LINT, "the root is not a line of 32 bytes in base64, the last one");
}

static struct checkpoint_tree *find_tree(struct checkpoint_policy *policy, const char *name)
{
    for (size_t i = 0; i < policy->tree_count; i++) {
        if (strcmp(policy->trees[i].name, name) == 0) {
            return &policy->trees[i];
        }
    }
    return NULL;
}

static bool remember(struct checkpoint_policy *policy, const struct checkpoint_tree *tree,
                     struct error *err)
{
    struct checkpoint_tree *before = find_tree(policy, tree->name);

    if (before == NULL && policy->tree_count == CHECKPOINT_TREES_MAX) {
        return fail(err, ERROR_LINT, "a tree more than the %d of this signer's life",
                    CHECKPOINT_TREES_MAX);
    }
    if (before != NULL && tree->size < before->size) {
        return fail(err, ERROR_LINT, "a tree of %lld entries, which had %lld before",
                    (long long)tree->size, (long long)before->size);
    }
    if (before != NULL && tree->size == before->size && !digest_equal(&tree->root, &before->root)) {
        return fail(err, ERROR_LINT, "another root of the same %lld entries",
                    (long long)tree->size);
    }
    *(before != NULL ? before : &policy->trees[policy->tree_count++]) = *tree;
    return true;
}

void checkpoint_policy_init(struct checkpoint_policy *policy, const char *issuer)
{
    *policy = (struct checkpoint_policy){ .issuer = issuer };
    pthread_mutex_init(&policy->lock, NULL);
}

bool lint_checkpoint(struct checkpoint_policy *policy, const char *input, size_t length,
                     struct error *err)
{
    struct checkpoint_tree tree = { .size = 0 };
    struct text name = text_over(tree.name, sizeof(tree.name));
    struct rest rest = { input, length };

    if (!read_origin(policy->issuer, &rest, &name, err) || !read_size(&rest, &tree.size, err)
        || !read_root(&rest, &tree.root, err)) {
        return false;
    }
    pthread_mutex_lock(&policy->lock);
    const bool good = remember(policy, &tree, err);
    pthread_mutex_unlock(&policy->lock);
    return good;
}

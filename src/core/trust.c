#include "core/trust.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct trust {
    _Atomic unsigned references;
    char *resolver_url;
    struct trusted_issuer *issuers; /* whose texts are owned */
    struct presentation_rules rules;
};

static struct trusted_issuer copy_of(const struct trusted_issuer *issuer)
{
    const char **types = xcalloc(issuer->type_count, sizeof(*types));

    for (size_t i = 0; i < issuer->type_count; i++) {
        types[i] = xstrdup(issuer->types[i]);
    }
    return (struct trusted_issuer){ .did = xstrdup(issuer->did),
                                    .types = types,
                                    .type_count = issuer->type_count };
}

static void clear(struct trusted_issuer *issuer)
{
    for (size_t i = 0; i < issuer->type_count; i++) {
        free((char *)issuer->types[i]);
    }
    free((void *)issuer->types);
    free((char *)issuer->did);
}

struct trust *trust_new(const struct trust_options *options)
{
    struct trust *self = xcalloc(1, sizeof(*self));

    atomic_init(&self->references, 1);
    self->resolver_url = xstrdup(options->resolver_url);
    self->issuers = xcalloc(options->issuer_count, sizeof(*self->issuers));
    for (size_t i = 0; i < options->issuer_count; i++) {
        self->issuers[i] = copy_of(&options->issuers[i]);
    }
    self->rules = (struct presentation_rules){
        .audience = options->audience,
        .trusted = self->issuers,
        .trusted_count = options->issuer_count,
        .resolver = self->resolver_url[0] != '\0' ? did_resolver_new(self->resolver_url) : NULL,
    };
    return self;
}

struct trust *trust_share(struct trust *self)
{
    atomic_fetch_add(&self->references, 1);
    return self;
}

void trust_release(struct trust *self)
{
    if (self == NULL || atomic_fetch_sub(&self->references, 1) > 1) {
        return;
    }
    did_resolver_free(self->rules.resolver);
    for (size_t i = 0; i < self->rules.trusted_count; i++) {
        clear(&self->issuers[i]);
    }
    free(self->issuers);
    free(self->resolver_url);
    free(self);
}

static bool same_issuer(const struct trusted_issuer *a, const struct trusted_issuer *b)
{
    bool same = strcmp(a->did, b->did) == 0 && a->type_count == b->type_count;

    for (size_t i = 0; same && i < a->type_count; i++) {
        same = strcmp(a->types[i], b->types[i]) == 0;
    }
    return same;
}

bool trust_is(const struct trust *self, const struct trust_options *options)
{
    bool same = strcmp(self->resolver_url, options->resolver_url) == 0
             && self->rules.trusted_count == options->issuer_count;

    for (size_t i = 0; same && i < options->issuer_count; i++) {
        same = same_issuer(&self->issuers[i], &options->issuers[i]);
    }
    return same;
}

const struct presentation_rules *trust_rules(const struct trust *self)
{
    return &self->rules;
}

#include "support/ledger.h"

#include <stdio.h>

#include "base/base64url.h"
#include "base/clock.h"
#include "support/health.h"
#include "support/store_query.h"

int64_t ledger_entries(const struct instance *instance)
{
    return store_number(instance, "SELECT count(*) FROM ledger WHERE entry ->> 'kind' = 'issued'",
                        NULL, NULL);
}

int64_t ledger_entries_of(const struct instance *instance, const struct digest *token)
{
    char text[BASE64URL_LENGTH(sizeof(token->bytes)) + 1] = "";

    (void)base64url_encode(text, token->bytes, sizeof(token->bytes));
    return store_number(instance, "SELECT count(*) FROM ledger WHERE entry ->> 'token' = $1", text,
                        NULL);
}

int64_t ledger_doubles(const struct instance *instance)
{
    return store_number(instance,
                        "SELECT count(*) - count(DISTINCT entry ->> 'authorization') FROM"
                        " ledger WHERE entry ->> 'kind' = 'issued'",
                        NULL, NULL);
}

int64_t ledger_keys(const struct instance *instance)
{
    return store_number(instance, "SELECT count(*) FROM keys", NULL, NULL);
}

bool ledger_edit(const struct instance *instance, const char *sql)
{
    return store_edit(instance, sql);
}

bool ledger_hold(const struct instance *instance, int ms)
{
    return store_hold(instance, ms);
}

bool ledger_agrees(const struct instance *instance, const struct load_book *book, unsigned others)
{
    const int64_t entries = ledger_entries(instance);
    const int64_t doubles = ledger_doubles(instance);
    const bool agrees = book->wrong == 0 && book->unanswered == 0 && book->issued > 0
                     && book->slowest_ns <= ANSWER_S * NS_PER_S && entries == book->issued + others
                     && doubles == 0;
    if (!agrees) {
        fprintf(stderr,
                "\nload: issued=%u wrong=%u unanswered=%u refusals=%u slowest_ms=%lld; ledger: "
                "entries=%lld others=%u doubles=%lld\n",
                book->issued, book->wrong, book->unanswered, book->refusals,
                (long long)(book->slowest_ns / NS_PER_MS), (long long)entries, others,
                (long long)doubles);
    }
    return agrees;
}

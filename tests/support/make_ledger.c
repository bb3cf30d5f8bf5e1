/*
 * Makes a ledger in DIR: store.db, with the public half of its audit key in audit.pem.
 *
 *   make_ledger DIR ENTRIES EVERY [ALGORITHM]      a checkpoint after EVERY entries; 0: none
 */
#include <stdio.h>
#include <stdlib.h>

#include "support/made_ledger.h"

enum { BATCH_MAX = 1000 };

int main(int argc, char **argv)
{
    struct made_ledger made;

    if (argc < 4) {
        (void)fprintf(stderr, "make_ledger DIR ENTRIES EVERY [ALGORITHM]\n");
        return 64;
    }
    const long entries = strtol(argv[2], NULL, 10);
    const long every = strtol(argv[3], NULL, 10);
    made_ledger_open(&made, argv[1], "node-1", argc > 4 ? argv[4] : "ES256");
    for (long done = 0; done < entries;) {
        long batch = entries - done < BATCH_MAX ? entries - done : BATCH_MAX;
        if (every > 0 && batch > every - done % every) {
            batch = every - done % every;
        }
        made_ledger_append(&made, (int)batch);
        done += batch;
        if (every > 0 && done % every == 0) {
            made_ledger_checkpoint(&made);
        }
    }
    made_ledger_close(&made);
    return 0;
}

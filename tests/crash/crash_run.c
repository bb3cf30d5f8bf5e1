/*
 * The crash run, one part of it: a started issuerd under a load is killed, or its disk fails it, and
 * after each the checker (tests/faults/check.py) holds what clients saw against the store.
 *
 *     crash_run points                                       prints the names of all points
 *     crash_run BOUNDS STORE point NAME TIMES SEED RESULTS
 *     crash_run BOUNDS STORE random TIMES SEED RESULTS
 *     crash_run BOUNDS STORE full STEPS RESULTS
 *     crash_run BOUNDS STORE errors MOST RESULTS
 *
 * BOUNDS is "tight": what is promised of times is judged; or "loose". STORE is "sqlite" or
 * "postgresql". Started by run.sh, in the environment of with_software.sh; what a line of RESULTS holds
 * is in bed.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash/disk.h"
#include "crash/full_cluster.h"
#include "crash/kills.h"

static int list_points(void)
{
    const char *name;
    for (unsigned i = 0; (name = kills_point_name(i)) != NULL; i++) {
        puts(name);
    }
    return 0;
}

static unsigned number(const char *text)
{
    return (unsigned)strtoul(text, NULL, 10);
}

/* False: no such part, or not its arguments. */
static bool run_part(struct bed *bed, const char *part, const char *const *words, int count)
{
    if (strcmp(part, "point") == 0 && count == 3) {
        bed->seed = number(words[2]);
        kills_at_point(bed, words[0], number(words[1]));
    } else if (strcmp(part, "random") == 0 && count == 2) {
        bed->seed = number(words[1]);
        kills_at_random(bed, number(words[0]));
    } else if (strcmp(part, "full") == 0 && count == 1) {
        (bed->is_postgresql ? cluster_is_full : disk_is_full)(bed, number(words[0]));
    } else if (strcmp(part, "errors") == 0 && count == 1) {
        disk_fails(bed, number(words[0]));
    } else {
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    const char *const *words = (const char *const *)argv;
    struct bed bed = { .check = getenv("FAULT_CHECK") };

    if (argc == 2 && strcmp(words[1], "points") == 0) {
        return list_points();
    }
    bed.results = argc > 5 ? fopen(words[argc - 1], "ae") : NULL;
    bed.is_tight = argc > 5 && strcmp(words[1], "tight") == 0;
    bed.is_postgresql = argc > 5 && strcmp(words[2], "postgresql") == 0;
    if (bed.check == NULL || bed.results == NULL
        || !run_part(&bed, words[3], words + 4, argc - 5)) {
        fprintf(stderr, "crash_run: started by run.sh\n");
        return 2;
    }
    return fclose(bed.results) == 0 ? 0 : 1;
}

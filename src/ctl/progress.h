/* How far a long command has come: a line on stderr that is written over, if that is a terminal and
 * the command takes more than a second. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct progress {
    int64_t next_ns; /* when to show it next */
    bool is_shown;
};

void progress_begin(struct progress *progress);

/* `what`: of what `done` and `all` are the counts. */
void progress_show(struct progress *progress, const char *what, int64_t done, int64_t all);
void progress_end(struct progress *progress);

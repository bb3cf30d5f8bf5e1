#include "ctl/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

#define FIRST_NS INT64_C(1000000000)
#define NEXT_NS INT64_C(200000000)

void progress_begin(struct progress *progress)
{
    *progress = (struct progress){ .next_ns = isatty(STDERR_FILENO) != 0 ? monotonic_ns() + FIRST_NS
                                                                         : INT64_MAX };
}

void progress_show(struct progress *progress, const char *what, int64_t done, int64_t all)
{
    if (progress->next_ns == INT64_MAX || monotonic_ns() < progress->next_ns) {
        return;
    }
    progress->next_ns = monotonic_ns() + NEXT_NS;
    progress->is_shown = true;
    (void)fprintf(stderr, "\r%" PRId64 " of %" PRId64 " %s (%" PRId64 " %%)  ", done, all, what,
                  all > 0 ? 100 * done / all : 100);
}

void progress_end(struct progress *progress)
{
    if (progress->is_shown) {
        (void)fprintf(stderr, "\r%*s\r", 64, "");
        progress->is_shown = false;
    }
}

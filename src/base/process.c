#include "base/process.h"

#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>

void process_harden(void)
{
    const struct rlimit none = { 0, 0 };
    const struct sched_param no_priority = { .sched_priority = 0 };

    (void)setrlimit(RLIMIT_CORE, &none);
#ifndef SANITIZED /* LeakSanitizer attaches to its own process */
    (void)prctl(PR_SET_DUMPABLE, 0);
#endif
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sched_setscheduler(0, SCHED_BATCH, &no_priority);
}

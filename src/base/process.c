#include "base/process.h"

#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>

void process_close_memory(void)
{
    const struct rlimit none = { 0, 0 };

    (void)setrlimit(RLIMIT_CORE, &none);
#ifndef SANITIZED /* LeakSanitizer attaches to its own process */
    (void)prctl(PR_SET_DUMPABLE, 0);
#endif
}

void process_harden(void)
{
    const struct sched_param no_priority = { .sched_priority = 0 };

    process_close_memory();
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sched_setscheduler(0, SCHED_BATCH, &no_priority);
}

void process_wipe_freed_memory(void)
{
    enum { ANY_BYTE = 0x5a };
    (void)mallopt(M_PERTURB, ANY_BYTE);
}

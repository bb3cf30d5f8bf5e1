#include "base/process.h"

#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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

/* Under a limit not what is used would count but all that is reserved, a stack for each connection, and
 * soon no thread could be made. So without a limit, or not at all: under one of 0 mlockall() fails unless
 * a capability lifts it. */
bool process_lock_memory(void)
{
    struct rlimit given;

    if (getrlimit(RLIMIT_MEMLOCK, &given) != 0) {
        return false;
    }
    const bool is_unlimited = given.rlim_max == RLIM_INFINITY;
    const struct rlimit wanted = { is_unlimited ? RLIM_INFINITY : 0, given.rlim_max };
    const bool is_locked = setrlimit(RLIMIT_MEMLOCK, &wanted) == 0
                        && mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0;
    if (!is_locked) {
        (void)setrlimit(RLIMIT_MEMLOCK, &given);
    }
    return is_locked;
}

void process_wipe_freed_memory(void)
{
    enum { ANY_BYTE = 0x5a };
    (void)mallopt(M_PERTURB, ANY_BYTE);
}

/* What malloc() gives next are those blocks: glibc keeps 7 of each size, up to 1,032 bytes (tcache);
 * calloc() would leave them there. */
void process_wipe_kept_memory(void)
{
    enum { LEAST = 24, LARGEST = 1032, STEP = 16, OF_EACH = 7 };

    for (size_t size = LEAST; size <= LARGEST; size += STEP) {
        void *blocks[OF_EACH];
        for (size_t i = 0; i < OF_EACH; i++) {
            blocks[i] = malloc(size);
            if (blocks[i] != NULL) {
                explicit_bzero(blocks[i], size);
            }
        }
        for (size_t i = 0; i < OF_EACH; i++) {
            free(blocks[i]);
        }
    }
}

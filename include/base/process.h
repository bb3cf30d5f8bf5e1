/* What the programs do with themselves before anything else. */
#pragma once

#include <stdbool.h>

/* Nothing of the process goes to a core file, a debugger or another process of its user. */
void process_close_memory(void);

/* That, and SIGPIPE is ignored. Every thread,
 * and every child, runs under SCHED_BATCH: a thread that is woken does not preempt the one that woke
 * it. The committer wakes dozens in a row; being preempted by each cost a tenth of the throughput.
 * An idle processor still takes a woken thread at once. Called before the first thread is made. */
void process_harden(void);

/* From now on no page of the process is swapped out. False if that is not permitted. */
bool process_lock_memory(void);

/* From now on what is freed is overwritten, by whichever library, but for a few blocks of at most 1,032
 * bytes that a thread keeps for itself while it lives (mallopt(3), M_PERTURB). For those that do not
 * wipe what is secret themselves: it took at most 3 % of the processor time of an exchange. */
void process_wipe_freed_memory(void);

/* And of those blocks, the ones that this thread keeps now. */
void process_wipe_kept_memory(void);

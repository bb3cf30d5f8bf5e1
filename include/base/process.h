/* What issuerd and issuerd-signer do with themselves before anything else. */
#pragma once

/* Nothing of the process goes to a core file or a debugger, and SIGPIPE is ignored. Every thread,
 * and every child, runs under SCHED_BATCH: a thread that is woken does not preempt the one that woke
 * it. The committer wakes dozens in a row; being preempted by each cost a tenth of the throughput.
 * An idle processor still takes a woken thread at once. Called before the first thread is made. */
void process_harden(void);

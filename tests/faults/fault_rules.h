/*
 * How a shim misbehaves on command: what pkcs11_shim.c and tcti_shim.c share. From the environment
 *
 *   SHIM_CONTROL  a file of faults; read again when it changes (looked at every 2 ms at most), so
 *                 replace it by rename(2). Counting starts afresh then. No file: no faults.
 *   SHIM_LOG      a file that gets a line "fault pid=71 C_Sign" for each call that a fault befalls,
 *                 and a line "C_Login pid=71 rv=0xa0" for each call of a LOGGED function
 *
 * A line of faults names a function and what befalls its calls; several lines for one function add
 * up. The shim says which functions and which modes it has; these words are common to all:
 *
 *   delay_us=5000  takes 5 ms longer
 *   hang           never returns
 *   abort          takes the process down
 *   rv=0x30        fails with this code (rc= for a TPM)
 *   skip, finish   without, with the real function being called first
 *   after=10       ten calls pass first
 *   count=1        then it befalls so many calls
 *   every=2        of these only each second one
 *   times=1        of these only so many, of all processes together; the others are a process's own
 *
 * A line that cannot be read ends the process: no test may pass because its fault was misspelt.
 *
 * Threads: any. The lock is held to look up and count faults, never over a delay.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum fault_mode {
    FAULT_SKIP = 1,
    FAULT_HANG = 2,
    FAULT_ABORT = 4,
    FAULT_FLIP = 8,
    FAULT_CLOSE_SESSIONS = 16,
    FAULT_LOGOUT = 32,
    FAULT_DROP = 64,
    FAULT_MUTE = 128,
};

enum fault_effect {
    BEGINS,
    ENDS
}; /* an injected error skips what BEGINS, unless it says "finish" */
enum fault_logged { SILENT, LOGGED };

struct fault_function {
    const char *name;
    enum fault_effect effect;
    enum fault_logged logged;
    unsigned modes; /* beyond those that every function has */
};

struct fault_shim {
    const char *name;
    const char *code_word; /* "rv", "rc" */
    const struct fault_function *functions;
    size_t function_count;
};

/* What befalls one call. */
struct fault {
    uint64_t delay_us;
    uint64_t code; /* 0: none */
    unsigned modes;
};

/* Counts a call of functions[index]; waits, hangs or aborts if that befalls it. The rest is the
 * caller's to do. */
struct fault fault_befall(const struct fault_shim *shim, size_t index);

/* What the call of a LOGGED function was told. */
void fault_log_call(const struct fault_shim *shim, size_t index, uint64_t code);

_Noreturn void fault_give_up(const struct fault_shim *shim, const char *what, const char *detail);

/*
 * What this process may still do once it is at work: the files that it may open (Landlock) and the
 * calls that it may make (seccomp). Both are for good, and what it would start inherits them.
 *
 * A file that is not allowed cannot be opened (EACCES). A call that is not allowed ends the process
 * (SIGSYS): it is not ours, whoever made it.
 */
#pragma once

#include "base/error.h"

/* SANDBOX_LOG: every file may be opened, and a call that SANDBOX_ENFORCE would end the process for is
 * made and told to the kernel's log. */
enum sandbox_mode { SANDBOX_OFF, SANDBOX_LOG, SANDBOX_ENFORCE };

/* "off log enforce". */
enum sandbox_mode sandbox_mode_from_name(const char *name);
const char *sandbox_mode_name(enum sandbox_mode mode);

/* ---- files ---- */

enum sandbox_access {
    SANDBOX_READ,
    SANDBOX_WRITE,   /* and read, make and remove files */
    SANDBOX_SOCKETS, /* make and remove sockets */
    SANDBOX_DEVICE,  /* read, write and ioctl() */
};

struct sandbox_files;

/* None yet. NULL: this kernel has no Landlock, as sandbox_files_enforce() will say. */
struct sandbox_files *sandbox_files_new(void);

/* `path`, and all that is below it. One that is not there is left out. */
void sandbox_files_allow(struct sandbox_files *files, enum sandbox_access access, const char *path);

/* The directory that `file` is in, and the one that it is in when symbolic links are followed: what
 * replaces it can be opened, too. To read in / or a directory of it (/etc): the file alone. */
void sandbox_files_allow_beside(struct sandbox_files *files, enum sandbox_access access,
                                const char *file);

/* From now on this thread, and those that it starts, may open what was allowed. Frees. Fails with
 * INTERNAL; *abi_out is the kernel's version of Landlock: below 3 a file of those that it may not open
 * can still be cut short (truncate(2)), if its mode allows. */
MUST_CHECK bool sandbox_files_enforce(struct sandbox_files *files, int *abi_out, struct error *err);

/* False if it lies outside. */
bool sandbox_may_read(const char *path);

/* For the error of an open() of `path` that just failed: that, or that it lies outside. */
MUST_CHECK bool sandbox_fail_open(struct error *err, const char *path);

/* ---- calls ---- */

enum sandbox_calls {
    SANDBOX_CALLS_MEMORY,  /* threads, and sockets and files that are open; opening one fails */
    SANDBOX_CALLS_FILES,   /* and files; datagrams to syslog */
    SANDBOX_CALLS_DEVICE,  /* and ioctl() */
    SANDBOX_CALLS_NETWORK, /* and sockets, shared memory, code made at run time: a vendor's module */
    SANDBOX_CALLS_SERVER,  /* SANDBOX_CALLS_FILES and sockets: issuerd */
};

/* "memory files device network server". */
const char *sandbox_calls_name(enum sandbox_calls calls);

/* From now on, in all threads. No profile starts a program or a process. A build with sanitizers,
 * which need more, does nothing. Fails with INTERNAL: this kernel has no seccomp. */
MUST_CHECK bool sandbox_limit_calls(enum sandbox_calls calls, enum sandbox_mode mode,
                                    struct error *err);

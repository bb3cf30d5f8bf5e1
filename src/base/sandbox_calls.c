/* seccomp, by libseccomp: which calls a process may make, by what it is for. */
#include "base/sandbox.h"

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <seccomp.h>

#include "base/memory.h"

static const char *const mode_names[] = {
    [SANDBOX_OFF] = "off", [SANDBOX_LOG] = "log", [SANDBOX_ENFORCE] = "enforce"
};

enum sandbox_mode sandbox_mode_from_name(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(mode_names); i++) {
        if (strcmp(mode_names[i], name) == 0) {
            return (enum sandbox_mode)i;
        }
    }
    return SANDBOX_ENFORCE;
}

const char *sandbox_mode_name(enum sandbox_mode mode)
{
    return mode_names[mode];
}

const char *sandbox_calls_name(enum sandbox_calls calls)
{
    static const char *const names[] = { [SANDBOX_CALLS_MEMORY] = "memory",
                                         [SANDBOX_CALLS_FILES] = "files",
                                         [SANDBOX_CALLS_DEVICE] = "device",
                                         [SANDBOX_CALLS_NETWORK] = "network",
                                         [SANDBOX_CALLS_SERVER] = "server" };
    return names[calls];
}

/* ---- groups ---- */

/* Memory, threads, time, and what is open already. */
static const int of_all[] = {
    SCMP_SYS(brk),
    SCMP_SYS(madvise),
    SCMP_SYS(membarrier),
    SCMP_SYS(memfd_create),
    SCMP_SYS(mincore),
    SCMP_SYS(mlock),
    SCMP_SYS(mlock2),
    SCMP_SYS(mremap),
    SCMP_SYS(msync),
    SCMP_SYS(munlock),
    SCMP_SYS(munmap),

    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(futex),
    SCMP_SYS(futex_waitv),
    SCMP_SYS(get_robust_list),
    SCMP_SYS(getpid),
    SCMP_SYS(getppid),
    SCMP_SYS(gettid),
    SCMP_SYS(rseq),
    SCMP_SYS(sched_get_priority_max),
    SCMP_SYS(sched_get_priority_min),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_getparam),
    SCMP_SYS(sched_getscheduler),
    SCMP_SYS(sched_setaffinity),
    SCMP_SYS(sched_yield),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(set_tid_address),
    SCMP_SYS(getcpu),
    SCMP_SYS(get_mempolicy),
    SCMP_SYS(arch_prctl),
    SCMP_SYS(prctl),

    SCMP_SYS(restart_syscall),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigpending),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigsuspend),
    SCMP_SYS(rt_sigtimedwait),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(signalfd4),

    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(nanosleep),
    SCMP_SYS(pause),
    SCMP_SYS(time),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_gettime),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(times),

    SCMP_SYS(getegid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getgroups),
    SCMP_SYS(getpgrp),
    SCMP_SYS(getpgid),
    SCMP_SYS(getsid),
    SCMP_SYS(getpriority),
    SCMP_SYS(capget),
    SCMP_SYS(getrandom),
    SCMP_SYS(getresgid),
    SCMP_SYS(getresuid),
    SCMP_SYS(getrusage),
    SCMP_SYS(getuid),
    SCMP_SYS(sysinfo),
    SCMP_SYS(uname),
    SCMP_SYS(getrlimit),

    SCMP_SYS(close),
    SCMP_SYS(close_range),
    SCMP_SYS(dup),
    SCMP_SYS(dup2),
    SCMP_SYS(dup3),
    SCMP_SYS(epoll_create),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(eventfd2),
    SCMP_SYS(fcntl),
    SCMP_SYS(fstat),
    SCMP_SYS(lseek),
    SCMP_SYS(pipe),
    SCMP_SYS(pipe2),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(pread64),
    SCMP_SYS(preadv),
    SCMP_SYS(preadv2),
    SCMP_SYS(pselect6),
    SCMP_SYS(pwrite64),
    SCMP_SYS(pwritev),
    SCMP_SYS(pwritev2),
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(select),
    SCMP_SYS(write),
    SCMP_SYS(writev),

    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmmsg),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendfile),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(shutdown),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockname),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
};

/* What libraries try, and do without: the kernel's keyring (Kerberos, which libpq asks), io_uring. */
static const int of_tries[] = {
    SCMP_SYS(add_key),    SCMP_SYS(io_uring_setup), SCMP_SYS(keyctl),
    SCMP_SYS(pidfd_open), SCMP_SYS(request_key),
};

static const int of_opening[] = { SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2),
                                  SCMP_SYS(creat) };

/* Where nothing is opened these tell, and what is told is nothing. */
static const int of_files[] = {
    SCMP_SYS(access),     SCMP_SYS(chmod),     SCMP_SYS(faccessat),  SCMP_SYS(faccessat2),
    SCMP_SYS(fadvise64),  SCMP_SYS(fallocate), SCMP_SYS(fchmod),     SCMP_SYS(fchmodat),
    SCMP_SYS(fchown),     SCMP_SYS(fdatasync), SCMP_SYS(flock),      SCMP_SYS(fstatfs),
    SCMP_SYS(fsync),      SCMP_SYS(ftruncate), SCMP_SYS(getcwd),     SCMP_SYS(getdents64),
    SCMP_SYS(fgetxattr),  SCMP_SYS(getxattr),  SCMP_SYS(lgetxattr),  SCMP_SYS(link),
    SCMP_SYS(linkat),     SCMP_SYS(lstat),     SCMP_SYS(mkdir),      SCMP_SYS(mkdirat),
    SCMP_SYS(newfstatat), SCMP_SYS(readlink),  SCMP_SYS(readlinkat), SCMP_SYS(rename),
    SCMP_SYS(renameat),   SCMP_SYS(renameat2), SCMP_SYS(rmdir),      SCMP_SYS(stat),
    SCMP_SYS(statfs),     SCMP_SYS(statx),     SCMP_SYS(truncate),   SCMP_SYS(umask),
    SCMP_SYS(unlink),     SCMP_SYS(unlinkat),  SCMP_SYS(utimensat),
};

static const int of_sockets[] = {
    SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(bind), SCMP_SYS(connect), SCMP_SYS(socketpair),
};

/* What modules of vendors are known to use: shared memory and semaphores with their daemons, timers,
 * watched files, priorities. */
static const int of_vendors[] = {
    SCMP_SYS(alarm),
    SCMP_SYS(chdir),
    SCMP_SYS(chown),
    SCMP_SYS(eventfd),
    SCMP_SYS(fchdir),
    SCMP_SYS(fchownat),
    SCMP_SYS(inotify_add_watch),
    SCMP_SYS(inotify_init),
    SCMP_SYS(inotify_init1),
    SCMP_SYS(inotify_rm_watch),
    SCMP_SYS(lchown),
    SCMP_SYS(listen),
    SCMP_SYS(mlockall),
    SCMP_SYS(mq_open),
    SCMP_SYS(mq_timedreceive),
    SCMP_SYS(mq_timedsend),
    SCMP_SYS(mq_unlink),
    SCMP_SYS(msgctl),
    SCMP_SYS(msgget),
    SCMP_SYS(msgrcv),
    SCMP_SYS(msgsnd),
    SCMP_SYS(munlockall),
    SCMP_SYS(prlimit64),
    SCMP_SYS(sched_setparam),
    SCMP_SYS(sched_setscheduler),
    SCMP_SYS(semctl),
    SCMP_SYS(semget),
    SCMP_SYS(semop),
    SCMP_SYS(semtimedop),
    SCMP_SYS(setitimer),
    SCMP_SYS(setpriority),
    SCMP_SYS(setrlimit),
    SCMP_SYS(shmat),
    SCMP_SYS(shmctl),
    SCMP_SYS(shmdt),
    SCMP_SYS(shmget),
    SCMP_SYS(signalfd),
    SCMP_SYS(socket),
    SCMP_SYS(splice),
    SCMP_SYS(symlink),
    SCMP_SYS(symlinkat),
    SCMP_SYS(sync_file_range),
    SCMP_SYS(timer_create),
    SCMP_SYS(timer_delete),
    SCMP_SYS(timer_getoverrun),
    SCMP_SYS(timer_gettime),
    SCMP_SYS(timer_settime),
    SCMP_SYS(utime),
    SCMP_SYS(utimes),
    SCMP_SYS(ioctl),
    SCMP_SYS(mmap),
    SCMP_SYS(mprotect),
};

/* ---- the filter ---- */

struct filter {
    scmp_filter_ctx context;
    bool is_enforced;
    int result; /* the first failure, as a negative errno */
};

static void add(struct filter *self, uint32_t action, int call, unsigned count,
                const struct scmp_arg_cmp *conditions)
{
    const int result = seccomp_rule_add_array(self->context, action, call, count, conditions);

    /* EACCES: what the filter does anyway. */
    if (self->result == 0 && result != -EACCES) {
        self->result = result;
    }
}

static void allow(struct filter *self, const int *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        add(self, SCMP_ACT_ALLOW, calls[i], 0, NULL);
    }
}

/* If argument `index` has `value` where `mask` is set. */
static void allow_if(struct filter *self, int call, unsigned index, uint64_t mask, uint64_t value)
{
    const struct scmp_arg_cmp condition = SCMP_CMP64(index, SCMP_CMP_MASKED_EQ, mask, value);
    add(self, SCMP_ACT_ALLOW, call, 1, &condition);
}

/* What callers cope with: not worth their life. */
static void refuse(struct filter *self, const int *calls, size_t count, int error)
{
    for (size_t i = 0; i < count && self->is_enforced; i++) {
        add(self, SCMP_ACT_ERRNO((uint16_t)error), calls[i], 0, NULL);
    }
}

/* A thread is made, a process is not. clone3() has its flags where a filter cannot look: glibc does
 * without it. */
static void allow_threads(struct filter *self)
{
    const uint64_t flags = CLONE_VM | CLONE_THREAD | CLONE_SIGHAND;

    allow_if(self, SCMP_SYS(clone), 0, flags, flags);
    add(self, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0, NULL);
}

/* Nothing becomes code that was, or can be, written. What tries (libffi) copes. */
static void allow_mapping(struct filter *self)
{
    const struct scmp_arg_cmp both =
        SCMP_CMP64(2, SCMP_CMP_MASKED_EQ, PROT_WRITE | PROT_EXEC, PROT_WRITE | PROT_EXEC);
    const struct scmp_arg_cmp code = SCMP_CMP64(2, SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC);

    allow_if(self, SCMP_SYS(mmap), 2, PROT_EXEC, 0);
    allow_if(self, SCMP_SYS(mmap), 2, PROT_WRITE, 0);
    allow_if(self, SCMP_SYS(mprotect), 2, PROT_EXEC, 0);
    if (self->is_enforced) {
        add(self, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(mmap), 1, &both);
        add(self, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(mprotect), 1, &code);
    }
}

/* Signals are for ourselves: abort(), raise(). */
static void allow_own_signals(struct filter *self)
{
    const uint64_t pid = (uint64_t)getpid();

    allow_if(self, SCMP_SYS(kill), 0, UINT32_MAX, pid);
    allow_if(self, SCMP_SYS(tgkill), 0, UINT32_MAX, pid);
}

/* What C libraries ask of a descriptor, and of the process itself. */
static void allow_questions(struct filter *self)
{
    static const unsigned long questions[] = { FIONBIO, FIONREAD, TCGETS };

    for (size_t i = 0; i < COUNT_OF(questions); i++) {
        allow_if(self, SCMP_SYS(ioctl), 1, UINT32_MAX, questions[i]);
    }
    allow_if(self, SCMP_SYS(prlimit64), 2, UINT64_MAX, 0);
}

static void allow_syslog(struct filter *self)
{
    const struct scmp_arg_cmp datagrams[] = { SCMP_CMP64(0, SCMP_CMP_MASKED_EQ, UINT32_MAX,
                                                         AF_UNIX),
                                              SCMP_CMP64(1, SCMP_CMP_MASKED_EQ, 0xf, SOCK_DGRAM) };

    add(self, SCMP_ACT_ALLOW, SCMP_SYS(socket), COUNT_OF(datagrams), datagrams);
    add(self, SCMP_ACT_ALLOW, SCMP_SYS(connect), 0, NULL);
}

static void allow_server_sockets(struct filter *self)
{
    static const int families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };

    for (size_t i = 0; i < COUNT_OF(families); i++) {
        allow_if(self, SCMP_SYS(socket), 0, UINT32_MAX, (uint64_t)families[i]);
    }
    allow(self, of_sockets, COUNT_OF(of_sockets));
}

static void allow_files(struct filter *self)
{
    allow(self, of_opening, COUNT_OF(of_opening));
    allow(self, of_files, COUNT_OF(of_files));
}

/* Calls that came after these lists were made: libraries that know them fall back. */
static void refuse_unknown(struct filter *self)
{
    enum { FIRST_UNKNOWN = 450, LAST_UNKNOWN = 511 };

    for (int call = FIRST_UNKNOWN; call <= LAST_UNKNOWN; call++) {
        refuse(self, &call, 1, ENOSYS);
    }
}

static void allow_profile(struct filter *self, enum sandbox_calls calls)
{
    allow(self, of_all, COUNT_OF(of_all));
    allow_threads(self);
    allow_own_signals(self);
    refuse(self, of_tries, COUNT_OF(of_tries), ENOSYS);
    refuse_unknown(self);
    if (calls == SANDBOX_CALLS_MEMORY) {
        refuse(self, of_opening, COUNT_OF(of_opening), EACCES);
    } else {
        allow_files(self);
    }
    if (calls == SANDBOX_CALLS_NETWORK) {
        allow(self, of_sockets, COUNT_OF(of_sockets));
        allow(self, of_vendors, COUNT_OF(of_vendors));
        return;
    }
    allow_mapping(self);
    allow_questions(self);
    if (calls == SANDBOX_CALLS_SERVER) {
        allow_server_sockets(self);
    } else if (calls != SANDBOX_CALLS_MEMORY) {
        allow_syslog(self);
    }
    if (calls == SANDBOX_CALLS_DEVICE) {
        add(self, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 0, NULL);
    }
}

static bool load(struct filter *self)
{
    const uint32_t otherwise = self->is_enforced ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_LOG;

    if (self->result == 0) {
        self->result = seccomp_attr_set(self->context, SCMP_FLTATR_ACT_BADARCH, otherwise);
    }
    if (self->result == 0) {
        self->result = seccomp_attr_set(self->context, SCMP_FLTATR_CTL_TSYNC, 1);
    }
    if (self->result == 0) {
        self->result = seccomp_attr_set(self->context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    }
    if (self->result == 0) {
        self->result = seccomp_load(self->context);
    }
    return self->result == 0;
}

bool sandbox_limit_calls(enum sandbox_calls calls, enum sandbox_mode mode, struct error *err)
{
#ifdef SANITIZED
    mode = SANDBOX_OFF; /* LeakSanitizer makes a process of its own */
#endif
    const bool is_enforced = mode == SANDBOX_ENFORCE;

    if (mode == SANDBOX_OFF) {
        return true;
    }
    struct filter filter = { .context =
                                 seccomp_init(is_enforced ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_LOG),
                             .is_enforced = is_enforced };
    if (filter.context == NULL) {
        return fail(err, ERROR_INTERNAL, "make a seccomp filter");
    }
    allow_profile(&filter, calls);
    const bool loaded = load(&filter);
    seccomp_release(filter.context);
    errno = -filter.result;
    return loaded || fail_errno(err, ERROR_INTERNAL, "restrict what calls can be made");
}

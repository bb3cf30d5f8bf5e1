/*
 * Preloaded into issuerd: one of its calls that change a file in the directory ISSUERD_IO_DIRECTORY
 * fails, or all of them, as ISSUERD_IO_CONTROL, a file with a struct io_control, has it. Before a sync that fails, what
 * it was for is not written; nothing is known of it, as after a real one.
 */
#include "crash/io_shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

static struct io_control *control; /* NULL: not ours to fail */
static const char *directory;

static ssize_t (*next_write)(int, const void *, size_t);
static ssize_t (*next_pwrite)(int, const void *, size_t, off_t);
static int (*next_fsync)(int);
static int (*next_fdatasync)(int);
static int (*next_rename)(const char *, const char *);

/* ISO C has no conversion of dlsym()'s result. */
static void find_next(void *function_out, const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    memcpy(function_out, &symbol, sizeof(symbol));
}

__attribute__((constructor)) static void load(void)
{
    const char *path = getenv("ISSUERD_IO_CONTROL");
    const int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;

    find_next(&next_write, "write");
    find_next(&next_pwrite, "pwrite64");
    find_next(&next_fsync, "fsync");
    find_next(&next_fdatasync, "fdatasync");
    find_next(&next_rename, "rename");
    directory = getenv("ISSUERD_IO_DIRECTORY");
    if (fd >= 0 && directory != NULL) {
        void *mapped = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        control = mapped != MAP_FAILED ? mapped : NULL;
        (void)close(fd);
    }
}

static bool is_ours(int fd)
{
    char link[64];
    char path[1024];

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    const ssize_t length = readlink(link, path, sizeof(path) - 1);
    return length > (ssize_t)strlen(directory) && memcmp(path, directory, strlen(directory)) == 0;
}

/* True, with errno, if this call is the one. */
static bool fails(void)
{
    if (!atomic_load(&control->lasts)) {
        if (atomic_fetch_sub(&control->after, 1) != 0) {
            return false;
        }
        atomic_store(&control->call, IO_NONE);
    }
    atomic_fetch_add(&control->fired, 1);
    errno = atomic_load(&control->error);
    if (errno == 0) {
        (void)kill(getpid(), SIGKILL);
    }
    return true;
}

static bool fails_on(int fd, enum io_call call)
{
    return control != NULL && atomic_load(&control->call) == (int)call && is_ours(fd) && fails();
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    return fails_on(fd, IO_WRITE) ? -1 : next_write(fd, bytes, length);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
    return fails_on(fd, IO_WRITE) ? -1 : next_pwrite(fd, bytes, length, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset)
{
    return fails_on(fd, IO_WRITE) ? -1 : next_pwrite(fd, bytes, length, offset);
}

int fsync(int fd)
{
    return fails_on(fd, IO_SYNC) ? -1 : next_fsync(fd);
}

int fdatasync(int fd)
{
    return fails_on(fd, IO_SYNC) ? -1 : next_fdatasync(fd);
}

int rename(const char *from, const char *to)
{
    const bool hit = control != NULL && atomic_load(&control->call) == IO_RENAME
                  && strncmp(to, directory, strlen(directory)) == 0 && fails();
    return hit ? -1 : next_rename(from, to);
}

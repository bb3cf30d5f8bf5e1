/* Landlock, by its three system calls: glibc 2.36 has no functions for them. */
#include "base/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/memory.h"

/* Of later versions than Debian 12's headers know. */
#define ACCESS_FS_TRUNCATE (UINT64_C(1) << 14)  /* 3 */
#define ACCESS_FS_IOCTL_DEV (UINT64_C(1) << 15) /* 5 */

enum { ROOTS_MAX = 64 };

static const uint64_t read_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const uint64_t write_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR
                                   | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG
                                   | LANDLOCK_ACCESS_FS_REMOVE_FILE | ACCESS_FS_TRUNCATE;
static const uint64_t sockets_access =
    LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE;
static const uint64_t device_access =
    LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_FS_IOCTL_DEV;
static const uint64_t of_files = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE
                               | LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_FS_TRUNCATE
                               | ACCESS_FS_IOCTL_DEV; /* what a rule of a file may name */

struct sandbox_files {
    int ruleset;
    int abi;
    uint64_t handled;
};

/* What may be read, with symbolic links followed; for messages. */
static struct {
    char *roots[ROOTS_MAX];
    size_t count;
    bool is_enforced;
} readable;

static uint64_t handled_by(int abi)
{
    uint64_t handled = LANDLOCK_ACCESS_FS_REFER - 1; /* all of version 1 */

    handled |= abi >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0;
    handled |= abi >= 3 ? ACCESS_FS_TRUNCATE : 0;
    handled |= abi >= 5 ? ACCESS_FS_IOCTL_DEV : 0;
    return handled;
}

struct sandbox_files *sandbox_files_new(void)
{
    const int abi =
        (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    const struct landlock_ruleset_attr attributes = { .handled_access_fs = handled_by(abi) };
    const int ruleset =
        abi < 1 ? -1
                : (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);

    if (ruleset < 0) {
        return NULL;
    }
    struct sandbox_files *self = xcalloc(1, sizeof(*self));
    *self = (struct sandbox_files){ .ruleset = ruleset,
                                    .abi = abi,
                                    .handled = attributes.handled_access_fs };
    return self;
}

static uint64_t rights_of(enum sandbox_access access)
{
    switch (access) {
    case SANDBOX_READ:
        return read_access;
    case SANDBOX_WRITE:
        return write_access;
    case SANDBOX_SOCKETS:
        return sockets_access;
    case SANDBOX_DEVICE:
        return device_access;
    }
    return 0;
}

static void note_readable(const char *path)
{
    char *root = realpath(path, NULL);

    if (root != NULL && readable.count < ROOTS_MAX) {
        readable.roots[readable.count++] = root;
    } else {
        free(root);
    }
}

void sandbox_files_allow(struct sandbox_files *self, enum sandbox_access access, const char *path)
{
    struct stat status;
    scoped(release_fd) int fd = self == NULL ? -1 : open(path, O_PATH | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &status) != 0) {
        return;
    }
    const uint64_t kind = S_ISDIR(status.st_mode) ? UINT64_MAX : of_files;
    const struct landlock_path_beneath_attr rule = { .allowed_access =
                                                         rights_of(access) & kind & self->handled,
                                                     .parent_fd = fd };
    if (rule.allowed_access != 0
        && syscall(SYS_landlock_add_rule, self->ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0
        && (rule.allowed_access & LANDLOCK_ACCESS_FS_READ_FILE) != 0) {
        note_readable(path);
    }
}

/* / and its directories hold what is everybody's. */
static bool is_broad(const char *directory)
{
    return strchr(directory + 1, '/') == NULL;
}

static void allow_directory(struct sandbox_files *self, enum sandbox_access access,
                            const char *file)
{
    scoped(release_memory) char *directory = xstrdup(file);
    char *slash = strrchr(directory, '/');

    slash[slash == directory ? 1 : 0] = '\0';
    sandbox_files_allow(self, access,
                        access == SANDBOX_READ && is_broad(directory) ? file : directory);
}

void sandbox_files_allow_beside(struct sandbox_files *self, enum sandbox_access access,
                                const char *file)
{
    scoped(release_memory) char *absolute = realpath(file, NULL);

    if (file[0] == '/') {
        allow_directory(self, access, file);
    }
    if (absolute != NULL && strcmp(absolute, file) != 0) {
        allow_directory(self, access, absolute);
    }
}

bool sandbox_files_enforce(struct sandbox_files *self, int *abi_out, struct error *err)
{
    if (self == NULL) {
        return fail(err, ERROR_INTERNAL, "this kernel has no Landlock");
    }
    const bool enforced = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                       && syscall(SYS_landlock_restrict_self, self->ruleset, 0) == 0;
    *abi_out = self->abi;
    readable.is_enforced = enforced;
    release_fd(&self->ruleset);
    free(self);
    return enforced || fail_errno(err, ERROR_INTERNAL, "restrict what files can be opened");
}

bool sandbox_may_read(const char *path)
{
    scoped(release_memory) char *absolute = realpath(path, NULL);
    bool may = !readable.is_enforced || absolute == NULL;

    for (size_t i = 0; i < readable.count && !may; i++) {
        const size_t length = strlen(readable.roots[i]);
        may = strncmp(absolute, readable.roots[i], length) == 0
           && (absolute[length] == '/' || absolute[length] == '\0');
    }
    return may;
}

bool sandbox_fail_open(struct error *err, const char *path)
{
    const bool is_outside = errno == EACCES && !sandbox_may_read(path);

    return is_outside ? fail(err, ERROR_CONFIG,
                             "%s lies outside of what issuerd may open since its start: put it "
                             "beside the file that is in use, or restart issuerd",
                             path)
                      : fail_errno(err, ERROR_CONFIG, "%s cannot be opened", path);
}

#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "base/memory.h"
#include "base/sandbox.h"

bool secret_is_credential(const char *path)
{
    static const char place[] = "/run/credentials/";
    return strncmp(path, place, strlen(place)) == 0;
}

/* Where the file system has access control lists, systemd gives the service its right by an entry in
 * one, and then the group's bits are the list's mask (acl(5)): root:root and 0440 is what it makes. */
static bool is_open_to_others(const char *path, const struct stat *status)
{
    const bool is_of_systemd =
        secret_is_credential(path) && status->st_uid == 0 && status->st_gid == 0;
    return (status->st_mode & (is_of_systemd ? 037 : 077)) != 0;
}

/* `how`: O_RDONLY, or O_PATH to look at it from outside, as one may who may not read it. */
static bool open_private(const char *path, int how, off_t size_max, int *fd_out, struct error *err)
{
    struct stat status;
    scoped(release_fd) int fd = open(path, how | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0 || fstat(fd, &status) != 0
        || (how == O_PATH && faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) != 0)) {
        return sandbox_fail_open(err, path);
    }
    if (!S_ISREG(status.st_mode)) {
        return fail(err, ERROR_CONFIG, "%s is not a regular file", path);
    }
    if (is_open_to_others(path, &status)) {
        return fail(err, ERROR_CONFIG, "%s is open to others (mode %04o): chmod 600 it", path,
                    (unsigned)(status.st_mode & 07777));
    }
    if (status.st_uid != geteuid() && status.st_uid != 0) {
        return fail(err, ERROR_CONFIG,
                    "%s belongs to uid %u: run this as that user, or chown it to uid %u", path,
                    (unsigned)status.st_uid, (unsigned)geteuid());
    }
    if (status.st_size < 1 || status.st_size > size_max) {
        return fail(err, ERROR_CONFIG, "%s holds %lld bytes: 1 to %lld are expected", path,
                    (long long)status.st_size, (long long)size_max);
    }
    *fd_out = fd;
    fd = -1;
    return true;
}

bool secret_read(const char *path, struct secret *secret_out, struct error *err)
{
    scoped(release_fd) int fd = -1;
    scoped(secret_clear) struct secret secret = { .length = 0 };

    if (!open_private(path, O_RDONLY, SECRET_MAX + 1, &fd, err)) {
        return false;
    }
    const ssize_t got = read(fd, secret.text, sizeof(secret.text));
    if (got < 0) {
        return fail_errno(err, ERROR_CONFIG, "%s cannot be read", path);
    }
    secret.length = (size_t)got;
    if (secret.length > 0 && secret.text[secret.length - 1] == '\n') {
        secret.length--;
    }
    if (secret.length == 0) {
        return fail(err, ERROR_CONFIG, "%s is empty", path);
    }
    if (secret.length > SECRET_MAX) {
        return fail(err, ERROR_CONFIG, "%s holds more than the %d bytes of a secret", path,
                    SECRET_MAX);
    }
    secret.text[secret.length] = '\0';
    if (strlen(secret.text) != secret.length) {
        return fail(err, ERROR_CONFIG, "%s holds a NUL byte: it is no text", path);
    }
    *secret_out = secret;
    return true;
}

/* To its service systemd says where its credentials are; to others that place may be empty. */
static bool is_shown_to_its_service_alone(const char *path)
{
    return secret_is_credential(path) && getenv("CREDENTIALS_DIRECTORY") == NULL
        && access(path, F_OK) != 0 && errno == ENOENT;
}

bool secret_check_file(const char *path, struct error *err)
{
    scoped(release_fd) int fd = -1;
    return is_shown_to_its_service_alone(path)
        || open_private(path, O_PATH, SECRET_MAX + 1, &fd, err);
}

bool secret_check_key_file(const char *path, struct error *err)
{
    scoped(release_fd) int fd = -1;
    return open_private(path, O_PATH, SECRET_KEY_FILE_MAX, &fd, err);
}

bool secret_read_key_file(const char *path, struct secret_key_file *file_out, struct error *err)
{
    scoped(release_fd) int fd = -1;

    if (!open_private(path, O_RDONLY, SECRET_KEY_FILE_MAX, &fd, err)) {
        return false;
    }
    const ssize_t got = read(fd, file_out->text, SECRET_KEY_FILE_MAX);
    if (got < 0) {
        return fail_errno(err, ERROR_CONFIG, "%s cannot be read", path);
    }
    file_out->length = (size_t)got;
    file_out->text[file_out->length] = '\0';
    return true;
}

void secret_clear(struct secret *secret)
{
    OPENSSL_cleanse(secret, sizeof(*secret));
}

void secret_key_file_clear(struct secret_key_file *file)
{
    OPENSSL_cleanse(file, sizeof(*file));
}

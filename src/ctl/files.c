#include "ctl/files.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"

DEFINE_RELEASE(release_file, FILE, fclose)

bool ctl_read_file(const char *path, size_t max, char **text_out, size_t *length_out,
                   struct error *err)
{
    scoped(release_memory) char *text = xcalloc(1, max + 2);
    scoped(release_file) FILE *file = fopen(path, "re");

    const size_t length = file != NULL ? fread(text, 1, max + 1, file) : 0;
    if (file == NULL || ferror(file) != 0) {
        return fail_errno(err, ERROR_INVALID_REQUEST, "%s cannot be read", path);
    }
    if (length > max || strlen(text) != length) {
        return fail(err, ERROR_INVALID_REQUEST, "%s: no text of at most %zu bytes", path, max);
    }
    *text_out = take(text);
    *length_out = length;
    return true;
}

bool new_file_make(const char *path, struct new_file *file_out, struct error *err)
{
    file_out->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file_out->fd < 0) {
        return fail_errno(err, ERROR_CONFIG, "%s cannot be made", path);
    }
    file_out->path = path;
    return true;
}

bool new_file_write(struct new_file *file, const char *bytes, size_t length, struct error *err)
{
    while (length > 0) {
        const ssize_t written = write(file->fd, bytes, length);
        if (written <= 0) {
            return fail_errno(err, ERROR_CONFIG, "%s cannot be written", file->path);
        }
        bytes += written;
        length -= (size_t)written;
    }
    return fsync(file->fd) == 0
        || fail_errno(err, ERROR_CONFIG, "%s cannot be written", file->path);
}

void new_file_keep(struct new_file *file)
{
    release_fd(&file->fd);
    file->path = NULL;
}

void new_file_clear(struct new_file *file)
{
    if (file->path != NULL) {
        (void)unlink(file->path);
        new_file_keep(file);
    }
}

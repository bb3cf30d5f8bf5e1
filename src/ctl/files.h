/* The files that issuerctl's commands read and make. */
#pragma once

#include "base/error.h"

#include <stddef.h>

/* Reads a file of at most `max` bytes, none of them a NUL. Fails with INVALID_REQUEST. The caller frees
 * *text_out, which a NUL ends. */
MUST_CHECK bool ctl_read_file(const char *path, size_t max, char **text_out, size_t *length_out,
                              struct error *err);

/* A file that must not have been there, for a secret: mode 0600, and removed again unless it is
 * kept. */
struct new_file {
    const char *path; /* borrowed; NULL: none */
    int fd;
};

/* Fails with CONFIG: it is there, or cannot be made. The caller clears *file_out. */
MUST_CHECK bool new_file_make(const char *path, struct new_file *file_out, struct error *err);

/* Fails with CONFIG. */
MUST_CHECK bool new_file_write(struct new_file *file, const char *bytes, size_t length,
                               struct error *err);
void new_file_keep(struct new_file *file);
void new_file_clear(struct new_file *file);

/* A secret read from a file: a PIN, a client secret. It wipes itself; no log function takes it. */
#pragma once

#include "base/error.h"

#include <stddef.h>

enum { SECRET_MAX = 256, SECRET_KEY_FILE_MAX = 16384 };

struct secret {
    char text[SECRET_MAX + 1];
    size_t length;
};

/* Whether `path` is where systemd puts what LoadCredential= names: a copy, made anew at every start. */
bool secret_is_credential(const char *path);

/* Reads the 1 to SECRET_MAX bytes of `path`, without one trailing newline and without any NUL. The
 * file, or what a symbolic link leads to, must be a regular one that belongs to us or to root and
 * that group and others cannot open; a credential may show a group's right to read. Fails with ERROR_CONFIG, naming the path and what to do. */
MUST_CHECK bool secret_read(const char *path, struct secret *secret_out, struct error *err);

/* The same checks without opening it to read: for a configuration check, in a process that is not to
 * have it. A credential that is not there is no fault of the configuration outside its service, while
 * that is stopped: issuerctl, --check-config. */
MUST_CHECK bool secret_check_file(const char *path, struct error *err);

/* The same for a PEM file of a private key, of at most SECRET_KEY_FILE_MAX bytes. */
MUST_CHECK bool secret_check_key_file(const char *path, struct error *err);

/* A private key's PEM. */
struct secret_key_file {
    char text[SECRET_KEY_FILE_MAX + 1];
    size_t length;
};

/* The same checks, and reads it: a NUL follows the text. */
MUST_CHECK bool secret_read_key_file(const char *path, struct secret_key_file *file_out,
                                     struct error *err);

void secret_clear(struct secret *secret);
void secret_key_file_clear(struct secret_key_file *file);

#include "hsm/pin_latch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64url.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/memory.h"

enum { PATH_SIZE = 1024 };

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

/* The path in the URI's pin-source (RFC 7512 2.4), percent-decoded. False if there is none. */
static bool pin_source_path(const char *uri, char path_out[static PATH_SIZE])
{
    const char *at = strstr(uri, "pin-source=");
    size_t length = 0;

    if (at == NULL) {
        return false;
    }
    at += strlen("pin-source=");
    if (strncmp(at, "file:", 5) == 0) {
        at += 5;
    }
    if (strncmp(at, "//", 2) == 0) {
        at += 2;
    }
    for (; *at != '\0' && *at != '&' && length < PATH_SIZE - 1; at++) {
        const bool escaped = at[0] == '%' && hex(at[1]) >= 0 && hex(at[2]) >= 0;
        path_out[length++] = escaped ? (char)(hex(at[1]) * 16 + hex(at[2])) : *at;
        at += escaped ? 2 : 0;
    }
    path_out[length] = '\0';
    return true;
}

/* What identifies a PIN source at this moment: changes whenever the file is written or replaced. */
static bool source_now(const struct signer_options *options, struct pin_latch *latch_out)
{
    char path[PATH_SIZE];
    char identity[PATH_SIZE];
    struct stat status;

    *latch_out = (struct pin_latch){ .set = true };
    if (!pin_source_path(options->uri, path) || stat(path, &status) != 0) {
        return false;
    }
    const struct digest uri = sha256(options->uri, strlen(options->uri));
    const int length =
        snprintf(identity, sizeof(identity), "%llu %llu %lld %lld.%09ld %lld.%09ld ",
                 (unsigned long long)status.st_dev, (unsigned long long)status.st_ino,
                 (long long)status.st_size, (long long)status.st_mtim.tv_sec,
                 status.st_mtim.tv_nsec, (long long)status.st_ctim.tv_sec, status.st_ctim.tv_nsec);
    memcpy(identity + length, uri.bytes, sizeof(uri.bytes));
    const struct digest whole = sha256(identity, (size_t)length + sizeof(uri.bytes));
    (void)base64url_encode(latch_out->source, whole.bytes, sizeof(whole.bytes));
    return true;
}

static bool latch_path(const char *state_dir, const struct signer_options *options,
                       char path_out[static PATH_SIZE])
{
    return state_dir != NULL
        && snprintf(path_out, PATH_SIZE, "%s/signer-%s.pin-refused", state_dir, options->name)
               < PATH_SIZE;
}

void pin_latch_load(struct pin_latch *latch, const char *state_dir,
                    const struct signer_options *options)
{
    char path[PATH_SIZE];

    *latch = (struct pin_latch){ .set = false };
    if (!latch_path(state_dir, options, path)) {
        return;
    }
    scoped(release_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    latch->set = fd >= 0 && read(fd, latch->source, sizeof(latch->source) - 1) > 0;
}

void pin_latch_set(struct pin_latch *latch, const char *state_dir,
                   const struct signer_options *options)
{
    char path[PATH_SIZE];

    if (!source_now(options, latch) || !latch_path(state_dir, options, path)) {
        return;
    }
    scoped(release_fd) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, latch->source, strlen(latch->source)) < 0 || fsync(fd) != 0) {
        log_event(LOG_LEVEL_ERROR, "signer.latch_not_kept", "signer=%s path='%s' errno=%d",
                  options->name, path, errno);
    }
}

bool pin_latch_holds(const struct pin_latch *latch, const struct signer_options *options)
{
    struct pin_latch now;
    return latch->set && (!source_now(options, &now) || strcmp(now.source, latch->source) == 0);
}

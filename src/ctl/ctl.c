#include "ctl/ctl.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum { WRITE_TRIES = 4 };

DEFINE_RELEASE(release_ledger, struct ledger, ledger_close)

int ctl_complain(const struct error *err)
{
    (void)fprintf(stderr, "issuerctl: %s\n", error_line(err).text);
    return err->code == ERROR_CONFIG ? EX_CONFIG : EX_UNAVAILABLE;
}

int ctl_refuse(const struct error *err)
{
    const int status = ctl_complain(err);

    if (err->code == ERROR_NOT_FOUND || err->code == ERROR_CONFLICT) {
        return CTL_REFUSED;
    }
    return err->code == ERROR_INVALID_REQUEST ? EX_USAGE : status;
}

bool ctl_open_store(const struct service_options *service, struct store **store_out,
                    struct error *err)
{
    struct store_options options = service->store;

    options.must_exist = true;
    return store_open(service->store_url, &options, store_out, err);
}

static bool write_once(struct ledger *ledger, struct store *store, ctl_write_fn *write,
                       void *context, struct error *err)
{
    int64_t now_s = 0;

    if (!store_begin(store, &now_s, err)) {
        return false;
    }
    if (!write(context, ledger, store, now_s, err) || !ledger_seal(ledger, store, err)) {
        store_rollback(store);
        ledger_settle(ledger, false);
        return false;
    }
    const bool committed = store_commit(store, err);
    ledger_settle(ledger, committed);
    return committed;
}

bool ctl_write(const struct service_options *service, struct store *store, ctl_write_fn *write,
               void *context, struct error *err)
{
    scoped(release_ledger) struct ledger *ledger = NULL;
    bool written = false;

    if (!ledger_open(&service->ledger, store, &ledger, err)) {
        return false;
    }
    for (int i = 0; i < WRITE_TRIES && !written; i++) {
        written = write_once(ledger, store, write, context, err);
        if (!written && err->code != ERROR_STORE_CONFLICT) {
            return false;
        }
    }
    return written;
}

struct instant instant_of(int64_t seconds)
{
    struct instant instant;
    struct tm parts;
    const time_t time = (time_t)seconds;

    (void)gmtime_r(&time, &parts);
    (void)strftime(instant.text, sizeof(instant.text), "%Y-%m-%dT%H:%M:%SZ", &parts);
    return instant;
}

void ctl_add_member(struct text *text, const char *name, const char *value)
{
    text_add(text, text->length > 1 ? ",\"" : "\"");
    text_add(text, name);
    text_add(text, "\":");
    text_add_json_string(text, value);
}

void ctl_make_plain(char *text)
{
    for (; *text != '\0'; text++) {
        *text = *text >= ' ' && *text < 0x7f ? *text : '?';
    }
}

/* ---- files ---- */

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

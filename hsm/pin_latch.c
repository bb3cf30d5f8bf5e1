#include "hsm/pin_latch.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64url.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/secret.h"
#include "base/uri.h"

enum { PATH_SIZE = 1024, TRY_EVERY_MS = 20 };

/* What this process knows of one PIN file, for all its latches. */
struct pin_source {
    unsigned latches; /* 0: free */
    bool locked;
    struct pin_identity refused;
    char path[PATH_SIZE]; /* "": no PIN file, and not shared */
};

static pthread_mutex_t sources_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pin_source sources[PIN_LATCHES_MAX];

static struct pin_identity identity_now(const char *path)
{
    struct pin_identity identity = { "-" };
    struct stat status;

    if (stat(path, &status) != 0 || status.st_size == 0) {
        return identity;
    }
    if (secret_is_credential(path)) {
        (void)snprintf(identity.text, sizeof(identity.text), "credential %lld",
                       (long long)status.st_size);
    } else {
        const int64_t facts[] = { (int64_t)status.st_dev, (int64_t)status.st_ino,
                                  status.st_size,         status.st_mtim.tv_sec,
                                  status.st_mtim.tv_nsec, status.st_ctim.tv_sec,
                                  status.st_ctim.tv_nsec };
        const struct digest digest = sha256(facts, sizeof(facts));
        (void)base64url_encode(identity.text, digest.bytes, sizeof(digest.bytes));
    }
    return identity;
}

/* -1 if there is none. issuerctl may run as root, and the server has to open the file as well. */
static int open_kept(const char *state_dir, const char *path)
{
    const struct digest digest = sha256(path, strlen(path));
    char name[] = "pin-refused-0123456789abcdef";
    struct stat owner;

    (void)base64url_encode(strrchr(name, '-') + 1, digest.bytes, 12);
    scoped(release_fd) int directory = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const int fd = openat(directory, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        log_event(LOG_LEVEL_WARNING, "signer.latch_not_kept", "file=%s errno=%d", name, errno);
    } else if (geteuid() == 0 && fstat(directory, &owner) == 0) {
        (void)!fchown(fd, owner.st_uid, owner.st_gid);
    }
    return fd;
}

void pin_latch_open_file(struct pin_latch *latch, const char *state_dir, const char *path)
{
    *latch = (struct pin_latch){ .state_dir = path[0] != '\0' ? state_dir : NULL, .fd = -1 };
    pthread_mutex_lock(&sources_lock);
    for (size_t i = 0; i < PIN_LATCHES_MAX; i++) {
        const bool same = path[0] != '\0' && strcmp(sources[i].path, path) == 0;
        if (same || (latch->source == NULL && sources[i].latches == 0)) {
            latch->source = &sources[i];
        }
    }
    assert(latch->source != NULL); /* a signer has one latch at a time */
    latch->source->latches++;
    (void)snprintf(latch->source->path, sizeof(latch->source->path), "%s", path);
    pthread_mutex_unlock(&sources_lock);
}

/* "": there is none. */
static const char *pin_file_of(const char *uri, char source[static PATH_SIZE])
{
    struct error none;
    const char *path =
        uri_attribute(uri, "pin-source", source, PATH_SIZE, &none) ? uri_file_path(source) : NULL;

    return path != NULL ? path : "";
}

void pin_latch_open(struct pin_latch *latch, const char *state_dir, const char *uri)
{
    char source[PATH_SIZE];

    pin_latch_open_file(latch, state_dir, pin_file_of(uri, source));
}

bool pin_file_is(const char *uri, const struct pin_identity *identity)
{
    char source[PATH_SIZE];
    const struct pin_identity now = identity_now(pin_file_of(uri, source));

    return strcmp(now.text, identity->text) == 0;
}

void pin_latch_close(struct pin_latch *latch)
{
    pin_latch_unlock(latch);
    pthread_mutex_lock(&sources_lock);
    if (--latch->source->latches == 0) {
        *latch->source = (struct pin_source){ .latches = 0 };
    }
    pthread_mutex_unlock(&sources_lock);
}

static bool try_lock(struct pin_latch *self)
{
    pthread_mutex_lock(&sources_lock);
    self->locked =
        !self->source->locked
        && (self->fd < 0 || flock(self->fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK);
    self->source->locked = self->source->locked || self->locked;
    pthread_mutex_unlock(&sources_lock);
    return self->locked;
}

bool pin_latch_lock(struct pin_latch *self, int stop_fd, int timeout_ms, struct error *err)
{
    const int64_t start_ns = monotonic_ns();
    struct pollfd stop = { .fd = stop_fd, .events = POLLIN };

    assert(!self->locked);
    self->fd = self->state_dir != NULL ? open_kept(self->state_dir, self->source->path) : -1;
    while (!try_lock(self)) {
        const bool stopped = poll(&stop, 1, TRY_EVERY_MS) > 0;
        const int64_t waited_ms = (monotonic_ns() - start_ns) / NS_PER_MS;
        if (stopped || (timeout_ms >= 0 && waited_ms >= timeout_ms)) {
            release_fd(&self->fd);
            self->fd = -1;
            return stopped ? fail(err, ERROR_SHUTTING_DOWN, "shutting down")
                           : fail(err, ERROR_DEVICE_UNAVAILABLE,
                                  "another process is logging in with this PIN; try again");
        }
    }
    self->tried = identity_now(self->source->path);
    self->kept = (struct pin_identity){ "" };
    (void)!pread(self->fd, self->kept.text, sizeof(self->kept.text) - 1, 0);
    return true;
}

static bool is_refused(const struct pin_identity *now, const struct pin_identity *refused)
{
    return refused->text[0] != '\0'
        && (strcmp(now->text, "-") == 0 || strcmp(now->text, refused->text) == 0);
}

bool pin_latch_holds(const struct pin_latch *self)
{
    const struct pin_identity now = identity_now(self->source->path);

    pthread_mutex_lock(&sources_lock);
    const struct pin_identity refused = self->source->refused;
    pthread_mutex_unlock(&sources_lock);
    return is_refused(&now, &refused) || is_refused(&now, &self->kept);
}

void pin_latch_set(struct pin_latch *self)
{
    const size_t length = strlen(self->tried.text);

    assert(self->locked);
    pthread_mutex_lock(&sources_lock);
    self->source->refused = self->tried;
    pthread_mutex_unlock(&sources_lock);
    if (self->fd >= 0 && strcmp(self->tried.text, "-") != 0
        && (pwrite(self->fd, self->tried.text, length, 0) != (ssize_t)length
            || ftruncate(self->fd, (off_t)length) != 0 || fsync(self->fd) != 0)) {
        log_event(LOG_LEVEL_ERROR, "signer.latch_not_kept", "errno=%d", errno);
    }
}

void pin_latch_unlock(struct pin_latch *self)
{
    pthread_mutex_lock(&sources_lock);
    if (self->locked) {
        self->locked = self->source->locked = false;
        (void)flock(self->fd, LOCK_UN); /* a child between fork and exec has the descriptor too */
        release_fd(&self->fd);
        self->fd = -1;
    }
    pthread_mutex_unlock(&sources_lock);
}

const char *pin_latch_hint(const struct pin_latch *self)
{
    return secret_is_credential(self->source->path)
             ? "the PIN was refused: write the right one where LoadCredential= takes it from, "
               "remove"
               " pin-refused-* from the state directory, restart issuerd"
             : "the PIN was refused: not tried again until its file changes";
}

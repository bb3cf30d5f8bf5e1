#include "http/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/memory.h"

enum { BACKLOG = 1024 };

static bool describe(const struct sockaddr *address, socklen_t length, const char *scheme,
                     char url_out[static ADDRESS_MAX])
{
    char host[INET6_ADDRSTRLEN];
    char port[8];

    if (address->sa_family == AF_UNIX) {
        (void)snprintf(url_out, ADDRESS_MAX, "unix:%s",
                       ((const struct sockaddr_un *)(const void *)address)->sun_path);
        return true;
    }
    if (getnameinfo(address, length, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV)
        != 0) {
        return false;
    }
    (void)snprintf(url_out, ADDRESS_MAX,
                   address->sa_family == AF_INET6 ? "%s://[%s]:%s" : "%s://%s:%s", scheme, host,
                   port);
    return true;
}

/* A socket file that a dead process left behind. */
static void remove_stale(const struct sockaddr *address, socklen_t length)
{
    const char *path = ((const struct sockaddr_un *)(const void *)address)->sun_path;
    struct stat status;
    scoped(release_fd) int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (stat(path, &status) == 0 && S_ISSOCK(status.st_mode) && connect(probe, address, length) != 0
        && errno == ECONNREFUSED) {
        (void)unlink(path);
    }
}

static bool bind_and_listen(int fd, const struct sockaddr *address, socklen_t length)
{
    const int on = 1;

    if (address->sa_family != AF_UNIX) {
        return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0
            && bind(fd, address, length) == 0 && listen(fd, BACKLOG) == 0;
    }
    const mode_t before = umask(0177);
    const bool bound = bind(fd, address, length) == 0;
    (void)umask(before);
    return bound && listen(fd, BACKLOG) == 0;
}

bool listener_open(const struct sockaddr *address, socklen_t length, const char *scheme,
                   int *fd_out, char url_out[static ADDRESS_MAX], struct error *err)
{
    struct sockaddr_storage bound;
    socklen_t bound_length = sizeof(bound);

    if (!describe(address, length, scheme, url_out)) {
        return fail(err, ERROR_CONFIG, "listen: an address that has no text");
    }
    if (address->sa_family == AF_UNIX) {
        remove_stale(address, length);
    }
    scoped(release_fd) int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || !bind_and_listen(fd, address, length)) {
        return errno == EADDRINUSE
                 ? fail(err, ERROR_CONFIG,
                        "listen: %s is in use (another issuerd?): choose another port", url_out)
                 : fail_errno(err, ERROR_CONFIG, "listen on %s", url_out);
    }
    if (getsockname(fd, (struct sockaddr *)&bound, &bound_length) == 0) {
        (void)describe((struct sockaddr *)&bound, bound_length, scheme, url_out);
    }
    *fd_out = fd;
    fd = -1;
    return true;
}

/* ---- a socket that was passed ---- */

static bool get_int(int fd, int option, int *value_out)
{
    socklen_t length = sizeof(*value_out);
    return getsockopt(fd, SOL_SOCKET, option, value_out, &length) == 0;
}

static bool is_listening_stream(int fd)
{
    int type = 0;
    int listens = 0;

    return get_int(fd, SO_TYPE, &type) && type == SOCK_STREAM
        && get_int(fd, SO_ACCEPTCONN, &listens) && listens != 0;
}

bool listener_check(int fd, const struct sockaddr *address, socklen_t length, const char *scheme,
                    char url_out[static ADDRESS_MAX], struct error *err)
{
    struct sockaddr_storage bound = { .ss_family = AF_UNSPEC };
    socklen_t bound_length = sizeof(bound) - 1; /* a path of the longest has no NUL of its own */
    char wanted[ADDRESS_MAX];

    if (!is_listening_stream(fd)
        || getsockname(fd, (struct sockaddr *)&bound, &bound_length) != 0) {
        return fail(err, ERROR_CONFIG,
                    "the socket that was passed is none that listens for streams");
    }
    if (!describe((struct sockaddr *)&bound, bound_length, scheme, url_out)
        || !describe(address, length, scheme, wanted)) {
        return fail(err, ERROR_CONFIG, "the socket that was passed has an address without a text");
    }
    if (strcmp(url_out, wanted) != 0) {
        return fail(err, ERROR_CONFIG,
                    "the socket that was passed is %.100s, and listen is %.100s: make ListenStream="
                    " of the .socket unit and the configuration agree",
                    url_out, wanted);
    }
    return true;
}

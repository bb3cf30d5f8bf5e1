/*
 * Code that somebody else runs inside issuerd and its signers, as far as they are concerned: preloaded,
 * it does at a signal what it should not be able to, and tells on stderr what came of it.
 *
 *   SIGUSR1   opens the file that TRESPASS_FILE names: "trespass: open errno=N"
 *   SIGUSR2   makes a harmless call that none of them makes: "trespass: sync done"
 *   SIGWINCH  starts a program that tells: "trespass: a program"
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *file;

static void tell(const char *text)
{
    (void)!write(STDERR_FILENO, text, strlen(text));
}

static void trespass(int signal_number)
{
    const int before = errno;
    char line[64];

    if (signal_number == SIGUSR1) {
        const int fd = open(file, O_RDONLY | O_CLOEXEC);
        (void)snprintf(line, sizeof(line), "trespass: open errno=%d\n", fd < 0 ? errno : 0);
        tell(line);
        (void)close(fd);
    } else if (signal_number == SIGUSR2) {
        (void)syscall(SYS_sync);
        tell("trespass: sync done\n");
    } else {
        (void)execl("/bin/sh", "sh", "-c", "echo trespass: a program >&2", (char *)NULL);
        tell("trespass: no program\n");
    }
    errno = before;
}

__attribute__((constructor)) static void prepare(void)
{
    static const int signals[] = { SIGUSR1, SIGUSR2, SIGWINCH };
    const struct sigaction action = { .sa_handler = trespass, .sa_flags = SA_RESTART };

    file = getenv("TRESPASS_FILE");
    for (size_t i = 0; file != NULL && i < sizeof(signals) / sizeof(signals[0]); i++) {
        (void)sigaction(signals[i], &action, NULL);
    }
}

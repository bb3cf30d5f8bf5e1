#include "base/journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"

enum { DATAGRAM_MAX = 8192 }; /* a line of the log, twice, and its names */

static struct {
    int fd;
    struct sockaddr_un address;
} journal = { .fd = -1 };

/* A copy of the variable that came with another stderr than ours is not meant for us. */
static bool is_stderr_the_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    char ours[64];
    struct stat status;

    if (stream == NULL || fstat(STDERR_FILENO, &status) != 0) {
        return false;
    }
    (void)snprintf(ours, sizeof(ours), "%llu:%llu", (unsigned long long)status.st_dev,
                   (unsigned long long)status.st_ino);
    return strcmp(stream, ours) == 0;
}

void journal_open(const char *socket_path)
{
    if (!is_stderr_the_journal()) {
        return;
    }
    journal.address.sun_family = AF_UNIX;
    (void)snprintf(journal.address.sun_path, sizeof(journal.address.sun_path), "%s", socket_path);
    journal.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static void add_name(struct text *text, const char *name, size_t length)
{
    text_add(text, "ISSUERD_");
    for (size_t i = 0; i < length; i++) {
        const char upper[] = { name[i] >= 'a' && name[i] <= 'z' ? (char)(name[i] - 'a' + 'A') : '_',
                               '\0' };
        text_add(text, upper);
    }
    text_add(text, "=");
}

/* A value in quotes ends where a blank or nothing follows its quote. */
static size_t value_length(const char *value, char quote)
{
    size_t length = 0;

    while (value[length] != '\0' && !(value[length] == quote && strchr(" ", value[length + 1]))) {
        length++;
    }
    return length;
}

static const char *add_field(struct text *text, const char *field)
{
    const size_t name_length = strspn(field, "abcdefghijklmnopqrstuvwxyz_");
    const char *value = field + name_length + 1;

    if (name_length == 0 || field[name_length] != '=') {
        return field + strcspn(field, " ");
    }
    const bool is_quoted = value[0] == '\'' || value[0] == '"';
    const char quote = value[0];
    value += is_quoted ? 1 : 0;
    const size_t length = is_quoted ? value_length(value, quote) : strcspn(value, " ");
    add_name(text, field, name_length);
    text_add_bytes(text, value, length);
    text_add(text, "\n");
    return value + length + (is_quoted && value[length] != '\0' ? 1 : 0);
}

bool journal_send(int level, const char *line)
{
    char datagram[DATAGRAM_MAX];
    char priority[32];
    struct text text = text_over(datagram, sizeof(datagram));
    const char *at = line + strcspn(line, " ");

    if (journal.fd < 0) {
        return false;
    }
    (void)snprintf(priority, sizeof(priority), "PRIORITY=%d\n", level);
    text_add(&text, priority);
    text_add(&text, "SYSLOG_IDENTIFIER=issuerd\nMESSAGE=");
    text_add(&text, line);
    text_add(&text, "\nISSUERD_EVENT=");
    text_add_bytes(&text, line, (size_t)(at - line));
    text_add(&text, "\n");
    while (*at == ' ') {
        at = add_field(&text, at + 1);
    }
    return sendto(journal.fd, text.start, text.length, MSG_DONTWAIT | MSG_NOSIGNAL,
                  (const struct sockaddr *)&journal.address, sizeof(journal.address))
        >= 0;
}

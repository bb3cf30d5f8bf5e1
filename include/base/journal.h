/*
 * journald's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): an event as one datagram with a field
 * for each of its values, so that `journalctl ISSUERD_SIGNER=main` finds them.
 *
 * Spoken here rather than by libsystemd, for the reason that activation.h gives.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* Notes `socket_path` if stderr is the journal's, as JOURNAL_STREAM says (systemd.exec(5)). Before the
 * first thread. */
void journal_open(const char *socket_path);

/* An event "NAME field=value field='a value' ..." of syslog's `level`, without a newline; each field as
 * ISSUERD_FIELD, the name as ISSUERD_EVENT. False: nobody took it, and a line on stderr is what is left. It
 * never waits. Any thread. */
bool journal_send(int level, const char *line);

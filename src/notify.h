/*
 * What the service manager is told (sd_notify(3)): a datagram to the socket that NOTIFY_SOCKET names.
 * Without one, nothing is told and nothing fails.
 *
 * Spoken here rather than by libsystemd, for the reason that activation.h gives.
 *
 * Threads: one, after notify_open().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Notes whom to tell and how often, and removes it from the environment, so that no child speaks in
 * our name. Before the first thread. */
void notify_open(void);

/* False: there is nobody to tell. */
bool notify_is_heard(void);

/* WATCHDOG_USEC: within how long notify_alive() must come again; 0: nobody waits for it. */
int64_t notify_watchdog_ns(void);

void notify_ready(void);
void notify_reloading(void); /* then notify_ready() */
void notify_stopping(void);
void notify_alive(void);

/* The line that `systemctl status` shows. Says nothing if it is what was said last. */
void notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));

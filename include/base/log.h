/*
 * The log: one line per event on stderr, "<level>event field=value ...", the level in the form
 * that journald reads (sd-daemon(3)); after journal_open() one entry of the journal. Values are escaped, so that an event is one line whatever
 * a client sent. Codes, tokens, PINs and secrets never reach it; no function here takes one.
 *
 * Threads: any. A line is one system call.
 */
#pragma once

#include "base/error.h"

enum log_level {
    LOG_LEVEL_NONE = 2,  /* no event's: where a program says by itself what went wrong */
    LOG_LEVEL_ERROR = 3, /* syslog's numbers */
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_NOTICE = 5,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7,
};

/* Lines above `level` are dropped. `level` starts as LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);

/* From now on each line of this thread has the field traceparent, with this value; "": no more. Of at most
 * LOG_TRACE_MAX characters of [0-9a-f-]. */
enum { LOG_TRACE_MAX = 55 };
void log_set_trace(const char *traceparent);

/* `event` is dotted lower case ("signer.down"); `format` gives "name=value name=value" or is "". */
void log_event(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* An error where it is decided upon: event, the caller's fields, then error="...". */
void log_error(enum log_level level, const char *event, const struct error *err, const char *format,
               ...) __attribute__((format(printf, 4, 5)));

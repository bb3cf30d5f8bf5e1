#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/journal.h"

enum { LINE_SIZE = 1400, FIELDS_SIZE = LINE_SIZE / 2 };

static _Atomic enum log_level threshold = LOG_LEVEL_INFO;
static _Thread_local char trace[LOG_TRACE_MAX + 1];

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&threshold, level, memory_order_relaxed);
}

void log_set_trace(const char *traceparent)
{
    (void)snprintf(trace, sizeof(trace), "%s", traceparent);
}

/* An event stays one line and a terminal stays sane: control and non-ASCII bytes become '?'. */
static void clean(char *text)
{
    for (; *text != '\0'; text++) {
        const unsigned char byte = (unsigned char)*text;
        if (byte < 0x20 || byte > 0x7e) {
            *text = '?';
        }
    }
}

static void write_line(enum log_level level, const char *event, const char *fields,
                       const char *error)
{
    char line[LINE_SIZE];
    int length = snprintf(line, sizeof(line) - 1, "<%d>%s%s%s%s%s%s%s%s", (int)level, event,
                          trace[0] != '\0' ? " traceparent=" : "", trace,
                          fields[0] != '\0' ? " " : "", fields, error != NULL ? " error=\"" : "",
                          error != NULL ? error : "", error != NULL ? "\"" : "");
    if (length >= (int)sizeof(line) - 1) {
        length = (int)sizeof(line) - 2;
    }
    if (journal_send((int)level, line + strlen("<0>"))) {
        return;
    }
    line[length] = '\n';
    (void)!write(STDERR_FILENO, line, (size_t)length + 1);
}

__attribute__((format(printf, 2, 0))) static void print_fields(char fields[static FIELDS_SIZE],
                                                               const char *format, va_list args)
{
    vsnprintf(fields, FIELDS_SIZE, format, args);
    clean(fields);
}

static bool is_wanted(enum log_level level)
{
    return level <= atomic_load_explicit(&threshold, memory_order_relaxed);
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    char fields[FIELDS_SIZE];
    va_list args;

    if (is_wanted(level)) {
        va_start(args, format);
        print_fields(fields, format, args);
        va_end(args);
        write_line(level, event, fields, NULL);
    }
}

void log_error(enum log_level level, const char *event, const struct error *err, const char *format,
               ...)
{
    char fields[FIELDS_SIZE];
    va_list args;

    if (!is_wanted(level)) {
        return;
    }
    va_start(args, format);
    print_fields(fields, format, args);
    va_end(args);
    struct error_line line = error_line(err);
    clean(line.text);
    for (char *quote = line.text; (quote = strchr(quote, '"')) != NULL;) {
        *quote = '\'';
    }
    write_line(level, event, fields, line.text);
}

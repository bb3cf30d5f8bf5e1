#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

__attribute__((format(printf, 3, 0))) static void set(struct error *err, enum error_code code,
                                                      const char *format, va_list args)
{
    *err = (struct error){ .code = code };
    vsnprintf(err->message, sizeof(err->message), format, args);
}

bool fail(struct error *err, enum error_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set(err, code, format, args);
    va_end(args);
    return false;
}

bool fail_openssl(struct error *err, enum error_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set(err, code, format, args);
    va_end(args);
    err->cause.library = "openssl";
    err->cause.number = ERR_get_error();
    ERR_error_string_n(err->cause.number, err->cause.text, sizeof(err->cause.text));
    ERR_clear_error();
    return false;
}

bool fail_errno(struct error *err, enum error_code code, const char *format, ...)
{
    const int number = errno;
    va_list args;
    va_start(args, format);
    set(err, code, format, args);
    va_end(args);
    err->cause.library = "os";
    err->cause.number = (unsigned long)number;
    char buffer[sizeof(err->cause.text)];
    (void)snprintf(err->cause.text, sizeof(err->cause.text), "%s",
                   strerror_r(number, buffer, sizeof(buffer)));
    return false;
}

bool error_context(struct error *err, const char *format, ...)
{
    char before[sizeof(err->message)];
    char context[128];
    va_list args;
    memcpy(before, err->message, sizeof(before));
    va_start(args, format);
    vsnprintf(context, sizeof(context), format, args);
    va_end(args);
    const int room = (int)(sizeof(err->message) - sizeof(": ") - strlen(context));
    (void)snprintf(err->message, sizeof(err->message), "%s: %.*s", context, room, before);
    return false;
}

struct error_line error_line(const struct error *err)
{
    struct error_line line;
    if (err->cause.library == NULL) {
        (void)snprintf(line.text, sizeof(line.text), "%s", err->message);
    } else if (err->cause.number == 0) {
        (void)snprintf(line.text, sizeof(line.text), "%s [%s: %s]", err->message,
                       err->cause.library, err->cause.text);
    } else {
        (void)snprintf(line.text, sizeof(line.text), "%s [%s 0x%lx: %s]", err->message,
                       err->cause.library, err->cause.number, err->cause.text);
    }
    return line;
}

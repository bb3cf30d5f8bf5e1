#include "support/answers.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"

static int file = -1;

static void open_file(void)
{
    const char *directory = getenv("TEST_ANSWERS");
    char path[4096];

    if (directory == NULL) {
        return;
    }
    (void)snprintf(path, sizeof(path), "%s/%d.jsonl", directory, (int)getpid());
    file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0) {
        perror(path);
        abort();
    }
}

static bool is_kept(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, open_file);
    return file >= 0;
}

/* In one write: lines of several threads do not mix. */
static void write_line(const char *line, size_t length)
{
    if (write(file, line, length) != (ssize_t)length) {
        perror("TEST_ANSWERS");
        abort();
    }
}

void answers_note_server(int public_port, int admin_port)
{
    char line[80];

    if (is_kept()) {
        const int length =
            snprintf(line, sizeof(line), "{\"public\":%d,\"admin\":%d}\n", public_port, admin_port);
        write_line(line, (size_t)length);
    }
}

static void print_bytes(FILE *out, const char *name, const char *bytes, size_t length)
{
    (void)fprintf(out, ",\"%s\":\"", name);
    for (size_t i = 0; i < length; i++) {
        const unsigned char byte = (unsigned char)bytes[i];
        (void)fprintf(out,
                      byte < 0x20 || byte >= 0x7f || byte == '"' || byte == '\\' ? "\\u%04x" : "%c",
                      byte);
    }
    (void)fputc('"', out);
}

static void print_header(FILE *out, const struct http_reply *reply, const char *name)
{
    const char *value = http_header(reply, name);
    print_bytes(out, name, value, strlen(value));
}

void answers_note(int port, const char *method, const char *target, const struct http_reply *reply)
{
    scoped(release_memory) char *line = NULL;
    size_t length = 0;

    if (reply->status == 0 || !is_kept()) {
        return;
    }
    FILE *out = open_memstream(&line, &length);
    if (out == NULL) {
        abort();
    }
    (void)fprintf(out, "{\"port\":%d,\"status\":%d", port, reply->status);
    print_bytes(out, "method", method, strlen(method));
    print_bytes(out, "target", target, strlen(target));
    print_header(out, reply, "Content-Type");
    print_header(out, reply, "Allow");
    print_header(out, reply, "Retry-After");
    print_header(out, reply, "ETag");
    print_header(out, reply, "Cache-Control");
    print_bytes(out, "body", reply->body, reply->body_length);
    (void)fputs("}\n", out);
    (void)fclose(out);
    write_line(line, length);
}

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *xcalloc(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

void *xrealloc(void *memory, size_t size)
{
    void *larger = realloc(memory, size);
    if (larger == NULL) {
        abort();
    }
    return larger;
}

char *xstrdup(const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL) {
        abort();
    }
    return copy;
}

void release_memory(void *pointer_to_pointer)
{
    void *pointer;
    memcpy(&pointer, pointer_to_pointer, sizeof(pointer));
    free(pointer);
}

void release_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
}

/* Ownership: scopes that release, pointers that are given away, allocation that cannot fail. */
#pragma once

#include <stddef.h>

/* Runs `release(&variable)` when the variable leaves its scope. */
#define scoped(release) __attribute__((cleanup(release)))

/* Gives a pointer away: its value, leaving NULL behind for the scope to release. */
#define take(pointer)                                                                              \
    __extension__({                                                                                \
        __typeof__(pointer) taken_ = (pointer);                                                    \
        (pointer) = NULL;                                                                          \
        taken_;                                                                                    \
    })

/* Defines `name`, a release for a `type *` that `free_function` frees. */
#define DEFINE_RELEASE(name, type, free_function)                                                  \
    static inline void name(type **pointer)                                                        \
    {                                                                                              \
        if (*pointer != NULL) {                                                                    \
            free_function(*pointer);                                                               \
        }                                                                                          \
    }

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* As calloc and strdup; out of memory ends the process. The caller frees. */
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *memory, size_t size);
char *xstrdup(const char *text);

/* For scoped(): free(), and close() of a descriptor that is not -1. */
void release_memory(void *pointer_to_pointer);
void release_fd(int *fd);

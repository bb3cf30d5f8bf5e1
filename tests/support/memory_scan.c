#include "support/memory_scan.h"

#include <ctype.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"

enum {
    KEY = 8,     /* bytes that are looked up */
    WINDOW = 12, /* bytes that must be there: chance does not make them */
    TABLE_BITS = 20,
    TABLE_SIZE = 1 << TABLE_BITS,
    CHUNK = 1 << 20,
    AROUND = 24,
};

/* A piece of a text that is looked for. */
struct window {
    uint8_t bytes[WINDOW];
    uint8_t length; /* 0: none */
    uint8_t kind;
};

struct memory_scan {
    size_t count;
    struct window table[TABLE_SIZE]; /* by the first KEY bytes, or behind what is there */
};

struct region {
    uint64_t start;
    uint64_t end;
    char name[96];
};

struct memory_scan *memory_scan_new(void)
{
    return xcalloc(1, sizeof(struct memory_scan));
}

void memory_scan_free(struct memory_scan *self)
{
    free(self);
}

static size_t place_of(const void *bytes)
{
    uint64_t key;
    memcpy(&key, bytes, KEY);
    return (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> (64 - TABLE_BITS));
}

static void add_window(struct memory_scan *self, unsigned kind, const uint8_t *bytes, size_t length)
{
    size_t place = place_of(bytes);

    while (self->table[place].length > 0) {
        place = (place + 1) % TABLE_SIZE;
    }
    memcpy(self->table[place].bytes, bytes, length);
    self->table[place].length = (uint8_t)length;
    self->table[place].kind = (uint8_t)kind;
    if (++self->count > TABLE_SIZE / 2) {
        abort(); /* or a look-up would take long */
    }
}

void memory_scan_add(struct memory_scan *self, unsigned kind, const void *bytes, size_t length)
{
    const size_t window = length < WINDOW ? length : WINDOW;

    if (length < KEY || kind >= SCAN_KINDS_MAX) {
        abort();
    }
    for (size_t i = 0; i + window <= length; i++) {
        add_window(self, kind, (const uint8_t *)bytes + i, window);
    }
}

/* ---- reading ---- */

static void note(struct memory_findings *findings, unsigned kind, const struct region *region,
                 uint64_t address, const uint8_t *at, size_t left)
{
    char *place = findings->places[kind];

    if (findings->counts[kind]++ > 0) {
        return;
    }
    int length =
        snprintf(place, SCAN_PLACE_MAX, "%" PRIx64 " in %" PRIx64 "-%" PRIx64 " %.60s: ", address,
                 region->start, region->end, region->name);
    for (size_t i = 0; i < AROUND && i < left && length < SCAN_PLACE_MAX - 1; i++) {
        place[length++] = (char)(isprint(at[i]) ? at[i] : '.');
    }
    place[length] = '\0';
}

static void look_up(const struct memory_scan *self, struct memory_findings *findings,
                    const struct region *region, uint64_t address, const uint8_t *at, size_t left)
{
    for (size_t place = place_of(at); self->table[place].length > 0;
         place = (place + 1) % TABLE_SIZE) {
        const struct window *window = &self->table[place];
        if (window->length <= left && memcmp(window->bytes, at, window->length) == 0) {
            note(findings, window->kind, region, address, at, left);
            return;
        }
    }
}

/* `fd` is its memory, `buffer` of CHUNK bytes. Chunks overlap, so that no window lies between two. A
 * page that cannot be read (a guard, a device's) ends the region. */
static void scan_region(const struct memory_scan *self, int fd, const struct region *region,
                        uint8_t *buffer, struct memory_findings *findings)
{
    uint64_t at = region->start;

    while (at < region->end) {
        const uint64_t rest = region->end - at;
        const ssize_t got = pread(fd, buffer, rest < CHUNK ? (size_t)rest : CHUNK, (off_t)at);
        if (got < WINDOW) {
            return;
        }
        const size_t length = (size_t)got;
        const bool is_last = at + length >= region->end;
        const size_t end = length - (is_last ? KEY : WINDOW) + 1;
        for (size_t i = 0; i < end; i++) {
            look_up(self, findings, region, at + i, buffer + i, length - i);
        }
        findings->bytes += end;
        at += is_last ? length : end;
    }
}

static bool parse_region(const char *line, struct region *region_out)
{
    char rights[8];

    region_out->name[0] = '\0';
    return sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %*s %*s %*s %95[^\n]", &region_out->start,
                  &region_out->end, rights, region_out->name)
            >= 3
        && rights[0] == 'r' && strncmp(region_out->name, "[v", 2) != 0; /* [vvar], [vsyscall] */
}

bool memory_scan_run(const struct memory_scan *self, pid_t pid,
                     struct memory_findings *findings_out)
{
    scoped(release_memory) uint8_t *buffer = xcalloc(1, CHUNK);
    char path[64];
    char line[512];

    *findings_out = (struct memory_findings){ .bytes = 0 };
    (void)snprintf(path, sizeof(path), "/proc/%d/mem", pid);
    scoped(release_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    (void)snprintf(path, sizeof(path), "/proc/%d/maps", pid);
    FILE *maps = fopen(path, "re");
    if (maps == NULL) {
        return false;
    }
    while (fd >= 0 && fgets(line, sizeof(line), maps) != NULL) {
        struct region region;
        if (parse_region(line, &region)) {
            scan_region(self, fd, &region, buffer, findings_out);
        }
    }
    fclose(maps);
    return findings_out->bytes > 0;
}

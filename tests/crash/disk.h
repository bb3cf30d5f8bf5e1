/* A disk that is full, or fails. */
#pragma once

#include "crash/bed.h"

/* Fills the file system that `directory` is on, up to so much, once more if some became free since.
 * False: errno says why it cannot be; ENOSPC: somebody else was faster. */
bool disk_fill(const char *directory, unsigned kib_left);
void disk_make_room(const char *directory);

/* The SQLite store on a small file system of its own, with 0, 4, 8, ... KiB left, `steps` of these: what
 * cannot be written is answered 503 and is done when there is room again, without a restart. A line of
 * the results. It needs the right to mount. */
void disk_is_full(struct bed *bed, unsigned steps);

/* The first, second, ... write, sync or rename of issuerd in the store's directory fails, once, until
 * all of an exchange's are through, or `most` of each; or issuerd is killed there. A line of the
 * results for each of these. It needs TEST_IO_SHIM, the path of io_shim.so. */
void disk_fails(struct bed *bed, unsigned most);

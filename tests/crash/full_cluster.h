/* A PostgreSQL cluster whose disk is full. */
#pragma once

#include "crash/bed.h"

/* The cluster's data are on a small file system. By turns it has 0, 8, 16, ... KiB left for a table
 * to grow into, and there are 0, 8, 16, ... KiB to the end of the WAL's segment and no room for the
 * next, `steps` in all: of the first PostgreSQL says that it failed, of the second it dies, recovers
 * what it can, and is started again if it has given up. What cannot be written is answered 503, and
 * issuerd is ready again within 2 s of PostgreSQL, without a restart. A line of the results for each.
 * It needs what tests/support/with_postgresql.sh exports, with TEST_POSTGRESQL_DISK_MIB. */
void cluster_is_full(struct bed *bed, unsigned steps);

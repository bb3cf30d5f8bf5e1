#!/bin/sh
# with_postgresql.sh COMMAND...: runs it with a PostgreSQL cluster of its own, in a directory of its
# own. The command finds
#
#   TEST_POSTGRESQL_URL      its database "issuerd", as the role issuerd
#   TEST_POSTGRESQL_ADMIN    its database "postgres", as the superuser, for libpq and psql
#   TEST_POSTGRESQL_DIR      what provisioning/postgresql-cluster.sh calls DIR
#   TEST_POSTGRESQL_CLUSTER  that script
#
# With TEST_POSTGRESQL_DISK_MIB its data are on a disk of that size, which is mounted for it: DIR/data.
# What is missing is a failure, not a skip.
set -eu
umask 077

here=$(cd "$(dirname "$0")" && pwd)
export TEST_POSTGRESQL_CLUSTER="$here/../../provisioning/postgresql-cluster.sh"
TEST_POSTGRESQL_DIR=$(mktemp -d "${TMPDIR:-/tmp}/issuerd postgresql.XXXXXX")
export TEST_POSTGRESQL_DIR
remove_cluster() {
    if mountpoint -q "$TEST_POSTGRESQL_DIR/data"; then
        "$TEST_POSTGRESQL_CLUSTER" kill "$TEST_POSTGRESQL_DIR" || true
        umount "$TEST_POSTGRESQL_DIR/data"
    fi
    "$TEST_POSTGRESQL_CLUSTER" remove "$TEST_POSTGRESQL_DIR"
}
trap remove_cluster EXIT
trap 'exit 1' HUP INT TERM

if [ -n "${TEST_POSTGRESQL_DISK_MIB:-}" ]; then
    mkdir "$TEST_POSTGRESQL_DIR/data"
    mount -t tmpfs -o "mode=0700,size=${TEST_POSTGRESQL_DISK_MIB}m" issuerd "$TEST_POSTGRESQL_DIR/data"
fi

TEST_POSTGRESQL_URL=$("$TEST_POSTGRESQL_CLUSTER" start "$TEST_POSTGRESQL_DIR")
TEST_POSTGRESQL_ADMIN=$(echo "$TEST_POSTGRESQL_URL" |
    sed 's|///issuerd|///postgres|; s|user=issuerd|user=postgres|')
export TEST_POSTGRESQL_URL TEST_POSTGRESQL_ADMIN

"$@"

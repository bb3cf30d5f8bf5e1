#!/usr/bin/env bash
# The crash run: issuerd under a load is killed at each of its crash points (base/crash_point.h) and at
# any moment, and its disk is full or fails; then it is started again, its clients come to their end,
# and tests/faults/check.py holds what they saw against the store and the ledger.
#
#   tests/crash/run.sh [--build-dir DIR] [--smoke] [--store sqlite|postgresql] [--points A,B]
#                      [--times N] [--seed N] [--verbose]
#
#   --smoke      each of it once or a few times, in a minute; how long anything takes is not judged, so
#                that it can run on a busy machine
#   --store S    on this store only
#   --points P   kills at these points only
#   --times N    kills at each point (20); ten times as many at random
#   --seed N     when the kills come (it is printed)
#   --verbose    a line for each part as it ends
#
# The programs with the points in them are built in DIR/crash. A start after a kill has to be ready
# within 2 s; a fault that ended, healed within 5 s, without a restart. About 30 minutes on two cores,
# when nothing else runs. The last line is "N passed, N failed, N skipped"; the exit status is 0 only if
# all passed.
set -euo pipefail
export LC_ALL=C

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
here=$root/tests/crash
build=$root/build
seed=$((RANDOM + 1)) verbose=no stores='sqlite postgresql' points=''
times=20 steps=16 errors=100 bounds=tight at_once=1 smoke=no
work='' shim='' cluster='' private=() with=() jobs=()

while [ $# -gt 0 ]; do
    case $1 in
    --build-dir) build=$2 && shift ;;
    --smoke) smoke=yes times=1 steps=3 errors=3 bounds=loose at_once=4 ;;
    --store) stores=$2 && shift ;;
    --points) points=${2//,/ } && shift ;;
    --times) times=$2 && shift ;;
    --seed) seed=$2 && shift ;;
    --verbose) verbose=yes ;;
    *)
        sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
    esac
    shift
done

# A part is a job, and so a process group: what it started ends with it.
set -m
finish() {
    local status=$? job
    for job in ${jobs[@]+"${jobs[@]}"}; do
        kill -TERM -- "-$job" 2>/dev/null || true
    done
    wait
    [ -z "$cluster" ] || "$root/provisioning/postgresql-cluster.sh" remove "$cluster" || true
    [ -z "$shim" ] || rm -rf "$shim"
    if [ "$status" -eq 0 ] && [ -n "$work" ]; then
        rm -rf "$work"
    elif [ -n "$work" ]; then
        echo "logs: $work"
    fi
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cached() { # cached NAME: a setting of the build
    sed -n "s/^$1:[^=]*=//p" "$build/CMakeCache.txt"
}

build_programs() {
    {
        [ -f "$build/CMakeCache.txt" ] || cmake -S "$root" -B "$build"
        cmake --build "$build" -j "$(nproc)" --target issuerd issuerd-signer crash_run io_shim
        cmake -S "$root" -B "$build/crash" -DCRASH_POINTS=ON -DBUILD_TESTING=OFF \
            -DCMAKE_C_COMPILER="$(cached CMAKE_C_COMPILER)" -DSANITIZE="$(cached SANITIZE)"
        cmake --build "$build/crash" -j "$(nproc)" --target issuerd issuerd-signer
    } >"$work/build.log" 2>&1 || {
        cat "$work/build.log"
        exit 1
    }
    build=$(cd "$build" && pwd)
    shim=$(mktemp -d /tmp/issuerd-crash.XXXXXX) # LD_PRELOAD's list is divided by blanks
    cp "$build/tests/crash/io_shim.so" "$shim"
    export FAULT_CHECK=$root/tests/faults/check.py TEST_IO_SHIM=$shim/io_shim.so
}

start_cluster() {
    cluster=$work/cluster
    mkdir "$cluster"
    TEST_POSTGRESQL_URL=$("$root/provisioning/postgresql-cluster.sh" start "$cluster")
    TEST_POSTGRESQL_ADMIN=$(echo "$TEST_POSTGRESQL_URL" |
        sed 's|///issuerd|///postgres|; s|user=issuerd|user=postgres|')
    export TEST_POSTGRESQL_URL TEST_POSTGRESQL_ADMIN
}

# Disks are mounted where nobody else sees it.
choose_namespace() {
    if unshare --mount true 2>/dev/null; then
        private=(unshare --mount)
    elif unshare --map-root-user --mount true 2>/dev/null; then
        private=(unshare --map-root-user --mount)
    fi
}

# part PROGRAMS ARGUMENT...: of crash_run, as soon as there is room, in the environment of $with.
part() {
    local issuerd=$1/issuerd log=$work/part-${#jobs[@]}.log
    shift
    while [ "$(jobs -rp | wc -l)" -ge "$at_once" ]; do
        wait -n || true
        say_progress
    done
    {
        TEST_ISSUERD=$issuerd "${private[@]}" "$root/tests/support/with_software.sh" "${with[@]}" \
            "$build/tests/crash/crash_run" "$bounds" "$store" "$@" "$work/results" >"$log" 2>&1 ||
            echo "$store $*" >>"$work/lost"
    } &
    jobs+=($!)
}

say_progress() {
    local done_
    done_=$(wc -l <"$work/results")
    if [ "$verbose" = yes ]; then
        sed -n "$((said + 1)),${done_}p" "$work/results" | tr '\t' ' '
        said=$done_
    elif [ -t 1 ]; then
        printf '\r%d parts ' "$done_"
    fi
}

await_parts() {
    while [ "$(jobs -rp | wc -l)" -gt 0 ]; do
        wait -n || true
        say_progress
    done
    jobs=()
}

# A short run kills at the points where the store matters on one store, at all of them on the other.
points_of_store() {
    if [ -n "$points" ]; then
        echo "$points"
    elif [ "$smoke" = yes ] && [ "$store" = postgresql ]; then
        echo transaction-begun code-spent tree-kept postgresql-sent committed job-done \
            replay-recorded checkpoint-stored
    else
        "$build/tests/crash/crash_run" points
    fi
}

# A cluster of its own, as it has to be where the disk can be seen. A short run has one step of each of
# its two kinds.
full_part() {
    local with=() steps=$steps
    [ "$store$smoke" != postgresqlyes ] || steps=2
    if [ "$store" = postgresql ] && [ ${#private[@]} -gt 0 ]; then
        with=(env TEST_POSTGRESQL_DISK_MIB=128 "$root/tests/support/with_postgresql.sh")
    fi
    part "$build" full "$steps"
}

run_store() {
    local point
    [ "$store" = sqlite ] || start_cluster
    for point in $(points_of_store); do
        # Some are in one engine's code.
        case $store:$point in sqlite:postgresql-* | postgresql:sqlite-*) continue ;; esac
        part "$build/crash" point "$point" "$times" "$seed"
    done
    [ -z "$points" ] || return 0
    part "$build" random $((10 * times)) "$seed"
    full_part
    part "$build" errors "$errors"
}

work=$(mktemp -d "${TMPDIR:-/tmp}/issuerd crash.XXXXXX")
build_programs
choose_namespace
: >"$work/results"
: >"$work/lost"
said=0
echo "seed $seed"
for store in $stores; do
    run_store
done
await_parts
[ "$verbose" = yes ] || ! [ -t 1 ] || printf '\r%20s\r' ''

sed 's/^/did not come to its end: /' "$work/lost"
awk -v lost="$(wc -l <"$work/lost")" -f "$here/report.awk" "$work/results"

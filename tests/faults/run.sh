#!/usr/bin/env bash
# The fault run: every class of PKCS#11 return values and TPM response codes by every function that a
# signer calls, once, three times and until cleared; and hangs, crashes, wrong bits, lost sessions.
#
#   tests/faults/run.sh [--build-dir DIR] [--smoke] [--seed N] [--only WORDS] [--verbose]
#
#   --smoke     one case of each class, in two minutes; how long anything takes is not judged, so that
#               it can run on a busy machine
#   --seed N    the order of the cases and how long their faults last (it is printed)
#   --only W    the cases with these words in a row: "C_Login start rv=0xa0"
#   --verbose   a line for each case
#
# A started issuerd is under a light load throughout; after each case check.py reads what its clients
# saw, the store and the ledger. About 22 minutes on two cores. The last two lines tell cases, the
# longest outage after a fault was cleared, codes burnt, bad tokens, PIN tries; then "N passed, N
# failed, N skipped". The exit status is 0 only if all passed.
set -euo pipefail
export LC_ALL=C

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
here=$root/tests/faults
build=$root/build
seed=$((RANDOM + 1)) smoke=no verbose=no only=''
pkcs11_shards=6 tpm_shards=3 most=100000 tokens=10000 bounds=tight
work='' shards=()

while [ $# -gt 0 ]; do
    case $1 in
    --build-dir) build=$2 && shift ;;
    --smoke) smoke=yes pkcs11_shards=3 tpm_shards=2 most=1 tokens=300 bounds=loose ;;
    --seed) seed=$2 && shift ;;
    --only) only=$2 && shift ;;
    --verbose) verbose=yes ;;
    *)
        sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
    esac
    shift
done

# A shard is a job, and so a process group: what it started ends with it.
set -m
finish() {
    local status=$? shard
    for shard in ${shards[@]+"${shards[@]}"}; do
        kill -TERM -- "-$shard" 2>/dev/null || true
    done
    wait
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

build_programs() {
    [ -f "$build/CMakeCache.txt" ] || cmake -S "$root" -B "$build" >"$work/build.log" 2>&1
    cmake --build "$build" -j "$(nproc)" >>"$work/build.log" 2>&1 || {
        cat "$work/build.log"
        exit 1
    }
    build=$(cd "$build" && pwd)
    export TEST_TOKEN_TOOL=$build/tests/contract/token_tool TEST_ISSUERD=$build/issuerd
    export TEST_SHIM=$build/tests/faults/pkcs11_shim.so
    export TEST_TCTI_SHIM=$build/tests/faults/tcti_shim.so FAULT_CHECK=$here/check.py
}

# start DEVICE ARGUMENT...: a shard of its own, with a device of its own.
start() {
    local device=$1 log=$work/shard-${#shards[@]}.log
    shift
    "$root/tests/support/with_$device.sh" "$build/tests/faults/fault_run" "$bounds" "$@" "$work/results" \
        >"$log" 2>&1 &
    shards+=($!)
}

say_progress() {
    local done_
    done_=$(wc -l <"$work/results")
    if [ "$verbose" = yes ]; then
        sed -n "$((said + 1)),${done_}p" "$work/results" | tr '\t' ' '
        said=$done_
    elif [ -t 1 ]; then
        printf '\r%d cases ' "$done_"
    elif [ $((done_ / 100)) -gt $((said / 100)) ]; then
        echo "$done_ cases"
        said=$done_
    fi
}

# Waits for all shards. Sets lost: how many did not end well.
await_shards() {
    local shard
    for shard in "${shards[@]}"; do
        while kill -0 "$shard" 2>/dev/null; do
            sleep 1
            say_progress
        done
        wait "$shard" || lost=$((lost + 1))
    done
    shards=()
}

work=$(mktemp -d "${TMPDIR:-/tmp}/issuerd faults.XXXXXX")
build_programs
: >"$work/results"
lost=0 said=0
echo "seed $seed"

if [ -z "$only" ]; then
    start softhsm flips "$tokens"
    [ "$smoke" = yes ] || await_shards # the light loads would not be alone with their signers
fi
for ((i = 0; i < pkcs11_shards; i++)); do
    start softhsm pkcs11 "$i" "$pkcs11_shards" "$most" "$seed" "$only"
done
for ((i = 0; i < tpm_shards; i++)); do
    start swtpm tpm "$i" "$tpm_shards" "$most" "$seed" "$only"
done
await_shards
say_progress
[ "$verbose" = yes ] || ! [ -t 1 ] || printf '\r%20s\r' ''

[ "$lost" -eq 0 ] || echo "$lost shard(s) did not come to their end: see the logs"
awk -v lost="$lost" -f "$here/report.awk" "$work/results"

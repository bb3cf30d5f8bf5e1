#!/usr/bin/env bash
# The failover run: two issuerd on a primary and a standby of PostgreSQL, under a light load.
#
#   tests/failover/run.sh [--build-dir DIR] [--rounds N] [--smoke] [--seed N]
#
#   --rounds N   so many rounds (default: 10), a minute each
#   --smoke      one round; how long anything takes is not judged
#   --seed N     when the primary dies (it is printed)
#
# In each round, with clusters of its own, (1) the primary is killed with all its processes, the
# standby promoted, then the old primary comes back, connections are cut, a node is restarted;
# (2) the standby is killed and comes back; (3) a standby that lacks acknowledged commits is promoted.
# Then no code has two tokens, every delivered token is in the ledger of the cluster that is left, no
# code is burnt, and the old primary has acknowledged nothing. The longest outage is judged, 10 s, and
# the slowest answer, 2 s. The last line is
# "N passed, N failed, N skipped"; the exit status is 0 only if all passed.
set -euo pipefail
export LC_ALL=C

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$root/build
rounds=10 seed=$((RANDOM + 1)) bounds=tight
work=''

while [ $# -gt 0 ]; do
    case $1 in
    --build-dir) build=$2 && shift ;;
    --rounds) rounds=$2 && shift ;;
    --smoke) rounds=1 bounds=loose ;;
    --seed) seed=$2 && shift ;;
    *)
        sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2
        [ "$1" = --help ] && exit 0 || exit 2
        ;;
    esac
    shift
done

finish() {
    local status=$?
    if [ "$status" -eq 0 ] && [ -n "$work" ]; then
        rm -rf "$work"
    elif [ -n "$work" ]; then
        stop_clusters
        echo "logs: $work"
    fi
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# What a round that did not come to its end has left.
stop_clusters() {
    local place
    for place in "$work"/*/*/data; do
        [ ! -d "$place" ] || "$TEST_POSTGRESQL_CLUSTER" kill "${place%/data}" 2>/dev/null || true
    done
}

build_programs() {
    [ -f "$build/CMakeCache.txt" ] || cmake -S "$root" -B "$build" >"$work/build.log" 2>&1
    cmake --build "$build" -j "$(nproc)" --target failover_run issuerd issuerd-signer issuerctl \
        >>"$work/build.log" 2>&1 || {
        cat "$work/build.log"
        exit 1
    }
    build=$(cd "$build" && pwd)
    export TEST_ISSUERD=$build/issuerd FAULT_CHECK=$root/tests/faults/check.py
    export TEST_POSTGRESQL_CLUSTER=$root/provisioning/postgresql-cluster.sh
}

report() {
    awk -F '\t' -v lost="$lost" '
        { count[$1]++; issued += $4; refusals += $5 }
        $2 == "primary lost" { n++; if ($6 > worst) worst = $6; sum += $6 }
        $7 > slowest { slowest = $7 }
        $1 == "FAILED" { print "FAILED  round " $3 ", " $2 ": " $8 }
        END {
            printf "%d tokens, %d refusals, slowest answer %d ms\n", issued, refusals, slowest
            printf "from a token to the next over a failover: %d ms on average, %d ms at most\n",
                (n > 0 ? sum / n : 0), worst
            printf "%d passed, %d failed, 0 skipped\n", count["passed"], count["FAILED"] + lost
            exit count["passed"] == 0 || count["FAILED"] + lost > 0
        }' "$work/results"
}

work=$(mktemp -d "${TMPDIR:-/tmp}/issuerd failover.XXXXXX")
build_programs
: >"$work/results"
lost=0
echo "seed $seed"
for ((round = 1; round <= rounds; round++)); do
    echo "round $round"
    TMPDIR=$work "$root/tests/support/with_software.sh" "$build/tests/failover/failover_run" \
        "$bounds" "$((seed + round))" "$round" "$work/results" 2>"$work/round-$round.log" ||
        lost=$((lost + 1))
done
report

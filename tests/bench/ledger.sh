#!/usr/bin/env bash
# The benchmark of the audit: a ledger of N entries in SQLite, with a checkpoint every 1,000, is made by
# the server's own appender and verified by issuerctl.
#
#   tests/bench/ledger.sh [--entries N] [--build-dir DIR] [--ledger DIR]
#
# 1,000,000 entries unless said otherwise. --ledger: where it is made, or is already (store.db,
# audit.pem), and stays. Prints entries, seconds, entries a second and the peak of the resident memory.
set -euo pipefail
export LC_ALL=C

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
entries=1000000 build=$root/build ledger=

while [ $# -gt 0 ]; do
    case $1 in
    --entries) entries=$2 && shift ;;
    --build-dir) build=$2 && shift ;;
    --ledger) ledger=$2 && shift ;;
    *)
        sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
    esac
    shift
done

[ -f "$build/CMakeCache.txt" ] || cmake -S "$root" -B "$build" >&2
cmake --build "$build" -j "$(nproc)" --target make_ledger issuerctl >&2

if [ -z "$ledger" ]; then
    ledger=$(mktemp -d)
    trap 'rm -rf "$ledger"' EXIT
fi
mkdir -p "$ledger"
[ -f "$ledger/store.db" ] || "$build/tests/make_ledger" "$ledger" "$entries" 1000 2>/dev/null

python3 - "$build/issuerctl" "$ledger" <<'END'
import json
import resource
import subprocess
import sys
import time

program, ledger = sys.argv[1:]
begun = time.monotonic()
result = subprocess.run([program, "ledger", "verify", "--json", "--store",
                         "sqlite:" + ledger + "/store.db", "--audit-key", ledger + "/audit.pem"],
                        stdout=subprocess.PIPE)
seconds = time.monotonic() - begun
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
report = json.loads(result.stdout)
if result.returncode != 0 or not report["verified"]:
    sys.exit("the ledger does not verify: " + result.stdout.decode())
print("%d entries, %d checkpoints: %.1f s (%.1f s of processor), %d entries/s, %.1f MiB at most" % (
    report["entries"], report["checkpoints"], seconds, usage.ru_utime + usage.ru_stime,
    report["entries"] / seconds, usage.ru_maxrss / 1024))
END

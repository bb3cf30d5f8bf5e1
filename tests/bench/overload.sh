#!/bin/sh
# The benchmark of overload: three times what a slow HSM signs. Are tokens still made at nearly the
# peak's rate, is the rest refused at once, and is every code that was refused still good?
#
#   tests/bench/overload.sh [--build-dir DIR]
#
# SoftHSM2 with 20 ms more per C_Sign and 8 sessions; the server's defaults for the rest. The peak is
# a closed loop; then codes come at 3 times its rate, at even distances and whatever the server
# does. All codes are made before their clock starts; those that were refused are redeemed afterwards.
# Server, signer and load generator share this machine; nothing leaves 127.0.0.1. Ends with 0 when
# every answer was 201 or, in the overload, 503 with Retry-After, and no code was burnt; other
# targets met or not.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=SCRIPTDIR/server.sh
. "$root/tests/bench/server.sh"
sessions=8 delay_us=20000 peak_connections=64 overload_connections=512
capacity=$((sessions * 1000000 / delay_us))
peak_s=10 overload_s=10 warm_up_s=3 times=3
codes_made=0

while [ $# -gt 0 ]; do
    case $1 in
    --build-dir) build=$2; shift ;;
    *) sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    shift
done

make_codes() {
    prepare_codes "$1"
    codes_made=$((codes_made + $1))
}

# redeem CODES CONNECTIONS [OPTION...]: sets line.
redeem() {
    codes=$1 connections=$2
    shift 2
    line=$("$load" run --public "$public" --codes "$codes" --connections "$connections" "$@" \
        2>"$work/load.log") \
        || { cat "$work/overload.log" "$work/load.log" >&2; die "a code got no token: $line"; }
}

# overload RATE SECONDS: sets line and server_us, issuerd's CPU time. While it runs it notes issuerd's
# memory: once all connections are at work, halfway and just before the end.
overload() {
    make_codes "$(calculate "int($1 * $2)")"
    : >"$work/memory"
    for part in 0.2 0.3 0.45; do
        sleep "$(calculate "$part * $2")"
        awk '/^VmRSS:/ { print $2 / 1024 }' "/proc/$server/status" >>"$work/memory"
    done &
    server_before=$(cpu_us "$server")
    redeem "$work/codes" $overload_connections --rate "$1" --seconds "$2" --refused "$work/refused"
    server_us=$(($(cpu_us "$server") - server_before))
    wait $!
}

redeem_refused() {
    [ ! -s "$work/refused" ] || redeem "$work/refused" $peak_connections
}

# Rows of the ledger, and of how many authorizations, read with SQLite alone.
ledger() {
    python3 - "$work/overload.db" <<'END'
import sqlite3, sys
for row in sqlite3.connect(sys.argv[1]).execute(
        "SELECT count(*), count(DISTINCT entry ->> 'authorization') FROM ledger"
        " WHERE entry ->> 'kind' = 'issued'"):
    print(*row)
END
}

memory_at() { sed -n "$1p" "$work/memory"; }

make_work_directory
build_programs
make_instance $delay_us
print_config "sqlite:$work/overload.db" "$work/shim.so" issuerd-es256 ES256 "sessions = $sessions
$shim_lines" >"$work/overload.conf"
start_server overload

say "warming up"
overload "$((times * capacity))" $warm_up_s
redeem_refused

say "the peak, then $times times as much"
make_codes $((peak_s * capacity))
redeem "$work/codes" $peak_connections
peak=$(echo "$line" | field tokens_per_s)
overload "$(calculate "$times * $peak")" $overload_s
result=$line

say "and what was refused"
redeem_refused
[ "$(signers_of "$server")" = "$signers" ] || die "a signer was restarted"
[ "$(ledger)" = "$codes_made $codes_made" ] || die "$codes_made codes, but in the ledger: $(ledger)"

# Of the run's numbers, by name.
echo "$result" | tr ' ' '\n' | awk -F= -v sessions=$sessions -v delay_ms=$((delay_us / 1000)) \
    -v peak="$peak" -v times=$times -v seconds=$overload_s -v connections=$overload_connections \
    -v first="$(memory_at 1)" -v middle="$(memory_at 2)" -v last="$(memory_at 3)" \
    -v codes_made=$codes_made -v server_us=$server_us '
function verdict(is_met) { return is_met ? "met" : "missed" }
{ of[$1] = $2 }
END {
    printf "ES256, slow HSM: %d ms more per C_Sign, %d sessions; %d times the peak for %d s, %d connections\n",
        delay_ms, sessions, times, seconds, connections
    printf "  peak %.0f tokens/s; under %.0f requests/s %.0f tokens/s\n", peak, times * peak,
        of["tokens_per_s"]
    printf "  goodput / peak %.2f, target >= 0.80: %s\n", of["tokens_per_s"] / peak,
        verdict(of["tokens_per_s"] >= 0.8 * peak)
    printf "  tokens    p50 %7.2f ms, p99 %7.2f ms, slowest %7.2f ms\n", of["p50_ms"], of["p99_ms"],
        of["max_ms"]
    printf "  refusals  p50 %7.2f ms, p99 %7.2f ms, slowest %7.2f ms (%d), target p99 <= 100 ms: %s\n",
        of["refused_p50_ms"], of["refused_p99_ms"], of["refused_max_ms"], of["refused"],
        verdict(of["refused"] > 0 && of["refused_p99_ms"] <= 100)
    printf "  issuerd %.1f, %.1f, %.1f MB at its start, middle, end, target end <= 1.1 start: %s\n",
        first, middle, last, verdict(first > 0 && last <= 1.1 * first)
    printf "  issuerd %.0f us of CPU a request, %.0f %% of a core\n",
        server_us / (times * peak * seconds), server_us / seconds / 1e4
    printf "  codes burnt 0: each of the %d refused has its token since; ledger: %d entries, %d codes\n",
        of["refused"], codes_made, codes_made
}'

#!/bin/sh
# The benchmark: what the token can do by itself, and what issuerd makes of it over HTTP.
#
#   tests/bench/run.sh [--build-dir DIR] [--quick] [--json] [--session-copy yes|no]
#
# Raw C_Sign and HTTP alternate on the same token and key; three rounds, medians (--quick: one
# short round). Codes are made before the clock starts and only a 201 counts; so are presentations
# (ES256, did:jwk), and only a 200. SQLite and PostgreSQL alternate, too. Server, signers, database
# and load generator share this machine; nothing leaves 127.0.0.1. Ends with 0 when everything ran
# and every answer was 201, targets met or not.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
rounds=3 raw_s=3 http_s=5 json=0 session_copy=no
# shellcheck source=SCRIPTDIR/server.sh
. "$root/tests/bench/server.sh"

while [ $# -gt 0 ]; do
    case $1 in
    --build-dir) build=$2; shift ;;
    --quick) rounds=1 raw_s=1 http_s=2 ;;
    --json) json=1 ;;
    --session-copy) session_copy=$2; shift ;;
    *) sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    shift
done

# record CASE METRIC AT VALUE: one line for report.awk.
record() { echo "$*" >>"$work/results"; }

# write_config CASE: sets module, object, algorithm too.
write_config() {
    module=$softhsm object=issuerd-es256 algorithm=ES256 signer_lines="session_copy = $session_copy"
    case $1 in
    RS256) object=issuerd-rs2048 algorithm=RS256 ;;
    slow)
        module=$work/shim.so
        signer_lines="sessions = 16
$shim_lines" ;;
    esac
    url=sqlite:$work/$1.db
    [ "$1" != postgresql ] || url=$database
    print_config "$url" "$module" "$object" "$algorithm" "$signer_lines" >"$work/$1.conf"
}

peak_mb() { awk '/^VmHWM:/ { printf "%.2f", $2 / 1024 }' "/proc/$1/status"; }

# measure_raw CASE SESSIONS [--session-copy]
measure_raw() {
    line=$("$raw_sign" --module "$module" --token issuerd --object "$object" \
        --pin-file "$instance/pin" --algorithm "$algorithm" --sessions "$2" --seconds $raw_s \
        ${3:+"$3"})
    record "$1" "raw${3:+_copy}" "$2" "$(echo "$line" | field per_second)"
}

# redeem CASE CONNECTIONS: sets line. Any answer but 201 ends the benchmark.
redeem() {
    line=$("$load" run --public "$public" --codes "$work/codes" --connections "$2" \
        --seconds $http_s 2>"$work/load.log") \
        || { cat "$work/$1.log" "$work/load.log" >&2; die "$1, $2 connections: $line"; }
}

# How many codes a run needs is known after a short one; it warms up the server, too.
calibrate() {
    prepare_codes 1000
    redeem "$1" "$2"
    calculate "int($(echo "$line" | field tokens_per_s) * $http_s * 1.4) + 1000" >"$work/needed.$2"
}

# measure_http CASE CONNECTIONS
measure_http() {
    prepare_codes "$(cat "$work/needed.$2")"
    # shellcheck disable=SC2086 # a list
    server_before=$(cpu_us "$server") signer_before=$(cpu_us $signers)
    redeem "$1" "$2"
    server_us=$(($(cpu_us "$server") - server_before))
    # shellcheck disable=SC2086
    signer_us=$(($(cpu_us $signers) - signer_before))
    tokens=$(echo "$line" | field tokens)
    [ "$tokens" -gt 0 ] || die "$1, $2 connections: no token in time: $line"
    cat "$work/load.log" >&2 # says when the codes ran out
    for metric in tokens_per_s p50_ms p99_ms load_cpu_us; do
        record "$1" $metric "$2" "$(echo "$line" | field $metric)"
    done
    record "$1" issuerd_cpu_us "$2" "$(calculate "$server_us / $tokens")"
    record "$1" signer_cpu_us "$2" "$(calculate "$signer_us / $tokens")"
}

# validate CASE CONNECTIONS COUNT SECONDS: sets line. Requests and presentations are made before the
# clock starts.
validate() {
    line=$("$load" validate --public "$public" --issuer http://127.0.0.1 --count "$3" \
        --connections "$2" --seconds "$4" 2>"$work/load.log") \
        || { cat "$work/$1.log" "$work/load.log" >&2; die "$1, $2 connections: $line"; }
}


# run_case CASE
run_case() {
    write_config "$1"
    if [ "$1" = RS256 ]; then
        "$build/issuerctl" --config "$work/RS256.conf" keys generate bench --algorithm RS256 \
            --rsa-bits 2048 >"$work/keys.log"
    fi
    start_server "$1"
    for connections in 1 16 64; do calibrate "$1" $connections; done
    round=1
    while [ $round -le $rounds ]; do
        say "$1, round $round of $rounds"
        for pair in 1:1 2:16 16:64; do # sessions:connections
            measure_raw "$1" ${pair%:*}
            if [ "$1" = ES256 ]; then measure_raw "$1" ${pair%:*} --session-copy; fi
            measure_http "$1" ${pair#*:}
        done
        round=$((round + 1))
    done
    [ "$(signers_of "$server")" = "$signers" ] || die "a signer was restarted ($1)"
    record "$1" issuerd_mb 0 "$(peak_mb "$server")"
    for signer in $signers; do record "$1" signer_mb 0 "$(peak_mb "$signer")"; done
    stop_server
}

# The wallet's half, with a server and a store of its own. How many presentations a run needs is known
# after a short one.
run_validations() {
    write_config validate
    start_server validate
    validate validate 64 3000 10
    count=$(calculate "int($(echo "$line" | field validations_per_s) * $http_s * 1.4) + 1000")
    round=1
    while [ $round -le $rounds ]; do
        say "validate, round $round of $rounds"
        validate validate 64 "$count" $http_s
        cat "$work/load.log" >&2
        for metric in validations_per_s p50_ms p99_ms; do
            record validate $metric 64 "$(echo "$line" | field $metric)"
        done
        round=$((round + 1))
    done
    stop_server
}

# One store, then the other, in each round, with ES256 at 64 connections. Each server is new, its
# database is not.
run_stores() {
    database=$("$cluster" start "$work/postgresql")
    for store in sqlite postgresql; do
        write_config $store
        start_server $store
        calibrate $store 64
        mv "$work/needed.64" "$work/needed.$store"
        stop_server
    done
    round=1
    while [ $round -le $rounds ]; do
        say "stores, round $round of $rounds"
        for store in sqlite postgresql; do
            start_server $store
            prepare_codes "$(cat "$work/needed.$store")"
            redeem $store 64
            cat "$work/load.log" >&2
            for metric in tokens_per_s p50_ms p99_ms; do
                record $store $metric 64 "$(echo "$line" | field $metric)"
            done
            stop_server
        done
        round=$((round + 1))
    done
}

make_work_directory
build_programs
make_instance 5000
for case in ES256 RS256 slow; do run_case $case; done
run_validations
run_stores
awk -v json=$json -v rounds=$rounds -v cores="$(nproc)" -v copy="$session_copy" \
    -v place="$(stat -f -c %T "$work")" -f "$root/tests/bench/report.awk" "$work/results"

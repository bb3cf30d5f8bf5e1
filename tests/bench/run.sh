#!/bin/sh
# The benchmark: what the token can do by itself, and what issuerd makes of it over HTTP.
#
#   tests/bench/run.sh [--build-dir DIR] [--quick] [--json] [--session-copy yes|no]
#
# Raw C_Sign and HTTP alternate on the same token and key; three rounds, medians (--quick: one
# short round). Codes are made before the clock starts and only a 201 counts. Server, signer and
# load generator share this machine; nothing leaves 127.0.0.1. Ends with 0 when everything ran and
# every answer was 201, targets met or not.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
build=$root/build
rounds=3 raw_s=3 http_s=5 json=0 session_copy=no
softhsm=/usr/lib/softhsm/libsofthsm2.so
work='' server=''

say() { echo "bench: $*" >&2; }
die() { say "$*"; exit 1; }

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

stop_server() {
    [ -n "$server" ] || return 0
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    server=''
}

finish() {
    status=$?
    stop_server
    [ -z "$work" ] || rm -rf "$work"
    exit $status
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# field NAME: the value of NAME=VALUE in the line on stdin.
field() { tr ' ' '\n' | sed -n "s/^$1=//p"; }

# record CASE METRIC AT VALUE: one line for report.awk.
record() { echo "$*" >>"$work/results"; }

# calculate EXPRESSION
calculate() { awk "BEGIN { print $1 }"; }

build_programs() {
    [ -f "$build/CMakeCache.txt" ] || cmake -S "$root" -B "$build" >&2
    if grep -Eq '^SANITIZE:[A-Z]+=(ON|thread|address)' "$build/CMakeCache.txt"; then
        die "$build is built with sanitizers: measure another one"
    fi
    cmake --build "$build" -j 2 >"$work/build.log" 2>&1 || { cat "$work/build.log" >&2; exit 1; }
    build=$(cd "$build" && pwd)
    load=$build/tests/bench/load
    raw_sign=$build/tests/bench/raw_sign
}

# Makes token, ES256 key, PIN and client secret, and shows once that a token verifies.
make_instance() {
    instance=$work/instance
    "$root/provisioning/quickstart.sh" --no-install --dir "$instance" --port 0 --admin-port 0 \
        --alg ES256 --build-dir "$build" >"$work/quickstart.log" 2>&1 \
        || { cat "$work/quickstart.log" >&2; die "quickstart.sh failed"; }
    export SOFTHSM2_CONF="$instance/softhsm2.conf"
    cp "$build/tests/faults/pkcs11_shim.so" "$work/shim.so"
    echo 'C_Sign delay_us=5000' >"$work/shim.control"
    export SHIM_MODULE="$softhsm" SHIM_CONTROL="$work/shim.control"
}

# write_config CASE: sets module, object, algorithm too. The settings that are not here are the
# defaults: every signature is verified, every commit is synced.
write_config() {
    module=$softhsm object=issuerd-es256 algorithm=ES256 signer_lines="session_copy = $session_copy"
    case $1 in
    RS256) object=issuerd-rs2048 algorithm=RS256 ;;
    slow)
        module=$work/shim.so
        signer_lines="sessions = 16
setenv = SHIM_MODULE=$SHIM_MODULE
setenv = SHIM_CONTROL=$SHIM_CONTROL" ;;
    esac
    cat >"$work/$1.conf" <<END
[issuer]
url = http://127.0.0.1
environment = development
[public]
listen = 127.0.0.1:0
[admin]
listen = 127.0.0.1:0
client_secret_file = $instance/client-secret
[store]
url = sqlite:$work/$1.db
[tokens]
code_lifetime_s = 600
[log]
level = warning
[signer bench]
uri = pkcs11:token=issuerd;object=$object?module-path=$module&pin-source=file:$instance/pin
algorithm = $algorithm
setenv = SOFTHSM2_CONF=$SOFTHSM2_CONF
$signer_lines
END
}

# start_server CASE: sets server, signer, public, admin.
start_server() {
    "$build/issuerd" --config "$work/$1.conf" >"$work/ready" 2>"$work/$1.log" &
    server=$!
    tries=0
    until grep -q '^issuerd ready:' "$work/ready"; do
        tries=$((tries + 1))
        if [ $tries -gt 100 ] || ! kill -0 "$server" 2>/dev/null; then
            cat "$work/$1.log" >&2
            die "issuerd did not become ready ($1)"
        fi
        sleep 0.1
    done
    public=$(sed -n 's|.* public http://\([^ ]*\).*|\1|p' "$work/ready")
    admin=$(sed -n 's|.* admin http://\([^ ]*\).*|\1|p' "$work/ready")
    signer=$(child_of "$server")
    [ -n "$signer" ] || die "issuerd has no signer process"
}

# child_of PID: the first process whose parent is PID (/proc/PID/stat, field 4).
child_of() {
    cat /proc/[0-9]*/stat 2>/dev/null | awk -v parent="$1" '$4 == parent { print $1; exit }'
}

# cpu_us PID: user and system time so far. Names of ours have no spaces, so fields count.
cpu_us() {
    awk -v hertz="$(getconf CLK_TCK)" '{ printf "%.0f", ($14 + $15) / hertz * 1e6 }' "/proc/$1/stat"
}

peak_mb() { awk '/^VmHWM:/ { printf "%.2f", $2 / 1024 }' "/proc/$1/status"; }

# measure_raw CASE SESSIONS [--session-copy]
measure_raw() {
    line=$("$raw_sign" --module "$module" --token issuerd --object "$object" \
        --pin-file "$instance/pin" --algorithm "$algorithm" --sessions "$2" --seconds $raw_s \
        ${3:+"$3"})
    record "$1" "raw${3:+_copy}" "$2" "$(echo "$line" | field per_second)"
}

# prepare_codes COUNT
prepare_codes() {
    "$load" prepare --public "$public" --admin "$admin" --secret-file "$instance/client-secret" \
        --count "$1" --connections 64 --out "$work/codes" >"$work/prepare.log"
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
    server_before=$(cpu_us "$server") signer_before=$(cpu_us "$signer")
    redeem "$1" "$2"
    server_us=$(($(cpu_us "$server") - server_before))
    signer_us=$(($(cpu_us "$signer") - signer_before))
    tokens=$(echo "$line" | field tokens)
    [ "$tokens" -gt 0 ] || die "$1, $2 connections: no token in time: $line"
    cat "$work/load.log" >&2 # says when the codes ran out
    for metric in tokens_per_s p50_ms p99_ms load_cpu_us; do
        record "$1" $metric "$2" "$(echo "$line" | field $metric)"
    done
    record "$1" issuerd_cpu_us "$2" "$(calculate "$server_us / $tokens")"
    record "$1" signer_cpu_us "$2" "$(calculate "$signer_us / $tokens")"
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
    [ "$(child_of "$server")" = "$signer" ] || die "the signer was restarted ($1)"
    record "$1" issuerd_mb 0 "$(peak_mb "$server")"
    record "$1" signer_mb 0 "$(peak_mb "$signer")"
    stop_server
}

# Not /tmp: where that is memory, syncing a commit costs nothing.
work=$(mktemp -d /var/tmp/issuerd-bench.XXXXXX)
build_programs
make_instance
for case in ES256 RS256 slow; do run_case $case; done
awk -v json=$json -v rounds=$rounds -v cores="$(nproc)" -v copy="$session_copy" \
    -v place="$(stat -f -c %T "$work")" -f "$root/tests/bench/report.awk" "$work/results"

#!/bin/sh
# What run.sh and overload.sh share: programs, token, server. They set `root` and source it.
# shellcheck disable=SC2034,SC2154 # variables of theirs, and for them

build=$root/build
softhsm=/usr/lib/softhsm/libsofthsm2.so
cluster=$root/provisioning/postgresql-cluster.sh
work='' server=''

say() { echo "bench: $*" >&2; }
die() { say "$*"; exit 1; }

stop_server() {
    [ -n "$server" ] || return 0
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    server=''
}

finish() {
    status=$?
    stop_server
    [ ! -d "$work/postgresql" ] || "$cluster" remove "$work/postgresql"
    [ -z "$work" ] || rm -rf "$work"
    exit $status
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# field NAME: the value of NAME=VALUE in the line on stdin.
field() { tr ' ' '\n' | sed -n "s/^$1=//p"; }

# Not /tmp: where that is memory, syncing a commit costs nothing.
make_work_directory() { work=$(mktemp -d /var/tmp/issuerd-bench.XXXXXX); }

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

# make_instance DELAY_US: makes token, ES256 key, PIN and client secret, and shows once that a token
# verifies; and the slow HSM: SoftHSM2 behind a module that takes so much longer for each C_Sign.
make_instance() {
    instance=$work/instance
    "$root/provisioning/quickstart.sh" --no-install --dir "$instance" --port 0 --admin-port 0 \
        --alg ES256 --build-dir "$build" >"$work/quickstart.log" 2>&1 \
        || { cat "$work/quickstart.log" >&2; die "quickstart.sh failed"; }
    export SOFTHSM2_CONF="$instance/softhsm2.conf"
    cp "$build/tests/faults/pkcs11_shim.so" "$work/shim.so"
    echo "C_Sign delay_us=$1" >"$work/shim.control"
    export SHIM_MODULE="$softhsm" SHIM_CONTROL="$work/shim.control"
    shim_lines="setenv = SHIM_MODULE=$SHIM_MODULE
setenv = SHIM_CONTROL=$SHIM_CONTROL"
}

# print_config URL MODULE OBJECT ALGORITHM SIGNER_LINES: the settings that are not here are the
# defaults: every signature is verified, every commit is synced.
print_config() {
    cat <<END
[issuer]
url = http://127.0.0.1
environment = development
[public]
listen = 127.0.0.1:0
requests_per_s = 0
[admin]
listen = 127.0.0.1:0
client_secret_file = $instance/client-secret
[store]
url = $1
state_dir = $work
max_open_requests = 1000000
[ledger]
node = bench
signer = audit
checkpoint_file = $work/bench.checkpoint.$(echo "$1" | cksum | tr -d ' ')
[tokens]
code_lifetime_s = 600
[log]
level = warning
[signer bench]
uri = pkcs11:token=issuerd;object=$3?module-path=$2&pin-source=file:$instance/pin
algorithm = $4
setenv = SOFTHSM2_CONF=$SOFTHSM2_CONF
$5
[signer audit]
uri = pkcs11:token=issuerd;object=issuerd-audit?module-path=$softhsm&pin-source=file:$instance/pin
sessions = 1
setenv = SOFTHSM2_CONF=$SOFTHSM2_CONF
END
}

# start_server CASE: sets server, signers, public, admin.
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
    signers=$(signers_of "$server")
    [ -n "$signers" ] || die "issuerd has no signer process"
}

# children_of PID: the processes whose parent is PID (/proc/PID/stat, field 4).
children_of() {
    cat /proc/[0-9]*/stat 2>/dev/null | awk -v parent="$1" '$4 == parent { print $1 }' | sort -n | xargs
}

# signers_of SERVER: the children of its only child, the launcher.
signers_of() { children_of "$(children_of "$1")"; }

# cpu_us PID...: user and system time so far. Names of ours have no spaces, so fields count.
cpu_us() {
    for pid; do cat "/proc/$pid/stat"; done \
        | awk -v hertz="$(getconf CLK_TCK)" '{ us += ($14 + $15) / hertz * 1e6 } END { printf "%.0f", us }'
}

# prepare_codes COUNT
prepare_codes() {
    "$load" prepare --public "$public" --admin "$admin" --secret-file "$instance/client-secret" \
        --count "$1" --connections 64 --out "$work/codes" >"$work/prepare.log"
}

#!/bin/sh
# with_resolver.sh COMMAND...: runs it with TEST_RESOLVER_PORT, a universal resolver on 127.0.0.1
# (resolver.py), and TEST_RESOLVER_TLS_PORT, one whose certificate nobody vouches for. Files in
# TEST_DOCUMENTS are what the first resolves.
set -eu
umask 077

command -v python3 >/dev/null || { echo "python3 is missing" >&2; exit 77; }
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/issuerd resolver.XXXXXX")
pids=
trap '[ -z "$pids" ] || kill $pids; rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -days 2 \
    -keyout "$dir/key.pem" -out "$dir/certificate.pem" 2>"$dir/log" || { cat "$dir/log" >&2; exit 1; }
cat "$dir/key.pem" "$dir/certificate.pem" >"$dir/tls.pem"

start() { # start FILE [OPTION...]: FILE is where its port appears
    file=$1
    shift
    python3 "$here/resolver.py" "$@" >"$file" &
    pids="$pids $!"
    tries=0
    until [ -s "$file" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || { echo "resolver.py did not start" >&2; exit 1; }
        sleep 0.1
    done
}

mkdir "$dir/documents"
start "$dir/port" --documents "$dir/documents"
start "$dir/tls port" --certificate "$dir/tls.pem"
TEST_RESOLVER_PORT=$(cat "$dir/port")
TEST_RESOLVER_TLS_PORT=$(cat "$dir/tls port")
TEST_DOCUMENTS=$dir/documents
export TEST_RESOLVER_PORT TEST_RESOLVER_TLS_PORT TEST_DOCUMENTS

"$@"

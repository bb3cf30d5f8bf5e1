#!/usr/bin/env bash
# provisioning/quickstart.sh, as a newcomer would run it: from another folder, in a path with spaces,
# twice, and what it has to refuse.
#
#   quickstart.sh BUILD-DIR
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$(cd "$1" && pwd)
place=$(mktemp -d)
server=''
clean_up() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    "$root/provisioning/postgresql-cluster.sh" kill "$place/in postgresql/postgresql" 2>/dev/null || true
    rm -rf "$place"
}
trap clean_up EXIT
cd "$place"

fail() {
    echo "FAILED: $*"
    cat "$place/out" "$place/err" 2>/dev/null
    cat "$place"/*/issuerd.log 2>/dev/null
    exit 1
}

quickstart() { # everything it says goes to out and err
    "$root/provisioning/quickstart.sh" --no-install --build-dir "$build" --dir "an instance" "$@" \
        >"$place/out" 2>"$place/err"
}

expect() { grep -qE -- "$1" "$place/$2" || fail "$2 lacks: $1"; }

# The wallet proves that its DID is its own, its token is verified, and a code tried again refused.
quickstart --port 0 --admin-port 0 || fail "the first run"
expect '^  POST /api/v1/authorizations/[0-9a-f-]{36}/validate \.\.\. 200$' out
expect '^    code: 43 characters$' out
expect '^  verified$' out
holder=$(sed -n 's/^  holder //p' out)
case $holder in did:key:zDn*) ;; *) fail "the wallet's DID: $holder" ;; esac
expect "^  claims .*\"sub\": ?\"$holder\"" out
expect '^  400 \{' out

# Secrets are for their owner, and nothing of them reached the screen or the log.
for secret in pin so-pin client-secret; do
    [ "$(stat -c %a "an instance/$secret")" = 600 ] || fail "$secret is open to others"
    ! grep -rqF -f "an instance/$secret" out err "an instance/issuerd.log" "an instance/issuerd.conf" ||
        fail "$secret was shown"
done
! grep -rqaE 'eyJ[A-Za-z0-9_-]{20}' out err "an instance" || fail "a token was shown, or is left behind"

# The ledger's last checkpoint is signed by a key of its own, which no client is told of.
expect '^key: generating issuerd-audit inside the token \.\.\. [0-9]+ s$' out
ledger() { # ledger SQL
    python3 -c 'import sqlite3, sys
print(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchone()[0])' "an instance/issuerd.db" "$1"
}
[ "$(ledger 'SELECT max(size) FROM checkpoints')" = "$(ledger 'SELECT count(*) FROM ledger')" ] ||
    fail "the last checkpoint does not cover the ledger"
audit=$(ledger 'SELECT jwk FROM checkpoints' | jq -r .kid)
[ ${#audit} -eq 43 ] || fail "the audit key: $audit"
! grep -qF -- "$audit" out || fail "the audit key is among the published keys"
grep -q ' signed=yes$' "an instance/issuerd.log" || fail "no checkpoint was logged"

# The second run keeps token, key and secrets.
cp "an instance/pin" pin
grep -o '"kid":"[^"]*"' out >kid
quickstart || fail "the second run"
expect '^token: issuerd is there$' out
expect '^key: issuerd-es256 is there$' out
expect '^key: issuerd-audit is there$' out
expect '^  verified$' out
cmp -s pin "an instance/pin" || fail "the PIN changed"
grep -qF "$(head -n 1 kid)" out || fail "the key changed"

# Another algorithm on the same token, and any setting.
quickstart --alg PS256 --set tokens.lifetime_s=600 --set "signer main.sessions=3" || fail "PS256"
expect '"alg": ?"PS256"' out
expect '"expires_in":600' out
expect '^  verified$' out
grep -qx 'sessions = 3' "an instance/issuerd.conf" || fail "--set signer main.sessions"

# A setting that issuerd refuses leaves the configuration as it was.
cp "an instance/issuerd.conf" before
! quickstart --set tokens.no_such_name=1 || fail "an unknown setting was taken"
expect 'no_such_name' err
cmp -s before "an instance/issuerd.conf" || fail "a refused setting was kept"

# --serve: one line on stdout, and it is the server itself that a signal reaches.
"$root/provisioning/quickstart.sh" --no-install --build-dir "$build" --dir "an instance" --serve \
    >out 2>err &
server=$!
for _ in $(seq 300); do
    if [ -s out ] || ! kill -0 "$server" 2>/dev/null; then break; fi
    sleep 0.1
done
[ "$(wc -l <out)" -eq 1 ] || fail "--serve: stdout should hold the ready line alone"
expect '^issuerd ready: public http://127\.0\.0\.1:[0-9]+ admin http://127\.0\.0\.1:[0-9]+$' out

# A port that is taken is named, with the option that helps.
port=$(sed -E 's/.*public http:\/\/127\.0\.0\.1:([0-9]+) .*/\1/' out)
if "$root/provisioning/quickstart.sh" --no-install --build-dir "$build" --dir other \
    --port "$port" --admin-port 0 >out 2>err; then
    fail "a taken port was not noticed"
fi
expect "port $port is taken.*--port" err

kill -TERM "$server"
wait "$server" || fail "issuerd ended with status $?"
server=''

# PostgreSQL: a cluster beside the rest, there while the server is and not after it.
in_postgresql() {
    "$root/provisioning/quickstart.sh" --no-install --build-dir "$build" --dir "in postgresql" \
        --port 0 --admin-port 0 "$@" >out 2>err
}
stopped() { ! [ -e "in postgresql/postgresql/data/postmaster.pid" ]; }
in_postgresql --store postgresql || fail "--store postgresql"
expect '^  verified$' out
expect '^url = postgresql:///issuerd\?host=' "in postgresql/issuerd.conf"
stopped || fail "the cluster was left running"
in_postgresql || fail "the second run on PostgreSQL"
expect '^  verified$' out
! [ -e "in postgresql/issuerd.db" ] || fail "an SQLite store was made"

"$root/provisioning/quickstart.sh" --no-install --build-dir "$build" --dir "in postgresql" --serve \
    >out 2>err &
server=$!
for _ in $(seq 600); do
    if [ -s out ] || ! kill -0 "$server" 2>/dev/null; then break; fi
    sleep 0.1
done
expect '^issuerd ready: ' out
! stopped || fail "the cluster does not run"
kill -TERM "$server"
wait "$server" || fail "issuerd on PostgreSQL ended with status $?"
server=''
stopped || fail "the cluster outlived the server"
echo "quickstart: all well"

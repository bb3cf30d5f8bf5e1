# For the tests of provisioning/pkcs11-key.sh and tpm-key.sh: an instance in $TEST_DIR, the script run on
# it, its evidence, and a token by its key.
# shellcheck shell=bash
set -euo pipefail
export LC_ALL=C
umask 077

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${build:?is where the programs are}"
conf=$TEST_DIR/issuerd.conf evidence=$TEST_DIR/evidence
server=''
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true' EXIT
cd "$TEST_DIR"

fail() {
    echo "FAILED: $*" >&2
    tail -n 40 "$TEST_DIR/out" "$TEST_DIR/err" "$TEST_DIR/issuerd.log" >&2 2>/dev/null || true
    exit 1
}

# A new instance, with an empty keyring: write_conf URI [ALGORITHM]
write_conf() {
    rm -f "$TEST_DIR"/issuerd.db* "$TEST_DIR"/*.checkpoint # another store, and no older copy of one
    echo 0123456789abcdef-secret >"$TEST_DIR/client-secret"
    cat >"$conf" <<END
[issuer]
url = http://127.0.0.1:8080
[public]
listen = 127.0.0.1:0
[admin]
listen = 127.0.0.1:0
client_secret_file = $TEST_DIR/client-secret
[store]
url = sqlite:$TEST_DIR/issuerd.db
[signer main]
uri = $1 ; where the key is
${2:+algorithm = $2}
END
}

script() { # what it says goes to out and err: script NAME OPTION...
    local name=$1
    shift
    "$root/provisioning/$name" --config "$conf" --build-dir "$build" "$@" main >out 2>err
}

expect() { grep -qE -- "$1" "$2" || fail "$2 lacks: $1"; }

refused() { # refused WORDS COMMAND...: it fails, and says why
    local words=$1
    shift
    ! "$@" || fail "not refused: $*"
    expect "$words" err
}

kid() { # of the one key whose evidence is in the directory
    basename "$evidence"/???????????????????????????????????????????.json .json
}

other_kid() { # of no key: other_kid KID
    case $1 in A*) printf 'B%s' "${1:1}" ;; *) printf 'A%s' "${1:1}" ;; esac
}

check() { # offline: no configuration, no device, nothing of the environment
    env -i "$build/issuerctl" keys evidence --evidence-dir "$evidence" "${@:2}" -- "$1" >out 2>err
}

# change KEY EDIT...: the evidence with jq's EDIT, in the place of the good one, which is kept.
change() {
    [ -e good.json ] || cp "$evidence/$1.json" good.json
    jq "${@:2}" good.json >"$evidence/$1.json"
}

restore() { mv good.json "$evidence/$1.json"; }

holds_no() { # holds_no FILE: what it holds is nowhere in what the script wrote or said
    ! grep -rqF -f "$1" "$evidence" out err || fail "$1 was shown"
}

# --- a token by the key ---

start_server() {
    "$build/issuerd" --config "$conf" >ready 2>issuerd.log &
    server=$!
    for _ in $(seq 300); do
        if [ -s ready ] || ! kill -0 "$server" 2>/dev/null; then break; fi
        sleep 0.1
    done
    [[ $(cat ready) =~ ^issuerd\ ready:\ public\ (.+)\ admin\ (.+)$ ]] || fail "issuerd did not start"
    public=${BASH_REMATCH[1]} admin=${BASH_REMATCH[2]}
}

post() { # post URL BODY [CURL-OPTION...]
    curl -q -sS --fail --noproxy '*' --max-time 15 -H 'content-type: application/json' \
        --data-binary "$2" "${@:3}" "$1" || fail "POST $1"
}

signs_tokens() { # signs_tokens KID
    local id code token text=0123456789abcdef0123456789abcdef
    start_server
    id=$(post "$public/api/v1/authorizations" "{\"state\":\"$text\",\"nonce\":\"$text\"}" | jq -r .id)
    code=$(post "$admin/api/v1/authorizations/$id/approve" \
        '{"holder_did":"did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"}' \
        -H "x-client-secret: $(cat "$TEST_DIR/client-secret")" | jq -r .code)
    token=$(post "$public/api/v1/tokens" "{\"authorization_code\":\"$code\"}" |
        jq -r .access_token)
    jq -c .jwk "$evidence/$1.json" >jwk.json
    [ "$(jose b64 dec -i <(printf '%s' "${token%%.*}") | jq -r .kid)" = "$1" ] ||
        fail "the token is by another key"
    printf '%s' "$token" | jose jws ver -i - -k jwk.json >/dev/null ||
        fail "the evidence's JWK does not verify the token"
    kill -TERM "$server"
    wait "$server" || fail "issuerd ended with status $?"
    server=''
}

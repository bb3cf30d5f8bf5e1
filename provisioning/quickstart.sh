#!/usr/bin/env bash
# From a bare Debian 12 to a verified token, signed by a SoftHSM2 key:
#
#   provisioning/quickstart.sh [OPTION...]
#
#   --dir DIR        where token, secrets, configuration and store live; kept and reused
#                    (./quickstart)
#   --port N         public port; 0: any free one (8080)
#   --admin-port N   admin port; 0: any free one (8081)
#   --alg ALG        ES256, ES384, RS256 or PS256 (ES256); the key is generated
#                    inside the token
#   --store ENGINE   sqlite, or postgresql: a private cluster in DIR, which runs while this does
#                    (sqlite)
#   --set SECTION.NAME=VALUE
#                    any setting of issuerd.conf, as often as you like:
#                    --set tokens.lifetime_s=600 --set "signer main.sessions=4"
#                    (setenv is added to those that are there; every other setting is replaced)
#   --serve          no wallet, no exchange: leave the server in the foreground, its log on stderr
#   --build-dir DIR  where to build (build, in the source tree)
#   --no-install     leave the packages alone
#   --help
#
# An issuerd.conf that is there stays as it is but for the options given.
set -euo pipefail
export LC_ALL=C
build_umask=$(umask)
umask 077

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=quickstart build=$root/build install=yes serve=no
port='' admin_port='' alg='' store=''
settings=()
# shellcheck source=provisioning/ini.sh
. "$root/provisioning/ini.sh"

# --- saying what happens: on stdout, but --serve leaves that to issuerd's one line ---

say() { printf '%s\n' "$*" >&3; }
die() {
    printf 'quickstart: %s\n' "$*" >&2
    exit 1
}

# step WHAT LOG COMMAND...: runs it quietly, with a dot every two seconds on a terminal.
step() {
    local what=$1 log=$2 started=$SECONDS
    shift 2
    printf '%s ...' "$what" >&3
    if [ -t 3 ]; then
        while sleep 2; do printf . >&3; done &
        ticker=$!
    fi
    if ! "$@" >"$log" 2>&1; then
        stop_ticker
        say " failed"
        tail -n 20 "$log" | sed 's/^/    /' >&2
        die "$what failed; all of it is in $log"
    fi
    stop_ticker
    say " $((SECONDS - started)) s"
}

ticker='' server='' scratch='' cluster=''
stop_ticker() {
    [ -z "$ticker" ] || { kill "$ticker" && wait "$ticker"; } 2>/dev/null || true
    ticker=''
}
clean_up() {
    stop_ticker
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    [ -z "$cluster" ] || run_cluster stop "$cluster" || true
    [ -z "$scratch" ] || rm -rf "$scratch"
}

# --- options ---

usage() { sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

require_port() { # require_port OPTION VALUE
    if ! [[ $2 =~ ^(0|[1-9][0-9]{0,4})$ ]] || [ "$2" -gt 65535 ]; then
        die "$1 $2: a port is 0 to 65535"
    fi
}

parse_options() {
    local option
    while [ $# -gt 0 ]; do
        option=$1
        case $option in
        --help) usage && exit 0 ;;
        --serve) serve=yes && shift && continue ;;
        --no-install) install=no && shift && continue ;;
        --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" && option=$1 ;;
        esac
        [ $# -ge 2 ] || die "$option: unknown, or its value is missing; see --help"
        case $option in
        --dir) dir=$2 ;;
        --build-dir) build=$2 ;;
        --port) require_port "$1" "$2" && port=$2 ;;
        --admin-port) require_port "$1" "$2" && admin_port=$2 ;;
        --alg)
            [[ $2 =~ ^(ES256|ES384|RS256|PS256)$ ]] ||
                die "--alg $2: ES256, ES384, RS256 or PS256"
            alg=$2
            ;;
        --store)
            [[ $2 =~ ^(sqlite|postgresql)$ ]] || die "--store $2: sqlite or postgresql"
            store=$2
            ;;
        --set)
            [[ $2 =~ ^[^=]+\.[^.=]+=[^$'\n']*$ ]] || die "--set $2: wants SECTION.NAME=VALUE"
            settings+=("$2")
            ;;
        *) die "$option: unknown; see --help" ;;
        esac
        shift 2
    done
}

# --- what is needed ---

require_commands() {
    local command lacking=()
    for command in cmake cc pkg-config curl jq jose softhsm2-util; do
        command -v "$command" >/dev/null || lacking+=("$command")
    done
    [ ${#lacking[@]} -eq 0 ] || die "not found: ${lacking[*]}. Run it without --no-install," \
        "or install: $("$root/provisioning/packages.sh" list build run | xargs)"
}

find_softhsm() {
    for module in /usr/lib/softhsm/libsofthsm2.so /usr/lib64/softhsm/libsofthsm2.so \
        /usr/lib64/pkcs11/libsofthsm2.so /usr/local/lib/softhsm/libsofthsm2.so; do
        [ ! -e "$module" ] || return 0
    done
    die "SoftHSM2's module is not installed (Debian: apt-get install softhsm2)"
}

run_build() (
    umask "$build_umask" # programs are no secret: another user may run what root built
    cmake -S "$root" -B "$build" &&
        cmake --build "$build" -j "$(nproc)" --target issuerd issuerd-signer issuerctl
)

build_programs() {
    if [ -d "$build" ] && [ ! -w "$build" ] && [ -x "$build/issuerd" ] &&
        [ -x "$build/issuerd-signer" ] && [ -x "$build/issuerctl" ]; then
        say "building: $build is not ours to write; its programs are used as they are"
        return
    fi
    if ! (umask "$build_umask" && mkdir -p -- "$build") 2>/dev/null || ! [ -w "$build" ]; then
        die "$build cannot be written by $(id -un): choose another with --build-dir"
    fi
    step "building in $build (a minute the first time)" "$dir/build.log" run_build
}

# --- the instance: secrets, then configuration, then token and key ---

make_dir() {
    case $dir in *$'\n'* | *'#'* | *' ;'*)
        die "--dir $dir: the files made here cannot express a line break, \"#\" or \" ;\"" ;;
    esac
    if ! mkdir -p -- "$dir/tokens" 2>/dev/null || ! [ -w "$dir" ] || ! [ -w "$dir/tokens" ]; then
        die "$dir cannot be written by $(id -un): choose another with --dir"
    fi
    dir=$(cd -- "$dir" && pwd)
    conf=$dir/issuerd.conf
}

make_secret() { # never on a command line, never half written
    [ -s "$dir/$1" ] && return
    head -c 16 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$dir/$1.new"
    mv -- "$dir/$1.new" "$dir/$1"
}

percent_encode() { # all but RFC 3986's unreserved characters and "/"
    local text=$1 i
    for ((i = 0; i < ${#text}; i++)); do
        case ${text:i:1} in
        [A-Za-z0-9._~/-]) printf '%s' "${text:i:1}" ;;
        *) printf '%%%02X' "$(($(printf '%d' "'${text:i:1}") & 255))" ;;
        esac
    done
}

key_uri() { # key_uri ALG, or of the audit key: key_uri audit
    printf 'pkcs11:token=issuerd;object=issuerd-%s?module-path=%s&pin-source=file:%s' \
        "${1,,}" "$(percent_encode "$module")" "$(percent_encode "$dir/pin")"
}

write_softhsm_conf() {
    [ -s "$dir/softhsm2.conf" ] || cat >"$dir/softhsm2.conf" <<END
directories.tokendir = $dir/tokens
objectstore.backend = file
log.level = ERROR
slots.removable = false
END
}

write_conf() { # write_conf FILE
    cat >"$1" <<END
; Made by quickstart.sh, and yours to edit. issuerd --help explains every setting.
[issuer]
url = http://127.0.0.1:8080
environment = production

[public]
listen = 127.0.0.1:8080
; all clients have one address here
requests_per_s = 0

[admin]
listen = 127.0.0.1:8081
client_secret_file = $dir/client-secret

[store]
url = sqlite:$dir/issuerd.db

[ledger]
; whose key signs the ledger's checkpoints
signer = audit

[signer main]
uri = $(key_uri ES256)
algorithm = ES256
setenv = SOFTHSM2_CONF=$dir/softhsm2.conf

[signer audit]
uri = $(key_uri audit)
algorithm = ES256
setenv = SOFTHSM2_CONF=$dir/softhsm2.conf
END
}

# ini_set FILE SECTION NAME VALUE: in the section's place of that name, else at its end, else in a
# new section. setenv may stand several times: there the variable's name counts as well.
ini_set() {
    section=$2 name=$3 value=$4 awk '
        function put() { if (!done) print name " = " value; done = 1 }
        function flush_blank() { printf "%s", blank; blank = "" }
        BEGIN {
            section = ENVIRON["section"]; name = ENVIRON["name"]; value = ENVIRON["value"]
            variable = value; sub(/=.*/, "=", variable)
        }
        /^[ \t]*$/ { blank = blank $0 "\n"; next }
        /^[ \t]*\[/ {
            if (inside) put()
            flush_blank(); print
            here = $0; sub(/^[ \t]*\[/, "", here); sub(/\].*/, "", here)
            inside = here == section; next
        }
        {
            flush_blank()
            key = old = $0
            sub(/=.*/, "", key); gsub(/^[ \t]+|[ \t]+$/, "", key)
            sub(/^[^=]*=[ \t]*/, "", old)
            if (inside && key == name && (name != "setenv" || index(old, variable) == 1)) put()
            else print
        }
        END {
            if (inside) put()
            flush_blank()
            if (!done) { print "\n[" section "]"; put() }
        }' "$1" >"$1.edit"
    mv -- "$1.edit" "$1"
}

apply_options() { # apply_options FILE
    local setting path url
    if [ -n "$port" ]; then
        ini_set "$1" public listen "127.0.0.1:$port"
        case $(ini_get "$1" issuer url) in
        http://127.0.0.1*) # a port that is any free one is no part of a name
            url=http://127.0.0.1:$port
            ini_set "$1" issuer url "${url%:0}"
            ;;
        esac
    fi
    [ -z "$admin_port" ] || ini_set "$1" admin listen "127.0.0.1:$admin_port"
    if [ -n "$alg" ]; then
        ini_set "$1" "signer main" uri "$(key_uri "$alg")"
        ini_set "$1" "signer main" algorithm "$alg"
    fi
    case $store in
    sqlite) ini_set "$1" store url "sqlite:$dir/issuerd.db" ;;
    postgresql) ini_set "$1" store url "$(run_cluster url "$cluster")" ;;
    esac
    [ -z "$store" ] || ini_set "$1" store state_dir "$dir"
    for setting in ${settings[@]+"${settings[@]}"}; do
        path=${setting%%=*}
        ini_set "$1" "${path%.*}" "${path##*.}" "${setting#*=}"
    done
}

# --- the database, where it is a server ---

run_cluster() { "$root/provisioning/postgresql-cluster.sh" "$@"; }

# The cluster of an earlier run, too, if the configuration still leads to it.
start_cluster() {
    local place=$dir/postgresql
    if [ -z "$store" ] && [ -s "$conf" ] && [ -d "$place" ] &&
        [ "$(ini_get "$conf" store url)" = "$(run_cluster url "$place" 2>/dev/null)" ]; then
        store=postgresql
    fi
    [ "$store" = postgresql ] || return 0
    cluster=$place
    step "database: a private PostgreSQL in $place" "$dir/postgresql.log" run_cluster start "$place"
}

# The edited copy takes the place of the configuration only when issuerd accepts it.
configure() {
    local new=$conf.new
    if [ -s "$conf" ]; then
        cp -- "$conf" "$new"
        say "configuration: $conf is kept"
    else
        write_conf "$new"
        say "configuration: $conf is new"
    fi
    apply_options "$new"

    if ! "$build/issuerd" --check-config "$new" >"$scratch/check" 2>&1; then
        sed 's/^/    /' "$scratch/check" >&2
        rm -f -- "$new"
        die "issuerd refuses the configuration above; ${conf##*/} is as it was"
    fi
    mv -- "$new" "$conf"
}

issuerctl() { "$build/issuerctl" --config "$conf" "$@"; }

have_token() {
    SOFTHSM2_CONF=$dir/softhsm2.conf softhsm2-util --show-slots |
        grep '^ *Label: *issuerd *$' >/dev/null # not -q: pipefail would see the broken pipe
}

list_keys() { # its status is that of every signer, and one may have no key yet
    issuerctl keys list --json 2>/dev/null || true
}

have_key() { # have_key SIGNER
    list_keys |
        jq -e --arg signer "$1" 'any(.[]; .signer == $signer and .on_device)' >/dev/null
}

# A key beside an earlier one, of another --alg, waits on the keyring for its turn.
ensure_active() {
    local kid
    kid=$(list_keys | jq -r '.[] |
        select(.on_device and (.state == "generated" or .state == "published")) | .kid')
    [ -z "$kid" ] || step "key: activating it without the wait for verifiers' caches" \
        "$dir/key.log" \
        issuerctl keys activate --emergency "quickstart: nobody has the old JWK Set" -- "$kid"
}

ensure_token() { # ensure_token SIGNER
    if have_token; then
        say "token: issuerd is there"
    else
        step "token: initialising issuerd in $dir/tokens" "$dir/key.log" \
            issuerctl token init "$1" --so-pin-file "$dir/so-pin"
    fi
}

ensure_generated() { # ensure_generated SIGNER NAME ALG
    if have_key "$1"; then
        say "key: issuerd-$2 is there"
    else
        step "key: generating issuerd-$2 inside the token" "$dir/key.log" \
            issuerctl keys generate "$1" --algorithm "$3"
    fi
}

ensure_key() {
    local uri algorithm
    uri=$(ini_get "$conf" "signer main" uri)
    algorithm=$(ini_get "$conf" "signer main" algorithm)
    if [[ $uri != "$(key_uri "${algorithm:-ES256}")" ]]; then
        say "key: the signer's URI is yours; token and key are left alone"
        return
    fi
    ensure_token main
    ensure_generated main "${algorithm,,}" "$algorithm"
    ensure_active
}

# An older configuration that was kept may have none.
ensure_audit_key() {
    local signer
    signer=$(ini_get "$conf" ledger signer)
    [ -n "$signer" ] || return 0
    if [[ $(ini_get "$conf" "signer $signer" uri) != "$(key_uri audit)" ]]; then
        say "audit key: its URI is yours; it is left alone"
        return
    fi
    have_token || ensure_token "$signer"
    ensure_generated "$signer" audit ES256
}

# --- the server ---

refuse_taken_port() { # refuse_taken_port SECTION OPTION
    local listen host taken
    listen=$(ini_get "$conf" "$1" listen)
    taken=${listen##*:}
    [[ $listen != unix:* && $taken =~ ^[0-9]+$ && $taken -ne 0 ]] || return 0
    host=${listen%:*}
    host=${host#[} host=${host%]}
    if (exec 4<>"/dev/tcp/${host:-127.0.0.1}/$taken") 2>/dev/null; then
        die "port $taken is taken by another program: choose another with $2"
    fi
}

start_server() {
    local log=$dir/issuerd.log old deadline=$((SECONDS + 15)) line
    touch "$log"
    old=$(wc -c <"$log")
    "$build/issuerd" --config "$conf" >"$scratch/ready" 2>>"$log" 3>&- &
    server=$!
    until line=$(grep -m 1 '^issuerd ready: ' "$scratch/ready"); do
        if ! kill -0 "$server" 2>/dev/null || ((SECONDS >= deadline)); then
            tail -c "+$((old + 1))" "$log" | tail -n 10 | sed 's/^/    /' >&2
            die "issuerd did not get ready; its last lines are above, the rest in $log." \
                "Mend what they name and run this again"
        fi
        sleep 0.1
    done
    say "$line"
    [[ $line =~ ^issuerd\ ready:\ public\ (.+)\ admin\ (.+)$ ]] || die "not understood: $line"
    public=${BASH_REMATCH[1]} admin=${BASH_REMATCH[2]}
}

# In the foreground; a signal reaches it, or, where a database has to end after it, comes through here.
serve() {
    local code=0
    rm -rf "$scratch" # exec leaves no one to do it
    [ -n "$cluster" ] || exec "$build/issuerd" --config "$conf" 3>&-
    "$build/issuerd" --config "$conf" 3>&- &
    server=$!
    trap 'kill -TERM "$server"' INT TERM
    while kill -0 "$server" 2>/dev/null; do
        code=0
        wait "$server" || code=$?
    done
    server=''
    exit "$code"
}

stop_server() {
    local pid=$server deadline=$((SECONDS + 15)) code=0
    kill -TERM "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null && ((SECONDS < deadline)); do sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || code=$?
    server=''
    [ "$code" -eq 0 ] || die "issuerd ended with status $code; see $dir/issuerd.log"
    say "issuerd stopped"
}

# --- the exchanges. Codes, tokens and secrets go to curl on its stdin, never as an argument ---

# JSON with codes and tokens cut short, as they are secrets and a screen may be logged; the
# numbers of public keys too, for the reader's sake.
brief() {
    jq -c 'walk(if type == "object" then with_entries(
        if (.key | test("^(code|authorization_code|access_token|n|x|y)$"))
            and (.value | type) == "string"
        then .value |= .[0:8] + "…" else . end) else . end)'
}

# call STATUS METHOD BASE PATH BODY [CURL-OPTION...]: shows request and answer, sets $answer.
call() {
    local wanted=$1 method=$2 base=$3 path=$4 body=$5 response status to
    to=("$base$path")
    case $base in unix:*) to=(--unix-socket "${base#unix:}" "http://localhost$path") ;; esac
    shift 5

    say "  $method $path${body:+ $(printf '%s' "$body" | brief)}"
    response=$(curl -q -sS --noproxy '*' --max-time 15 -X "$method" -w '\n%{http_code}' \
        "$@" "${to[@]}") || die "no answer from issuerd; see $dir/issuerd.log"
    status=${response##*$'\n'} answer=${response%$'\n'*}
    say "  $status $(printf '%s' "$answer" | brief 2>/dev/null || echo '(not JSON)')"
    [ "$status" = "$wanted" ] || die "$wanted was expected; see $dir/issuerd.log"
}

field() { printf '%s' "$answer" | jq -er "$@"; }

random_text() { head -c 16 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

# The wallet keeps its code to itself, and writes its token where nobody else reads it.
walk_wallet() {
    local holder walked=yes
    say "1. a wallet makes a DID, opens a request, proves that the DID is its own, trades the code"
    "$build/issuerctl" wallet --url "$public" --token-file "$scratch/token" \
        >"$scratch/wallet" 2>"$scratch/wallet.errors" || walked=no
    sed 's/^/  /' "$scratch/wallet" >&3
    if [ "$walked" = no ]; then
        sed 's/^/    /' "$scratch/wallet.errors" >&2
        die "the wallet got no token; see $dir/issuerd.log"
    fi
    holder=$(sed -n 's/^holder //p' "$scratch/wallet")
    token=$(cat "$scratch/token")
    rm -f "$scratch/token"

    say "2. anyone verifies it: with jose, and the key that the server publishes"
    verify_token "$holder"
}

exchange_approved() {
    local json=(-H 'content-type: application/json') holder body id grant
    holder=did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK # the did:key draft's example

    say "3. the other way: a request whose holder another system has authenticated"
    body=$(printf '{"state":"%s","nonce":"%s"}' "$(random_text)" "$(random_text)")
    call 201 POST "$public" /api/v1/authorizations "$body" "${json[@]}" --data-raw "$body"
    id=$(field .id)

    say "4. that system approves it (admin listener, client secret)"
    body="{\"holder_did\":\"$holder\"}"
    call 200 POST "$admin" "/api/v1/authorizations/$id/approve" "$body" "${json[@]}" -H @- \
        --data-raw "$body" < <(printf 'x-client-secret: ' && cat "$dir/client-secret")
    grant="{\"authorization_code\":\"$(field .code)\"}"

    say "5. the code is traded for a token, and refused the second time"
    call 201 POST "$public" /api/v1/tokens "$grant" "${json[@]}" --data-binary @- \
        < <(printf '%s' "$grant")
    call 400 POST "$public" /api/v1/tokens "$grant" "${json[@]}" --data-binary @- \
        < <(printf '%s' "$grant")
}

verify_token() { # verify_token HOLDER
    local header claims
    call 200 GET "$public" /.well-known/jwks.json ''
    header=$(printf '%s' "${token%%.*}" | jose b64 dec -i -)
    # shellcheck disable=SC2016 # jq's variable
    field --argjson header "$header" '.keys[] | select(.kid == $header.kid)' \
        >"$scratch/key.json" || die "the JWKS lacks the token's key: $header"
    claims=$(printf '%s' "$token" | jose jws ver -i - -k "$scratch/key.json" -O -) ||
        die "the token does NOT verify with the published key"
    say "  header $header"
    say "  claims $claims"
    printf '%s' "$claims" | jq -e --arg iss "$(ini_get "$conf" issuer url)" --arg sub "$1" \
        '.iss == $iss and .sub == $sub and .exp > now and .nbf <= now + 1' >/dev/null ||
        die "the signature is right, the claims are not"
    say "  verified"
}

say_next() {
    local tests url=$public database=''
    tests=$(printf '%q' "$root/tests/run.sh")
    case $(ini_get "$conf" public listen) in *:0) url=URL ;; esac # another one each time
    [ -z "$cluster" ] || database="
  start its database        $(printf '%q' "$root/provisioning/postgresql-cluster.sh") start $(printf '%q' "$cluster")"
    cat >&3 <<END

Next:$database
  start the same instance   $(printf '%q' "$build/issuerd") --config $(printf '%q' "$conf")
  and be its wallet         $(printf '%q' "$build/issuerctl") wallet --url $(printf '%q' "$url")
  and see its requests      $(printf '%q' "$build/issuerctl") --config $(printf '%q' "$conf") authorizations list
  its files                 $dir (issuerd.conf is yours to edit; issuerd.log)
  run the tests             $tests
  use your HSM              provisioning/README.md: another [signer] uri, and its PIN file
END
}

main() {
    parse_options "$@"
    if [ "$serve" = yes ]; then exec 3>&2; else exec 3>&1; fi
    trap clean_up EXIT
    trap 'exit 130' INT TERM
    scratch=$(mktemp -d)
    local groups=(build run)

    make_dir
    case $build in /*) ;; *) build=$PWD/$build ;; esac
    if [ "$install" = yes ]; then
        [ "$store" != postgresql ] || groups+=(postgresql)
        step "packages" "$dir/packages.log" "$root/provisioning/packages.sh" install "${groups[@]}"
    fi
    require_commands
    find_softhsm
    build_programs

    local secret
    for secret in so-pin pin client-secret; do make_secret "$secret"; done
    write_softhsm_conf
    start_cluster
    configure
    ensure_key
    ensure_audit_key
    refuse_taken_port public --port
    refuse_taken_port admin --admin-port

    [ "$serve" = no ] || serve
    start_server
    walk_wallet
    exchange_approved
    stop_server
    say_next
}

main "$@"

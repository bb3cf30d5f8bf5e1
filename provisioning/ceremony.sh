# What pkcs11-key.sh and tpm-key.sh share; they source it. A ceremony makes one key, or finds it made,
# compares what its device says of it with what is wanted, and writes that down for the auditor.
#
# The configuration is the one source of where the key is: its [signer NAME] uri. What a key is, in the
# end, is what issuerd's own provider sees of it: issuerctl keys list.
# shellcheck shell=bash
set -euo pipefail
export LC_ALL=C
umask 077

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=provisioning/ini.sh
. "$root/provisioning/ini.sh"

conf='' signer='' alg='' rsa_bits='' evidence_dir='' build='' dry_run=no
uri='' ctl='' scratch='' entry=''
commands=() # what was run, for the evidence

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# --- options ---

usage() { sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; }

own_option() { false; } # a script with options of its own defines it: own_option OPTION VALUE

parse_options() {
    while [ $# -gt 0 ]; do
        case $1 in
        --help) usage && exit 0 ;;
        --dry-run) dry_run=yes && shift && continue ;;
        --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
        -*) ;;
        *)
            [ -z "$signer" ] || die "one signer at a time: $signer or $1?"
            signer=$1 && shift && continue
            ;;
        esac
        [ $# -ge 2 ] || die "$1: unknown, or its value is missing; see --help"
        case $1 in
        --config) conf=$(realpath -- "$2") ;;
        --alg) alg=$2 ;;
        --rsa-bits) rsa_bits=$2 ;;
        --evidence-dir) evidence_dir=$(realpath -m -- "$2") ;;
        --build-dir) build=$(realpath -- "$2") ;;
        *) own_option "$1" "$2" || die "$1: unknown; see --help" ;;
        esac
        shift 2
    done
    [ -n "$conf" ] || die "which configuration? --config FILE"
    [ -n "$signer" ] || die "which signer? Name one that $conf has; see --help"
}

require_command() { # require_command COMMAND PACKAGE
    command -v "$1" >/dev/null || die "$1 is not installed (Debian: apt-get install $2)"
}

find_issuerctl() {
    ctl=${build:-$root/build}/issuerctl
    if [ ! -x "$ctl" ] && [ -z "$build" ]; then
        ctl=$(command -v issuerctl) || true
    fi
    [ -x "$ctl" ] || die "issuerctl is not built: cmake -B build && cmake --build build, or" \
        "--build-dir DIR"
}

# --- the configuration ---

percent_decode() {
    local text=${1//\\/\\\\}
    printf '%b' "${text//%/\\x}"
}

uri_attribute() { # uri_attribute NAME: decoded; fails if the URI's query does not have it
    local attribute attributes
    IFS='&' read -ra attributes <<<"${uri#*\?}"
    for attribute in "${attributes[@]}"; do
        case $attribute in "$1="*) percent_decode "${attribute#*=}" && return ;; esac
    done
    return 1
}

secret_path() { # of the pin-source
    local path
    path=$(uri_attribute pin-source) || die "[signer $signer] uri: no pin-source=file:/PATH in it"
    path=${path#file:}
    case $path in
    ///*) path=${path#//} ;;
    /*) ;;
    *) die "[signer $signer] uri: pin-source is no file:/PATH" ;;
    esac
    printf '%s' "$path"
}

read_uri() { # read_uri SCHEME
    uri=$(ini_get "$conf" "signer $signer" uri)
    [ -n "$uri" ] || die "$conf has no [signer $signer] with a uri"
    case $uri in
    "$1":*\?*) ;;
    *) die "[signer $signer] uri: $1:...?... is what this script is for, not ${uri%%\?*}" ;;
    esac
}

settle_algorithm() { # settle_algorithm ALG...: those that the device may have
    local configured
    configured=$(ini_get "$conf" "signer $signer" algorithm)
    alg=${alg:-${configured:-ES256}}
    case " $* " in
    *" $alg "*) ;;
    *) die "--alg $alg: one of $*" ;;
    esac
    case $alg in
    ES256 | Ed25519) ;;
    *)
        [ "$(ini_get "$conf" ledger signer)" != "$signer" ] ||
            die "--alg $alg: $signer is the ledger's signer, whose key is ES256 or Ed25519"
        ;;
    esac
    if [ -z "$configured" ] && [ "$alg" = RS256 ]; then
        die "write algorithm = RS256 into [signer $signer]: without it an RSA key signs PS256"
    fi
    [ "$alg" = "${configured:-$alg}" ] ||
        die "--alg $alg: $conf has algorithm = $configured for [signer $signer]"
    case $alg in
    RS256 | PS256) ;;
    *) [ -z "$rsa_bits" ] || die "--rsa-bits $rsa_bits: a key for $alg is no RSA key" ;;
    esac
}

find_evidence_dir() {
    local store
    store=$(ini_get "$conf" store url)
    store=${store#sqlite:}
    [ -n "$evidence_dir" ] || evidence_dir=${store%/*}/evidence
    case $evidence_dir in /*) ;; *) die "where to write the evidence? --evidence-dir DIR" ;; esac
}

clean_up() {
    [ -z "$scratch" ] || rm -rf "$scratch"
}

# begin SCHEME OPTION...: everything before the first step.
begin() {
    local scheme=$1
    shift
    trap clean_up EXIT
    trap 'exit 130' INT TERM
    parse_options "$@"
    require_command jq jq
    find_issuerctl
    read_uri "$scheme"
    find_evidence_dir
    scratch=$(mktemp -d)
    printf '%s %s: signer %s of %s\n' "$(date -u +%FT%TZ)" "${0##*/}" "$signer" "$conf"
    printf 'key: %s\n' "${uri%%\?*}"
}

# --- steps ---

quoted() { # as it could be typed
    local line
    printf -v line '%q ' "$@"
    printf '%s' "${line% }"
}

# The bytes of a file without one trailing newline, as issuerd reads them, in a form that
# tpm2-tools do not read in other ways.
secret_as_hex() {
    local value
    value=$(cat -- "$1" && printf .)
    value=${value%.}
    printf 'hex:'
    printf '%s' "${value%$'\n'}" | od -An -v -tx1 | tr -d ' \n'
}

# step WHAT COMMAND...: runs it among the scratch files, its output in out; in a dry run only shows
# it. secret_from=FILE before it: the value in FILE, on its stdin.
secret_from=''
step() {
    local what=$1 shown
    shift
    shown=$(quoted "$@")
    [ -z "$secret_from" ] || shown+=" # file:- is what $secret_from holds"
    if [ "$dry_run" = yes ]; then
        printf '%s:\n    %s\n' "$what" "$shown"
        return
    fi
    commands+=("$shown")
    printf '%s ...' "$what"
    if ! feed_secret | (cd "$scratch" && "$@" >out 2>err); then
        printf ' failed\n'
        sed 's/^/    /' "$scratch/err" >&2
        die "$what failed: $shown"
    fi
    printf ' done\n'
}

feed_secret() {
    [ -z "$secret_from" ] || secret_as_hex "$secret_from"
}

write_secret() { # write_secret FILE: from stdin; never over one that is there
    (set -o noclobber && cat >"$1") || die "$1 cannot be written: make its directory first"
}

# --- the key, as issuerd sees it ---

# Sets $entry. A device that fails fails here, with issuerd's own words; a key that is not there does
# not.
look() {
    local what="asking the device for the key, and for one signature"
    if [ "$dry_run" = yes ]; then
        step "$what" "$ctl" --config "$conf" keys list --json
        return
    fi
    commands+=("$(quoted "$ctl" --config "$conf" keys list --json)")
    printf '%s ...' "$what"
    # Its status is that of every signer of the configuration.
    "$ctl" --config "$conf" keys list --json >"$scratch/list" 2>"$scratch/err" || true
    entry=$(jq -c --arg signer "$signer" \
        '.[] | select(.signer == $signer and (.on_device or .error))' "$scratch/list") || entry=''
    if [ -z "$entry" ]; then
        printf ' failed\n'
        sed 's/^/    /' "$scratch/err" >&2
        die "issuerctl keys list tells nothing of signer $signer"
    fi
    if is_missing; then
        printf ' it is not there\n'
    elif ! field on_device >/dev/null; then
        printf ' failed\n'
        die "$(field error)"
    else
        printf ' %s\n' "$(field kid)"
    fi
}

field() { jq -er --arg name "$1" '.[$name]' <<<"$entry"; }
is_missing() { [ "$dry_run" = yes ] || field is_missing >/dev/null; }

# compare WANTED: attribute by attribute, NAME or NAME=VALUE, in the words of issuerctl keys list. A
# NAME that is there and not wanted is as wrong as one that is wanted and not there.
compare() {
    local found word
    if [ "$dry_run" = yes ]; then
        printf 'comparing what the device says of the key with:\n    %s\n' "$1"
        return
    fi
    found=$(field attributes)
    for word in $1; do
        case " $found " in
        *" $word "*) ;;
        *) die "$(field key): not as wanted: $word" ;;
        esac
    done
    for word in $found; do
        case " $1 " in
        *" $word "*) ;;
        *) die "$(field key): not wanted: $word" ;;
        esac
    done
    compare_kind
    printf 'attributes: as wanted: %s\n' "$found"
}

compare_kind() {
    local modulus
    [ "$(field algorithm)" = "$alg" ] || die "$(field key): its algorithm is $(field algorithm)," \
        "not $alg"
    if [ -n "$rsa_bits" ]; then
        modulus=$(jq -r .jwk.n <<<"$entry")
        [ "${#modulus}" -eq $(((rsa_bits + 5) / 6)) ] || # base64url has six bits a character
            die "$(field key): not of $rsa_bits bits"
    fi
}

# --- the evidence ---

# write_evidence PROVIDER MEMBERS: MEMBERS is a JSON object of more to say. An earlier file of this
# key is kept beside it, under the time it was made.
write_evidence() {
    local file
    if [ "$dry_run" = yes ]; then
        printf 'writing the evidence to:\n    %s/KID.json\n' "$evidence_dir"
        step "checking it" "$ctl" keys evidence --evidence-dir "$evidence_dir" -- KID
        return
    fi
    file=$evidence_dir/$(field kid).json
    mkdir -p -- "$evidence_dir"
    # shellcheck disable=SC2016 # jq's variables
    jq -n --arg provider "$1" --argjson members "$2" --arg signer "$signer" \
        --arg made_at "$(date -u +%FT%TZ)" --argjson entry "$entry" \
        '{version: 1, $made_at, $provider, $signer}
            + ($entry | {kid, algorithm, jwk, key, device, attributes})
            + {commands: $ARGS.positional} + $members' \
        --args "${commands[@]}" >"$file.new"
    [ ! -e "$file" ] ||
        mv -- "$file" "${file%.json}.$(jq -r '.made_at | gsub("[^0-9TZ]"; "")' "$file").json"
    mv -- "$file.new" "$file"
    printf 'evidence: %s\n' "$file"
    "$ctl" keys evidence --evidence-dir "$evidence_dir" -- "$(field kid)" ||
        die "the evidence does not hold"
}

#!/usr/bin/env bash
# Makes a signer's key in a TPM 2.0, or finds it made, has the TPM attest it, and writes that down
# for the auditor:
#
#   provisioning/tpm-key.sh --config FILE [OPTION...] SIGNER
#
#   --config FILE        issuerd's configuration; [signer SIGNER] uri says which TPM, which
#                        persistent handle, and in which file the key's authorization value is
#   --alg ALG            ES256, ES384, RS256 or PS256 (the configured one, else ES256)
#   --rsa-bits N         of an RSA key: 2048 or 3072 (3072; many TPMs have no more than 2048)
#   --owner-auth-file FILE
#                        the owner hierarchy's authorization value (empty)
#   --endorsement-auth-file FILE
#                        the endorsement hierarchy's authorization value (empty)
#   --evidence-dir DIR   where KID.json is written (evidence, beside the store)
#   --build-dir DIR      where issuerctl is (build, in the source tree, else the PATH)
#   --dry-run            only show each step with its command
#   --help
#
# Run it as issuerd's user, whose files it makes. If the file with the key's authorization value is
# not there, a random value is made in it. The key is made inside the TPM: it cannot leave it, does
# nothing but sign, and wrong tries at it lock nothing. What is at the handle already is checked and
# written down if it is such a key, and refused if it is not; never made again or changed. Handle
# 0x81000001 is often taken by the storage root key.
#
# The attestation key is derived from the TPM's endorsement seed, always the same in one TPM: enrol its
# Name once, and an auditor can tell this TPM from others:
#
#   issuerctl keys evidence KID --evidence-dir DIR --ak-name NAME
set -euo pipefail

# shellcheck source=provisioning/ceremony.sh
. "$(dirname "${BASH_SOURCE[0]}")/ceremony.sh"

wanted="fixedTPM fixedParent sensitiveDataOrigin userWithAuth noDA sign"
owner_file='' endorsement_file='' handle='' auth_file=''
owner_auth=() endorsement_auth=()
is_connected=no
others='' # transient objects that are not ours

own_option() {
    case $1 in
    --owner-auth-file) owner_file=$(realpath -- "$2") && owner_auth=(-P file:-) ;;
    --endorsement-auth-file) endorsement_file=$(realpath -- "$2") && endorsement_auth=(-P file:-) ;;
    *) return 1 ;;
    esac
}

# --- the TPM ---

transient() { tpm2_getcap handles-transient | sed 's/^- //'; }

# A TPM without a resource manager keeps what a tool has loaded, and has room for three objects.
flush() {
    local object
    [ "$dry_run" = no ] || return 0
    for object in $(transient); do
        case " $others " in
        *" $object "*) ;;
        *) tpm2_flushcontext "$object" ;;
        esac
    done
}

tpm() { # tpm WHAT COMMAND...: a step, and nothing left loaded
    step "$@"
    flush
}

connect() {
    handle=${uri%%\?*}
    handle=${handle#tpm:handle=}
    TPM2TOOLS_TCTI=$(uri_attribute tcti) || die "[signer $signer] uri: no tcti= in it"
    export TPM2TOOLS_TCTI
    commands+=("export TPM2TOOLS_TCTI=$(quoted "$TPM2TOOLS_TCTI")")
    commands+=("# after each tpm2 command: tpm2_flushcontext of what it left loaded")
    if [ "$dry_run" = yes ]; then
        printf 'the TPM:\n    %s\n    %s\n' "${commands[@]}"
        return
    fi
    others=$(transient | xargs) || die "no TPM answers at $TPM2TOOLS_TCTI"
    is_connected=yes
}

# --- the key ---

ensure_auth() {
    local value
    auth_file=$(secret_path)
    if [ ! -e "$auth_file" ] && [ "$dry_run" = yes ]; then
        printf 'authorization value: a random one, written to:\n    %s\n' "$auth_file"
        return
    fi
    if [ ! -e "$auth_file" ]; then
        ! tpm2_getcap handles-persistent | grep -ix -- "- $handle" >/dev/null ||
            die "handle $handle is taken, and $auth_file, the authorization value of what is there," \
                "is missing: bring it back, or configure another handle"
        head -c 24 /dev/urandom | base64 | tr '+/' '-_' | write_secret "$auth_file"
        printf 'authorization value: a new one, in %s\n' "$auth_file"
    fi
    value=$(secret_as_hex "$auth_file")
    value=${value#hex:}
    [[ $value =~ ^([0-9a-f]{2}){1,32}$ ]] || # as many as SHA-256 has, the key's nameAlg
        die "$auth_file: the authorization value of a TPM key has 1 to 32 bytes"
}

key_type() {
    case $alg in
    ES256) echo ecc256:null ;;
    ES384) echo ecc384:null ;;
    *) echo "rsa${rsa_bits:-3072}:null:null" ;;
    esac
}

make_key() {
    secret_from=$owner_file tpm "making the storage primary, if the key is not there" \
        tpm2_createprimary -Q -C o "${owner_auth[@]}" -G ecc256 -c primary.ctx
    secret_from=$auth_file tpm "making the $alg key under it" \
        tpm2_create -Q -C primary.ctx -G "$(key_type)" -p file:- \
        -a 'sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda' \
        -u key.pub -r key.priv
    tpm "loading it" tpm2_load -Q -C primary.ctx -u key.pub -r key.priv -c key.ctx
    secret_from=$owner_file tpm "making it persistent at $handle" \
        tpm2_evictcontrol -Q -C o "${owner_auth[@]}" -c key.ctx "$handle"
}

# --- the attestation ---

attest() {
    secret_from=$endorsement_file tpm "making the attestation key" \
        tpm2_createprimary -Q -C e "${endorsement_auth[@]}" -G ecc256:ecdsa-sha256:null \
        -a 'sign|restricted|fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda' -c ak.ctx
    tpm "reading its public area" tpm2_readpublic -Q -c ak.ctx -o ak.pub
    tpm "reading the key's public area" tpm2_readpublic -Q -c "$handle" -o public
    secret_from=$auth_file tpm "having the key certified" \
        tpm2_certify -Q -c "$handle" -P file:- -C ak.ctx -g sha256 -o attest -s signature
}

base64url() { base64 -w 0 "$scratch/$1" | tr '+/' '-_' | tr -d =; }

attestation() {
    [ "$dry_run" = no ] || return 0
    # shellcheck disable=SC2016 # jq's variables
    jq -n --arg public "$(base64url public)" --arg ak_public "$(base64url ak.pub)" \
        --arg attest "$(base64url attest)" --arg signature "$(base64url signature)" \
        '{tpm: {$public, $ak_public, $attest, $signature}}'
}

clean_up() {
    [ "$is_connected" = no ] || flush 2>/dev/null || true
    [ -z "$scratch" ] || rm -rf "$scratch"
}

main() {
    begin tpm "$@"
    require_command tpm2_certify tpm2-tools
    settle_algorithm ES256 ES384 RS256 PS256
    case $rsa_bits in '' | 2048 | 3072) ;; *) die "--rsa-bits $rsa_bits: 2048 or 3072" ;; esac
    connect
    ensure_auth
    look
    if is_missing; then
        make_key
        look
    fi
    compare "$wanted"
    attest
    write_evidence tpm "$(attestation)"
}

main "$@"

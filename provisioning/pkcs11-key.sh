#!/usr/bin/env bash
# Makes a signer's key in its PKCS#11 token, or finds it made, and writes down for the auditor what
# the token says of it:
#
#   provisioning/pkcs11-key.sh --config FILE [OPTION...] SIGNER
#
#   --config FILE        issuerd's configuration; [signer SIGNER] uri says which token, object,
#                        module and PIN file
#   --alg ALG            ES256, ES384, RS256, PS256 or Ed25519 (the configured one, else ES256)
#   --rsa-bits N         of an RSA key: 2048 to 4096 (3072)
#   --evidence-dir DIR   where KID.json is written (evidence, beside the store)
#   --build-dir DIR      where issuerctl is (build, in the source tree, else the PATH)
#   --dry-run            only show each step with its command
#   --help
#
# Run it as issuerd's user, whose files it makes. The token is one that its vendor's tool has
# initialised. If the PIN file is not there you are asked for the user PIN, and it is written. The
# key pair is made inside the token: private, sensitive, never extractable, sign only. A key that
# is there already is checked and written down, never made again or changed.
#
# Check what was written, on any machine, with: issuerctl keys evidence KID --evidence-dir DIR
set -euo pipefail

# shellcheck source=provisioning/ceremony.sh
. "$(dirname "${BASH_SOURCE[0]}")/ceremony.sh"

wanted="CKA_PRIVATE=true CKA_SENSITIVE=true CKA_EXTRACTABLE=false CKA_LOCAL=true \
CKA_ALWAYS_SENSITIVE=true CKA_NEVER_EXTRACTABLE=true CKA_SIGN=true CKA_SIGN_RECOVER=false \
CKA_DECRYPT=false CKA_UNWRAP=false CKA_DERIVE=false CKA_ALWAYS_AUTHENTICATE=false"

ensure_pin() {
    local file pin again
    file=$(secret_path)
    if [ -e "$file" ]; then
        printf 'PIN: from %s\n' "$file"
        return
    fi
    if [ "$dry_run" = yes ]; then
        printf 'PIN: asked for, and written to:\n    %s\n' "$file"
        return
    fi
    [ -t 0 ] || die "$file is not there: write the user PIN into it (mode 600), or run this on a" \
        "terminal to be asked for it"
    IFS= read -rsp "user PIN of the token, for $file: " pin && echo
    IFS= read -rsp "once more: " again && echo
    [ "$pin" = "$again" ] || die "these are two PINs: nothing was done"
    [ -n "$pin" ] || die "no PIN: nothing was done"
    printf '%s\n' "$pin" | write_secret "$file"
    printf 'PIN: written to %s\n' "$file"
}

generate() {
    local options=(--algorithm "$alg")
    [ -z "$rsa_bits" ] || options+=(--rsa-bits "$rsa_bits")
    step "generating the $alg key inside the token, if it is not there" \
        "$ctl" --config "$conf" keys generate "$signer" "${options[@]}"
}

main() {
    begin pkcs11 "$@"
    settle_algorithm ES256 ES384 RS256 PS256 Ed25519
    ensure_pin
    look
    if is_missing; then
        generate
        look
    fi
    compare "$wanted"
    write_evidence pkcs11 '{}'
}

main "$@"

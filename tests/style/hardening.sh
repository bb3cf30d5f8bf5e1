#!/bin/sh
# The three programs are built hardened: position independent, relocations read-only and bound at
# start, no executable stack, stack protector and _FORTIFY_SOURCE in use. None has a crash point
# (base/crash_point.h) in it.
#
#   BUILD_DIR=DIR hardening.sh      DIR holds the programs (build-tests/gcc)
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD_DIR:-build-tests/gcc}
bad=0

expect() { # expect WHAT PATTERN TEXT
    printf '%s\n' "$3" | grep -E -- "$2" >/dev/null && return
    echo "$program: no $1"
    bad=1
}

for program in issuerd issuerd-signer issuerctl; do
    file=$build/$program
    [ -x "$file" ] || { echo "$file is not there" && exit 1; }
    facts=$(readelf --wide --file-header --program-headers --dynamic --dyn-syms "$file") || exit 1
    expect "position independent executable" 'Type: +DYN .*Position-Independent' "$facts"
    expect "RELRO" 'GNU_RELRO' "$facts"
    expect "BIND_NOW" 'FLAGS.*(BIND_NOW|NOW)' "$facts"
    expect "non-executable stack" 'GNU_STACK( +0x[0-9a-f]+)+ +RW +0x' "$facts"
    expect "stack protector" '__stack_chk_fail' "$facts"
    expect "_FORTIFY_SOURCE" '__[a-z]+_chk(@|$)' "$facts"
    if grep -qE 'ISSUERD_CRASH|signer-request-received' "$file"; then
        echo "$program: has crash points"
        bad=1
    fi
    printf '%s\n' "$facts" | grep -E 'LOAD.* RWE ' && { echo "$program: writable code" && bad=1; }
done
exit "$bad"

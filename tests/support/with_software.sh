#!/bin/sh
# with_software.sh COMMAND...: runs it with TEST_KEY_URI naming a key file made for it, of the type
# that TEST_KEY_ALGORITHM (ES256) needs, TEST_MISSING_KEY_URI naming none, and TEST_DIR, where it is.
set -eu
umask 077

dir=$(mktemp -d "${TMPDIR:-/tmp}/issuerd software.XXXXXX")
export TEST_DIR="$dir"
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM

export TEST_KEY_ALGORITHM="${TEST_KEY_ALGORITHM:-ES256}"
case $TEST_KEY_ALGORITHM in
ES256) openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$dir/key.pem" ;;
ES384) openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out "$dir/key.pem" ;;
Ed25519) openssl genpkey -quiet -algorithm ED25519 -out "$dir/key.pem" ;;
*) openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$dir/key.pem" ;;
esac
export TEST_KEY_URI="file:$dir/key.pem"
export TEST_MISSING_KEY_URI="file:$dir/missing.pem"

"$@"

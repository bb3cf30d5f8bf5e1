#!/bin/sh
# with_softhsm.sh COMMAND...: runs it with a SoftHSM2 token of its own, in a directory of its own,
# and a key in it made by the provider's own ceremonies, of the type that TEST_KEY_ALGORITHM (ES256)
# needs. The command finds
#
#   SOFTHSM2_CONF         the token's configuration
#   TEST_DIR              the directory; there is a blank in its name
#   TEST_MODULE           the module's path
#   TEST_PIN_FILE         the user PIN's file; so-pin, beside it, is the security officer's
#   TEST_KEY_URI          the key: token "issuerd test", object "signer"
#   TEST_MISSING_KEY_URI  no key
#
# TEST_TOKEN_TOOL is the path of token_tool. What is missing is a failure, not a skip.
set -eu
umask 077

export TEST_MODULE="${TEST_MODULE:-/usr/lib/softhsm/libsofthsm2.so}"
export TEST_KEY_ALGORITHM="${TEST_KEY_ALGORITHM:-ES256}"
: "${TEST_TOKEN_TOOL:?is the path of token_tool}"

TEST_DIR=$(mktemp -d "${TMPDIR:-/tmp}/issuerd softhsm.XXXXXX")
export TEST_DIR
trap 'rm -rf "$TEST_DIR"' EXIT
trap 'exit 1' HUP INT TERM

mkdir "$TEST_DIR/tokens"
export SOFTHSM2_CONF="$TEST_DIR/softhsm2.conf"
printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' \
    "$TEST_DIR/tokens" >"$SOFTHSM2_CONF"

export TEST_PIN_FILE="$TEST_DIR/pin"
echo 71942-user >"$TEST_PIN_FILE"
echo 53817-officer >"$TEST_DIR/so-pin"

escaped=$(printf %s "$TEST_PIN_FILE" | sed 's/ /%20/g')
query="module-path=$TEST_MODULE&pin-source=file:$escaped"
export TEST_KEY_URI="pkcs11:token=issuerd%20test;object=signer?$query"
export TEST_MISSING_KEY_URI="pkcs11:token=issuerd%20test;object=missing?$query"

# SoftHSM2 2.6.1 loses 37 bytes each time it reads an Ed25519 key's curve: not ours to count.
[ "$TEST_KEY_ALGORITHM" != Ed25519 ] || export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0"

"$TEST_TOKEN_TOOL" init "$TEST_KEY_URI" "$TEST_DIR/so-pin"
"$TEST_TOKEN_TOOL" generate "$TEST_KEY_URI" "$TEST_KEY_ALGORITHM"

"$@"

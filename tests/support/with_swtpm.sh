#!/bin/sh
# with_swtpm.sh COMMAND...: runs it with a TPM of its own (swtpm), in a directory of its own, and a key
# in it of the type that TEST_KEY_ALGORITHM (ES256) needs. The command finds
#
#   TEST_DIR              the directory; there is a blank in its name
#   TEST_TCTI             how to reach the TPM
#   TEST_TPM_SOCKET       its socket; TEST_TPM_SOCKET.ctrl is for swtpm_ioctl --unix
#   TEST_TPM_STATE        its state's directory; TEST_TPM_PID_FILE holds its process id
#   TEST_PIN_FILE         the key's authorization value
#   TEST_KEY_URI          the key: persistent handle 0x81000001
#   TEST_MISSING_KEY_URI  no key
#   TEST_TPM_DIR, TEST_TPM_KEY_URI
#                         the same as TEST_DIR and TEST_KEY_URI, which a with_softhsm.sh further on replaces
#
# What is missing is a failure, not a skip.
set -eu
umask 077

export TEST_KEY_ALGORITHM="${TEST_KEY_ALGORITHM:-ES256}"
support=$(cd "$(dirname "$0")" && pwd)

TEST_DIR=$(mktemp -d "${TMPDIR:-/tmp}/issuerd swtpm.XXXXXX")
export TEST_DIR TEST_TPM_DIR="$TEST_DIR"
export TEST_TPM_STATE="$TEST_DIR/state" TEST_TPM_SOCKET="$TEST_DIR/tpm"
export TEST_TPM_PID_FILE="$TEST_DIR/swtpm.pid"
export TEST_TCTI="swtpm:path=$TEST_TPM_SOCKET"
finish() {
    [ ! -e "$TEST_TPM_PID_FILE" ] || kill -9 "$(cat "$TEST_TPM_PID_FILE")" 2>/dev/null || true
    rm -rf "$TEST_DIR"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

mkdir "$TEST_TPM_STATE"
"$support/swtpm_start.sh"

export TEST_PIN_FILE="$TEST_DIR/auth"
head -c 24 /dev/urandom | base64 | tr -d '\n' >"$TEST_PIN_FILE"

# shellcheck disable=SC1091 # it is checked by itself
. "$support/tpm_key.sh"
make_tpm_key "$TEST_KEY_ALGORITHM" 0x81000001

escaped=$(printf %s "$TEST_DIR" | sed 's/ /%20/g')
query="tcti=swtpm:path=$escaped/tpm&pin-source=file:$escaped/auth"
export TEST_KEY_URI="tpm:handle=0x81000001?$query"
export TEST_TPM_KEY_URI="$TEST_KEY_URI"
export TEST_MISSING_KEY_URI="tpm:handle=0x81000099?$query"

"$@"

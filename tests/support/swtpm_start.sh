#!/bin/sh
# swtpm_start.sh: starts the swtpm that tests/support/with_swtpm.sh describes, and waits until it
# answers. As a device without a resource manager is after power-on: TPM2_Startup was not sent.
set -eu
rm -f "$TEST_TPM_SOCKET" "$TEST_TPM_SOCKET.ctrl"
swtpm socket --tpm2 --daemon --tpmstate "dir=$TEST_TPM_STATE" --flags not-need-init \
    --server "type=unixio,path=$TEST_TPM_SOCKET" --ctrl "type=unixio,path=$TEST_TPM_SOCKET.ctrl" \
    --pid "file=$TEST_TPM_PID_FILE"

#!/bin/sh
# tpm_keys.sh COMMAND...: under with_swtpm.sh, puts the keys that tpm_provider.c wants to see refused
# into the TPM, then runs it.
set -eu
# shellcheck disable=SC1091 # it is checked by itself
. "$(dirname "$0")/../support/tpm_key.sh"

made='fixedtpm|fixedparent|sensitivedataorigin'
make_tpm_key ES256 0x81000010 "$made|userwithauth|noda|sign|decrypt"
make_tpm_key ES256 0x81000011 'sensitivedataorigin|userwithauth|noda|sign'
make_tpm_key 'ecc256:ecdsa-sha256:null' 0x81000012 "$made|userwithauth|noda|sign|restricted"
make_tpm_key 'ecc521:null' 0x81000013
make_tpm_key 'ecc256:ecdsa-sha384' 0x81000014
make_tpm_key 'rsa2048:rsassa-sha256:null' 0x81000015
make_tpm_key ES256 0x81000016 "$made|userwithauth|sign" # without noDA: wrong tries lock the TPM
"$@"

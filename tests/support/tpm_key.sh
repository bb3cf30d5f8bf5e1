# For scripts with the environment of with_swtpm.sh: keys in its TPM, by tpm2-tools.
# shellcheck shell=sh

# make_tpm_key ALGORITHM HANDLE [ATTRIBUTES]: a persistent key with the authorization value in
# TEST_PIN_FILE; ALGORITHM is JOSE's, or a type in tpm2-tools' words.
make_tpm_key() {
    case $1 in
    ES256) type=ecc256:null ;;
    ES384) type=ecc384:null ;;
    RS256 | PS256) type=rsa2048:null:null ;;
    *) type=$1 ;;
    esac
    attributes=${3:-'sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda'}
    (
        cd "$TEST_DIR" && export TPM2TOOLS_TCTI="$TEST_TCTI" && tpm2_startup -c &&
            tpm2_createprimary -Q -C o -G ecc256 -c primary.ctx &&
            tpm2_create -Q -C primary.ctx -G "$type" -a "$attributes" -p "file:$TEST_PIN_FILE" \
                -u key.pub -r key.priv && tpm2_flushcontext -t &&
            tpm2_load -Q -C primary.ctx -u key.pub -r key.priv -c key.ctx &&
            tpm2_evictcontrol -Q -C o -c key.ctx "$2" && tpm2_flushcontext -t &&
            rm primary.ctx key.pub key.priv key.ctx
    ) >"$TEST_DIR/tpm2.log" 2>&1 || {
        cat "$TEST_DIR/tpm2.log" >&2
        return 1
    }
}

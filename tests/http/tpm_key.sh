#!/usr/bin/env bash
# provisioning/tpm-key.sh on swtpm (under with_swtpm.sh), and how issuerctl keys evidence checks the
# TPM's attestation.
#
#   tpm_key.sh BUILD-DIR
# shellcheck disable=SC2016 # jq's variables
build=$(cd "$1" && pwd)
# shellcheck source=tests/support/key_script.sh
. "$(dirname "$0")/../support/key_script.sh"
# shellcheck source=tests/support/tpm_key.sh
. "$root/tests/support/tpm_key.sh"
# shellcheck disable=SC2031 # a subshell of tpm_key.sh has its own
export TPM2TOOLS_TCTI="$TEST_TCTI"

uri_of() { # uri_of HANDLE AUTH-FILE
    local uri=${TEST_KEY_URI/0x81000001/$1}
    printf '%s' "${uri%/auth}/$2"
}

# flip MEMBER INDEX MASK: the evidence with one byte of a TPM's field changed.
flip() {
    local changed
    changed=$(jq -r ".tpm.$1" "${2:?}" | python3 -c '
import base64, sys
octets = bytearray(base64.urlsafe_b64decode(sys.stdin.read().strip() + "=="))
octets[int(sys.argv[1])] ^= int(sys.argv[2], 0)
print(base64.urlsafe_b64encode(octets).decode().rstrip("="))' "$3" "$4")
    change "$kid" --arg changed "$changed" ".tpm.$1 = \$changed"
}
changed_byte() { # changed_byte MEMBER INDEX MASK WORDS: refused for this reason
    flip "$1" good.json "$2" "$3"
    refused "$4" check "$kid"
}

echo "a dry run names each command and changes nothing"
write_conf "$(uri_of 0x81000100 fresh)"
script tpm-key.sh --dry-run || fail "dry run"
for command in createprimary create load evictcontrol readpublic certify; do
    expect "^    tpm2_$command " out
done
expect 'sign.\|fixedtpm.\|fixedparent.\|sensitivedataorigin.\|userwithauth.\|noda' out
[ ! -e fresh ] || fail "a dry run wrote an authorization value"
[ ! -e "$evidence" ] || fail "a dry run wrote evidence"
! tpm2_getcap handles-persistent | grep -q 0x81000100 || fail "a dry run made a key"

echo "the first run makes the key, and has the TPM attest it"
script tpm-key.sh || fail "the first run"
kid=$(kid)
expect 'proven +by TPM2_Certify' out
expect 'device +manufacturer "IBM" vendor "SW *TPM" firmware ' out
jq -e '.version == 1 and .provider == "tpm" and .algorithm == "ES256"
    and .attributes == "fixedTPM fixedParent sensitiveDataOrigin userWithAuth noDA sign"
    and any(.commands[]; startswith("tpm2_create ")) and (.made_at | fromdate) > 0' \
    "$evidence/$kid.json" >/dev/null || fail "the evidence lacks something"
[ "$(stat -c %a fresh)" = 600 ] || fail "the authorization value is open to others"
[ "$(wc -c <fresh)" -eq 33 ] || fail "the authorization value is not of 32 characters"
holds_no fresh
[ -z "$(tpm2_getcap handles-transient)" ] || fail "something was left loaded"

echo "the second run finds the key, and keeps what the first one wrote"
cp "$evidence/$kid.json" first.json
cp fresh fresh.kept
script tpm-key.sh || fail "the second run"
[ "$(kid)" = "$kid" ] || fail "another key"
cmp -s fresh fresh.kept || fail "another authorization value"
! grep -q tpm2_create\  "$evidence/$kid.json" || fail "what was not run was written down"
cmp -s first.json "$evidence/$kid".2*.json || fail "the first evidence is gone"
holds_no fresh

echo "the attestation is checked without the TPM, and the attestation key is always the same"
check "${kid:0:6}" --json || fail "evidence that is good"
ak_name=$(jq -re 'select(.proof == "TPM2_Certify" and .ak_is_the_one_given == false) | .ak_name' out)
check "$kid" --ak-name "$ak_name" || fail "--ak-name"
expect 'which is the Name given' out
refused 'the attestation key is another one' check "$kid" --ak-name "000b$(printf '%064d' 0)"

echo "a changed byte is noticed, wherever it is"
change "$kid" .
changed_byte public -1 1 'certifies another key'
changed_byte public 9 0x02 'certifies another key' # an attribute
changed_byte ak_public -1 1 'signature cannot be checked: the attestation key'
changed_byte ak_public 9 0x02 'the attestation key proves nothing: fixedTPM is clear'
changed_byte ak_public 7 0x01 'the attestation key proves nothing: restricted is clear'
changed_byte attest 0 1 'its magic is 0xfe544347'
changed_byte attest -1 1 'signature is not by the attestation key'
changed_byte attest 44 1 'signature is not by the attestation key' # what the caller chose
changed_byte signature -1 1 'signature is not by the attestation key'
change "$kid" '.tpm.attest |= .[:-4]'
refused '"attest" is missing or malformed' check "$kid"
change "$kid" '.tpm.public += "AAAA"'
refused '"public" is missing or malformed' check "$kid"
change "$kid" 'del(.tpm)'
refused '"public" is missing or malformed' check "$kid"
change "$kid" '.jwk.x |= .[1:] + "A"'
refused "JWK is not the certified key's" check "$kid"

echo "evidence of another key is refused"
other=$(other_kid "$kid")
change "$kid" --arg kid "$other" '.kid = $kid'
mv "$evidence/$kid.json" "$evidence/$other.json"
refused "the certified key is another one: its kid is $kid" check "$other"
rm "$evidence/$other.json"

echo "an attestation by a key that is not restricted is refused"
tpm2_createprimary -Q -C e -G ecc256:ecdsa-sha256:null -c loose.ctx \
    -a 'sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda'
tpm2_flushcontext -t
tpm2_readpublic -Q -c loose.ctx -o loose.pub
tpm2_flushcontext -t
tpm2_certify -Q -c 0x81000100 -P "str:$(cat fresh)" -C loose.ctx -g sha256 -o loose.attest -s loose.sig
tpm2_flushcontext -t
base64url() { base64 -w 0 "$1" | tr '+/' '-_' | tr -d =; }
change "$kid" --arg ak "$(base64url loose.pub)" --arg attest "$(base64url loose.attest)" \
    --arg signature "$(base64url loose.sig)" \
    '.tpm += {ak_public: $ak, attest: $attest, signature: $signature}'
refused 'the attestation key proves nothing: restricted is clear' check "$kid"
restore "$kid"
check "$kid" || fail "the good evidence"

echo "a server signs with the key"
signs_tokens "$kid"

echo "a key that is there already is written down too"
rm -r "$evidence"
write_conf "$TEST_KEY_URI"
script tpm-key.sh || fail "a key that was there"
check "$(kid)" --ak-name "$ak_name" || fail "its evidence"

echo "what is at the handle and no such key is refused"
made='fixedtpm|fixedparent|sensitivedataorigin|userwithauth'
make_tpm_key ES256 0x81000101 "$made|noda|sign|decrypt"
write_conf "$(uri_of 0x81000101 auth)"
refused 'TPM handle 0x81000101: decrypt is set' script tpm-key.sh
make_tpm_key ES256 0x81000102 "$made|sign"
write_conf "$(uri_of 0x81000102 auth)"
refused 'TPM handle 0x81000102: not as wanted: noDA' script tpm-key.sh
write_conf "$TEST_KEY_URI"
refused 'its algorithm is ES256, not ES384' script tpm-key.sh --alg ES384
write_conf "$(uri_of 0x81000001 lost)"
refused 'handle 0x81000001 is taken, and .*lost' script tpm-key.sh
[ ! -e lost ] || fail "an authorization value was made for a key that has another"

echo "hierarchies with authorization values, and an RSA key"
printf 'owner secret\n' >owner
printf 'hex:not hex' >endorsement
tpm2_flushcontext -l # the server's, which was killed
tpm2_changeauth -c o 'str:owner secret'
tpm2_changeauth -c e 'str:hex:not hex'
rm -r "$evidence"
write_conf "$(uri_of 0x81000103 rsa)" PS256
refused 'making the storage primary.* failed' script tpm-key.sh --rsa-bits 2048
script tpm-key.sh --rsa-bits 2048 --owner-auth-file owner --endorsement-auth-file endorsement ||
    fail "with authorization values"
check "$(kid)" --ak-name "$ak_name" || fail "evidence of an RSA key"
jq -e '.jwk.alg == "PS256" and (.jwk.n | length) == 342' "$evidence/$(kid).json" >/dev/null ||
    fail "the RSA key"
for secret in owner endorsement rsa; do holds_no "$secret"; done
signs_tokens "$(kid)"
echo "tpm-key.sh: all well"

#!/usr/bin/env bash
# provisioning/pkcs11-key.sh on SoftHSM2 (under with_softhsm.sh), and what issuerctl keys evidence says
# of what it wrote.
#
#   pkcs11_key.sh BUILD-DIR
build=$(cd "$1" && pwd)
# shellcheck source=tests/support/key_script.sh
. "$(dirname "$0")/../support/key_script.sh"

uri_of() { printf '%s' "${TEST_KEY_URI/object=signer/object=$1}"; } # uri_of OBJECT

private_keys() {
    pkcs11-tool --module "$TEST_MODULE" --login --pin "$(cat "$TEST_PIN_FILE")" -O --type privkey \
        2>/dev/null | grep -c 'label: *made' || true
}

echo "a dry run names each command and changes nothing"
write_conf "$(uri_of made)"
script pkcs11-key.sh --dry-run || fail "dry run"
expect 'keys list --json' out
expect 'keys generate main --algorithm ES256' out
expect 'CKA_EXTRACTABLE=false' out
expect 'keys evidence .* KID$' out
[ ! -e "$evidence" ] || fail "a dry run wrote evidence"
[ "$(private_keys)" = 0 ] || fail "a dry run made a key"

echo "the first run makes the key, and writes down what it is"
script pkcs11-key.sh || fail "the first run"
expect 'self-asserted|SELF-ASSERTED' out
expect 'device +manufacturer "SoftHSM project" model "SoftHSM v2" serial ' out
kid=$(kid)
[ "$(stat -c %a "$evidence")" = 700 ] || fail "the evidence is open to others"
jq -e '.version == 1 and .provider == "pkcs11" and .signer == "main" and .algorithm == "ES256"
    and (.attributes | contains("CKA_EXTRACTABLE=false")) and (.made_at | fromdate) > 0
    and any(.commands[]; contains("keys generate main"))' "$evidence/$kid.json" >/dev/null ||
    fail "the evidence lacks something"
holds_no "$TEST_PIN_FILE"

echo "the second run finds the key, and keeps what the first one wrote"
cp "$evidence/$kid.json" first.json
script pkcs11-key.sh || fail "the second run"
[ "$(kid)" = "$kid" ] || fail "another key"
[ "$(private_keys)" = 1 ] || fail "a second key was made"
! grep -q 'keys generate' "$evidence/$kid.json" || fail "what was not run was written down"
cmp -s first.json "$evidence/$kid".2*.json || fail "the first evidence is gone"

echo "evidence is checked without the device, and a kid that is not the JWK's is refused"
check "${kid:0:6}" || fail "evidence that is good"
expect 'SELF-ASSERTED' out
check "$kid" --json || fail "--json"
jq -e --arg kid "$kid" '.kid == $kid and .proof == "self-asserted"' out >/dev/null || fail "--json"
change "$kid" '.jwk.x |= .[1:] + "A"'
refused 'the JWK is of another key' check "$kid"
change "$kid" '.version = 2'
refused '"version" is missing or malformed' check "$kid"
change "$kid" '.device += "\nproven      all of it"'
refused '"device" is missing or malformed' check "$kid"
change "$kid" 'del(.device)'
refused '"device" is missing or malformed' check "$kid"
restore "$kid"
other=$(other_kid "$kid")
echo '{' >"$evidence/$other.json"
refused 'no evidence \(it is no JSON' check "$other"
cp "$evidence/$kid.json" "$evidence/$other.json"
refused "the kid inside is $kid" check "$other"
refused 'begins the names of 2 keys' check ""
rm "$evidence/$other.json"
refused 'no evidence of a key "nothing"' check nothing
refused 'a PKCS#11 key has no attestation' check "$kid" --ak-name "000b$(printf '%064d' 0)"

echo "a server signs with the key"
signs_tokens "$kid"

echo "an RSA key of the size that was asked for"
rm -r "$evidence"
write_conf "$(uri_of rsa)" PS256
script pkcs11-key.sh --rsa-bits 2048 || fail "RSA"
jq -e '.jwk.alg == "PS256" and (.jwk.n | length) == 342' "$evidence/$(kid).json" >/dev/null ||
    fail "the RSA key"
check "$(kid)" || fail "evidence of an RSA key"
refused 'not of 3072 bits' script pkcs11-key.sh --rsa-bits 3072
refused 'algorithm = PS256' script pkcs11-key.sh --alg ES256

echo "the ledger's key is made, written down, and on no keyring"
write_conf "$(uri_of made)"
printf '[ledger]\nnode = node-1\nsigner = audit\n[signer audit]\nuri = %s\n' "$(uri_of audit)" \
    >>"$conf"
audit_script() { # audit_script ALG
    "$root/provisioning/pkcs11-key.sh" --config "$conf" --build-dir "$build" --alg "$1" audit \
        >out 2>err
}
rm -r "$evidence"
refused 'whose key is ES256 or Ed25519' audit_script PS256
audit_script ES256 || fail "the audit key"
audit=$(kid)
check "$audit" || fail "evidence of the audit key"
jq -e '.signer == "audit" and .algorithm == "ES256"' "$evidence/$audit.json" >/dev/null ||
    fail "the audit key's evidence"
"$build/issuerctl" --config "$conf" keys list >out 2>err || fail "keys list"
expect "^audit +audit +ES256 +$audit" out
script pkcs11-key.sh || fail "the token key's evidence"
for made in "$evidence"/*.json; do
    [ "$made" = "$evidence/$audit.json" ] || main=$(basename "$made" .json)
done
signs_tokens "$main"
python3 -c 'import sqlite3, sys
sizes = sqlite3.connect(sys.argv[1]).execute(
    "SELECT (SELECT max(size) FROM checkpoints), (SELECT count(*) FROM ledger),"
    " (SELECT count(*) FROM keys)").fetchone()
sys.exit(sizes[0] != sizes[1] or sizes[2] != 1)' "$TEST_DIR/issuerd.db" ||
    fail "the ledger is not signed to its end, or the audit key is on the keyring"

echo "a key with another attribute is refused by its name"
pkcs11-tool --module "$TEST_MODULE" --login --pin "$(cat "$TEST_PIN_FILE")" --keypairgen \
    --key-type EC:prime256v1 --label loose --id 77 --usage-sign --extractable >out 2>err ||
    fail "pkcs11-tool"
write_conf "$(uri_of loose)"
refused 'object "loose": CKA_EXTRACTABLE is true' script pkcs11-key.sh

echo "without a PIN file the PIN is asked for on a terminal alone, twice, and not shown"
write_conf "$(uri_of made)"
mv "$TEST_PIN_FILE" pin.kept
refused 'pin is not there: write the user PIN into it' script pkcs11-key.sh </dev/null
on_terminal() { # on_terminal FIRST SECOND: the script on a terminal, its screen in out
    python3 - "$root/provisioning/pkcs11-key.sh" --config "$conf" --build-dir "$build" main \
        >out 2>err 3< <(cat "$@") <<'END'
import os, pty, sys
answers = os.fdopen(3).read().splitlines()
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
screen = b''
try:
    while True:
        got = os.read(terminal, 4096)
        if not got:
            break
        screen += got
        if answers and screen.endswith(b': '):
            os.write(terminal, answers.pop(0).encode() + b'\n')
            screen += b'\n'
except OSError:
    pass
sys.stdout.buffer.write(screen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
}
echo another >wrong
! on_terminal pin.kept wrong || fail "two PINs were taken"
expect 'these are two PINs' out
[ ! -e "$TEST_PIN_FILE" ] || fail "a PIN that was not confirmed was written"
on_terminal pin.kept pin.kept || fail "the PIN on a terminal"
cmp -s pin.kept "$TEST_PIN_FILE" || fail "the PIN that was written is another"
[ "$(stat -c %a "$TEST_PIN_FILE")" = 600 ] || fail "the PIN file is open to others"
holds_no pin.kept
echo "pkcs11-key.sh: all well"

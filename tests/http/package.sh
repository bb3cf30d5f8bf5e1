#!/usr/bin/env bash
# The package, installed as an operator would, in a copy of this system that is thrown away: it makes the
# user, starts nothing, serves an exchange over TLS on sockets that systemd's own tool passes, shows it to
# an admin with a client certificate, and goes again but for the ledger. Needs root, for the copy.
#
#   package.sh BUILD-DIR
set -euo pipefail
export LC_ALL=C

fail() {
    echo "FAILED: $*"
    for log in "${log:-}" "${place:-}/out"; do
        [ ! -f "$log" ] || tail -n 40 "$log"
    done
    exit 1
}

# ---- inside the copy ----

is() { # is PATH MODE-AND-OWNERS
    [ "$(stat -c '%a %U %G' "$1")" = "$2" ] || fail "$1: $(stat -c '%a %U %G' "$1")"
}

as_issuerd() {
    runuser -u issuerd -- env SOFTHSM2_CONF=$state/softhsm2.conf "$@"
}

check_installed() {
    getent passwd issuerd | grep -q ':/usr/sbin/nologin$' || fail "no user without a shell"
    ! ps -C issuerd -o pid= || fail "it was started"
    is /etc/issuerd "750 root issuerd"
    is /etc/issuerd/issuerd.conf "640 root issuerd"
    is /etc/issuerd/credentials "700 root root"
    is /var/lib/issuerd "700 issuerd issuerd"
    is /usr/bin/issuerd "755 root root"
    is /usr/libexec/issuerd/issuerd-signer "755 root root"
    for page in man8/issuerd.8 man8/issuerd-signer.8 man8/issuerctl.8 man5/issuerd.conf.5; do
        man --warnings -E UTF-8 -l -Tutf8 -Z /usr/share/man/$page.gz 2>&1 >/dev/null |
            grep . && fail "$page: warnings"
    done
    for document in README.md provisioning/README.md drop-ins/network.conf systemd/README.md systemd/MONITORING.md \
        systemd/haproxy.cfg systemd/issuerd.rules.yml systemd/grafana-dashboard.json; do
        is /usr/share/doc/issuerd/$document "644 root root"
    done
    cmp -s /etc/issuerd/issuerd.conf <(issuerd --settings) || fail "issuerd.conf is not the settings"
}

configure() { # the sample, with what is required, and TLS
    mkdir $certificates $state/tls
    sh /make_certificates.sh $certificates
    install -m 600 $certificates/{ecdsa,rsa}.{pem,key} $certificates/ca.pem $state/tls
    printf 'directories.tokendir = %s/tokens\nobjectstore.backend = file\n' $state \
        >$state/softhsm2.conf
    mkdir $state/tokens
    echo 71942-user >$state/pin
    echo 53817-officer >$state/so-pin
    echo a-client-secret >$state/client-secret
    chmod 600 $state/*pin $state/client-secret
    chown -R issuerd:issuerd $state
    sed -i -E "s|^url = https:.*|url = https://127.0.0.1:8080|
        s|^#tls_certificate_file = *$|tls_certificate_file = $state/tls/ecdsa.pem|
        s|^#tls_key_file = *$|tls_key_file = $state/tls/ecdsa.key|
        s|^#tls_client_ca_file = *$|tls_client_ca_file = $state/tls/ca.pem|
        s|^client_secret_file =.*|client_secret_file = $state/client-secret|
        s|^uri = .*|uri = pkcs11:token=package;object=key?module-path=/usr/lib/softhsm/libsofthsm2.so\&pin-source=file:$state/pin|
        s|^#?setenv =.*|setenv = SOFTHSM2_CONF=$state/softhsm2.conf|" $conf
    as_issuerd issuerd --check-config $conf || fail "the configuration"
    as_issuerd issuerctl --config $conf token init main --so-pin-file $state/so-pin
    as_issuerd issuerctl --config $conf keys generate main
}

serve_an_exchange() {
    runuser -u issuerd -- systemd-socket-activate --fdname=public:admin -l 127.0.0.1:8080 \
        -l 127.0.0.1:8081 /usr/bin/issuerd --config $conf >$log 2>&1 &
    local server=$!
    for _ in $(seq 100); do
        ! grep -q 'Listening on 127.0.0.1:8081' $log || break
        sleep 0.1
    done
    issuerctl wallet --url https://127.0.0.1:8080 --ca-file $certificates/ca.pem --token-file /tmp/token >/tmp/wallet 2>&1 ||
        { cat /tmp/wallet && fail "the exchange"; }
    [ "$(tr -dc . </tmp/token)" = .. ] || fail "no token"
    check_what_an_admin_sees
    kill -TERM "$(pgrep -x issuerd)"
    wait $server || fail "issuerd ended with status $?"
    as_issuerd issuerctl --config $conf ledger verify || fail "the ledger"
}

ask_as_admin() { # PATH
    curl --silent --fail --cacert $certificates/ca.pem --cert $certificates/admin.pem \
        --key $certificates/admin.key "https://127.0.0.1:8081$1"
}

check_what_an_admin_sees() {
    ! curl --silent --fail --cacert $certificates/ca.pem https://127.0.0.1:8081/livez ||
        fail "the admin listener lets in who shows no certificate"
    ask_as_admin / >/tmp/page
    grep -q '<title>issuerd' /tmp/page || fail "no page"
    ask_as_admin /api/v1/status >/tmp/status.json
    jq -e '.ready and .exchanges.total.issued == 1' /tmp/status.json >/dev/null ||
        fail "no exchange in the status"
    issuerctl status --url https://127.0.0.1:8081 --ca-file $certificates/ca.pem \
        --client-certificate $certificates/admin.pem --client-key $certificates/admin.key >/tmp/status ||
        fail "issuerctl status"
    cat /tmp/status
    grep -q '^ISSUING' /tmp/status || fail "it says that it does not issue"
    grep -q ' TLS .* of public expires ' /tmp/status || fail "no certificate on the screen"
}

check_an_upgrade() {
    local before
    before=$(sha256sum <$conf)
    dpkg -i /issuerd.deb </dev/null
    [ "$(sha256sum <$conf)" = "$before" ] || fail "an upgrade changed the configuration"
    is $conf "640 root issuerd"
}

check_removal() {
    dpkg -r issuerd
    [ -e $conf ] || fail "a removal took the configuration"
    [ ! -e /usr/bin/issuerd ] || fail "a removal left the program"
    touch /etc/issuerd/credentials/hsm-pin
    dpkg -P issuerd 2>&1 | grep -q '/var/lib/issuerd, .* is kept' || fail "nothing was said"
    [ ! -e /etc/issuerd ] || fail "a purge left the PIN"
    [ -e $state/issuerd.db ] || fail "a purge took the ledger"
}

if [ "$1" = --inside ]; then
    state=/var/lib/issuerd conf=/etc/issuerd/issuerd.conf log=/tmp/issuerd.log
    certificates=/tmp/certificates
    ip link set lo up
    dpkg -i /issuerd.deb
    check_installed
    configure
    serve_an_exchange
    check_an_upgrade
    check_removal
    echo "package: all well"
    exit 0
fi

# ---- the copy: this system below, memory above ----

if [ "$1" = --copy ]; then
    mount -t tmpfs tmpfs "$3"
    mkdir "$3/upper" "$3/work" "$3/root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$3/upper,workdir=$3/work" "$3/root"
    mount -t proc proc "$3/root/proc"
    mount --rbind /dev "$3/root/dev"
    mount -t tmpfs tmpfs "$3/root/tmp"
    mount -t tmpfs tmpfs "$3/root/run"
    cp "$2" "$3/root/issuerd.deb"
    cp "$0" "$3/root/package.sh"
    cp "$(dirname "$0")/../support/make_certificates.sh" "$3/root"
    exec chroot "$3/root" /package.sh --inside
fi

[ "$(id -u)" -eq 0 ] || exit 77
build=$(cd "$1" && pwd)
place=$(mktemp -d "${TMPDIR:-/tmp}/issuerd-package.XXXXXX")
trap 'rm -rf "$place"' EXIT

(cd "$place" && cpack -G DEB --config "$build/CPackConfig.cmake" -B "$place/cpack") >"$place/out" 2>&1 ||
    fail "cpack"
deb=$(find "$place/cpack" -maxdepth 1 -name 'issuerd_*.deb')
[ -e "$deb" ] || fail "no package"
dpkg-deb --info "$deb"
dpkg-deb --info "$deb" | grep -E '^ Depends: .*libmicrohttpd12 .*libssl3' >/dev/null || fail "Depends"
mkdir "$place/copy"
unshare --mount --pid --net --fork --kill-child "$0" --copy "$deb" "$place/copy"

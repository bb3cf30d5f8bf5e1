#!/bin/sh
# The units are sound to systemd, and the service's exposure (systemd-analyze security) is at most 1.0;
# so is each drop-in with it, whose exposure is shown. The files of sysusers.d and tmpfiles.d do what
# they say in a root of their own.
set -eu
cd "$(dirname "$0")/../.."
command -v systemd-analyze >/dev/null || exit 77
limit=10 # tenths

root=$(mktemp -d "${TMPDIR:-/tmp}/issuerd systemd.XXXXXX")
trap 'rm -rf "$root"' EXIT
trap 'exit 1' HUP INT TERM

fail() {
    echo "FAILED: $*"
    exit 1
}

# What the units name has to be there.
units=$root/etc/systemd/system
mkdir -p "$units" "$root/usr/bin" "$root/usr/lib/systemd" "$root/bin"
cp -r /usr/lib/systemd/system "$root/usr/lib/systemd/"
for program in usr/bin/issuerd bin/kill; do
    echo '#!/bin/sh' >"$root/$program"
    chmod 755 "$root/$program"
done
cp systemd/issuerd.service systemd/issuerd.socket systemd/issuerd-admin.socket "$units"

verify() {
    systemd-analyze --root="$root" --man=no verify issuerd.service issuerd.socket \
        issuerd-admin.socket >"$root/verify" 2>&1 || { cat "$root/verify" && fail "$1: verify"; }
    # What it only warns of does not show in its status.
    ! grep -F issuerd "$root/verify" || fail "$1: verify"
}

exposure() { # exposure LIMIT
    systemd-analyze --root="$root" --no-pager --offline=yes --threshold="$1" security \
        issuerd.service >"$root/security" 2>&1
}

figure() {
    grep 'Overall exposure level' "$root/security" | grep -oE '[0-9]+\.[0-9]+'
}

verify issuerd
exposure "$limit" || { grep -E '✗|Overall' "$root/security" && fail "exposure above $limit / 10"; }
echo "issuerd.service: exposure $(figure)"

for drop_in in systemd/drop-ins/*.conf; do
    mkdir "$units/issuerd.service.d"
    cp "$drop_in" "$units/issuerd.service.d/"
    verify "$drop_in"
    exposure 100 || fail "$drop_in: security"
    echo "  with $(basename "$drop_in"): $(figure)"
    rm -r "$units/issuerd.service.d"
done

# A directive that this systemd does not know, or a number above the limit, must be noticed.
echo 'NoSuchThing=yes' >>"$units/issuerd.service"
! (verify broken) >/dev/null || fail "an unknown directive was not noticed"
sed -i 's/^NoSuchThing.*//; s/^PrivateNetwork=.*//; s/^CapabilityBoundingSet=.*//' \
    "$units/issuerd.service"
! exposure "$limit" || fail "an exposure of $(figure) was not noticed"

[ "$(id -u)" -eq 0 ] || exit 0 # owners are root's to give
mkdir -p "$root/usr/lib/sysusers.d" "$root/usr/lib/tmpfiles.d" "$root/etc/issuerd"
cp systemd/sysusers.conf "$root/usr/lib/sysusers.d/issuerd.conf"
cp systemd/tmpfiles.conf "$root/usr/lib/tmpfiles.d/issuerd.conf"
cp systemd/issuerd.conf "$root/etc/issuerd/"
systemd-sysusers --root="$root" issuerd.conf
systemd-tmpfiles --root="$root" --create issuerd.conf
grep -qE '^issuerd:.*:/usr/sbin/nologin$' "$root/etc/passwd" || fail "no user without a shell"
uid=$(awk -F: '$1 == "issuerd" { print $3 }' "$root/etc/passwd")
is() { # is PATH MODE-AND-OWNERS
    [ "$(stat -c '%a %u %g' "$root/$1")" = "$2" ] || fail "$1: $(stat -c '%a %u %g' "$root/$1")"
}
gid=$(awk -F: '$1 == "issuerd" { print $3 }' "$root/etc/group")
is etc/issuerd "750 0 $gid"
is etc/issuerd/issuerd.conf "640 0 $gid"
is etc/issuerd/credentials "700 0 0"
is var/lib/issuerd "700 $uid $gid"

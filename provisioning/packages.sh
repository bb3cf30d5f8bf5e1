#!/usr/bin/env bash
# The one list of Debian 12 packages, and how they are installed. quickstart.sh takes build and
# run, tests/run.sh all of it.
#
#   packages.sh list|missing|install GROUP...     GROUP: build, run, postgresql, test
#
# "missing" prints the packages that are not installed, one a line. "install" installs those with
# apt-get, through sudo when it is not run by root; when there are none it does nothing.
set -euo pipefail

packages_of() {
    case $1 in
    build) echo gcc libc6-dev cmake make pkg-config libmicrohttpd-dev libgnutls28-dev libcjson-dev libssl-dev \
        libp11-dev libp11-kit-dev libinih-dev libsqlite3-dev libpq-dev \
        liburiparser-dev libtss2-dev libcurl4-openssl-dev libpcre2-dev libseccomp-dev ;;
    run) echo softhsm2 curl jq jose ;;
    postgresql) echo postgresql ;;
    test) echo libcunit1-dev clang libclang-rt-14-dev clang-format clang-tidy cppcheck shellcheck binutils \
        opensc openssl procps python3 python3-jsonschema sqlite3 swtpm swtpm-tools tpm2-tools postgresql \
        faketime sslscan systemd help2man man-db iproute2 chromium fonts-dejavu-core prometheus \
        haproxy ;;
    *)
        echo "packages.sh: no group \"$1\": build, run, postgresql and test are" >&2
        return 2
        ;;
    esac
}

list() {
    local group packages
    for group; do
        packages=$(packages_of "$group")
        # shellcheck disable=SC2086 # a list of words
        printf '%s\n' $packages
    done
}

missing() {
    local wanted installed
    wanted=$(list "$@" | sort -u)
    # dpkg-query fails when it does not know a name; what it does print is still right.
    # shellcheck disable=SC2086
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2>/dev/null |
        sed -n 's/^installed //p' | sort -u || true)
    comm -23 <(echo "$wanted") <(echo "$installed")
}

install() {
    local needed
    as_root=()
    if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
        echo "packages.sh: no apt-get here. Install what Debian calls: $(list "$@" | xargs)" \
            "and use --no-install" >&2
        return 1
    fi
    needed=$(missing "$@" | xargs)
    [ -n "$needed" ] || return 0

    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "packages.sh: run this as root first: apt-get install --no-install-recommends" \
                "$needed" >&2
            return 1
        fi
        as_root=(sudo)
    fi
    apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)

    # Old lists give 404s, so they are always fetched; without a network the cache may still do.
    "${apt[@]}" update || echo "packages.sh: apt-get update failed; trying without" >&2
    case " $needed " in *" postgresql "*) no_cluster ;; esac
    case " $needed " in *" prometheus "* | *" haproxy "*) no_service ;; esac
    # shellcheck disable=SC2086
    if ! "${apt[@]}" install --no-install-recommends $needed; then
        echo "packages.sh: apt-get could not install: $needed" >&2
        return 1
    fi
}

# Debian's package makes a cluster and starts it at boot, but for this; what uses PostgreSQL here
# makes clusters of its own. The setting goes when the package is there.
no_cluster() {
    local place=/etc/postgresql-common/createcluster.d
    [ ! -e "$place/issuerd.conf" ] || return 0
    "${as_root[@]}" mkdir -p "$place"
    echo 'create_main_cluster = false' | "${as_root[@]}" tee "$place/issuerd.conf" >/dev/null
    only_meanwhile "$place/issuerd.conf"
}

# What is wanted of prometheus is promtool, and the tests start an haproxy of their own; what the packages
# bring is not started.
no_service() {
    local place=/usr/sbin/policy-rc.d
    [ ! -e "$place" ] || return 0
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$place" >/dev/null
    "${as_root[@]}" chmod 755 "$place"
    only_meanwhile "$place"
}

# Removes the file at the end.
meanwhile=()
only_meanwhile() {
    meanwhile+=("$1")
    trap '"${as_root[@]}" rm -f "${meanwhile[@]}"' EXIT
}

if [ $# -lt 2 ]; then
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
case $1 in
list | missing | install) "$@" ;;
*)
    echo "packages.sh: \"$1\" is none of list, missing, install" >&2
    exit 2
    ;;
esac

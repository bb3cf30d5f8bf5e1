#!/usr/bin/env bash
# The one list of Debian 12 packages, and how they are installed. quickstart.sh takes build and
# run, tests/run.sh all of it.
#
#   packages.sh list|missing|install GROUP...     GROUP: build, run, test
#
# "missing" prints the packages that are not installed, one a line. "install" installs those with
# apt-get, through sudo when it is not run by root; when there are none it does nothing.
set -euo pipefail

packages_of() {
    case $1 in
    build) echo gcc libc6-dev cmake make pkg-config libmicrohttpd-dev libcjson-dev libssl-dev \
        libp11-dev libp11-kit-dev libinih-dev libsqlite3-dev liburiparser-dev \
        libtss2-dev libcurl4-openssl-dev libpcre2-dev ;;
    run) echo softhsm2 curl jq jose ;;
    test) echo libcunit1-dev clang libclang-rt-14-dev clang-format clang-tidy cppcheck shellcheck binutils \
        opensc openssl procps python3 python3-jsonschema swtpm swtpm-tools tpm2-tools ;;
    *)
        echo "packages.sh: no group \"$1\": build, run and test are" >&2
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
    local as_root=() needed
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
    as_root+=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)

    # Old lists give 404s, so they are always fetched; without a network the cache may still do.
    "${as_root[@]}" update || echo "packages.sh: apt-get update failed; trying without" >&2
    # shellcheck disable=SC2086
    if ! "${as_root[@]}" install --no-install-recommends $needed; then
        echo "packages.sh: apt-get could not install: $needed" >&2
        return 1
    fi
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

#!/bin/sh
# Every script of the tree passes shellcheck.
set -eu
cd "$(dirname "$0")/../.."
command -v shellcheck >/dev/null || exit 77
# shellcheck disable=SC2016 # the inner shell's argument
find .ci provisioning tests systemd -type f \
    -exec sh -c 'head -n 1 "$1" | grep -aE "^#! *(/usr)?/bin/(env )?(ba|da)?sh" >/dev/null' _ {} \; \
    -print0 | xargs -0 shellcheck -x

#!/bin/sh
# cppcheck finds no error, doubtful construct or portability fault in the product's sources. It does
# not know that scoped() releases, so leaks are left to LeakSanitizer, in the asan run.
set -eu
cd "$(dirname "$0")/../.."
cppcheck --quiet --error-exitcode=1 --inline-suppr -j "$(nproc)" --std=c11 --platform=unix64 \
    --enable=warning,performance,portability --suppress=missingIncludeSystem \
    --suppress=memleak --suppress=resourceLeak --library=posix,gnu -D_GNU_SOURCE -I include -I src -I . src hsm

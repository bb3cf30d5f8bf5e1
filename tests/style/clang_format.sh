#!/bin/sh
# Every C file is as clang-format 14 and .clang-format would write it.
set -eu
cd "$(dirname "$0")/../.."
find src include hsm tests -name '*.[ch]' -print0 | xargs -0 clang-format --dry-run -Werror

# Reads issuerd.conf, for the scripts beside it, which source this.
# shellcheck shell=bash

ini_get() { # ini_get FILE SECTION NAME
    section=$2 name=$3 awk '
        /^[ \t]*\[/ { here = $0; sub(/^[ \t]*\[/, "", here); sub(/\].*/, "", here); next }
        here != ENVIRON["section"] || !match($0, /^[ \t]*[^ \t=;#][^=]*=/) { next }
        {
            key = substr($0, 1, RLENGTH - 1); value = substr($0, RLENGTH + 1)
            gsub(/^[ \t]+|[ \t]+$/, "", key)
            sub(/[ \t];.*/, "", value); gsub(/^[ \t]+|[ \t]+$/, "", value)
            if (key == ENVIRON["name"]) { print value; exit }
        }' "$1"
}

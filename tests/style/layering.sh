#!/bin/sh
# Includes point one way: top > http > core > {vc > jose, hsm client, store} > base, and a foreign
# library is a guest in the files named here. The device side of hsm/ (what only issuerd-signer
# links) is a layer of its own that nobody includes.
#
#   layering.sh [TREE]     prints each include that points the wrong way, as FILE:LINE: REASON
set -eu
cd "${1:-$(dirname "$0")/../..}"

set --
for place in src include hsm; do
    [ ! -d "$place" ] || set -- "$@" "$place"
done
[ $# -gt 0 ] || { echo "layering.sh: no src, include or hsm in $PWD" >&2; exit 2; }

# shellcheck disable=SC2016 # awk's variables, not the shell's
find "$@" -name '*.[ch]' -print | sort | xargs awk '
    # The layer of a file. Relative to the tree: src/base/log.c, include/base/log.h, hsm/wire.h.
    function layer_of(path) {
        if (path ~ /^src\/[^\/]*$|^src\/ctl\//) return "top"
        sub(/^(src|include)\//, "", path)
        if (path ~ /^hsm\/(child|launcher|signer|supervisor|wire|pin_latch|tpm_uri)[._]/ && path !~ /^hsm\/signer_main\./)
            return "client"
        if (path ~ /^hsm\//) return "device"
        if (path ~ /^(base|jose|vc|store|core|http)\//) { sub(/\/.*/, "", path); return path }
        return ""
    }
    function wrong(reason) { print FILENAME ":" FNR ": " reason; bad = 1 }

    BEGIN {
        # Which headers of ours each layer may include.
        client = "hsm/(child|launcher|signer|supervisor|wire|pin_latch|tpm_uri)[.]h"
        may["base"]   = "^base/"
        may["jose"]   = "^(base|jose)/"
        may["vc"]     = "^(base|jose|vc)/"
        may["client"] = "^base/|^" client "$"
        may["device"] = "^(base|jose|hsm)/"
        may["store"]  = "^(base|store)/"
        may["core"]   = "^(base|jose|vc|core)/|^hsm/signer[.]h$|^store/store[.]h$"
        may["http"]   = "^(base|core|http)/"
        # issuerctl reads what a TPM said, without one.
        may["top"]    = "^(base|jose|vc|store|core|http|ctl)/|^[a-z_]+[.]h$|^" client "$|" \
            "^hsm/tpm_(public|signature)[.]h$"

        # Which files may include a foreign library: its headers, then its hosts.
        evidence = "^src/ctl/evidence[.]c$"
        wallet = "^src/ctl/wallet[.]c$"
        auditor = "^src/ctl/audit_key[.]c$"
        guest["^openssl/"]          = "^src/base/(digest|error|secret)[.]c$|/(jose|vc)/|^hsm/|" \
            evidence "|" wallet "|" auditor "|^src/ctl/wallet_key[.][ch]$"
        guest["^cjson/|^cJSON[.]h"] = "/(jose|vc|http)/|^hsm/lint[.]c$|" evidence "|" wallet
        guest["^microhttpd"]        = "^src/http/"
        guest["^gnutls/"]           = "^src/http/(server|tls)"
        guest["^sqlite3"]           = "^src/store/sqlite"
        guest["^libpq|^postgresql/"] = "^src/store/postgresql"
        guest["^libp11|^p11-kit|^pkcs11"] = "^hsm/pkcs11"
        guest["^tss2/"]             = "^hsm/tpm|" evidence
        guest["^ini[.]h|^systemd/"] = "^src/[^/]*$|^src/ctl/"
        guest["^uriparser/"]        = "^src/base/uri[.]c$"
        guest["^seccomp[.]h"]       = "^src/base/sandbox_calls[.]c$"
        guest["^curl/"]             = "^src/vc/did_resolver[.]c$|^src/ctl/http_client[.]c$"
        guest["^pcre2"]             = "^src/vc/filter[.]c$"
        guest["^CUnit/"]            = "^$"
    }
    FNR == 1 && layer_of(FILENAME) == "" { wrong("belongs to no layer") }
    !/^[ \t]*#[ \t]*include/ { next }
    {
        layer = layer_of(FILENAME)
        quoted = $0 ~ /include[ \t]*"/
        name = $0
        sub(/^[^"<]*["<]/, "", name)
        sub(/[">].*/, "", name)

        for (headers in guest) {
            if (name !~ headers) continue
            if (FILENAME !~ guest[headers]) wrong("includes " name ", a guest elsewhere")
            if (layer == "client") wrong("includes " name ": the signer client has no guests")
            next
        }
        if (name ~ /(^|\/)[.][.]?\//) { wrong("includes " name ": name it from the layer on"); next }
        ours = quoted || name ~ /^(base|jose|vc|hsm|store|core|http)\//
        if (!ours || layer == "") next
        if (name !~ may[layer]) wrong("includes " name ", which " layer " may not")
        if (layer == "device" && name ~ /^hsm\/(child|launcher|signer|supervisor)[.]h$/)
            wrong("includes " name ": the device side knows the client by wire.h alone")
    }
    END { exit bad }
' || exit 1

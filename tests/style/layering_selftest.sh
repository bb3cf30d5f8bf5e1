#!/bin/sh
# Shows that every rule of layering.sh can fail, and that what the layers need passes.
set -eu
check=$(cd "$(dirname "$0")" && pwd)/layering.sh
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failures=0
count=0

verdict() { # verdict FILE INCLUDE: what layering.sh says of a tree with this one file
    rm -rf "$tree/src" "$tree/include" "$tree/hsm"
    mkdir -p "$tree/src" "$tree/$(dirname "$1")"
    printf '#include %s\n' "$2" >"$tree/$1"
    count=$((count + 1))
    if "$check" "$tree" >/dev/null; then echo allowed; else echo refused; fi
}

expect() { # reads lines of "allowed|refused FILE INCLUDE"
    while read -r wanted file include; do
        [ "$(verdict "$file" "$include")" = "$wanted" ] && continue
        echo "layering.sh should have $wanted $include in $file"
        failures=$((failures + 1))
    done
    [ "$failures" -eq 0 ]
}

expect <<'END'
allowed src/base/error.c <openssl/err.h>
allowed src/base/log.c <stdio.h>
refused src/base/log.c <openssl/err.h>
refused src/base/log.c "jose/jws.h"
refused include/base/log.h "hsm/signer.h"
allowed src/jose/jwk.c <cjson/cJSON.h>
allowed include/jose/jwk.h <openssl/types.h>
refused src/jose/jwk.c "store/store.h"
refused src/jose/jwk.c <microhttpd.h>
allowed hsm/signer.c "hsm/supervisor.h"
allowed include/hsm/signer.h "base/error.h"
refused hsm/signer.c "hsm/key_provider.h"
refused hsm/supervisor.c "jose/jws.h"
refused hsm/wire.h <openssl/evp.h>
refused hsm/signer_wait.c <openssl/evp.h>
allowed hsm/signer_main.c <openssl/evp.h>
allowed hsm/signer_main.c "hsm/wire.h"
refused hsm/signer_main.c "hsm/signer.h"
refused hsm/software.c "hsm/supervisor.h"
refused hsm/lint.c "core/service.h"
allowed hsm/lint.c <cjson/cJSON.h>
refused hsm/software.c <cjson/cJSON.h>
allowed hsm/pkcs11_session.c <p11-kit/pkcs11.h>
refused hsm/software.c <libp11.h>
refused hsm/key_provider.c <tss2/tss2_esys.h>
allowed src/store/sqlite.c <sqlite3.h>
refused src/store/store.c <sqlite3.h>
refused src/store/sqlite.c "core/service.h"
refused src/store/sqlite.c "hsm/signer.h"
refused src/store/store.c <libpq-fe.h>
allowed src/core/service.c "hsm/signer.h"
allowed src/core/service.c "store/store.h"
refused src/core/service.c "hsm/wire.h"
refused src/core/service.c "hsm/key_provider.h"
refused src/core/service.c "store/statements.h"
refused src/core/service.c <openssl/evp.h>
refused src/core/service.c <cjson/cJSON.h>
refused include/core/service.h "http/server.h"
allowed src/http/server.c <microhttpd.h>
allowed src/http/server.c "core/service.h"
refused include/http/server.h <microhttpd.h>
refused src/http/server.c "store/store.h"
refused src/http/server.c "hsm/signer.h"
refused src/http/server.c "jose/jws.h"
refused src/http/server.c <openssl/evp.h>
refused src/http/server.c <base/../hsm/key_provider.h>
refused src/http/server.c "../core/service.h"
allowed src/main.c "config.h"
allowed src/config.c <ini.h>
allowed src/ctl/main.c "hsm/signer.h"
refused src/ctl/main.c "hsm/key_provider.h"
allowed src/ctl/evidence.c "hsm/tpm_public.h"
allowed src/ctl/evidence.c <tss2/tss2_mu.h>
refused src/ctl/keys.c <tss2/tss2_mu.h>
allowed src/ctl/http_client.c <curl/curl.h>
refused src/ctl/wallet.c <curl/curl.h>
allowed src/ctl/wallet_key.h <openssl/types.h>
refused src/ctl/wallet_vp.c <openssl/evp.h>
refused src/core/service.c "hsm/tpm_public.h"
refused src/main.c "hsm/pkcs11.h"
refused src/main.c <microhttpd.h>
refused src/core/service.c <ini.h>
refused src/core/service.c <CUnit/CUnit.h>
refused src/other/thing.c <stdio.h>
END

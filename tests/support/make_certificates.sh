#!/bin/sh
# make_certificates.sh DIRECTORY: the certificates of the TLS tests, PEM, made by openssl. NAME.pem is a
# certificate with what must stand behind it, NAME.key its key.
#
#   ca other-ca           roots; "ca" signs what has no other issuer below
#   ecdsa rsa renewed     servers of localhost and 127.0.0.1; "renewed" is another ECDSA one
#   chained               a server under an intermediate CA
#   admin                 a client (clientAuth)
#   stranger lapsed early server-only weak    clients that do not count: of other-ca, expired, not valid
#                         yet, serverAuth alone, RSA 1024
#   expired soon aia      servers: expired, expires in 10 days, alone with a URL of its issuer's
#   small under-leaf client-only ed25519 early-server    servers that no client should trust: RSA 1024,
#                         issued by a certificate that is no CA's, clientAuth alone, an algorithm of its
#                         own, not valid yet
#   jumbled               "ecdsa" with a CA behind it that did not issue it
set -eu
umask 077
cd "$1"

openssl_quietly() {
    openssl "$@" 2>openssl.log || { cat openssl.log >&2; exit 1; }
}

make_key() { # NAME TYPE
    case $2 in
    ec) openssl_quietly genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" ;;
    rsa) openssl_quietly genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$1.key" ;;
    rsa1024) openssl_quietly genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out "$1.key" ;;
    ed25519) openssl_quietly genpkey -algorithm ED25519 -out "$1.key" ;;
    esac
}

make_root() { # NAME
    make_key "$1" ec
    openssl_quietly req -x509 -new -key "$1.key" -subj "/CN=$1" -days 3650 -out "$1.pem" \
        -addext keyUsage=critical,keyCertSign
}

# issue NAME TYPE ISSUER EXTENSIONS [FROM TO]: from the second before now, for a year, unless told.
issue() {
    make_key "$1" "$2"
    openssl_quietly req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr"
    printf '%b' "$4" >"$1.extensions"
    mkdir -p "$3.db"
    : >"$3.db/index"
    printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s\nserial=%s\nnew_certs_dir=%s\n' \
        "$3.db/index" "$3.db/serial" "$3.db" >"$3.db/conf"
    printf 'default_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n' >>"$3.db/conf"
    openssl_quietly ca -batch -notext -rand_serial -config "$3.db/conf" -cert "$3.pem" -keyfile "$3.key" \
        -in "$1.csr" -out "$1.pem" -extfile "$1.extensions" \
        -startdate "${5:-$(days_from_now 0)}" -enddate "${6:-$(days_from_now 365)}"
}

days_from_now() { date -u -d "$1 days" +%Y%m%d%H%M%SZ; }

names='subjectAltName=DNS:localhost,IP:127.0.0.1\n'
server="${names}extendedKeyUsage=serverAuth\n"
client='extendedKeyUsage=clientAuth\n'

make_root ca
make_root other-ca
issue ecdsa ec ca "$server"
issue renewed ec ca "$server"
issue rsa rsa ca "$server"
issue middle ec ca 'basicConstraints=critical,CA:TRUE\n'
issue chained ec middle "$server"
cat middle.pem >>chained.pem

issue admin ec ca "$client"
issue stranger ec other-ca "$client"
issue lapsed ec ca "$client" "$(days_from_now -20)" "$(days_from_now -1)"
issue early ec ca "$client" "$(days_from_now 1)" "$(days_from_now 20)"
issue server-only ec ca "$server"
issue weak rsa1024 ca "$client"

issue expired ec ca "$server" "$(days_from_now -20)" "$(days_from_now -1)"
issue soon ec ca "$server" "$(days_from_now -20)" "$(days_from_now 10)"
issue aia ec ca "${server}authorityInfoAccess=caIssuers;URI:http://ca.example/ca.der\n"
issue small rsa1024 ca "$server"
issue client-only ec ca "$client"
issue ed25519 ed25519 ca "$server"
issue early-server ec ca "$server" "$(days_from_now 1)" "$(days_from_now 20)"
cat ecdsa.pem >jumbled.pem
cat middle.pem >>jumbled.pem
issue under-leaf ec ecdsa "$server"
cat ecdsa.pem >>under-leaf.pem

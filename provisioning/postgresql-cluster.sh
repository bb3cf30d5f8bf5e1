#!/usr/bin/env bash
# A private PostgreSQL cluster in a directory of its own: to try issuerd with, and for its tests. It
# keeps away from Debian's own clusters; who may enter the directory may use it.
#
#   postgresql-cluster.sh start DIR [--port N]   makes the cluster if there is none, starts it and
#                                                prints the URL of the database "issuerd"; with
#                                                --port also at 127.0.0.1:N, with the password in
#                                                DIR/pgpass (passfile=)
#   postgresql-cluster.sh standby DIR PRIMARY    makes DIR a synchronous standby of the cluster in
#                                                PRIMARY, which runs: what PRIMARY commits is on both
#   postgresql-cluster.sh promote DIR            makes a standby a primary, without a standby
#   postgresql-cluster.sh alone DIR              this primary waits for no standby any more
#   postgresql-cluster.sh url DIR [DIR]          prints the URL; of two clusters: either, as it can be
#                                                written to
#   postgresql-cluster.sh psql DIR [ARGUMENT...] as the superuser
#   postgresql-cluster.sh pid DIR                prints the process id of its postmaster
#   postgresql-cluster.sh kill DIR               ends it at once, as a loss of power would
#   postgresql-cluster.sh stop DIR
#   postgresql-cluster.sh remove DIR             stops it and deletes DIR
#
# It listens on a Unix socket alone, in DIR or, where its path would be too long, under /tmp. Writes
# are synchronous (fsync), as they have to be. PostgreSQL does not run as root: for root it runs in
# a user namespace where root is "postgres" or, where there are none, as the user postgres.
set -euo pipefail
export LC_ALL=C
umask 077
unset "${!PG@}"

die() {
    printf 'postgresql-cluster: %s\n' "$*" >&2
    exit 1
}

find_programs() {
    local place
    for place in /usr/bin /usr/local/bin /usr/pgsql-*/bin /usr/lib/postgresql/*/bin; do
        [ ! -x "$place/pg_basebackup" ] || [ ! -x "$place/initdb" ] || bin=$place
    done
    [ -n "${bin:-}" ] || die "PostgreSQL's server is not installed (Debian: apt-get install postgresql)"
}

# --- as whom ---

choose_user() {
    as_user=()
    [ "$(id -u)" -eq 0 ] || return 0
    local user=postgres
    getent passwd postgres >/dev/null || user=65534
    if unshare --user --map-user="$user" --map-group="$user" true 2>/dev/null; then
        as_user=(unshare --user --map-user="$user" --map-group="$user" --)
        return
    fi
    if getent passwd postgres >/dev/null && runuser -u postgres -- true 2>/dev/null; then
        chown postgres: "$dir"
        runuser -u postgres -- test -w "$dir" ||
            die "$dir cannot be reached by the user postgres: choose another place, under /tmp say"
        as_user=(runuser -u postgres --)
        return
    fi
    die "PostgreSQL does not run as root, and there are neither user namespaces nor a user postgres:" \
        "run this as another user"
}

# From $dir, which the other user can enter though perhaps not reach from where we are.
run() { (cd "$dir" && exec ${as_user[@]+"${as_user[@]}"} "$@"); }

# quietly COMMAND...: what it says is shown only if it fails
quietly() {
    run "$@" >"$dir/out" 2>&1 && return
    sed 's/^/    /' "$dir/out" >&2
    tail -n 5 "$dir/log" 2>/dev/null | sed 's/^/    /' >&2 || true
    die "${1##*/} failed in $dir"
}

# --- where ---

use_dir() { # use_dir DIR: it is there
    dir=$(cd -- "$1" 2>/dev/null && pwd) || die "$1 is not there: start it first"
    data=$dir/data
}

require_cluster() {
    [ -s "$data/PG_VERSION" ] || die "there is no cluster in $dir: start it first"
}

port() { cat "$dir/port" 2>/dev/null || echo 5432; } # of 127.0.0.1, and in the socket's name

# A socket's path has 107 bytes, of which PostgreSQL's name takes up to 20.
socket_dir() {
    if [ ${#dir} -le 80 ]; then
        echo "$dir"
    elif [ -d "$(cat "$dir/socket-directory" 2>/dev/null)" ]; then
        cat "$dir/socket-directory"
    else
        mktemp -d /tmp/issuerd-postgresql.XXXXXX | tee "$dir/socket-directory"
    fi
}

percent_encode() { # all but RFC 3986's unreserved characters
    local text=$1 i
    for ((i = 0; i < ${#text}; i++)); do
        case ${text:i:1} in
        [A-Za-z0-9._~-]) printf '%s' "${text:i:1}" ;;
        *) printf '%%%02X' "$(($(printf '%d' "'${text:i:1}") & 255))" ;;
        esac
    done
}

print_url() { # print_url DIR...
    local place separator='' hosts='' ports=''
    for place; do
        use_dir "$place"
        require_cluster
        hosts+=$separator$(percent_encode "$(socket_dir)")
        ports+=$separator$(port)
        separator=,
    done
    echo "postgresql:///issuerd?host=$hosts&port=$ports&user=issuerd"
}

superuser() { # to a cluster that runs
    "$bin/psql" -X -q -v ON_ERROR_STOP=1 -h "$(socket_dir)" -p "$(port)" -U postgres -d postgres "$@"
}

# --- a cluster ---

make_cluster() {
    run mkdir -p "$data"
    quietly "$bin/initdb" --pgdata="$data" --username=postgres --encoding=UTF8 --no-locale \
        --auth=trust --data-checksums
    run tee -a "$data/postgresql.conf" >/dev/null <<'END'
listen_addresses = ''
unix_socket_permissions = 0700
password_encryption = 'scram-sha-256'
shared_buffers = 32MB
max_connections = 60
wal_level = replica
wal_keep_size = 64MB
max_wal_size = 256MB
hot_standby = on
logging_collector = off
END
    # Who is in the directory is let in; over TCP a password is asked for.
    run tee "$data/pg_hba.conf" >/dev/null <<'END'
local all all trust
local replication all trust
host all all 127.0.0.1/32 scram-sha-256
END
}

start_server() {
    local options
    options="-c unix_socket_directories='$(socket_dir)' -c port=$(port)"
    [ ! -s "$dir/port" ] || options+=" -c listen_addresses=127.0.0.1"
    [ "${as_user[0]:-}" != runuser ] || chown postgres: "$(socket_dir)"
    quietly "$bin/pg_ctl" start --silent --wait --timeout=60 --pgdata="$data" --log="$dir/log" \
        --options="$options"
}

is_running() { run "$bin/pg_ctl" status --pgdata="$data" >/dev/null 2>&1; }

make_database() {
    local found
    found=$(superuser -At -c "SELECT 1 FROM pg_database WHERE datname = 'issuerd'")
    [ -z "$found" ] || return 0
    superuser -c 'CREATE ROLE issuerd LOGIN' -c 'CREATE DATABASE issuerd OWNER issuerd'
}

make_password() { # over standard input: never on a command line
    local password
    [ ! -s "$dir/pgpass" ] || return 0
    password=$(head -c 24 /dev/urandom | od -An -v -tx1 | tr -d ' \n')
    printf "ALTER ROLE issuerd PASSWORD '%s';\n" "$password" | superuser
    printf '127.0.0.1:*:*:issuerd:%s\n' "$password" >"$dir/pgpass"
}

start() { # start DIR [--port N]
    local is_standby
    mkdir -p -- "$1" 2>/dev/null || die "$1 cannot be made"
    use_dir "$1"
    if [ $# -gt 1 ]; then
        [[ $# -eq 3 && $2 == --port && $3 =~ ^[1-9][0-9]{0,4}$ ]] || die "start DIR [--port N]"
        echo "$3" >"$dir/port"
    fi
    choose_user
    [ -s "$data/PG_VERSION" ] || make_cluster
    is_running || start_server
    is_standby=$(superuser -At -c 'SELECT pg_is_in_recovery()')
    if [ "$is_standby" = f ]; then
        make_database
        [ ! -s "$dir/port" ] || make_password
    fi
    print_url "$dir"
}

stop() { # stop MODE
    require_cluster
    choose_user
    ! is_running || quietly "$bin/pg_ctl" stop --silent --wait --timeout=60 --mode="$1" --pgdata="$data"
}

remove() {
    local sockets
    [ ! -s "$data/PG_VERSION" ] || stop immediate
    sockets=$(cat "$dir/socket-directory" 2>/dev/null || true)
    rm -rf -- "$data" "$dir"/{log,out,port,pgpass,socket-directory} ${sockets:+"$sockets"}
    rmdir -- "$dir" 2>/dev/null || true # what else is in it is not ours
}

# --- two of them ---

standby() { # standby DIR PRIMARY
    local primary
    use_dir "$2"
    require_cluster
    primary="host='$(socket_dir)' port=$(port) user=postgres application_name=standby"
    mkdir -p -- "$1" 2>/dev/null || die "$1 cannot be made"
    use_dir "$1"
    [ ! -e "$data" ] || die "$dir has a cluster already: remove it first"
    choose_user
    quietly "$bin/pg_basebackup" --pgdata="$data" --write-recovery-conf --wal-method=stream \
        --checkpoint=fast --no-password --dbname="$primary"
    start_server
    use_dir "$2"
    superuser -c "ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (standby)'" \
        -c "ALTER SYSTEM SET synchronous_commit = 'remote_apply'" -c 'SELECT pg_reload_conf()' >/dev/null
    await_standby
    print_url "$2" "$1"
}

await_standby() {
    local deadline=$((SECONDS + 30))
    until [ -n "$(superuser -At -c "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'")" ]; do
        ((SECONDS < deadline)) || die "the standby does not follow; see its log"
        sleep 0.1
    done
}

promote() {
    require_cluster
    choose_user
    quietly "$bin/pg_ctl" promote --silent --wait --timeout=60 --pgdata="$data"
}

alone() {
    superuser -c 'ALTER SYSTEM RESET synchronous_standby_names' \
        -c 'ALTER SYSTEM RESET synchronous_commit' -c 'SELECT pg_reload_conf()' >/dev/null
}

usage() { sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

[ "${1:-}" != --help ] || { usage && exit 0; }
[ $# -ge 2 ] || { usage >&2 && exit 64; }
find_programs
case $1 in
start | standby) "$@" ;;
url) print_url "${@:2}" ;;
psql) use_dir "$2" && superuser "${@:3}" ;;
pid) use_dir "$2" && require_cluster && head -n 1 "$data/postmaster.pid" ;;
promote | alone | remove) use_dir "$2" && "$1" ;;
stop) use_dir "$2" && stop fast ;;
kill) use_dir "$2" && stop immediate ;;
*) usage >&2 && exit 64 ;;
esac

#!/usr/bin/env bash
# Everything that has to hold, from a bare Debian 12:
#
#   tests/run.sh [--no-install] [--quick]
#
#   --no-install     leave the packages alone
#   --quick          gcc and the style checks; neither clang nor the sanitizers, nor the fuzzers
#
# It builds from clean in build-tests/, with gcc (hardened, as shipped), with clang, and with
# ASan+UBSan, and runs every test of the first and nearly every one of the last; then the fuzzers, for
# half a minute. Logs are beside the builds. The last line is "N passed, N failed, N skipped"; the exit
# status is 0 only if nothing failed, nothing was missing, and some test ran. A build without a warning
# counts as a test, and so does each script in tests/style.
# shellcheck disable=SC2317 # functions that stage() calls look unreachable
set -uo pipefail
export LC_ALL=C

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
builds=$root/build-tests
softhsm=/usr/lib/softhsm/libsofthsm2.so
install=yes quick=no
passed=0 failed=0 skipped=0

for option; do
    case $option in
    --no-install) install=no ;;
    --quick) quick=yes ;;
    *)
        sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
        [ "$option" = --help ] && exit 0 || exit 2
        ;;
    esac
done

finish() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
    exit
}

# stage NAME COMMAND...: one line with its time; on failure the log, without what went well.
stage() {
    local name=$1 log started=$SECONDS code=0
    shift
    log=$builds/${name//: /-}.log
    printf '%-34s' "$name"
    "$@" >"$log" 2>&1 || code=$?
    printf '%-8s %4d s\n' "$(verdict "$code")" $((SECONDS - started))
    if [ "$code" -ne 0 ] && [ "$code" -ne 77 ]; then
        grep -vE '^\[ *[0-9]+%\]|^ *Start +[0-9]+: |[0-9]+ .* Passed +[0-9.]+ sec' "$log" |
            tail -n 120 | sed 's/^/    /'
        echo "    (all of it: $log)"
    fi
    return "$code"
}

verdict() {
    case $1 in 0) echo ok ;; 77) echo skipped ;; *) echo FAILED ;; esac
}

count() { # count EXIT-CODE: of a stage that is one test
    case $1 in
    0) passed=$((passed + 1)) ;;
    77) skipped=$((skipped + 1)) ;;
    *) failed=$((failed + 1)) ;;
    esac
}

require_components() {
    local thing code=0
    for thing in gcc clang cmake pkg-config ctest curl jq jose softhsm2-util pkcs11-tool \
        clang-format clang-tidy cppcheck shellcheck readelf python3 sqlite3; do
        command -v "$thing" >/dev/null || { echo "missing: $thing" && code=1; }
    done
    [ -e "$softhsm" ] || { echo "missing: $softhsm" && code=1; }
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ||
        { echo "missing: PostgreSQL's initdb" && code=1; }
    [ "$code" -eq 0 ] || echo "run it without --no-install, or install them"
    return "$code"
}

build() { # build NAME CMAKE-OPTION...
    local dir=$builds/$1
    shift
    cmake -S "$root" -B "$dir" -DCMAKE_EXPORT_COMPILE_COMMANDS=ON "$@" || return 1
    cmake --build "$dir" -j "$(nproc)" 2>&1 | tee "$dir/warnings.log" || return 1
    # Warnings are errors for our own targets; this finds those of the linker and of CMake.
    ! grep -E 'warning: |CMake Warning' "$dir/warnings.log"
}

# What takes long and finds nothing more there is not run under the sanitizers (the label "long").
run_ctest() { # run_ctest NAME
    local left_out=()
    [ "$1" = gcc ] || left_out=(-LE long)
    ctest --test-dir "$builds/$1" "${left_out[@]}" --output-on-failure -j 2 --no-tests=error --timeout 300 \
        --output-junit "$builds/$1/junit.xml"
}

attribute() { # attribute FILE NAME: a number of JUnit's <testsuite>
    local found
    found=$(tr '\n\t' '  ' <"$1" | grep -o '<testsuite [^>]*>' | grep -oE " $2=\"[0-9]+")
    echo "${found##*\"}"
}

# What ctest counted, but for two things: a test whose program is not there counts as skipped in
# its report and as failed here; and a non-zero status of ctest is a failure whatever it reports.
count_ctest() { # count_ctest NAME EXIT-CODE
    local report=$builds/$1/junit.xml log=$builds/$1-tests.log all bad left_out not_run
    if ! [ -s "$report" ]; then
        echo "    no report from ctest"
        failed=$((failed + 1))
        return
    fi
    all=$(attribute "$report" tests)
    bad=$(attribute "$report" failures)
    left_out=$(($(attribute "$report" skipped) + $(attribute "$report" disabled)))
    not_run=$(grep -cE '\*\*\*Not Run +[0-9]' "$log")
    passed=$((passed + all - bad - left_out))
    skipped=$((skipped + left_out - not_run))
    bad=$((bad + not_run))
    [ "$2" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    failed=$((failed + bad))
    grep -E '\*\*\*Skipped' "$log" | sed 's/^/    /'
}

build_and_test() { # build_and_test NAME CMAKE-OPTION...
    local code=0
    stage "$1: build" build "$@" || code=$?
    count "$code"
    [ "$code" -eq 0 ] || return
    stage "$1: tests" run_ctest "$1" || code=$?
    count_ctest "$1" "$code"
}

style() {
    local script code
    for script in "$root"/tests/style/*.sh; do
        code=0
        BUILD_DIR=$builds/gcc stage "style: $(basename "$script" .sh)" "$script" || code=$?
        count "$code"
    done
}

cd "$root" || exit 1
rm -rf "$builds"
mkdir -p "$builds" || exit 1
if [ "$install" = yes ]; then
    stage packages "$root/provisioning/packages.sh" install build run test || count 1
fi
stage components require_components || { count 1 && finish; }

build_and_test gcc -DCMAKE_C_COMPILER=gcc
style
if [ "$quick" = no ]; then
    stage "clang: build" build clang -DCMAKE_C_COMPILER=clang
    count $?
    build_and_test asan -DCMAKE_C_COMPILER=gcc -DSANITIZE=ON
    stage fuzz "$root/tests/fuzz/run.sh" --seconds 30
    count $?
fi
finish

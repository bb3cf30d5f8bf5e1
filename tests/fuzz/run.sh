#!/usr/bin/env bash
# Feeds whatever parses what anybody sends: JSON, JWTs with DIDs and their documents, presentation
# definitions; and the checkpoints, proofs and entries that an auditor is given. All targets at once, with ASan and UBSan.
#
#   tests/fuzz/run.sh [--seconds N] [--build-dir DIR]
#
# 60 seconds unless said otherwise. It starts from corpus/TARGET; what it finds besides stays in
# DIR/corpus and is gone on from the next time. A line for each target; the exit status is 0 only if
# none crashed, leaked or took over 5 s for one input. The input that did is kept, and named.
set -euo pipefail
export LC_ALL=C

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
seconds=60 build=$root/build-tests/fuzz
targets=(json jwt definition ledger)

while [ $# -gt 0 ]; do
    case $1 in
    --seconds) seconds=$2 && shift ;;
    --build-dir) build=$2 && shift ;;
    *)
        sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
    esac
    shift
done

cmake -S "$root" -B "$build" -DCMAKE_C_COMPILER=clang -DSANITIZE=fuzz
cmake --build "$build" -j "$(nproc)" --target "${targets[@]/%/_fuzz}"

pids=()
for target in "${targets[@]}"; do
    mkdir -p "$build/corpus/$target"
    "$build/tests/fuzz/${target}_fuzz" -max_total_time="$seconds" -timeout=5 -max_len=8192 \
        -print_final_stats=1 -artifact_prefix="$build/$target-" -dict="$root/tests/fuzz/$target.dict" \
        "$build/corpus/$target" "$root/tests/fuzz/corpus/$target" >"$build/$target.log" 2>&1 &
    pids+=($!)
done

status=0
for i in "${!targets[@]}"; do
    target=${targets[$i]}
    log=$build/$target.log
    if wait "${pids[$i]}"; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        inputs=$(find "$build/corpus/$target" "$root/tests/fuzz/corpus/$target" -type f | wc -l)
        [ "$runs" -gt 0 ] || status=1
        echo "$target: $runs inputs in $seconds s, a corpus of $inputs, no finding"
    else
        status=1
        tail -n 40 "$log"
        echo "$target: a finding; once more with $build/tests/fuzz/${target}_fuzz FILE: $build/$target-*"
    fi
done
exit "$status"

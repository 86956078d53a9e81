#!/bin/sh
# check.sh - what `make check` and CI run, one part after the other; stops at the first that fails.
#
# Only the last part needs nvcc.  The test programs of every part print `N passed, N failed`; the last line here is their sum.
set -u

make=${MAKE:-make}
jobs=-j$(nproc 2>/dev/null || echo 2)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0 began=$(date +%s)

# part TITLE TARGET
part() {
    echo "== $1: make $2"
    start=$(date +%s)
    { "$make" --no-print-directory "$jobs" CUDA=no "$2" 2>&1; echo $? >"$dir/status"; } | tee "$dir/log" |
        grep --line-buffered -vE '^(cc|link|emu|nvcc) '
    status=$(cat "$dir/status")
    # shellcheck disable=SC2046
    set -- "$1" $(sed -n 's/^\([a-z]*: \)\{0,1\}\([0-9][0-9]*\) passed, \([0-9][0-9]*\) failed$/\2 \3/p' "$dir/log" |
        awk '{ p += $1; f += $2 } END { print p + 0, f + 0 }')
    passed=$((passed + $2)) failed=$((failed + $3))
    echo "== $1: $(($(date +%s) - start)) s"
    if [ "$status" -ne 0 ]; then
        [ "$3" -gt 0 ] || failed=$((failed + 1))
        echo "== check: FAILED in $1, after $(($(date +%s) - began)) s"
        echo "$passed passed, $failed failed"
        exit 1
    fi
}

part 'gates' gates
part 'unit tests' test
part 'unit tests under AddressSanitizer and UBSan' asan
export EMU_ORDERS=reverse # in random order they ran under the sanitizers
part 'emulated kernels in reverse order' emu-orders
part 'threads under ThreadSanitizer' tsan
part 'end to end' e2e
part 'gpu-check on the emulation' gpu-check-emu
part 'fuzzers' fuzz-short
part 'CUDA by nvcc' cuda
echo "== check: all parts passed, $(($(date +%s) - began)) s"
echo "$passed passed, $failed failed"

#!/bin/sh
# Runs test programs, JOBS at a time (default 1), prints their last lines in order, and closes with one line of totals.
# Fails when a program fails, and when there is none.
set -u

[ $# -gt 0 ] || { echo "run.sh: no test programs"; exit 1; }
# Memory instead of a disk whose fsync takes milliseconds, where there is a gigabyte of it.
shm=$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print $4 }')
if [ -z "${TMPDIR:-}" ] && [ -w /dev/shm ] && [ "${shm:-0}" -gt 1048576 ]; then
    TMPDIR=/dev/shm
    export TMPDIR
fi
said=$(mktemp -d) || exit 1
trap 'rm -rf "$said"' EXIT
# shellcheck disable=SC2016
printf '%s\n' "$@" | xargs -P "${JOBS:-1}" -I{} sh -c '
    CK_VERBOSITY=normal "./$1" >"$2/out.$(basename "$1")" 2>&1
    echo $? >"$2/status.$(basename "$1")"' _ {} "$said"
passed=0 failed=0 broken=""
for program in "$@"; do
    name=$(basename "$program")
    out=$(cat "$said/out.$name")
    status=$(cat "$said/status.$name")
    line=$(printf '%s\n' "$out" | sed -n 's/^.*Checks: \([0-9]*\), Failures: \([0-9]*\), Errors: \([0-9]*\).*$/\1 \2 \3/p' | tail -n 1)
    # shellcheck disable=SC2086
    set -- $line
    bad=$((${2:-0} + ${3:-0}))
    passed=$((passed + ${1:-0} - bad)) failed=$((failed + bad))
    printf '%-14s %s checks, %s failed\n' "$name" "${1:-0}" "$bad"
    printf '%s\n' "$out" | grep -E 'SKIPPED|seed' | head -n 3
    if [ "$status" -ne 0 ] || [ -z "$line" ]; then
        broken="$broken $name"
        [ "$bad" -gt 0 ] || failed=$((failed + 1))
        printf '%s\n' "$out" | tail -n 40
    fi
done
echo "$passed passed, $failed failed"
[ -z "$broken" ]

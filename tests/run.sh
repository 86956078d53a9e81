#!/bin/sh
# Runs test programs one after the other, prints their last lines, and closes with one line of totals.
# Fails when a program fails, and when there is none.
set -u

[ $# -gt 0 ] || { echo "run.sh: no test programs"; exit 1; }
# Memory instead of a disk whose fsync takes milliseconds, where there is a gigabyte of it.
shm=$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print $4 }')
if [ -z "${TMPDIR:-}" ] && [ -w /dev/shm ] && [ "${shm:-0}" -gt 1048576 ]; then
    TMPDIR=/dev/shm
    export TMPDIR
fi
passed=0 failed=0 broken=""
for program in "$@"; do
    out=$(CK_VERBOSITY=normal "./$program" 2>&1)
    status=$?
    line=$(printf '%s\n' "$out" | sed -n 's/^.*Checks: \([0-9]*\), Failures: \([0-9]*\), Errors: \([0-9]*\).*$/\1 \2 \3/p' | tail -n 1)
    # shellcheck disable=SC2086
    set -- $line
    bad=$((${2:-0} + ${3:-0}))
    passed=$((passed + ${1:-0} - bad)) failed=$((failed + bad))
    printf '%-14s %s checks, %s failed\n' "$(basename "$program")" "${1:-0}" "$bad"
    printf '%s\n' "$out" | grep -E 'SKIPPED|seed' | head -n 3
    if [ "$status" -ne 0 ] || [ -z "$line" ]; then
        broken="$broken $(basename "$program")"
        [ "$bad" -gt 0 ] || failed=$((failed + 1))
        printf '%s\n' "$out" | tail -n 40
    fi
done
echo "$passed passed, $failed failed"
[ -z "$broken" ]

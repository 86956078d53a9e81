#!/bin/sh
# Runs each libFuzzer program for FUZZ_SECONDS, from the seeds and with the dictionary that tests/
# holds under its name; the corpus stays beside the program from run to run.  Fails on a finding, whose input is kept, and when there is none to run.
set -u

[ $# -gt 0 ] || { echo "fuzz.sh: no fuzz programs"; exit 1; }
broken=0
for program in "$@"; do
    name=$(basename "$program")
    mkdir -p "$program.corpus"
    dict="tests/$name.dict"
    [ -f "$dict" ] || dict=""
    seeds="tests/$name.seeds"
    [ -d "$seeds" ] || seeds=""
    "./$program" ${dict:+-dict="$dict"} -max_total_time="${FUZZ_SECONDS:-60}" -timeout=10 -print_final_stats=1 \
        -artifact_prefix="$program." "$program.corpus" ${seeds:+"$seeds"} >"$program.log" 2>&1
    status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$program.log")
    if [ "$status" -eq 0 ] && [ "${runs:-0}" -gt 0 ]; then
        printf '%-16s %s inputs, nothing found\n' "$name" "$runs"
    else
        broken=$((broken + 1))
        tail -n 40 "$program.log"
        echo "$name: FAILED, see $program.log"
    fi
done
echo "$# fuzz programs, $broken failed"
[ "$broken" -eq 0 ]

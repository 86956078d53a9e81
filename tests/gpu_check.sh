#!/bin/sh
# gpu_check.sh [BUILT] - everything that only a machine with a device can tell, in under ten minutes.
#
#   ONLY=ops    every op against its reference on the device, and again under compute-sanitizer
#   ONLY=e2e    a published model through broker, ZeroMQ, SQLite and worker; instances that share the card; fp8 and int8
#   ONLY=bench  the figures of bench_gpu
#
# Runs in the repository, where BUILT is the folder that make builds in, or in a folder that `make dist` made, where it is
# not given; needs neither make nor gcc there.  Writes bench/results/DEVICE-DATE.json and a table in kernels/SPEED.md.
# Without a device it ends with 1.  GPU_CHECK_EMU=1 tries the script itself on the emulation, in small: its results go to a
# temporary folder, marked as emulated.  GPU_CHECK_SECONDS: for all of it (560).
set -u

root=$PWD
if [ $# -gt 0 ]; then built=$(cd "$1" && pwd); else root=$(cd "$(dirname "$0")" && pwd) && built=$root; fi
cd "$root" || exit 1
emu=${GPU_CHECK_EMU:-}
[ -d "$root/data" ] && NIGHTMILL_TEST_DATA=${NIGHTMILL_TEST_DATA:-$root/data} && export NIGHTMILL_TEST_DATA
: "${NIGHTMILL_CUDA:=$built/libnightmill-cuda.so}"
NIGHTMILL=$built/nightmill
export NIGHTMILL_CUDA NIGHTMILL REQUIRE_GPU=1 REQUIRE_DATA=1 CK_VERBOSITY=normal CK_TIMEOUT_MULTIPLIER=10
only=${ONLY:-ops e2e bench}
began=$(date +%s)
seconds=${GPU_CHECK_SECONDS:-560}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0 left_out=0
: >"$work/checks"
: >"$work/figures"

no_device() {
    echo "gpu-check: no device: $*"
    exit 1
}

# The device's name on the first line, `emulated` on the second where it is.
"$built/bench/bench_gpu" device >"$work/device" 2>"$work/why" || no_device "$(tail -n 1 "$work/why")"
device=$(head -n 1 "$work/device")
if grep -q '^emulated' "$work/device"; then
    [ "$emu" ] || no_device "$NIGHTMILL_CUDA is the emulation"
else
    [ -z "$emu" ] || no_device "GPU_CHECK_EMU=1, but $NIGHTMILL_CUDA is not the emulation"
fi
echo "gpu-check: $device, $only"

# told PART NAME RESULT SECONDS TEXT
told() {
    printf 'gpu-check: %-5s %-32s %-8s %4s s  %s\n' "$1" "$2" "$3" "$4" "$5"
    text=$(printf '%s' "$5" | tr -d '"\\' | tr '\t' ' ')
    printf '{"part": "%s", "check": "%s", "result": "%s", "seconds": %s, "text": "%s"}\n' "$1" "$2" "$3" "$4" "$text" \
        >>"$work/checks"
    case $3 in
    failed) bad=$((bad + 1)) ;;
    left-out) left_out=$((left_out + 1)) ;;
    esac
}

# What is left of a part's seconds; 0: nothing.
left() {
    now=$(date +%s)
    all=$((seconds - (now - began))) part=$((until - now))
    if [ "$all" -lt "$part" ]; then part=$all; fi
    if [ "$part" -lt 0 ]; then echo 0; else echo "$part"; fi
}

# The last line of Check's, without the percentage.
said() { sed -n 's/^.*Checks: \([0-9]*\), Failures: \([0-9]*\), Errors: \([0-9]*\).*$/\1 checks, \2 failures, \3 errors/p' "$1" | tail -n 1; }

# check PART NAME COMMAND... - within what is left of the part's time
check() {
    part_name=$1 check_name=$2 limit=$(left)
    shift 2
    start=$(date +%s)
    if [ "$limit" -eq 0 ]; then
        told "$part_name" "$check_name" left-out 0 "no time was left"
        return
    fi
    timeout -k 5 "$limit" "$@" >"$work/out" 2>&1
    status=$?
    took=$(($(date +%s) - start))
    case $status in
    0) told "$part_name" "$check_name" passed "$took" "$(said "$work/out")" ;;
    124 | 137) told "$part_name" "$check_name" left-out "$took" "it was not done after $limit s" ;;
    *)
        told "$part_name" "$check_name" failed "$took" "$(said "$work/out")"
        grep -vE '^(Running|[0-9]+%)' "$work/out" | tail -n 20
        ;;
    esac
}

op_suites() { for suite in "$built"/tests/test_cuda_*; do case $suite in *.o | *.d | *'*') ;; *) echo "$suite" ;; esac; done; }

# A suite is one process, since to begin with a device takes longer than most tests; where one fails, a process for each
# tells which.
ops() {
    until=$(($(date +%s) + 150))
    [ "$(op_suites)" ] || told ops suites failed 0 "there are no suites in $built/tests"
    for suite in $(op_suites); do
        name=$(basename "$suite") fork=no
        [ -z "$emu" ] || fork=yes # what a test makes of the emulation is its process's
        failed=$bad
        CK_FORK=$fork check ops "$name" "$suite"
        [ "$bad" -eq "$failed" ] || [ "$emu" ] || check ops "$name, a process a test" "$suite"
    done
}

# sanitizer TOOL - the op suites under it; one process each, as it follows no forks
sanitizer() {
    until=$(($(date +%s) + 90)) tool=$1
    # The tests have some calls refused on purpose, and look at what is refused.
    [ "$tool" != memcheck ] || set -- "$tool" --report-api-errors no
    for suite in $(op_suites); do
        case $suite in */test_cuda_engine*) continue ;; esac # slow there; its kernels are in the others
        CK_FORK=no check ops "$tool $(basename "$suite")" "$sanitize" --tool "$@" --error-exitcode 9 "$suite"
    done
}

sanitizers() {
    sanitize=$(PATH="$PATH:/usr/local/cuda/bin:/usr/local/cuda/compute-sanitizer" command -v compute-sanitizer)
    if [ "$emu" ]; then
        told ops sanitizers left-out 0 "the emulation checks by itself"
    elif [ -z "$sanitize" ]; then
        told ops sanitizers left-out 0 "there is no compute-sanitizer in PATH or /usr/local/cuda"
    elif "$sanitize" "$built/bench/bench_gpu" device 2>&1 | grep -q 'Device not supported'; then
        told ops sanitizers left-out 0 "compute-sanitizer does not support this device"
    else
        sanitizer memcheck
        sanitizer racecheck
    fi
}

e2e() {
    until=$(($(date +%s) + 120))
    check e2e goldens "$built/tests/e2e_cuda"
    check e2e "rows of all kinds" "$built/tests/e2e_cuda_rows"
    stories=${NIGHTMILL_TEST_DATA:-../shared/data}/models/stories260K/hf
    # shellcheck disable=SC2086
    check e2e "fp8 and int8, default model" "$built/bench/bench_quality" -d cuda ${emu:+-n 2 -p 4}
    grep '^{' "$work/out" >>"$work/figures"
    # shellcheck disable=SC2086
    check e2e "fp8 and int8, stories260K" "$built/bench/bench_quality" -d cuda -r "" ${emu:+-p 8} "$stories"
    grep '^{' "$work/out" >>"$work/figures"
}

bench() {
    until=$(($(date +%s) + 330))
    limit=$(left)
    start=$(date +%s)
    # shellcheck disable=SC2086
    timeout -k 5 "$limit" "$built/bench/bench_gpu" ${emu:+-t} -s $((limit > 20 ? limit - 10 : limit)) >"$work/out" 2>"$work/err"
    status=$?
    grep '^{' "$work/out" >>"$work/figures"
    sed -n 's/^bench: left out: /gpu-check: bench left out: /p' "$work/err"
    case $status in
    0) told bench bench_gpu passed $(($(date +%s) - start)) "$(grep -c '^{' "$work/out") figures" ;;
    124 | 137) told bench bench_gpu left-out $(($(date +%s) - start)) "stopped after $limit s, $(grep -c '^{' "$work/out") figures" ;;
    *) told bench bench_gpu failed $(($(date +%s) - start)) "$(tail -n 1 "$work/err")" ;;
    esac
}

# Lines to the members of an array.
members() { sed '$!s/$/,/; s/^/    /' "$1"; }

results() {
    printf '{\n  "device": "%s",\n  "emulated": %s,\n  "date": "%s",\n  "version": "%s",\n  "parts": "%s",\n' \
        "$device" "$([ "$emu" ] && echo true || echo false)" "$(date +%Y-%m-%d)" "$("$NIGHTMILL" version | head -n 1)" "$only"
    printf '  "checks": [\n%s\n  ],\n' "$(members "$work/checks")"
    printf '  "figures": [\n%s\n  ]\n}\n' "$(members "$work/figures")"
}

# The figures as a table, from their lines.
table() {
    printf '### %s, %s%s\n\n' "$device" "$(date +%Y-%m-%d)" "$([ "$emu" ] && echo ', emulated: no figure means anything')"
    printf '| figure | value | unit | target | limit | share of it | |\n|---|--:|---|--:|--:|--:|---|\n'
    awk '
        function value(key,   s) {
            s = $0
            if (!sub(".*\"" key "\": *", "", s)) return ""
            if (s ~ /^"/) { s = substr(s, 2); sub(/".*/, "", s) } else sub(/[,}].*/, "", s)
            return s == "null" ? "" : s
        }
        {
            v = value("value"); u = value("unit"); t = value("target"); l = value("limit"); share = ""; missed = ""
            if (l != "") share = sprintf("%.0f %%", 100 * v / l)
            if (t != "" && u ~ /^(ms|us|%|nats)$/ && v + 0 > t + 0) missed = "missed"
            if (t != "" && u !~ /^(ms|us|%|nats)$/ && v + 0 < t + 0) missed = "missed"
            printf "| %s | %s | %s | %s | %s | %s | %s |\n", value("figure"), v, u, t, l, share, missed
        }' "$work/figures"
}

# speed FILE - puts the table there, in place of this device's last one.
speed() {
    table >"$work/table"
    awk -v title="### $device," -v table="$work/table" '
        function put(  line) { print ""; while ((getline line < table) > 0) print line; done = 1 }
        /^No device has run/ { next }
        index($0, title) == 1 { skip = 1; next }
        skip && /^#/ { skip = 0 }
        skip { next }
        { if ($0 != "" || last != "") print; last = $0 }
        /^## Figures/ && !done { put(); print ""; last = "" }
        END { if (!done) put() }' "$1" >"$work/speed" && cat "$work/speed" >"$1"
}

for part in $only; do
    case $part in
    ops) ops && sanitizers ;;
    e2e | bench) $part ;;
    *) echo "gpu-check: ONLY=$part is not ops, e2e or bench" && exit 1 ;;
    esac
done

name=$(printf '%s' "$device" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9-')
where=$root
if [ "$emu" ]; then
    where=${GPU_CHECK_DIR:-$(mktemp -d)}
    mkdir -p "$where/kernels"
    [ -f "$where/kernels/SPEED.md" ] || cp "$root/kernels/SPEED.md" "$where/kernels/"
fi
mkdir -p "$where/bench/results"
results >"$where/bench/results/$name-$(date +%Y-%m-%d).json"
[ ! -s "$work/figures" ] || speed "$where/kernels/SPEED.md"
echo "gpu-check: $(grep -c '"passed"' "$work/checks") passed, $bad failed, $left_out left out, $(($(date +%s) - began)) s; $where/bench/results/$name-$(date +%Y-%m-%d).json"
[ "$bad" -eq 0 ] && grep -q '"passed"' "$work/checks"

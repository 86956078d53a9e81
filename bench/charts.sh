#!/bin/sh
# charts.sh [RESULTS.jsonl] - docs/charts/*.svg from lines that bench_schedule printed, the newest that are kept by default.
# Installs gnuplot (Debian: gnuplot-nox) where it is missing.
set -eu

results=${1:-$(ls bench/results/*-schedule.jsonl 2>/dev/null | tail -n 1)}
[ -n "$results" ] || { echo "charts: no bench/results/*-schedule.jsonl" >&2; exit 2; }
if ! command -v gnuplot >/dev/null; then
    as_root=""
    [ "$(id -u)" -eq 0 ] || as_root="sudo -n"
    echo "charts: installing with apt-get: gnuplot-nox"
    $as_root apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends gnuplot-nox >/dev/null
fi
mkdir -p docs/charts
python3 bench/charts.py "$results" docs/charts

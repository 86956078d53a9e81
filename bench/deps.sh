#!/bin/sh
# deps.sh FOLDER - the rivals of `make bench B=queue`: beanstalkd and redis-server (Debian), and litequeue (PyPI) in a
# virtual environment, FOLDER/venv.  Installs what is missing; their services are not started.  Ends with 1 when one of
# them cannot be had, and says which.
set -u

folder=$1 bad=0
as_root=""
[ "$(id -u)" -eq 0 ] || as_root="sudo -n"

missing=""
command -v beanstalkd >/dev/null || missing="$missing beanstalkd"
command -v redis-server >/dev/null || missing="$missing redis-server"
[ -x "$folder/venv/bin/python" ] || python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
if [ -n "$missing" ]; then
    echo "bench: installing with apt-get:$missing" >&2
    $as_root apt-get update -qq >&2
    # shellcheck disable=SC2086
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1
fi
for program in beanstalkd redis-server; do
    command -v $program >/dev/null || { echo "bench: SKIPPED: $program cannot be installed" >&2; bad=1; }
done
if ! "$folder/venv/bin/python" -c 'import litequeue' 2>/dev/null; then
    mkdir -p "$folder"
    python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install -q litequeue >&2
    "$folder/venv/bin/python" -c 'import litequeue' || { echo "bench: SKIPPED: litequeue cannot be installed" >&2; bad=1; }
fi
exit $bad

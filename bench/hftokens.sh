#!/bin/sh
# hftokens.sh FILE TEXT - runs hftokens.py with the PyPI package tokenizers, installed in a virtual environment under build/
# when it is not there.  Ends with 1 when it cannot be had.
set -u

venv=build/tokenizers-venv
if ! "$venv/bin/python" -c 'import tokenizers' 2>/dev/null; then
    { python3 -m venv "$venv" && "$venv/bin/pip" install -q tokenizers; } >&2 || exit 1
fi
exec "$venv/bin/python" bench/hftokens.py "$1" "$2"

#!/bin/sh
# gate_fmt.sh CLANG_FORMAT FILES... - every file is as the formatter would leave it.
set -u

clang_format=${1:?the formatter}
shift
[ $# -gt 0 ] || { echo "fmt-check: nothing to check"; exit 1; }
command -v "$clang_format" >/dev/null || { echo "fmt-check: no '$clang_format' here; make deps"; exit 1; }
"$clang_format" --dry-run -Werror "$@" || { echo "fmt-check: $# files, some bad; make fmt mends them"; exit 1; }
echo "fmt-check: $# files"

#!/bin/sh
# engine_deps.sh FOLDER - the rival of `make bench B=engine`: libllama from PyPI's llama-cpp-python, built for this very
# processor in a virtual environment, FOLDER/venv, and kept there.  Takes minutes the first time.  Ends with 1 when it
# cannot be had, and says so.
set -u

folder=$1
python="$folder/venv/bin/python"
as_root=""
[ "$(id -u)" -eq 0 ] || as_root="sudo -n"

"$python" -c 'import llama_cpp, numpy' 2>/dev/null && exit 0

missing=""
python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
command -v g++ >/dev/null || missing="$missing g++"
if [ -n "$missing" ]; then
    echo "bench: installing with apt-get:$missing" >&2
    $as_root apt-get update -qq >&2
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1
fi
echo "bench: building llama-cpp-python for this processor; this takes minutes, once" >&2
mkdir -p "$folder"
python3 -m venv "$folder/venv" &&
    CMAKE_ARGS="-DGGML_NATIVE=ON -DCMAKE_BUILD_TYPE=Release" "$folder/venv/bin/pip" install -q --no-binary llama-cpp-python \
        llama-cpp-python >&2
"$python" -c 'import llama_cpp, numpy' || { echo "bench: SKIPPED: llama-cpp-python cannot be built" >&2; exit 1; }

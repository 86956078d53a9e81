#!/bin/sh
# cuda_deps.sh FOLDER - nvcc with its libraries and headers, and cuobjdump: what is not in PATH comes from PyPI into FOLDER.
# FOLDER/path is then what must stand before PATH.  Ends with 1 when something cannot be had, and says what.
set -u

folder=$1
home="$folder/pip/nvidia/cu13" # where the packages put themselves
mkdir -p "$folder"
: >"$folder/path"

has() { PATH="$PWD/$home/bin:$PATH" command -v "$1" >/dev/null; }

packages=""
has nvcc || packages="nvidia-cuda-nvcc==13.0.* nvidia-cuda-crt==13.0.* nvidia-nvvm==13.0.* nvidia-cuda-runtime==13.0.*
nvidia-cuda-cccl==13.0.* nvidia-cublas==13.*"
has cuobjdump || packages="$packages nvidia-cuda-cuobjdump==13.*"
has nvdisasm || packages="$packages nvidia-cuda-nvdisasm==13.*"
if [ -n "$packages" ]; then
    # shellcheck disable=SC2086,SC2116
    echo "cuda: fetching from PyPI: $(echo $packages)"
    [ -x "$folder/venv/bin/pip" ] || python3 -m venv "$folder/venv" || { echo "cuda: SKIPPED: no python3-venv"; exit 1; }
    # shellcheck disable=SC2086
    "$folder/venv/bin/pip" install -q --disable-pip-version-check --no-deps --upgrade --target "$folder/pip" $packages ||
        { echo "cuda: SKIPPED: no nvcc here, and PyPI cannot be reached"; exit 1; }
fi
[ -d "$home" ] || exit 0
# The linker looks for names without a version, and nvcc in lib64.
[ -e "$home/lib64" ] || [ ! -d "$home/lib" ] || ln -s lib "$home/lib64"
for library in "$home"/lib/lib*.so.*; do
    [ -e "${library%%.so.*}.so" ] || [ ! -e "$library" ] || ln -s "$(basename "$library")" "${library%%.so.*}.so"
done
chmod +x "$home"/bin/* 2>/dev/null
printf '%s/%s/bin:' "$PWD" "$home" >"$folder/path"

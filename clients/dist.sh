#!/bin/sh
# Makes a folder that runs on a bare machine: the program, the plug-in, the shared libraries they need (all but glibc's own,
# which every system has, and CUDA's, which come with the machine), the default model and the examples; and, for a machine
# with a device, what gpu_check.sh needs.
#
#   sh clients/dist.sh BUILT FOLDER      BUILT: where make put the program, its tests/ and bench/
set -eu

built=$1
folder=$2
data=${NIGHTMILL_TEST_DATA:-../shared/data}
most_mib=64
rm -rf "$folder"
mkdir -p "$folder/lib" "$folder/examples"

# libraries FILE... - those that the files need
libraries() {
    for file in "$@"; do ldd "$file"; done | awk '$2 == "=>" && $3 ~ /^\// {print $3}' | sort -u |
        grep -vE '/(libc|libm|libpthread|libdl|librt|ld-linux[^/]*|libresolv|libnsl|libutil|libanl)\.so' |
        grep -vE '/lib(cuda|cudart|cublas|cublasLt|nccl|nvidia-ml)\.so' || true
}

# stripped FOLDER FILE... - copies, without what only a debugger reads
stripped() {
    to=$1
    shift
    mkdir -p "$to"
    for file in "$@"; do
        case $file in *.o | *.d) continue ;; esac
        [ -f "$file" ] || continue
        cp -L "$file" "$to/"
        strip -g "$to/$(basename "$file")"
    done
}

cp -L "$built/nightmill" "$folder/nightmill"
[ ! -f "$built/libnightmill-cuda.so" ] || cp "$built/libnightmill-cuda.so" "$folder/"
cp -r examples/tidy examples/*.jsonl "$folder/examples/"
rm -rf "$folder/examples/tidy/train"
cp README.md LICENSE "$folder/"

# To check a device: the suites, the models that they read, the benchmarks.
cp tests/gpu_check.sh "$folder/"
stripped "$folder/tests" "$built"/tests/test_cuda_* "$built"/tests/e2e_cuda "$built"/tests/e2e_cuda_rows
stripped "$folder/bench" "$built/bench/bench_gpu" "$built/bench/bench_quality" "$built/bench/make_model"
stripped "$folder/tests" "$built/libnightmill-emu.so"
cp -r tests/golden "$folder/tests/golden"
cp bench/generate_batch.py "$folder/bench/"
mkdir -p "$folder/kernels" "$folder/data/models/stories260K"
cp kernels/SPEED.md "$folder/kernels/"
for part in goldens.json model-bf16.safetensors hf stories260K-f32.gguf stories260K-q8_0.gguf; do
    [ ! -e "$data/models/stories260K/$part" ] || cp -r "$data/models/stories260K/$part" "$folder/data/models/stories260K/"
done
chmod -R u+w "$folder"

# shellcheck disable=SC2046
for library in $(libraries "$folder/nightmill" $(find "$folder" -name 'libnightmill-*.so') "$folder"/tests/*_cuda* \
    "$folder"/bench/bench_*); do cp -nL "$library" "$folder/lib/"; done
"$folder/nightmill" version
size=$(du -sm "$folder" | cut -f1)
echo "dist: $folder, $(find "$folder/lib" -type f | wc -l) libraries, $size MiB"
[ -f "$folder/libnightmill-cuda.so" ] || echo "dist: without CUDA: there was no nvcc to build the plug-in with"
[ "$size" -le "$most_mib" ] || { echo "dist: more than $most_mib MiB"; exit 1; }

#!/bin/sh
# Makes a folder that runs on a bare machine: the program, the shared libraries it needs (all but glibc's own, which
# every system has), the default model and the examples.
#
#   sh clients/dist.sh PROGRAM FOLDER
set -eu

program=$1
folder=$2
rm -rf "$folder"
mkdir -p "$folder/lib" "$folder/examples"
cp -L "$program" "$folder/nightmill"
ldd "$program" | awk '$2 == "=>" && $3 ~ /^\// {print $3}' |
    grep -vE '/(libc|libm|libpthread|libdl|librt|ld-linux[^/]*|libresolv|libnsl|libutil|libanl)\.so' |
    while read -r library; do cp -L "$library" "$folder/lib/"; done
cp -r examples/tidy examples/*.jsonl "$folder/examples/"
rm -rf "$folder/examples/tidy/train"
cp README.md LICENSE "$folder/"
"$folder/nightmill" version
echo "dist: $folder, $(find "$folder/lib" -type f | wc -l) libraries, $(du -sh "$folder" | cut -f1)"

#!/bin/sh
# Installs what is missing of the Debian packages below; says what, and uses sudo only when not root.
# This is the one list of packages.
set -eu

build="gcc g++ libc6-dev make pkg-config git libsqlite3-dev libzmq3-dev libmsgpack-dev libjansson-dev libpcre2-dev
libutf8proc-dev libsodium-dev"
tests="check clang clang-format-14 gzip libclang-rt-14-dev python3-venv xz-utils"

missing=""
for package in $build $tests; do
    dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=""
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "deps: not root and no sudo; install by hand:$missing" >&2; exit 3; }
    as_root=sudo
fi
echo "deps: installing with apt-get:$missing"
$as_root apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
echo "deps: done"

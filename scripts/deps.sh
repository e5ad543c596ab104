#!/bin/sh
# SPDX-License-Identifier: MIT
# Install what is missing, on Debian, as root: `deps.sh build` for the programs, `deps.sh test` for
# the test suite as well.
set -eu

build="gcc libc6-dev cmake make pkg-config zlib1g-dev libzstd-dev libxxhash-dev libisal-dev libdeflate-dev"
test="$build clang libclang-rt-14-dev libcmocka-dev bats spin mandoc jq socat zstd procps util-linux mount e2fsprogs xfsprogs iproute2 python3-minimal systemd gdb
	gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user qemu-system-x86 musl-tools"

case ${1-} in
build) wanted=$build ;;
test) wanted=$test ;;
*) echo "usage: deps.sh build|test" >&2; exit 64 ;;
esac

missing=
for package in $wanted; do
	dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
	echo "deps.sh: please install:$missing" >&2
	exit 69
fi
echo "installing:$missing"
apt-get update -q >/dev/null
# shellcheck disable=SC2086 # a list of packages
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >/dev/null

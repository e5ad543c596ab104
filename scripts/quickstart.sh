#!/bin/sh
# SPDX-License-Identifier: MIT
# Everything once, on a fresh Debian as root: install what is missing, build, make an image of mixed
# content, move it over loopback with 8 channels, compare.
set -eu
cd "$(dirname "$0")/.."

scripts/deps.sh build
cmake -S . -B build -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF >/dev/null
cmake --build build -j "$(nproc)" >/dev/null
echo "built: build/mfd-send build/mfd-recv"

work=$(mktemp -d)
receiver=
cleanup() {
	[ -z "$receiver" ] || kill "$receiver" 2>/dev/null || :
	rm -rf "$work"
}
trap cleanup EXIT

# 256 MiB: a hole, zeros that were written, text that compresses, and random bytes that don't.
image=$work/image.bin
truncate -s 64M "$image"
head -c 64M /dev/zero >>"$image"
seq -f 'page %.0f of an image that compresses well' 1 1000000000 | head -c 64M >>"$image"
head -c 64M /dev/urandom >>"$image"
echo "image: $(stat -c %s "$image") bytes, $(du -k "$image" | cut -f1) KiB of them allocated"

build/mfd-recv --listen 127.0.0.1:0 --port-file "$work/port" "$work/out.bin" &
receiver=$!
tries=0
until [ -s "$work/port" ]; do
	tries=$((tries + 1))
	[ $tries -lt 100 ] || { echo "the receiver does not listen" >&2; exit 1; }
	sleep 0.1
done
build/mfd-send "$image" "127.0.0.1:$(cat "$work/port")" --channels 8
wait "$receiver"
receiver=

cmp "$image" "$work/out.bin"
echo "identical: $(stat -c %s "$work/out.bin") bytes"

#!/bin/sh
# SPDX-License-Identifier: MIT
# The zero test's NEON variant, built for aarch64 and run under qemu-user.
set -eu
cd "$(dirname "$0")/../.."

for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
	command -v $tool >/dev/null || { echo "$tool is missing (Debian: gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)"; exit 77; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
aarch64-linux-gnu-gcc -std=gnu17 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -Ilib -o "$work/zero_variants" \
	tests/unit/zero_variants.c lib/base/zero*.c
timeout 100 qemu-aarch64 -L /usr/aarch64-linux-gnu "$work/zero_variants" neon
timeout 100 qemu-aarch64 -L /usr/aarch64-linux-gnu "$work/zero_variants" portable

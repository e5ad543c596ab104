#!/bin/sh
# SPDX-License-Identifier: MIT
# The programs are built as distributions build theirs: position independent, bound at once,
# read-only after that, no executable stack, stack protector, fortified libc calls.  A program that
# is none of this shows that the test can see it.
#
# usage: hardening.sh COMPILER BUILD-TYPE
set -eu

bin=${MFD_BIN_DIR:-build} cc=${1:-cc} type=${2:-Release}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

skip() {
	echo "skipped: $*"
	exit 77
}

# lacks PROGRAM: what it does not have, a word each.
lacks() {
	readelf -hldW "$1" >"$work/elf"
	readelf -W --dyn-syms "$1" >"$work/symbols"
	grep -qE '^ *Type: *DYN' "$work/elf" || printf ' PIE'
	grep -qE 'BIND_NOW|FLAGS_1.*NOW' "$work/elf" || printf ' BIND_NOW'
	grep -q 'GNU_RELRO' "$work/elf" || printf ' RELRO'
	grep -qE 'GNU_STACK.* RW ' "$work/elf" || printf ' GNU_STACK'
	grep -q '__stack_chk_fail' "$work/symbols" || printf ' stack-protector'
	[ "$type" = Debug ] || grep -qE ' __(v?snprintf|memcpy|read|poll|fprintf)_chk' "$work/symbols" || printf ' FORTIFY_SOURCE'
}

command -v readelf >/dev/null || skip "no readelf"
echo 'int main(void) { return 0; }' >"$work/plain.c"
"$cc" -O1 -fno-stack-protector -no-pie -Wl,-z,norelro,-z,lazy,-z,execstack "$work/plain.c" -o "$work/plain" 2>/dev/null ||
	skip "$cc builds no program without all that"
type=Release
found=$(lacks "$work/plain")
if [ "$found" != " PIE BIND_NOW RELRO GNU_STACK stack-protector FORTIFY_SOURCE" ]; then
	echo "a program without any of it is said to lack only:$found" >&2
	exit 1
fi
type=${2:-Release}

status=0
for program in mfd-send mfd-recv; do
	found=$(lacks "$bin/$program")
	if [ -n "$found" ]; then
		echo "$program lacks:$found" >&2
		status=1
	fi
done
exit $status

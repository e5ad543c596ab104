#!/bin/sh
# SPDX-License-Identifier: MIT
# What readelf(1) says about core files that this build's parts make, and about aarch64's, built by a cross compiler and made
# under qemu-user.
#
# usage: readelf.sh MAKE_CORE
set -eu
cd "$(dirname "$0")/../.."

command -v readelf >/dev/null || { echo "skipped: readelf is missing (Debian: binutils)"; exit 77; }
make_core=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C

fail() {
	echo "$*" >&2
	exit 1
}

# expect WHAT WANTED GOT
expect() {
	[ "$2" = "$3" ] || fail "$name: $1: $3 instead of $2"
}

told() {
	sed -n "s/^$1 //p" "$work/told"
}

# check NAME MACHINE SEGMENTS COMMAND...: make a core of so many segments and look at it.
check() {
	name=$1 machine=$2 segments=$3
	shift 3
	"$@" "$work/core" "$segments" >"$work/told" || fail "$name: no core was made"
	readelf -hW "$work/core" >"$work/header" 2>"$work/err"
	readelf -lW "$work/core" >"$work/segments" 2>>"$work/err"
	# Register sets that it does not know are printed byte by byte, in lines without end.
	readelf -nW "$work/core" 2>>"$work/err" | cut -c 1-200 >"$work/notes"
	[ ! -s "$work/err" ] || fail "$name: readelf warns: $(head -n 3 "$work/err")"

	expect type CORE "$(sed -n 's/^ *Type: *\([A-Z]*\).*/\1/p' "$work/header")"
	expect machine "$machine" "$(sed -n 's/^ *Machine: *//p' "$work/header")"
	# Beyond what 16 bits can count readelf prints "65535 (the number)".
	expect "program headers" "$(told headers)" \
		"$(sed -n 's/^ *Number of program headers: *\(.*\)/\1/p' "$work/header" | sed 's/.*(\(.*\))/\1/')"
	expect "segments of notes" 1 "$(grep -c '^ *NOTE ' "$work/segments")"
	expect "segments of memory" "$segments" "$(grep -c '^ *LOAD ' "$work/segments")"
	expect "segments in the file" 2 "$(awk '$1 == "LOAD" && $5 !~ /^0x0+$/' "$work/segments" | wc -l)"
	awk '$1 == "LOAD" { print $2 }' "$work/segments" | while read -r offset; do
		[ $((offset % 4096)) -eq 0 ] || fail "$name: a segment at $offset"
	done

	expect NT_PRSTATUS "$(told threads)" "$(grep -c "CORE *$(told prstatus).*NT_PRSTATUS" "$work/notes")"
	expect NT_FPREGSET "$(told threads)" "$(grep -c 'CORE *0x00000200.*NT_FPREGSET' "$work/notes")"
	expect "register sets of the machine" "$(told threads)" "$(grep -c 'LINUX *0x00000200' "$work/notes")"
	expect NT_PRPSINFO 1 "$(grep -c "CORE *$(told prpsinfo).*NT_PRPSINFO" "$work/notes")"
	expect NT_SIGINFO 1 "$(grep -c 'CORE *0x00000080.*NT_SIGINFO' "$work/notes")"
	expect NT_AUXV 1 "$(grep -c 'CORE .*NT_AUXV' "$work/notes")"
	expect NT_FILE 1 "$(grep -c 'CORE .*NT_FILE' "$work/notes")"
	expect "order of the notes" "NT_PRSTATUS NT_PRPSINFO NT_SIGINFO NT_AUXV NT_FILE NT_FPREGSET" \
		"$(grep -o '\bNT_[A-Z]*' "$work/notes" | head -n 6 | tr '\n' ' ' | sed 's/ $//')"
	echo "$name: as it should be"
}

case $(uname -m) in
x86_64) machine="Advanced Micro Devices X86-64" ;;
aarch64) machine=AArch64 ;;
*) echo "skipped: no core files are made on $(uname -m)"; exit 77 ;;
esac
check "this machine" "$machine" 5 "$make_core"
check "this machine, as many as 16 bits count" "$machine" 65533 "$make_core"
check "this machine, more than 16 bits count" "$machine" 70000 "$make_core"

for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
	command -v $tool >/dev/null || { echo "skipped: $tool is missing (Debian: gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)"; exit 77; }
done
aarch64-linux-gnu-gcc -std=gnu17 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -Ilib -o "$work/make_core" tests/process/make_core.c \
	lib/process/layout.c lib/process/maps.c lib/process/notes.c lib/process/notes_proc.c lib/base/error.c lib/base/io.c
check aarch64 AArch64 5 timeout 100 qemu-aarch64 -L /usr/aarch64-linux-gnu "$work/make_core"
check "aarch64, more than 16 bits count" AArch64 70000 timeout 100 qemu-aarch64 -L /usr/aarch64-linux-gnu "$work/make_core"

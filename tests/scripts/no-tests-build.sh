#!/bin/sh
# SPDX-License-Identifier: MIT
# A build without tests needs a compiler and the libraries of the programs, nothing else; it gives
# no warnings with gcc or clang; and installing it puts everything where GNU directories want it.
set -eu
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

skip() {
	echo "skipped: $*"
	exit 77
}

fail() {
	echo "$*" >&2
	exit 1
}

# quiet COMMAND...: what it prints is shown if it fails.
quiet() {
	"$@" >"$work/log" 2>&1 || {
		cat "$work/log"
		fail "failed: $*"
	}
}

command -v cmake >/dev/null || skip "no cmake"
command -v pkg-config >/dev/null || skip "no pkg-config"

# Only what the programs need can be found.
mkdir "$work/pc"
for package in zlib libzstd libxxhash; do
	dir=$(pkg-config --variable=pcfiledir "$package") || skip "no $package.pc"
	cp "$dir/$package.pc" "$work/pc/"
done

# build COMPILER: into $work/COMPILER, with warnings as errors.
build() {
	echo "building with $1"
	quiet env "PKG_CONFIG_LIBDIR=$work/pc" PKG_CONFIG_PATH= cmake -S . -B "$work/$1" \
		"-DCMAKE_C_COMPILER=$1" -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF -DMFD_WERROR=ON
	quiet cmake --build "$work/$1" -j "$(nproc)"
	[ -z "$(find "$work/$1" -name '*_test*')" ] || fail "tests were built"
}

# installed FILE...: these, and nothing else, are below $work/root.
installed() {
	for file in "$@"; do
		[ -f "$work/root/$file" ] || fail "not installed: $file"
	done
	find "$work/root" -type f | sort >"$work/there"
	for file in "$@"; do
		echo "$work/root/$file"
	done | sort | diff - "$work/there" >&2 || fail "more was installed"
}

compilers=
for compiler in gcc clang; do
	if command -v "$compiler" >/dev/null; then
		build "$compiler"
		compilers="$compilers $compiler"
	else
		echo "no $compiler here: not built with it"
	fi
done
[ -n "$compilers" ] || skip "neither gcc nor clang"
first=${compilers# }
first=${first%% *}

echo "installing"
quiet cmake --install "$work/$first" --prefix "$work/root"
installed bin/mfd-send bin/mfd-recv share/man/man1/mfd-send.1 share/man/man1/mfd-recv.1 share/man/man7/mfd-wire.7 \
	lib/systemd/system/mfd-recv@.socket lib/systemd/system/mfd-recv@.service libexec/mfd/mfd-recv-service \
	share/doc/mfd/README.md share/doc/mfd/LICENSE
for program in mfd-send mfd-recv; do
	[ -x "$work/root/bin/$program" ] || fail "$program is not executable"
	"$work/root/bin/$program" --version >/dev/null || fail "$program does not start from where it was installed"
done

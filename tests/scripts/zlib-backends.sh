#!/bin/sh
# SPDX-License-Identifier: MIT
# The libraries that make the method zlib faster are optional.  With each subset of them mfd builds
# without a warning, its tests of methods pass, and the programs name what they use; one that is
# asked for and missing stops CMake with what to do about it.
set -eu
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
receiver=
cleanup() {
	[ -z "$receiver" ] || kill "$receiver" 2>/dev/null || :
	rm -rf "$work"
}
trap cleanup EXIT

skip() {
	echo "skipped: $*"
	exit 77
}

fail() {
	echo "$*" >&2
	exit 1
}

# quiet COMMAND...: what it prints is kept in $work/log, and shown if it fails.
quiet() {
	"$@" >"$work/log" 2>&1 || {
		cat "$work/log"
		fail "failed: $*"
	}
}

# configure OPTION...: with the libraries that are there.
configure() {
	cmake -S . -B "$work/build" -DCMAKE_BUILD_TYPE=Debug -DMFD_WERROR=ON "$@"
}

# without_them COMMAND...: with neither library to be found.
without_them() {
	env "PKG_CONFIG_LIBDIR=$work/pc" PKG_CONFIG_PATH= "$@"
}

# What was configured.
build_and_test() {
	quiet cmake --build "$work/build" -j 2 --target mfd-send --target mfd-recv --target method_test --target method_damage_test \
		--target method_zlib_test
	for test in method_test method_damage_test method_zlib_test; do
		quiet "$work/build/tests/$test"
	done
}

# moved LEVEL ENCODER DECODER: a transfer at this level says these names.
moved() {
	rm -f "$work/port"
	"$work/build/mfd-recv" -q -l 127.0.0.1:0 --port-file "$work/port" --accept-timeout 20s --json="$work/recv" null: &
	receiver=$!
	for _ in $(seq 200); do
		[ -s "$work/port" ] && break
		sleep 0.1
	done
	"$work/build/mfd-send" -q -C 1 -z zlib --level="$1" --json="$work/send" LICENSE "127.0.0.1:$(cat "$work/port")"
	wait "$receiver"
	receiver=
	tail -n 1 "$work/send" | grep -q "\"backend\":\"$2\"" || fail "level $1: the sender does not say $2: $(tail -n 1 "$work/send")"
	tail -n 1 "$work/recv" | grep -q "\"backend\":\"$3\"" || fail "level $1: the receiver does not say $3: $(tail -n 1 "$work/recv")"
}

mkdir "$work/pc"
for package in libzstd libxxhash cmocka; do
	dir=$(pkg-config --variable=pcfiledir "$package") || skip "no $package.pc"
	cp "$dir/$package.pc" "$work/pc/"
done

echo "neither to be found"
quiet without_them cmake -S . -B "$work/build" -DCMAKE_BUILD_TYPE=Debug -DMFD_WERROR=ON
grep -q 'no libisal>=.*libisal-dev' "$work/log" || fail "CMake does not say that libisal is missing: $(cat "$work/log")"
grep -q 'no libdeflate>=.*libdeflate-dev' "$work/log" || fail "CMake does not say that libdeflate is missing: $(cat "$work/log")"
build_and_test
moved 1 zlib zlib
moved 9 zlib zlib

for name in ISAL LIBDEFLATE; do
	echo "$name asked for and not to be found"
	if without_them cmake -S . -B "$work/missing" "-DMFD_WITH_$name=ON" >"$work/log" 2>&1; then
		fail "MFD_WITH_$name=ON passes without it"
	fi
	grep -q "MFD_WITH_$name is ON" "$work/log" || fail "MFD_WITH_$name=ON without it fails for another reason: $(cat "$work/log")"
	grep -q "apt-get install" "$work/log" || fail "MFD_WITH_$name=ON without it does not say what to do: $(cat "$work/log")"
	rm -r "$work/missing"
done

pkg-config --exists 'libisal >= 2.30' || skip "the rest: no libisal here (Debian: libisal-dev)"
pkg-config --exists 'libdeflate >= 1.14' || skip "the rest: no libdeflate here (Debian: libdeflate-dev)"

echo "libisal only"
quiet configure -DMFD_WITH_ISAL=ON -DMFD_WITH_LIBDEFLATE=OFF
build_and_test
moved 1 igzip zlib
moved 2 zlib zlib

echo "libdeflate only"
quiet configure -DMFD_WITH_ISAL=OFF -DMFD_WITH_LIBDEFLATE=ON
build_and_test
moved 1 libdeflate libdeflate

echo "both"
quiet configure -DMFD_WITH_ISAL=AUTO -DMFD_WITH_LIBDEFLATE=AUTO
grep -q 'zlib streams: libisal 2' "$work/log" || fail "CMake does not say that it found libisal: $(cat "$work/log")"
build_and_test
moved 1 igzip libdeflate
moved 2 libdeflate libdeflate

echo "both there and switched off"
quiet configure -DMFD_WITH_ISAL=OFF -DMFD_WITH_LIBDEFLATE=OFF
quiet cmake --build "$work/build" -j 2 --target mfd-send --target mfd-recv
if ldd "$work/build/mfd-send" | grep -E 'libisal|libdeflate'; then
	fail "switched off, but linked"
fi
moved 1 zlib zlib

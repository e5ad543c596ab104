#!/bin/bash
# SPDX-License-Identifier: MIT
# Which lines do the tests reach?  Builds with gcc --coverage, runs the unit and session tests and
# the fuzzers' corpora, and prints for each folder how many of its lines ran; with -v those that did
# not, by file.
#
# usage: coverage.sh [-v] [FOLDER...]       default: lib/wire lib/recv compress; exit status 1 if one is not over 90 %
set -eu
cd "$(dirname "$0")/.."

verbose=
if [ "${1-}" = -v ]; then
	verbose=yes
	shift
fi
[ $# -gt 0 ] || set -- lib/wire lib/recv compress

command -v gcov >/dev/null || { echo "coverage.sh: gcov is missing (Debian: gcc)" >&2; exit 69; }
build='build-coverage'
cmake -S . -B $build -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=Debug -DMFD_HARDENING=OFF -DBUILD_TESTING=ON \
	-DCMAKE_C_FLAGS="--coverage -fprofile-update=atomic" -DCMAKE_EXE_LINKER_FLAGS=--coverage >/dev/null
cmake --build $build -j "$(nproc)" >/dev/null
find $build -name '*.gcda' -delete
# What runs programs or scripts is left out: it says the same, slowly.
ctest --test-dir $build -j "$(nproc)" --output-on-failure \
	-E '^(cli-|layers|barriers|model|zlib-backends|neon|argp-stub|no-tests-build|hardening|systemd|help|man|.*-stress.*|.*-long)' |
	tail -n 4

# lines FOLDER: "FILE RAN ALL" of each file of it; what no test has loaded has run nowhere.
lines() {
	find "$1" -name '*.c' | sort | while read -r file; do
		object=$build/CMakeFiles/mfd.dir/$file
		[ -e "$object.gcno" ] || continue
		gcov -n -r -s "$PWD" -o "$object.o" "$file" 2>/dev/null | awk -v file="$file" '
			/^File / { mine = ($0 == "File \x27" file "\x27") }
			mine && /^Lines executed:/ {
				split($0, part, /[:% ]+/)
				printf "%s %.0f %d\n", file, part[3] * part[5] / 100, part[5]
				exit
			}'
	done
}

# missed FILE: its lines that did not run.
missed() {
	gcov -t -r -s "$PWD" -o "$build/CMakeFiles/mfd.dir/$1.o" "$1" 2>/dev/null |
		awk -v file="$1" '
			/:Source:/ { mine = ($0 ~ ":Source:" file "$") }
			mine && /^ *#####:/ { sub(/^ *#####: */, ""); print "\t" file ":" $0 }'
}

status=0
for folder in "$@"; do
	figures=$(lines "$folder")
	[ -n "$figures" ] || { echo "$folder: nothing was built of it" >&2; exit 1; }
	printf '%s\n' "$figures" | awk -v folder="$folder" '
		{ ran += $2; all += $3 }
		END { printf "%s: %.1f %% of %d lines\n", folder, 100 * ran / all, all; exit 100 * ran / all <= 90 }' || status=1
	[ -n "$verbose" ] || continue
	printf '%s\n' "$figures" | while read -r file ran all; do
		printf '    %s: %d of %d\n' "$file" "$ran" "$all"
		missed "$file"
	done
done
exit $status

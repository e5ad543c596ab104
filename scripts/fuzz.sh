#!/bin/bash
# SPDX-License-Identifier: MIT
# Fuzz everything that parses, with ASan and UBSan: each target for so many seconds, a whole
# receiving session for three times as long.
# One line for each; exit status 1 if there is a finding, which stays in build-fuzz/findings.  What
# is found on the way that reaches new code is kept in build-fuzz/corpus, for the next run;
# tests/fuzz/corpus is only read.
#
# usage: fuzz.sh [SECONDS [TARGET...]]      default: 60, all
set -u
cd "$(dirname "$0")/.." || exit 1

seconds=${1:-60}
case $seconds in
'' | *[!0-9]* | 0*) echo "usage: fuzz.sh [SECONDS [TARGET...]]" >&2; exit 64 ;;
esac
shift $(($# > 0))
[ $# -gt 0 ] || set -- preamble packet hashes message method session

command -v clang >/dev/null || { echo "fuzz.sh: clang is missing (Debian: clang, libclang-rt-14-dev)" >&2; exit 69; }
cmake --preset fuzz -DBUILD_TESTING=ON >/dev/null || exit 1
cmake --build build-fuzz -j "$(nproc)" --target "${@/#/fuzz_}" >/dev/null || exit 1

export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
mkdir -p build-fuzz/findings
status=0
for target in "$@"; do
	log=build-fuzz/$target.log
	mkdir -p "build-fuzz/corpus/$target"
	time=$seconds
	[ "$target" != session ] || time=$((3 * seconds))
	result=clean
	"build-fuzz/tests/fuzz_$target" -max_total_time="$time" -timeout=30 -max_len=65536 -print_final_stats=1 \
		-artifact_prefix="build-fuzz/findings/$target-" "build-fuzz/corpus/$target" "tests/fuzz/corpus/$target" \
		>"$log" 2>&1 || { result="FINDING, see $log" status=1; }
	runs=$(sed -nE 's/^stat::number_of_executed_units: *//p' "$log")
	covered=$(sed -nE 's/.* cov: ([0-9]+) .*/\1/p' "$log" | tail -n 1)
	echo "$target: ${runs:-?} runs in $time s, ${covered:-?} edges, $result"
done
exit $status

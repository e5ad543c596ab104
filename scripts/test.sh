#!/bin/sh
# SPDX-License-Identifier: MIT
# Install what is missing, build and run the test suite: plain, with ASan and UBSan, and with TSan
# for whatever has threads.
# `test.sh long` runs the tests with the label `long` as well.
set -eu
cd "$(dirname "$0")/.."

scripts/deps.sh test
jobs=$(nproc)
case ${1-} in
long) which="" ;;
"") which="-LE long" ;;
*) echo "usage: test.sh [long]" >&2; exit 64 ;;
esac

# run PRESET CTEST-OPTIONS...: configured by preset, built, tested.
run() {
	preset=$1 dir=build-$1
	[ "$preset" != release ] || dir=build
	shift
	echo "== $preset"
	cmake --preset "$preset" -DBUILD_TESTING=ON -DMFD_WERROR=ON >/dev/null
	cmake --build --preset "$preset" -j "$jobs" >/dev/null
	# shellcheck disable=SC2086 # a list of options
	ctest --preset "$preset" -j "$jobs" $which "$@"
	# Why whatever was skipped could not run here.
	grep -hE '^(ok .* # skip|\[ +SKIPPED|SKIPPED|skipped)|: skipped' "$dir/Testing/Temporary/LastTest.log" | sort -u || :
}

export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export TSAN_OPTIONS="halt_on_error=1 second_deadlock_stack=1"

run release
run asan
run tsan -L threads

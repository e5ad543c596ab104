#!/bin/sh
# SPDX-License-Identifier: MIT
# Break mfd: at least 10000 faults from a seed, and for at least so many seconds.
#
#	hostile.sh [SECONDS [SEED]]    300 and 1 by default
#	hostile.sh --case CASE         one session case again, with all it has to say
#
# First evil peers and strangers against the real mfd-recv, then the real programs with a hostile proxy between them, for a fifth
# of the time, then thousands of sessions in one process.  Prints counts for each kind of fault and how it ended; the exit status
# is not 0 after a violation, and the line that repeats the case is printed with it.
set -eu
cd "$(dirname "$0")/.."

build=build
if [ "${1-}" != --case ]; then
	seconds=${1:-300} seed=${2:-1}
	case $seconds$seed in
	*[!0-9]*) echo "usage: hostile.sh [SECONDS [SEED]] | --case CASE" >&2; exit 64 ;;
	esac
fi
cmake --preset release -DBUILD_TESTING=ON >/dev/null
cmake --build --preset release -j "$(nproc)" >/dev/null
export MFD_BIN_DIR="$PWD/$build" MFD_TEST_DIR="$PWD/$build/tests"
if [ "${1-}" = --case ]; then
	exec "$build/tests/hostile_session" --case "$2"
fi

failed=0
for peers in lies strangers; do
	"$build/tests/hostile_$peers" 2>/dev/null || [ $? -eq 77 ] || failed=1
done
tests/hostile/processes.sh $((seconds / 5)) "$seed" || failed=1
"$build/tests/hostile_session" $((seconds - seconds / 5)) "$seed" 10000 || failed=1
exit $failed

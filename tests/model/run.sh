#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Run the model of the hand-off: whole, in several sizes, which must pass with every state visited;
# and with one part left out at a time, which must fail, and for the reason that is expected.  One
# line each.  Exit 77 if spin is not installed.
set -u

model=$(dirname "$(readlink -f "$0")")/handoff.pml
CC=${CC:-cc}
failures=0

if ! command -v spin >/dev/null 2>&1; then
	echo "model: skipped: spin is not installed"
	exit 77
fi
dir=$(mktemp -d "${TMPDIR:-/tmp}/mfd-model.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
cd "$dir" || exit 1

# What pan found into $found: an error, "passes", or why the search says nothing.
search() # options
{
	rm -f pan pan.c out
	found="could not be built"
	spin -a "$@" "$model" >build 2>&1 || { cat build; return; }
	"$CC" -O2 -w -DSAFETY -DCOLLAPSE -DMEMLIM=2048 -o pan pan.c >build 2>&1 || { cat build; return; }

	found="did not end within 200 s"
	timeout 200 ./pan -m100000 -w22 >out 2>&1 || { cat out; return; }

	if grep -q 'search depth too small' out; then
		found="search depth too small"
	elif grep -q '^pan:1: ' out; then
		found=$(grep -m 1 '^pan:1: ' out)
	elif grep -q 'Search not completed' out || ! grep -q 'errors: 0$' out; then
		cat out
		found="search not completed"
	else
		found=passes
	fi
}

report() # name, ok or FAILED, what was found
{
	printf '%-6s  %-28s  %s\n' "$2" "$1" "$3"
	[ "$2" = ok ] || failures=$((failures + 1))
}

must_pass() # name, options
{
	name=$1
	shift
	search "$@"
	if [ "$found" = passes ]; then
		report "$name" ok "passes, $(awk '/states, stored/ { print $1 }' out) states"
	else
		report "$name" FAILED "$found"
	fi
}

must_fail() # what is left out, part of what pan must say, options
{
	name=$1
	reason=$2
	shift 2
	search "$@" "-D$name"
	case $found in
	passes)
		report "$name" FAILED "passes, but must fail: $reason" ;;
	pan:1:*"$reason"*)
		report "$name" ok "fails as it must: $reason" ;;
	*)
		report "$name" FAILED "$found; expected: $reason" ;;
	esac
}

must_pass "one channel, two slots" -DCHANNELS=1 -DLOSSES=1 -DROUND_1=5 -DROUND_2=7
must_pass "two channels" -DCHANNELS=2 -DLOSSES=0 -DROUND_1=3 -DROUND_2=4
must_pass "two channels, one is lost" -DCHANNELS=2 -DLOSSES=1 -DROUND_1=1 -DROUND_2=2
must_pass "lost and opened again" -DCHANNELS=1 -DLOSSES=1 -DREOPENS=1 -DROUND_1=2 -DROUND_2=3
must_pass "given up and opened again" -DCHANNELS=1 -DLOSSES=0 -DGIVEN_UP=1 -DREOPENS=1 -DROUND_1=1 -DROUND_2=2
must_pass "two slots, late wakes" -DCHANNELS=1 -DLOSSES=1 -DROUND_1=5 -DROUND_2=7 -DLATE_WAKE

asleep='invalid end state'
content='got==expected['
answer='expected[i]==0'
must_fail NO_SLEEPER_FENCE "$asleep"
must_fail NO_WAKER_FENCE "$asleep"
must_fail NO_RECHECK "$asleep"
must_fail NO_DOOR_WAKE "$asleep"
must_fail NO_TOKEN "$asleep"
must_fail NO_TOKEN_ORDER 'assertion violated ((fill['
must_fail NO_RELEASE "$content"
must_fail NO_TAKE_ACQUIRE "$content"
must_fail NO_DONE_RELEASE "$answer"
must_fail NO_ACQUIRE_FENCE "$answer"
must_fail NO_OPEN_WAKE "$asleep" -DREOPENS=1 -DROUND_1=2 -DROUND_2=3
must_fail NO_INTERRUPT_ONCE 'assertion violated 0' -DLOSSES=0 -DGIVEN_UP=2 -DROUND_1=1 -DROUND_2=2
must_fail NO_SYNC_ON_LOST 'delivered==' -DCHANNELS=2 -DROUND_1=2 -DROUND_2=3

[ "$failures" -eq 0 ] || { echo "model: $failures of the above are not as they must be"; exit 1; }

#!/bin/bash
# SPDX-License-Identifier: MIT
# How long does a process stand still while its core is taken?  A program of several threads that keeps changing its memory is
# copied with --live, with --freeze=all and by gcore, in turns; the table has the medians.  Each core is held against the sums that
# the program keeps of its pages, and a debugger is asked the same of all three.
#
# usage: bench-live.sh [-b BUILD] [-m MiB] [-r MB/S] [-d DOWNTIME] [-n RUNS] [-z METHOD] [-t RATIO]
#
#	MiB         that the program keeps changing (1024), at MB/S (20)
#	DOWNTIME    for --live (50ms)
#	RUNS        of each (3)
#	METHOD      for --compress (none)
#	RATIO       what --freeze=all's median downtime has to be of --live's, at least (10); 0: it is only shown
#
# Exit status 1: a core is a mixture, an answer differs, or --live is not that much better.  All files are in one directory in
# $TMPDIR, which is best a tmpfs (default /dev/shm), with room for two cores.  Freeze of gcore: how long /proc shows the program as
# stopped, looked at every millisecond; of mfd: downtime and other stops, as it says itself.
set -eu

build=build mib=1024 rate=20 downtime=50ms runs=3 method=none ratio=10
while getopts b:m:r:d:n:z:t: option; do
	case $option in
	b) build=$OPTARG ;;
	m) mib=$OPTARG ;;
	r) rate=$OPTARG ;;
	d) downtime=$OPTARG ;;
	n) runs=$OPTARG ;;
	z) method=$OPTARG ;;
	t) ratio=$OPTARG ;;
	*) sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 64 ;;
	esac
done
build=$(cd "$build" && pwd)
program=$build/tests/live_target
for needed in "$build/mfd-send" "$build/mfd-recv" "$program"; do
	[ -x "$needed" ] || { echo "bench-live.sh: not built: $needed" >&2; exit 69; }
done

work=$(mktemp -d "${TMPDIR:-/dev/shm}/mfd-bench-live.XXXXXX")
target='' recv='' watch=''
clean()
{
	for pid in $watch $recv $target; do
		kill -9 "$pid" 2>/dev/null || continue
		wait "$pid" 2>/dev/null || :
	done
	rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
cd "$work"

fail()
{
	echo "bench-live.sh: $*" >&2
	exit 1
}

# await SECONDS COMMAND...
await()
{
	local limit=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))

	shift
	until "$@"; do
		[ ${EPOCHREALTIME/[.,]/} -lt "$limit" ] || fail "waited in vain: $*"
		sleep 0.01
	done
}

# number FILE KEY: of a line of JSON.
number()
{
	tail -n 1 "$1" | sed -n "s/.*\"$2\": *\([0-9]*\).*/\1/p"
}

# note HOW SECONDS FREEZE-MS: a line of results, with the size of the core.
note()
{
	printf '%s %s %s %s %s\n' "$1" "$2" "$3" "$(stat -c %s core)" "${4:--}" >>results
}

check()
{
	"$program" check core >check.txt 2>&1 || fail "$1: the core is a mixture: $(head -n 1 check.txt)"
	if command -v gdb >/dev/null; then
		answers >"answers.$1"
	fi
	rm core
}

# What can be compared of a program that never stands still: which of its functions its threads are in, how many of them but for those
# that live for a moment only; the auxiliary vector, and the files that it has mapped.
answers()
{
	gdb -nx -q -batch -iex 'set debuginfod enabled off' -ex 'thread apply all bt' -ex 'info auxv' -ex 'info proc mappings' \
		"$program" core >gdb.txt 2>gdb.err
	awk '/^Thread / { delete seen; inside = 1 } !inside { next }
		/^#/ && match($0, / (main|churn|breed) \(/) { name = substr($0, RSTART + 1, RLENGTH - 3); if (!seen[name]++) print name }' gdb.txt | sort
	grep ' AT_' gdb.txt
	# Of the mappings only: frames name files too, and the line that a thread was at.
	sed -nE 's/^ +0x.* (\/.*)$/\1/p' gdb.txt | sort -u
}

take_mfd()
{
	local how=$1

	shift
	rm -f port
	"$build/mfd-recv" -q --no-fsync --listen 127.0.0.1:0 --port-file port core &
	recv=$!
	await 10 test -s port
	"$build/mfd-send" -q -z "$method" --json=send.json "$@" "pid:$target" "127.0.0.1:$(cat port)" || fail "$how: status $?"
	wait "$recv" || fail "$how: the receiver: status $?"
	recv=''
	note "$how" "$(number send.json elapsed_ns | awk '{ print $1 / 1e9 }')" \
		"$(awk "BEGIN { print ($(number send.json downtime_ns) + 0$(number send.json stopped_ns)) / 1e6 }")" \
		"$(number send.json downtime_ns | awk '{ print $1 / 1e6 }')"
	echo "$how $(number send.json bytes_wire)" >>wire
	check "$how"
}

# How long the program is stopped, in ms, until gcore has gone.
watch_stops()
{
	perl -MTime::HiRes=time,usleep -e '
		my ($pid, $gone) = @ARGV; my ($since, $sum) = (0, 0);
		until (-e $gone) {
			open(my $f, "<", "/proc/$pid/stat") or last;
			my ($state) = <$f> =~ /\) (.)/;
			if ($state eq "t") { $since ||= time } elsif ($since) { $sum += time - $since; $since = 0 }
			usleep(1000);
		}
		printf "%.3f\n", 1000 * $sum' "$target" gone >stops
}

take_gcore()
{
	local began=$EPOCHREALTIME took

	rm -f gone
	watch_stops &
	watch=$!
	gcore -o gcore "$target" >gcore.txt 2>&1 || fail "gcore: $(tail -n 1 gcore.txt)"
	took=$(awk "BEGIN { print $EPOCHREALTIME - $began }")
	touch gone
	wait "$watch"
	watch=''
	mv "gcore.$target" core
	note gcore "$took" "$(cat stops)"
	check gcore
}

# median HOW COLUMN
median()
{
	awk -v how="$1" -v column="$2" '$1 == how { print $column }' results | sort -g |
		awk '{ a[NR] = $1 } END { print NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'
}

"$program" "$mib" "$rate" churn >ready &
target=$!
await 60 grep -q ready ready
for ((run = 0; run < runs; run++)); do
	take_mfd live --live --downtime="$downtime"
	take_mfd frozen --freeze=all
	if command -v gcore >/dev/null; then
		take_gcore
	fi
done
kill -0 "$target" || fail "the program has ended"

printf '%-8s %10s %12s %12s %14s %14s   (medians of %d; %d MiB changing at %d MB/s)\n' how 'total s' 'frozen ms' 'downtime ms' 'core bytes' \
	'wire bytes' "$runs" "$mib" "$rate"
for how in live frozen gcore; do
	grep -q "^$how" results || continue
	printf '%-8s %10.3f %12.2f %12.2f %14.0f %14s\n' $how "$(median $how 2)" "$(median $how 3)" \
		"$(median $how "$([ $how = gcore ] && echo 3 || echo 5)")" "$(median $how 4)" \
		"$(awk -v how=$how '$1 == how { print $2 }' wire | sort -g | awk '{ a[NR] = $1 } END { print NR ? a[int((NR + 1) / 2)] : "-" }')"
done
if [ -e answers.gcore ]; then
	for how in live frozen; do
		diff answers.gcore answers.$how || fail "$how: a debugger says something else than of gcore's core"
	done
	echo "every core agrees with the program's own sums, and gdb says the same of all three"
fi
awk -v live="$(median live 5)" -v frozen="$(median frozen 5)" -v ratio="$ratio" \
	'BEGIN { printf "downtime: --freeze=all %.1f times --live\n", frozen / live; exit frozen < live * ratio }' ||
	fail "less than $ratio times"

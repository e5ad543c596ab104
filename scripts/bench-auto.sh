#!/bin/bash
# SPDX-License-Identifier: MIT
# How close does --compress auto come to the best fixed setting?  For each path, transfers with auto
# and with a fixed setting take turns, and the table has the median of the ratios of neighbours:
# below 1 auto was faster.
#
# usage: bench-auto.sh [-b BUILD] [-i IMAGE] [-r RUNS] [-m MiB] [-c CHANNELS] [-a AUTO] [-s SETTINGS] [PATH...]
#
#	PATH        100mbit 1gbit 10gbit (any rate tc knows: veth pair and tbf, needs root), loopback, delay (50 ms each way through a
#	            delay line that holds 4 MiB for each connection and direction); default: all five
#	IMAGE       what the images are cut from, in pieces from all of it; default: text and random bytes made here
#	MiB         size of the image; default: 64 up to 100 Mbit/s, 256 otherwise
#	AUTO        what is compared with the rest, as METHOD or METHOD:LEVEL; default auto
#	SETTINGS    the fixed ones; default: none zstd:-5 zstd:-1 zstd:1 zstd:3 zstd:6 zstd:9
#
# All files are in one directory in /dev/shm (or $TMPDIR), all namespaces are named after this
# process; both go whatever happens.
set -eu

build=build image='' runs=5 mib='' channels='' auto=auto
settings='none zstd:-5 zstd:-1 zstd:1 zstd:3 zstd:6 zstd:9'
while getopts b:i:r:m:c:a:s: option; do
	case $option in
	b) build=$OPTARG ;;
	i) image=$OPTARG ;;
	r) runs=$OPTARG ;;
	m) mib=$OPTARG ;;
	c) channels=$OPTARG ;;
	a) auto=$OPTARG ;;
	s) settings=$OPTARG ;;
	*) sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 64 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- 100mbit 1gbit 10gbit loopback delay
build=$(cd "$build" && pwd)

work=$(mktemp -d "${TMPDIR:-/dev/shm}/mfd-bench-auto.XXXXXX")
near=mfd-$$-near far=mfd-$$-far
recv_pid='' line_pid=''
clean()
{
	for pid in $recv_pid $line_pid; do
		kill -9 "$pid" 2>/dev/null || continue
		wait "$pid" 2>/dev/null || :
	done
	drop_link
	rm -rf "$work"
}
drop_link()
{
	ip netns del "$near" 2>/dev/null || :
	ip netns del "$far" 2>/dev/null || :
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# make_link RATE: two namespaces, a veth pair between them, tbf on both ends.  Its queue holds 10
# ms, a burst 1 ms or what one large segment takes.
make_link()
{
	local bits

	drop_link
	bits=$(echo "$1" | sed -E 's/kbit$/000/; s/mbit$/000000/; s/gbit$/000000000/')
	ip netns add "$near"
	ip netns add "$far"
	ip link add veth0 netns "$near" type veth peer name veth0 netns "$far"
	for end in "$near:1" "$far:2"; do
		ip -n "${end%:*}" addr add "10.77.0.${end#*:}/24" dev veth0
		ip -n "${end%:*}" link set veth0 up
		ip netns exec "${end%:*}" tc qdisc add dev veth0 root tbf rate "$1" \
			burst $((bits / 8000 > 131072 ? bits / 8000 : 131072)) latency 10ms
	done
}

# make_image MiB: 32 pieces in equal distances, so that each size has some of everything.
make_image()
{
	local piece=$(($1 * 1024 / 32)) all

	if [ -n "$image" ]; then
		all=$(($(stat -Lc %s "$image") / 1024))
		for i in $(seq 0 31); do
			dd if="$image" bs=1K skip=$((all * i / 32)) count=$piece iflag=fullblock status=none
		done >"$work/image"
		return
	fi
	for _ in $(seq 0 31); do
		head -c $((piece * 256)) /dev/zero
		head -c $((piece * 128)) /dev/urandom
		tar -cf - /usr/bin /usr/lib /usr/share 2>/dev/null | tail -c +$((RANDOM * 1024 + 1)) | head -c $((piece * 640)) || :
	done >"$work/image"
}

# wait_for FILE PID: until the file has something in it, at most 10 s, and while the process lives.
wait_for()
{
	for _ in $(seq 1000); do
		[ -s "$1" ] && return
		kill -0 "$2" || break
		sleep 0.01
	done
	echo "$0: ${1##*/}: nobody wrote it" >&2
	exit 1
}

# transfer PATH SETTING: prints nanoseconds, as the sender has them, and wire bytes.
transfer()
{
	local there='' here='' host=127.0.0.1 listen=127.0.0.1:0 port method=${2%%:*} level=${2#*:}

	case $1 in
	loopback | delay) ;;
	*) there="ip netns exec $far" here="ip netns exec $near" host=10.77.0.2 listen=10.77.0.2:0 ;;
	esac
	[ "$method" = "$level" ] && level='' || level="--level=$level"
	rm -f "$work/port" "$work/line"
	# shellcheck disable=SC2086 # words
	$there "$build/mfd-recv" -q --listen $listen --port-file "$work/port" --accept-timeout 20s --force "$work/out" &
	recv_pid=$!
	wait_for "$work/port" "$recv_pid"
	port=$(cat "$work/port")
	if [ "$1" = delay ]; then
		"$build/tests/delay_line" "$work/line" "$port" 50 4194304 &
		line_pid=$!
		wait_for "$work/line" "$line_pid"
		port=$(cat "$work/line")
	fi
	# shellcheck disable=SC2086
	$here "$build/mfd-send" -q --json "$work/image" "$host:$port" --compress="$method" $level ${channels:+--channels=$channels} |
		sed -nE 's/.*"event":"summary".*"bytes_wire":([0-9]+).*"elapsed_ns":([0-9]+).*/\2 \1/p'
	wait "$recv_pid"
	recv_pid=''
	if [ -n "$line_pid" ]; then
		kill "$line_pid"
		wait "$line_pid" 2>/dev/null || :
		line_pid=''
	fi
	rm -f "$work/out"
}

# measure PATH: lines of "SETTING AUTO-ns AUTO-bytes FIXED-ns FIXED-bytes", who comes first taking
# turns.
measure()
{
	local run setting first second

	transfer "$1" "$auto" >/dev/null
	for run in $(seq "$runs"); do
		for setting in $settings; do
			if [ $((run % 2)) = 1 ]; then
				first=$(transfer "$1" "$auto")
				second=$(transfer "$1" "$setting")
			else
				second=$(transfer "$1" "$setting")
				first=$(transfer "$1" "$auto")
			fi
			echo "$setting $first $second"
		done
	done
}

# table PATH: medians from measure's lines, and how auto stands against the fastest.
table()
{
	awk -v path="$1" -v order="$settings" -v name="$auto" '
	function median(list,   a, n, i, j, t) {
		n = split(list, a, " ")
		for (i = 2; i <= n; i++)
			for (j = i; j > 1 && a[j - 1] + 0 > a[j] + 0; j--) { t = a[j]; a[j] = a[j - 1]; a[j - 1] = t }
		return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
	}
	NF == 5 { ratio[$1] = ratio[$1] " " $2 / $4; fixed[$1] = fixed[$1] " " $4; bytes[$1] = bytes[$1] " " $5
		  mine = mine " " $2; wire = wire " " $3 }
	END {
		printf "%-9s %-9s %8s %8s %s\n", path, "setting", "seconds", "MB wire", name " / setting"
		n = split(order, o, " ")
		for (i = 1; i <= n; i++) {
			if (!(o[i] in ratio)) continue
			s = median(fixed[o[i]])
			if (!best || s < fastest) { best = o[i]; fastest = s }
			printf "%-9s %-9s %8.3f %8.1f %.3f\n", "", o[i], s / 1e9, median(bytes[o[i]]) / 1e6, median(ratio[o[i]])
		}
		printf "%-9s %-9s %8.3f %8.1f %.3f of the best, %s\n\n", "", name, median(mine) / 1e9, median(wire) / 1e6,
			median(ratio[best]), best
	}'
}

for path in "$@"; do
	case $path in
	loopback | delay) size=${mib:-256} ;;
	*kbit | ?mbit | ??mbit | 100mbit) size=${mib:-64} ;;
	*) size=${mib:-256} ;;
	esac
	make_image "$size"
	case $path in
	loopback | delay) ;;
	*) make_link "$path" ;;
	esac
	measure "$path" >"$work/figures"
	table "$path" <"$work/figures"
done

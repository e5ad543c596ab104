#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Memory belongs to channels and packets, never to the image: the formula of the manual pages (MEMORY) is held here, for images of
# 1 GiB and 8 GiB.  Peaks are of resident memory, in KiB.

# shellcheck disable=SC2030,SC2031,SC2034,SC2154 # each test is a subshell; T and BIN are common.bash's

load common

PEAK=${MFD_TEST_DIR:-$BIN/tests}/peak
CHANNELS=4
PACKET=256

prepare() {
	if sanitized; then
		skip "sanitizers take memory of their own"
	fi
	[ -x "$PEAK" ] || skip "no peak: $PEAK"
}

# scattered FILE GIBIBYTES: a page of data in each 256 KiB, so that as many packets come as if all of it were data.
scattered() {
	truncate -s "$2G" "$1"
	perl -e 'open F, "+<", $ARGV[0] or die; srand 1; my $page = pack "L*", map { int rand 4294967296 } 1 .. 1024;
		for (my $at = 0; $at < $ARGV[1] << 30; $at += 262144) { sysseek F, $at, 0; syswrite(F, $page) == 4096 or die; }' "$1" "$2"
}

# measure NAME IMAGE SENDER-ARGUMENT...: a transfer to null:; the peaks are in NAME.send and NAME.recv.
measure() {
	local name=$1 image=$2

	shift 2
	rm -f recv.port
	spawn recv "$PEAK" "$name.recv" "$BIN/mfd-recv" --listen 127.0.0.1:0 --port-file "$T/recv.port" "${RECEIVE[@]}" null:
	await_port recv
	FROM=${STDIN-} spawn send "$PEAK" "$name.send" "$BIN/mfd-send" "$image" "127.0.0.1:$PORT" --channels $CHANNELS \
		--packet-size ${PACKET}K "$@"
	ends send 0 $((3 * PATIENCE))
	ends recv 0
}

# at_most FILE KIB
at_most() {
	echo "$1: $(cat "$1") KiB, allowed are $2"
	[ "$(cat "$1")" -le "$2" ]
}

# grew_little SMALL LARGE: by less than 64 bytes for each packet more.
grew_little() {
	at_most "$2" $(($(cat "$1") + 28672 * 64 / 1024))
}

# The formula: sender, with what it takes for CODEC and how many PACKETS it holds; receiver.
sender_bound() {
	echo $((4096 + CHANNELS * ($2 * PACKET + $1 + 256)))
}

receiver_bound() {
	echo $((4096 + CHANNELS * (2 * PACKET + 512)))
}

@test "a file of 8 GiB takes no more memory than one of 1 GiB, at either end, with any method" {
	local method codec mode

	scattered one 1
	scattered eight 8
	while read -r method codec mode; do
		RECEIVE=(--quiet "--cache=$mode")
		measure one one -q -z "$method" "--cache=$mode"
		measure eight eight -q -z "$method" "--cache=$mode"
		for name in one eight; do
			at_most $name.send "$(sender_bound "$codec" 1)"
			at_most $name.recv "$(receiver_bound)"
		done
		grew_little one.send eight.send
		grew_little one.recv eight.recv
	done <<-END
		none 0 keep
		zlib $((PACKET + 512)) drop
		zstd $((PACKET + 1024)) direct
	END
}

@test "a stream takes no more memory than its pool, however much comes" {
	RECEIVE=(--quiet)
	mkfifo stream
	for name in 256M 2G; do
		head -c "$name" /dev/zero | tr '\0' 'm' >stream &
		STDIN=stream measure "$name" - -q -z none
		at_most "$name.send" "$(sender_bound 0 16)"
		at_most "$name.recv" "$(receiver_bound)"
	done
	grew_little 256M.recv 2G.recv
}

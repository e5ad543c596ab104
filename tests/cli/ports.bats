#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What scripts rely on: free ports and port files, several transfers at once, restarts, and who is let in.
# shellcheck disable=SC2030,SC2031,SC2034,SC2153 # each test is a subshell; STATUS, PORT and T are common.bash's

load common

setup_file() {
	random_image "$BATS_FILE_TMPDIR/image" 2000001
}

prepare() {
	IMAGE=$BATS_FILE_TMPDIR/image
	RECEIVE=(--quiet)
}

# cancel NAME: by SIGINT, within the 2 s that it may take.
cancel() {
	kill -INT "${PID[$1]}"
	ends "$1" 130 $((2 * SLACK))
}

@test "the port file holds the port and a newline, comes by rename, and is gone at exit" {
	echo old >other
	ln other recv.link
	mkdir ports
	mv recv.link ports/file
	spawn recv "$BIN/mfd-recv" --listen 127.0.0.1:0 --port-file ports/file out
	until_true "$PATIENCE" changed ports/file old
	[ "$(cat other)" = old ]
	[ "$(ls -A ports)" = file ]
	PORT=$(cat ports/file)
	printf '%d\n' "$PORT" | cmp - ports/file
	[ "$PORT" -ge 1 ]

	send send "$IMAGE"
	ends send 0
	ends recv 0
	same "$IMAGE" out
	[ -z "$(ls -A ports)" ]
}

changed() {
	[ "$(cat "$1")" != "$2" ]
}

@test "the port file is gone after a cancel and after nobody came" {
	receive recv out
	cancel recv
	[ ! -e recv.port ]
	receive recv out --accept-timeout 200ms
	ends recv 75
	[ ! -e recv.port ]
	nothing_left out
}

@test "a port file that can't be written is 73 before anybody can connect" {
	spawn recv "$BIN/mfd-recv" --listen 127.0.0.1:0 --port-file nowhere/port --accept-timeout 5 out
	ends recv 73
	nothing_left out
}

@test "two transfers side by side have two ports and do not mix" {
	random_image image.2 1500000 77
	receive recv1 out.1
	first=$PORT
	receive recv2 out.2
	[ "$first" != "$PORT" ]
	send send2 image.2 -C 4
	PORT=$first send send1 "$IMAGE" -C 4
	ends send1 0
	ends send2 0
	ends recv1 0
	ends recv2 0
	same "$IMAGE" out.1
	same image.2 out.2
}

@test "a port that is in use is refused with 69, and its owner is not disturbed" {
	receive recv out
	spawn second "$BIN/mfd-recv" --listen "127.0.0.1:$PORT" out.2
	ends second 69
	says second "mfd-recv: 127.0.0.1:$PORT*Address already in use"
	nothing_left out.2
	send send "$IMAGE"
	ends send 0
	ends recv 0
	same "$IMAGE" out
}

@test "cancelled in the middle and started again at once on the same port, 100 times" {
	rounds=100
	! sanitized || rounds=15
	receive recv out
	port=$PORT
	for ((i = 0; i < rounds; i++)); do
		PORT=$port
		send send "$IMAGE" -C 2 -z none --bwlimit 200K
		began recv
		cancel recv
		ends send 75
		nothing_left out
		spawn recv "$BIN/mfd-recv" --listen "127.0.0.1:$port" --port-file recv.port out
		await_port recv
	done
	send send "$IMAGE" -C 2
	ends send 0
	ends recv 0
	same "$IMAGE" out
}

@test "nobody within --accept-timeout is 75; strangers do not make it longer" {
	before=$(now_ms)
	receive recv out --accept-timeout 500ms
	exec 5<>"/dev/tcp/127.0.0.1/$PORT"
	ends recv 75
	exec 5>&-
	took=$(($(now_ms) - before))
	[ "$took" -ge 500 ]
	[ "$took" -lt $((1500 * SLACK)) ]
	says recv 'mfd-recv: *'
	nothing_left out
}

@test "who comes within --accept-timeout may take longer than it" {
	limit=1
	! sanitized || limit=3
	receive recv out --accept-timeout "$limit"
	send send "$IMAGE" -z none --bwlimit $((1200000 / limit))
	ends send 0
	ends recv 0
	same "$IMAGE" out
}

@test "--allow lets in whom it names and nobody else; the receiver waits on" {
	receive recv out --allow 192.0.2.1 --allow 198.51.100.0/24
	send send "$IMAGE" --connect-timeout 5
	reap send
	[ "$STATUS" -ne 0 ]
	[ -s send.err ]
	gone "${PID[recv]}" && fail "the receiver has gone"
	cancel recv
	nothing_left out

	for range in 127.0.0.1 127.0.0.0/8 0.0.0.0/0; do
		rm -f out
		receive recv out --allow 192.0.2.1 --allow "$range"
		send send "$IMAGE"
		ends send 0
		ends recv 0
		same "$IMAGE" out
	done
}

@test "a second sender is told that the receiver is busy (75); the first is not disturbed" {
	receive recv out
	send first "$IMAGE" -z none --bwlimit 1M
	began recv
	send second "$IMAGE"
	ends second 75
	says second 'mfd-send: *remote: *busy*'
	ends first 0
	ends recv 0
	same "$IMAGE" out
}

@test "--max-size is 73 at both ends: size known, size not known, and just large enough" {
	receive recv out --max-size 2000000
	send send "$IMAGE"
	ends recv 73
	ends send 73
	says send '*remote: *max-size*'
	says recv 'mfd-recv: *max-size*'
	nothing_left out

	receive recv out --max-size 1000000
	STDIN=$IMAGE send send -
	ends recv 73
	ends send 73
	nothing_left out

	# Less than a page over: only END can tell.
	receive recv out --max-size 2000000
	STDIN=$IMAGE send send -
	ends recv 73
	ends send 73
	nothing_left out

	RECEIVE+=(--max-size 2000001)
	move "$IMAGE" out
	same "$IMAGE" out
	STDIN=$IMAGE move - out.2
	same "$IMAGE" out.2
}

@test "more channels than --max-channels are refused, and the receiver waits on for fewer" {
	receive recv out --max-channels 3
	send send "$IMAGE" -C 4
	ends send 78
	says send '*remote: *max-channels*'
	send send "$IMAGE" -C 3
	ends send 0
	ends recv 0
	same "$IMAGE" out
}

# Knock at PORT in every way but the right one.  Descriptors 100 to 139 stay open: bash keeps the lower ones for itself.
strangers() {
	local fd

	for fd in {100..139}; do
		eval "exec $fd<>/dev/tcp/127.0.0.1/$PORT" || return 1
		case $((fd % 4)) in
		0) printf 'GET / HTTP/1.1\r\nHost: here\r\n\r\n' >&"$fd" ;;
		1) printf '\x89MFD\r\n\x1a\n\0\1' >&"$fd" ;; # the beginning of a preamble
		2) head -c 5000 "$IMAGE" >&"$fd" ;;
		esac 2>/dev/null || :
	done
}

strangers_leave() {
	local fd

	for fd in {100..139}; do
		eval "exec $fd>&-"
	done
}

@test "strangers before the session and during it disturb nothing" {
	receive recv out
	strangers
	send send "$IMAGE" -C 8 -z none --bwlimit 1500K
	began recv
	strangers_leave
	strangers
	both_end 0
	strangers_leave
	same "$IMAGE" out
}

@test "strangers who fill the queue and say nothing do not keep the sender out" {
	receive recv out
	for ((fd = 100; fd < 400; fd++)); do
		eval "exec $fd<>/dev/tcp/127.0.0.1/$PORT"
	done
	send send "$IMAGE" -C 32
	both_end 0
	for ((fd = 100; fd < 400; fd++)); do
		eval "exec $fd>&-"
	done
	same "$IMAGE" out
}

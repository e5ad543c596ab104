#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A service manager listens and starts the receiver with its socket; and what the service makes of it.
# shellcheck disable=SC2030,SC2031,SC2034,SC2153 # each test is a subshell; STATUS, PORT and T are common.bash's

load common

setup_file() {
	random_image "$BATS_FILE_TMPDIR/image" 3000001
	random_image "$BATS_FILE_TMPDIR/image2" 1000001 2
}

prepare() {
	IMAGE=$BATS_FILE_TMPDIR/image
	SCRIPTS=$BATS_TEST_DIRNAME/../../scripts/systemd
}

# manage COUNT COMMAND...: as a service manager would; its port is PORT.
manage() {
	rm -f manager.port
	spawn manager perl "$BATS_TEST_DIRNAME/manager.pl" manager.port "$@"
	await_port manager
}

@test "a receiver takes the socket that it was started with" {
	manage 1 "$BIN/mfd-recv" --json=json out
	send send "$IMAGE" -C 5
	ends send 0
	ends manager 0
	same "$IMAGE" out
	says manager "mfd-recv: listening on port $PORT"
	[ "$(head -n 1 json | jq -r '.listen, .port' | tr '\n' ' ')" = "LISTEN_FDS $PORT " ]
}

@test "the service: each transfer gets a directory of its own, and the next one starts it again" {
	mkdir state
	STATE_DIRECTORY=$T/state manage 3 "$SCRIPTS/mfd-recv-service" "$BIN/mfd-recv" --accept-timeout=10s -q
	send send "$IMAGE"
	ends send 0
	send send "$IMAGE" # the first may still be busy with its end, and the socket is there all the time
	ends send 0
	send send "$BATS_FILE_TMPDIR/image2" -C 1
	ends send 0
	ends manager 0
	[ "$(find state -mindepth 1 -maxdepth 1 -type d -perm 700 | wc -l)" = 3 ]
	[ "$(find state -type f -perm 600 | wc -l)" = 3 ]
	sizes=$(find state -path '*Z.??????/image' -printf '%s\n' | sort -n | tr '\n' ' ')
	[ "$sizes" = "1000001 3000001 3000001 " ]
}

@test "the service: what came to nothing is tidied away, images are not" {
	mkdir -p state/20260101T000000Z.abcdef state/20260101T000001Z.abcdef state/other
	echo image >state/20260101T000001Z.abcdef/image
	STATE_DIRECTORY=$T/state "$SCRIPTS/mfd-recv-service" --tidy
	[ "$(find state -mindepth 1 | sort | tr '\n' ' ')" = \
		"state/20260101T000001Z.abcdef state/20260101T000001Z.abcdef/image state/other " ]
	STATE_DIRECTORY=$T/nothing "$SCRIPTS/mfd-recv-service" --tidy
}

@test "a stranger who only knocks starts a receiver that waits for somebody better" {
	manage 1 "$BIN/mfd-recv" -v --accept-timeout=20s out
	printf 'GET / HTTP/1.1\r\nHost: localhost:7700\r\nUser-Agent: curl/7.88.1\r\n\r\n' >"/dev/tcp/127.0.0.1/$PORT"
	until_true "$PATIENCE" grep -q 'dropped' manager.err
	send send "$IMAGE"
	ends send 0
	ends manager 0
	same "$IMAGE" out
}

@test "--listen and passed sockets do not go together, and sockets of somebody else are not taken" {
	manage 1 "$BIN/mfd-recv" --listen 127.0.0.1:0 out
	: >"/dev/tcp/127.0.0.1/$PORT"
	ends manager 64
	grep -q 'LISTEN_FDS' manager.err

	LISTEN_PID=1 LISTEN_FDS=1 receive recv out
	send send "$IMAGE"
	both_end 0
	run env LISTEN_PID=1 LISTEN_FDS=1 "$BIN/mfd-recv" out2
	[ "$status" -eq 64 ]
}

# passing FDS COMMAND...: it is told that descriptors from 3 on, FDS of them, are sockets.
passing() {
	bash -c 'LISTEN_PID=$$ LISTEN_FDS=$1; export LISTEN_PID LISTEN_FDS; shift; exec "$@" 3</dev/null 4<&3 5<&3' - "$@"
}

@test "what is passed must be one or two listening sockets" {
	run passing 1 "$BIN/mfd-recv" out
	[ "$status" -eq 64 ]
	[[ $output == "mfd-recv: descriptor 3, which was passed, is no listening TCP socket" ]]
	run passing 3 "$BIN/mfd-recv" out
	[ "$status" -eq 64 ]
	[[ $output == "mfd-recv: 3 sockets were passed, 1 or 2 are allowed" ]]
	nothing_left out
}

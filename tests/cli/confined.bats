#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What the receiver gives up once it listens: privileges and, where the kernel has Landlock, the rest of the file system.
# shellcheck disable=SC2030,SC2031,SC2034,SC2153 # each test is a subshell; STATUS, PORT and T are common.bash's

load common

setup_file() {
	random_image "$BATS_FILE_TMPDIR/image" 2000001
}

prepare() {
	IMAGE=$BATS_FILE_TMPDIR/image
}

# free_threads NAME: how many of its threads could still gain privileges.
free_threads() {
	grep -h NoNewPrivs "/proc/${PID[$1]}"/task/*/status | grep -vc '1$'
}

all_confined() {
	[ "$(free_threads "$1")" = 0 ]
}

said_confined() {
	grep -q 'mfd-recv: \(confined by Landlock (ABI [0-9]*)\|not confined: .*\)$' "$1.err"
}

@test "every thread of a receiver gives up new privileges, the one that hears signals too" {
	[ "$(grep -c NoNewPrivs /proc/self/status)" = 1 ] || skip "this kernel does not show NoNewPrivs"
	receive recv out
	until_true "$PATIENCE" all_confined recv
	kill -INT "${PID[recv]}"
	ends recv 130 $((2 * SLACK))
	nothing_left out
}

@test "a receiver says with -v whether it is confined, and not without" {
	receive recv out -v
	until_true "$PATIENCE" said_confined recv
	send send "$IMAGE"
	both_end 0
	same "$IMAGE" out

	receive plain out2
	send send "$IMAGE"
	ends send 0
	ends plain 0
	run said_confined plain
	[ "$status" -ne 0 ]
}

@test "a confined receiver keeps what it promised: JSON file, port file, and a replaced output elsewhere" {
	mkdir there ports
	echo old >there/out
	ln -s there/out out
	spawn recv "$BIN/mfd-recv" --listen 127.0.0.1:0 --port-file ports/port --json=json --force out
	until_true "$PATIENCE" test -s ports/port
	PORT=$(cat ports/port)
	send send "$IMAGE"
	both_end 0
	same "$IMAGE" there/out
	[ -L out ]
	[ "$(field json event)" = summary ]
	[ -z "$(ls -A ports)" ]
}

@test "a confined receiver that refuses an image leaves nothing behind" {
	receive recv out --max-size 1M
	send send "$IMAGE"
	both_end 73
	nothing_left out
}

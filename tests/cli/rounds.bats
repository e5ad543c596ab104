#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A file that somebody writes to is walked again and again, and frozen for the last round: then the image is of one moment.

# shellcheck disable=SC2030,SC2031,SC2034,SC2153 # each test is a subshell; STATUS, PORT and T are common.bash's

load common

TESTS=${MFD_TEST_DIR:-$BIN/tests}

prepare() {
	RECEIVE=(--quiet)
	[ -x "$TESTS/file_writer" ] || fail "not built: $TESTS/file_writer"
}

is_ready() {
	grep -qs '^ready' "$T/writer.out" || gone "${PID[writer]}"
}

# writes HOW [MIB [MB/S]]: somebody who writes to the file `ram`, by mmap or write; its process ID is WRITER.
writes() {
	spawn writer "$TESTS/file_writer" ram "${2:-32}" "${3:-20}" "$1"
	until_true "$PATIENCE" is_ready || fail "not ready" || return 1
	WRITER=${PID[writer]}
}

state() {
	sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status"
}

runs() {
	[[ $(state "$WRITER") = [RSD] ]]
}

# It is neither stopped nor traced, and writes.
goes_on() {
	local before after

	until_true "$PATIENCE" runs || fail "the writer is in state $(state "$WRITER")" || return 1
	grep -q '^TracerPid:[[:space:]]*0$' "/proc/$WRITER/status" || fail "the writer is traced" || return 1
	before=$(od -An -tu8 -j24 -N8 ram)
	changed() {
		after=$(od -An -tu8 -j24 -N8 ram)
		[ "$after" -gt "$before" ]
	}
	until_true "$PATIENCE" changed || fail "the writer does not write"
}

is_of_one_moment() {
	"$TESTS/file_writer" check image || fail "the image is a mixture" || return 1
	goes_on
}

# Commands that stop the writer and let it go on, and write down that they were run: FREEZE and THAW.  `hold` and its content
# (a status, or nothing) make the first one wait until `go` is there, and end so.
with_commands() {
	cat >freeze.sh <<-END
		echo "freeze \$MFD_IMAGE" >>calls
		kill -STOP $WRITER
		until grep -q '^State:.*T' /proc/$WRITER/status; do sleep 0.01; done
		echo >frozen
		if [ -e hold ]; then
			until [ -e go ]; do sleep 0.01; done
			exit \$(cat hold)
		fi
	END
	cat >thaw.sh <<-END
		kill -CONT $WRITER
		echo thaw >>calls
	END
	FREEZE="sh freeze.sh" THAW="sh thaw.sh"
}

called() {
	[ "$(tr '\n' ' ' <calls)" = "$1" ]
}

@test "somebody who writes through a mapping, frozen by his process ID: the image is of one moment" {
	writes mmap
	move ram image --rounds 5 --until 300 --freeze-pid "$WRITER" --json=send.json
	is_of_one_moment
	[ "$(field send.json rounds)" -ge 2 ]
	[ "$(field send.json rounds)" -le 5 ]
	[ "$(field send.json downtime_ns)" -gt 0 ]
	[ "$(field send.json tracker)" = hashes ]
	[ "$(field send.json 'round_pages | length')" -eq "$(field send.json rounds)" ]
	[ "$(field send.json 'round_pages[0]')" -ge 4096 ]
	says send '*live: * rounds of *found by hashes'
	says send '*downtime*'
}

@test "somebody who writes by write(2), on several channels, over an older image in place" {
	writes write
	random_bytes 30000000 50000000 >image
	RECEIVE+=(--inplace --force)
	move ram image --rounds 3 --freeze-pid "$WRITER" --channels 4 -v
	is_of_one_moment
	says send '*round 1: * pages sent, * changed meanwhile'
	[ "$(stat -c %s image)" = "$(stat -c %s ram)" ]
}

@test "frozen by commands: each is run once, the image is of one moment" {
	writes mmap
	with_commands
	move ram image --rounds 3 --freeze-cmd "$FREEZE" --thaw-cmd "$THAW" --json=send.json
	is_of_one_moment
	called "freeze ram thaw "
	[ "$(field send.json downtime_ns)" -gt 0 ]
}

@test "mfd-send is killed while the writer is frozen by a command: it goes on" {
	writes mmap
	with_commands
	: >hold
	receive recv image "${RECEIVE[@]}"
	send send ram --rounds 2 --freeze-cmd "$FREEZE" --thaw-cmd "$THAW" --max-freeze 60s
	until_true "$PATIENCE" test -e frozen
	[ "$(state "$WRITER")" = T ]
	kill -KILL "${PID[send]}"
	ends send 137
	: >go
	until_true "$PATIENCE" called "freeze ram thaw "
	goes_on
	ends recv 75
	nothing_left image
}

@test "mfd-send is killed while the writer is frozen by its process ID: it goes on" {
	writes mmap
	for pause in 0.05 0.2 0.35; do
		receive recv image "${RECEIVE[@]}"
		send send ram --rounds 2 --freeze-pid "$WRITER" --compress none
		began send
		sleep "$pause"
		kill -KILL "${PID[send]}" 2>/dev/null || :
		reap send
		reap recv
		goes_on
		rm -f image
	done
}

@test "mfd-send is interrupted while a freeze command runs: it ends soon, the writer goes on" {
	writes mmap
	with_commands
	: >hold
	receive recv image "${RECEIVE[@]}"
	send send ram --rounds 2 --freeze-cmd "$FREEZE" --thaw-cmd "$THAW" --max-freeze 60s
	until_true "$PATIENCE" test -e frozen
	kill -TERM "${PID[send]}"
	ends send 143
	: >go
	until_true "$PATIENCE" called "freeze ram thaw "
	goes_on
	ends recv 75
}

@test "a freeze command that fails: 78, and what it began is undone" {
	writes mmap
	with_commands
	echo 3 >hold
	: >go
	receive recv image "${RECEIVE[@]}"
	send send ram --rounds 2 --freeze-cmd "$FREEZE" --thaw-cmd "$THAW"
	both_end 78
	says send '*the freeze command failed: exit status 3'
	says recv '*remote: the freeze command failed: exit status 3'
	called "freeze ram thaw "
	goes_on
	nothing_left image
}

@test "a freeze command that takes too long: 75, it is ended, and the thaw command run" {
	writes mmap
	with_commands
	: >hold
	receive recv image "${RECEIVE[@]}"
	send send ram --rounds 2 --freeze-cmd "$FREEZE" --thaw-cmd "$THAW" --max-freeze 500ms
	both_end 75
	says send '*did not end within 500 ms, all that --max-freeze allows*'
	called "freeze ram thaw "
	goes_on
}

@test "a thaw command that fails: 78, and no image" {
	writes mmap
	with_commands
	receive recv image "${RECEIVE[@]}"
	send send ram --rounds 2 --freeze-cmd "$FREEZE" --thaw-cmd "$THAW; exit 5"
	both_end 78
	says send '*the thaw command failed: exit status 5*'
	nothing_left image
	goes_on
}

@test "the freeze ends when --max-freeze has run out: 75 at both ends, and the writer goes on" {
	writes mmap
	receive recv image "${RECEIVE[@]}"
	send send ram --rounds 2 --freeze-pid "$WRITER" --max-freeze 1ms
	# Within a millisecond it may not even have stopped; then the message is another one.
	both_end 75
	nothing_left image
	goes_on
	# And with more time it is copied.
	move ram image --rounds 2 --freeze-pid "$WRITER" --max-freeze 60s
	is_of_one_moment
}

@test "--rounds and --until without a freeze: as many rounds, and no downtime" {
	writes mmap 16 20
	move ram image --rounds 3 --json=send.json
	[ "$(field send.json rounds)" -eq 3 ]
	[ "$(field send.json downtime_ns)" = null ]
	rm image
	move ram image --until 1000000 --json=send.json
	[ "$(field send.json rounds)" -eq 2 ]
	goes_on
	# When nobody writes any more one round is enough, and the image is the file.
	kill -KILL "$WRITER"
	reap writer || :
	rm image
	move ram image --rounds 5 --json=send.json
	[ "$(field send.json rounds)" -eq 1 ]
	same ram image
}

@test "connections that are lost during the rounds: the image is of one moment" {
	writes mmap
	receive recv image "${RECEIVE[@]}"
	proxy '+:reset=4000000'
	send send ram --rounds 4 --freeze-pid "$WRITER" --channels 4 --compress none --json=send.json
	both_end 0
	is_of_one_moment
	[ "$(field send.json failovers)" -gt 0 ]
}

has_come() {
	[ "$(stat -c %b image.mfd-partial 2>/dev/null || echo 0)" -gt 10000 ]
}

@test "the receiver is killed during the rounds: it begins again, with what had come" {
	writes mmap
	with_commands
	receive recv image --resume "${RECEIVE[@]}"
	send send ram --rounds 3 --retry forever --freeze-cmd "$FREEZE" --thaw-cmd "$THAW" --compress none \
		--bwlimit 20M --json=send.json
	until_true "$PATIENCE" has_come || fail "nothing came"
	kill -KILL "${PID[recv]}"
	reap recv
	spawn recv "$BIN/mfd-recv" --listen "127.0.0.1:$PORT" image --resume "${RECEIVE[@]}"
	both_end 0
	is_of_one_moment
	[ "$(field send.json pages_kept)" -gt 0 ]
	says send '*; again in *'
}

@test "an older image as the basis, and rounds" {
	writes mmap
	cp ram old
	RECEIVE+=(--basis old)
	move ram image --rounds 3 --freeze-pid "$WRITER" --json=send.json
	is_of_one_moment
	[ "$(field send.json pages_kept)" -gt 0 ]
}

@test "a file that becomes shorter between the rounds: 66; one that grows keeps the size it had" {
	random_image file 20000000
	receive recv image "${RECEIVE[@]}"
	send send file --rounds 2 --compress none --bwlimit 10M
	began send
	truncate -s 1M file
	both_end 66
	says send '*became shorter*'
	nothing_left image

	random_image file 20000000
	cp file before
	receive recv image "${RECEIVE[@]}"
	send send file --rounds 2 --compress none --bwlimit 20M
	began send
	truncate -s 30M file
	both_end 0
	same before image
}

@test "shared memory that stands still is given up when --max-freeze has run out, not at its end" {
	writes mmap
	receive recv image "${RECEIVE[@]}"
	send send "pid:$WRITER:$T/ram" --max-freeze 100ms --bwlimit 2M --compress none --json=send.json
	both_end 75
	says send '*was frozen for 100 ms, all that --max-freeze allows*'
	[ "$(field send.json bytes_wire)" -lt 20000000 ]
	goes_on
	move "pid:$WRITER:$T/ram" image
	is_of_one_moment
}

@test "what makes no sense together: 64, and one line" {
	PORT=1
	: >file
	while read -r arguments; do
		eval "send send $arguments"
		ends send 64 || fail "$arguments" || return 1
		[ "$(wc -l <send.err)" -eq 1 ] || fail "$arguments" || return 1
	done <<-'END'
		- --rounds 3
		- --until 3
		pid:1 --rounds 3
		pid:1 --until 3
		pid:1 --live --until 3
		pid:1 --freeze-pid 1
		pid:1 --live --freeze-pid 1
		file --freeze-pid 1
		file --freeze-cmd true --thaw-cmd true
		file --rounds 3 --thaw-cmd true
		file --rounds 3 --freeze-cmd true
		file --rounds 3 --freeze-cmd true --thaw-cmd true --freeze-pid 1
		file --rounds 3 --freeze-cmd true --thaw-cmd true --max-freeze 0
		file --rounds 3 --freeze-pid 1 --freeze-pid 2
		file --rounds 3 --freeze-pid 0
		file --rounds 3 --max-freeze 1s
		file --rounds 3 --freeze=all
		file --rounds 3 --live
		file --rounds 3 --downtime 1s
		file --rounds 3 --all
		file --rounds 1
		file --rounds 101
		file --until -1
		file --max-freeze 1s
	END
	send send file --rounds 3 --freeze-pid 999999999
	ends send 66
}

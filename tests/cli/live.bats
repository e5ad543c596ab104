#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A process is copied while it runs, and its core is of one moment: the freeze at the end.

# shellcheck disable=SC2030,SC2031,SC2034,SC2153 # each test is a subshell; STATUS, PORT and T are common.bash's

load common

TESTS=${MFD_TEST_DIR:-$BIN/tests}

prepare() {
	RECEIVE=(--quiet)
	[ -x "$TESTS/live_target" ] || fail "not built: $TESTS/live_target"
}

is_ready() {
	grep -qs '^ready' "$T/target.out" || gone "${PID[target]}"
}

# changing MIB MB/S [churn]: a program that changes its memory; its process ID is TAKEN.
changing() {
	spawn target "$TESTS/live_target" "$@"
	until_true "$PATIENCE" is_ready || fail "not ready" || return 1
	TAKEN=${PID[target]}
}

# The core is of one moment, and the program still runs as before: not stopped, not traced.
is_of_one_moment() {
	"$TESTS/live_target" check core || fail "the core is a mixture" || return 1
	kill -0 "$TAKEN" || fail "the target has ended" || return 1
	grep -q '^TracerPid:[[:space:]]*0$' "/proc/$TAKEN/status"
	[[ $(sed -n 's/^State:[[:space:]]*//p' "/proc/$TAKEN/status") != [tT]* ]]
	if ls -l "/proc/$TAKEN/fd" | grep -q userfaultfd; then
		fail "a userfaultfd was left behind"
	fi
}

@test "a program that changes all the time: its core is of one moment" {
	changing 64 20
	move "pid:$TAKEN" core --live --json=send.json
	is_of_one_moment
	[ "$(field send.json rounds)" -ge 2 ]
	[ "$(field send.json downtime_ns)" -gt 0 ]
	[ "$(field send.json 'round_pages | length')" -eq "$(field send.json rounds)" ]
	[ "$(field send.json 'round_pages[0]')" -ge 16384 ]
	[ "$(field send.json dirty_rate)" -gt 0 ]
	says send '*live: * rounds of *'
}

@test "one that maps, unmaps, moves, discards, forks and starts threads" {
	changing 16 5 churn
	for channels in 1 4; do
		move "pid:$TAKEN" core --live --channels "$channels" --compress none
		is_of_one_moment
		rm core
	done
}

@test "each way to find changes: the others are not used" {
	local used

	prepare
	changing 16 5 churn
	for trackers in 3 2 1 0; do
		receive recv core "${RECEIVE[@]}"
		spawn send "$TESTS/live_send" "$trackers" "pid:$TAKEN" "localhost:$PORT"
		ends send 0
		ends recv 0
		is_of_one_moment
		read -r used _ <send.out
		echo "trackers $trackers: $used"
		case $trackers:$used in
		3:*|2:soft-dirty|2:hashes|1:userfaultfd|1:hashes|0:hashes) ;;
		*) fail "used $used" ;;
		esac
		rm core
	done
}

@test "over an older image, in place: nothing of it is left" {
	changing 16 5 churn
	random_bytes 30000000 >core
	RECEIVE+=(--inplace --force)
	move "pid:$TAKEN" core --live
	is_of_one_moment
}

@test "two rounds are enough, and more than that are not needed" {
	changing 32 5
	move "pid:$TAKEN" core --live --rounds 2 --json=send.json
	is_of_one_moment
	[ "$(field send.json rounds)" -eq 2 ]
}

@test "the freeze ends when --max-freeze has run out: 75 at both ends, and the program goes on" {
	changing 64 20
	receive recv core "${RECEIVE[@]}"
	send send "pid:$TAKEN" --live --max-freeze 1ms
	ends send 75
	ends recv 75
	[ ! -e core ]
	kill -0 "$TAKEN"
	grep -q '^TracerPid:[[:space:]]*0$' "/proc/$TAKEN/status"
	# And with more time it is copied.
	move "pid:$TAKEN" core --live --max-freeze 60s
	is_of_one_moment
}

@test "a program that ends while it is copied: 66, and no output" {
	changing 64 20
	receive recv core "${RECEIVE[@]}"
	send send "pid:$TAKEN" --live --compress none --bwlimit 20M
	until_true "$PATIENCE" asked_and_moving send || true
	kill -KILL "$TAKEN"
	reap target
	ends send 66
	ends recv 66
	[ ! -e core ]
}

@test "a program that executes another, or exits, while it is copied: 66, and no output" {
	for last in "exec sleep 1000" "exit 0"; do
		mkfifo in
		exec {HELD}<>in
		# shellcheck disable=SC2016 # its variables
		FROM=in spawn target bash -c 'kept=$(printf %5000000s x); echo ready; read -r line; '"$last"
		until_true "$PATIENCE" is_ready || fail "not ready"
		TAKEN=${PID[target]}
		receive recv core "${RECEIVE[@]}"
		send send "pid:$TAKEN" --live --compress none --bwlimit 1M
		began send
		echo >&"$HELD"
		both_end 66
		nothing_left core
		kill -KILL "$TAKEN" 2>/dev/null || :
		reap target
		rm in
	done
}

# lose BYTES ROUND SENDER-ARGUMENT...: a data connection is reset after so many bytes, which is in that round; what arrives is right.
lose() {
	local bytes=$1 round=$2

	shift 2
	changing 32 20 churn
	receive recv core "${RECEIVE[@]}"
	proxy "1:reset=$bytes"
	send send "pid:$TAKEN" --live --compress none --bwlimit 30M --json=send.json "$@"
	both_end 0
	is_of_one_moment
	[ "$(field send.json failovers)" -ge 1 ]
	# With one channel it is known how many bytes each round took; what the packets say besides is less than 2 %.
	[ "$(field send.json channels)" -gt 1 ] || [ "$(jq -sr --argjson bytes "$bytes" --argjson round "$round" 'last |
		(.round_pages[:$round] | (add // 0) * 4096 * 1.02 < $bytes) and
		(.round_pages[:$round + 1] | add * 4096 > $bytes)' send.json)" = true ]
	[ "$(field send.json rounds)" -gt "$round" ]
}

@test "a connection that is lost in the first round" {
	lose 10000000 0 --channels 1
}

@test "a connection that is lost while it is copied a second time" {
	lose 44000000 1 --channels 1 --rounds 3 --downtime 1ms
	[ "$(field send.json rounds)" -eq 3 ]
}

@test "a connection that is lost when it has gone on after the freeze" {
	lose 44000000 1 --channels 1 --rounds 2
	[ "$(field send.json rounds)" -eq 2 ]
}

@test "one of two connections that is lost, early and late" {
	for bytes in 5000000 15000000; do
		lose "$bytes" 0 --channels 2 --rounds 2
		end_proxy
		kill -KILL "${PID[target]}"
		reap target
		rm core
	done
}

@test "--downtime and --rounds without --live, and --live with --freeze or a file: 64" {
	PORT=1
	for arguments in "pid:1 --downtime 1s" "pid:1 --rounds 3" "pid:1 --live --freeze=all" "/etc/passwd --live" \
		"pid:1 --live --rounds 1" "pid:1 --live --rounds 101" "pid:1 --live --downtime 0"; do
		# shellcheck disable=SC2086 # several words
		send send $arguments
		ends send 64 || return 1
		[ "$(wc -l <send.err)" -eq 1 ]
	done
}

# ---- Shared memory. ----

# guest MIB: a virtual machine whose memory is the file ram, and which writes to it all the time.
guest() {
	command -v qemu-system-x86_64 >/dev/null || skip "no qemu-system-x86_64"
	command -v python3 >/dev/null || skip "no python3"
	python3 "$BATS_TEST_DIRNAME/../process/guest.py" boot
	spawn target qemu-system-x86_64 -accel tcg -display none -nodefaults -machine pc,memory-backend=ram -m "$1" \
		-object "memory-backend-file,id=ram,size=$1M,mem-path=$T/ram,share=on" -drive "file=$T/boot,format=raw"
	TAKEN=${PID[target]}
	until_true "$PATIENCE" guest_writes || fail "the guest does not run"
}

guest_writes() {
	python3 "$BATS_TEST_DIRNAME/../process/guest.py" passes ram 2>/dev/null
}

@test "the memory of a virtual machine that runs on is of one moment, live and frozen" {
	guest 64
	for how in --live --freeze=all; do
		move "pid:$TAKEN:$T/ram" image "$how" --json=send.json
		python3 "$BATS_TEST_DIRNAME/../process/guest.py" check image
		[ "$(stat -c %s image)" -eq $((64 << 20)) ]
		[ "$(field send.json downtime_ns)" -gt 0 ]
		kill -0 "$TAKEN"
		rm image
	done
}

@test "shared memory that another process has mapped too: compared by hashes, and right" {
	guest 64
	python3 -c 'import mmap, sys, time
f = open(sys.argv[1], "r+b")
m = mmap.mmap(f.fileno(), 0)
m[40 << 20] = 1
open(sys.argv[2], "w").write("ready")
n = 0
while True:
    n += 1
    m[(40 << 20) + n % 2000 * 4096] = n % 251
' ram other.ready &
	PID[other]=$!
	until_true "$PATIENCE" test -s other.ready
	move "pid:$TAKEN:$T/ram" image --live --rounds 3
	python3 "$BATS_TEST_DIRNAME/../process/guest.py" check image
}

@test "shared memory: what is not mapped, not shared, or a filter: refused" {
	guest 64
	PORT=1
	send send "pid:$TAKEN:/no/such/file"
	ends send 66
	send send "pid:$TAKEN:$(readlink -f "$(command -v qemu-system-x86_64)")"
	ends send 66
	says send '*does not share it*'
	send send "pid:$TAKEN:$T/ram" --all
	ends send 64
	send send "pid:$TAKEN:ram"
	ends send 64
}

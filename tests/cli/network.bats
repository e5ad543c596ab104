#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What the network does: black holes, damage, cuts.
# shellcheck disable=SC2030,SC2031,SC2034,SC2153 # each test is a subshell; STATUS, PORT and T are common.bash's

load common

setup_file() {
	random_image "$BATS_FILE_TMPDIR/image" 3000001
	seq -f 'page %.0f compresses well' 1 1000000 | head -c 3M >"$BATS_FILE_TMPDIR/text"
}

prepare() {
	IMAGE=$BATS_FILE_TMPDIR/image
	TEXT=$BATS_FILE_TMPDIR/text
	SLOW=(-z none --bwlimit 300K) # 10 s: time enough for things to happen
	HELLO_END=$((64 + 82 + 4 + 5)) # of the control connection: the preamble, HELLO, DELTA and the image's name in it
	SPACES=()
}

cleanup() {
	local space

	for space in "${SPACES[@]}"; do
		ip netns del "$space" 2>/dev/null || :
	done
}

@test "a black hole in the middle: both ends give up within --timeout with 75" {
	receive recv out --timeout 1
	proxy
	send send "$IMAGE" "${SLOW[@]}" -C 3 --timeout 1
	began recv
	kill -USR1 "${PID[proxy]}"
	both_end 75 $((1 + 2 * SLACK))
	nothing_left out
}

# failovers FILE: what both ends count must be the same, and not zero.
failovers() {
	[ "$(field send.json failovers)" -gt 0 ]
	[ "$(field send.json failovers)" = "$(field recv.json failovers)" ]
}

# moved: both ends say 0 and counted failovers, and the output is IMAGE.
moved() {
	both_end 0 "${1-}"
	same "$IMAGE" out
	failovers
	rm out
}

@test "a black hole on one data connection only: another one takes its place" {
	receive recv out --timeout 1 --json=recv.json
	proxy 2:hole=200000
	send send "$IMAGE" -z none --bwlimit 1M -C 3 --timeout 1 --json=send.json
	moved
}

@test "a data connection that never gets through: another one takes its place" {
	receive recv out --timeout 1 --json=recv.json
	proxy 2:hole=0
	send send "$IMAGE" -C 3 --timeout 1 --json=send.json
	moved
}

@test "data connections that die before a packet is through bring nothing: 75 at both ends within --timeout" {
	receive recv out --timeout 1
	proxy +:reset=60000
	send send "$IMAGE" -z none --packet-size 64K -C 3 --timeout 1
	both_end 75 $((2 + 2 * SLACK))
	says send '*Connection reset by peer; nothing has arrived on any channel for 1.0 s since'
	nothing_left out
}

@test "black holes on all data connections, old and new: 75 at both ends within --timeout" {
	receive recv out --timeout 1
	proxy +:hole=200000
	send send "$IMAGE" -z none -C 3 --timeout 1
	# Noticed after the timeout, replaced in vain, given up after another one.
	both_end 75 $((5 + 3 * SLACK))
	says send '*nothing has arrived on any channel for 1.0 s since'
	nothing_left out
}

@test "each data connection dies after 300 kB, for a whole transfer: it goes on" {
	for how in cut reset; do
		for channels in 1 4; do
			receive recv out --json=recv.json
			proxy "+:$how=300000"
			send send "$IMAGE" -z none --packet-size 64K -C "$channels" --json=send.json
			moved
			[ "$(field send.json pages_data)" = "$(field recv.json pages_data)" ]
			end_proxy
		done
	done
}

@test "the same from standard input" {
	receive recv out --json=recv.json
	proxy +:reset=300000
	STDIN=$IMAGE send send - -z none --packet-size 64K -C 3 --json=send.json
	moved
}

@test "-v says which channel was lost, and why; without it only the summary counts" {
	for verbose in -v ''; do
		# shellcheck disable=SC2086 # an option or nothing
		receive recv out $verbose --json=recv.json
		proxy 1:cut=300000
		# shellcheck disable=SC2086
		send send "$IMAGE" -z none -C 1 $verbose --json=send.json
		moved
		for end in send recv; do
			says "$end" "mfd-$end: *, 1 failover, hash *"
			if [ -n "$verbose" ]; then
				# The receiver may hear of it from the sender first.
				grep -qE "^mfd-$end: channel 0: (.*connection |given up by the sender$)" "$end.err"
				says "$end" "mfd-$end: channel 0: open again, generation 2"
			else
				! grep -q 'channel 0' "$end.err"
			fi
		done
		end_proxy
	done
}

@test "an answer that never comes: the sender gives up, and the receiver too" {
	receive recv out --timeout 1
	proxy 0:back-hole=0
	send send "$IMAGE" --timeout 1
	ends send 75 $((1 + 2 * SLACK))
	ends recv 75 $((1 + 2 * SLACK))
	nothing_left out
}

@test "corrupted data: 65 at both ends, nothing left, wherever the byte lies" {
	# Preamble 64; packet header 80, bitmaps 16, payload.
	for place in none:80 none:120 none:148 none:155 none:160 none:40000 none:131400 zlib:5000 zstd:5000; do
		receive recv out
		proxy "1:flip=${place#*:}"
		send send "$TEXT" -C 1 --packet-size 64K -z "${place%%:*}"
		both_end 65
		nothing_left out
		end_proxy
	done
}

@test "corrupted control messages, in either direction: 65 at both ends, nothing left" {
	# In the body of what follows HELLO and WELCOME; down, WELCOME is 50 bytes.
	for rule in "0:flip=$((HELLO_END + 9))" 0:back-flip=59; do
		receive recv out
		proxy "$rule"
		send send "$IMAGE" "${SLOW[@]}" -C 2
		both_end 65
		nothing_left out
		end_proxy
	done
}

@test "a connection cut between two packets, in order or by reset: the transfer goes on" {
	# Packets of 64 KiB of random pages that nothing codes: 80 + 16 + 65536 bytes.
	packet=65632
	# On the only channel when it is to have some: how packets fall to channels is nobody's promise.
	for how in cut reset; do
		for channels in 1 2; do
			packets=$((channels == 1 ? 7 : 0))
			receive recv out --json=recv.json
			proxy "1:$how=$((64 + packets * packet))"
			send send "$IMAGE" -C "$channels" --packet-size 64K -z none --json=send.json
			moved
			end_proxy
		done
	done
}

@test "the control connection cut between two messages is 75 at both ends, nothing left" {
	# Up: behind the first HEARTBEAT, of 20 bytes; down: behind WELCOME.
	for rule in "0:cut=$((HELLO_END + 20))" "0:reset=$((HELLO_END + 20))" 0:back-cut=50 0:back-reset=50; do
		receive recv out
		proxy "$rule"
		send send "$IMAGE" "${SLOW[@]}" -C 2
		both_end 75 $((2 + 2 * SLACK))
		nothing_left out
		end_proxy
	done
}

@test "an answer that is cut off: the sender does not say 0, the receiver ends" {
	for rule in 0:back-cut=0 0:back-cut=20 0:back-reset=0; do
		receive recv out
		proxy "$rule"
		send send "$IMAGE"
		reap send $((2 + 2 * SLACK))
		[ "$STATUS" -eq 75 ]
		ends recv 75 $((2 + 2 * SLACK))
		nothing_left out
		end_proxy
	done
}

@test "the control connection cut at any byte: never a sender that says 0 without an output, nor a wrong word about it" {
	head -c 10000 "$IMAGE" >small
	unknown=0
	step=1
	! sanitized || step=3
	# From the first byte behind HELLO, and of WELCOME, until all messages of a session that short have passed.
	for rule in $(seq -f '0:cut=%.0f' "$HELLO_END" $((11 * step)) $((HELLO_END + 200))) $(seq -f '0:back-cut=%.0f' 0 $((9 * step)) 300); do
		rm -f out
		receive recv out --no-fsync
		proxy "$rule"
		send send small -C 1
		reap send $((2 + 2 * SLACK))
		sender=$STATUS
		reap recv $((3 + 2 * SLACK))
		receiver=$STATUS
		end_proxy
		case $sender:$receiver in
		0:0) same small out ;;
		75:0)
			same small out
			says send '*outcome is not known*'
			unknown=$((unknown + 1))
			;;
		75:75) nothing_left out ;;
		*) fail "$rule: sender $sender, receiver $receiver" ;;
		esac
	done
	[ "$unknown" -gt 0 ]
}

@test "a network that goes down in the middle: both ends give up within --timeout with 75" {
	command -v ip >/dev/null || skip "no ip(8)"
	SPACES=("mfd-$$-a" "mfd-$$-b")
	for space in "${SPACES[@]}"; do
		ip netns add "$space" 2>ip.err || skip "no network namespaces here: $(cat ip.err)"
	done
	ip -n "${SPACES[0]}" link add name near type veth peer name far netns "${SPACES[1]}" 2>ip.err || skip "no veth here: $(cat ip.err)"
	ip -n "${SPACES[0]}" addr add 192.0.2.1/24 dev near
	ip -n "${SPACES[1]}" addr add 192.0.2.2/24 dev far
	ip -n "${SPACES[0]}" link set dev near up
	ip -n "${SPACES[1]}" link set dev far up
	spawn recv ip netns exec "${SPACES[1]}" "$BIN/mfd-recv" --listen 192.0.2.2:0 --port-file recv.port --timeout 1 out
	await_port recv
	spawn send ip netns exec "${SPACES[0]}" "$BIN/mfd-send" "$IMAGE" "192.0.2.2:$PORT" "${SLOW[@]}" -C 2 --timeout 1
	began recv
	ip -n "${SPACES[0]}" link set dev near down
	both_end 75 $((1 + 2 * SLACK))
	nothing_left out
}

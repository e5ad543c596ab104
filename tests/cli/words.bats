#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What users read when something fails: one clear line at each end that names the same reason from both sides, and where the
# transfer can go on, the command that does it.
# shellcheck disable=SC2030,SC2031,SC2034,SC2153 # each test is a subshell; STATUS, PORT and T are common.bash's

load common

setup_file() {
	random_image "$BATS_FILE_TMPDIR/image" 3000001
}

prepare() {
	IMAGE=$BATS_FILE_TMPDIR/image
	SLOW=(-z none --bwlimit 1M --packet-size 64K -C 2 --progress none) # 3 s
	RECV=(--progress none)
}

# reads NAME LINE...: these lines are all that NAME has said, but for the port; patterns.
reads() {
	local name=$1 line n=0 said=()

	shift
	while IFS= read -r line; do
		case $line in *': listening on port '*) ;; *) said+=("$line") ;; esac
	done <"$T/$name.err"
	[ ${#said[@]} -eq $# ] || fail "$name says ${#said[@]} lines instead of $#: ${said[*]}" || return 1
	for line; do
		# shellcheck disable=SC2254 # it is a pattern
		case ${said[n]} in $line) ;; *) fail "$name: ${said[n]} instead of $line" || return 1 ;; esac
		n=$((n + 1))
	done
}

# one_line STATUS RECEIVER'S SENDER'S: both have ended so, and these were their only lines.
one_line() {
	both_end "$1" || return 1
	reads recv "mfd-recv: $2" || return 1
	reads send "mfd-send: $3"
}

holds() {
	[ -e "$1" ] && [ "$(du -k "$1" | cut -f 1)" -ge "$2" ]
}

# resumable ARGUMENT...: a transfer to a receiver with --resume, of which something has come; behind a proxy.
resumable() {
	receive recv "${RECV[@]}" --resume --accept-timeout 4 out
	proxy
	send send "$IMAGE" "${SLOW[@]}" "$@"
	until_true "$PATIENCE" holds out.mfd-partial 500 || fail "nothing comes"
}

GO_RECV='mfd-recv: what has come is kept; to go on: mfd-recv --listen 127.0.0.1:0 --port-file * --resume --accept-timeout 4 out'

@test "a killed end: the other one has lost it" {
	receive recv "${RECV[@]}" out
	send send "$IMAGE" "${SLOW[@]}"
	until_true "$PATIENCE" holds .out.mfd-* 500
	kill -KILL "${PID[send]}"
	ends recv 75
	reads recv 'mfd-recv: lost the sender: control: connection *'
	reap send

	receive recv "${RECV[@]}" out
	send send "$IMAGE" "${SLOW[@]}"
	until_true "$PATIENCE" holds .out.mfd-* 500
	kill -KILL "${PID[recv]}"
	ends send 75
	reads send 'mfd-send: lost the receiver: control: connection *'
	reap recv
}

@test "a silent network: each end has lost the other, and says after how long" {
	receive recv "${RECV[@]}" --timeout 3 out
	proxy
	send send "$IMAGE" "${SLOW[@]}" --timeout 3
	until_true "$PATIENCE" holds .out.mfd-* 500
	kill -USR1 "${PID[proxy]}"
	one_line 75 'lost the sender: control: no sign of life from the peer for 3.0 s' \
		'lost the receiver: control: no sign of life from the peer for 3.0 s'
}

@test "damage: both name the channel and the pages, or the control connection" {
	receive recv "${RECV[@]}" out
	proxy 1:flip=500000
	send send "$IMAGE" "${SLOW[@]}" -C 1
	one_line 65 'channel 0: pages from * were damaged on the way: hash *, should be *' \
		'remote: channel 0: pages from * were damaged on the way: hash *, should be *'
	end_proxy

	receive recv "${RECV[@]}" out
	proxy 0:flip=165 # the first heartbeat
	send send "$IMAGE" "${SLOW[@]}"
	one_line 65 'control: message: checksum is wrong' 'remote: control: message: checksum is wrong'
}

@test "what the receiver does not allow: both name the option or the limit" {
	receive recv "${RECV[@]}" --max-size 1M out
	send send "$IMAGE" "${SLOW[@]}"
	one_line 73 'the image has 3000001 bytes, --max-size allows 1048576' \
		'remote: the image has 3000001 bytes, --max-size allows 1048576'

	receive recv "${RECV[@]}" --max-channels 2 --accept-timeout 4 out
	send send "$IMAGE" "${SLOW[@]}" -C 4
	ends send 78
	reads send 'mfd-send: remote: the sender wants 4 channels, this receiver allows 2 (--max-channels)'
	ends recv 75
	reads recv 'mfd-recv: no sender came in time'

	receive recv "${RECV[@]}" --allow 10.255.255.1 --accept-timeout 4 out
	send send "$IMAGE" "${SLOW[@]}"
	ends send 75
	reads send "mfd-send: 127.0.0.1:$PORT: no answer to HELLO (not mfd-recv, or it does not --allow us?): *"
	ends recv 75
	reads recv 'mfd-recv: no sender came in time'
}

@test "a busy receiver: the second sender reads so, the first one is not disturbed" {
	receive recv "${RECV[@]}" -q out
	send send "$IMAGE" "${SLOW[@]}" -q
	until_true "$PATIENCE" holds .out.mfd-* 500
	send second "$IMAGE" "${SLOW[@]}"
	ends second 75
	reads second 'mfd-send: remote: busy with another sender'
	both_end 0
	reads send
	reads recv
}

@test "--resume, a lost connection: the sender names its command, the receiver listens again, and in the end names its own" {
	resumable
	kill -HUP "${PID[proxy]}"
	both_end 75
	reads send 'mfd-send: lost the receiver: control: connection *' \
		"mfd-send: the receiver keeps what it has; to go on: mfd-send $IMAGE 127.0.0.1:* -z none --bwlimit 1M *"
	reads recv 'mfd-recv: lost the sender: control: connection *; listening again' \
		'mfd-recv: no sender came in time' "$GO_RECV"
}

@test "--resume, an interrupted end: both name the reason and their command" {
	resumable
	kill -INT "${PID[send]}"
	ends send 130
	ends recv 75
	reads send 'mfd-send: the sender was interrupted' 'mfd-send: the receiver keeps what it has; to go on: mfd-send *'
	reads recv 'mfd-recv: remote: the sender was interrupted; listening again' 'mfd-recv: no sender came in time' "$GO_RECV"
	end_proxy

	rm out.mfd-partial
	resumable
	kill -INT "${PID[recv]}"
	ends send 75
	ends recv 130
	reads send 'mfd-send: remote: the receiver was interrupted' \
		'mfd-send: the receiver keeps what it has; to go on: mfd-send *'
	reads recv 'mfd-recv: the receiver was interrupted' "$GO_RECV"
}

@test "--resume, what the same command can't mend: no command, though what has come stays" {
	resumable
	: >out
	both_end 73
	reads recv 'mfd-recv: out appeared meanwhile; it is left as it is'
	reads send 'mfd-send: remote: out appeared meanwhile; it is left as it is'
	[ -e out.mfd-partial ]
	end_proxy

	# Nothing has come: there is nothing to go on from.
	receive recv "${RECV[@]}" --resume --max-size 1M new
	send send "$IMAGE" "${SLOW[@]}"
	one_line 73 'the image has 3000001 bytes, --max-size allows 1048576' \
		'remote: the image has 3000001 bytes, --max-size allows 1048576'
	[ ! -e new.mfd-partial ]
}

@test "--retry: each loss is one line with its reason and what happens next" {
	resumable --retry=2
	kill -HUP "${PID[proxy]}"
	ends send 0
	ends recv 0
	reads send 'mfd-send: lost the receiver: control: connection *; again in 0.25 s, 1 try left' 'mfd-send: 2.86 MiB, *, committed'
	reads recv 'mfd-recv: lost the sender: control: connection *; listening again' 'mfd-recv: 2.86 MiB, *, committed'
	same "$IMAGE" out
}

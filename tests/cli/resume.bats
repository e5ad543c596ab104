#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Transfers that are lost and go on: either end killed, both killed, at random points; a source that changed meanwhile; a disk that was full.
#
# MFD_RESUME_KILLS: how many random kills of both ends (6); MFD_RESUME_MIB: of the image that is moved meanwhile (24); MFD_SEED (1).
# shellcheck disable=SC2030,SC2031,SC2034,SC2153,SC2154 # each test is a subshell; STATUS, PORT, BIN and T are common.bash's

load common

METER=${MFD_TEST_DIR:-$BIN/tests}/meter

setup_file() {
	random_image "$BATS_FILE_TMPDIR/image" $((6 * 1024 * 1024 + 5))
}

prepare() {
	IMAGE=$BATS_FILE_TMPDIR/image
	SLOW=(-z none --bwlimit 3M --packet-size 64K -C 2) # 2 s: time enough for something to happen
	PARTIAL=out.mfd-partial
}

cleanup() {
	if [ -n "${MOUNTED-}" ]; then
		umount "$MOUNTED" 2>/dev/null || :
	fi
}

# KIBIBYTES of it are there.
holds() {
	[ -e "$1" ] && [ "$(du -k "$1" | cut -f 1)" -ge "$2" ]
}

# Wait until so much of OUTPUT has come.
come() {
	until_true "$PATIENCE" holds "$1" "$2" || fail "$1 does not grow"
}

# crash NAME...: as if the machine had.
crash() {
	local name

	for name; do
		kill -KILL "${PID[$name]}"
		reap "$name"
	done
}

# listen NAME ARGUMENT...: a receiver at the port of the one before.
listen() {
	local name=$1

	shift
	rm -f "$T/$name.port" # one that was killed leaves its own
	spawn "$name" "$BIN/mfd-recv" --listen "127.0.0.1:$PORT" --port-file "$T/$name.port" "$@"
	await_port "$name"
}

# One that any one can connect to, for receivers that come and go.
free_port() {
	receive probe null:
	crash probe
	rm -f probe.port
}

@test "a sender that was killed is started again: the same receiver goes on from what it has" {
	receive recv --resume --json=recv.json out
	send send "$IMAGE" "${SLOW[@]}"
	come $PARTIAL 1024
	crash send
	send send "$IMAGE" -z none --json=send.json
	both_end 0
	same "$IMAGE" out
	[ ! -e $PARTIAL ]
	[ "$(field send.json pages_kept)" -ge 240 ]
	says recv 'mfd-recv: *; listening again'
}

@test "a receiver that was killed is started again: the same sender comes back by itself" {
	free_port
	listen recv --resume out
	send send "$IMAGE" "${SLOW[@]}" --retry=forever --json=send.json
	come $PARTIAL 1024
	crash recv
	listen recv --resume out
	both_end 0
	same "$IMAGE" out
	[ ! -e $PARTIAL ]
	[ "$(field send.json pages_kept)" -ge 240 ]
	# Of both sessions together: the image once, and what was on its way.
	[ "$(field send.json bytes_wire)" -ge 6000000 ]
	says send 'mfd-send: *; again in 0.25 s'
}

@test "both are killed and started again, as after a reboot" {
	receive recv --resume out
	send send "$IMAGE" "${SLOW[@]}"
	come $PARTIAL 1024
	crash send recv
	holds $PARTIAL 1024
	receive recv --resume --json=recv.json out
	send send "$IMAGE" -z none
	both_end 0
	same "$IMAGE" out
	[ "$(field recv.json pages_kept)" -ge 240 ]
}

@test "without --resume nothing is kept, and nothing is waited for" {
	receive recv out
	send send "$IMAGE" "${SLOW[@]}"
	began recv
	crash send
	ends recv 75
	nothing_left out
	[ ! -e $PARTIAL ]
}

@test "a source that changed in between arrives as it is then" {
	cp "$IMAGE" image
	receive recv --resume --verify --json=recv.json out
	send send image "${SLOW[@]}"
	come $PARTIAL 1024
	crash send
	printf 'changed' | dd of=image bs=1 seek=5000 conv=notrunc status=none
	truncate -s 5000001 image
	send send image -z none
	both_end 0
	same image out
	[ "$(field recv.json pages_kept)" -ge 240 ]

	# Another image altogether, under the same name.
	receive recv --resume out2
	send send image "${SLOW[@]}"
	come out2.mfd-partial 1024
	crash send
	mixed_image image
	send send image
	both_end 0
	same image out2
}

@test "an end that is interrupted says which command goes on, and that command does" {
	receive recv --resume "a b"
	send send "$IMAGE" "${SLOW[@]}"
	come "a b.mfd-partial" 1024
	kill -INT "${PID[send]}"
	ends send 130
	says send "mfd-send: the receiver keeps what it has; to go on: mfd-send $IMAGE 127.0.0.1:*"
	kill -TERM "${PID[recv]}"
	ends recv 143
	says recv "mfd-recv: what has come is kept; to go on: mfd-recv --listen 127.0.0.1:0 --port-file * --resume 'a b'"
	holds "a b.mfd-partial" 1024

	command=$(sed -n 's/.*to go on: //p' recv.err)
	rm -f recv.port
	PATH=$BIN:$PATH spawn recv sh -c "exec $command"
	await_port recv
	send send "$IMAGE" -z none --json=send.json
	both_end 0
	same "$IMAGE" "a b"
	[ "$(field send.json pages_kept)" -ge 240 ]
}

@test "nobody comes back within --accept-timeout: 75, and what has come stays" {
	receive recv --resume --accept-timeout 1s --json=recv.json out
	send send "$IMAGE" "${SLOW[@]}"
	come $PARTIAL 1024
	crash send
	ends recv 75
	says recv 'mfd-recv: no sender came in time'
	says recv 'mfd-recv: what has come is kept; to go on: mfd-recv *'
	[ "$(field recv.json resumable)" = true ]
	holds $PARTIAL 1024
	[ ! -e out ]
}

@test "who resumes and never hears from anybody leaves nothing" {
	spawn recv "$BIN/mfd-recv" --listen 127.0.0.1:0 --accept-timeout 200ms --resume out
	ends recv 75
	nothing_left out
	[ ! -e $PARTIAL ]
}

@test "a partial file that another receiver is at work on is 75, and the other goes on" {
	receive recv --resume out
	send send "$IMAGE" "${SLOW[@]}"
	come $PARTIAL 1024
	spawn other "$BIN/mfd-recv" --listen 127.0.0.1:0 --resume out
	ends other 75
	says other 'mfd-recv: out: another receiver is at work on out.mfd-partial'
	both_end 0
	same "$IMAGE" out
}

@test "a partial file that is none is 73" {
	ln -s elsewhere $PARTIAL
	spawn recv "$BIN/mfd-recv" --listen 127.0.0.1:0 --resume out
	ends recv 73
	rm $PARTIAL
	mkdir $PARTIAL
	spawn recv "$BIN/mfd-recv" --listen 127.0.0.1:0 --resume out
	ends recv 73
	rmdir $PARTIAL
	mkfifo $PARTIAL
	spawn recv "$BIN/mfd-recv" --listen 127.0.0.1:0 --resume out
	ends recv 73
	[ ! -e elsewhere ]
}

@test "a disk that was full: both ends say so with 74, and when there is room they go on" {
	mkdir small
	mount -t tmpfs -o size=3M none small 2>mount.err || skip "may not mount a tmpfs: $(cat mount.err)"
	MOUNTED=$T/small
	receive recv --resume small/out
	STDIN=$IMAGE send send - -z none -C 2
	ends recv 74
	ends send 74
	says recv 'mfd-recv: *No space left on device*'
	says recv 'mfd-recv: what has come is kept; to go on: *'
	says send 'mfd-send: remote: *No space left on device*'
	says send 'mfd-send: the receiver keeps what it has; to go on: *'
	holds small/$PARTIAL 1024

	mount -o remount,size=16M small
	receive recv --resume --json=recv.json small/out
	send send "$IMAGE" -z none
	both_end 0
	same "$IMAGE" small/out
	[ "$(field recv.json pages_kept)" -ge 240 ]
}

@test "in place what is there is what has come" {
	random_image out 1000000 9
	receive recv --resume --inplace --force --json=recv.json out
	send send "$IMAGE" "${SLOW[@]}"
	come out 3072
	crash send
	send send "$IMAGE" -z none
	both_end 0
	same "$IMAGE" out
	[ "$(field recv.json pages_kept)" -ge 240 ]
	[ ! -e $PARTIAL ]
}

@test "with a basis: what came and what the basis has, both are kept" {
	cp "$IMAGE" old
	random_image part $((3 * 1024 * 1024)) 4
	dd if=part of=old conv=notrunc status=none # its first half differs
	mkdir here # a receiver that confines itself to its output's directory finds the basis all the same
	receive recv --resume --basis old --json=recv.json here/out
	send send "$IMAGE" "${SLOW[@]}"
	come here/$PARTIAL 1024
	crash send
	send send "$IMAGE" -z none
	both_end 0
	same "$IMAGE" here/out
	# The second half is the basis's, and of the first half some had come.
	[ "$(field recv.json pages_kept)" -ge $((768 + 240)) ]
}

@test "an output that is replaced is the basis of who starts again" {
	cp "$IMAGE" out
	receive recv --resume --force --json=recv.json out
	send send "$IMAGE" -z none
	both_end 0
	same "$IMAGE" out
	[ "$(field recv.json pages_data)" -eq 0 ]
}

@test "a stream goes on where it was when the receiver was killed: what it has need not come again" {
	free_port
	listen recv --resume out
	STDIN=$IMAGE send send - "${SLOW[@]}" --retry=forever --json=send.json
	come $PARTIAL 1024
	crash recv
	listen recv --resume --verify out
	both_end 0
	same "$IMAGE" out
	[ ! -e $PARTIAL ]
	[ "$(field send.json pages_kept)" -ge 240 ]
	says send 'mfd-send: *; again in 0.25 s'
}

@test "a stream goes on when all connections are cut and the receiver lives, also while its input is idle" {
	mkfifo pipe
	receive recv --resume --json=recv.json out
	proxy
	exec 6<>pipe
	STDIN=pipe send send - -z none --packet-size 64K -C 2 --retry=forever --json=send.json 6>&-
	head -c 3000000 "$IMAGE" >&6
	come $PARTIAL 2800
	kill -HUP "${PID[proxy]}"
	until_true "$PATIENCE" grep -q 'again in' send.err || fail "nothing was cut"
	tail -c +3000001 "$IMAGE" >&6
	exec 6>&-
	both_end 0
	same "$IMAGE" out
	[ "$(field send.json pages_kept)" -ge 700 ]
}

@test "random kills of the receiver of one stream: identical, and every page comes about once" {
	kills=${MFD_RESUME_KILLS:-6}
	random_image large $((12 * 1024 * 1024 + 77)) 3
	free_port
	listen recv --resume -q out
	STDIN=large send send - -z none --bwlimit 6M --packet-size 64K -C 2 --retry=forever --json=send.json
	RANDOM=${MFD_SEED:-1}
	points=$(for ((i = 0; i < kills; i++)); do echo $((100 + RANDOM % 11500)); done | sort -n)
	for point in $points; do
		come $PARTIAL "$point"
		crash recv
		listen recv --resume -q out
	done
	both_end 0
	same large out
	[ "$(field send.json bytes_wire)" -le $((12 * 1048576 * 105 / 100 + kills * 2 * $(cat /proc/sys/net/core/rmem_default))) ]
}

@test "a stream whose beginning the receiver has lost can't be completed: 75, one clear line, nothing damaged" {
	for damage in 'truncate -s 400000' 'rm' 'dd if=/dev/urandom bs=4096 seek=3 count=1 conv=notrunc status=none of='; do
		free_port
		listen recv --resume out
		STDIN=$IMAGE send send - "${SLOW[@]}" --retry=forever
		come $PARTIAL 1024
		crash recv
		case $damage in
		dd*) eval "$damage$PARTIAL" ;;
		*) $damage $PARTIAL ;;
		esac
		listen recv --resume --accept-timeout 2 out
		ends send 75
		says send "mfd-send: standard input can't be read once more, and the receiver no longer has what it had of its pages *"
		says recv "mfd-recv: remote: standard input can't be read once more, *; listening again"
		# Who can give it from its beginning still can.
		STDIN=$IMAGE send again - -z none
		ends again 0
		ends recv 0
		same "$IMAGE" out
		rm out
	done
}

@test "retries: nobody there is 69 after as many, 0 and forever are numbers too, others are 64" {
	free_port
	send send "$IMAGE" --connect-timeout 50ms --retry=2
	ends send 69
	[ "$(grep -c 'again in' send.err)" -eq 2 ]
	says send '*again in 0.25 s, 1 try left'
	send send "$IMAGE" --connect-timeout 50ms --retry=0
	ends send 69
	[ "$(grep -c 'again in' send.err)" -eq 0 ]
	for bad in x -1 1.5 "" 1000001; do
		send send "$IMAGE" --retry="$bad"
		ends send 64
		says send 'mfd-send: --retry: 0 to 1000000 and forever are allowed'
	done
	send send "$IMAGE" --connect-timeout 50ms --retry=forever
	until_true "$PATIENCE" grep -q 'again in 0.50 s' send.err
	kill -TERM "${PID[send]}"
	ends send 143
}

count() {
	od -An -t u8 -N 8 -j "$1" count | tr -d ' '
}

sent_at_least() {
	[ "$(count 0)" -ge "$1" ] || gone "${PID[send]}"
}

# meter: to PORT, which is the meter's afterwards.
meter() {
	[ -x "$METER" ] || fail "not built: $METER" || return 1
	rm -f "$T/meter.port"
	spawn meter "$METER" "$T/meter.port" "$T/count" "$PORT"
	await_port meter
}

@test "random kills of both ends: identical, at the price of the image, the hashes and what was on its way" {
	kills=${MFD_RESUME_KILLS:-6}
	mib=${MFD_RESUME_MIB:-24}
	channels=2
	random_image large $((mib * 1024 * 1024)) 3
	options=(-z none --bwlimit "$((mib / 4 > 6 ? mib / 4 : 6))M" --packet-size 64K -C $channels)
	free_port
	behind=$PORT
	meter
	front=$PORT
	RANDOM=${MFD_SEED:-1}
	points=$(for ((i = 0; i < kills; i++)); do echo $(((RANDOM * 32768 + RANDOM) % (mib * 1024)));
		done | sort -n)
	for point in $points; do
		PORT=$behind
		listen recv --resume -q large.out
		PORT=$front
		send send large "${options[@]}" -q
		until_true "$PATIENCE" sent_at_least $((point * 1024)) || fail "stuck before $point KiB"
		crash send recv
	done
	PORT=$behind
	listen recv --resume -q large.out
	PORT=$front
	send send large "${options[@]}" -q
	both_end 0
	same large large.out
	wire=$(count 0)
	hashes=$(count 8)

	# One clean transfer.
	kill "${PID[meter]}"
	reap meter
	receive recv -q clean.out
	meter
	send send large "${options[@]}" -q
	both_end 0
	clean=$(count 0)
	echo "seed $RANDOM: $kills kills: $wire bytes to the receiver, a clean transfer $clean, $hashes bytes back (hashes)"
	echo "# $kills kills: $wire bytes, one clean transfer $clean, hashes and acknowledgements $hashes" >&3
	# A socket buffer is what one end may have taken from the other and not yet worked on: net.core.rmem_default.
	buffer=$(cat /proc/sys/net/core/rmem_default)
	[ "$wire" -le $((clean * 105 / 100 + kills * channels * buffer)) ]
	# Each list is 17 bytes a page at most, and there is one in each session but the first.
	[ "$hashes" -le $((kills * (mib * 256 * 17 + 100000) + 100000)) ]
}

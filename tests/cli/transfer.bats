#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Images arrive as they were: kinds of image, methods, channels, packet sizes, ways to connect.

# shellcheck disable=SC2030,SC2031,SC2034,SC2153 # each test is a subshell; STATUS, PORT and T are common.bash's

load common

setup_file() {
	random_image "$BATS_FILE_TMPDIR/random" 3000001
	mixed_image "$BATS_FILE_TMPDIR/mixed"
}

prepare() {
	RANDOM_IMAGE=$BATS_FILE_TMPDIR/random
	MIXED=$BATS_FILE_TMPDIR/mixed
	RECEIVE=(--no-fsync --quiet)
}

# The image hash in the summaries of both ends, which must be the same, goes to HASH.
hash_of_both() {
	HASH=$(field "$T/send.out" hash)
	[ "$HASH" = "$(field "$T/recv.out" hash)" ] || fail "hashes differ"
	[[ $HASH =~ ^[0-9a-f]{16}$ ]] || fail "no hash: $HASH"
}

@test "a mixed image arrives identical with every method, at its lowest and highest level" {
	for how in none zlib:1 zlib:9 zstd:-7 zstd:1 zstd:19 auto auto:1 auto:19; do
		method=${how%%:*}
		level=${how#"$method"}
		move "$MIXED" "out.$how" -C 2 -z "$method" ${level:+--level="${level#:}"}
		same "$MIXED" "out.$how"
		rm "out.$how"
	done
}

@test "random pages, which no method makes smaller, arrive identical" {
	for how in none:0 zlib:1 zlib:9 zstd:-7 zstd:19 auto:9; do
		level=${how#*:}
		[ "$level" != 0 ] || level=
		move "$RANDOM_IMAGE" "out.$how" -C 2 -z "${how%%:*}" ${level:+--level="$level"}
		same "$RANDOM_IMAGE" "out.$how"
		rm "out.$how"
	done
}

@test "1, 2, 8, 32 and 128 channels" {
	for channels in 1 2 8 32 128; do
		for method in none zstd; do
			move "$MIXED" "out.$channels.$method" --channels "$channels" --compress "$method"
			same "$MIXED" "out.$channels.$method"
			rm "out.$channels.$method"
		done
	done
}

@test "sizes around a byte, a page and a packet, nothing among them" {
	for size in 0 1 4095 4096 4097 262143 262144 262145 1000003; do
		head -c "$size" "$RANDOM_IMAGE" >image
		move image "out.$size" -C 3
		same image "out.$size"
	done
}

@test "the smallest and the largest packets" {
	for size in 64K 4M; do
		for method in none zlib zstd; do
			move "$MIXED" "out.$size.$method" --packet-size "$size" -z "$method"
			same "$MIXED" "out.$size.$method"
		done
	done
}

@test "standard input: a pipe, a regular file, nothing, one byte" {
	mkfifo pipe
	cat "$MIXED" >pipe 3>&- &
	STDIN=pipe move - out.pipe -C 4
	same "$MIXED" out.pipe

	STDIN=$MIXED move - out.file -C 4
	same "$MIXED" out.file

	STDIN=/dev/null move - out.nothing
	same /dev/null out.nothing

	printf x >one
	STDIN=one move - out.one
	same one out.one
}

@test "standard input that comes in small pieces arrives identical" {
	mkfifo pipe
	head -c 300001 "$RANDOM_IMAGE" >image
	dd if=image bs=997 of=pipe status=none 3>&- &
	STDIN=pipe move - out -C 2
	same image out
}

@test "standard input that pauses for longer than --timeout is no reason to give up" {
	limit=1
	! sanitized || limit=3
	mkfifo pipe
	{
		cat "$RANDOM_IMAGE"
		sleep $((limit + 1)) # the pause itself: nothing is waited for
		cat "$RANDOM_IMAGE"
	} >pipe 3>&- &
	RECEIVE+=(--timeout "$limit")
	STDIN=pipe move - out --timeout "$limit"
	cat "$RANDOM_IMAGE" "$RANDOM_IMAGE" | cmp - out
}

@test "holes stay holes, and zeros that were written become holes" {
	truncate -s 64M sparse
	random_bytes 4 100000 | dd of=sparse bs=4096 seek=1000 conv=notrunc status=none
	random_bytes 5 100000 | dd of=sparse bs=4096 seek=16000 conv=notrunc status=none
	move sparse out
	same sparse out
	[ "$(stat -c %b out)" -le "$(stat -c %b sparse)" ]

	head -c 8M /dev/zero >zeros
	move zeros out.zeros
	same zeros out.zeros
	[ "$(stat -c %b out.zeros)" -le 16 ]
}

@test "an image that is one hole is a handful of packets" {
	truncate -s 1T hole
	move hole out --json -q
	[ "$(stat -c %s out)" -eq $((1 << 40)) ]
	[ "$(stat -c %b out)" -le 16 ]
	[ "$(field send.out bytes_wire)" -lt 100000 ]
}

@test "data around 2^31, 2^32 and at the end of 5 GiB" {
	places=(0 524287 524288 1048575 1048576 1310719)
	truncate -s 5G big
	for place in "${places[@]}"; do
		random_bytes "$place" 8192 | dd of=big bs=4096 seek="$place" count=2 conv=notrunc status=none
	done
	truncate -s $((5 * 1024 ** 3 + 3)) big
	printf end | dd of=big bs=1 seek=$((5 * 1024 ** 3)) conv=notrunc status=none
	move big out -C 4
	[ "$(stat -c %s out)" -eq $((5 * 1024 ** 3 + 3)) ]
	for place in "${places[@]}"; do
		cmp -i $((place * 4096)) -n 12288 big out
	done
	cmp -i $((5 * 1024 ** 3 - 4096)) big out
	[ "$(stat -c %b out)" -le "$(stat -c %b big)" ]
}

@test "both ends print the same hash: each method, stream or file, today and tomorrow" {
	RECEIVE=(--no-fsync --json)
	move "$MIXED" out.1 -z none --json
	hash_of_both
	first=$HASH
	grep -q "$first" send.err
	grep -q "$first" recv.err

	move "$MIXED" out.2 -z zstd -C 5 --packet-size 64K --json
	hash_of_both
	[ "$HASH" = "$first" ]

	STDIN=$MIXED move - out.3 -z zlib --json
	hash_of_both
	[ "$HASH" = "$first" ]

	cp "$MIXED" changed
	printf x | dd of=changed bs=1 seek=5000000 conv=notrunc status=none
	move changed out.4 --json
	hash_of_both
	[ "$HASH" != "$first" ]
}

@test "a sender that comes first waits for its receiver" {
	receive probe out
	kill -INT "${PID[probe]}"
	reap probe
	send send "$RANDOM_IMAGE" -v --connect-timeout 30
	# It has begun to try when its socket to the port, refused again and again, has been seen once; or at the latest now.
	until_true 1 tries_to_connect || :
	spawn recv "$BIN/mfd-recv" --listen "127.0.0.1:$PORT" out
	ends send 0
	ends recv 0
	same "$RANDOM_IMAGE" out
}

tries_to_connect() {
	grep -qs 'mfd-send' "/proc/${PID[send]}/comm" && [ "$(awk '/^voluntary/ { print $2 }' "/proc/${PID[send]}/status")" -gt 3 ]
}

# over LISTEN ADDRESS ARGUMENT...: both ends get the arguments; PORT takes its place in ADDRESS.
over() {
	local listen=$1 address=$2

	shift 2
	rm -f out recv.port
	spawn recv "$BIN/mfd-recv" --listen "$listen" --port-file recv.port "$@" out
	await_port recv
	spawn send "$BIN/mfd-send" "$RANDOM_IMAGE" "${address/PORT/$PORT}" "$@"
	ends send 0
	ends recv 0
	same "$RANDOM_IMAGE" out
}

@test "IPv4: by address, by name, with -4" {
	over 127.0.0.1:0 127.0.0.1:PORT
	over :0 127.0.0.1:PORT
	over :0 127.0.0.1:PORT -4
	over localhost:0 localhost:PORT -4
}

@test "IPv6: [::1], -6, and :port takes both families" {
	grep -qs 00000000000000000000000000000001 /proc/net/if_inet6 || skip "no IPv6 on the loopback interface"
	over '[::1]:0' '[::1]:PORT'
	over :0 '[::1]:PORT'
	over :0 '[::1]:PORT' -6
	over '[::1]:0' '[::1]:PORT' -6
}

@test "-4 does not go to an IPv6 address, nor -6 to an IPv4 one" {
	receive recv out
	spawn send "$BIN/mfd-send" "$RANDOM_IMAGE" "[::1]:$PORT" -4 --connect-timeout 1
	reap send
	[ "$STATUS" -eq 68 ] || [ "$STATUS" -eq 64 ]
	spawn send "$BIN/mfd-send" "$RANDOM_IMAGE" "127.0.0.1:$PORT" -6 --connect-timeout 1
	reap send
	[ "$STATUS" -eq 68 ] || [ "$STATUS" -eq 64 ]
}

@test "channels that arrive in another order than they were opened" {
	receive recv out
	proxy 1:delay=300 3:delay=100
	send send "$MIXED" -C 4
	ends send 0
	ends recv 0
	same "$MIXED" out
}

@test "--bwlimit makes a transfer take as long as it should" {
	# 3 MB at 4 MB/s: 0.75 s, less what may go in a burst.
	move "$RANDOM_IMAGE" out -z none --bwlimit 4MB --json
	same "$RANDOM_IMAGE" out
	[ "$(field send.out elapsed_ns)" -gt 500000000 ]
	[ "$(field send.out elapsed_ns)" -lt $((1500000000 * SLACK)) ]
	# And in bits: 32 Mbit are 4 MB.
	move "$RANDOM_IMAGE" out.2 -z none --bwlimit 32Mbit --json
	[ "$(field send.out elapsed_ns)" -gt 500000000 ]
}

@test "null: takes everything, counts and verifies it, and keeps nothing" {
	RECEIVE=(--json)
	for method in none zlib zstd; do
		move "$MIXED" null: -z "$method" --json
		hash_of_both
		[ "$(field recv.out bytes_image)" -eq "$(stat -c %s "$MIXED")" ]
	done
	[ ! -e null: ]
}

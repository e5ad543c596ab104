#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What can go wrong: the exit status and the reason at both ends, in time, and nothing left behind.
# shellcheck disable=SC2030,SC2031,SC2034,SC2153 # each test is a subshell; STATUS, PORT and T are common.bash's

load common

setup_file() {
	random_image "$BATS_FILE_TMPDIR/image" 3000001
}

prepare() {
	IMAGE=$BATS_FILE_TMPDIR/image
	SLOW=(-z none --bwlimit 300K) # 10 s: time enough for things to happen
	LOOP=
	MOUNTED=
}

cleanup() {
	if [ -n "$MOUNTED" ]; then
		umount "$MOUNTED" 2>/dev/null || :
	fi
	if [ -n "$LOOP" ]; then
		losetup -d "$LOOP" 2>/dev/null || :
	fi
}

# A tmpfs of 1 MiB at small.
small_disk() {
	mkdir -p small
	mount -t tmpfs -o size=1M none small 2>mount.err || skip "may not mount a tmpfs: $(cat mount.err)"
	MOUNTED=$T/small
}

@test "an unknown host is 68 at once" {
	echo 'hosts: files' >nsswitch.conf
	unshare -m mount --bind nsswitch.conf /etc/nsswitch.conf 2>unshare.err ||
		skip "no mount namespace, so the answer would be the name server's: $(cat unshare.err)"
	# shellcheck disable=SC2016 # for the inner shell
	spawn send unshare -m sh -c 'mount --bind nsswitch.conf /etc/nsswitch.conf; exec "$@"' - \
		"$BIN/mfd-send" "$IMAGE" nobody.invalid:7700 --connect-timeout 60
	ends send 68 $((2 * SLACK))
	says send 'mfd-send: *nobody.invalid*'
}

@test "a refused connection is tried again until --connect-timeout, then 69" {
	receive recv out
	kill -INT "${PID[recv]}"
	reap recv
	before=$(now_ms)
	send send "$IMAGE" --connect-timeout 1500ms
	ends send 69 $((5 * SLACK))
	[ $(($(now_ms) - before)) -ge 1500 ]
	says send 'mfd-send: *Connection refused*'
}

@test "somebody who accepts and says nothing, or something else, is 75 or 76, not a hang" {
	command -v socat >/dev/null || skip "no socat"
	receive probe out
	kill -INT "${PID[probe]}"
	reap probe
	for answer in 'exec cat >/dev/null' 'echo "220 mail.example.org ESMTP"; exec cat >/dev/null' 'exit'; do
		spawn other socat "TCP-LISTEN:$PORT,bind=127.0.0.1,reuseaddr" "SYSTEM:$answer"
		send send "$IMAGE" --connect-timeout 5 --timeout 1s
		reap send
		[ "$STATUS" -eq 75 ] || [ "$STATUS" -eq 76 ] || [ "$STATUS" -eq 65 ] || fail "$answer: $STATUS"
		kill "${PID[other]}" 2>/dev/null || :
		reap other
	done
}

@test "disk full: both ends print the reason, 74 at both, nothing left" {
	small_disk
	# Announced: it is seen before anything is moved.
	receive recv small/out
	send send "$IMAGE"
	both_end 74
	says recv 'mfd-recv: small/out*No space left on device*'
	says send 'mfd-send: *remote: *No space left on device*'
	[ -z "$(ls -A small)" ]

	# Not announced: a write fails.
	for channels in 1 8; do
		receive recv small/out
		STDIN=$IMAGE send send - -C "$channels" -z none
		both_end 74
		says recv 'mfd-recv: small/out*No space left on device*'
		says send 'mfd-send: *remote: *No space left on device*'
		[ -z "$(ls -A small)" ]
	done
}

@test "a sparse image that is larger than the disk, but not its data, fits" {
	small_disk
	truncate -s 1G sparse
	head -c 200000 "$IMAGE" | dd of=sparse bs=4096 seek=100000 conv=notrunc status=none
	move sparse small/out
	[ "$(stat -c %s small/out)" -eq $((1 << 30)) ]
	cmp -i $((100000 * 4096)) -n 200704 sparse small/out
}

@test "a source that fails with EIO in the middle: 74 at both ends, nothing left" {
	command -v losetup >/dev/null || skip "no losetup"
	# A loop device whose file became shorter behind its back can't read what is missing.
	cp "$IMAGE" backing
	truncate -s 3M backing
	LOOP=$(losetup --find --show backing 2>losetup.err) || skip "no loop devices here: $(cat losetup.err)"
	truncate -s 1M backing
	for channels in 1 4; do
		receive recv out
		send send "$LOOP" -C "$channels"
		both_end 74
		says send "mfd-send: $LOOP*Input/output error"
		says recv 'mfd-recv: remote: *Input/output error'
		nothing_left out
	done
}

@test "a source whose read fails at a given offset: 74 at both ends, nothing left" {
	command -v "${CC:-cc}" >/dev/null || skip "no C compiler"
	cat >eio.c <<-'END'
		#define _GNU_SOURCE
		#include <dlfcn.h>
		#include <errno.h>
		#include <stdlib.h>
		#include <unistd.h>
		ssize_t pread64(int fd, void *bytes, size_t size, off64_t at)
		{
			if (at <= atoll(getenv("EIO_AT")) && atoll(getenv("EIO_AT")) < at + (off64_t)size) {
				errno = EIO;
				return -1;
			}
			return ((ssize_t (*)(int, void *, size_t, off64_t))dlsym(RTLD_NEXT, "pread64"))(fd, bytes, size, at);
		}
		ssize_t pread(int fd, void *bytes, size_t size, off_t at)
		{
			return pread64(fd, bytes, size, at);
		}
	END
	"${CC:-cc}" -shared -fPIC -o eio.so eio.c
	export ASAN_OPTIONS="${ASAN_OPTIONS-}:verify_asan_link_order=0" # or it insists on coming first
	for at in 0 1234567 3000000; do
		for method in none zstd; do
			receive recv out
			spawn send env "LD_PRELOAD=$T/eio.so" "EIO_AT=$at" "$BIN/mfd-send" "$IMAGE" "127.0.0.1:$PORT" -C 3 -z "$method"
			both_end 74
			says send "mfd-send: $IMAGE*Input/output error"
			says recv 'mfd-recv: remote: *Input/output error'
			nothing_left out
		done
	done
}

@test "standard input that fails with EIO: 74 at both ends, nothing left" {
	receive recv out
	# Nothing is mapped at address 0 of any process that lives on.
	STDIN=/proc/$$/mem send send -
	both_end 74
	says send 'mfd-send: *Input/output error'
	says recv 'mfd-recv: remote: *Input/output error'
	nothing_left out
}

@test "a source that becomes shorter while it is read is 66 at both ends, nothing left" {
	for size in 0 1000000 2999999; do
		cp "$IMAGE" image
		receive recv out
		send send image -z none --bwlimit 1M -C 2
		began recv
		truncate -s "$size" image
		both_end 66
		says send 'mfd-send: image*shorter*'
		says recv 'mfd-recv: remote: *shorter*'
		nothing_left out
	done
}

@test "a source that grows while it is read is sent as large as it was" {
	cp "$IMAGE" image
	receive recv out
	send send image -z none --bwlimit 2M
	began recv
	echo more >>image
	both_end 0
	same "$IMAGE" out
}

@test "a stopped receiver: the sender gives up within --timeout with 75" {
	receive recv out
	send send "$IMAGE" "${SLOW[@]}" -C 2 --timeout 1
	began recv
	kill -STOP "${PID[recv]}"
	ends send 75 $((1 + 2 * SLACK))
	kill -CONT "${PID[recv]}"
	ends recv 75
	nothing_left out
}

@test "a stopped sender: the receiver gives up within --timeout with 75" {
	receive recv out --timeout 1
	send send "$IMAGE" "${SLOW[@]}" -C 2
	began recv
	kill -STOP "${PID[send]}"
	ends recv 75 $((1 + 2 * SLACK))
	nothing_left out
	kill -CONT "${PID[send]}"
	ends send 75
}

@test "a killed receiver: the sender ends with 75 at once; a killed sender: so does the receiver" {
	receive recv out
	send send "$IMAGE" "${SLOW[@]}"
	began recv
	kill -KILL "${PID[recv]}"
	ends send 75 $((2 * SLACK))
	[ ! -e out ]
	rm -f .out.mfd-* # nobody could

	receive recv out
	send send "$IMAGE" "${SLOW[@]}"
	began recv
	kill -KILL "${PID[send]}"
	ends recv 75 $((2 * SLACK))
	nothing_left out
}

@test "too few descriptors for so many channels: both ends end alike, with the whole image or nothing left" {
	receive recv out --timeout 1
	# shellcheck disable=SC2016 # for the inner shell
	spawn send sh -c 'ulimit -n 20; exec "$@"' - "$BIN/mfd-send" "$IMAGE" "127.0.0.1:$PORT" -C 64 --timeout 1
	both_end 71
	nothing_left out

	rm -f recv.port
	# shellcheck disable=SC2016 # for the inner shell
	spawn recv sh -c 'ulimit -n 20; exec "$@"' - "$BIN/mfd-recv" --listen 127.0.0.1:0 --port-file recv.port --timeout 1 out
	await_port recv
	send send "$IMAGE" -C 64 --timeout 1
	# On the few connections that it could take, unless each came to be one too many.
	reap send
	sender=$STATUS
	reap recv
	[ "$STATUS" -eq "$sender" ]
	case $sender in
	0) same "$IMAGE" out ;;
	75) nothing_left out ;;
	*) fail "$sender at both ends" ;;
	esac
}

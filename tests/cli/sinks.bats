#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Where an image goes, and where it comes from: files that are there already, symlinks, modes, block devices, in place.

# shellcheck disable=SC2030,SC2031,SC2034,SC2153 # each test is a subshell; STATUS, PORT and T are common.bash's

load common

setup_file() {
	mixed_image "$BATS_FILE_TMPDIR/mixed"
}

prepare() {
	MIXED=$BATS_FILE_TMPDIR/mixed
	RECEIVE=(--quiet)
	LOOPS=()
}

cleanup() {
	local loop

	for loop in "${LOOPS[@]}"; do
		losetup -d "$loop" 2>/dev/null || :
	done
	if [ -n "${MOUNTED-}" ]; then
		umount "$MOUNTED" 2>/dev/null || :
	fi
}

# loop FILE: its block device is in LOOP.
loop() {
	command -v losetup >/dev/null || skip "no losetup"
	LOOP=$(losetup --find --show "$1" 2>losetup.err) || skip "no loop devices here: $(cat losetup.err)"
	LOOPS+=("$LOOP")
}

# refused STATUS ARGUMENT...: a receiver that must end before it listens.
refused() {
	local status=$1

	shift
	rm -f recv.port
	spawn recv "$BIN/mfd-recv" --listen 127.0.0.1:0 --port-file recv.port --accept-timeout 5 "$@"
	ends recv "$status" || return 1
	[ ! -e recv.port ] || fail "it has listened"
}

@test "a new output is readable by its owner only, whatever the umask allows" {
	umask 0
	move "$MIXED" out
	[ "$(stat -c %a out)" = 600 ]
}

@test "an existing output is refused with 73 before listening, and stays; --force replaces it" {
	echo old >out
	refused 73 out
	says recv 'mfd-recv: *out*--force*'
	[ "$(cat out)" = old ]

	RECEIVE+=(--force)
	move "$MIXED" out
	same "$MIXED" out
}

@test "until the end the old file is untouched" {
	echo old >out
	receive recv --force out
	send send "$MIXED" -z none --bwlimit 300K
	began recv
	[ "$(cat out)" = old ]
	kill -INT "${PID[recv]}"
	reap recv
	[ "$(cat out)" = old ]
	rm out
	nothing_left out
}

@test "a replaced file's mode is kept, and its owner" {
	echo old >out
	chmod 640 out
	if [ "$(id -u)" = 0 ]; then
		chown 12:34 out
	fi
	before=$(stat -c '%a %u %g' out)
	RECEIVE+=(--force)
	move "$MIXED" out
	same "$MIXED" out
	[ "$(stat -c '%a %u %g' out)" = "$before" ]
}

@test "a symlink is followed: to a file, through another link, to nothing yet" {
	mkdir real
	ln -s real/file one
	ln -s one two
	move "$MIXED" two
	[ -L two ]
	[ -L one ]
	[ -f real/file ]
	same "$MIXED" real/file

	echo old >real/file
	refused 73 two
	RECEIVE+=(--force)
	move "$MIXED" two
	[ -L two ]
	[ -L one ]
	same "$MIXED" real/file
}

@test "an output that appears meanwhile is not replaced" {
	receive recv out
	send send "$MIXED" -z none --bwlimit 2M
	began recv
	echo mine >out
	ends recv 73
	ends send 73
	says send '*remote:*out*'
	[ "$(cat out)" = mine ]
	rm out
	nothing_left out
}

@test "an output directory that is missing, or an output that is one, is 73 before listening" {
	refused 73 nowhere/out
	says recv 'mfd-recv: nowhere/out*No such file or directory'
	mkdir dir
	refused 73 dir
	refused 73 --force dir
	rmdir dir
}

@test "an output directory that may not be written to is 73 before listening" {
	[ "$(id -u)" = 0 ] || skip "needs root, to become somebody else"
	command -v setpriv >/dev/null || skip "no setpriv"
	mkdir closed
	spawn recv setpriv --reuid 65534 --clear-groups "$BIN/mfd-recv" --listen 127.0.0.1:0 --accept-timeout 5 /proc/self/out
	ends recv 73
}

@test "in place over an image full of data, by one full of zeros" {
	random_image out 4000000
	inode=$(stat -c %i out)
	head -c 3000000 /dev/zero >zeros
	RECEIVE+=(--inplace --force)
	for method in none zlib zstd; do
		random_image out 4000000
		move zeros out -z "$method"
		same zeros out
	done
	truncate -s 5M hole
	random_image out 4000000
	move hole out
	same hole out
	[ "$(stat -c %i out)" = "$inode" ]
}

@test "in place over an old image, longer and shorter, by a mixed one; and into a new file" {
	RECEIVE+=(--inplace --force)
	for size in 100 4000000 12000000; do
		random_image out "$size"
		move "$MIXED" out -C 4
		same "$MIXED" out
		random_image out "$size"
		STDIN=$MIXED move - out -C 4
		same "$MIXED" out
	done
	rm out
	move "$MIXED" out
	same "$MIXED" out
}

@test "a receiver in place that nobody comes to leaves the old file as it is, and no new one" {
	echo old >old
	spawn recv "$BIN/mfd-recv" --listen 127.0.0.1:0 --accept-timeout 200ms --inplace --force old
	ends recv 75
	[ "$(cat old)" = old ]
	spawn recv "$BIN/mfd-recv" --listen 127.0.0.1:0 --accept-timeout 200ms --inplace new
	ends recv 75
	[ ! -e new ]
}

@test "a block device is read, and one is written in place with --force only" {
	size=$((8 * 1024 * 1024))
	cp "$MIXED" source
	truncate -s "$size" source
	random_image backing $((size + 4096))
	tail -c 4096 backing >behind
	loop source
	from=$LOOP
	loop backing
	to=$LOOP

	refused 73 "$to"
	RECEIVE+=(--force)
	move "$from" "$to" -C 4
	cmp -n "$size" source "$to"
	tail -c 4096 "$to" | cmp - behind

	move "$from" out
	same source out
}

@test "a device that is too small is 73 at both ends, whether the size is known before or not" {
	truncate -s 1M backing
	loop backing
	receive recv --force "$LOOP"
	send send "$MIXED"
	ends recv 73
	ends send 73
	says send '*remote:*'

	receive recv --force "$LOOP"
	STDIN=$MIXED send send -
	reap recv
	[ "$STATUS" -eq 73 ] || [ "$STATUS" -eq 74 ]
	ends send "$STATUS"
}

@test "a mounted device is refused with 73" {
	command -v mkfs.ext4 >/dev/null || skip "no mkfs.ext4"
	truncate -s 8M backing
	mkfs.ext4 -q backing
	loop backing
	mkdir mnt
	mount "$LOOP" mnt 2>mount.err || skip "may not mount: $(cat mount.err)"
	MOUNTED=$T/mnt
	refused 73 --force "$LOOP"
	says recv 'mfd-recv: *mounted on*'
}

@test "a source that is no image is 66 before connecting" {
	mkfifo fifo
	mkdir dir
	PORT=1
	for source in missing dir fifo /dev/null; do
		send send "$source" --connect-timeout 5
		ends send 66 2
		says send "mfd-send: $source*"
	done
}

@test "an output of - is refused with 64 and the reason" {
	refused 64 -
	says recv 'mfd-recv: -*file*'
}

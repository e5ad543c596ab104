#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# --cache at both ends: whole transfers in each mode, what is in the page cache afterwards, file systems and devices that are different.

# shellcheck disable=SC2030,SC2031,SC2034 # each test is a subshell; T and BIN are common.bash's

load common

setup_file() {
	mixed_image "$BATS_FILE_TMPDIR/mixed"
	sync "$BATS_FILE_TMPDIR/mixed"
}

prepare() {
	MIXED=$BATS_FILE_TMPDIR/mixed
	LOOP=
}

cleanup() {
	if [ -n "$LOOP" ]; then
		losetup -d "$LOOP" 2>/dev/null || :
	fi
	if [ -n "${MOUNTED-}" ]; then
		umount "$MOUNTED" 2>/dev/null || :
	fi
}

chill() {
	dd if="$1" iflag=nocache count=0 status=none
}

# resident FILE: bytes of it in the page cache.
resident() {
	fincore --bytes --noheadings --output RES "$1" | tr -d ' '
}

need_a_disk() {
	command -v fincore >/dev/null || skip "no fincore"
	case $(stat -f -c %T "$T") in
	tmpfs | ramfs) skip "$T is all page cache: set TMPDIR to a disk" ;;
	esac
}

@test "a mode that does not exist is refused with 64, by both programs" {
	for command in "$BIN/mfd-send --cache=all $MIXED 127.0.0.1:1" "$BIN/mfd-recv --cache=all -l 127.0.0.1:0 out"; do
		# shellcheck disable=SC2086 # a command line
		run $command
		[ "$status" -eq 64 ]
		[[ $output == *--cache*keep,\ drop\ and\ direct* ]]
	done
}

@test "each mode moves the same bytes, with every method" {
	for mode in keep drop direct; do
		for method in none zlib zstd; do
			RECEIVE=(--quiet --force --cache=$mode)
			move "$MIXED" out --cache=$mode -q -z $method
			same "$MIXED" out
		done
	done
}

@test "only keep leaves image and output in the page cache" {
	need_a_disk
	for mode in drop direct keep; do
		chill "$MIXED"
		RECEIVE=(--quiet --force --cache=$mode)
		move "$MIXED" out --cache=$mode -q
		same=$(resident "$MIXED"),$(resident out)
		echo "$mode: $same bytes"
		if [ $mode = keep ]; then
			[[ $same != *,0 && $same != 0,* ]]
		else
			[ "$same" = 0,0 ]
		fi
	done
}

@test "a file system without O_DIRECT is told of, and the image comes all the same" {
	mkdir ram
	mount -t ramfs none ram 2>mount.err || skip "may not mount a ramfs: $(cat mount.err)"
	MOUNTED=$T/ram
	if dd if="$MIXED" of=ram/try oflag=direct bs=4096 count=1 2>/dev/null; then
		skip "this ramfs takes O_DIRECT"
	fi
	cp "$MIXED" ram/image
	RECEIVE=(--cache=direct)
	move ram/image ram/out --cache=direct
	same "$MIXED" ram/out
	says recv 'mfd-recv: *--cache=drop instead of direct: ram/out: no direct I/O*'
	says send 'mfd-send: *--cache=drop instead of direct: ram/image: no direct I/O*'
}

@test "standard input says that it is read as it comes" {
	RECEIVE=(--quiet)
	STDIN=$MIXED move - out --cache=drop
	same "$MIXED" out
	says send 'mfd-send: *--cache: standard input is read as it comes'
}

@test "block devices are written and read in each mode" {
	command -v losetup >/dev/null || skip "no losetup"
	truncate -s 16M disk
	LOOP=$(losetup --find --show disk 2>losetup.err) || skip "no loop devices here: $(cat losetup.err)"
	for mode in keep drop direct; do
		RECEIVE=(--quiet --force --cache=$mode)
		move "$MIXED" "$LOOP" --cache=$mode -q
		cmp -n "$(stat -c %s "$MIXED")" "$MIXED" "$LOOP"
		RECEIVE=(--quiet --force)
		move "$LOOP" out --cache=$mode -q
		cmp "$LOOP" out
		head -c 1M /dev/urandom >"$LOOP"
	done
}

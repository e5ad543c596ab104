#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A receiver that has an older image: what it costs, where it may be, and what is refused.

# shellcheck disable=SC2030,SC2031,SC2034,SC2153,SC2154 # each test is a subshell; STATUS, PORT, BIN and T are common.bash's

load common

setup_file() {
	random_image "$BATS_FILE_TMPDIR/old" $((16 * 1024 * 1024))
	cp "$BATS_FILE_TMPDIR/old" "$BATS_FILE_TMPDIR/new"
	change 20 "$BATS_FILE_TMPDIR/new"
}

# change N FILE: one page of N, scattered by a seed.
change() {
	perl -e 'open F, "+<", $ARGV[1] or die; srand 7; my $pages = (-s F) / 4096;
		for (my $block = 0; $block < $pages; $block += $ARGV[0]) {
			my $page = $block + int rand $ARGV[0];
			next if $page >= $pages;
			sysseek F, $page * 4096 + 100, 0; syswrite(F, "changed!") == 8 or die; }' "$1" "$2"
}

prepare() {
	OLD=$BATS_FILE_TMPDIR/old
	NEW=$BATS_FILE_TMPDIR/new
	PAGES=$((16 * 256))
	CHANGED=$(((PAGES + 19) / 20))
	RECEIVE=(--json=recv.json -q)
	LOOPS=()
}

cleanup() {
	local loop

	if [ -n "${MOUNTED-}" ]; then
		umount "$MOUNTED" 2>/dev/null || :
	fi
	for loop in "${LOOPS[@]}"; do
		losetup -d "$loop" 2>/dev/null || :
	done
}

loop() {
	command -v losetup >/dev/null || skip "no losetup"
	LOOP=$(losetup --find --show "$1" 2>losetup.err) || skip "no loop devices here: $(cat losetup.err)"
	LOOPS+=("$LOOP")
}

# A file system whose files can share blocks, at mnt.
reflinks() {
	command -v mkfs.xfs >/dev/null || skip "no mkfs.xfs"
	truncate -s 400M backing
	mkfs.xfs -q -m reflink=1 backing
	loop backing
	mkdir mnt
	mount -t xfs "$LOOP" mnt 2>mount.err || skip "may not mount: $(cat mount.err)"
	MOUNTED=$T/mnt
}

# What differs has travelled, and nothing else: 1.05 times CHANGED pages at most, and the hashes.
cheap() {
	[ "$(field recv.json pages_data)" -eq "$CHANGED" ] || return 1
	[ "$(field recv.json pages_kept)" -eq $((PAGES - CHANGED)) ] || return 1
	[ "$(field recv.json bytes_wire)" -le $((CHANGED * 4096 * 105 / 100)) ] || return 1
	[ "$(field recv.json bytes_hashes)" -le $((PAGES * 165 / 10)) ]
}

@test "two snapshots that differ in 5 % of their pages cost 5 % on the wire, and the hashes" {
	RECEIVE+=(--basis "$OLD" --verify)
	move "$NEW" out -z none --json=send.json
	same "$NEW" out
	cheap
	for key in pages_kept pages_data bytes_wire hash; do
		[ "$(field send.json $key)" = "$(field recv.json $key)" ]
	done

	# Without a basis the hash is the same, and nothing is kept.
	RECEIVE=(--json=whole.json -q)
	move "$NEW" whole -z none
	[ "$(field whole.json hash)" = "$(field recv.json hash)" ]
	[ "$(field whole.json pages_kept)" -eq 0 ]
	[ "$(field whole.json bytes_hashes)" -eq 0 ]
}

@test "the basis may be the output that is replaced, and is left as it is until then" {
	cp "$OLD" out
	RECEIVE+=(--basis out --force)
	move "$NEW" out -z none
	same "$NEW" out
	cheap
}

@test "in place with --delta only what differs is written" {
	cp "$OLD" out
	RECEIVE+=(--inplace --delta --force --verify)
	move "$NEW" out -z none
	same "$NEW" out
	cheap
}

@test "a device with --delta, and a device as basis" {
	cp "$OLD" backing
	loop backing
	RECEIVE+=(--delta --force --verify)
	move "$NEW" "$LOOP" -z none
	cmp "$NEW" "$LOOP"
	cheap
	RECEIVE=(--json=recv.json -q --basis "$LOOP")
	move "$OLD" out -z none
	same "$OLD" out
	cheap
}

@test "a stream is compared as well" {
	RECEIVE+=(--basis "$OLD")
	STDIN=$NEW move - out -z none
	same "$NEW" out
	cheap
}

@test "with --cache=drop and direct, too" {
	for cache in drop direct; do
		RECEIVE=(--json=recv.json -q --basis "$OLD" --cache=$cache --verify)
		move "$NEW" "out-$cache" -z none
		same "$NEW" "out-$cache"
		cheap
	done
}

@test "an image that became larger, smaller, sparse: identical" {
	for size in 1 4096 5000000 20000001; do
		cp "$NEW" image
		truncate -s "$size" image
		RECEIVE=(-q --basis "$OLD" --verify --force)
		move image out
		same image out
	done
	mixed_image image
	RECEIVE=(-q --basis image)
	move "$NEW" out2
	same "$NEW" out2
	RECEIVE=(-q --basis "$NEW" --verify)
	move image out3
	same image out3
	cp "$NEW" out4
	RECEIVE=(-q --inplace --delta --force --verify)
	move image out4
	same image out4
}

@test "where files can share blocks the output begins as a clone of its basis" {
	reflinks
	cp "$OLD" mnt/old
	sync mnt/old
	RECEIVE+=(--basis mnt/old --verify)
	move "$NEW" mnt/out -z none
	same "$NEW" mnt/out
	same "$OLD" mnt/old
	cheap
	command -v filefrag >/dev/null || skip "no filefrag"
	filefrag -v mnt/out | grep -q shared
	# Without a basis nothing is shared.
	RECEIVE=(-q)
	move "$NEW" mnt/whole
	[ "$(filefrag -v mnt/whole | grep -c shared)" -eq 0 ]
}

@test "a full disk needs no room for what a clone shares" {
	reflinks
	cp "$OLD" mnt/old
	sync mnt/old
	room=$(df --output=avail -B 1M mnt | tail -n 1)
	fallocate -l "$((room - 10))M" mnt/ballast
	RECEIVE+=(--basis mnt/old)
	move "$NEW" mnt/out -z none
	same "$NEW" mnt/out
}

# refused STATUS TEXT ARGUMENT...: a receiver that must end before it listens.
refused() {
	local status=$1 text=$2

	shift 2
	spawn recv "$BIN/mfd-recv" --listen 127.0.0.1:0 --port-file recv.port --accept-timeout 5 "$@"
	ends recv "$status" || return 1
	[ ! -e recv.port ] || fail "it has listened" || return 1
	says recv "$text"
}

@test "a basis that is not there is 66, and what makes no sense is 64, before listening" {
	refused 66 'mfd-recv: *missing*No such file*' --basis missing out
	nothing_left out
	refused 66 'mfd-recv: *neither a regular file*' --basis /dev/null out
	refused 64 'mfd-recv: *--delta*--inplace*' --delta out
	refused 64 'mfd-recv: *null:*' --basis "$OLD" null:
	refused 64 'mfd-recv: *null:*' --verify null:
	cp "$OLD" out
	refused 73 'mfd-recv: *out*--force*' --inplace --delta out
	same "$OLD" out
}

@test "--verify alone reads the output again, whatever its size" {
	for size in 0 1 4096 300001; do
		head -c "$size" "$NEW" >image
		RECEIVE=(-q --verify --force)
		move image out
		same image out
	done
}

# The file that is being written, or the output itself: its beginning is there.
written() {
	[ "$(find . -maxdepth 1 -size +40k \( -name 'out' -o -name '.out.mfd-*' \) | wc -l)" -eq 1 ]
}

@test "--verify finds what became of the output meanwhile: 65 at both ends, nothing put in place; without it nobody would know" {
	random_image image 300001 7
	mkfifo pipe
	for verify in --verify ''; do
		for place in '' --inplace; do
			rm -f out
			exec 6<>pipe
			# shellcheck disable=SC2086 # none, or one
			receive recv --force $verify $place out 6>&-
			STDIN=pipe send send - -z none --packet-size 64K -C 1 6>&-
			head -c 131072 image >&6
			until_true "$PATIENCE" written || fail "nothing has come"
			printf x | dd of="$(find . -maxdepth 1 -name out -o -name '.out.mfd-*')" bs=1 seek=5000 conv=notrunc status=none
			tail -c +131073 image >&6
			exec 6>&-
			if [ -z "$verify" ]; then
				both_end 0
				[ "$(cmp -l image out | wc -l)" -eq 1 ]
				continue
			fi
			both_end 65
			says recv 'mfd-recv: the output was read again and has hash *, should be *'
			says send 'mfd-send: remote: the output was read again and has hash *, should be *'
			[ "$place" ] || nothing_left out
		done
	done
}

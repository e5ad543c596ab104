#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The command line before anything moves: what is refused (64, one line that says what is allowed) and, beside it, what is not; help and
# version.  A sender whose options are right goes on to its image, which is missing: 66.  A receiver goes on to its output, in a
# directory that is missing: 73.

bats_require_minimum_version 1.5.0

setup() {
	SEND=${MFD_BIN_DIR:?the directory of mfd-send and mfd-recv}/mfd-send
	RECV=$MFD_BIN_DIR/mfd-recv
	cd "$BATS_TEST_TMPDIR" || return 1
}

# refused PATTERN COMMAND...: exit status 64, one line on standard error that begins with the program's name and matches PATTERN.
refused() {
	local pattern=$1

	shift
	run --separate-stderr "$@"
	# shellcheck disable=SC2154 # stderr_lines is run's
	if [ "$status" -ne 64 ] || [ -n "$output" ] || [ "${#stderr_lines[@]}" -ne 1 ] ||
		[[ ! ${stderr_lines[0]} =~ ^"$(basename "$1")": ]] || [[ ! ${stderr_lines[0]} =~ $pattern ]]; then
		echo "$*: status $status, '$output', '$stderr'"
		return 1
	fi
}

# unknown TEXT COMMAND...: exit status 64; the line about TEXT and where to find help.
unknown() {
	local text=$1

	shift
	run --separate-stderr "$@"
	[ "$status" -eq 64 ]
	[ -z "$output" ]
	[[ ${stderr_lines[0]} == "$(basename "$1"): "*"$text"* ]]
	[[ ${stderr_lines[1]} == *--help* ]]
	[ "${#stderr_lines[@]}" -eq 2 ]
}

send_ok() {
	run "$SEND" "$@" missing 127.0.0.1:1
	[ "$status" -eq 66 ] || { echo "$*: status $status, $output"; return 1; }
}

recv_ok() {
	run "$RECV" "$@" --listen 127.0.0.1:0 nowhere/out
	[ "$status" -eq 73 ] || { echo "$*: status $status, $output"; return 1; }
}

@test "--help goes to standard output and names each option, -h too" {
	for program in "$SEND" "$RECV"; do
		for option in --help -h; do
			run --separate-stderr "$program" "$option"
			[ "$status" -eq 0 ]
			[ -z "$stderr" ]
			[[ $output == "Usage: $(basename "$program") [OPTION...]"* ]]
			[[ $output == *--timeout=DUR* ]]
		done
	done
}

@test "--usage is short" {
	for program in "$SEND" "$RECV"; do
		run --separate-stderr "$program" --usage
		[ "$status" -eq 0 ]
		[[ $output == "Usage: $(basename "$program") "*--json* ]]
	done
}

@test "--version names the program and a version, -V too" {
	for program in "$SEND" "$RECV"; do
		for option in --version -V; do
			run --separate-stderr "$program" "$option"
			[ "$status" -eq 0 ]
			[ -z "$stderr" ]
			[[ $output =~ ^"$(basename "$program")"\ [0-9]+\.[0-9]+\.[0-9]+ ]]
		done
	done
}

@test "help that can't be written is an error" {
	for option in --help --version; do
		run bash -c '"$1" "$2" >/dev/full' - "$SEND" "$option"
		[ "$status" -eq 74 ]
	done
}

@test "arguments: exactly IMAGE HOST:PORT" {
	refused 'IMAGE and HOST:PORT' "$SEND"
	refused 'IMAGE and HOST:PORT' "$SEND" image
	refused 'IMAGE HOST:PORT' "$SEND" image 127.0.0.1:1 another
	send_ok
}

@test "arguments: exactly OUTPUT, and --listen" {
	refused 'OUTPUT' "$RECV" --listen :0
	refused 'OUTPUT' "$RECV" --listen :0 out another
	refused '--listen: .*HOST.*:PORT' "$RECV" out
	recv_ok
}

@test "an unknown option is 64, and so is one without its value" {
	for program in "$SEND" "$RECV"; do
		unknown "'--bogus'" "$program" --bogus
		unknown "'X'" "$program" -X
		unknown "'--timeout'" "$program" --timeout
	done
	unknown "'--quiet'" "$SEND" --quiet=yes
	# What only the other one has.
	unknown "'--listen" "$SEND" --listen :1
	unknown "'--channels" "$RECV" --channels 1
}

@test "the address needs a port" {
	for address in host host: :7700 host:0 host:65536 host:x '[::1' '[::1]' ''; do
		refused . "$SEND" image "$address"
	done
	for address in host host: :65536 :x '[::1'; do
		refused . "$RECV" --listen "$address" out
	done
	for address in '[::1]:1' localhost:1 127.0.0.1:65535; do
		run "$SEND" missing "$address"
		[ "$status" -eq 66 ]
	done
}

@test "--channels: 1 to 128" {
	for n in 0 129 -1 x '' 1.5 4294967297; do
		refused '--channels: 1 to 128' "$SEND" --channels="$n" image 127.0.0.1:1
	done
	for n in 1 128; do
		send_ok --channels="$n"
		send_ok -C "$n"
	done
}

@test "--max-channels: 1 to 128" {
	for n in 0 129 x; do
		refused '--max-channels: 1 to 128' "$RECV" --max-channels="$n" --listen :0 out
	done
	recv_ok --max-channels 1
	recv_ok --max-channels 128
}

@test "--compress: auto, none, zlib and zstd" {
	for method in lz4 '' ZSTD autos zstd,1; do
		refused 'auto, none, zlib and zstd' "$SEND" --compress="$method" image 127.0.0.1:1
	done
	for method in auto none zlib zstd; do
		send_ok --compress="$method"
		send_ok -z "$method"
	done
}

@test "--level: zlib 1..9" {
	for level in 0 10 -1 999; do
		refused '1\.\.9' "$SEND" -z zlib --level="$level" image 127.0.0.1:1
	done
	for level in 1 9; do
		send_ok -z zlib --level="$level"
		send_ok -z zlib -l "$level"
	done
}

@test "--level: zstd -7..-1 and 1..19" {
	for level in -8 0 20 x '' 1.5 -2147483648 99999999999999999999; do
		refused '-7\.\.-1 and 1\.\.19' "$SEND" -z zstd --level="$level" image 127.0.0.1:1
	done
	for level in -7 -1 1 19; do
		send_ok -z zstd --level="$level"
		send_ok -z zstd -l "$level"
	done
}

@test "--level: auto 1..19" {
	for level in -1 0 20; do
		refused 'auto levels are 1\.\.19' "$SEND" -z auto --level="$level" image 127.0.0.1:1
	done
	for level in 1 9 19; do
		send_ok -z auto --level="$level"
	done
}

@test "--level: none has no levels" {
	refused 'no levels' "$SEND" -z none -l 1 image 127.0.0.1:1
	refused 'no levels' "$SEND" -z none -l 0 image 127.0.0.1:1
	send_ok -z none
}

@test "--packet-size: 64K to 4M" {
	for size in 0 65535 4194305 5M 64 x -64K 64KX 99999999999999999999G; do
		refused '--packet-size: 64K to 4M' "$SEND" --packet-size="$size" image 127.0.0.1:1
	done
	for size in 65536 64K 64KiB 4M 4MiB 1MB 4194304; do
		send_ok --packet-size="$size"
	done
}

@test "--timeout: 100ms to 24h, at both ends" {
	for dur in 0 99ms 0.05 25h 86401 x 1d -1 '' 1..5; do
		refused '--timeout: 100ms to 24h' "$SEND" --timeout="$dur" image 127.0.0.1:1
		refused '--timeout: 100ms to 24h' "$RECV" --timeout="$dur" --listen :0 out
	done
	for dur in 100ms 0.1 1.5s 30 30s 5m 24h 86400; do
		send_ok --timeout="$dur"
		recv_ok --timeout="$dur"
	done
}

@test "--connect-timeout: 0, which is for ever, to 24h" {
	for dur in 25h x -1; do
		refused '--connect-timeout: 0 \(for ever\) to 24h' "$SEND" --connect-timeout="$dur" image 127.0.0.1:1
	done
	for dur in 0 500ms 24h; do
		send_ok --connect-timeout="$dur"
	done
}

@test "--accept-timeout: 0, which is for ever, to a year" {
	for dur in 8761h x -1; do
		refused '--accept-timeout: 0 \(for ever\) to 8760h' "$RECV" --accept-timeout="$dur" --listen :0 out
	done
	for dur in 0 500ms 8760h; do
		recv_ok --accept-timeout="$dur"
	done
}

@test "--bwlimit: from 1 byte per second" {
	for rate in 0 0K x -1 1Mibit 1M/h 99999999T; do
		refused '--bwlimit: 1 byte per second and more' "$SEND" --bwlimit="$rate" image 127.0.0.1:1
	done
	for rate in 1 64K 50MB/s 100Mbit 2.5Gbit/s; do
		send_ok --bwlimit="$rate"
	done
}

@test "--max-size: from 1 byte" {
	for size in 0 x -1 1.5 99999999T; do
		refused '--max-size: 1 byte and more' "$RECV" --max-size="$size" --listen :0 out
	done
	for size in 1 4095 64GiB 1.5T; do
		recv_ok --max-size="$size"
	done
}

@test "--allow: addresses and prefixes, several of them" {
	for range in x 10.0.0.1/33 ::/129 10.0.0.0/ 10.0.0/8; do
		refused . "$RECV" --allow="$range" --listen :0 out
	done
	recv_ok --allow=10.0.0.1 --allow=192.168.0.0/16 --allow=fe80::/10 --allow=::1
}

@test "--congestion: what the kernel has, and it is named" {
	for algorithm in nope reno-but-much-too-long ''; do
		refused 'not in this kernel, which has:.* reno' "$SEND" --congestion="$algorithm" image 127.0.0.1:1
		refused 'not in this kernel, which has:.* reno' "$RECV" --congestion="$algorithm" --listen 127.0.0.1:0 out
	done
	send_ok --congestion=reno
	recv_ok --congestion=reno
}

@test "--congestion that only root may use is 77, and names what all may" {
	command -v setpriv >/dev/null || skip "no setpriv(1)"
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	read -ra allowed </proc/sys/net/ipv4/tcp_allowed_congestion_control
	for algorithm in $(cat /proc/sys/net/ipv4/tcp_available_congestion_control); do
		[[ " ${allowed[*]} " == *" $algorithm "* ]] || restricted=$algorithm
	done
	[ -n "${restricted-}" ] || skip "all that this kernel has are allowed"
	run setpriv --reuid 65534 --clear-groups "$RECV" --congestion="$restricted" --listen 127.0.0.1:0 null:
	[ "$status" -eq 77 ]
	[[ $output == *"for root only; allowed are: "*reno* ]]
	send_ok --congestion="$restricted"
}

@test "--progress: auto, bar, line and none" {
	for mode in x '' bars; do
		refused '--progress: auto, bar, line and none' "$SEND" --progress="$mode" image 127.0.0.1:1
		refused '--progress: auto, bar, line and none' "$RECV" --progress="$mode" --listen :0 out
	done
	for mode in auto bar line none; do
		send_ok --progress="$mode"
		recv_ok --progress="$mode"
	done
}

@test "- as output is refused with the reason, and as image it is standard input" {
	refused 'out of order.*file, a block device or null:' "$RECV" --listen :0 -
	run "$SEND" - 127.0.0.1:1 --connect-timeout 100ms </dev/null
	[ "$status" -eq 69 ]
}

@test "options may stand behind arguments, and -- ends them" {
	run "$SEND" missing 127.0.0.1:1 -q --level 3
	[ "$status" -eq 66 ]
	run "$SEND" -q -- -missing 127.0.0.1:1
	[ "$status" -eq 66 ]
}

@test "--json=FILE that can't be created is 73, and nothing starts" {
	run "$RECV" --listen 127.0.0.1:0 --json=nowhere/file out
	[ "$status" -eq 73 ]
	[ "$output" = "mfd-recv: nowhere/file: No such file or directory" ]
	[ -z "$(ls -A)" ]
}

@test "without standard output --json is an error, and standard input that is closed is no empty image" {
	run bash -c '"$1" --json missing 127.0.0.1:1 >&-' - "$SEND"
	[ "$status" -eq 66 ]
	[[ $output == *"standard output: "* ]]
	run bash -c '"$1" - 127.0.0.1:1 --connect-timeout 100ms <&-' - "$SEND"
	[ "$status" -eq 66 ]
}

@test "an error is one line that begins with the program's name, wherever it was started from" {
	run "$SEND" missing 127.0.0.1:1
	[ "$status" -eq 66 ]
	[ "$output" = "mfd-send: missing: No such file or directory" ]
	run "$RECV" --listen 127.0.0.1:0 nowhere/out
	[ "$status" -eq 73 ]
	[ "${#lines[@]}" -eq 1 ]
	[[ $output == "mfd-recv: nowhere/out: "*"No such file or directory" ]]
}

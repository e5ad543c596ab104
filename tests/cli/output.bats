#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What is printed: JSON lines, errors, progress, the summary.
# shellcheck disable=SC2030,SC2031,SC2034,SC2153 # each test is a subshell; STATUS, PORT and T are common.bash's

bats_require_minimum_version 1.5.0

load common

setup_file() {
	mixed_image "$BATS_FILE_TMPDIR/mixed"
}

prepare() {
	MIXED=$BATS_FILE_TMPDIR/mixed
	RECEIVE=()
}

# json FILE EVENT: each line is an object with v and event, and there is exactly one last word, an EVENT, at the end.
json() {
	local lines

	lines=$(wc -l <"$1")
	[ "$lines" -ge 1 ] || fail "$1 is empty" || return 1
	[ "$(jq -c 'select(.v == 1 and (.event | type) == "string")' "$1" | wc -l)" -eq "$lines" ] ||
		fail "$1: not JSON lines: $(cat "$1")" || return 1
	[ "$(jq -r .event "$1" | grep -cE '^(summary|error)$')" -eq 1 ] || fail "$1: not one last word" || return 1
	[ "$(field "$1" event)" = "$2" ] || fail "$1: the last event is $(field "$1" event)"
}

no_carriage_return() {
	! grep -q $'\r' "$@"
}

@test "a run without a terminal prints no carriage return, and a summary at both ends" {
	move "$MIXED" out
	no_carriage_return send.err recv.err
	[ ! -s send.out ]
	[ ! -s recv.out ]
	for end in send recv; do
		grep -q committed "$end.err"
		grep -qE '[0-9a-f]{16}' "$end.err"
		grep -qE 'auto|zstd' "$end.err"
	done
}

@test "--json: JSON lines, one summary, the same keys at both ends" {
	RECEIVE=(--json)
	move "$MIXED" out -C 3 --json
	json send.out summary
	json recv.out summary
	[ "$(tail -n 1 send.out | jq -c 'keys')" = "$(tail -n 1 recv.out | jq -c 'keys')" ]
	[ "$(tail -n 1 send.out | jq -c '.per_channel[0] | keys')" = "$(tail -n 1 recv.out | jq -c '.per_channel[0] | keys')" ]
}

@test "--json: what the summary's fields hold" {
	RECEIVE=(--json)
	move "$MIXED" out -C 3 -z zlib -l 2 --json
	for end in send recv; do
		tail -n 1 "$end.out" | jq -e --argjson size "$(stat -c %s "$MIXED")" '
			.bytes_image == $size and .channels == 3 and .method == "zlib" and .level == 2
			and (.backend | IN("zlib", "libdeflate"))
			and (.hash | type == "string" and test("^[0-9a-f]{16}$"))
			and .pages_zero + .pages_data == ($size + 4095) / 4096 - ($size + 4095) % 4096 / 4096
			and .pages_zero >= 768
			and .bytes_wire > 0 and .bytes_wire < $size
			and .elapsed_ns > 0 and .cpu_ns > 0
			and .flush_ns >= 0 and .flush_ns <= .elapsed_ns
			and (.per_channel | length) == 3
			and ([.per_channel[].bytes] | add) == .bytes_wire
			and ([.per_channel[].packets] | add) >= 3
			and ([.per_channel[][]] | all(type == "number" and . >= 0 and . == floor))
			and ([.bytes_image, .bytes_wire, .pages_zero, .pages_data, .elapsed_ns, .cpu_ns, .channels]
				| all(type == "number" and . == floor))'
	done
	[ "$(field send.out bytes_wire)" = "$(field recv.out bytes_wire)" ]
	[ "$(field send.out pages_data)" = "$(field recv.out pages_data)" ]
}

@test "--json=FILE writes them there" {
	RECEIVE=(--json=recv.json)
	move "$MIXED" out --json=send.json
	json send.json summary
	json recv.json summary
	[ ! -s send.out ]
	[ ! -s recv.out ]
}

@test "--json: a failure ends with one error event, with the exit status, at both ends" {
	receive recv out --json --max-size 1M
	send send "$MIXED" --json
	ends recv 73
	ends send 73
	json send.out error
	json recv.out error
	[ "$(field send.out status)" = 73 ]
	[ "$(field recv.out status)" = 73 ]
	[[ $(field send.out message) == *max-size* ]]
	[ "$(tail -n 1 send.out | jq -c 'keys')" = "$(tail -n 1 recv.out | jq -c 'keys')" ]
}

@test "--json: also a failure before the session, and a cancel, end with an error event" {
	PORT=1
	send send missing --json
	ends send 66
	json send.out error

	receive recv out --json --accept-timeout 200ms
	ends recv 75
	json recv.out error

	receive recv out --json
	send send "$MIXED" --json -z none --bwlimit 300K
	began recv
	began send
	kill -TERM "${PID[send]}"
	ends send 143
	ends recv 75
	json recv.out error
	json send.out error
}

@test "--quiet prints nothing when all is well, and the error when not" {
	RECEIVE=(--quiet)
	move "$MIXED" out -q
	for file in send.out send.err recv.out recv.err; do
		[ ! -s "$file" ]
	done
	receive recv out.2 -q --max-size 1M
	send send "$MIXED" -q
	ends recv 73
	ends send 73
	[ "$(wc -l <send.err)" -eq 1 ]
	[ "$(wc -l <recv.err)" -eq 1 ]
}

@test "an error is one line, with the program before it, and remote: before what the peer said" {
	receive recv out -q --max-size 1M
	send send "$MIXED" -q
	ends recv 73
	ends send 73
	grep -qE '^mfd-recv: [^:]' recv.err
	run ! grep -q 'remote:' recv.err
	grep -qE '^mfd-send: .*remote: ' send.err
}

@test "SIGUSR1 prints progress at either end and disturbs nothing, also where none is wanted" {
	for option in --progress=none --quiet; do
		receive recv "out$option" "$option"
		kill -USR1 "${PID[recv]}"
		until_true "$PATIENCE" grep -q 'waiting' recv.err
		send send "$MIXED" "$option" -z none --bwlimit 2M
		began recv
		began send
		ends send 0
		ends recv 0
		same "$MIXED" "out$option"
		no_carriage_return send.err recv.err
		grep -qE '^mfd-send: .*%.*sending$' send.err
		grep -qE '^mfd-recv: .*%.*receiving$' recv.err
	done
}

@test "SIGUSR1 to a sender that waits for its receiver names the phase" {
	receive probe out
	kill -INT "${PID[probe]}"
	reap probe
	send send "$MIXED" --connect-timeout 30
	until_true "$PATIENCE" hears send
	kill -USR1 "${PID[send]}"
	until_true "$PATIENCE" grep -q connecting send.err
	kill -INT "${PID[send]}"
	ends send 130 $((2 * SLACK))
}

@test "in a file progress is a plain line every 10 s, and JSON a line every second" {
	RECEIVE=(--json)
	# 3.7 MB that are not zero at 330 kB/s: 11 s.
	move "$MIXED" out -z none --bwlimit 330KB --json
	no_carriage_return send.err recv.err
	[ "$(grep -cE '^mfd-send: .*%.*sending$' send.err)" -eq 1 ]
	[ "$(grep -cE '^mfd-recv: .*%.*receiving$' recv.err)" -eq 1 ]
	for end in send recv; do
		json "$end.out" summary
		[ "$(head -n 1 "$end.out" | jq -r .event)" = start ]
		[ "$(jq -r .event "$end.out" | grep -c '^start$')" -eq 1 ]
		jq -es '[.[] | select(.event == "progress") | .bytes_done] | length >= 5 and . == sort and first < last' "$end.out"
		jq -es '[.[] | select(.event == "progress") | .phase] | index("moving")' "$end.out"
	done
}

@test "--progress=none prints only the summary" {
	RECEIVE=(--progress=none)
	move "$MIXED" out --progress=none -z none --bwlimit 8M
	run ! grep -qE 'connecting|sending|flushing' send.err
	grep -q committed send.err
}

@test "a terminal shows a bar that ends before the summary; the output stays the same" {
	script -qec true /dev/null >/dev/null 2>&1 || skip "script(1) can't make a terminal here"
	receive recv out
	spawn send script -qec "'$BIN/mfd-send' '$MIXED' 127.0.0.1:$PORT -z none --bwlimit 4M" typescript
	ends send 0
	ends recv 0
	same "$MIXED" out
	grep -q $'\r' typescript
	grep -q '%' typescript
	grep -q committed typescript
}

@test "a terminal with --progress=line, or --quiet, shows no bar" {
	script -qec true /dev/null >/dev/null 2>&1 || skip "script(1) can't make a terminal here"
	for option in --progress=line --quiet; do
		receive recv "out$option"
		spawn send script -qec "'$BIN/mfd-send' '$MIXED' 127.0.0.1:$PORT -z none --bwlimit 16M $option" typescript
		ends send 0
		ends recv 0
		# The terminal itself ends each line with \r\n.
		run ! grep -q $'%.*\r[^\r]*%' typescript
	done
}

@test "what a peer says can't control the terminal: a name with escapes comes out escaped" {
	name=$'out\033[31m\rx'
	echo old >"$name"
	receive recv --json -f "$name" --max-size 1M
	send send "$MIXED"
	ends recv 73
	ends send 73
	run ! grep -q $'\033' send.err recv.err
	no_carriage_return send.err
}

#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Signals to either end in every phase, and kills at random points: whoever is asked to stop stops within 2 s and cleans up, the
# other end notices, and a sender never says 0 without an output that is identical to its source.
#
# MFD_KILLS: how many random kills (40); MFD_SEED: where to begin (1).
# shellcheck disable=SC2030,SC2031,SC2034,SC2153 # each test is a subshell; STATUS, PORT and T are common.bash's

load common

setup_file() {
	random_image "$BATS_FILE_TMPDIR/image" 3000001
}

prepare() {
	IMAGE=$BATS_FILE_TMPDIR/image
	SLOW=(-z none --bwlimit 300K) # 10 s: time enough for things to happen
}

number_of() {
	kill -l "$1"
}

# stops NAME SIGNAL: asked so, it ends by that signal within 2 s.
stops() {
	kill -"$2" "${PID[$1]}"
	ends "$1" $((128 + $(number_of "$2"))) $((2 * SLACK))
}

# spawn NAME COMMAND...: but to know how it ended, exactly.  NAME.pid is the program's, NAME.end the signal's number and the exit status.
spawn_watched() {
	local name=$1

	shift
	rm -f "$name.pid" "$name.end"
	# shellcheck disable=SC2016 # Perl's
	spawn "$name" perl -e '
		sub put { my ($file, $text) = @_; open my $f, ">", "$file.new" or die; print $f $text; close $f; rename "$file.new", $file }
		my $name = shift;
		my $pid = fork;
		if (!$pid) { exec @ARGV or die }
		put("$name.pid", $pid);
		waitpid $pid, 0;
		put("$name.end", ($? & 127) . " " . ($? >> 8));' "$name" "$@"
	until_true "$PATIENCE" test -s "$name.pid"
}

@test "a receiver that waits: each signal ends it, as that signal, within 2 s, nothing left" {
	for signal in INT TERM HUP; do
		rm -f recv.port
		spawn_watched recv "$BIN/mfd-recv" --listen 127.0.0.1:0 --port-file recv.port out
		until_true "$PATIENCE" test -s recv.port
		kill -"$signal" "$(cat recv.pid)"
		reap recv $((2 * SLACK))
		[ "$(cat recv.end)" = "$(number_of "$signal") 0" ]
		[ ! -e recv.port ]
		nothing_left out
	done
}

@test "a sender that connects: each signal ends it, as that signal, within 2 s" {
	receive probe out
	kill -INT "${PID[probe]}"
	reap probe
	for signal in INT TERM HUP; do
		spawn_watched send "$BIN/mfd-send" "$IMAGE" "127.0.0.1:$PORT" --connect-timeout 60
		until_true "$PATIENCE" grep -qs '^SigBlk:.*[2367abef]..$' "/proc/$(cat send.pid)/status"
		kill -"$signal" "$(cat send.pid)"
		reap send $((2 * SLACK))
		[ "$(cat send.end)" = "$(number_of "$signal") 0" ]
	done
}

@test "in the middle: each signal ends either end, the other one with 75, nothing left" {
	for signal in INT TERM HUP; do
		for victim in send recv; do
			other=recv
			[ "$victim" = send ] || other=send
			receive recv out
			send send "$IMAGE" "${SLOW[@]}" -C 4
			began recv
			began send
			stops "$victim" "$signal"
			ends "$other" 75 $((2 * SLACK))
			says "$other" "mfd-$other: *remote: *interrupted*"
			nothing_left out
		done
	done
}

@test "an idle standard input does not keep either end from stopping" {
	mkfifo pipe
	for victim in send recv; do
		other=recv
		[ "$victim" = send ] || other=send
		exec 6<>pipe
		receive recv out
		STDIN=pipe send send - -C 2
		began send
		began recv
		stops "$victim" INT
		ends "$other" 75 $((2 * SLACK))
		nothing_left out
		exec 6>&-
	done
}

@test "a stopped peer does not keep either end from stopping" {
	for victim in send recv; do
		other=recv
		[ "$victim" = send ] || other=send
		receive recv out
		send send "$IMAGE" "${SLOW[@]}" -C 4
		began recv
		began send
		kill -STOP "${PID[$other]}"
		stops "$victim" TERM
		[ "$victim" = send ] || nothing_left out
		kill -CONT "${PID[$other]}"
		ends "$other" 75
		nothing_left out
	done
}

@test "full sockets do not keep the sender from stopping" {
	truncate -s 1G huge
	mkfifo pipe
	perl -e 'print "x" x 1048576 for 1 .. 1024' >pipe 2>/dev/null 3>&- &
	receive recv null:
	STDIN=pipe send send - -z none -C 2
	began recv
	kill -STOP "${PID[recv]}"
	# The sender has come to a standstill when its CPU time no longer grows.
	until_true "$PATIENCE" stands_still "${PID[send]}"
	stops send INT
	kill -CONT "${PID[recv]}"
	ends recv 75
}

stands_still() {
	local before

	before=$(awk '{ print $14 + $15 }' "/proc/$1/stat")
	sleep 0.1
	[ "$before" = "$(awk '{ print $14 + $15 }' "/proc/$1/stat")" ]
}

@test "a black hole does not keep either end from stopping" {
	receive recv out
	proxy
	send send "$IMAGE" "${SLOW[@]}" -C 3
	began recv
	began send
	kill -USR1 "${PID[proxy]}"
	stops send INT
	stops recv INT
	nothing_left out
}

@test "a second signal ends at once" {
	receive recv out
	send send "$IMAGE" "${SLOW[@]}"
	began send
	began recv
	for end in send recv; do
		kill -INT "${PID[$end]}" 2>/dev/null || :
		kill -TERM "${PID[$end]}" 2>/dev/null || :
	done
	for end in send recv; do
		reap "$end" $((2 * SLACK))
		[ "$STATUS" -eq 130 ] || [ "$STATUS" -eq 143 ] || [ "$STATUS" -eq 75 ]
	done
	[ ! -e out ]
}

@test "under nohup, SIGHUP does not stop a transfer" {
	receive recv out
	spawn send nohup "$BIN/mfd-send" "$IMAGE" "127.0.0.1:$PORT" -z none --bwlimit 1500K
	began send
	kill -HUP "${PID[send]}"
	ends send 0
	ends recv 0
	same "$IMAGE" out
}

# One transfer, one kill.  Prints "killed" or "too late" and what happened; fails with the reason when a promise was broken.
kill_once() {
	local victims=(send recv) signals=(KILL KILL KILL INT TERM HUP STOP) methods=(none zstd zlib)
	local victim other=recv signal delay method channels killed=killed before expect
	local -A end=()

	RANDOM=$1
	mkdir "$T/$1"
	T=$T/$1
	cd "$T" || return 1
	victim=${victims[RANDOM % 2]}
	[ "$victim" = send ] || other=send
	signal=${signals[RANDOM % 7]}
	method=${methods[RANDOM % 3]}
	channels=$((1 << RANDOM % 5))
	# Many kills in the first moments, when connections come to be; some when all is over.
	delay=$((RANDOM % 2 ? RANDOM % 80 : RANDOM % 700))

	receive recv out --timeout 2 --accept-timeout 3 || return 1
	send send "$IMAGE" -z "$method" -C "$channels" --bwlimit 6M --timeout 2 --connect-timeout 1
	sleep "$(printf '0.%03d' "$delay")" # the random point
	before=$(now_ms)
	kill -"$signal" "${PID[$victim]}" 2>/dev/null || killed='too late'
	if [ "$signal" = STOP ]; then
		# Whom it happened to may have gone just then.
		reap "$other" $((5 + 3 * SLACK)) || return 1
		end[$other]=$STATUS
		kill -CONT "${PID[$victim]}" 2>/dev/null || :
		reap "$victim" $((5 + 3 * SLACK)) || return 1
	else
		reap "$victim" $((2 * SLACK)) || return 1
		end[$victim]=$STATUS
		reap "$other" $((5 + 3 * SLACK)) || return 1
	fi
	if [ -z "${end[$victim]-}" ]; then
		end[$victim]=$STATUS
	else
		end[$other]=$STATUS
	fi
	echo "$killed: seed $1, $signal to $victim after $delay ms, $method, $channels channels:" \
		"sender ${end[send]}, receiver ${end[recv]}, $(($(now_ms) - before)) ms"

	# An output is whole, or it is not there.
	if [ -e out ]; then
		same "$IMAGE" out || fail "a damaged output" || return 1
		[ "${end[recv]}" -eq 0 ] || [ "$victim $signal" = "recv KILL" ] || fail "an output, but no 0" || return 1
	else
		[ "${end[send]}" -ne 0 ] || fail "the sender says 0, and there is no output" || return 1
		[ "${end[recv]}" -ne 0 ] || fail "the receiver says 0, and there is no output" || return 1
	fi
	if [ "$victim $signal" != "recv KILL" ]; then
		[ -z "$(find . -name '.out.mfd-*')" ] || fail "a temporary file" || return 1
	fi

	# The end that was spared: try again, or all was done already.  69: the receiver had gone before the session began.
	case ${end[$other]} in
	0 | 75) ;;
	69) [ "$other" = send ] || fail "the receiver exits with 69" || return 1 ;;
	*) fail "$other exits with ${end[$other]}" || return 1 ;;
	esac
	expect="$((128 + $(number_of "$signal")))"
	case $signal:${end[$victim]} in
	*:0 | *:"$expect" | STOP:75) ;;
	STOP:69) [ "$victim" = send ] || fail "the receiver exits with 69" || return 1 ;;
	*) fail "$victim exits with ${end[$victim]}" || return 1 ;;
	esac
	cd .. || return 1
	rm -rf "$T"
}

# In a subshell, which is no test of its own.
kill_once_apart() {
	local base=$T name

	set +eET
	trap - ERR DEBUG EXIT
	kill_once "$1" >"$base/$1.report" 2>&1
	echo $? >"$base/$1.status"
	for name in "${!PID[@]}"; do
		kill -KILL "${PID[$name]}" 2>/dev/null
	done
	return 0
}

@test "random kills of either end" {
	wanted=${MFD_KILLS:-40}
	seed=${MFD_SEED:-1}
	at_once=8
	! sanitized || at_once=3
	killed=0
	while [ "$killed" -lt "$wanted" ]; do
		workers=()
		for ((i = 0; i < at_once; i++)); do
			kill_once_apart $((seed + i)) 3>&- &
			workers+=($!)
		done
		wait "${workers[@]}"
		for ((i = 0; i < at_once; i++, seed++)); do
			cat "$seed.report"
			if [ "$(cat "$seed.status")" != 0 ]; then
				show "$seed"/*.err
				fail "seed $seed"
			fi
			! grep -q '^killed' "$seed.report" || killed=$((killed + 1))
		done
	done
}

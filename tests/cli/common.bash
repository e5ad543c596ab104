# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the command-line tests share: starting mfd-send and mfd-recv (and the proxy between them) in the background, waiting for
# them with a bound, images to move, and what is said about a result.
#
# A process is started under a NAME; its standard output and error are $T/NAME.out and $T/NAME.err, its pid is ${PID[NAME]}.
# Whatever still runs at the end of a test is killed by its pid.

BIN=${MFD_BIN_DIR:?the directory of mfd-send and mfd-recv}
PROXY=${MFD_TEST_DIR:-$BIN/tests}/proxy

# Machines are busy and programs under a sanitizer slower: deadlines grow by this factor.  What the protocol itself waits for
# (--timeout) does not.
case ${MFD_SANITIZE-} in
"") SLACK=2 ;;
*thread*) SLACK=10 ;;
*) SLACK=5 ;;
esac

# No bound of a wait is lower than this many seconds; it is reached only by what hangs.
PATIENCE=$((10 + 10 * SLACK))

declare -gA PID=()
STATUS=
PORT=

setup() {
	T=$BATS_TEST_TMPDIR
	PID=()
	cd "$T" || return 1
	if [ "$(type -t prepare)" = function ]; then
		prepare
	fi
}

teardown() {
	local name

	for name in "${!PID[@]}"; do
		kill -KILL "${PID[$name]}" 2>/dev/null || :
		wait "${PID[$name]}" 2>/dev/null || :
	done
	if [ "$(type -t cleanup)" = function ]; then
		cleanup
	fi
	if [ -z "${BATS_TEST_COMPLETED-}" ] && [ -z "${BATS_TEST_SKIPPED-}" ]; then
		show "$T"/*.err
	fi
	cd / || :
}

# Some lines of each file, for whoever reads a failure.
show() {
	local file

	for file in "$@"; do
		if [ -s "$file" ]; then
			echo "--- ${file##*/}"
			head -n 20 "$file"
		fi
	done
}

fail() {
	echo "$*"
	return 1
}

now_ms() {
	echo $((${EPOCHREALTIME/[.,]/} / 1000))
}

# until_true SECONDS COMMAND...: as soon as it is true; fails if it is not by then.
until_true() {
	local limit=$(($(now_ms) + $1 * 1000))

	shift
	until "$@"; do
		[ "$(now_ms)" -lt "$limit" ] || return 1
		sleep 0.01
	done
}

# spawn NAME COMMAND...: in the background, its standard input is FROM.  A shell without job control makes its children ignore SIGINT, so that is undone.
spawn() {
	local name=$1

	shift
	env --default-signal=INT,QUIT "$@" >"$T/$name.out" 2>"$T/$name.err" <"${FROM:-/dev/null}" 3>&- &
	PID[$name]=$!
}

gone() {
	! kill -0 "$1" 2>/dev/null
}

# reap NAME [SECONDS]: wait for its end; STATUS is its exit status.
reap() {
	local pid=${PID[$1]}

	[ -n "$pid" ] || fail "$1 was not started" || return 1
	until_true "${2:-$PATIENCE}" gone "$pid" || fail "$1 still runs" || return 1
	STATUS=0
	wait "$pid" || STATUS=$?
	unset "PID[$1]"
}

# ends NAME STATUS [SECONDS]
ends() {
	reap "$1" "${3-}" || return 1
	[ "$STATUS" -eq "$2" ] || fail "$1: exit status $STATUS instead of $2"
}

# both_end STATUS [SECONDS]: of send and recv.
both_end() {
	ends send "$1" "${2-}" || return 1
	ends recv "$1" "${2-}"
}

port_or_end() {
	[ -s "$1" ] || gone "$2"
}

# The port that NAME wrote to its port file.
await_port() {
	until_true "$PATIENCE" port_or_end "$T/$1.port" "${PID[$1]}" || fail "$1: no port file" || return 1
	[ -s "$T/$1.port" ] || fail "$1 ended before it listened" || return 1
	PORT=$(cat "$T/$1.port")
}

# receive NAME ARGUMENT...: a receiver on a free port of 127.0.0.1, which is in PORT afterwards.
receive() {
	local name=$1

	shift
	rm -f "$T/$name.port"
	spawn "$name" "$BIN/mfd-recv" --listen 127.0.0.1:0 --port-file "$T/$name.port" "$@"
	await_port "$name"
}

# send NAME IMAGE ARGUMENT...: a sender to PORT; STDIN, if set, is its standard input.
send() {
	local name=$1 image=$2

	shift 2
	FROM=${STDIN-} spawn "$name" "$BIN/mfd-send" "$image" "127.0.0.1:$PORT" "$@"
}

# proxy RULE...: to PORT, which is the proxy's afterwards.
proxy() {
	[ -x "$PROXY" ] || fail "not built: $PROXY" || return 1
	rm -f "$T/proxy.port"
	spawn proxy "$PROXY" "$T/proxy.port" "$PORT" "$@"
	await_port proxy
}

end_proxy() {
	kill "${PID[proxy]}"
	reap proxy
}

# move IMAGE OUTPUT SENDER-ARGUMENT...: a whole transfer that must succeed; RECEIVE holds the receiver's arguments.
move() {
	local image=$1 output=$2

	shift 2
	receive recv "$output" "${RECEIVE[@]}"
	send send "$image" "$@"
	ends send 0
	ends recv 0
}

RECEIVE=()

same() {
	cmp "$1" "$2" || return 1
	[ "$(stat -Lc %s "$1")" = "$(stat -Lc %s "$2")" ]
}

# nothing_left OUTPUT: neither it nor a temporary file beside it.
nothing_left() {
	local dir left

	dir=$(dirname "$1")
	left=$(find "$dir" -maxdepth 1 \( -name "$(basename "$1")" -o -name ".$(basename "$1").mfd-*" \))
	[ -z "$left" ] || fail "left behind: $left"
}

# says NAME TEXT: one line of its standard error is (a pattern for case) TEXT.
says() {
	local line

	while IFS= read -r line; do
		# shellcheck disable=SC2254 # it is a pattern
		case $line in $2) return 0 ;; esac
	done <"$T/$1.err"
	fail "$1 does not say: $2" || return 1
}

# Does NAME hear SIGUSR1 by now?  Before that it would die of it.
hears() {
	grep -qs '^SigBlk:.*[2367abef]..$' "/proc/${PID[$1]}/status"
}

# Ask NAME for its progress; true if it says that its session has begun.
asked_and_moving() {
	if hears "$1"; then
		kill -USR1 "${PID[$1]}"
	fi
	grep -qE '(sending|receiving|flushing|finished)$' "$T/$1.err"
}

# began NAME: wait until its session has.
began() {
	until_true "$PATIENCE" asked_and_moving "$1" || fail "$1: no session began"
}

# field FILE KEY: of the last JSON line.
field() {
	tail -n 1 "$1" | jq -r ".$2"
}

# Images.  Seeded: the same bytes on any day.
random_bytes() {
	perl -e 'srand($ARGV[0]); my $n = $ARGV[1];
		while ($n > 0) { my $k = $n < 65536 ? $n : 65536; my $s = pack("L*", map { int rand 4294967296 } 1 .. $k / 4 + 1);
		print substr($s, 0, $k); $n -= $k; }' "$1" "$2"
}

# random_image FILE BYTES [SEED]
random_image() {
	random_bytes "${3:-1}" "$2" >"$1"
}

# mixed_image FILE: about 7 MiB: a hole, zeros that were written, text, random bytes, pages in turn, and no whole page at the end.
mixed_image() {
	truncate -s 2M "$1"
	{
		head -c 1M /dev/zero
		seq -f 'page %.0f compresses well' 1 1000000 | head -c 2M
		random_bytes 2 1048576
		random_bytes 3 524288 | perl -e '$/ = \4096; while (<>) { print; print "\0" x 4096 }'
		printf 'the last page is short'
	} >>"$1"
}

sanitized() {
	[ -n "${MFD_SANITIZE-}" ]
}

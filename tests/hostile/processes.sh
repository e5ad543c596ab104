#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The real programs, with a proxy between them that damages, loses and delays what passes, stopped processes and full disks.
#
#	processes.sh SECONDS [SEED [CASE]]    cases until so many seconds are over; or that one
#
# After each case: both ends have ended; 0 at the sender only with 0 at the receiver; 0 at the receiver only with an output that
# is the image; otherwise no output; statuses that fit.  Prints the counts; the exit status is 1 after a violation.
# shellcheck disable=SC2034,SC2153 # PORT, STATUS and T are common.bash's
set -u

cd "$(dirname "$0")/../.." || exit 71
ROOT=$PWD
: "${MFD_BIN_DIR:=$ROOT/build}" "${MFD_TEST_DIR:=$MFD_BIN_DIR/tests}"
# shellcheck source=tests/cli/common.bash
. tests/cli/common.bash

SECONDS_WANTED=${1:?usage: processes.sh SECONDS [SEED [CASE]]}
SEED=${2:-1}
ONLY=${3-}
T=$(mktemp -d "${TMPDIR:-/tmp}/mfd-hostile-XXXXXX")
declare -A COUNT=()
MOUNTED=
UNMOUNTABLE=

finish() {
	local name

	for name in "${!PID[@]}"; do
		kill -KILL "${PID[$name]}" 2>/dev/null
	done
	wait 2>/dev/null
	[ -z "$MOUNTED" ] || umount "$MOUNTED"
	rm -rf "$T"
}
trap finish EXIT
trap 'exit 130' INT TERM

# The kinds of case, in turn.
KINDS=(flip drop dup swap cross cut reset hole delay none stop-send stop-recv full)

# pick N: a number below N, from the seed.
pick() {
	echo $((RANDOM * 32768 + RANDOM)) | awk -v n="$1" '{ print $1 % n }'
}

# A small disk: the receiver's output is on it.
mount_small() {
	[ -z "$MOUNTED" ] || return 0
	mkdir -p "$T/disk"
	mount -t tmpfs -o size=4M tmpfs "$T/disk" 2>/dev/null && MOUNTED=$T/disk
}

violation() {
	echo "VIOLATION: $1 ($kind, $rule)"
	echo "sender $sent: $(tail -n 1 "$T/send.err")"
	echo "receiver $got: $(tail -n 1 "$T/recv.err")"
	echo "seed $SEED; to repeat: $0 1 $SEED $case"
	exit 1
}

# The statuses that @kind may end with, when not with 0.
allowed() {
	case $kind in
	flip | drop | dup | swap | cross) echo " 65 75 76 " ;;
	full) echo " 74 " ;;
	none) echo " none " ;;
	stop-send) echo " 69 75 " ;; # it may not have connected before, and nobody is there afterwards
	*) echo " 75 " ;;
	esac
}

# Both have ended, with $sent and $got.
judge() {
	[ "$sent" != 0 ] || [ "$got" = 0 ] || violation "the sender says 0, the receiver $got"
	if [ "$got" = 0 ]; then
		cmp -s "$T/image" "$out" || violation "a damaged output was committed"
	elif [ -e "$out" ]; then
		violation "there is an output although the receiver failed"
	fi
	[ -z "$(find "$(dirname "$out")" -name '.*.mfd-*')" ] || violation "a temporary file was left behind"
	for status in "$sent" "$got"; do
		case "$(allowed) 0 " in
		*" $status "*) ;;
		*) violation "status $status does not fit" ;;
		esac
	done
	case $sent/$got in
	0/0) result=0 ;;
	*/0) result=75/0 ;;
	*) result=$sent ;;
	esac
	COUNT[$kind,$result]=$((${COUNT[$kind,$result]-0} + 1))
}

# The rule of the proxy for this kind: a connection, a direction, a byte.
make_rule() {
	local connection at back=

	connection=$(pick 4)
	at=$(pick 400000)
	[ "$connection" != 0 ] || at=$(pick 500)
	[ "$connection" != 0 ] || [ "$(pick 2)" = 0 ] || back=back-
	case $kind in
	delay) rule="*:delay=$(($(pick 5) + 1))" ;;
	none | stop-* | full) rule= ;;
	*) rule="$connection:$back$kind=$at" ;;
	esac
}

run_case() {
	local speed=() timeout=1

	RANDOM=$(((SEED * 7919 + case) % 32768))
	kind=${KINDS[case % ${#KINDS[@]}]}
	out=$T/out
	source=$T/image
	make_rule
	if [ "$kind" = full ]; then
		mount_small || { UNMOUNTABLE=yes; return 0; }
		out=$MOUNTED/out
		# How much room there is, beside what lies there.
		head -c "$(pick 3900000)" /dev/zero >"$MOUNTED/ballast"
		source=-
	fi
	case $kind in
	stop-*) speed=(--bwlimit 4M) ;;
	none | delay | full | cut | reset) timeout=20 ;; # nothing to wait for, and a machine may be busy
	esac
	receive recv "$out" --timeout $timeout --accept-timeout 20 --no-fsync -q || violation "no receiver"
	[ -z "$rule" ] || proxy "$rule" || violation "no proxy"
	STDIN=$T/image send send "$source" --timeout $timeout --connect-timeout 20 -C 3 -q "${speed[@]}" \
		--packet-size 64K -z "$(set -- none zlib zstd auto; shift "$(pick 4)"; echo "$1")"
	case $kind in
	stop-*)
		sleep "0.$(pick 5)" # the moment is the fault
		kill -STOP "${PID[${kind#stop-}]}" 2>/dev/null
		# The other one ends by itself; then it goes on, and finds that out.
		other=$([ "$kind" = stop-send ] && echo recv || echo send)
		until_true "$PATIENCE" gone "${PID[$other]}" || violation "$other hangs"
		kill -CONT "${PID[${kind#stop-}]}" 2>/dev/null
		;;
	esac
	sent='?' got='?'
	reap send || violation "the sender hangs"
	sent=$STATUS
	reap recv || violation "the receiver hangs"
	got=$STATUS
	[ -z "$rule" ] || end_proxy
	judge
	rm -f "$out" "$T"/*.port
}

print_counts() {
	local kind status

	printf '\n%-24s %7s %6s %6s %6s %6s %6s\n' 'real programs' 0 65 74 75 76 75/0
	for kind in "${KINDS[@]}"; do
		printf '%-24s %7s' "$kind" "${COUNT[$kind,0]-0}"
		for status in 65 74 75 76 75/0; do
			printf ' %6s' "${COUNT[$kind,$status]-0}"
		done
		echo
	done
	[ -z "$UNMOUNTABLE" ] || echo "skipped: full (no tmpfs may be mounted here)"
}

mixed_image "$T/image"
random_bytes 4 3000000 >>"$T/image"
head -c 6M "$T/image" >"$T/cut"
mv "$T/cut" "$T/image"
deadline=$(($(now_ms) + SECONDS_WANTED * 1000))
case=${ONLY:-0}
while run_case && [ -z "$ONLY" ]; do
	case=$((case + 1))
	[ "$(now_ms)" -lt "$deadline" ] || break
done
print_counts
echo "$case cases, seed $SEED: no violation"

# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the tests of core files share: a program to take, in a known state, and a debugger to ask about its core.
# After common.bash, whose STATUS, PORT and T they use.

# shellcheck disable=SC2034 # RECEIVE is common.bash's

TARGET=${MFD_TEST_DIR:-$BIN/tests}/core_target

prepare() {
	RECEIVE=(--quiet)
	command -v gdb >/dev/null || skip "no gdb"
	[ -x "$TARGET" ] || fail "not built: $TARGET"
	mkfifo in
}

# Both ends of a FIFO in one descriptor: whoever reads it waits.
hold() {
	exec {HELD}<>in
}

is_ready() {
	grep -qs '^ready' "$T/target.out" || gone "${PID[target]}"
}

# All threads of TAKEN are in one of the system calls (numbers), as far as the kernel tells.
are_in() {
	local task call

	[ -r /proc/self/syscall ] || return 0
	for task in "/proc/$TAKEN/task"/*; do
		read -r call _ 2>/dev/null <"$task/syscall" || return 1
		case " $* " in *" $call "*) ;; *) return 1 ;; esac
	done
}

# read(2), and futex(2), on x86-64 and aarch64.
READ=(0 63 -1) # a thread that has ended is in -1
FUTEX=(202 98)

# target KIND...: run it until it is ready; the process to take is TAKEN.
target() {
	hold
	FROM=in spawn target "$TARGET" "$@"
	until_true "$PATIENCE" is_ready || fail "not ready" || return 1
	TAKEN=$(sed -n 's/^ready //p' target.out)
	[ -n "$TAKEN" ] || fail "target has ended" || return 1
	# A child, or one that never stands still.
	[ "$TAKEN" = "${PID[target]}" ] && [ "$1" != storm ] || return 0
	until_true "$PATIENCE" are_in "${READ[@]}" || fail "not in read(2)"
}

# The same of an interpreter, whose program stands still.
python_target() {
	local python

	python=$(python3 -c 'import sys; print(sys.executable)' 2>/dev/null) || skip "no python3"
	cat >program.py <<-'PY'
		import sys, threading
		kept = {i: "value %d" % i for i in range(10000)}
		threading.Thread(target=sys.stdin.readline, daemon=True).start()
		print("ready", __import__("os").getpid(), flush=True)
		threading.Event().wait()
	PY
	hold
	FROM=in spawn target "$python" program.py
	until_true "$PATIENCE" is_ready || fail "not ready" || return 1
	TAKEN=$(sed -n 's/^ready //p' target.out)
	until_true "$PATIENCE" are_in "${READ[@]}" "${FUTEX[@]}"
	EXE=$(readlink "/proc/$TAKEN/exe")
}

# It was not disturbed: every thread still reads, and then it ends as it should.
goes_on() {
	echo qqqqqqqqqqqqqqqq >&"$HELD"
	ends target 0
}

# take SENDER-ARGUMENT...: a core of TAKEN, into core.
take() {
	move "pid:$TAKEN" core "$@"
}

# debug CORE COMMAND...: what gdb says, about a core of EXE or of the target.
debug() {
	local core=$1 command arguments=()

	shift
	for command in "$@"; do
		arguments+=(-ex "$command")
	done
	gdb -nx -q -batch -iex 'set debuginfod enabled off' "${arguments[@]}" "${EXE:-$TARGET}" "$core" 2>gdb.err
}

# answers CORE FILE: what a debugger is asked first; the order and numbers of threads are the debugger's own.
answers() {
	debug "$1" 'thread apply all bt' 'info threads' 'info auxv' 'info proc mappings' "${@:3}" |
		grep -v '^Core was generated\|^\[Current thread\|^warning: Section\|^$' |
		sed -E 's/^Thread [0-9]+ \(/Thread (/; s/^[* ] [0-9]+ +Thread/Thread/' | sort >"$2"
}

# as_gcore COMMAND...: a core of gcore's gives the same answers, also to these.
as_gcore() {
	command -v gcore >/dev/null || skip "no gcore"
	gcore -o theirs "$TAKEN" >gcore.out 2>&1 || fail "gcore: $(tail -n 1 gcore.out)" || return 1
	answers core ours.txt "$@"
	answers "theirs.$TAKEN" theirs.txt "$@"
	diff theirs.txt ours.txt
}

value() {
	debug core "output $1" | tail -n 1
}

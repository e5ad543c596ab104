#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A live process arrives as a core file that a debugger reads: the same answers as from gcore's, and the process goes on.

# shellcheck disable=SC2030,SC2031,SC2034,SC2153 # each test is a subshell; STATUS, PORT and T are common.bash's

load common
load debug

@test "8 threads: every stack, global and heap, as from gcore's core" {
	target threads
	take
	as_gcore 'p global_record' 'p *global_record.next'
	[ "$(debug core 'info threads' | grep -c LWP)" -ge 9 ]
	for i in 1 2 3 4 5 6 7 8; do
		[ "$(grep -c "descend (number=$i," ours.txt)" -eq $((i + 1)) ]
	done
	[ "$(value global_record.number)" = 4711 ]
	[ "$(value global_record.next-\>number)" = 42 ]
	debug core 'info auxv' | grep -q AT_PAGESZ
	debug core 'info proc mappings' | grep -q "$TARGET"
	goes_on
}

@test "python3: the same answers as from gcore's core" {
	python_target
	take
	as_gcore
	grep -q 'Thread.*LWP' ours.txt
}

@test "1 GiB that nobody has touched is a hole and costs nothing" {
	target untouched
	take --json=send.json
	[ "$(stat -c %s core)" -gt 1073741824 ]
	[ "$(stat -c %b core)" -lt 8192 ]
	[ "$(field send.json bytes_wire)" -lt 1000000 ]
	[ "$(value '/x untouched[1 << 26]')" = 0x1234567890abcdef ]
	[ "$(value 'untouched[12345]')" = 0 ]
	goes_on
}

@test "huge pages" {
	target huge
	take
	[ "$(value huge_pages[0])" = 1 ]
	[ "$(value huge_pages[2097151])" = 6291454 ]
	[ "$(value huge_pages[777777])" = 2333332 ]
	goes_on
}

@test "a program blocked in read(2) is still in it afterwards" {
	target read
	take --cache=drop
	says send '*--cache*'
	debug core bt | grep -q 'wait_here'
	as_gcore 'p global_record'
	goes_on
}

@test "a thousand mappings" {
	target mappings 1000
	take
	[ "$(value 'many_pages[0]')" = 1 ]
	[ "$(value 'many_pages[999 * 512]')" = 1000 ]
	[ "$(readelf -lW core | grep -c LOAD)" -gt 1000 ]
	goes_on
}

@test "what is odd: shared, inaccessible, discarded, excluded, longer than its file" {
	printf 'a short file' >short
	target odd short
	take -v
	[ "$(value 'shared_words[8 * 512]')" = 81 ]
	[ "$(value 'shared_words[9 * 512]')" = 0 ]
	[ "$(value 'unreadable_words[0]')" = 82 ]
	[ "$(value 'discarded_words[0]')" = 0 ]
	[ "$(value '/x discarded_words[2 * 512]')" = 0xffffffffffffffff ]
	[ "$(value 'file_words[0]')" = 85 ]
	[ "$(value '(char)*((char *)file_words + 8)')" = "102 'f'" ]
	[ "$(value 'file_words[15 * 512]')" = 0 ]
	[ "$(value 'excluded_words[0]')" != 84 ]
	says send '*vvar*: left out: *'
	says send '*KiB can*t be read, and are zeros in the core'
	goes_on
}

@test "pages that a userfaultfd has yet to supply are left out and named; nobody waits for them" {
	target uffd || {
		ends target 77 && skip "no userfaultfd(2) here"
	}
	take -v
	[ "$(value 'supplied_words[0]')" = 86 ]
	[ "$(value 'supplied_words[512]')" = 0 ]
	says send '*userfaultfd*left out*'
	goes_on
}

# stored FILE: bytes of memory in a core.
stored() {
	readelf -lW "$1" | awk '$1 == "LOAD" { print $5 }' | { sum=0; while read -r n; do sum=$((sum + n)); done; echo "$sum"; }
}

@test "--filter and --all choose the mappings; the default is the process's own choice" {
	local own all none

	target read
	RECEIVE+=(--force)
	take
	own=$(stored core)
	take --filter 0x33
	[ "$(stored core)" -eq "$own" ]
	take --filter=0
	none=$(stored core)
	take --all
	all=$(stored core)
	[ "$none" -lt "$own" ]
	[ "$all" -gt $((own + 1000000)) ]
	echo 0 >"/proc/$TAKEN/coredump_filter"
	take
	[ "$(stored core)" -eq "$none" ]
	take --filter 1ff
	[ "$(stored core)" -eq "$all" ]
	# Nothing but the core itself is needed to read the program's text then.
	[ "$(gdb -nx -q -batch -iex 'set debuginfod enabled off' -ex 'x/2c global_record.text' "$TARGET" core 2>/dev/null | grep -c "'a'")" -eq 1 ]
	goes_on
}

@test "the sender's JSON and last line say how long it was frozen" {
	target threads
	take --json=send.json
	[ "$(field send.json downtime_ns)" -gt 0 ]
	[ "$(field send.json downtime_ns)" -lt "$(field send.json elapsed_ns)" ]
	says send 'mfd-send: * downtime 0.* s, *'
	rm core
	RECEIVE+=(--json=recv.json)
	move "$TARGET" core --json=send.json
	[ "$(field send.json downtime_ns)" = null ]
	[ "$(field recv.json downtime_ns)" = null ]
	goes_on
}

@test "in a PID namespace of its own it has its own numbers in the core" {
	unshare --pid --fork true 2>unshare.err || skip "no PID namespaces here: $(cat unshare.err)"
	hold
	FROM=in spawn target unshare --pid --fork "$TARGET" threads
	until_true "$PATIENCE" is_ready
	grep -q '^ready 1$' target.out
	TAKEN=$(pgrep -P "${PID[target]}")
	take
	debug core 'info threads' >threads.txt
	grep -q '(LWP 1)' threads.txt
	grep -q '(LWP 9)' threads.txt
	goes_on
}

# refused STATUS IMAGE [ARGUMENT...]: before anybody is connected to.
refused() {
	local status=$1

	shift
	PORT=1 send send "$@" --connect-timeout 1
	ends send "$status" || return 1
	[ "$(wc -l <send.err)" -eq 1 ]
}

@test "no such process, and a zombie: 66 before connecting" {
	refused 66 pid:2147483646
	target zombie
	refused 66 "pid:$TAKEN"
	says send '*zombie*'
}

@test "a process that is traced already: 77, and it stays so" {
	target traced
	refused 77 "pid:$TAKEN"
	says send "*${PID[target]}*"
	grep -q "^TracerPid:.*${PID[target]}" "/proc/$TAKEN/status"
}

@test "somebody else's process: 77, with a word about what it takes" {
	[ "$(id -u)" = 0 ] || skip "not root"
	command -v setpriv >/dev/null || skip "no setpriv"
	target read
	chmod 755 "$T"
	PORT=1
	spawn send setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all "$BIN/mfd-send" "pid:$TAKEN" 127.0.0.1:1
	ends send 77
	says send '*CAP_SYS_PTRACE*'
	goes_on
}

@test "nobody special takes a core of his own process" {
	[ "$(id -u)" = 0 ] || skip "not root"
	command -v setpriv >/dev/null || skip "no setpriv"
	[ "$(cat /proc/sys/kernel/yama/ptrace_scope 2>/dev/null || echo 0)" = 0 ] || skip "ptrace_scope is not 0"
	local nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all)

	printf 'a short file' >short
	chmod 755 "$T"
	chmod 644 short
	hold
	FROM=in spawn target "${nobody[@]}" "$TARGET" odd short
	until_true "$PATIENCE" is_ready
	TAKEN=$(sed -n 's/^ready //p' target.out)
	receive recv core "${RECEIVE[@]}"
	spawn send "${nobody[@]}" "$BIN/mfd-send" "pid:$TAKEN" "127.0.0.1:$PORT"
	ends send 0
	ends recv 0
	[ "$(value 'shared_words[8 * 512]')" = 81 ]
	[ "$(value 'shared_words[9 * 512]')" = 0 ]
	[ "$(value 'unreadable_words[0]')" = 82 ]
	goes_on
}

@test "a 32-bit process: 78" {
	[ "$(uname -m)" = x86_64 ] || skip "only on x86-64"
	printf '.globl _start\n_start: mov $29, %%eax\nint $0x80\njmp _start\n' >pause.s # pause(2)
	as --32 -o pause.o pause.s 2>/dev/null && ld -m elf_i386 -o pause pause.o 2>/dev/null || skip "no 32-bit assembler"
	spawn target ./pause
	until_true "$PATIENCE" grep -qs '^State:.*S' "/proc/${PID[target]}/status" || skip "no 32-bit programs run here"
	refused 78 "pid:${PID[target]}"
}

@test "a process whose first thread has ended: 78" {
	target leaderless
	refused 78 "pid:$TAKEN"
	says send '*main thread*'
	goes_on
}

@test "what is no process ID: 64; and so are a process's options for a file" {
	for image in pid: pid:0 pid:-1 pid:12x pid:99999999999 'pid: 1'; do
		refused 64 "$image"
	done
	refused 64 "$TARGET" --filter 33
	refused 64 "$TARGET" --max-freeze 1s
	refused 64 pid:1 --filter 33 --all
	for option in --filter=200 --filter=x --freeze=none --max-freeze=-1; do
		PORT=1 send send pid:1 "$option"
		ends send 64
	done
	# A file of that name is told apart by its path.
	cp "$TARGET" pid:1
	RECEIVE+=(--force)
	move ./pid:1 core --freeze=all
	same pid:1 core
}

is_frozen() {
	grep -q '^State:.*t (tracing stop)' "/proc/$TAKEN/status"
}

is_not_frozen() {
	! is_frozen
}

# begin_slowly ARGUMENT...: a transfer that takes long, until the process is frozen.
begin_slowly() {
	receive recv core "${RECEIVE[@]}"
	send send "pid:$TAKEN" -z none --bwlimit 1M "$@"
	until_true "$PATIENCE" is_frozen || fail "never frozen"
}

@test "killed in the middle: 66 at both ends and nothing is renamed" {
	target huge
	begin_slowly
	kill -KILL "$TAKEN"
	both_end 66
	nothing_left core
}

@test "--max-freeze lets it go: 75, and nothing is renamed" {
	target huge
	begin_slowly --max-freeze 300ms
	both_end 75
	says send '*--max-freeze*'
	is_not_frozen
	nothing_left core
	goes_on
}

@test "a long enough --max-freeze changes nothing" {
	target huge
	take --max-freeze 1m
	[ "$(value huge_pages[2097151])" = 6291454 ]
	goes_on
}

@test "interrupted or killed, the sender leaves a process that goes on" {
	target huge
	for signal in INT KILL; do
		begin_slowly
		kill "-$signal" "${PID[send]}"
		reap send
		until_true "$PATIENCE" is_not_frozen || fail "still frozen after $signal" || return 1
		ends recv 75
		nothing_left core
	done
	goes_on
}

#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What a debugger says of a core that was taken while the process ran (--live): the same as of one of gcore's.

# shellcheck disable=SC2030,SC2031,SC2034,SC2153,SC2154 # each test is a subshell; what comes from common.bash and debug.bash

load common
load debug

CHURN=${TARGET%/*}/churn_target

# A global and a block of the heap.
record() {
	debug core 'p global_record' 'p *global_record.next' >record.txt
	grep -q 'a global.*number = 4711,' record.txt
	grep -q 'on the heap.*number = 42,' record.txt
}

# same_as_gcore COMMAND PATTERN: the lines like that, of a program that does not stand still.
same_as_gcore() {
	command -v gcore >/dev/null || skip "no gcore"
	[ -e "theirs.$TAKEN" ] || gcore -o theirs "$TAKEN" >gcore.out 2>&1 || fail "gcore: $(tail -n 1 gcore.out)" || return 1
	debug "theirs.$TAKEN" "$1" | grep "$2" >theirs.txt
	debug core "$1" | grep "$2" >ours.txt
	diff theirs.txt ours.txt
}

@test "live: 8 threads" {
	target threads
	take --live
	as_gcore 'p global_record' 'p *global_record.next'
	for i in 1 2 3 4 5 6 7 8; do
		[ "$(grep -c "descend (number=$i," ours.txt)" -eq $((i + 1)) ]
	done
	record
	goes_on
}

@test "live: python3" {
	python_target
	take --live
	as_gcore
	grep -q 'Thread.*LWP' ours.txt
}

@test "live: 1 GiB that nobody has touched" {
	target untouched
	take --live --json=send.json
	[ "$(stat -c %b core)" -lt 8192 ]
	[ "$(field send.json bytes_wire)" -lt 1000000 ]
	as_gcore 'p/x untouched[1 << 26]' 'p untouched[12345]' 'p *global_record.next'
	[ "$(value '/x untouched[1 << 26]')" = 0x1234567890abcdef ]
	goes_on
}

@test "live: huge pages" {
	target huge
	take --live
	as_gcore 'p huge_pages[0]' 'p huge_pages[2097151]' 'p huge_pages[777777]' 'p *global_record.next'
	[ "$(value huge_pages[2097151])" = 6291454 ]
	goes_on
}

@test "live: blocked in read(2), and still in it afterwards" {
	target read
	take --live
	as_gcore 'p global_record' 'p *global_record.next'
	grep -q wait_here ours.txt
	goes_on
}

@test "live: a timer of 200 us" {
	target storm
	for how in --freeze=all --live; do
		take "$how"
		debug core 'thread apply all bt' >bt.txt
		grep -q 'wait_here ()' bt.txt
		grep -q 'spin_here (' bt.txt
		[ "$(value ticks)" -gt 0 ]
		record
		[ "$(grep -c '^Thread .*LWP' bt.txt)" -eq 2 ]
		[ "$how" = --live ] || rm core
	done
	same_as_gcore 'info auxv' ' AT_'
	same_as_gcore 'info proc mappings' ' 0x'
	goes_on
}

@test "live: maps, unmaps, replaces, moves, grows, discards, forks and starts threads" {
	EXE=$CHURN
	spawn target "$CHURN"
	until_true "$PATIENCE" is_ready || fail "not ready"
	TAKEN=${PID[target]}
	for ((i = 0; i < ${MFD_CHURN:-5}; i++)); do
		rm -f core
		take --live
		"${CHURN%/*}/churn_check" core
		kill -0 "$TAKEN"
	done
	debug core 'thread apply all bt' >bt.txt
	grep -q 'wait_here ()' bt.txt
	[ "$(grep -c ' churn (churner=' bt.txt)" -eq 3 ]
	grep -q ' breed (' bt.txt
	[ "$(debug core 'info threads' | grep -c LWP)" -ge 5 ]
	record
	debug core 'info proc mappings' | grep -q 'memfd:churn'
	same_as_gcore 'info auxv' ' AT_'
	kill -0 "$TAKEN"
}

# limit NAME VALUE: at least that, until the end of the test.
limit() {
	local file=/proc/sys/vm/$1 before

	before=$(cat "$file")
	[ "$before" -lt "$2" ] || return 0
	{ echo "$2" >"$file"; } 2>/dev/null || skip "vm.$1 can't be set"
	RESTORE+=("$before" "$file")
	[ "$(cat "$file")" -ge "$2" ] || skip "vm.$1 can't be $2"
}

cleanup() {
	local i

	for ((i = 0; i < ${#RESTORE[@]}; i += 2)); do
		echo "${RESTORE[i]}" >"${RESTORE[i + 1]}"
	done
}

free_huge_pages() {
	sed -n 's/^HugePages_Free: *//p' /proc/meminfo
}

@test "pages of hugetlbfs: those that are there, and none is taken from the pool" {
	local free

	RESTORE=()
	limit nr_hugepages 8
	target hugetlb || {
		ends target 77 && skip "the pool has no huge pages"
	}
	free=$(free_huge_pages)
	for how in --freeze=all --live; do
		take "$how"
		[ "$(free_huge_pages)" -eq "$free" ]
		[ "$(value 'huge_pages[0]')" = 91 ]
		[ "$(value 'huge_pages[1048575]')" = 92 ]
		[ "$(value 'huge_pages[524288]')" = 0 ]
		rm core
	done
	goes_on
}

@test "more mappings than 16 bits can count" {
	RESTORE=()
	limit max_map_count 70100
	target mappings 70000
	take
	[ "$(readelf -hW core | sed -n 's/^ *Number of program headers:.*(\([0-9]*\))/\1/p')" -gt 70000 ]
	[ "$(value 'many_pages[0]')" = 1 ]
	[ "$(value 'many_pages[69999 * 512]')" = 70000 ]
	goes_on
}

#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Hold the rules for atomics in lib/ and compress/:
#	- they live in lib/core alone;
#	- every operation says its order; acquire, release, seq_cst and fences stand under a comment with "pair: TAG";
#	- each tag stands at two operations or more, one of which publishes and one of which observes.
#
#	check-barriers.sh [ROOT]         one line for each violation, file:line first; exit 1 if there is any
#	check-barriers.sh --self-test    plant violations in a temporary tree and see that each is found
set -u
unset CDPATH

# How many lines above an operation its comment may end; a blank line ends the search.
reach=8

check_atomics_stay_in_core()
{
	find lib compress cmd -name '*.[ch]' ! -path 'lib/core/*' -exec grep -nHE \
		'stdatomic\.h|\b_Atomic\b|\batomic_[a-z_]+ *\(|\bmemory_order_|\b__atomic_|\b__sync_' {} + 2>/dev/null |
		sed -E 's/^([^:]*:[0-9]+):.*/\1: atomics live in lib\/core alone/'
}

# The fences of lib/core/fence.h count as operations where they are used, FENCE_SCAN as an acquire.
check_operations()
{
	# shellcheck disable=SC2016  # awk's dollars
	find lib/core -name '*.[ch]' | sort | xargs awk -v reach="$reach" '
	function place(n) { return FILENAME ":" n }

	# The code of a line without its comments and strings; `inside` says whether a comment is
	# still open.
	function code_of(text,    at) {
		gsub(/"([^"\\]|\\.)*"/, "\"\"", text)
		for (;;) {
			if (inside) {
				at = index(text, "*/")
				if (!at)
					return ""
				text = substr(text, at + 2)
				inside = 0
			}
			gsub(/\/\*([^*]|\*+[^*\/])*\*+\//, " ", text)
			sub(/\/\/.*/, "", text)
			at = index(text, "/*")
			if (!at)
				return text
			inside = 1
			return substr(text, 1, at - 1)
		}
	}

	# The tags in the nearest comment above line n, or behind the code on it.
	function tags_at(n,    i, found, rest) {
		found = ""
		for (i = n; i > 0 && i >= n - reach; i--) {
			if (line[i] ~ /^[ \t]*$/ || (found != "" && code[i] !~ /^[ \t]*$/ && i != n))
				break
			rest = line[i]
			while (match(rest, /pair: [A-Z][A-Z0-9_]*/)) {
				found = found " " substr(rest, RSTART + 6, RLENGTH - 6)
				rest = substr(rest, RSTART + RLENGTH)
			}
		}
		return found
	}

	FNR == 1 { inside = 0; delete line; delete code }

	{
		line[FNR] = $0
		code[FNR] = code_of($0)
		op = code[FNR]
	}

	op ~ /^static inline .*fence_[a-z_]+\(/ { next }

	# C lets these go without an order; here they may not.
	op ~ /(^|[^a-z_])atomic_(load|store|exchange|compare_exchange_(weak|strong)|fetch_(add|sub|or|xor|and)|flag_test_and_set|flag_clear) *\(/ {
		print place(FNR) ": an atomic operation without an explicit order"
		bad = 1
	}

	op ~ /memory_order_(acquire|release|acq_rel|seq_cst|consume)|atomic_(thread|signal)_fence|FENCE_SCAN|fence_(scan_end|store|load)\(/ {
		operations++
		tags = tags_at(FNR)
		if (tags == "") {
			print place(FNR) ": no comment \"pair: TAG\" within " reach " lines above"
			bad = 1
			next
		}
		publishes = op ~ /release|acq_rel|seq_cst|fence_(store|load)\(/
		observes = op ~ /acquire|acq_rel|seq_cst|consume|FENCE_SCAN|fence_(scan_end|store|load)\(/
		count = split(tags, tag, " ")
		for (i = 1; i <= count; i++) {
			uses[tag[i]]++
			where[tag[i]] = place(FNR)
			published[tag[i]] += publishes
			observed[tag[i]] += observes
		}
	}

	END {
		if (!operations) {
			print "nothing to look at: no ordered atomic operation in lib/core"
			bad = 1
		}
		for (t in uses) {
			if (uses[t] < 2)
				print where[t] ": pair: " t ": stands here alone"
			else if (!published[t])
				print where[t] ": pair: " t ": nobody publishes"
			else if (!observed[t])
				print where[t] ": pair: " t ": nobody observes"
			else
				continue
			bad = 1
		}
		exit bad
	}'
}

check_tree() # root
{
	(
		cd "$1" || exit 1
		result=0
		if [ ! -d lib/core ]; then
			echo "$1: nothing to look at: no lib/core"
			exit 1
		fi
		strays=$(check_atomics_stay_in_core)
		[ -z "$strays" ] || { printf '%s\n' "$strays"; result=1; }
		check_operations || result=1
		exit $result
	)
}

# --- self-test ---

plant_clean_tree()
{
	rm -rf "$tree"
	mkdir -p "$tree/lib/core" "$tree/lib/net"
	cat >"$tree/lib/core/word.c" <<-'END'
		/* Permits to read.  pair: WORD */
		atomic_store_explicit(&word, 1, memory_order_release);

		/* Written before.  pair: WORD */
		if (atomic_load_explicit(&word, memory_order_acquire))
			use();

		/* Its own word: memory_order_acquire is not needed. */
		atomic_load_explicit(&word, memory_order_relaxed);
	END
	echo 'int fd;' >"$tree/lib/net/tcp.c"
}

expect() # passes or the text of the violation; the tree is planted
{
	if said=$(check_tree "$tree"); then
		said=passes
	fi
	if ! printf '%s\n' "$said" | grep -qF -e "$1"; then
		echo "self-test: expected \"$1\", got: $said"
		: >"$top/failed"     # a file: this may run at the end of a pipe, in a shell of its own
	fi
}

expect_caught() # text of the violation, file; what is added to it on stdin
{
	plant_clean_tree
	cat >>"$tree/$2"
	expect "$1"
}

self_test()
{
	top=$(mktemp -d) || exit 1
	trap 'rm -rf "$top"' EXIT
	tree=$top/tree

	plant_clean_tree
	expect passes

	echo '#include <stdatomic.h>' | expect_caught 'lib/net/tcp.c:2: atomics live in lib/core alone' lib/net/tcp.c
	echo '_Atomic bool stop;' | expect_caught 'atomics live in lib/core alone' lib/net/tcp.c
	echo '__atomic_load_n(&x, 0);' | expect_caught 'atomics live in lib/core alone' lib/net/tcp.c
	echo 'atomic_load(&word);' | expect_caught 'without an explicit order' lib/core/word.c
	printf '\natomic_store_explicit(&word, 2, memory_order_release);\n' |
		expect_caught 'word.c:11: no comment "pair: TAG"' lib/core/word.c
	printf '\n/* Why.  pair: FAR */\n\natomic_thread_fence(memory_order_seq_cst);\n' |
		expect_caught 'no comment "pair: TAG"' lib/core/word.c
	printf '\n/* Why.  pair: ALONE */\natomic_thread_fence(memory_order_seq_cst);\n' |
		expect_caught 'pair: ALONE: stands here alone' lib/core/word.c
	for one in release acquire; do
		printf '\n/* Why.  pair: ONE */\nf(memory_order_%s);\n\n/* Why.  pair: ONE */\nf(memory_order_%s);\n' $one $one |
			expect_caught 'pair: ONE: nobody' lib/core/word.c
	done

	rm -f "$tree/lib/core/word.c"
	echo 'int x;' >"$tree/lib/core/x.c"
	expect 'nothing to look at'
	rm -rf "$tree/lib/core"
	expect 'nothing to look at'
	[ ! -e "$top/failed" ] && echo "check-barriers: self-test passed"
}

case ${1-} in
--self-test) self_test ;;
-*) echo "usage: check-barriers.sh [ROOT] | --self-test" >&2; exit 64 ;;
*) check_tree "${1:-$(dirname "$0")/..}" ;;
esac

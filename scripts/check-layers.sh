#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The folder is the layer: hold every #include in cmd/, lib/ and compress/ against the table below.
#
#	check-layers.sh [ROOT]         one line for each violation, file:line first; exit 1 if there is any
#	check-layers.sh --self-test    plant violations in a temporary tree and see that each is found
set -u
unset CDPATH

# Who may include what, besides its own folder.  `lib` is what lies directly in lib/, the public API.
table='
cmd       lib
lib       send recv source sink net wire compress core base
send      source net wire compress core base
recv      sink net wire compress core base
source    process core base
sink      core base
net       wire core base
wire      core base
process   core base
compress  base
core      base
base
'

# The layer of a path relative to the root: the folder below lib/, lib itself, or the top folder.
layer_of() # path
{
	case $1 in
	lib/*/*) layer=${1#lib/}; layer=${layer%%/*} ;;
	lib/*) layer=lib ;;
	*) layer=${1%%/*} ;;
	esac
}

# Where an included name lies, as the compiler finds it: beside the file, below lib/, below the
# root.  Empty: not one of ours.
resolve() # file, name
{
	for path in "${1%/*}/$2" "lib/$2" "$2"; do
		[ -f "$path" ] && return
	done
	path=
}

# All includes of the tree as "file:line:name" with the quotes or brackets still on.
list_includes()
{
	find cmd lib compress -name '*.[ch]' 2>/dev/null | sort | while read -r file; do
		sed -nE '/^[[:space:]]*#[[:space:]]*include/{=;s/^[^<"]*([<"][^>"]*[>"]).*/\1/;p}' "$file" |
			sed -n "N;s|\n|:|;s|^|$file:|;p"
	done
}

# One violation a line from "file:line:name" on stdin; the folder arrows as "from to" into file $1.
check_includes() # arrows
{
	while IFS=: read -r file line quoted; do
		name=$(printf '%s' "$quoted" | tr -d '<>"')
		layer_of "$file"
		from=$layer
		resolve "$file" "$name"
		case $quoted in
		\"*../*) echo "$file:$line: $quoted: no way up: includes are relative to lib/ or the root"; continue ;;
		\"*) [ -n "$path" ] || { echo "$file:$line: $quoted: there is no such file"; continue; } ;;
		*) [ -n "$path" ] || continue ;;
		esac
		layer_of "$path"
		[ "$from" = "$layer" ] && continue
		echo "$from $layer" >>"$1"
		allowed=$(printf '%s' "$table" | awk -v from="$from" '$1 == from { $1 = ""; print " known" $0 " " }')
		case $allowed in
		'') echo "$file:$line: $quoted: the folder $from is not in the table" ;;
		*" $layer "*) ;;
		*) echo "$file:$line: $quoted: $from may not include $layer" ;;
		esac
	done
}

check_tree() # root
{
	work=$(mktemp -d) || return 1
	(
		cd "$1" || exit 1
		list_includes >"$work/includes"
		: >"$work/arrows"
		if [ ! -s "$work/includes" ]; then
			echo "$1: nothing to look at: no #include in cmd/, lib/, compress/"
			exit 1
		fi
		check_includes "$work/arrows" <"$work/includes" >"$work/violations"

		# The table has no circle, so what keeps to it has none; this names those that
		# violations, or a changed table, make.
		sort -u "$work/arrows" | tsort 2>"$work/circle" >/dev/null ||
			sed -n 's/^tsort: \([a-z]*\)$/\1/p' "$work/circle" | tr '\n' ' ' |
				sed 's/^/folders include each other in a circle: /;s/ *$/\n/' >>"$work/violations"

		cat "$work/violations"
		[ ! -s "$work/violations" ]
	)
	result=$?
	rm -rf "$work"
	return $result
}

# --- self-test ---

self_failures=0

plant() # file, included name...
{
	mkdir -p "$tree/${1%/*}"
	planted=$1
	shift
	for name in "$@"; do
		printf '#include %s\n' "$name"
	done >"$tree/$planted"
}

plant_clean_tree()
{
	rm -rf "$tree"
	plant lib/base/error.h '<stdbool.h>'
	plant lib/core/batch.h '"base/error.h"'
	plant lib/wire/wire.h '"core/batch.h"'
	plant lib/net/channel.h '"wire/wire.h"'
	plant lib/source/source.h '"core/batch.h"'
	plant lib/sink/sink.h '"core/batch.h"'
	plant compress/method.h '"base/error.h"'
	plant lib/send/send.h '"net/channel.h"' '"source/source.h"' '"compress/method.h"'
	plant lib/mfd.h '"core/batch.h"'
	plant lib/mfd.c '"mfd.h"' '"send/send.h"'
	plant cmd/options.h '<stdio.h>'
	plant cmd/mfd-send.c '"mfd.h"' '"options.h"'
}

expect_caught() # text of the violation, file, included name...
{
	wanted=$1
	shift
	plant_clean_tree
	plant "$@"
	if said=$(check_tree "$tree"); then
		echo "self-test: not caught: $*"
	elif printf '%s\n' "$said" | grep -qF "$wanted"; then
		return
	else
		echo "self-test: $*: expected \"$wanted\", got: $said"
	fi
	self_failures=$((self_failures + 1))
}

self_test()
{
	top=$(mktemp -d) || exit 1
	trap 'rm -rf "$top"' EXIT
	tree=$top/tree

	plant_clean_tree
	if ! check_tree "$tree"; then
		echo "self-test: a clean tree is refused"
		self_failures=1
	fi
	expect_caught 'lib/base/error.h:2: "core/batch.h": base may not include core' lib/base/error.h '<stdbool.h>' '"core/batch.h"'
	expect_caught 'circle: base core' lib/base/error.h '"core/batch.h"'
	expect_caught 'source may not include sink' lib/source/file.c '"sink/sink.h"'
	expect_caught 'sink may not include source' lib/sink/file.c '"source/source.h"'
	expect_caught 'sink may not include net' lib/sink/file.c '"net/channel.h"'
	expect_caught 'net may not include source' lib/net/tcp.c '"source/source.h"'
	expect_caught 'send may not include sink' lib/send/send.c '"sink/sink.h"'
	expect_caught 'compress may not include core' compress/zstd.c '"core/batch.h"'
	expect_caught 'cmd may not include core' cmd/mfd-recv.c '"mfd.h"' '"core/batch.h"'
	expect_caught 'cmd may not include core' cmd/mfd-recv.c '<core/batch.h>'
	expect_caught 'base may not include lib' lib/base/error.c '"mfd.h"'
	expect_caught 'no way up' lib/wire/wire.c '"../core/batch.h"'
	expect_caught 'there is no such file' lib/wire/wire.c '"core/none.h"'
	expect_caught 'the folder other is not in the table' lib/other/x.c '"core/batch.h"'

	rm -rf "$tree"
	mkdir -p "$tree/lib/core"
	if check_tree "$tree" >/dev/null; then
		echo "self-test: an empty tree passes"
		self_failures=$((self_failures + 1))
	fi
	[ "$self_failures" -eq 0 ] && echo "check-layers: self-test passed"
}

case ${1-} in
--self-test) self_test ;;
-*) echo "usage: check-layers.sh [ROOT] | --self-test" >&2; exit 64 ;;
*) check_tree "${1:-$(dirname "$0")/..}" ;;
esac

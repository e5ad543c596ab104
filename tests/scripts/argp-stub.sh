#!/bin/sh
# SPDX-License-Identifier: MIT
# Where libc has no argp, CMake finds argp-standalone, and says clearly what is missing when there
# is none either.  Here libc has it, so CMake is told that it does not, and argp-standalone is a
# stub: a header and a library that hand over to libc under another name, so that it shows which one
# was used.
set -eu
cd "$(dirname "$0")/../.."

cc=${CC:-cc}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

skip() {
	echo "skipped: $*"
	exit 77
}

fail() {
	echo "$*" >&2
	exit 1
}

configure() {
	cmake -S . -B "$work/$1" -DBUILD_TESTING=OFF -DCMAKE_BUILD_TYPE=Debug -DMFD_ARGP_IN_LIBC= "-DCMAKE_PREFIX_PATH=$2" >"$work/log" 2>&1
}

command -v cmake >/dev/null || skip "no cmake"
command -v "$cc" >/dev/null || skip "no C compiler"
echo '#include <argp.h>' >"$work/probe.c"
"$cc" -E "$work/probe.c" >/dev/null 2>&1 || skip "this libc has no argp, so every build tests that branch"

echo "not found: configuring fails and says what to install"
mkdir "$work/nothing"
if configure without "$work/nothing"; then
	fail "configured without argp"
fi
tr '\n' ' ' <"$work/log" | tr -s ' ' >"$work/message"
for words in 'argp is missing' 'argp-standalone' 'CMAKE_PREFIX_PATH'; do
	grep -q -e "$words" "$work/message" || {
		cat "$work/log"
		fail "the message lacks: $words"
	}
done

echo "found: it is built with it"
mkdir -p "$work/stub/include" "$work/stub/lib"
cat >"$work/stub/include/argp.h" <<'END'
#ifndef STUB_ARGP_H
#define STUB_ARGP_H
#include_next <argp.h>
error_t stub_argp_parse(const struct argp *argp, int argc, char **argv, unsigned flags, int *index, void *input);
#ifndef STUB_ARGP
#define argp_parse stub_argp_parse
#endif
#endif
END
cat >"$work/stub.c" <<'END'
#define STUB_ARGP
#include <argp.h>
error_t stub_argp_parse(const struct argp *argp, int argc, char **argv, unsigned flags, int *index, void *input)
{
	return argp_parse(argp, argc, argv, flags, index, input);
}
END
"$cc" -I "$work/stub/include" -c -o "$work/stub.o" "$work/stub.c"
ar rcs "$work/stub/lib/libargp.a" "$work/stub.o"
configure with "$work/stub" || {
	cat "$work/log"
	fail "not configured with argp-standalone in CMAKE_PREFIX_PATH"
}
grep -q "$work/stub/lib/libargp.a" "$work/log" || fail "another libargp was found"
cmake --build "$work/with" -j "$(nproc)" --target mfd-send mfd-recv >"$work/log" 2>&1 || {
	cat "$work/log"
	fail "not built"
}
for program in mfd-send mfd-recv; do
	nm "$work/with/$program" | grep -q 'T stub_argp_parse' || fail "$program does not use it"
	"$work/with/$program" --help | grep -q -i usage || fail "$program --help does not work with it"
	if "$work/with/$program" --no-such-option 2>/dev/null; then
		fail "$program takes any option"
	fi
done

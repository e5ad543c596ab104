#!/bin/sh
# SPDX-License-Identifier: MIT
# --help and the man page of each program name the same options: the same short and long forms
# together, with the same argument.
#
# usage: check-help.sh [DIRECTORY OF THE PROGRAMS]
set -eu
cd "$(dirname "$0")/.."

bin=${1:-${MFD_BIN_DIR:-build}}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0

# Both print one option a line, as "-C --channels=N".

# Options begin a line of --help, two blanks or six from its edge; two blanks separate them from
# what they do.
of_help() {
	unset ARGP_HELP_FMT
	"$1" --help | sed -nE '/^ {2,6}-/ { s/^ +//; s/ {2,}.*//; s/, / /g; p; }'
}

# In the page they are the items of the list in OPTIONS: ".It Fl C , Fl -channels Ns = Ns Ar N".
of_page() {
	awk '
	/^\.Sh / { wanted = ($2 == "OPTIONS") }
	wanted && /^\.It Fl / {
		option = ""
		for (i = 2; i <= NF; i++) {
			if ($i == "Fl") option = option "-"
			else if ($i == "Oo") option = option "["
			else if ($i == "Oc") option = option "]"
			else if ($i == ",") option = option " "
			else if ($i != "Ns" && $i != "Ar") option = option $i
		}
		print option
	}' "$1"
}

for program in mfd-send mfd-recv; do
	of_help "$bin/$program" | sort >"$work/help"
	of_page "man/$program.1" | sort >"$work/page"
	if [ ! -s "$work/help" ] || [ ! -s "$work/page" ]; then
		echo "$program: no options found in --help or in man/$program.1: nothing was compared" >&2
		status=1
	elif ! diff -u --label "$program --help" --label "man/$program.1" "$work/help" "$work/page" >&2; then
		status=1
	else
		echo "$program: $(wc -l <"$work/help") options, the same in --help and man/$program.1"
	fi
done
exit $status

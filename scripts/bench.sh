#!/bin/sh
# SPDX-License-Identifier: MIT
# How fast is mfd here, and beside what else is installed?  Build, then scripts/bench.py: see
# `bench.sh --help`.
#
# usage: bench.sh [--quick] [--image FILE] [--runs N] [--channels N] [table|micro|sparse|scaling|sweep|small]...
set -eu
cd "$(dirname "$0")/.."

command -v python3 >/dev/null || { echo "bench.sh: python3 is missing" >&2; exit 69; }
case " $* " in
*" --help "* | *" -h "*) ;;
*)
	cmake -S . -B build -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=ON >/dev/null
	cmake --build build -j "$(nproc)" \
		--target mfd-send mfd-recv ceiling handoff_bench zero_bench codec_bench peak >/dev/null
	;;
esac
exec python3 scripts/bench.py "$@"

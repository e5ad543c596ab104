#!/bin/sh
# SPDX-License-Identifier: MIT
# The systemd units: systemd reads them, and finds little that the service could do but its work.
#
# usage: systemd.sh DIRECTORY-OF-THE-SERVICE
set -eu
cd "$(dirname "$0")/../.."

service=$1/mfd-recv@.service
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

skip() {
	echo "skipped: $*"
	exit 77
}

command -v systemd-analyze >/dev/null || skip "no systemd-analyze (Debian: systemd)"
systemd-analyze security --help 2>/dev/null | grep -q -- --offline || skip "this systemd-analyze has no --offline"

# They are not installed here, so the programs that they name stand in for themselves.
sed -E 's,^(Exec[A-Za-z]+=-?)[^ ]+,\1/bin/true,' "$service" >"$work/mfd-recv@.service"
cp scripts/systemd/mfd-recv@.socket "$work/"
if ! said=$(SYSTEMD_LOG_LEVEL=notice systemd-analyze verify --man=no "$work/mfd-recv@7700.socket" "$work/mfd-recv@7700.service" 2>&1); then
	echo "$said" >&2
	exit 1
fi
if printf '%s\n' "$said" | grep 'mfd-recv@' >&2; then
	exit 1
fi

systemd-analyze security --offline=true --threshold=30 "$service" >"$work/security" || {
	grep '✗' "$work/security" >&2 || cat "$work/security" >&2
	exit 1
}
tail -n 1 "$work/security"

# Without its sandbox the same service does not pass: the figure means something.
sed '/^PrivateNetwork/,$d' "$service" >"$work/mfd-recv@.service"
if systemd-analyze security --offline=true --threshold=30 "$work/mfd-recv@.service" >/dev/null; then
	echo "the service passes without a sandbox as well" >&2
	exit 1
fi

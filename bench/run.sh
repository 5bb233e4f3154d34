#!/usr/bin/env bash
# Measures Rollcage and its peers on this machine: prints a report and keeps it in bench/results/latest.txt.
#
#   bench/run.sh [-only replay|live] [-rounds N] [-limit 8m] [-doc docs/performance.md]
#
# -doc also puts the report into a document, in the place of the one that is there.
# Live numbers need root. Peers that are not here are left out, and the report says so: strace and perf are used as
# installed, sysdig is brought by tools/sysdig.sh. It can be stopped and started again at any time.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'bench: %s\n' "$*" >&2; }

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
trap 'exit 130' INT TERM
say 'building'
make --no-print-directory build >&2
cp bin/rollcage "$build" # whoever builds it anew meanwhile does not change what is measured
export CGO_ENABLED=0
go build -trimpath -o "$build" ./bench ./bench/workload
go test -c -trimpath -o "$build/replay.test" ./bench

sysdigs=''
for suite in sid bookworm; do
	if found=$(tools/sysdig.sh "$suite" | head -n 1) && [ -x "$found" ]; then
		sysdigs+=${sysdigs:+,}$found
	else
		say "no sysdig of Debian $suite"
	fi
done

mkdir -p bench/results
"$build/bench" -rollcage "$build/rollcage" -workload "$build/workload" -replay-test "$build/replay.test" \
	-sysdigs "$sysdigs" -report bench/results/latest.txt "$@"
say 'the report is in bench/results/latest.txt'

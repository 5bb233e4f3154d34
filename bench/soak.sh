#!/usr/bin/env bash
# Runs guard under the heaviest mix of load for half an hour and says whether memory stays flat and anything is lost.
#
#   bench/soak.sh [-for 30m]
#
# Needs root. It can be stopped at any time; nothing of it stays.
set -euo pipefail
cd "$(dirname "$0")/.."

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
trap 'exit 130' INT TERM
make --no-print-directory build >&2
cp bin/rollcage "$build"
export CGO_ENABLED=0
go build -trimpath -o "$build" ./bench/workload ./bench/soak
"$build/soak" -rollcage "$build/rollcage" -workload "$build/workload" "$@"

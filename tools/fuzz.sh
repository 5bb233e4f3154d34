#!/usr/bin/env bash
# Fuzzes every fuzz target of the given packages in turn.
#
#   tools/fuzz.sh DURATION [PACKAGE]...      tools/fuzz.sh 20s ./...
#
# A failing input is kept by go in the package's testdata/fuzz, from where go test runs it again: commit it with the fix.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly duration=$1
shift

failed=''
found=0
for dir in $(go list -f '{{.Dir}}' "${@:-./...}"); do
	for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go 2>/dev/null | cut -c6- || true); do
		found=$((found + 1))
		printf 'fuzz: %s in .%s for %s\n' "$target" "${dir#"$PWD"}" "$duration"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$duration" "$dir" || failed+=" $target"
	done
done
printf 'fuzz: %d targets\n' "$found"
[ -z "$failed" ] || { printf 'fuzz: failed:%s\n' "$failed" >&2; exit 1; }

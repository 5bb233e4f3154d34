#!/usr/bin/env bash
# Everything that can be said about the sources without running their tests.
#
#   tools/lint.sh STATICCHECK      STATICCHECK: the Go package, with its version
#
# All checks run, and it fails at the end if one did.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly staticcheck=$1

failed=''
# check NAME COMMAND...: COMMAND's exit code tells.
check() {
	local name=$1
	shift
	printf 'lint: %s\n' "$name" >&2
	"$@" || failed+=" $name,"
}

# files PATTERN...: the files of the project, new ones too, that are there.
files() { git ls-files -z --cached --others --exclude-standard -- "$@" | xargs -0r ls -d 2>/dev/null; }

format() {
	local unformatted
	unformatted=$(files '*.go' | xargs -r gofmt -l)
	[ -z "$unformatted" ] || { printf 'not formatted, run gofmt -w on:\n%s\n' "$unformatted"; return 1; }
}

module() { go mod tidy -diff && go mod verify >/dev/null; }

shell() {
	local script
	for script in $(files '*.sh' .ci/run); do bash -n "$script" || return 1; done
	if ! command -v shellcheck >/dev/null; then
		echo 'lint: shellcheck is missing (tools/setup.sh check); scripts were only parsed' >&2
		return 0
	fi
	files '*.sh' .ci/run | xargs -r shellcheck -x
}

# generated: makes generated files anew in a copy, so that this tree stays as it is, and compares.
generated() {
	if ! tools/setup.sh generate; then
		printf '\n*** lint: without clang, generated files are NOT compared with their sources ***\n\n' >&2
		return 0
	fi
	local copy code=0
	copy=$(mktemp -d)
	files | tar --create --files-from - | tar --extract --directory "$copy"
	(cd "$copy" && go generate ./...) || code=1
	local file
	while read -r file; do
		cmp -s "$file" "$copy/$file" || { printf 'stale, run make generate: %s\n' "$file"; code=1; }
	done < <(cd "$copy" && find . -type f -printf '%P\n')
	rm -rf "$copy"
	return "$code"
}

check format format
check module module
check vet go vet ./...
check staticcheck go run "$staticcheck" ./...
check shell shell
check generated generated

[ -z "$failed" ] || { printf 'lint: failed:%s\n' "${failed%,}" >&2; exit 1; }

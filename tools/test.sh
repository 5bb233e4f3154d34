#!/usr/bin/env bash
# Runs go test with all that the tests need: container runtimes, an image and sysdig.
#
#   tools/test.sh [GO-TEST-FLAG|PACKAGE]...
#
# The runtimes are private ones, started here and stopped at the end; with DOCKER_HOST set, that Docker is used and left
# alone. Tests find what there is in these variables, and skip when one is empty:
#
#   ROLLCAGE_TEST_DOCKER_HOST   address of the daemon
#   ROLLCAGE_TEST_CONTAINERD    socket of its containerd, for the private one
#   ROLLCAGE_TEST_IMAGE         an image with busybox that is loaded in it
#   ROLLCAGE_TEST_HOST_IP       where its containers reach a server on this host
#   ROLLCAGE_TEST_CRI           socket of a containerd with its CRI plugin
#   ROLLCAGE_TEST_CRI_IMAGE     the same image, in its namespaces k8s.io and default
#   ROLLCAGE_TEST_PODMAN_HOST   address of a Podman service
#   ROLLCAGE_TEST_PODMAN_IMAGE  the same image, in it
#   ROLLCAGE_TEST_CHROMIUM     browser for the pages of rollcage inspect
#   ROLLCAGE_TEST_SYSDIG        sysdig 0.41; reads every capture, has no container fields
#   ROLLCAGE_TEST_SYSDIG_OLD    sysdig 0.29; has container fields
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
warn() {
	missing+=("$1")
	printf '\n*** test: %s ***\n\n' "$1" >&2
}

started=() # script and folder of each daemon
finish() {
	local code=$? one
	for one in "${started[@]}"; do
		tools/"${one%% *}" stop "${one#* }" || true
	done
	if [ ${#missing[@]} -gt 0 ]; then
		printf '\n*** test: NOT everything was tested: ***\n' >&2
		printf '***   %s\n' "${missing[@]}" >&2
	fi
	exit "$code"
}

# provide SCRIPT SKIPPED: starts a daemon of its own and sets its variables.
provide() {
	local dir
	dir=$(mktemp -d /run/rollcage-test.XXXXXX)
	started+=("$1 $dir")
	if tools/"$1" start "$dir"; then
		eval "$(tools/"$1" env "$dir")"
	else
		warn "tools/$1 could not start it (see above): tests with $2 skip"
	fi
}

trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

tools/setup.sh run
if [ "$(id -u)" != 0 ]; then
	warn 'not root: tests of the probe, of container runtimes and of actions skip'
elif ! tools/setup.sh test; then
	warn 'what tests need could not be installed: tests with container runtimes skip'
elif [ -n "${DOCKER_HOST-}" ]; then
	if tools/testimage.sh; then
		export ROLLCAGE_TEST_DOCKER_HOST=$DOCKER_HOST ROLLCAGE_TEST_IMAGE=rollcage/test:1.0
		ROLLCAGE_TEST_HOST_IP=$(docker network inspect bridge --format '{{range .IPAM.Config}}{{.Gateway}} {{end}}' | cut -d' ' -f1)
		export ROLLCAGE_TEST_HOST_IP
	else
		warn "no Docker answers at DOCKER_HOST=$DOCKER_HOST: tests with Docker skip"
	fi
else
	provide dockerd.sh Docker
fi
if [ "$(id -u)" = 0 ] && tools/setup.sh test; then
	provide containerd.sh 'containerd and the CRI'
	provide podman.sh Podman
fi

if tools/sysdig.sh sid >/dev/null; then
	export ROLLCAGE_TEST_SYSDIG=$PWD/.cache/sysdig-sid/sysdig
else
	warn 'sysdig 0.41 could not be fetched: comparisons with it skip'
fi
if tools/sysdig.sh bookworm >/dev/null; then
	export ROLLCAGE_TEST_SYSDIG_OLD=$PWD/.cache/sysdig-bookworm/sysdig
else
	warn 'sysdig 0.29 could not be fetched: comparisons with it skip'
fi

if ! command -v npm >/dev/null; then
	warn 'Node and npm are missing: tests of the pages in a browser skip'
elif ! command -v chromium >/dev/null; then
	warn 'chromium is missing: tests of the pages in a browser skip'
elif (cd internal/inspect/web && { [ -d node_modules ] || npm ci --no-audit --no-fund --loglevel=error; }) >&2; then
	ROLLCAGE_TEST_CHROMIUM=$(command -v chromium)
	export ROLLCAGE_TEST_CHROMIUM
else
	warn 'npm could not fetch the packages: tests of the pages in a browser skip'
fi

# One package at a time: several watch the live host, and what loads it belongs to the test that is at work.
go test -p 1 "$@"

#!/usr/bin/env bash
# Runs go test with all that the tests need: a Docker daemon, an image and sysdig.
#
#   tools/test.sh [GO-TEST-FLAG|PACKAGE]...
#
# The daemon is a private one, started here and stopped at the end; with DOCKER_HOST set, that one is used and left
# alone. Tests find what there is in these variables, and skip when one is empty:
#
#   ROLLCAGE_TEST_DOCKER_HOST   address of the daemon
#   ROLLCAGE_TEST_CONTAINERD    socket of its containerd, for the private one
#   ROLLCAGE_TEST_IMAGE         an image with busybox that is loaded in it
#   ROLLCAGE_TEST_HOST_IP       where its containers reach a server on this host
#   ROLLCAGE_TEST_SYSDIG        sysdig 0.41; reads every capture, has no container fields
#   ROLLCAGE_TEST_SYSDIG_OLD    sysdig 0.29; has container fields
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
warn() {
	missing+=("$1")
	printf '\n*** test: %s ***\n\n' "$1" >&2
}

dockerd=''
finish() {
	local code=$?
	[ -z "$dockerd" ] || tools/dockerd.sh stop "$dockerd" || true
	if [ ${#missing[@]} -gt 0 ]; then
		printf '\n*** test: NOT everything was tested: ***\n' >&2
		printf '***   %s\n' "${missing[@]}" >&2
	fi
	exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

tools/setup.sh run
if [ "$(id -u)" != 0 ]; then
	warn 'not root: tests of the probe, of Docker and of actions skip'
elif ! tools/setup.sh test; then
	warn 'what tests need could not be installed: tests with Docker skip'
elif [ -n "${DOCKER_HOST-}" ]; then
	if tools/testimage.sh; then
		export ROLLCAGE_TEST_DOCKER_HOST=$DOCKER_HOST ROLLCAGE_TEST_IMAGE=rollcage/test:1.0
		ROLLCAGE_TEST_HOST_IP=$(docker network inspect bridge --format '{{range .IPAM.Config}}{{.Gateway}} {{end}}' | cut -d' ' -f1)
		export ROLLCAGE_TEST_HOST_IP
	else
		warn "no Docker answers at DOCKER_HOST=$DOCKER_HOST: tests with Docker skip"
	fi
else
	dockerd=$(mktemp -d /run/rollcage-test.XXXXXX)
	if tools/dockerd.sh start "$dockerd"; then
		eval "$(tools/dockerd.sh env "$dockerd")"
	else
		warn 'dockerd did not start (see above): tests with Docker skip'
	fi
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

# One package at a time: several watch the live host, and what loads it belongs to the test that is at work.
go test -p 1 "$@"

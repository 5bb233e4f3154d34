#!/usr/bin/env bash
# Makes sure that the programs a task needs are on this machine and installs the missing ones.
#
#   tools/setup.sh [run|build|test|check|generate|kernel|kernel-arm64|bench]...   (default: test)
#
# It asks nothing, and does nothing when nothing is missing. Installing needs root and apt;
# elsewhere it names what to install by hand and fails.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# The newest clang that Debian 12 and 13 both have. The committed BPF objects are built with it,
# so `make check` can tell a stale object from one that another compiler made.
readonly clang=clang-19 llvm_strip=llvm-strip-19

# command=package, for each task. A name with a slash is a file, not a command.
needs() {
	case $1 in
	run | build) ;;
	test) echo dockerd=docker.io docker=docker-cli containerd=containerd runc=runc \
		ctr=containerd /usr/lib/cni/bridge=containernetworking-plugins podman=podman conmon=conmon \
		busybox=busybox-static ip=iproute2 iptables=iptables docker-registry=docker-registry \
		chromium=chromium /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf=fonts-dejavu-core ;;
	generate) echo $clang=$clang $llvm_strip=llvm-19 /usr/include/bpf/bpf_helpers.h=libbpf-dev ;;
	check) needs test; needs generate; echo gcc=gcc /usr/include/stdlib.h=libc6-dev shellcheck=shellcheck ;;
	kernel) echo qemu-system-x86_64=qemu-system-x86 cpio=cpio zstd=zstd xz=xz-utils ;;
	kernel-arm64) echo qemu-system-aarch64=qemu-system-arm ;;
	bench) echo strace=strace ;;
	*) die "unknown task \"$1\"; use run, build, test, check, generate, kernel, kernel-arm64 or bench" ;;
	esac
}

have() {
	case $1 in
	# The dynamically linked busybox cannot be the only file of an image.
	busybox) command -v busybox >/dev/null && ! ldd "$(command -v busybox)" >/dev/null 2>&1 ;;
	*/*) [ -e "$1" ] ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

check_go() {
	local want got
	want=$(awk '$1 == "go" { print $2; exit }' go.mod)
	if ! command -v go >/dev/null; then
		[ -x /usr/local/go/bin/go ] && die 'Go is in /usr/local/go/bin, which is not on PATH. Add it and run this again.'
		die "Go is missing. Install Go $want or newer (https://go.dev/dl) and run this again."
	fi
	# Since 1.21 an older Go fetches the version that go.mod asks for, so its answer here is the one that counts.
	got=$(go env GOVERSION 2>/dev/null) ||
		die "Go $(GOTOOLCHAIN=local go env GOVERSION) is too old and could not fetch Go $want. Install Go $want or newer."
	got=${got#go}
	[ "$(printf '%s\n' "$want" "$got" | sort -V | head -n 1)" = "$want" ] ||
		die "Go $got is too old. Install Go $want or newer."
}

main() {
	local task pair pairs packages='' missing=''
	check_go
	[ $# -gt 0 ] || set -- test
	pairs=$(for task in "$@"; do needs "$task"; done | tr ' ' '\n' | sort -u)
	for pair in $pairs; do
		have "${pair%%=*}" && continue
		missing+=" ${pair%%=*}"
		packages+=" ${pair#*=}"
	done
	[ -n "$packages" ] || return 0

	say "missing:$missing"
	command -v apt-get >/dev/null || die "this is no Debian; install by hand what these Debian packages hold:$packages"
	[ "$(id -u)" = 0 ] || die "run as root, or first: apt-get install$packages"
	export DEBIAN_FRONTEND=noninteractive
	say 'reading the package lists (apt-get update)'
	apt-get update -qq </dev/null >&2 || say 'apt-get update failed; trying with the lists that are here'
	# Until Debian 13 the docker command was in docker.io itself.
	apt-cache show docker-cli >/dev/null 2>&1 || packages=${packages//docker-cli/docker.io}
	say "installing:$packages"
	# shellcheck disable=SC2086 # a list of names
	apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends $packages </dev/null >&2 || die "apt-get could not install$packages"

	for pair in $pairs; do
		have "${pair%%=*}" || die "${pair%%=*} is still missing after installing ${pair#*=}"
	done
	say 'done'
}

main "$@"

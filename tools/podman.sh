#!/usr/bin/env bash
# A Podman service of its own for tests.
#
#   tools/podman.sh start DIR    start it (nothing happens if it runs) and load the test image
#   tools/podman.sh stop DIR     stop it, remove its containers, and delete DIR
#   tools/podman.sh env DIR      print its address as shell exports
#
# Everything it has is in DIR, which should be short, as it is part of socket paths. Its containers have no network
# but the host's or none. Clients reach it with podman --url.
set -euo pipefail

tools=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/daemon.sh
. "$tools/daemon.sh"
[ $# = 2 ] || die 'usage: tools/podman.sh start|stop|env DIR'
readonly verb=$1 dir=$2 tools
case $dir in /*) ;; *) die "DIR must be an absolute path, not \"$dir\"" ;; esac
readonly socket=unix://$dir/podman.sock

# engine COMMAND...: podman on what is in DIR.
engine() {
	podman --root "$dir/storage" --runroot "$dir/run" --tmpdir "$dir/tmp" --storage-driver overlay \
		--cgroup-manager cgroupfs --events-backend file --runtime runc "$@"
}

answers() { podman --url "$socket" version; }

start() {
	[ "$(id -u)" = 0 ] || die 'must be root'
	local need
	for need in podman conmon runc; do
		command -v $need >/dev/null || die "$need is missing; run tools/setup.sh test"
	done
	[ ${#dir} -le 60 ] || die "$dir is too long for the path of a socket"
	if running podman && answers >/dev/null 2>&1; then
		return 0
	fi
	mkdir -p "$dir/tmp"
	chmod 0711 "$dir"
	wrap_runc
	export CONTAINERS_CONF=$dir/containers.conf CONTAINERS_REGISTRIES_CONF=$dir/registries.conf
	# The machine's own settings are not ours.
	printf '[containers]\nnetns = "none"\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\nlog_driver = "k8s-file"\n[engine]\n' >"$dir/containers.conf"
	[ ! -e "$dir/bin/runc" ] || printf '[engine.runtimes]\nrunc = ["%s/bin/runc"]\n' "$dir" >>"$dir/containers.conf"
	: >"$dir/registries.conf"
	rm -f "$dir/podman.sock"
	launch podman podman --root "$dir/storage" --runroot "$dir/run" --tmpdir "$dir/tmp" --storage-driver overlay \
		--cgroup-manager cgroupfs --events-backend file --runtime runc system service --time=0 "$socket"
	wait_for 30 answers || fail podman
	if [ ! -e "$dir/loaded" ]; then
		"$tools/testimage.sh" archive "$dir/image.tar"
		podman --url "$socket" load --quiet --input "$dir/image.tar" >/dev/null || { stop_daemons; die 'the test image could not be loaded'; }
		rm "$dir/image.tar"
		touch "$dir/loaded"
	fi
	say "runs at $socket"
}

stop_daemons() {
	stop_one podman 10
	engine rm --all --force --time 0 >/dev/null 2>&1 || true
	engine pod rm --all --force --time 0 >/dev/null 2>&1 || true
	unmount_all
}

stop() {
	[ -e "$dir/containers.conf" ] || return 0
	export CONTAINERS_CONF=$dir/containers.conf
	stop_daemons
	rm -rf --one-file-system "$dir"
}

environment() {
	cat <<-END
		export ROLLCAGE_TEST_PODMAN_HOST=$socket
		export ROLLCAGE_TEST_PODMAN_IMAGE=$(podman --url "$socket" images --format '{{.Repository}}:{{.Tag}}' 2>/dev/null | grep /test:)
	END
}

case $verb in
start) start ;;
stop) stop ;;
env) environment ;;
*) die "unknown verb \"$verb\"; use start, stop or env" ;;
esac

#!/usr/bin/env bash
# A Docker daemon of its own for tests, which leaves the machine's own Docker and firewall alone.
#
#   tools/dockerd.sh start DIR    start it (nothing happens if it runs) and load the test image
#   tools/dockerd.sh stop DIR     stop it and its containers, and delete DIR
#   tools/dockerd.sh env DIR      print its addresses as shell exports
#
# Everything it has is in DIR: images, sockets, pid files, logs. DIR should be short, as it is part of socket paths.
# Its containers reach each other and this host (ROLLCAGE_TEST_HOST_IP) over a bridge, and nothing else: it sets up
# no packet filter, no address translation and no forwarding.
set -euo pipefail

tools=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/daemon.sh
. "$tools/daemon.sh"
[ $# = 2 ] || die 'usage: tools/dockerd.sh start|stop|env DIR'
readonly verb=$1 dir=$2 tools
case $dir in /*) ;; *) die "DIR must be an absolute path, not \"$dir\"" ;; esac

# Two daemons must not share a bridge, so its name and its network follow from DIR.
hash=$(printf %s "$dir" | cksum | cut -d' ' -f1)
readonly bridge=rollcage-$((hash % 100000))
readonly net=172.29.$((hash % 250))
readonly socket=unix://$dir/docker.sock containerd_socket=$dir/containerd.sock

docker_answers() { DOCKER_HOST=$socket docker version; }

start() {
	[ "$(id -u)" = 0 ] || die 'must be root'
	local need
	for need in dockerd containerd runc docker ip; do
		command -v $need >/dev/null || die "$need is missing; run tools/setup.sh test"
	done
	[ ${#dir} -le 60 ] || die "$dir is too long for the path of a socket"
	if running dockerd && docker_answers >/dev/null 2>&1; then
		return 0
	fi
	mkdir -p "$dir"
	chmod 0711 "$dir"

	wrap_runc

	# dockerd would use the machine's own containerd if one runs, so it gets a private one.
	cat >"$dir/containerd.toml" <<-END
		version = 2
		root = "$dir/containerd"
		state = "$dir/containerd-state"
		[grpc]
		address = "$containerd_socket"
	END
	launch containerd containerd --config "$dir/containerd.toml"
	wait_for 30 test -S "$containerd_socket" || fail containerd

	ip link show "$bridge" >/dev/null 2>&1 || ip link add "$bridge" type bridge
	ip addr replace "$net.1/24" dev "$bridge"
	ip link set "$bridge" up

	# --config-file: the machine's /etc/docker/daemon.json is not ours.
	echo '{}' >"$dir/daemon.json"
	launch dockerd dockerd --config-file "$dir/daemon.json" --host "$socket" --containerd "$containerd_socket" \
		--data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/dockerd.lock" \
		--storage-driver overlay2 --exec-opt native.cgroupdriver=cgroupfs \
		--bridge "$bridge" --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false \
		--default-address-pool "base=172.28.$((hash % 250)).0/24,size=28"
	wait_for 60 docker_answers || fail dockerd

	DOCKER_HOST=$socket "$tools/testimage.sh" || { stop_daemons; die 'the test image could not be loaded'; }
	say "runs at $socket"
}

stop_daemons() {
	if running dockerd; then
		# Each container has a shim that outlives the daemons, so they go first.
		local containers
		containers=$(DOCKER_HOST=$socket timeout 20 docker ps -aq) || true
		# shellcheck disable=SC2086 # a list of ids
		[ -z "$containers" ] || DOCKER_HOST=$socket timeout 60 docker rm -f $containers >/dev/null || true
	fi
	stop_one dockerd 20
	stop_one containerd 10
	unmount_all
	ip link delete "$bridge" 2>/dev/null || true
}

stop() {
	[ -e "$dir/containerd.toml" ] || return 0
	stop_daemons
	rm -rf --one-file-system "$dir"
}

environment() {
	cat <<-END
		export DOCKER_HOST=$socket
		export ROLLCAGE_TEST_DOCKER_HOST=$socket
		export ROLLCAGE_TEST_CONTAINERD=$containerd_socket
		export ROLLCAGE_TEST_IMAGE=rollcage/test:1.0
		export ROLLCAGE_TEST_HOST_IP=$net.1
	END
}

case $verb in
start) start ;;
stop) stop ;;
env) environment ;;
*) die "unknown verb \"$verb\"; use start, stop or env" ;;
esac

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

say() { printf 'dockerd: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

tools=$(cd "$(dirname "$0")" && pwd)
[ $# = 2 ] || die 'usage: tools/dockerd.sh start|stop|env DIR'
readonly verb=$1 dir=$2 tools
case $dir in /*) ;; *) die "DIR must be an absolute path, not \"$dir\"" ;; esac

# Two daemons must not share a bridge, so its name and its network follow from DIR.
hash=$(printf %s "$dir" | cksum | cut -d' ' -f1)
readonly bridge=rollcage-$((hash % 100000))
readonly net=172.29.$((hash % 250))
readonly socket=unix://$dir/docker.sock containerd_socket=$dir/containerd.sock

# running NAME: whether the pid in DIR/NAME.pid is that program and not a later one with the same number.
running() {
	local pid
	pid=$(cat "$dir/$1.pid" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ]
}

# wait_for SECONDS COMMAND...
wait_for() {
	local tries=$(($1 * 10))
	shift
	until "$@" >/dev/null 2>&1; do
		((tries-- > 0)) || return 1
		sleep 0.1
	done
}

docker_answers() { DOCKER_HOST=$socket docker version; }
not_running() { ! running "$1"; }

# launch NAME COMMAND...: starts it in a session of its own, away from this terminal, and notes its pid.
launch() {
	local name=$1
	shift
	setsid "$@" </dev/null >"$dir/$name.log" 2>&1 &
	echo $! >"$dir/$name.pid"
}

# Some virtual machines and containers have a root without every capability, and runc then refuses --privileged
# because it asks for them all. There, a runc earlier on PATH asks for what can be had.
readonly capabilities=(CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
	NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE
	SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL
	SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE)

wrap_runc() {
	local bounding i edits=''
	bounding=$((16#$(awk '$1 == "CapBnd:" { print $2 }' /proc/self/status)))
	for i in "${!capabilities[@]}"; do
		((bounding >> i & 1)) || edits+="s/\"CAP_${capabilities[i]}\",//g;s/,\"CAP_${capabilities[i]}\"//g;"
	done
	[ -n "$edits" ] || return 0
	mkdir -p "$dir/bin"
	cat >"$dir/bin/runc" <<-END
		#!/bin/bash
		previous=
		for argument in "\$@"; do
		    case \$previous in
		    --bundle) sed -i '$edits' "\$argument/config.json" ;;
		    --process) sed -i '$edits' "\$argument" ;;
		    esac
		    previous=\$argument
		done
		exec $(command -v runc) "\$@"
	END
	chmod +x "$dir/bin/runc"
	export PATH=$dir/bin:$PATH
}

fail() {
	say "$1 did not start. The end of $dir/$1.log:"
	tail -n 20 "$dir/$1.log" >&2 || true
	stop_daemons
	exit 1
}

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

# stop_one NAME SECONDS
stop_one() {
	running "$1" || return 0
	kill "$(cat "$dir/$1.pid")"
	wait_for "$2" not_running "$1" || kill -KILL "$(cat "$dir/$1.pid")"
	rm -f "$dir/$1.pid"
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
	awk -v dir="$dir/" 'index($2, dir) == 1 { print $2 }' /proc/self/mounts | sort -r | while read -r mount; do
		umount -l "$mount" || true
	done
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

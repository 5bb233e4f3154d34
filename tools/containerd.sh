#!/usr/bin/env bash
# A containerd of its own for tests, with its CRI plugin as Kubernetes uses it.
#
#   tools/containerd.sh start DIR    start it (nothing happens if it runs) and load the test images
#   tools/containerd.sh stop DIR     stop it and its containers, and delete DIR
#   tools/containerd.sh env DIR      print its addresses as shell exports
#
# Everything it has is in DIR, which should be short, as it is part of socket paths. Its pods are on a bridge that leads
# nowhere. It may be killed and started again: its containers live on.
set -euo pipefail

tools=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/daemon.sh
. "$tools/daemon.sh"
[ $# = 2 ] || die 'usage: tools/containerd.sh start|stop|env DIR'
readonly verb=$1 dir=$2 tools
case $dir in /*) ;; *) die "DIR must be an absolute path, not \"$dir\"" ;; esac

# Two daemons must not share a bridge, so its name and its network follow from DIR.
hash=$(printf %s "$dir" | cksum | cut -d' ' -f1)
readonly bridge=rollcage-$((hash % 100000))
readonly socket=$dir/containerd.sock cni=/usr/lib/cni

control() { timeout 20 ctr --address "$socket" "$@"; }
answers() { control version; }

configure() {
	mkdir -p "$dir/cni"
	cat >"$dir/cni/10-rollcage.conflist" <<-END
		{"cniVersion": "0.4.0", "name": "rollcage", "plugins": [{
		  "type": "bridge", "bridge": "$bridge", "isGateway": true, "ipMasq": false,
		  "ipam": {"type": "host-local", "dataDir": "$dir/addresses", "ranges": [[{"subnet": "172.27.$((hash % 250)).0/24"}]]}
		}]}
	END
	cat >"$dir/containerd.toml" <<-END
		version = 2
		root = "$dir/root"
		state = "$dir/state"
		[grpc]
		address = "$socket"
		[plugins."io.containerd.grpc.v1.cri"]
		sandbox_image = "docker.io/rollcage/pause:1.0"
		disable_tcp_service = true
		restrict_oom_score_adj = true
		[plugins."io.containerd.grpc.v1.cri".cni]
		bin_dir = "$cni"
		conf_dir = "$dir/cni"
	END
}

start() {
	[ "$(id -u)" = 0 ] || die 'must be root'
	local need
	for need in containerd ctr runc "$cni/bridge"; do
		command -v "$need" >/dev/null || die "$need is missing; run tools/setup.sh test"
	done
	[ ${#dir} -le 60 ] || die "$dir is too long for the path of a socket"
	if running containerd && answers >/dev/null 2>&1; then
		return 0
	fi
	mkdir -p "$dir"
	chmod 0711 "$dir"
	wrap_runc
	[ -e "$dir/containerd.toml" ] || configure
	launch containerd containerd --config "$dir/containerd.toml"
	wait_for 30 answers || fail containerd
	if [ ! -e "$dir/loaded" ]; then
		"$tools/testimage.sh" archive "$dir/image.tar"
		control -n k8s.io images import "$dir/image.tar" >/dev/null || { stop_daemons; die 'the test images could not be loaded'; }
		control -n default images import "$dir/image.tar" >/dev/null
		rm "$dir/image.tar"
		touch "$dir/loaded"
	fi
	say "runs at $socket"
}

stop_daemons() {
	local namespace ids
	if running containerd; then
		# Each container has a shim that outlives the daemon, so they go first.
		for namespace in $(control namespaces list -q); do
			ids=$(control -n "$namespace" tasks list -q) || continue
			# shellcheck disable=SC2086 # a list of ids
			[ -z "$ids" ] || control -n "$namespace" tasks delete --force $ids >/dev/null 2>&1 || true
		done
	fi
	stop_one containerd 10
	unmount_all
	ip link delete "$bridge" 2>/dev/null || true
}

stop() {
	[ -e "$dir/containerd.toml" ] || return 0
	running containerd || start || true # what was left by one that was killed needs a running one to go
	stop_daemons
	rm -rf --one-file-system "$dir"
}

environment() {
	cat <<-END
		export ROLLCAGE_TEST_CRI=$socket
		export ROLLCAGE_TEST_CRI_IMAGE=docker.io/rollcage/test:1.0
	END
}

case $verb in
start) start ;;
stop) stop ;;
env) environment ;;
*) die "unknown verb \"$verb\"; use start, stop or env" ;;
esac

# shellcheck shell=bash
# shellcheck disable=SC2154 # dir is set by the script
# What the scripts that start a daemon of their own share. For sourcing by them, with $dir set to the daemon's folder.

say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2; }
die() { say "$*"; exit 1; }

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

not_running() { ! running "$1"; }

# launch NAME COMMAND...: starts it in a session of its own, away from this terminal, and notes its pid.
launch() {
	local name=$1
	shift
	setsid "$@" </dev/null >"$dir/$name.log" 2>&1 &
	echo $! >"$dir/$name.pid"
}

# fail NAME: the script's stop_daemons is to end what runs already.
fail() {
	say "$1 did not start. The end of $dir/$1.log:"
	tail -n 20 "$dir/$1.log" >&2 || true
	stop_daemons
	exit 1
}

# stop_one NAME SECONDS
stop_one() {
	running "$1" || return 0
	kill "$(cat "$dir/$1.pid")"
	wait_for "$2" not_running "$1" || kill -KILL "$(cat "$dir/$1.pid")"
	rm -f "$dir/$1.pid"
}

# unmount_all: what is mounted below DIR.
unmount_all() {
	awk -v dir="$dir/" 'index($2, dir) == 1 { print $2 }' /proc/self/mounts | sort -r | while read -r mount; do
		umount -l "$mount" || true
	done
}

# Some virtual machines and containers have a root without every capability, and a runtime then refuses privileged
# containers because it asks for them all. There, one earlier on PATH asks for what can be had.
readonly capabilities=(CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
	NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE
	SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL
	SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE)

# wrap_runc: puts that one into DIR/bin and DIR/bin on PATH, if it is needed.
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

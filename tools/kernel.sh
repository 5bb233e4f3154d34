#!/usr/bin/env bash
# Runs a command under another Linux kernel: Debian's, in an emulated machine that has nothing but busybox and the
# given files. Prints what the command prints and exits with its exit code.
#
#   tools/kernel.sh [-a ARCH] [-f PATH]... [-m MODULE]... [-t SECONDS] KERNEL COMMAND [ARG]...
#   tools/kernel.sh 6.1 uname -a
#   CGO_ENABLED=0 go test -c -o probe.test ./internal/observe/probe
#   tools/kernel.sh -f internal/observe/probe/testdata 6.12 ./probe.test -test.run TestLoad
#   GOARCH=arm64 CGO_ENABLED=0 go test -c -o probe-arm64.test ./internal/observe/probe
#   tools/kernel.sh -a arm64 6.12 ./probe-arm64.test -test.run TestScenes
#
#   KERNEL        5.10, 6.1, 6.12 or 7 (the newest that Debian has)
#   COMMAND       a static program (with a slash), or a busybox applet
#   -a ARCH       the machine: amd64, as unless given, or arm64
#   -f PATH       a file or folder to have beside COMMAND, in its working directory, under its last name
#   -m MODULE     a kernel module to load first (overlay, veth …); modules it depends on go before it
#   -t SECONDS    the longest it may take, 600 unless given
#
# /proc, /sys, cgroup2, bpffs, tracefs and debugfs are mounted, and a loopback is up. The environment variables that
# begin with ROLLCAGE_ are passed on. It exits with 125 if the kernel stops before the command ends, and with 124 if the
# time is up. QEMU_ACCEL=kvm is faster where there is hardware for it. KERNEL_LOGLEVEL=6 shows the kernel's own lines among
# the command's, so also what comes before a panic. Kernels are kept in .cache/kernels.
set -euo pipefail
tools=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/debian.sh
. "$tools/debian.sh"

usage() { sed -n '2,$ { /^#/!q; s/^# \{0,1\}//p }' "$0"; }

# fetch SUITE ARCH DIR: unpacks the kernel for clouds of a Debian suite, as it is the smallest, and a busybox into DIR.
fetch() {
	local suite=$1 arch=$2 dir=$3 image packages
	say "fetching the kernel of Debian $suite for $arch"
	rm -rf "$dir"
	debian_open "$suite" "$dir/apt" "$arch"
	image=$(debian_apt apt-cache show --no-all-versions "linux-image-cloud-$arch" |
		sed -n 's/^Depends:.*\(linux-image-[0-9][^ ,]*\).*/\1/p')
	[ -n "$image" ] || die "Debian $suite names no kernel"
	# Newer kernels come in parts.
	packages=$(debian_apt apt-cache show --no-all-versions "$image" |
		grep '^Depends:' | grep -oE 'linux-(binary|modules)-[^ ,]+') || true
	# shellcheck disable=SC2086 # a list of names
	debian_fetch_only "$dir/root" "$image" $packages busybox-static
	rm -rf "$dir/apt"
	mv "$(find "$dir/root/" -name 'vmlinuz*' -type f -print -quit)" "$dir/vmlinuz"
	mv "$(find "$dir/root/" -name busybox -type f -perm /1 -print -quit)" "$dir/busybox"
}

# add_module NAME ROOT KERNEL_DIR: puts a module into the initial file system, after those added before it.
add_module() {
	local file out
	file=$(find "$3/root/" -name "$1.ko*" -print -quit)
	[ -n "$file" ] || die "the kernel has no module \"$1\"; it may be built in"
	out=$2/modules/$(printf %02d "$(find "$2/modules" -type f | wc -l)")-$1.ko
	case $file in
	*.xz) xz -dc "$file" >"$out" ;;
	*.zst) zstd -qdc "$file" >"$out" ;;
	*) cp "$file" "$out" ;;
	esac
}

# write_init ROOT TTY COMMAND...: the first process; it runs the command and reports its exit code in the last line.
write_init() {
	local root=$1 tty=$2
	shift 2
	cat >"$root/init" <<-'END'
		#!/bin/busybox sh
		/bin/busybox mkdir -p /proc /sys /dev /tmp /run /var/tmp /root /usr/bin /usr/sbin /sbin
		/bin/busybox --install -s
		export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TMPDIR=/tmp
		mount -t proc proc /proc
		mount -t sysfs sysfs /sys
		mount -t devtmpfs devtmpfs /dev
		mkdir -p /dev/pts /dev/shm
		mount -t devpts devpts /dev/pts
		for dir in /dev/shm /tmp /run; do mount -t tmpfs tmpfs $dir; done
		mount -t cgroup2 cgroup2 /sys/fs/cgroup
		mount -t bpf bpf /sys/fs/bpf
		mount -t tracefs tracefs /sys/kernel/tracing
		mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
		ln -s /proc/self/fd /dev/fd
		hostname rollcage-test
		ip link set lo up
		for module in $(ls /modules); do insmod /modules/$module || echo "init: cannot load $module"; done
		cd /work
		stty -F $(cat /tty) -opost
		(. /command) >$(cat /tty) 2>&1 </dev/null
		code=$?
		echo 0 >/proc/sys/kernel/printk
		echo "exit code: $code" >$(cat /tty)
		poweroff -f
	END
	chmod +x "$root/init"
	echo "/dev/$tty" >"$root/tty"
	{
		env | sed -n "/^ROLLCAGE_[A-Z_]*=/{s/'/'\\\\''/g;s/=/='/;s/\$/'/;s/^/export /;p}"
		printf "'%s' " "${@//\'/\'\\\'\'}"
	} >"$root/command"
}

main() {
	local files=() modules=() timeout=600 arch=amd64 option suite kernel module code='' tty
	local -a emulator
	while getopts a:f:m:t:h option; do
		case $option in
		a) arch=$OPTARG ;;
		f) files+=("$OPTARG") ;;
		m) modules+=("$OPTARG") ;;
		t) timeout=$OPTARG ;;
		h) usage; exit 0 ;;
		*) exit 2 ;;
		esac
	done
	shift $((OPTIND - 1))
	[ $# -ge 2 ] || { usage >&2; exit 2; }
	case $1 in
	5.10) suite=bullseye ;;
	6.1) suite=bookworm ;;
	6.12) suite=trixie ;;
	7 | 7.*) suite=sid ;;
	*) die "unknown kernel \"$1\"; use 5.10, 6.1, 6.12 or 7" ;;
	esac
	shift
	case $arch in
	amd64)
		"$tools/setup.sh" kernel
		# With a thread for each, an emulated CPU now and then runs into an int3 that the kernel is about to replace while it
		# turns tracepoints on, and the kernel panics.
		emulator=(qemu-system-x86_64 -accel "${QEMU_ACCEL:-tcg,thread=single}" -cpu max)
		kernel=$suite tty=ttyS0
		;;
	arm64)
		"$tools/setup.sh" kernel kernel-arm64
		# What "max" adds to it (pointer authentication above all) only makes an emulation slower.
		emulator=(qemu-system-aarch64 -accel "${QEMU_ACCEL:-tcg}" -machine virt -cpu cortex-a57)
		kernel=$suite-arm64 tty=ttyAMA0
		;;
	*) die "unknown architecture \"$arch\"; use amd64 or arm64" ;;
	esac

	mkdir -p "$tools/../.cache/kernels"
	kernel=$(cd "$tools/../.cache/kernels" && pwd)/$kernel
	[ -e "$kernel/busybox" ] || fetch "$suite" "$arch" "$kernel"

	scratch=$(mktemp -d)
	trap 'rm -rf "$scratch"' EXIT
	local root=$scratch/root
	mkdir -p "$root"/{bin,etc,work,modules}
	cp "$kernel/busybox" "$root/bin/busybox"
	echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
	echo 'root:x:0:' >"$root/etc/group"
	echo '127.0.0.1 localhost' >"$root/etc/hosts"
	case $1 in
	*/*)
		files+=("$1")
		set -- "./$(basename "$1")" "${@:2}"
		;;
	esac
	[ ${#files[@]} = 0 ] || cp -rL "${files[@]}" "$root/work/"
	for module in "${modules[@]}"; do add_module "$module" "$root" "$kernel"; done
	write_init "$root" "$tty" "$@"
	(cd "$root" && find . | cpio --quiet -o -H newc -R 0:0) >"$scratch/initrd"

	# loglevel=1 leaves the screen to the command; that there was a panic is shown all the same. The last line is ours.
	{
		timeout "$timeout" "${emulator[@]}" -smp 2 -m 2G -nodefaults -display none -no-reboot \
			-chardev stdio,id=out,signal=off -serial chardev:out -kernel "$kernel/vmlinuz" -initrd "$scratch/initrd" \
			-append "console=$tty loglevel=${KERNEL_LOGLEVEL:-1} panic=-1 mitigations=off nokaslr" </dev/null ||
			echo $? >"$scratch/failed"
	} | sed -u "/^exit code: [0-9]*\r*\$/{w $scratch/code
		d}"
	[ ! -e "$scratch/failed" ] || code=$(cat "$scratch/failed")
	[ "$code" != 124 ] || die_with 124 "the command did not end in $timeout s"
	[ -z "$code" ] || die_with 125 "the emulator failed with $code"
	code=$(tr -dc 0-9 <"$scratch/code")
	[ -n "$code" ] || die_with 125 'the kernel stopped before the command ended'
	return "$code"
}

die_with() {
	say "$2"
	exit "$1"
}

main "$@"

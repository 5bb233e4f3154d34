#!/usr/bin/env bash
# Brings a sysdig that is not installed, as a second opinion on what a .scap file holds.
#
#   tools/sysdig.sh [sid|bookworm]     sid: sysdig 0.41, the default; bookworm: sysdig 0.29.3
#
# 0.41 reads every capture, but takes container fields from a plugin that Debian lacks, so that chisels and filters with
# container.* fail in it; 0.29.3 has these fields, but refuses captures with newer descriptor types.
#
# It unpacks sysdig and every library it needs, libc included, into .cache/sysdig-SUITE and makes the commands
# .cache/sysdig-SUITE/sysdig and .cache/sysdig-SUITE/csysdig, which it prints. Nothing on the system changes.
set -euo pipefail
tools=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/debian.sh
. "$tools/debian.sh"

suite=${1:-sid}
case $suite in sid | bookworm) ;; *) die "unknown suite \"$suite\"; use sid or bookworm" ;; esac
mkdir -p "$tools/../.cache"
dir=$(cd "$tools/../.cache" && pwd)/sysdig-$suite
root=$dir/root

# wrap COMMAND: runs the unpacked program with the loader and libraries it was built with.
wrap() {
	cat >"$dir/$1.new" <<-END
		#!/bin/sh
		root=$root
		SYSDIG_CHISEL_DIR=\${SYSDIG_CHISEL_DIR-\$root/usr/share/sysdig/chisels}
		TERMINFO_DIRS=\$root/lib/terminfo:\$root/usr/share/terminfo:/lib/terminfo
		export SYSDIG_CHISEL_DIR TERMINFO_DIRS
		exec \$root/lib64/ld-linux-x86-64.so.2 --argv0 $1 \\
		    --library-path \$root/lib/x86_64-linux-gnu:\$root/usr/lib/x86_64-linux-gnu \$root/usr/bin/$1 "\$@"
	END
	chmod +x "$dir/$1.new"
	mv "$dir/$1.new" "$dir/$1"
}

if [ ! -x "$dir/sysdig" ]; then
	say "fetching sysdig of Debian $suite"
	rm -rf "$dir"
	debian_open "$suite" "$dir/apt"
	debian_fetch "$root" sysdig
	rm -rf "$dir/apt"
	wrap csysdig
	wrap sysdig # last, as it is what tells that the rest is there
	"$dir/sysdig" --version >/dev/null || {
		rm "$dir/sysdig"
		die "the unpacked sysdig does not run; look into $dir"
	}
fi
printf '%s\n' "$dir/sysdig" "$dir/csysdig"

#!/usr/bin/env bash
# Makes the image rollcage/test:1.0 from this machine's static busybox and loads it into Docker (DOCKER_HOST).
# No registry is asked. It does nothing if the image is there and made by this very script and busybox.
#
#   tools/testimage.sh [NAME:TAG]
set -euo pipefail

say() { printf 'testimage: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

readonly name=${1:-rollcage/test:1.0}
busybox=$(command -v busybox) || die 'busybox is missing; run tools/setup.sh test'
# docker-image-spec has no place for where an image comes from but labels.
made_from=$(cat "$busybox" "$0" | sha256sum | cut -c1-16)
readonly label=rollcage.test.made-from

if [ "$(docker image inspect --format "{{index .Config.Labels \"$label\"}}" "$name" 2>/dev/null)" = "$made_from" ]; then
	exit 0
fi

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,sbin,usr/bin,usr/sbin,usr/local/bin,etc,root,home/app,var/log,var/lib,var/www,proc,sys,dev,run,opt,srv}
mkdir -m 1777 "$root/tmp" "$root/var/tmp"
cp "$busybox" "$root/bin/busybox"
# As in busybox's own image every applet is in /bin; those that usually live elsewhere are there too.
for applet in $("$busybox" --list-full); do
	mkdir -p "$root/$(dirname "$applet")"
	[ "$applet" = bin/busybox ] || ln -sf /bin/busybox "$root/$applet"
done

cat >"$root/etc/passwd" <<'END'
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
app:x:1000:1000:app:/home/app:/bin/sh
END
cat >"$root/etc/group" <<'END'
root:x:0:
daemon:x:1:
tty:x:5:
shadow:x:42:
www-data:x:33:
app:x:1000:
nogroup:x:65534:
END
cat >"$root/etc/shadow" <<'END'
root:*:19000:0:99999:7:::
daemon:*:19000:0:99999:7:::
www-data:*:19000:0:99999:7:::
nobody:*:19000:0:99999:7:::
app:!:19000:0:99999:7:::
END
chmod 0640 "$root/etc/shadow"
cat >"$root/etc/os-release" <<'END'
ID=rollcage-test
NAME="Rollcage test image"
VERSION_ID=1.0
END
echo '<h1>it works</h1>' >"$root/var/www/index.html"
chown -R 1000:1000 "$root/home/app"

# Fixed order and times make the same busybox the same image everywhere.
tar --create --sort=name --mtime=@1700000000 --numeric-owner --directory "$root" . |
	docker import --change 'CMD ["/bin/sh"]' --change 'ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
		--change "LABEL $label=$made_from" - "$name" >/dev/null
say "loaded $name"

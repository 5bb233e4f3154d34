#!/usr/bin/env bash
# Makes the image rollcage/test:1.0 from this machine's static busybox. No registry is asked.
#
#   tools/testimage.sh               load it into Docker (DOCKER_HOST), unless it is there and made by this very script
#   tools/testimage.sh archive FILE  write it for other engines, with the image rollcage/pause:1.0, whose program only
#                                    waits, as an archive in the form of docker save
set -euo pipefail

say() { printf 'testimage: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

readonly name=rollcage/test:1.0 pause=rollcage/pause:1.0
verb=${1:-docker}
case $verb in
docker) ;;
archive) [ $# = 2 ] || die 'usage: tools/testimage.sh archive FILE' ;;
*) die "unknown verb \"$verb\"; use archive, or none" ;;
esac
busybox=$(command -v busybox) || die 'busybox is missing; run tools/setup.sh test'
# docker-image-spec has no place for where an image comes from but labels.
made_from=$(cat "$busybox" "$0" | sha256sum | cut -c1-16)
readonly label=rollcage.test.made-from

if [ "$verb" = docker ] && [ "$(docker image inspect --format "{{index .Config.Labels \"$label\"}}" "$name" 2>/dev/null)" = "$made_from" ]; then
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

# layer: the files, in fixed order and with fixed times, so that the same busybox makes the same image everywhere.
layer() { tar --create --sort=name --mtime=@1700000000 --numeric-owner --directory "$root" .; }

# config COMMAND LAYER-DIGEST: an image configuration with a command in JSON.
config() {
	printf '{"architecture":"%s","os":"linux","created":"2023-11-14T22:13:20Z",' "$(dpkg --print-architecture 2>/dev/null || echo amd64)"
	printf '"config":{"Cmd":%s,"Env":["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Labels":{"%s":"%s"}},' "$1" "$label" "$made_from"
	printf '"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$2"
}

archive() {
	local out digest
	out=$(mktemp -d)
	layer >"$out/layer.tar"
	digest=$(sha256sum "$out/layer.tar" | cut -d' ' -f1)
	config '["/bin/sh"]' "$digest" >"$out/test.json"
	config '["/bin/sleep","2147483647"]' "$digest" >"$out/pause.json"
	printf '[{"Config":"test.json","RepoTags":["%s"],"Layers":["layer.tar"]},' "$name" >"$out/manifest.json"
	printf '{"Config":"pause.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$pause" >>"$out/manifest.json"
	tar --create --file "$1" --directory "$out" manifest.json test.json pause.json layer.tar
	rm -r "$out"
}

if [ "$verb" = archive ]; then
	archive "$2"
	say "wrote $2"
	exit 0
fi
layer | docker import --change 'CMD ["/bin/sh"]' --change 'ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
	--change "LABEL $label=$made_from" - "$name" >/dev/null
say "loaded $name"

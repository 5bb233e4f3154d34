# shellcheck shell=bash
# Packages of any Debian suite, unpacked into a folder and never installed. For sourcing by the scripts beside it.
#
# The mirror is the one that this machine's own apt is set up with, and its keys are the ones that apt trusts.

say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2; }
die() { say "$*"; exit 1; }

# debian_open SUITE DIR [ARCH]: reads SUITE's package list into DIR, where debian_apt and debian_fetch work on it. ARCH is a
# Debian architecture, this machine's unless given.
debian_open() {
	local suite=$1 mirror arch=${3:-$(dpkg --print-architecture)}
	command -v apt-get >/dev/null || die 'apt-get is missing: this needs a Debian or a derivative'
	debian=$(mkdir -p "$2" && cd "$2" && pwd)
	# shellcheck disable=SC2016 # apt expands it
	mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
	[ -n "$mirror" ] || die "this machine's apt has no Debian source to take $suite from"

	mkdir -p "$debian"/{lists/partial,archives/partial,sources.d}
	: >"$debian/status" # as if nothing were installed, so that dependencies are complete, libc included
	# Checking dates is left as the machine has it: a mirror may be a snapshot.
	printf 'deb %s %s main\n' "$mirror" "$suite" >"$debian/sources.list"
	cat >"$debian/apt.conf" <<-END
		Dir::State "$debian";
		Dir::State::status "$debian/status";
		Dir::State::lists "$debian/lists";
		Dir::Cache "$debian";
		Dir::Cache::archives "$debian/archives";
		Dir::Etc::sourcelist "$debian/sources.list";
		Dir::Etc::sourceparts "$debian/sources.d";
		Dir::Etc::preferencesparts "/dev/null";
		APT::Architecture "$arch";
		APT::Architectures { "$arch"; };
		APT::Sandbox::User "root";
		APT::Install-Recommends "false";
		APT::Update::Post-Invoke "";
		APT::Update::Post-Invoke-Success "";
		Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
	END
	debian_apt apt-get update -qq </dev/null >&2 || die "cannot read the package list of Debian $suite"
}

# debian_apt COMMAND...: an apt command on the opened suite.
debian_apt() {
	local command=$1
	shift
	"$command" -c "$debian/apt.conf" "$@"
}

# debian_fetch ROOT PACKAGE...: unpacks packages and all that they depend on into ROOT.
debian_fetch() {
	local root=$1
	shift
	debian_apt apt-get install -y -qq --download-only "$@" </dev/null >&2 || die "cannot download $*"
	debian_unpack "$root"
}

# debian_fetch_only ROOT PACKAGE...: the same without what they depend on.
debian_fetch_only() {
	local root=$1
	shift
	(cd "$debian/archives" && debian_apt apt-get download -qq "$@" </dev/null >&2) || die "cannot download $*"
	debian_unpack "$root"
}

debian_unpack() {
	local deb name
	# Newer packages have everything in /usr and leave these links to the system that they are installed on.
	mkdir -p "$1"/usr/{bin,sbin,lib,lib64}
	for name in bin sbin lib lib64; do
		[ -e "$1/$name" ] || ln -s "usr/$name" "$1/$name"
	done
	for deb in "$debian"/archives/*.deb; do
		dpkg-deb --extract "$deb" "$1" || die "cannot unpack $deb"
	done
	rm -f "$debian"/archives/*.deb
}

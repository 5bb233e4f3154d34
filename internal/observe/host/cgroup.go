package host

import "strings"

// How a container is named in a component of a cgroup path.
type idForm uint8

const (
	hexID  idForm = iota // 64 hexadecimal digits
	uuidID               // 8-4-4-4-12 hexadecimal digits
	nameID               // a name that people chose
)

// cgroupForm is one way in which a runtime names the cgroup of a container.
type cgroupForm struct {
	parent string // name of the component before it, "" for any
	prefix string // what comes before the id; up to it, if it begins with ':', anything
	suffix string
	form   idForm
	typ    ContainerType
}

// cgroupForms are tried in order on each component of a path. Sources: the
// systemd and cgroupfs drivers of runc and crun, containerd's CRI plugin,
// CRI-O, Podman, nerdctl, LXC's lxc.cgroup.dir.*, libvirt's cgroup layout,
// systemd's machined.
var cgroupForms = []cgroupForm{
	{"", "docker-", ".scope", hexID, Docker},
	{"", ":docker:", "", hexID, Docker},
	{"", "cri-containerd-", ".scope", hexID, Containerd},
	{"", ":cri-containerd:", "", hexID, Containerd},
	{"", "containerd-", ".scope", hexID, Containerd},
	{"", "nerdctl-", ".scope", hexID, Containerd},
	{"", ":nerdctl:", "", hexID, Containerd},
	{"", "crio-", ".scope", hexID, CRIO},
	{"", "crio-", "", hexID, CRIO},
	{"", ":crio:", "", hexID, CRIO},
	{"", "libpod-payload-", "", hexID, Podman},
	{"", "libpod-", ".scope", hexID, Podman},
	{"", "libpod-", "", hexID, Podman},
	{"", ":libpod:", "", hexID, Podman},
	{"", `machine-rkt\x2d`, ".scope", uuidID, Rkt},
	{"mesos", "", "", uuidID, Mesos},
	{"", "", ".libvirt-lxc", nameID, LibvirtLXC},
	{"", `machine-lxc\x2d`, ".scope", nameID, LibvirtLXC},
	{"", "lxc.payload.", "", nameID, LXC},
	{"lxc.payload", "", "", nameID, LXC},
	{"lxc", "", "", nameID, LXC},
	{"", "", "", hexID, Docker}, // see plainOwners
}

// plainOwners tell whose a bare id is by a component above it; without one it
// is Docker's, in whatever parent it was told to use.
var plainOwners = []struct {
	prefix string
	typ    ContainerType
}{
	{"docker", Docker}, {"kubepods", CRI}, {"libpod_parent", Podman}, {"default", Containerd}, {"k8s.io", Containerd}, {"nerdctl", Containerd},
}

// ContainerFromCgroups finds the container in the cgroups of a thread: items
// of the form "subsystem=path" that are separated by NULs. It returns the
// short id (the first 12 characters of a number, all of a name), the full one
// and the runtime. Of containers within containers it is the innermost.
func ContainerFromCgroups(cgroups string) (id, full string, typ ContainerType, ok bool) {
	for cgroups != "" {
		var item string
		item, cgroups, _ = strings.Cut(cgroups, "\x00")
		if _, path, found := strings.Cut(item, "="); found {
			if full, typ, ok = containerInPath(path); ok {
				return shortID(full, typ), full, typ, true
			}
		}
	}
	return "", "", Unknown, false
}

// shortID returns what a container is known by.
func shortID(full string, typ ContainerType) string {
	if typ == LXC || typ == LibvirtLXC {
		return full
	}
	return full[:min(12, len(full))]
}

// containerInPath looks for a container from the last component on.
func containerInPath(path string) (full string, typ ContainerType, ok bool) {
	for path != "" && path != "/" {
		slash := strings.LastIndexByte(path, '/')
		last, above := path[slash+1:], path[:max(slash, 0)]
		for i := range cgroupForms {
			f := &cgroupForms[i]
			if full, ok = f.match(last, above); !ok {
				continue
			}
			if f.prefix == "" && f.form == hexID {
				return full, plainOwner(above), true
			}
			return full, f.typ, true
		}
		path = above
	}
	return "", Unknown, false
}

func (f *cgroupForm) match(last, above string) (string, bool) {
	if f.parent != "" && above[strings.LastIndexByte(above, '/')+1:] != f.parent {
		return "", false
	}
	if strings.HasPrefix(f.prefix, ":") {
		i := strings.LastIndex(last, f.prefix)
		if i < 0 {
			return "", false
		}
		last = last[i:]
	}
	last, ok := strings.CutPrefix(last, f.prefix)
	if !ok {
		return "", false
	}
	if last, ok = strings.CutSuffix(last, f.suffix); !ok {
		return "", false
	}
	return f.id(last)
}

// id checks that what is left of a component is an id of the form.
func (f *cgroupForm) id(v string) (string, bool) {
	switch f.form {
	case hexID:
		return v, len(v) == 64 && isHex(v)
	case uuidID:
		v = strings.ReplaceAll(v, `\x2d`, "-")
		ok := len(v) == 36 && v[8] == '-' && v[13] == '-' && v[18] == '-' && v[23] == '-' &&
			isHex(strings.ReplaceAll(v, "-", ""))
		return v, ok
	}
	if f.typ == LibvirtLXC && f.prefix != "" {
		// machined puts the number of the domain before its name.
		if _, name, ok := strings.Cut(v, `\x2d`); ok {
			v = name
		}
	}
	v = strings.ReplaceAll(v, `\x2d`, "-")
	return v, v != "" && !strings.HasPrefix(v, "lxc.")
}

func isHex(v string) bool {
	for i := range len(v) {
		if c := v[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return v != ""
}

// plainOwner takes the component nearest to the id that tells: containers may be within containers.
func plainOwner(above string) ContainerType {
	for above != "" {
		slash := strings.LastIndexByte(above, '/')
		for _, o := range plainOwners {
			if strings.HasPrefix(above[slash+1:], o.prefix) {
				return o.typ
			}
		}
		above = above[:max(slash, 0)]
	}
	return Docker
}

package procfs

import (
	"bytes"
	"strings"

	"golang.org/x/sys/unix"
)

// mount is a line of mountinfo.
type mount struct {
	id     uint64
	dev    uint32 // of the file system, in the 32-bit encoding
	root   string // the directory of the file system that is mounted
	point  string // where, seen from the process's root
	fstype string
	upper  string // upper directory of an overlay, "" if not said
}

// parseMount reads a line of /proc/PID/mountinfo: id, parent, major:minor,
// root, mount point, options, any number of tags, "-", type, source, super options.
func parseMount(l []byte) (mount, bool) {
	var m mount
	var id, dev, root, point, w []byte
	id, l = word(l)
	_, l = word(l)
	dev, l = word(l)
	root, l = word(l)
	point, l = word(l)
	m.id, _ = decimal(id)
	major, rest := decimal(dev)
	if len(rest) == 0 || rest[0] != ':' || len(point) == 0 {
		return m, false
	}
	minor, _ := decimal(rest[1:])
	m.dev = Dev(uint32(major), uint32(minor))
	for {
		if w, l = word(l); len(w) == 0 {
			return m, false
		}
		if len(w) == 1 && w[0] == '-' {
			break
		}
	}
	fstype, l := word(l)
	_, l = word(l)
	options, _ := word(l)
	m.root, m.point, m.fstype = unescape(root), unescape(point), string(fstype)
	if m.fstype == "overlay" {
		m.upper = option(unescape(options), "upperdir=")
	}
	return m, len(fstype) > 0
}

// option returns the value of a mount option; a comma in it is escaped by a backslash.
func option(options, key string) string {
	for s := options; s != ""; {
		end := 0
		for end < len(s) && (s[end] != ',' || end > 0 && s[end-1] == '\\') {
			end++
		}
		if v, ok := strings.CutPrefix(s[:end], key); ok {
			return strings.ReplaceAll(v, `\,`, ",")
		}
		s = s[min(end+1, len(s)):]
	}
	return ""
}

// Dev encodes a device number as the kernel does in 32 bits (new_encode_dev).
func Dev(major, minor uint32) uint32 {
	return minor&0xff | major<<8 | minor&^0xff<<12
}

// mountOf returns the mount with that id, which a file of the process is on.
func (r *Reader) mountOf(pid int64, id uint64) (mount, bool) {
	if m, ok := r.mounts[id]; ok {
		return m, m.id == id
	}
	if b, err := r.read(r.procPath(pid, 0, "mountinfo", -1), maxFile); err == nil {
		for len(b) > 0 {
			var l []byte
			l, b = line(b)
			if m, ok := parseMount(l); ok {
				r.mounts[m.id] = m
			}
		}
	}
	m, ok := r.mounts[id]
	if !ok {
		r.mounts[id] = mount{} // detached, or of another mount namespace: do not look again
	}
	return m, ok
}

// statx returns what is known about the file that a link of /proc leads to,
// without asking a network file system for it.
func (r *Reader) statx(path string) (unix.Statx_t, error) {
	var st unix.Statx_t
	err := unix.Statx(r.dir, path, unix.AT_STATX_DONT_SYNC, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, &st)
	if err != nil {
		return st, r.fail("stat", path, err)
	}
	return st, nil
}

// deviceOf returns the device of the file system that a file is on. Overlay
// and btrfs show another one in stat, which is taken only if the mount is not found.
func (r *Reader) deviceOf(pid int64, st *unix.Statx_t) uint32 {
	if st.Mask&unix.STATX_MNT_ID != 0 {
		if m, ok := r.mountOf(pid, st.Mnt_id); ok {
			return m.dev
		}
	}
	return Dev(st.Dev_major, st.Dev_minor)
}

// openBelow opens a path inside a directory as if that were the root: neither
// .. nor links lead out of it. extra adds RESOLVE flags.
func openBelow(dir int, path string, flags int, extra uint64) (int, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS | extra,
	}
	return ignoreEINTR(func() (int, error) { return unix.Openat2(dir, path, &how) })
}

// inUpper reports whether a file of an overlay, by its path seen from the
// process's root, is in the upper layer. It reports !ok if /proc cannot tell.
func (r *Reader) inUpper(m *mount, file string) (upper, ok bool) {
	below, found := strings.CutPrefix(file, strings.TrimSuffix(m.point, "/")+"/")
	if !found || !strings.HasPrefix(m.upper, "/") {
		return false, false
	}
	host, err := r.hostRoot()
	if err != nil {
		return false, false
	}
	defer unix.Close(host)
	dir, err := openBelow(host, m.upper, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return false, false
	}
	defer unix.Close(dir)
	name := strings.TrimPrefix(strings.TrimSuffix(m.root, "/")+"/"+below, "/")
	fd, err := openBelow(dir, name, unix.O_PATH|unix.O_NOFOLLOW, unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return false, err == unix.ENOENT || err == unix.ENOTDIR
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return false, false
	}
	return st.Mode&unix.S_IFMT == unix.S_IFREG, true
}

// hostRoot opens the host's root directory: the upper directory of an overlay
// was named where it was mounted, which is taken to be there. When init's root
// is refused to us, it is ours.
func (r *Reader) hostRoot() (int, error) {
	fd, err := unix.Openat(r.dir, "1/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == unix.EACCES || err == unix.EPERM {
		fd, err = unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	return fd, err
}

// linkNumber returns the number in the target of a link such as pipe:[123] or net:[456].
func linkNumber(target []byte) uint64 {
	_, b, _ := bytes.Cut(target, []byte{'['})
	n, _ := decimal(b)
	return n
}

package procfs

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"
)

// FuzzText feeds every parser of /proc text. They must not panic, and what
// they return must point into or fit what they were given.
func FuzzText(f *testing.F) {
	for _, name := range []string{"stat", "status", "cgroup", "limits", "mountinfo", "net/tcp", "net/tcp6", "net/unix",
		"net/netlink", "net/udp", "fdinfo/0", "cmdline"} {
		if b, err := os.ReadFile("/proc/self/" + name); err == nil {
			f.Add(b[:min(len(b), 2000)])
		}
	}
	f.Add([]byte("1 (a) S -1 -2 -3 -4 99999999999999999999999"))
	f.Add([]byte("36 35 0:45 / /mnt\\040x rw - overlay o upperdir=\\,,"))
	f.Fuzz(func(t *testing.T, b []byte) {
		whole := bytes.Clone(b)
		if s, err := parseStat(b); err == nil && len(s.comm) > len(b) {
			t.Error("comm is longer than stat")
		}
		if s := parseStatus(b); s.depth < 0 || len(s.groups) > len(b) {
			t.Errorf("status %+v", s)
		}
		list, _ := parseCgroup(nil, b)
		if n := len(capList(list)); n > len(list) || n > maxList {
			t.Errorf("%d cgroups", n)
		}
		parseFDLimit(b)
		parseFDInfo(b)
		for rest := b; len(rest) > 0; {
			var l []byte
			l, rest = line(rest)
			if m, ok := parseMount(l); ok && m.fstype == "" {
				t.Error("a mount without type")
			}
			for _, file := range socketFiles {
				s, ok := file.parse(l, file.proto)
				if ok && (s.Type.IsServer() && !s.Source.IsValid() || len(s.Name) > MaxPath) {
					t.Errorf("%s: %+v", file.name, s)
				}
			}
		}
		for _, arg := range CutPadding(List(b)) {
			if bytes.IndexByte([]byte(arg), 0) >= 0 {
				t.Error("an argument with NUL")
			}
		}
		for _, u := range parsePasswd(string(b)) {
			if u.Name == "" || len(u.Name) > maxName {
				t.Errorf("user %+v", u)
			}
		}
		parseGroup(string(b))
		classify(b, binary.LittleEndian.Uint16(append(whole[:len(whole):len(whole)], 0, 0)))
		countRanges(string(b))
		if !bytes.Equal(b, whole) {
			t.Error("a parser wrote to its input")
		}
	})
}

// FuzzDirents feeds the reader of directory entries.
func FuzzDirents(f *testing.F) {
	entry := func(name string) []byte {
		b := make([]byte, 19, 64)
		b = append(append(b, name...), 0)
		binary.NativeEndian.PutUint16(b[16:], uint16(len(b)))
		return b
	}
	f.Add(append(entry("12"), entry("self")...))
	f.Add(entry("18446744073709551616"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := len(parseDirents(nil, b)); n > len(b)/19 {
			t.Errorf("%d numbers in %d bytes", n, len(b))
		}
	})
}

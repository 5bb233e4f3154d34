package procfs

import (
	"bytes"
	"os"
	"path"
	"strings"
)

// unifiedName is the subsystem under which the cgroup v2 hierarchy itself is
// listed. Its controllers are listed one by one as well, like those of v1.
const unifiedName = "unified"

// parseCgroup reads /proc/PID/cgroup: lines of hierarchy id, subsystems
// separated by commas, path. It appends "subsystem=path" for each subsystem of
// v1 and returns the path in the v2 hierarchy, "" if there is none.
func parseCgroup(list []string, b []byte) (_ []string, unified string) {
	for len(b) > 0 {
		var l []byte
		l, b = line(b)
		_, l, ok := bytes.Cut(l, []byte{':'})
		names, p, ok2 := bytes.Cut(l, []byte{':'})
		p = bytes.TrimSuffix(p, []byte(deletedMark))
		if !ok || !ok2 || len(p) == 0 {
			continue
		}
		if len(names) == 0 {
			unified = string(p)
			continue
		}
		for len(names) > 0 {
			var name []byte
			name, names, _ = bytes.Cut(names, []byte{','})
			list = append(list, string(name)+"="+string(p))
		}
	}
	return list, unified
}

// cgroupsOf returns the cgroups of a process as "subsystem=path". A cgroup v2
// path counts for a controller only as deep as that controller is enabled.
func (r *Reader) cgroupsOf(pid int64) []string {
	b, err := r.read(r.procPath(pid, 0, "cgroup", -1), 64<<10)
	if err != nil {
		return nil
	}
	list, unified := parseCgroup(nil, b)
	if unified != "" {
		list = append(list, r.controllers(unified)...)
	}
	return capList(list)
}

// controllers lists a path of the v2 hierarchy, itself and by controller.
func (r *Reader) controllers(cgroup string) []string {
	if list, ok := r.cgroups[cgroup]; ok {
		return list
	}
	list := []string{unifiedName + "=" + cgroup}
	if r.unified != "" {
		seen := map[string]bool{}
		for p := path.Clean("/" + cgroup); ; p = path.Dir(p) {
			// What is missing (the cgroup went away) adds nothing.
			b, _ := os.ReadFile(r.unified + p + "/cgroup.controllers")
			for name := range strings.FieldsSeq(string(b)) {
				if !seen[name] {
					seen[name] = true
					list = append(list, name+"="+p)
				}
			}
			if p == "/" {
				break
			}
		}
	}
	r.cgroups[cgroup] = list
	return list
}

// findUnified returns where the cgroup v2 hierarchy is mounted for us.
func (r *Reader) findUnified() string {
	b, err := r.read("self/mountinfo", maxFile)
	if err != nil {
		return ""
	}
	for len(b) > 0 {
		var l []byte
		l, b = line(b)
		if m, ok := parseMount(l); ok && m.fstype == "cgroup2" && m.root == "/" {
			return m.point
		}
	}
	return ""
}

// capList drops the items from which on a list is longer than captures allow.
func capList(list []string) []string {
	n := 0
	for i, s := range list {
		if n += len(s) + 1; n > maxList {
			return list[:i:i]
		}
	}
	return list
}

package procfs

import "bytes"

// status is what we take from /proc/PID/status.
type status struct {
	pid                             int64  // process that the thread belongs to, 0 if not said
	uid, gid                        uint32 // effective
	groups                          []uint32
	vtid, vpid, vpgid               int64 // in the process's own pid namespace, -1 if not said
	depth                           int   // levels of pid namespaces, 1 on the host
	vmSize, vmRSS, vmSwap           uint32
	inheritable, permitted, effectv uint64
}

// statusLines says what to do with the value of each line that we want.
var statusLines = map[string]func(*status, []byte){
	"Tgid":   func(s *status, v []byte) { s.pid, _ = signed(lastWord(v)) },
	"Uid":    func(s *status, v []byte) { s.uid = second(v) },
	"Gid":    func(s *status, v []byte) { s.gid = second(v) },
	"Groups": func(s *status, v []byte) { s.groups = appendNumbers(s.groups[:0], v) },
	"NStgid": func(s *status, v []byte) { s.vpid, _ = signed(lastWord(v)) },
	"NSpid": func(s *status, v []byte) {
		s.vtid, _ = signed(lastWord(v))
		s.depth = len(bytes.Fields(v))
	},
	"NSpgid": func(s *status, v []byte) { s.vpgid, _ = signed(lastWord(v)) },
	"VmSize": func(s *status, v []byte) { s.vmSize = first(v) },
	"VmRSS":  func(s *status, v []byte) { s.vmRSS = first(v) },
	"VmSwap": func(s *status, v []byte) { s.vmSwap = first(v) },
	"CapInh": func(s *status, v []byte) { s.inheritable = hexWord(v) },
	"CapPrm": func(s *status, v []byte) { s.permitted = hexWord(v) },
	"CapEff": func(s *status, v []byte) { s.effectv = hexWord(v) },
}

// parseStatus reads /proc/PID/status: lines of a name, a colon and values.
func parseStatus(b []byte) status {
	s := status{vtid: -1, vpid: -1, vpgid: -1, depth: 1}
	for len(b) > 0 {
		var l []byte
		l, b = line(b)
		name, value, ok := bytes.Cut(l, []byte{':'})
		if !ok {
			continue
		}
		if set := statusLines[string(name)]; set != nil {
			set(&s, value)
		}
	}
	return s
}

func first(b []byte) uint32 {
	w, _ := word(b)
	n, _ := decimal(w)
	return uint32(n)
}

func second(b []byte) uint32 {
	_, b = word(b)
	return first(b)
}

func hexWord(b []byte) uint64 {
	w, _ := word(b)
	n, _ := hex(w)
	return n
}

func appendNumbers(list []uint32, b []byte) []uint32 {
	for {
		var w []byte
		if w, b = word(b); len(w) == 0 {
			return list
		}
		n, _ := decimal(w)
		list = append(list, uint32(n))
	}
}

package procfs

import "fmt"

// Usage is what a thread has used since its start, and what memory its process has.
type Usage struct {
	User, System uint64 // processor time in ns, to 10 ms
	Minor, Major uint64 // page faults
	Virtual      uint64 // bytes, as is the next
	Resident     uint64
}

const pageSize = 4096

// Usage reads what a thread has used, or a process if tid is 0. One that is gone gives ErrGone.
func (r *Reader) Usage(pid, tid int64) (Usage, error) {
	b, err := r.read(r.procPath(pid, tid, "stat", -1), 4096)
	if err != nil {
		return Usage{}, err
	}
	return parseUsage(b)
}

// parseUsage reads /proc/PID/stat, whose fields are numbered as in proc(5).
func parseUsage(b []byte) (Usage, error) {
	end := len(b) - 1
	for end >= 0 && b[end] != ')' {
		end--
	}
	if end < 0 {
		return Usage{}, fmt.Errorf("stat without (comm): %q", b[:min(len(b), 64)])
	}
	var u Usage
	rest := b[end+1:]
	var w []byte
	for field := 3; field <= 24; field++ {
		if w, rest = word(rest); len(w) == 0 {
			return Usage{}, fmt.Errorf("stat ends before field %d", field)
		}
		n, _ := decimal(w)
		switch field {
		case 10:
			u.Minor = n
		case 12:
			u.Major = n
		case 14:
			u.User = n * (1e9 / ticks)
		case 15:
			u.System = n * (1e9 / ticks)
		case 23:
			u.Virtual = n
		case 24:
			u.Resident = n * pageSize
		}
	}
	return u, nil
}

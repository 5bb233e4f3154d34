package view

import (
	"time"

	"rollcage/internal/observe/procfs"
)

// ProcSampler takes what threads use from /proc: one file for each thread and
// refresh. It is used by one goroutine.
type ProcSampler struct {
	proc    *procfs.Reader
	before  map[int64]usage // by thread, of the last refresh
	now     map[int64]usage
	at      time.Time
	elapsed time.Duration // between the last two refreshes
}

type usage struct{ user, system uint64 }

var _ Sampler = (*ProcSampler)(nil)

// NewProcSampler returns a sampler of the running host.
func NewProcSampler() (*ProcSampler, error) {
	r, err := procfs.Open("/proc")
	if err != nil {
		return nil, err
	}
	return &ProcSampler{proc: r, now: map[int64]usage{}}, nil
}

// Begin begins a refresh: shares are of the time since the one before.
func (p *ProcSampler) Begin() {
	now := time.Now()
	if !p.at.IsZero() {
		p.elapsed = now.Sub(p.at)
	}
	p.at = now
	p.before, p.now = p.now, make(map[int64]usage, len(p.now))
}

// Sample tells what a thread uses. The first time that a thread is seen its
// shares are 0.
func (p *ProcSampler) Sample(pid, tid int64, s *Sample) bool {
	u, err := p.proc.Usage(pid, tid)
	if err != nil {
		return false
	}
	p.now[tid] = usage{u.User, u.System}
	if b, ok := p.before[tid]; ok && p.elapsed > 0 && u.User >= b.user && u.System >= b.system {
		s.User = 100 * float64(u.User-b.user) / float64(p.elapsed)
		s.System = 100 * float64(u.System-b.system) / float64(p.elapsed)
	}
	s.MajorFaults, s.MinorFaults = u.Major, u.Minor
	if pid == tid {
		s.Virtual, s.Resident = u.Virtual, u.Resident
	}
	return true
}

// Close frees what the sampler holds.
func (p *ProcSampler) Close() error { return p.proc.Close() }

package metrics

import (
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/procfs"
	"rollcage/internal/respond/agent"
	"rollcage/internal/respond/alert"
)

// Sample is all numbers at one moment.
type Sample struct {
	Time    time.Time
	Num     int // of the samples that a Reader took, from 1
	Agent   agent.Stats
	Health  agent.Health
	Outputs []alert.OutputStats
	Process Process
	Machine Machine
	Version string
	Host    string
	Kernel  string    // release
	Boot    time.Time // of the host
	CPUs    int
	Nets    []Net

	// Before is the sample before this one, nil for the first; its Before is nil.
	Before *Sample
}

// Net is a network interface with its addresses, loopback left out.
type Net struct {
	Name       string
	IPv4, IPv6 []string
}

// Reader takes samples. It may be used by many goroutines.
type Reader struct {
	// Agent and Delivery are what is told about.
	Agent    *agent.Agent
	Delivery interface{ Stats() []alert.OutputStats }
	Version  string
	// Others are exposed to Prometheus too.
	Others []prometheus.Collector

	mu  sync.Mutex
	num int
}

// Read takes a sample. before is the one to compare with, nil for none.
func (r *Reader) Read(before *Sample) *Sample {
	s := &Sample{
		Time: time.Now(), Agent: r.Agent.Stats(), Health: r.Agent.Health(), Outputs: r.Delivery.Stats(), Process: readProcess(),
		Machine: readMachine(), Version: r.Version, Host: alert.Hostname(), Kernel: kernelRelease(),
		Boot: time.Unix(0, int64(procfs.BootTime())), CPUs: runtime.NumCPU(), Nets: interfaces(),
	}
	if before != nil {
		b := *before
		b.Before = nil
		s.Before = &b
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.num++
	s.Num = r.num
	return s
}

// rate returns how much a counter grew a second since the sample before, or
// since the start.
func (s *Sample) rate(counter func(*Sample) uint64) float64 {
	since, grown := s.Agent.Started, counter(s)
	if s.Before != nil {
		since, grown = s.Before.Time, grown-counter(s.Before)
	}
	if d := s.Time.Sub(since).Seconds(); d > 0 {
		return float64(grown) / d
	}
	return 0
}

func events(s *Sample) uint64 { return s.Agent.Source.Events }
func drops(s *Sample) uint64  { return s.Agent.Source.Dropped }

// seen is what the kernel made of events, handed out or lost.
func seen(s *Sample) uint64 { return events(s) + drops(s) }

// matches is how often any rule matched.
func matches(s *Sample) (n uint64) {
	for _, r := range s.Agent.Rules {
		n += r.Matches
	}
	return n
}

// queueDrops is how many alerts were lost because too many waited for an output.
func queueDrops(s *Sample) (n uint64) {
	for _, o := range s.Outputs {
		n += o.Dropped
	}
	return n
}

func kernelRelease() string {
	b, _ := os.ReadFile("/proc/sys/kernel/osrelease") // always there
	return strings.TrimSpace(string(b))
}

func interfaces() []Net {
	all, _ := net.Interfaces() // none is what is known then
	var out []Net
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 {
			continue
		}
		n := Net{Name: i.Name}
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			ip, _, err := net.ParseCIDR(a.String())
			switch {
			case err != nil:
			case ip.To4() != nil:
				n.IPv4 = append(n.IPv4, ip.String())
			default:
				n.IPv6 = append(n.IPv6, ip.String())
			}
		}
		if len(n.IPv4)+len(n.IPv6) > 0 {
			out = append(out, n)
		}
	}
	return out
}

// DropKinds are the kinds of lost events that are told apart in Falco, in the order of its alerts.
var DropKinds = []string{"clone_fork", "execve", "connect", "open", "dir_file", "other_interest", "close", "proc"}

// dropKinds says which types of events each kind has; other_interest is what
// counts as such among all that are left.
var dropKinds = func() map[event.Type]string {
	out := map[event.Type]string{}
	for kind, names := range map[string][]string{
		"clone_fork": {"clone", "clone3", "fork", "vfork"}, "execve": {"execve", "execveat"}, "connect": {"connect"},
		"open":     {"open", "openat", "openat2", "creat", "open_by_handle_at"},
		"dir_file": {"mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "chmod", "fchmod", "fchmodat", "chdir", "fchdir", "chroot"},
		"other_interest": {
			"accept", "accept4", "bind", "socket", "setuid", "setgid", "setresuid", "setresgid", "setns", "unshare", "capset",
			"ptrace", "mount", "umount", "umount2", "bpf", "init_module", "finit_module", "userfaultfd", "dup", "dup2", "dup3", "memfd_create",
		},
		"close": {"close"}, "proc": {"procexit"},
	} {
		for _, n := range names {
			for _, i := range event.Lookup(n) {
				out[i.Type] = kind
			}
		}
	}
	return out
}()

// DropsByKind sums what was lost by kind. What has none is in the total only.
func DropsByKind(lost map[event.Type]uint64) map[string]uint64 {
	out := map[string]uint64{}
	for t, n := range lost {
		if kind := dropKinds[t]; kind != "" {
			out[kind] += n
		}
	}
	return out
}

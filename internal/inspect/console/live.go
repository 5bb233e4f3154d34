package console

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
	"rollcage/internal/observe/procfs"
)

// live reads what runs on the host now, at most once a second however many ask.
type live struct {
	containers func(id string, t host.ContainerType) *host.Container

	mu     sync.Mutex
	reader *procfs.Reader
	last   *hostNow
	read   time.Time
	users  map[uint32]string
	// What processes had used at the last look, by their numbers.
	used map[int64]uint64
}

func newLive(containers func(id string, t host.ContainerType) *host.Container) (*live, error) {
	r, err := procfs.Open("/proc")
	if err != nil {
		return nil, err
	}
	l := &live{containers: containers, reader: r, users: map[uint32]string{}}
	if users, _, err := procfs.ReadUsers("/"); err == nil {
		for _, u := range users {
			l.users[u.UID] = u.Name
		}
	}
	return l, nil
}

func (l *live) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reader.Close()
}

// hostNow is what runs.
type hostNow struct {
	Time       time.Time      `json:"time"`
	Host       string         `json:"host"`
	Containers []runContainer `json:"containers"`
	Processes  []runProcess   `json:"processes"`
	// LeftOut is how many more processes there are.
	LeftOut int `json:"left_out,omitempty"`
}

type runContainer struct {
	ID         string   `json:"id"` // first 12 characters
	Name       string   `json:"name,omitempty"`
	Image      string   `json:"image,omitempty"`
	Runtime    string   `json:"runtime,omitempty"`
	IP         string   `json:"ip,omitempty"`
	Privileged bool     `json:"privileged,omitempty"`
	Labels     []string `json:"labels,omitempty"` // NAME=value, sorted
	Processes  int      `json:"processes"`
	Memory     int64    `json:"memory"` // bytes that its processes hold, shared pages counted for each
	// CPU is the share of a processor in percent that its processes had since the last look, 200 for two processors.
	CPU   float64 `json:"cpu"`
	Since uint64  `json:"since,omitempty"` // start of its first process, ns since the epoch
}

type runProcess struct {
	PID       int64    `json:"pid"`
	PPID      int64    `json:"ppid"`
	VPID      int64    `json:"vpid,omitempty"`
	Name      string   `json:"name"`
	Exe       string   `json:"exe,omitempty"`
	Args      []string `json:"args,omitempty"`
	UID       uint32   `json:"uid"`
	User      string   `json:"user,omitempty"`
	Start     uint64   `json:"start,omitempty"` // ns since the epoch
	Memory    int64    `json:"memory"`          // resident bytes
	CPU       float64  `json:"cpu"`             // percent of a processor since the last look
	Container string   `json:"container,omitempty"`
}

// maxLive is how many processes are shown.
const maxLive = 5000

// maxArgument bounds an argument of a command line as it is shown, in bytes.
const maxArgument = 1024

func showHost(c *call) error {
	reveal, err := c.reveal()
	if err != nil {
		return err
	}
	now, err := c.s.live.now()
	if err != nil {
		return err
	}
	return c.reply(now, reveal)
}

// now returns what runs. It is shared and must not be changed.
func (l *live) now() (*hostNow, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last != nil && time.Since(l.read) < time.Second {
		return l.last, nil
	}
	l.reader.Refresh()
	pids, err := l.reader.PIDs()
	if err != nil {
		return nil, err
	}
	out := &hostNow{Time: time.Now(), Host: l.reader.Machine().Hostname, Containers: []runContainer{}, Processes: []runProcess{}}
	by, used := map[string]*runContainer{}, map[int64]uint64{}
	for _, pid := range pids {
		t, err := l.reader.Thread(pid, pid)
		if err != nil {
			continue // it ended meanwhile
		}
		if len(out.Processes) >= maxLive {
			out.LeftOut++
			continue
		}
		p := l.process(t)
		p.CPU, used[pid] = l.share(pid, out.Time)
		l.count(&p, t, by)
		out.Processes = append(out.Processes, p)
	}
	l.used = used
	for _, c := range by {
		out.Containers = append(out.Containers, *c)
	}
	slices.SortFunc(out.Containers, func(a, b runContainer) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	l.last, l.read = out, time.Now()
	return out, nil
}

// share returns how much of a processor the process had since the last look, in percent, and what it used in all.
func (l *live) share(pid int64, now time.Time) (float64, uint64) {
	u, err := l.reader.Usage(pid, 0)
	if err != nil {
		return 0, 0
	}
	sum := u.User + u.System
	before, ok := l.used[pid]
	if took := now.Sub(l.read); ok && took > 0 && sum >= before {
		return 100 * float64(sum-before) / float64(took), sum
	}
	return 0, sum
}

// process describes a process.
func (l *live) process(t *event.ThreadInfo) runProcess {
	p := runProcess{
		PID: t.PID, PPID: t.PTID, VPID: t.VPID, Name: t.Comm, Exe: t.ExePath, UID: t.UID, User: l.users[t.UID], Start: t.StartTime, Memory: int64(t.VMRSS) << 10,
	}
	if t.Exe != "" {
		for _, a := range append([]string{t.Exe}, t.Args...) {
			p.Args = append(p.Args, strings.ToValidUTF8(a[:min(len(a), maxArgument)], "\ufffd"))
		}
	}
	return p
}

// count counts a process for its container, if it runs in one.
func (l *live) count(p *runProcess, t *event.ThreadInfo, by map[string]*runContainer) {
	id, _, typ, ok := host.ContainerFromCgroups(strings.Join(t.Cgroups, "\x00"))
	if !ok {
		return
	}
	p.Container = id
	c := by[id]
	if c == nil {
		c = l.container(id, typ)
		by[id] = c
	}
	c.Processes++
	c.Memory += p.Memory
	c.CPU += p.CPU
	if c.Since == 0 || p.Start != 0 && p.Start < c.Since {
		c.Since = p.Start
	}
}

func (l *live) container(id string, typ host.ContainerType) *runContainer {
	c := &runContainer{ID: id, Runtime: typ.String()}
	if l.containers == nil {
		return c
	}
	f := l.containers(id, typ)
	if f == nil {
		return c
	}
	c.Name, c.Image, c.IP, c.Privileged = f.Name, f.Image, f.IP, f.Privileged
	for k, v := range f.Labels {
		c.Labels = append(c.Labels, k+"="+v)
	}
	slices.Sort(c.Labels)
	return c
}

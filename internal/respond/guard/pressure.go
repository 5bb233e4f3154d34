package guard

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/event"
	"rollcage/internal/respond/alert"
)

// Budget is what guard may cost the host.
type Budget struct {
	// Memory is in bytes, 0 for no bound. The runtime of Go collects harder as it comes near.
	Memory int64
	// CPUs is how many CPUs may be busy with it, 0 for no bound: 0.5 is half of one.
	CPUs float64
}

// ShedRule is the name of the alert that less is looked at, or all again.
const ShedRule = "Rollcage internal: load is shed"

// The steps of shedding. The life of processes, credentials and descriptors is never shed. First goes what is only evidence, as far as
// the rings carry as much anyway; then what costs guard most; then the rest of the evidence, which costs the tasks of the host.
const (
	shedNothing = iota
	shedDetail  // the black box has a few bytes of each read and write
	shedIO      // reads and writes are not judged
	shedData    // the black box has them without data
	shedBox     // nor anything else
)

// detailBytes is how much data of a call the black box keeps under pressure: as much as events of the rings have, so that one is made for both.
const detailBytes = 80

var shedText = [...]string{
	"everything is looked at",
	"the black box has 80 bytes at most of each read and write",
	"reads and writes are not judged; the black box still has them, with 80 bytes at most",
	"reads and writes are not judged; the black box has them without data",
	"reads and writes are not judged, and the black box is off",
}

// How pressure is found out.
const (
	pressureEvery = 2 * time.Second
	pressureUp    = 3                // looks in a row that are over the budget
	pressureDown  = 15               // that are well below it
	pressureEase  = 0.7              // of the budget
	pressureFirst = 10 * time.Second // after the start, which costs more, nothing is shed
)

// pressure sheds load when guard costs more than it may, or loses events.
type pressure struct {
	g      *Guard
	budget Budget
	level  atomic.Int32
	since  atomic.Int64
	usage  atomic.Pointer[Usage]

	over, under int
	lost        uint64
	read        func() Usage // replaced by tests
}

// Usage is what guard costs.
type Usage struct {
	Memory int64   `json:"memory"` // resident, bytes
	CPUs   float64 `json:"cpus"`   // busy, of the last seconds
}

func newPressure(g *Guard, b Budget) *pressure {
	p := &pressure{g: g, budget: b, read: usageReader()}
	p.usage.Store(&Usage{})
	if b.Memory > 0 {
		// The maps of the kernel's rings and the binary count as resident, too; the runtime does not know them.
		debug.SetMemoryLimit(b.Memory * 8 / 10)
	}
	return p
}

// usageReader returns a function that tells the cost since it was called last.
func usageReader() func() Usage {
	var at time.Time
	var cpu time.Duration
	return func() Usage {
		now, used := time.Now(), cpuTime()
		u := Usage{Memory: residentBytes()}
		if !at.IsZero() {
			u.CPUs = float64(used-cpu) / float64(max(1, now.Sub(at)))
		}
		at, cpu = now, used
		return u
	}
}

func cpuTime() time.Duration {
	var ru unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &ru) != nil {
		return 0
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// residentBytes returns the memory of this process that is not shared with
// files: the rings of the kernel are of fixed size and counted apart.
func residentBytes() int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64)
			return kb << 10
		}
	}
	return 0
}

func (p *pressure) run(ctx context.Context) {
	tick := time.NewTicker(pressureEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.look()
		}
	}
}

// look compares the cost with the budget, and sheds or takes up again.
func (p *pressure) look() {
	u := p.read()
	p.usage.Store(&u)
	s := p.g.opts.Source.Stats()
	lost := s.Dropped - p.lost
	p.lost = s.Dropped
	if time.Since(p.g.started) < pressureFirst {
		return
	}
	why := p.why(u, lost)
	if why != "" {
		p.over, p.under = p.over+1, 0
	} else if p.easy(u) {
		p.over, p.under = 0, p.under+1
	} else {
		p.over, p.under = 0, 0
	}
	switch level := p.level.Load(); {
	case p.over >= pressureUp && level < p.last():
		p.over = 0
		p.set(p.next(level, 1), why)
	case p.under >= pressureDown && level > shedNothing:
		p.under = 0
		p.set(p.next(level, -1), "there is room again")
	}
}

// last returns the last step that there is.
func (p *pressure) last() int32 {
	if p.g.opts.Box == nil {
		return shedIO
	}
	return shedBox
}

// next returns the step after a level. Without a black box there is one step.
func (p *pressure) next(level, by int32) int32 {
	if p.g.opts.Box == nil {
		by *= shedIO
	}
	return level + by
}

// why says what is over the budget, "" if nothing is.
func (p *pressure) why(u Usage, lost uint64) string {
	switch {
	case p.budget.CPUs > 0 && u.CPUs > p.budget.CPUs:
		return fmt.Sprintf("%.2f CPUs are busy with Rollcage, of %.2f", u.CPUs, p.budget.CPUs)
	case p.budget.Memory > 0 && u.Memory > p.budget.Memory:
		return fmt.Sprintf("Rollcage has %d MB of memory, of %d", u.Memory>>20, p.budget.Memory>>20)
	case lost > 0:
		return fmt.Sprintf("%d events were lost", lost)
	}
	return ""
}

func (p *pressure) easy(u Usage) bool {
	return (p.budget.CPUs <= 0 || u.CPUs < p.budget.CPUs*pressureEase) &&
		(p.budget.Memory <= 0 || float64(u.Memory) < float64(p.budget.Memory)*pressureEase)
}

// set sheds as the level says.
func (p *pressure) set(level int32, why string) {
	var out *event.Interest
	if level >= shedIO {
		out = &event.Interest{}
		out.AddSyscalls(event.SyscallSet("io")...)
		for _, name := range event.SyscallSet("io") {
			if s := event.SyscallByName(name); s != nil {
				for _, t := range s.Events {
					out.Types.Add(t)
				}
			}
		}
	}
	if err := p.g.agent.LeaveOut(out); err != nil {
		p.g.log.Error("load cannot be shed", "error", err)
		return
	}
	if err := p.g.box.shed(level); err != nil {
		p.g.log.Error("the black box cannot be cut or switched as it should", "error", err)
	}
	before := p.level.Swap(level)
	p.since.Store(time.Now().UnixNano())
	severity, text := rule.Warning, "Load is shed"
	if level < before {
		severity, text = rule.Notice, "Less load is shed"
	}
	p.g.log.Warn("load", "level", level, "now", shedText[level], "why", why)
	p.g.agent.Send(alert.Internal(time.Now(), ShedRule, severity, fmt.Sprintf("%s, as %s: %s", text, why, shedText[level]),
		map[string]string{"level": strconv.Itoa(int(level)), "why": why, "now": shedText[level]}))
}

// shed returns what is not looked at now, "" if there is nothing.
func (g *Guard) shed() string {
	if level := g.pressure.level.Load(); level > shedNothing {
		return shedText[level]
	}
	return ""
}

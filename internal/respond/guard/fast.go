package guard

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
	"rollcage/internal/observe/probe"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/policy"
	"rollcage/internal/respond/scene"
)

// Killer is a kernel that answers acts by itself. [probe.Probe] is one.
type Killer interface {
	SetKills([]probe.Kill) error
}

// fast keeps up what the kernel kills by itself: for each policy that wants it, in the cgroups of the containers that are in its
// scope, may be acted on, and are known by name.
//
// A cgroup is one that a thread of the container was seen in, so that what is nested in the container and another one
// to rules is another one to the kernel as well. Where the kernel does nothing, user space acts as ever.
type fast struct {
	g *Guard

	mu     sync.Mutex
	killed map[int64]*kernelKill // by thread
	set    bool                  // the kernel has kills
	lastID int

	watching atomic.Int32 // how many in killed
}

// kernelKill is what the kernel did at an event.
type kernelKill struct {
	scene.Killed
	alerted bool // a rule matched the event
}

// SilentKillRule is the name of the alert that the kernel killed a process for an act that rules did not see so: a kill must never go untold.
const SilentKillRule = "Rollcage internal: process killed without an alert"

func newFast(g *Guard) *fast { return &fast{g: g, killed: map[int64]*kernelKill{}} }

// seen is told of each event.
func (f *fast) seen(he *host.Event) {
	if he.Type() == event.PROCEXIT_1_E && f.watching.Load() > 0 {
		f.ended(he)
	}
}

// told is called with an event for which the kernel sent a signal, before it is judged.
func (f *fast) told(ev *event.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.killed) >= 1024 {
		clear(f.killed) // ends that were never seen
	}
	f.killed[ev.TID()] = &kernelKill{Killed: scene.Killed{Act: ev.Time(), Ended: make(chan struct{})}}
	f.watching.Store(int32(len(f.killed)))
}

// ended notes the end of a process that the kernel killed.
func (f *fast) ended(he *host.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if k := f.killed[he.TID()]; k != nil && he.Time() >= k.Act {
		k.After = time.Duration(he.Time() - k.Act)
		close(k.Ended)
		delete(f.killed, he.TID())
		f.watching.Store(int32(len(f.killed)))
		if !k.alerted {
			f.silent(he)
		}
	}
}

func (f *fast) silent(he *host.Event) {
	name, container := "", ""
	if he.Thread != nil {
		name = he.Thread.Comm
		if c := he.Thread.Container; c != nil {
			container = strings.TrimSpace(c.Name + " " + c.ID)
		}
	}
	f.g.intake.Send(alert.Internal(time.Now(), SilentKillRule, rule.Critical,
		fmt.Sprintf("The kernel killed process %d (%s) in container %s for an act that a policy names, and no rule matched what was seen of it (docs/policies.md)", he.TID(), name, container),
		map[string]string{"pid": fmt.Sprint(he.TID()), "process": name, "container": container}))
}

// about returns what the kernel did at an event, nil for nothing.
func (f *fast) about(he *host.Event) *scene.Killed {
	if f.watching.Load() == 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if k := f.killed[he.TID()]; k != nil && k.Act == he.Time() {
		k.alerted = true
		return &k.Killed
	}
	return nil
}

// apply tells the kernel what to kill now. Nothing of before is left when it returns.
func (f *fast) apply() {
	if f.g.opts.Killer == nil || !f.g.places.found() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	kills := f.kills()
	if len(kills) == 0 && !f.set {
		return
	}
	if err := f.g.opts.Killer.SetKills(kills); err != nil {
		f.g.log.Error("the kernel does not kill by itself; user space does", "error", err)
		kills = nil
	}
	f.set = len(kills) > 0
}

// kills returns one for each act, with the cgroups of all policies that want it.
func (f *fast) kills() []probe.Kill {
	if f.g.opts.DryRun {
		return nil
	}
	set := f.g.Policies()
	wanted, errs := set.FastKills(f.g.agent.Running())
	for _, err := range errs {
		f.g.log.Error("the kernel does not kill by itself; user space does", "error", err)
	}
	cgroups := map[act][]uint64{}
	for _, w := range wanted {
		in := f.covered(w.Policy)
		for _, a := range actsOf(&w.Acts) {
			cgroups[a] = append(cgroups[a], in...)
		}
	}
	var kills []probe.Kill
	for a, in := range cgroups {
		if len(in) == 0 {
			continue
		}
		f.lastID++
		kills = append(kills, a.kill(f.lastID, in))
	}
	return kills
}

// act is one thing that the kernel answers; of what is of no use for it the zero value.
type act struct {
	typ       event.Type
	exe, comm string
	opened    probe.Opened
	connected probe.Connected
}

func actsOf(a *policy.Acts) (acts []act) {
	for _, t := range a.Types {
		for _, exe := range a.Exes {
			acts = append(acts, act{typ: t, exe: exe})
		}
		for _, name := range a.Names {
			acts = append(acts, act{typ: t, comm: name})
		}
		for _, name := range a.Files {
			acts = append(acts, act{typ: t, opened: probe.Opened{Name: name, Reads: a.Reads, Writes: a.Writes}})
		}
		for _, name := range a.Below {
			acts = append(acts, act{typ: t, opened: probe.Opened{Name: name, Below: true, Reads: a.Reads, Writes: a.Writes}})
		}
		ports := a.Ports
		if len(ports) == 0 {
			ports = []uint16{0}
		}
		for _, net := range a.Nets {
			for _, port := range ports {
				acts = append(acts, act{typ: t, connected: probe.Connected{Net: net, Port: port, Done: a.Done}})
			}
		}
	}
	return acts
}

func (a *act) kill(id int, cgroups []uint64) probe.Kill {
	k := probe.Kill{ID: id, Types: []event.Type{a.typ}, Exe: a.exe, Comm: a.comm, Cgroups: cgroups}
	if a.opened.Name != "" {
		k.Opened = &a.opened
	}
	if a.connected.Net.IsValid() {
		k.Connected = &a.connected
	}
	return k
}

// covered returns the cgroups of containers that a policy is about and that may be acted on.
func (f *fast) covered(p *policy.Policy) (ids []uint64) {
	host := alert.Hostname()
	f.g.places.each(func(id uint64, c *scene.Container) {
		if c.Name != "" && p.Covers(c, host) && f.g.runner.Protected(c, host) == nil {
			ids = append(ids, id)
		}
	})
	return ids
}

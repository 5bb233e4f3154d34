package agent

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"rollcage/internal/observe/host"
	"rollcage/internal/respond/alert"
)

// Fields of alerts that tell what was folded.
const (
	FoldCount = "fold.count" // alerts that the summary stands for, without the one sent before
	FoldSince = "fold.since" // when the first of them happened, ns since the epoch
	FoldLast  = "fold.last"  // when the last of them happened
)

// maxFolds bounds how many kinds of alerts are followed at once; what is more is sent as it comes.
const maxFolds = 4096

// varying are fields that differ between acts that people take for the same.
var varying = map[string]bool{
	"evt.time": true, "evt.time.s": true, "evt.time.iso8601": true, "evt.datetime": true, "evt.datetime.s": true,
	"evt.rawtime": true, "evt.rawtime.s": true, "evt.rawtime.ns": true, "evt.reltime": true, "evt.reltime.s": true,
	"evt.reltime.ns": true, "evt.num": true, "evt.cpu": true, "evt.latency": true, "evt.latency.ns": true, "evt.latency.human": true,
	"evt.deltatime": true,
	"proc.pid":      true, "proc.ppid": true, "proc.vpid": true, "proc.pvpid": true, "thread.tid": true, "thread.vtid": true,
	"proc.duration": true, "proc.ppid.duration": true, "proc.pid.ts": true, "proc.ppid.ts": true, "fd.num": true,
	"fd.cport": true, "fd.lport": true, "thread.cputime": true, "thread.totexectime": true,
}

// folder holds back alerts that are like one that was sent a short time ago,
// and says how many there were. Alerts are alike that have the same rule,
// container, root of the process tree and values of all fields but those in
// varying. The first is sent at once; what is another rule's is never held back by it.
// It is used by Run's goroutine alone.
type folder struct {
	window time.Duration
	byKey  map[string]*fold
	order  []*fold // by end of the window
	key    []byte
	folded atomic.Uint64
}

// fold is a kind of alerts.
type fold struct {
	key         string
	first       *alert.Alert // that was sent
	until       time.Time
	count       uint64
	since, last time.Time
}

func newFolder(window time.Duration) *folder {
	return &folder{window: window, byKey: map[string]*fold{}}
}

// hold reports whether the alert is held back.
func (f *folder) hold(he *host.Event, a *alert.Alert) bool {
	f.key = appendFoldKey(f.key[:0], he, a)
	k := f.byKey[string(f.key)]
	if k == nil {
		if len(f.byKey) < maxFolds {
			k = &fold{key: string(f.key), first: a, until: a.Time.Add(f.window)}
			f.byKey[k.key] = k
			f.order = append(f.order, k)
		}
		return false
	}
	if k.count == 0 {
		k.since = a.Time
	}
	k.count++
	k.last = a.Time
	f.folded.Add(1)
	return true
}

// due sends summaries of the windows that ended before now. A kind of which
// more came is followed for another window.
func (f *folder) due(now time.Time, send func(*alert.Alert)) {
	for len(f.order) > 0 && !now.Before(f.order[0].until) {
		k := f.order[0]
		f.order[0] = nil
		f.order = f.order[1:]
		if k.count == 0 {
			delete(f.byKey, k.key)
			continue
		}
		send(k.summary(f.window))
		k.count, k.until = 0, now.Add(f.window)
		f.order = append(f.order, k)
	}
}

// flush sends the summaries of all that was held back.
func (f *folder) flush(send func(*alert.Alert)) {
	for _, k := range f.order {
		if k.count > 0 {
			send(k.summary(f.window))
		}
	}
	f.byKey, f.order = map[string]*fold{}, nil
}

func (k *fold) summary(window time.Duration) *alert.Alert {
	a := *k.first
	a.Time = k.last
	a.Message = fmt.Sprintf("%d more like this in the last %v: %s", k.count, window, k.first.Message)
	number := func(key string, n int64) alert.Field {
		return alert.Field{Key: key, JSON: strconv.AppendInt(nil, n, 10)}
	}
	a.Fields = append(slices.Clone(k.first.Fields),
		number(FoldCount, int64(k.count)), number(FoldSince, k.since.UnixNano()), number(FoldLast, k.last.UnixNano()))
	return &a
}

// appendFoldKey appends what alike alerts have in common.
func appendFoldKey(b []byte, he *host.Event, a *alert.Alert) []byte {
	b = append(append(b, a.Rule...), 0)
	if root := treeRoot(he.Process()); root != nil {
		b = append(append(b, root.ContainerID()...), 0)
		b = strconv.AppendInt(b, root.PID, 10)
		b = strconv.AppendUint(append(b, 0), root.StartTime, 10)
	}
	for _, f := range a.Fields {
		if varying[f.Key] {
			continue
		}
		v := f.JSON
		if i := bytes.Index(v, []byte("->")); i >= 0 && f.Key == "fd.name" {
			v = v[i:] // without the client's port, which is another each time
		}
		b = append(append(append(b, 0), f.Key...), '=')
		b = append(b, v...)
	}
	return b
}

// treeRoot returns the root of the tree that a process belongs to: its
// furthest ancestor in the same container, and on the host the one that init started.
func treeRoot(p *host.Thread) *host.Thread {
	if p == nil {
		return nil
	}
	for q := p.Parent; q != nil && q.PID != 1 && q.Container == p.Container; q = p.Parent {
		p = q
	}
	return p
}

package action

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rollcage/internal/respond/scene"
)

// Lineage knows which process started which, whoever is the parent by now.
type Lineage interface {
	// Descendants returns the processes that live and were started by a process, or by what it started, with
	// the process itself if it lives; none if it is not known. A start of 0 is the process that lives.
	Descendants(scene.Key) []scene.Key
	// Entry returns the process by which one came into its container: the container's first, or one that was
	// brought in from outside, as by "docker exec". It may have ended. False if that is not known for sure.
	Entry(scene.Key) (scene.Key, bool)
	// Settle waits until what happened before now is known, and reports false if ctx ends before.
	Settle(ctx context.Context) bool
}

// maxTree bounds the processes of a tree, and settleWait is for how long is waited until all of it is known.
const (
	maxTree    = 4096
	settleWait = 3 * time.Second
)

// tree is what is to be killed: the process of a scene and what it started, or what is left of that.
type tree struct {
	what string
	of   scene.Key // whose descendants they are
	main int64     // the first process of the container, if it must live
	// proc is the process itself by its number, 0 if it has ended.
	proc int64
	span *scene.Scene
}

// killTree kills a process with what it started, also what has another parent by now. If the process has
// ended and was brought into its container from outside (docker exec), that means all that came in with it: who
// reads a secret with a program of a moment is still there. What the container itself runs is not killed
// for a process that has ended.
func (r *Runner) killTree(q *Request) (plan, error) {
	t, err := r.findTree(q.Scene)
	if err != nil {
		return plan{}, err
	}
	got := "kill " + t.what
	return plan{what: got, got: &got, act: func(ctx context.Context) (*Undo, error) {
		t, err := r.findTree(q.Scene)
		if err != nil {
			return nil, err
		}
		names, err := r.endTree(ctx, t)
		got = fmt.Sprintf("kill %s: ended %s", t.what, names)
		if err != nil {
			err = fmt.Errorf("%s: %w", got, err)
		}
		return nil, err
	}}, nil
}

// findTree says what is to be killed about a scene.
func (r *Runner) findTree(sc *scene.Scene) (*tree, error) {
	p := sc.Process()
	h, err := r.identify(sc)
	if err == nil {
		defer h.close()
		t := &tree{what: fmt.Sprintf("process %d (%s) and its descendants", h.pid, h.comm), of: p.Key(), proc: h.pid, span: sc}
		if l := r.opts.Lineage; l != nil && len(l.Descendants(t.of)) == 0 {
			t.of = scene.Key{PID: h.pid} // as it is known since a restart
		}
		return t, nil
	}
	if !errors.Is(err, ErrGone) || r.opts.Lineage == nil || sc.Boot <= 0 {
		return nil, err
	}
	t := &tree{what: fmt.Sprintf("what process %d (%s), which has ended, started", p.PID, p.Name), of: p.Key(), span: sc}
	if sc.Container != nil {
		main, known := r.mainOf(sc.Container)
		if entry, ok := r.entryOf(sc, main); known && ok {
			t.what = fmt.Sprintf("what came into the container with process %d, from which process %d (%s), which has ended, comes", entry.PID, p.PID, p.Name)
			t.of, t.main = entry, main
		}
	}
	for _, k := range r.opts.Lineage.Descendants(t.of) {
		if h, err := r.pinKey(t, k); err == nil {
			h.close()
			return t, nil
		} else if !errors.Is(err, ErrGone) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w, and nothing that it started lives%s", err, r.remains(sc, "it belongs to what the container itself runs: pause or kill the container if it must not go on"))
}

// remains names the nearest ancestor in the container that lives, and what could be done about it.
func (r *Runner) remains(sc *scene.Scene, could string) string {
	for i := 1; i < len(sc.Processes) && sc.Container != nil; i++ {
		p := &sc.Processes[i]
		if s, err := readStat(p.PID); p.Container == sc.Container.ID && err == nil && s.start <= sc.Boot && s.state != 'Z' {
			return fmt.Sprintf("; process %d (%s), from which it comes, lives (%s)", p.PID, s.comm, could)
		}
	}
	return ""
}

// entryOf returns the process that was brought into a container from outside and from which the process of the scene
// comes. False if that is the container's own, or not known.
func (r *Runner) entryOf(sc *scene.Scene, main int64) (scene.Key, bool) {
	own, ok := r.opts.Lineage.Entry(scene.Key{PID: main})
	if !ok {
		return scene.Key{}, false
	}
	for i := range sc.Processes {
		if sc.Processes[i].Container != sc.Container.ID {
			break
		}
		if e, ok := r.opts.Lineage.Entry(sc.Processes[i].Key()); ok {
			return e, e != own && e.PID != main
		}
	}
	return scene.Key{}, false
}

// mainOf returns the first process of a container: the oldest of those whose parent is outside of it.
func (r *Runner) mainOf(c *scene.Container) (main int64, known bool) {
	pids, _ := pidsOf(c)
	var oldest int64
	for _, pid := range pids {
		s, err := readStat(pid)
		if err != nil || slices.Contains(pids, s.ppid) {
			continue
		}
		if main == 0 || s.start < oldest || s.start == oldest && pid < main {
			main, oldest = pid, s.start
		}
	}
	return main, main != 0
}

// startSlack is by how much the start of a process may be other than was recorded: that is when the process first ran.
const startSlack = int64(2 * time.Second)

// pinKey pins a process that lineage names. It must be that one, in the container of the tree, and not its first.
func (r *Runner) pinKey(t *tree, k scene.Key) (*handle, error) {
	h, err := pin(k.PID)
	if err != nil {
		return nil, err
	}
	start := t.span.Boot - (t.span.Time.UnixNano() - int64(k.Start))
	switch err = r.checkProcess(h.pid, h.stat, h.container); {
	case err != nil:
	case k.Start != 0 && !t.span.Time.IsZero() && (h.start > start+startSlack || h.start < start-5*startSlack):
		err = ErrGone // or another one has its number
	case h.container != t.span.ContainerID():
		err = refuse("process %d (%s) is in another container or on the host by now", h.pid, h.comm)
	case t.main != 0 && h.pid == t.main:
		err = refuse("process %d (%s) is the first one of the container", h.pid, h.comm)
	}
	if err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// hunt is a tree whose processes are pinned and stopped, so that none can start others meanwhile.
type hunt struct {
	r       *Runner
	tree    *tree
	caught  map[int64]*handle
	refused map[int64]bool
	errs    []error
}

// endTree stops all processes of a tree, from the top, until there are no more, and kills them.
func (r *Runner) endTree(ctx context.Context, t *tree) (names string, err error) {
	h := &hunt{r: r, tree: t, caught: map[int64]*handle{}, refused: map[int64]bool{}}
	defer func() {
		for _, p := range h.caught {
			p.close()
		}
	}()
	if t.proc != 0 {
		p, err := r.identify(t.span)
		if err != nil {
			return "nothing", err
		}
		h.stop(p)
	}
	h.all(ctx)
	if r.opts.Lineage != nil {
		// What was started before the stop may be known only now.
		wait, cancel := context.WithTimeout(ctx, settleWait)
		if !r.opts.Lineage.Settle(wait) {
			h.errs = append(h.errs, errors.New("events come late, so something that they started may have got away"))
		}
		cancel()
		h.all(ctx)
	}
	for _, p := range h.caught {
		if err := p.signal(unix.SIGKILL); err != nil && !errors.Is(err, ErrGone) {
			h.errs = append(h.errs, fmt.Errorf("process %d: %w", p.pid, err))
		}
	}
	for _, p := range h.caught {
		h.errs = append(h.errs, p.ended(ctx))
	}
	if len(h.caught) >= maxTree {
		h.errs = append(h.errs, fmt.Errorf("there are more than %d", maxTree))
	}
	return h.names(), errors.Join(h.errs...)
}

func (h *hunt) stop(p *handle) {
	h.caught[p.pid] = p
	if err := p.signal(unix.SIGSTOP); err != nil && !errors.Is(err, ErrGone) {
		h.errs = append(h.errs, fmt.Errorf("process %d: %w", p.pid, err))
	}
}

// all stops what belongs to the tree until there is nothing more.
func (h *hunt) all(ctx context.Context) {
	for again := true; again && ctx.Err() == nil && len(h.caught) < maxTree; {
		again = false
		if h.r.opts.Lineage != nil {
			for _, k := range h.r.opts.Lineage.Descendants(h.tree.of) {
				again = h.take(k.PID, func() (*handle, error) { return h.r.pinKey(h.tree, k) }) || again
			}
		}
		for _, pid := range childrenOf(h.caught, h.refused) {
			again = h.take(pid, func() (*handle, error) { return h.r.pinChild(pid, h.caught) }) || again
		}
	}
}

// take stops a process that is not yet, and reports whether it did.
func (h *hunt) take(pid int64, pin func() (*handle, error)) bool {
	if h.caught[pid] != nil || h.refused[pid] || len(h.caught) >= maxTree {
		return false
	}
	p, err := pin()
	if err != nil {
		h.refused[pid] = true
		if !errors.Is(err, ErrGone) {
			h.errs = append(h.errs, err)
		}
		return false
	}
	h.stop(p)
	return true
}

// names lists what was killed in a few words.
func (h *hunt) names() string {
	if len(h.caught) == 0 {
		return "nothing"
	}
	var list []string
	for pid, p := range h.caught {
		list = append(list, fmt.Sprintf("%d (%s)", pid, p.comm))
	}
	slices.Sort(list)
	if more := len(list) - 16; more > 0 {
		list = append(list[:16], fmt.Sprintf("%d more", more))
	}
	return strings.Join(list, ", ")
}

// pinChild pins a process whose parent is in the tree.
func (r *Runner) pinChild(pid int64, caught map[int64]*handle) (*handle, error) {
	h, err := pin(pid)
	if err != nil {
		return nil, err
	}
	parent := caught[h.ppid]
	switch err = r.checkProcess(pid, h.stat, h.container); {
	case err != nil:
	case parent == nil:
		err = ErrGone // it has another parent by now
	case parent.container != h.container:
		err = refuse("process %d is in another container than its parent", pid)
	}
	if err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// childrenOf returns the processes outside of the tree whose parent is in it.
func childrenOf(caught map[int64]*handle, without map[int64]bool) (pids []int64) {
	entries, _ := filepath.Glob("/proc/[0-9]*")
	for _, e := range entries {
		pid, err := strconv.ParseInt(filepath.Base(e), 10, 64)
		if err != nil || caught[pid] != nil || without[pid] {
			continue
		}
		if s, err := readStat(pid); err == nil && caught[s.ppid] != nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

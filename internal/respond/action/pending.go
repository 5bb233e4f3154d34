package action

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"rollcage/internal/observe/event"
	"rollcage/internal/respond/disk"
	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/policy"
	"rollcage/internal/respond/scene"
)

// Undo is an action that is in force and can be taken back.
type Undo struct {
	ID        string           `json:"id"` // of the action
	Incident  string           `json:"incident"`
	Kind      policy.Kind      `json:"kind"`
	Container *scene.Container `json:"container"`
	Until     time.Time        `json:"until,omitzero"` // it is taken back then, never by itself if zero
	// Networks are the inodes of the network namespaces that are cut off.
	Networks []uint64 `json:"networks,omitempty"`
	// Also are later actions that did the same again, the newest last, and at most maxAlso: there is one
	// thing to take back, by any of the IDs.
	Also []string `json:"also,omitempty"`
	// Tries is how often it could not be taken back since its time was over, and Error why the last time.
	Tries int    `json:"tries,omitempty"`
	Error string `json:"error,omitempty"`
	due   due
}

const maxAlso = 16

// hasID reports whether an action is the one that is in force, or did the same again.
func (u *Undo) hasID(id string) bool { return u.ID == id || slices.Contains(u.Also, id) }

// again makes one entry of two for the same thing. It lasts as long as the longer of both.
func (u *Undo) again(later Undo) {
	u.Also = append(u.Also, later.ID)
	u.Also = u.Also[max(0, len(u.Also)-maxAlso):]
	if !u.Until.IsZero() && (later.Until.IsZero() || later.Until.After(u.Until)) {
		u.Until, u.due = later.Until, later.due
	}
	for _, n := range later.Networks {
		if !slices.Contains(u.Networks, n) {
			u.Networks = append(u.Networks, n)
		}
	}
	u.Tries, u.Error = 0, ""
}

// reverse are the actions that take others back.
var reverse = map[policy.Kind]policy.Kind{policy.Pause: policy.Unpause, policy.Isolate: policy.Release}

// pending remembers what is in force, in a file.
type pending struct {
	path   string
	mu     sync.Mutex
	byID   map[string]Undo
	timers map[string]*time.Timer
	closed bool
	aside  error // why the file of before could not be read, and where it is now
}

// openPending reads the file. One that cannot be read is set aside: what it says is lost
// to us, which is told, but must not keep everything else from running.
func openPending(path string) (*pending, error) {
	p := &pending{path: path, byID: map[string]Undo{}, timers: map[string]*time.Timer{}}
	if path == "" {
		return p, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	var list []lasting
	if err == nil {
		err = json.Unmarshal(b, &list)
	}
	if err != nil {
		aside, rerr := disk.SetAside(path)
		if rerr != nil {
			return nil, fmt.Errorf("%s: %w; it cannot be set aside either: %w", path, err, rerr)
		}
		p.aside = fmt.Errorf("%s cannot be read and is now %s: %w", path, aside, err)
		return p, nil
	}
	for _, l := range list {
		u := l.Undo
		u.due = l.due
		if reverse[u.Kind] != "" && u.Container != nil {
			p.put(u)
		}
	}
	return p, nil
}

// has reports whether an action of the kind is in force for a container.
func (p *pending) has(k policy.Kind, c *scene.Container) bool {
	return slices.ContainsFunc(p.list(), func(u Undo) bool { return u.Kind == k && u.Container.ID == c.ID })
}

// networks returns the namespaces that are cut off for a container.
func (p *pending) networks(c *scene.Container) (inodes []uint64) {
	for _, u := range p.list() {
		if u.Kind == policy.Isolate && u.Container.ID == c.ID {
			inodes = append(inodes, u.Networks...)
		}
	}
	return inodes
}

// put adds what is in force, or has the one that does the same already last as long.
// It returns what is in force now. It is called with mu held.
func (p *pending) put(u Undo) Undo {
	for id, old := range p.byID {
		if old.Kind == u.Kind && old.Container.ID == u.Container.ID && id != u.ID {
			old.again(u)
			u = old
			break
		}
	}
	p.byID[u.ID] = u
	return u
}

// find returns what is in force by the ID of any action that did it.
func (p *pending) find(id string) (u Undo, ids []string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range p.byID {
		if u.hasID(id) {
			return u, nil, true
		}
		ids = append(ids, u.ID)
	}
	return u, ids, false
}

// failed notes that something could not be taken back, and how often that was so.
func (p *pending) failed(id string, err error) (tries int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, ok := p.byID[id]
	if !ok {
		return 0
	}
	u.Tries++
	u.Error = err.Error()
	p.byID[id] = u // the file need not say so: after a restart it is tried at once
	return u.Tries
}

// settled forgets what an action took back that named no other.
func (p *pending) settled(reversed policy.Kind, c *scene.Container) error {
	p.mu.Lock()
	var ids []string
	for id, u := range p.byID {
		if reverse[u.Kind] == reversed && c != nil && u.Container.ID == c.ID {
			ids = append(ids, id)
		}
	}
	p.mu.Unlock()
	var errs []error
	for _, id := range ids {
		errs = append(errs, p.remove(id))
	}
	return errors.Join(errs...)
}

func (p *pending) list() []Undo {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Undo, 0, len(p.byID))
	for _, u := range p.byID {
		out = append(out, u)
	}
	return out
}

// add remembers what is in force and returns it as it is remembered.
func (p *pending) add(u Undo) (Undo, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u = p.put(u)
	return u, p.save()
}

func (p *pending) remove(id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.timers[id]; t != nil {
		t.Stop()
		delete(p.timers, id)
	}
	delete(p.byID, id)
	return p.save()
}

// save is called with mu held.
func (p *pending) save() error {
	if p.path == "" {
		return nil
	}
	list := make([]lasting, 0, len(p.byID))
	for _, u := range p.byID {
		list = append(list, lasting{u, u.due})
	}
	b, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	return disk.Replace(p.path, append(b, '\n'))
}

func (p *pending) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, t := range p.timers {
		t.Stop()
	}
}

// The pauses between tries to take something back.
const (
	firstUndoRetry = 5 * time.Second
	lastUndoRetry  = 10 * time.Minute
)

// schedule sees to it that an action is taken back in time.
func (r *Runner) schedule(u Undo) {
	if u.Until.IsZero() {
		r.pending.unschedule(u.ID)
		return
	}
	r.tryAfter(u.left(), u.ID)
}

func (p *pending) unschedule(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.timers[id]; t != nil {
		t.Stop()
		delete(p.timers, id)
	}
}

// tryAfter takes an action back after a time, and tries again, ever later, for as long as
// that fails: what was cut off for ten minutes must not stay so until somebody looks.
func (r *Runner) tryAfter(wait time.Duration, id string) {
	p := r.pending
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	if t := p.timers[id]; t != nil {
		t.Stop()
	}
	p.timers[id] = time.AfterFunc(wait, func() {
		if !r.enter() {
			return
		}
		defer r.running.Done()
		u, _, ok := p.find(id)
		if !ok || u.Until.IsZero() || u.left() > time.Second { // taken back or made longer meanwhile
			return
		}
		_, err := r.Undo(context.Background(), id, nil)
		if err == nil || r.ctx.Err() != nil { // the next runner does it
			return
		}
		tries := p.failed(id, err)
		if tries == 0 {
			return // somebody else did it
		}
		next := min(r.undoRetry<<min(tries-1, 10), lastUndoRetry)
		r.opts.Log.Error("an action cannot be taken back", "action", id, "kind", u.Kind, "tries", tries, "next_in", next, "error", err)
		if r.opts.Overdue != nil {
			u.Tries, u.Error = tries, err.Error()
			r.opts.Overdue(u, next)
		}
		r.tryAfter(next, id)
	})
}

// Aside returns why what an earlier runner left to be undone could not be read and where
// that file is now, nil if all is well.
func (r *Runner) Aside() error { return r.pending.aside }

// InForce returns the actions that can be taken back.
func (r *Runner) InForce() []Undo { return r.pending.list() }

// ErrNotInForce says that there is nothing to take back by that ID.
var ErrNotInForce = errors.New("no such action is in force")

// Undo takes an action back, and returns the ID of the action that did it. who
// is the one who asked, nil if its time is over. That the container is gone is no error.
func (r *Runner) Undo(ctx context.Context, id string, who *evidence.Who) (string, error) {
	u, ids, ok := r.pending.find(id)
	if !ok {
		text := ""
		if best := event.Nearest(id, ids); best != "" {
			text = fmt.Sprintf("; did you mean %q?", best)
		}
		return "", fmt.Errorf("%w: %q%s", ErrNotInForce, id, text)
	}
	undone, err := r.Do(ctx, &Request{
		Action: policy.Action{Kind: reverse[u.Kind]}, Incident: u.Incident, Who: who, Scene: &scene.Scene{Container: u.Container}, undoes: u.ID,
	})
	if err != nil && !errors.Is(err, ErrGone) {
		return undone, err
	}
	return undone, r.pending.remove(u.ID)
}

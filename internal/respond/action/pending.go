package action

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
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
}

func openPending(path string) (*pending, error) {
	p := &pending{path: path, byID: map[string]Undo{}, timers: map[string]*time.Timer{}}
	if path == "" {
		return p, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	var list []Undo
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, u := range list {
		if reverse[u.Kind] != "" && u.Container != nil {
			p.byID[u.ID] = u
		}
	}
	return p, nil
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

func (p *pending) add(u Undo) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.byID[u.ID] = u
	return p.save()
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
	list := make([]Undo, 0, len(p.byID))
	for _, u := range p.byID {
		list = append(list, u)
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

// schedule sees to it that an action is taken back in time.
func (r *Runner) schedule(u Undo) {
	if u.Until.IsZero() {
		return
	}
	p := r.pending
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.timers[u.ID] = time.AfterFunc(max(0, time.Until(u.Until)), func() {
		if _, err := r.Undo(context.Background(), u.ID, nil); err != nil {
			r.opts.Log.Error("an action cannot be taken back", "action", u.ID, "kind", u.Kind, "error", err)
		}
	})
}

// InForce returns the actions that can be taken back.
func (r *Runner) InForce() []Undo { return r.pending.list() }

// Undo takes an action back, and returns the ID of the action that did it. who
// is the one who asked, nil if its time is over. That the container is gone is no error.
func (r *Runner) Undo(ctx context.Context, id string, who *evidence.Who) (string, error) {
	r.pending.mu.Lock()
	u, ok := r.pending.byID[id]
	var ids []string
	for k := range r.pending.byID {
		ids = append(ids, k)
	}
	r.pending.mu.Unlock()
	if !ok {
		text := ""
		if best := event.Nearest(id, ids); best != "" {
			text = fmt.Sprintf("; did you mean %q?", best)
		}
		return "", fmt.Errorf("no action %q is in force%s", id, text)
	}
	undone, err := r.Do(ctx, &Request{
		Action: policy.Action{Kind: reverse[u.Kind]}, Incident: u.Incident, Who: who, Scene: &scene.Scene{Container: u.Container}, undoes: id,
	})
	if err != nil && !errors.Is(err, ErrGone) {
		return undone, err
	}
	return undone, r.pending.remove(id)
}

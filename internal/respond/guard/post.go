package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"

	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/outbox"
)

// post is the outbox of all alerts, and one for each output that gets only
// what policies say.
type post struct {
	dir, notifyDir string
	log            *slog.Logger
	box            *outbox.Box

	mu        sync.RWMutex // of what follows; an output is replaced with mu held
	names     map[string]bool
	all       *outbox.Delivery
	noticed   map[string]*noticed
	everybody []string // names in noticed, sorted
}

// noticed is an output that gets what policies say, with a box of its own, so
// that what it gets is as lasting as the rest.
type noticed struct {
	box      *outbox.Box
	delivery *outbox.Delivery
}

func openPost(dir, notifyDir string, o Outputs, log *slog.Logger) (*post, error) {
	p := &post{dir: dir, notifyDir: notifyDir, log: log, noticed: map[string]*noticed{}}
	var err error
	if p.box, err = outbox.Open(dir, outbox.Options{Log: log}); err != nil {
		return nil, err
	}
	if err := p.begin(o); err != nil {
		return nil, errors.Join(err, p.close(context.Background()))
	}
	return p, nil
}

// begin starts to deliver to the outputs. It is called before others may use p, or with mu held.
func (p *post) begin(o Outputs) (err error) {
	p.names, p.everybody = map[string]bool{}, nil
	for _, n := range o.Names {
		p.names[n] = true
	}
	all := slices.Clone(o.All)
	for i, name := range o.Names { // by which an output goes on where it was, also at another address
		all[i] = outbox.As(name, all[i])
	}
	if p.all, err = outbox.NewDelivery(p.box, all, outbox.DeliveryOptions{Log: p.log}); err != nil {
		return err
	}
	for name, out := range o.Notified {
		n := &noticed{}
		if n.box, err = outbox.Open(filepath.Join(p.notifyDir, name), outbox.Options{MaxBytes: 32 << 20, Log: p.log}); err != nil {
			return err
		}
		p.noticed[name] = n
		p.everybody = append(p.everybody, name)
		if n.delivery, err = outbox.NewDelivery(n.box, []alert.Output{outbox.As(name, out)}, outbox.DeliveryOptions{Log: p.log}); err != nil {
			return err
		}
	}
	sort.Strings(p.everybody)
	p.forget()
	return nil
}

// forget deletes the boxes of outputs that policies cannot name any more.
func (p *post) forget() {
	boxes, _ := filepath.Glob(filepath.Join(p.notifyDir, "*", "lock")) // the pattern is right
	for _, lock := range boxes {
		dir := filepath.Dir(lock)
		if name := filepath.Base(dir); p.noticed[name] == nil {
			p.log.Warn("policies cannot notify an output any more; what waited for it is not sent", "output", name, "error", os.RemoveAll(dir))
		}
	}
}

// end stops to deliver. What waits stays in the boxes.
func (p *post) end(ctx context.Context) error {
	var errs []error
	if p.all != nil {
		errs = append(errs, p.all.Close(ctx))
		p.all = nil
	}
	for name, n := range p.noticed {
		if n.delivery != nil {
			errs = append(errs, n.delivery.Close(ctx))
		}
		if n.box != nil {
			errs = append(errs, n.box.Close())
		}
		delete(p.noticed, name)
	}
	return errors.Join(errs...)
}

// set replaces the outputs. Alerts that come meanwhile are kept and delivered after it.
func (p *post) set(ctx context.Context, o Outputs) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.end(ctx); err != nil {
		p.log.Warn("an output did not end well", "error", err)
	}
	return p.begin(o)
}

func (p *post) close(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(p.end(ctx), p.box.Close())
}

// put keeps an alert for the outputs that get all.
func (p *post) put(a *alert.Alert) error { return p.box.Put(a) }

func (p *post) reopen() {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.all != nil {
		p.all.Reopen()
	}
	for _, n := range p.noticed {
		if n.delivery != nil { // nil after a set that failed
			n.delivery.Reopen()
		}
	}
}

// notify keeps an alert for the outputs that policies name. Those that get every
// alert have it already.
func (p *post) notify(_ context.Context, outputs []string, a *alert.Alert) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if len(outputs) == 0 {
		outputs = p.everybody
	}
	var errs []error
	for _, name := range outputs {
		n := p.noticed[name]
		switch {
		case n != nil:
			errs = append(errs, n.box.Put(a))
		case !p.names[name]:
			errs = append(errs, fmt.Errorf("no output %q is configured", name))
		}
	}
	return errors.Join(errs...)
}

// OutputStatus says how an output is.
type OutputStatus struct {
	Name string `json:"name"`
	// Notify says that it gets only what policies say.
	Notify   bool   `json:"notify,omitempty"`
	Sent     uint64 `json:"sent"`
	Waiting  int    `json:"waiting"`
	Refused  uint64 `json:"refused"` // for good
	Dropped  uint64 `json:"dropped"` // as the outbox was full or a record damaged
	Retrying string `json:"retrying,omitempty"`
}

func (p *post) status() (list []OutputStatus) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	add := func(d *outbox.Delivery, notify bool) {
		if d == nil {
			return
		}
		for _, s := range d.Stats() {
			o := OutputStatus{Name: s.Name, Notify: notify, Sent: s.Sent, Waiting: s.Waiting, Refused: s.Failed, Dropped: s.Dropped}
			if s.Retrying != nil {
				o.Retrying = strings.TrimSpace(s.Retrying.Error())
			}
			list = append(list, o)
		}
	}
	add(p.all, false)
	for _, name := range p.everybody {
		if n := p.noticed[name]; n != nil {
			add(n.delivery, true)
		}
	}
	return list
}

// Stats implements what the metrics ask for.
func (p *post) Stats() (list []alert.OutputStats) {
	for _, o := range p.status() {
		list = append(list, alert.OutputStats{Name: o.Name, Sent: o.Sent, Failed: o.Refused, Dropped: o.Dropped, Waiting: o.Waiting})
	}
	return list
}

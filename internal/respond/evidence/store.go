package evidence

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/disk"
	"rollcage/internal/respond/scene"
)

// Options change how evidence is kept. The zero value is good.
type Options struct {
	// Window is how long after its last alert an incident takes another one, 10 min if 0.
	Window time.Duration
	// MaxAlerts is how many alerts an incident has at most, 10000 if 0; it goes on
	// in another one then.
	MaxAlerts int
	// MaxOpen is how many incidents are open at a time, 256 if 0.
	MaxOpen int
	// SyncEvery is how long a record may be in the kernel only, 200 ms if 0.
	// Actions are on the disk before they run, whatever it says.
	SyncEvery time.Duration
	// MaxAge and MaxBytes bound what Retain keeps: 90 days and 10 GiB if 0, no bound if negative.
	MaxAge   time.Duration
	MaxBytes int64
	// Log is told what goes wrong, slog.Default() if nil.
	Log *slog.Logger
}

// Store writes evidence. One process has it open for writing; others may read
// meanwhile. Its methods may be called by many goroutines.
type Store struct {
	dir   string
	opts  Options
	audit *Audit
	index *index
	lock  *os.File

	followers followers

	mu      sync.Mutex
	open    map[string]*incident
	seen    recent
	anchors map[string]anchor // what the audit log knows
	timer   *time.Timer
	closed  bool

	// Of retention: incidents past MaxAge and since when; when the store was opened; how far the wall
	// clock was set ahead since; and when it was set so far that it is doubted. By a clock that nobody sets.
	overdue         map[string]time.Time
	opened, doubted time.Time
	ahead           time.Duration
}

// ErrClosed is returned after Close.
var ErrClosed = errors.New("the evidence store is closed")

// ErrTooLong is returned for a record that no incident can take, now or later.
var ErrTooLong = errors.New("the record is too long")

// Open opens the store in a folder, which is made if it is missing. Incidents
// that a crash left open are open again, or closed if their time is over.
func Open(dir string, opts Options) (*Store, error) {
	setDefault(&opts.Window, 10*time.Minute)
	setDefault(&opts.MaxAlerts, 10000)
	setDefault(&opts.MaxOpen, 256)
	setDefault(&opts.SyncEvery, 200*time.Millisecond)
	setDefault(&opts.MaxAge, 90*24*time.Hour)
	setDefault(&opts.MaxBytes, 10<<30)
	setDefault(&opts.Log, slog.Default())
	if err := os.MkdirAll(filepath.Join(dir, incidentsDir), 0o700); err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	lock, err := disk.Lock(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("evidence %s: %w", dir, err)
	}
	s := &Store{dir: dir, opts: opts, lock: lock, open: map[string]*incident{}, overdue: map[string]time.Time{}, opened: time.Now()}
	if s.audit, err = OpenAudit(dir); err == nil {
		if err := s.settle(); err != nil {
			return nil, errors.Join(fmt.Errorf("evidence %s: %w", dir, err), s.release())
		}
		if s.index, err = openIndex(dir, opts.Log); err == nil {
			err = s.resume()
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("evidence %s: %w", dir, err), s.release())
	}
	return s, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// release closes what is open.
func (s *Store) release() error {
	var errs []error
	for _, in := range s.open {
		errs = append(errs, in.log.file.Close())
	}
	if s.index != nil {
		errs = append(errs, s.index.close())
	}
	if s.audit != nil {
		errs = append(errs, s.audit.Close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// Audit returns the audit log of the store.
func (s *Store) Audit() *Audit { return s.audit }

// settle puts right what a crash interrupted, and learns from the audit log
// how far the incidents are.
func (s *Store) settle() error {
	if err := errors.Join(s.finishRemovals(), s.finishBeginnings(), finishCaptures(s.dir)); err != nil {
		return err
	}
	log := newReplay()
	if err := log.readFile(s.audit.path()); err != nil {
		s.opts.Log.Error("evidence: the audit log is broken; 'rollcage evidence verify' tells more", "error", err)
	}
	s.anchors = log.anchors
	s.doubt(log)
	return nil
}

// resume opens the incidents that were open.
func (s *Store) resume() error {
	list, err := s.index.list(Filter{})
	if err != nil {
		return err
	}
	for _, sum := range list {
		if !sum.Open {
			continue
		}
		in, err := s.loadIncident(sum.ID)
		if err != nil {
			s.opts.Log.Error("evidence: an incident cannot be continued; 'rollcage evidence verify' tells more", "incident", sum.ID, "error", err)
			continue
		}
		s.open[in.id] = in
	}
	s.finishContinuing()
	s.sweep()
	return nil
}

// Add adds an alert to the incident that it belongs to, or to a new one, and
// returns that. sc is who did it, nil if that is not known. An alert whose ID
// was added before is not added again. The record outlasts the end of the
// process then, and that of the machine soon.
func (s *Store) Add(a *alert.Alert, sc *scene.Scene) (id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return "", ErrClosed
	}
	if id := s.seen.find(a.ID); id != "" {
		return id, nil
	}
	in := s.find(a, sc)
	switch {
	case in == nil:
		in, err = s.begin(newID(a.Time), opening(a, sc))
	case in.sum.Alerts >= s.opts.MaxAlerts:
		in, err = s.goOn(in, a.Time)
	}
	if err != nil {
		return "", fmt.Errorf("evidence: new incident: %w", err)
	}
	if err := in.add(a, sc); err != nil {
		return in.id, fmt.Errorf("evidence: incident %s: %w", in.id, err)
	}
	s.seen.add(a.ID, in.id)
	s.later()
	s.followers.tell(Update{in.id, KindAlert, a})
	return in.id, nil
}

// find returns the open incident that an alert belongs to, nil if there is none.
func (s *Store) find(a *alert.Alert, sc *scene.Scene) *incident {
	var best *incident
	for _, in := range s.open {
		if !in.takes(a, sc, s.opts.Window) {
			continue
		}
		if best == nil || s.better(in, best) {
			best = in
		}
	}
	return best
}

// better reports whether an alert that may belong to either belongs to in.
func (s *Store) better(in, than *incident) bool {
	if full := in.sum.Alerts >= s.opts.MaxAlerts; full != (than.sum.Alerts >= s.opts.MaxAlerts) {
		return !full
	}
	return in.sum.Last.After(than.sum.Last)
}

// begin opens an incident.
func (s *Store) begin(id string, o Opened) (*incident, error) {
	for len(s.open) >= s.opts.MaxOpen {
		oldest := s.oldest()
		if oldest == nil {
			break
		}
		s.end(oldest, Closed{Reason: "too many incidents are open"})
	}
	in, err := createIncident(s.dir, id)
	if err != nil {
		return nil, err
	}
	if err = in.start(o); err == nil {
		err = s.audit.Append(auditOpened, &Entry{Incident: in.id, Records: in.log.seq, Head: in.log.head.String()})
	}
	if err != nil {
		return nil, errors.Join(err, in.log.file.Close(), os.RemoveAll(in.dir))
	}
	s.anchors[in.id] = anchor{in.log.seq, in.log.head.String()}
	// The audit log knows it, so now it gets its name.
	if err := in.settle(s.dir); err != nil {
		return nil, errors.Join(err, in.log.file.Close())
	}
	s.open[in.id] = in
	return in, nil
}

func (s *Store) oldest() (old *incident) {
	for _, in := range s.open {
		if old == nil || in.touched.Before(old.touched) {
			old = in
		}
	}
	return old
}

// later sees to it that what was written is synced in time.
func (s *Store) later() {
	if s.timer != nil || s.closed {
		return
	}
	s.timer = time.AfterFunc(s.opts.SyncEvery, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.timer = nil; s.closed {
			return
		}
		if err := s.sync(); err != nil {
			s.opts.Log.Error("evidence may be lost if the machine stops now", "error", err)
		}
	})
}

// sync brings all records to the disk and anchors them in the audit log. It is called with mu held.
func (s *Store) sync() error {
	var errs []error
	for _, in := range s.open {
		errs = append(errs, s.anchor(in))
	}
	return errors.Join(errs...)
}

// anchor brings the records of an incident to the disk and notes in the audit
// log and the index how far they are.
func (s *Store) anchor(in *incident) error {
	if in.log.seq == in.anchored {
		return nil
	}
	if err := in.log.sync(); err != nil {
		return err
	}
	if err := s.audit.Append(auditAnchor, &Entry{Incident: in.id, Records: in.log.seq, Head: in.log.head.String()}); err != nil {
		return err
	}
	in.anchored = in.log.seq
	s.anchors[in.id] = anchor{in.log.seq, in.log.head.String()}
	in.sum.Size = in.log.size
	if err := s.index.put(in.summary()); err != nil {
		// It is made again from the files.
		s.opts.Log.Warn("evidence: index", "error", err)
	}
	return nil
}

// Sync brings everything that was added to the disk.
func (s *Store) Sync() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	return s.sync()
}

// Begin notes that an action is about to run, in the incident and in the audit
// log. It is on the disk when Begin returns nil; only then may the action run.
func (s *Store) Begin(incident string, act *Action) error {
	return s.record(incident, KindAction, act, auditAction, &Entry{Who: act.Who, Act: act.Kind, Incident: incident, Detail: act.describe()})
}

func (a *Action) describe() string {
	text := a.ID + ": " + a.Target
	if a.Policy != "" {
		text += ", by policy " + a.Policy
	}
	if a.DryRun {
		text += ", dry run"
	}
	return text
}

// End notes what became of an action that Begin was called for.
func (s *Store) End(incident string, out *Outcome) error {
	detail := out.ID + ": done: " + out.Done
	if !out.OK {
		detail = out.ID + ": failed: " + out.Error
	}
	return s.record(incident, KindOutcome, out, auditOutcome, &Entry{Incident: incident, Detail: detail})
}

// Note adds a text to an incident.
func (s *Store) Note(incident string, n *Note) error {
	return s.record(incident, KindNote, n, auditChange, &Entry{Who: n.Who, Act: "note", Incident: incident})
}

// record adds a record to an incident, open or not, and an entry to the audit log, and brings both to the disk.
func (s *Store) record(id, kind string, data any, auditKind string, e *Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.recordLocked(id, kind, data, auditKind, e)
}

func (s *Store) recordLocked(id, kind string, data any, auditKind string, e *Entry) error {
	if s.closed {
		return ErrClosed
	}
	in := s.open[id]
	if in == nil {
		var err error
		if in, err = s.loadIncident(id); err != nil {
			return fmt.Errorf("evidence: incident %s: %w", id, err)
		}
		defer in.log.file.Close()
	}
	if err := in.append(kind, data); err != nil {
		return fmt.Errorf("evidence: incident %s: %w", id, err)
	}
	if auditKind != "" {
		if err := s.audit.Append(auditKind, e); err != nil {
			return err
		}
	}
	s.followers.tell(Update{id, kind, data})
	return s.anchor(in)
}

// Incident returns the summary of an incident, with what is not synced yet.
func (s *Store) Incident(id string) (*Summary, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in := s.open[id]; in != nil {
		return in.summary(), nil
	}
	return ReadIncident(s.dir, id, nil)
}

// List returns the incidents that fit, the newest first.
func (s *Store) List(f Filter) ([]*Summary, error) {
	if err := s.Sync(); err != nil {
		return nil, err
	}
	return s.index.list(f)
}

// end closes an incident. It is called with mu held.
func (s *Store) end(in *incident, c Closed) {
	err := in.append(KindClosed, &c)
	if err == nil {
		err = s.anchor(in)
	}
	if err != nil {
		s.opts.Log.Error("evidence: an incident cannot be closed", "incident", in.id, "error", err)
	}
	s.followers.tell(Update{in.id, KindClosed, &c})
	in.log.file.Close() // synced
	delete(s.open, in.id)
}

// Close brings everything to the disk and closes the store. Open incidents go on next time.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	err := s.sync()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	return errors.Join(err, s.release())
}

// recent remembers the IDs of the last alerts and their incidents.
type recent struct {
	byID map[string]string
	ring []string
	next int
}

const maxRecent = 10000

func (r *recent) find(id string) string { return r.byID[id] }

func (r *recent) add(id, incident string) {
	if id == "" {
		return
	}
	if r.byID == nil {
		r.byID, r.ring = map[string]string{}, make([]string, maxRecent)
	}
	delete(r.byID, r.ring[r.next])
	r.ring[r.next] = id
	r.next = (r.next + 1) % maxRecent
	r.byID[id] = incident
}

// loadIncident opens an incident to add to it.
func (s *Store) loadIncident(id string) (*incident, error) {
	if !idPattern.MatchString(id) {
		return nil, fmt.Errorf("%q is not the name of an incident", id)
	}
	in := &incident{id: id, dir: incidentDir(s.dir, id), sum: &Summary{}, known: map[scene.Key]uint64{}, actors: map[scene.Key]bool{}, touched: time.Now()}
	if _, err := os.Stat(filepath.Join(in.dir, recordsName)); err != nil {
		return nil, err
	}
	known, sound := s.anchors[id], false
	log, err := openChain(filepath.Join(in.dir, recordsName), incidentSeed(id), func(r *Record, hash digest) error {
		if r.Seq == known.Records {
			sound = hash.String() == known.Head
		}
		if r.Kind == KindAlert {
			var a struct{ Alert struct{ ID string } }
			if json.Unmarshal(r.Data, &a) == nil {
				s.seen.add(a.Alert.ID, id)
			}
		}
		return in.replay(r)
	})
	if err != nil {
		return nil, err
	}
	in.log = log
	if !sound {
		return nil, errors.Join(errors.New("its records are not those that the audit log knows"), log.file.Close())
	}
	// Time that passed while nobody ran counts, as far as the clock can be believed.
	if age := time.Since(in.sum.Last); age > 0 {
		in.touched = in.touched.Add(-min(age, 1000*time.Hour))
	}
	return in, nil
}

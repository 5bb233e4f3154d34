package console

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"rollcage/internal/inspect/api"
	"rollcage/internal/inspect/recording"
	"rollcage/internal/respond/evidence"
)

// maxCaptures is how many captures are open at a time; the one that was opened
// first is closed for another.
const maxCaptures = 16

// captures are those of incidents that are open for exploration.
type captures struct {
	dir string
	api *api.Server

	mu   sync.Mutex
	open []*openOne // in order of opening
}

type openOne struct {
	id             int
	incident, name string
	rec            *recording.Recording
}

func newCaptures(dir string, s *api.Server) *captures { return &captures{dir: dir, api: s} }

// find returns the capture with that ID, nil if it is not open.
func (cs *captures) find(id int) *openOne {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, o := range cs.open {
		if o.id == id {
			return o
		}
	}
	return nil
}

// get opens a capture unless it is open.
func (cs *captures) get(incident, name string) (int, error) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, o := range cs.open {
		if o.incident == incident && o.name == name {
			return o.id, nil
		}
	}
	// No index beside it: the folder holds evidence and nothing else.
	rec, err := recording.Open(cs.path(incident, name), recording.Options{NoIndex: true})
	if err != nil {
		return 0, err
	}
	if len(cs.open) >= maxCaptures {
		old := cs.open[0]
		cs.open = cs.open[1:]
		cs.api.Remove(old.id)
		_ = old.rec.Close()
	}
	o := &openOne{cs.api.Add(rec), incident, name, rec}
	cs.open = append(cs.open, o)
	return o.id, nil
}

func (cs *captures) path(incident, name string) string {
	return filepath.Join(cs.dir, "incidents", incident, name)
}

func (cs *captures) close() error {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	var errs []error
	for _, o := range cs.open {
		cs.api.Remove(o.id)
		errs = append(errs, o.rec.Close())
	}
	cs.open = nil
	return errors.Join(errs...)
}

// named returns the incident and capture that a request is about. Only what a
// record names is one, so a name leads nowhere else.
func (c *call) named() (incident, name string, err error) {
	s, err := c.incident()
	if err != nil {
		return "", "", err
	}
	name = c.r.PathValue("name")
	found := false
	if _, err := evidence.ReadIncident(c.s.opt.Dir, s.ID, func(r *evidence.Record) error {
		var k evidence.Capture
		found = found || r.Kind == evidence.KindCapture && json.Unmarshal(r.Data, &k) == nil && k.Name == name
		return nil
	}); err != nil && !found {
		return "", "", err
	}
	if !found || filepath.Base(name) != name {
		return "", "", fail(http.StatusNotFound, "incident %s has no capture %q", s.ID, name)
	}
	return s.ID, name, nil
}

type openedCapture struct {
	Capture int `json:"capture"` // its ID below /api/captures, as long as it is open
}

func openCapture(c *call) error {
	incident, name, err := c.named()
	if err != nil {
		return err
	}
	if err := c.record("open capture", incident, name); err != nil {
		return err
	}
	id, err := c.s.captures.get(incident, name)
	if err != nil {
		return err
	}
	// The rest of this hour it is known that they opened it.
	if err := c.recordOnce("explore capture", incident, name); err != nil {
		return err
	}
	return c.reply(openedCapture{id}, true)
}

func downloadCapture(c *call) error {
	incident, name, err := c.named()
	if err != nil {
		return err
	}
	if err := c.record("download capture", incident, name); err != nil {
		return err
	}
	f, err := os.Open(c.s.captures.path(incident, name))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/octet-stream")
	c.w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	c.w.Header().Set("Cache-Control", "no-store")
	http.ServeContent(c.w, c.r, "", st.ModTime(), f)
	return nil
}

// explore answers as rollcage inspect does.
func explore(c *call) error {
	c.s.captures.api.Unguarded().ServeHTTP(c.w, c.r)
	return nil
}

// exploreOne is explore for a capture: who looks at one is in the audit log,
// also if somebody else opened it.
func exploreOne(c *call) error {
	id, err := strconv.Atoi(c.r.PathValue("capture"))
	o := c.s.captures.find(id)
	if err != nil || o == nil {
		return fail(http.StatusNotFound, "capture %q is not open; open it from its incident", c.r.PathValue("capture"))
	}
	if err := c.recordOnce("explore capture", o.incident, o.name); err != nil {
		return err
	}
	if other := c.r.URL.Query().Get("other"); other != "" {
		n, err := strconv.Atoi(other)
		p := c.s.captures.find(n)
		if err != nil || p == nil {
			return fail(http.StatusNotFound, "capture %q is not open", other)
		}
		if err := c.recordOnce("explore capture", p.incident, p.name); err != nil {
			return err
		}
	}
	return explore(c)
}

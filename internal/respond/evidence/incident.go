// Package evidence keeps what belongs to an incident: alerts, the processes and
// the container they are about, captures, actions and their outcome.
//
// An incident is a folder of files; alerts belong to the same one when they are
// about the same container and process tree within a time. All records are
// chained by hashes, and an audit log of every access and action, chained too,
// notes how far each incident is, so that [Verify] finds what was changed,
// removed, reordered or cut. An SQLite index makes lists fast; it is made again
// from the files when it is missing or behind. The formats are in
// docs/formats/evidence.md and docs/formats/audit.md.
package evidence

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"rollcage/internal/detect/rule"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/scene"
)

// The kinds of records of an incident, and the types of their data.
const (
	KindOpened  = "opened"  // Opened
	KindProcess = "process" // scene.Process, before the first record that speaks of it
	KindAlert   = "alert"   // AlertRecord
	KindCapture = "capture" // Capture
	KindAction  = "action"  // Action
	KindOutcome = "outcome" // Outcome
	KindNote    = "note"    // Note
	KindClosed  = "closed"  // Closed
)

// Opened begins an incident.
type Opened struct {
	Version   int              `json:"version"` // 1
	Incident  string           `json:"incident"`
	Host      string           `json:"host"`
	Container *scene.Container `json:"container,omitempty"` // none on the host
	Root      *scene.Process   `json:"root,omitempty"`      // where the process tree begins
	// Continues is the incident that was full and goes on in this one, Origin the
	// first of them all and Part the number of this one, from 2. All are empty in most.
	Continues string `json:"continues,omitempty"`
	Origin    string `json:"origin,omitempty"`
	Part      int    `json:"part,omitempty"`
}

// AlertRecord is an alert with the process that it is about.
type AlertRecord struct {
	Alert   json.RawMessage `json:"alert"` // alert.AppendRecord
	Process *scene.Key      `json:"process,omitempty"`
	// Boot is when it happened, in ns since the machine started, 0 if not known.
	Boot int64 `json:"boot,omitempty"`
}

// Capture is a recording that belongs to the incident.
type Capture struct {
	Name   string    `json:"name"` // of the file in the incident's folder
	Bytes  int64     `json:"bytes"`
	SHA256 string    `json:"sha256"`
	From   time.Time `json:"from,omitzero"` // of the first event
	To     time.Time `json:"to,omitzero"`   // of the last one
	Note   string    `json:"note,omitempty"`
}

// Action is something that is about to be done.
type Action struct {
	ID     string `json:"id"`
	Kind   string `json:"kind"`
	Policy string `json:"policy,omitempty"`
	Alert  string `json:"alert,omitempty"` // ID
	Target string `json:"target"`          // in words
	DryRun bool   `json:"dry_run,omitempty"`
	// Undo is the ID of the action that this one takes back.
	Undo string `json:"undo,omitempty"`
	Who  *Who   `json:"who,omitempty"` // the one who asked, none if a policy did
	// State is what the action needs to be undone after a restart.
	State json.RawMessage `json:"state,omitempty"`
}

// Outcome is what became of an action.
type Outcome struct {
	ID    string          `json:"id"`
	OK    bool            `json:"ok"`
	Done  string          `json:"done,omitempty"` // in words
	Error string          `json:"error,omitempty"`
	Took  time.Duration   `json:"took"` // ns
	State json.RawMessage `json:"state,omitempty"`
}

// Note is what somebody wrote.
type Note struct {
	Who  *Who   `json:"who,omitempty"`
	Text string `json:"text"`
}

// Closed ends an incident. Nothing follows but records of late actions.
type Closed struct {
	Reason string `json:"reason"`
	// Next is the incident in which one that was full goes on.
	Next string `json:"next,omitempty"`
}

// Summary is an incident in short.
type Summary struct {
	ID        string        `json:"incident"`
	Host      string        `json:"host"`
	First     time.Time     `json:"first"` // alert
	Last      time.Time     `json:"last"`
	Container string        `json:"container,omitempty"` // short id
	Name      string        `json:"name,omitempty"`      // of the container
	Image     string        `json:"image,omitempty"`
	Priority  rule.Priority `json:"-"` // the worst of its alerts
	Worst     string        `json:"priority"`
	Rules     []string      `json:"rules"` // in order of their first alert
	Alerts    int           `json:"alerts"`
	Captures  int           `json:"captures"`
	Actions   int           `json:"actions"`
	Failed    int           `json:"failed_actions"`
	Open      bool          `json:"open"`
	// What Opened and Closed say of one that was full and goes on in another.
	Continues string `json:"continues,omitempty"`
	Origin    string `json:"origin,omitempty"`
	Part      int    `json:"part,omitempty"`
	Next      string `json:"next,omitempty"`

	Bytes   int64  `json:"bytes"`   // of all its files
	Records uint64 `json:"records"` // and the size of their file:
	Size    int64  `json:"-"`
}

// maxRules bounds the list of rules in a summary.
const maxRules = 64

// apply adds a record to the summary.
func (s *Summary) apply(r *Record) error {
	s.Records = r.Seq
	switch r.Kind {
	case KindOpened:
		var o Opened
		if err := json.Unmarshal(r.Data, &o); err != nil {
			return err
		}
		if o.Version != 1 {
			return fmt.Errorf("version %d of the format is not known, only 1", o.Version)
		}
		s.ID, s.Host, s.Open, s.Priority = o.Incident, o.Host, true, rule.Debug
		s.First, s.Last = r.Time, r.Time
		s.Continues, s.Origin, s.Part = o.Continues, o.Origin, o.Part
		if c := o.Container; c != nil {
			s.Container, s.Name, s.Image = c.ID, c.Name, c.Image
		}
	case KindAlert:
		var a AlertRecord
		if err := json.Unmarshal(r.Data, &a); err != nil {
			return err
		}
		al, err := alert.ParseRecord(a.Alert)
		if err != nil {
			return err
		}
		s.addAlert(al)
	case KindCapture:
		var c Capture
		if err := json.Unmarshal(r.Data, &c); err != nil {
			return err
		}
		s.Captures++
		s.Bytes += c.Bytes
	case KindAction:
		s.Actions++
	case KindOutcome:
		var o Outcome
		if err := json.Unmarshal(r.Data, &o); err != nil {
			return err
		}
		if !o.OK {
			s.Failed++
		}
	case KindClosed:
		var c Closed
		if err := json.Unmarshal(r.Data, &c); err != nil {
			return err
		}
		s.Open, s.Next = false, c.Next
	}
	return nil
}

func (s *Summary) addAlert(a *alert.Alert) {
	if s.Alerts == 0 || a.Time.Before(s.First) {
		s.First = a.Time
	}
	if s.Alerts == 0 || a.Time.After(s.Last) {
		s.Last = a.Time
	}
	s.Alerts++
	s.Priority = min(s.Priority, a.Priority)
	s.Worst = s.Priority.String()
	if len(s.Rules) < maxRules && !slices.Contains(s.Rules, a.Rule) {
		s.Rules = append(s.Rules, a.Rule)
	}
}

const (
	recordsName  = "records.jsonl"
	incidentsDir = "incidents"
)

var (
	idPattern      = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}$`)
	capturePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
)

// newID returns the name of an incident that begins at a time. Names sort by time.
func newID(at time.Time) string {
	var chance [4]byte
	rand.Read(chance[:]) // never fails
	year := at.UTC().Year()
	if year < 0 || year > 9999 {
		at = time.Unix(0, 0)
	}
	return at.UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(chance[:])
}

func incidentDir(dir, id string) string { return filepath.Join(dir, incidentsDir, id) }

func incidentSeed(id string) chain { return chain{head: seed("incident " + id)} }

// ReadIncident hands out the records of an incident in order. It returns the
// summary of what could be read; the error is about what could not.
func ReadIncident(dir, id string, each func(*Record) error) (*Summary, error) {
	s := &Summary{ID: id}
	if !idPattern.MatchString(id) {
		return s, fmt.Errorf("%q is not the name of an incident", id)
	}
	c, err := readChain(filepath.Join(incidentDir(dir, id), recordsName), incidentSeed(id), func(r *Record, _ digest) error {
		if err := s.apply(r); err != nil || each == nil {
			return err
		}
		return each(r)
	})
	s.Size = c.size
	s.Bytes += c.size
	return s, err
}

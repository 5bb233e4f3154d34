package console

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"rollcage/internal/detect/rule"
	"rollcage/internal/inspect/report"
	"rollcage/internal/respond/evidence"
)

func status(c *call) error {
	if c.s.opt.Status == nil {
		return fail(http.StatusNotFound, "there is no status here")
	}
	return c.reply(c.s.opt.Status(), false)
}

// incidentSummary is a value of the type of an answer.
var incidentSummary = evidence.Summary{}

type incidentList struct {
	Incidents []*evidence.Summary `json:"incidents"`
	More      bool                `json:"more"` // there are more than the limit
}

// The limits of lists.
const (
	usualLimit = 200
	mostLimit  = 1000
)

// filter reads which incidents are wanted.
func (c *call) filter() (f evidence.Filter, err error) {
	q := c.r.URL.Query()
	if f.Since, err = timeOf(q.Get("since")); err != nil {
		return f, err
	}
	if f.Until, err = timeOf(q.Get("until")); err != nil {
		return f, err
	}
	f.Container, f.Image, f.Rule, f.Limit = q.Get("container"), q.Get("image"), q.Get("rule"), usualLimit
	if p := q.Get("priority"); p != "" {
		worst, ok := rule.ParsePriority(p)
		if !ok {
			return f, fail(http.StatusBadRequest, "priority %q is not known", p)
		}
		f.Priority = &worst
	}
	if o := q.Get("open"); o != "" {
		if f.Open, err = strconv.ParseBool(o); err != nil {
			return f, fail(http.StatusBadRequest, "open is true or false")
		}
	}
	if l := q.Get("limit"); l != "" {
		n, err := strconv.Atoi(l)
		if err != nil || n < 1 {
			return f, fail(http.StatusBadRequest, "limit %q is no number above 0", l)
		}
		f.Limit = min(n, mostLimit)
	}
	return f, nil
}

// timeOf reads a time, or a duration before now; "" is the zero time.
func timeOf(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		return time.Now().Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, fail(http.StatusBadRequest, "%q is no time: 2026-11-24T15:00:00Z, or 24h before now", s)
	}
	return t, nil
}

func listIncidents(c *call) error {
	reveal, err := c.reveal()
	if err != nil {
		return err
	}
	f, err := c.filter()
	if err != nil {
		return err
	}
	if err := c.recordOnce("list", "", ""); err != nil {
		return err
	}
	limit := f.Limit
	f.Limit++
	list, err := c.s.opt.Guard.Evidence().List(f)
	if err != nil {
		return err
	}
	out := incidentList{Incidents: list, More: len(list) > limit}
	out.Incidents = list[:min(limit, len(list))]
	return c.reply(out, reveal)
}

// incident returns the summary of the incident that a request is about.
func (c *call) incident() (*evidence.Summary, error) {
	id := c.r.PathValue("incident")
	s, err := c.s.opt.Guard.Evidence().Incident(id)
	if err != nil {
		return nil, fail(http.StatusNotFound, "there is no incident %q that can be read: %v", id, err)
	}
	return s, nil
}

func showIncident(c *call) error {
	reveal, err := c.reveal()
	if err != nil {
		return err
	}
	s, err := c.incident()
	if err != nil {
		return err
	}
	if err := c.recordOnce("show", s.ID, ""); err != nil {
		return err
	}
	return c.reply(s, reveal)
}

type recordList struct {
	Records []evidence.Record `json:"records"`
	Next    uint64            `json:"next,omitempty"` // ask after this one for more
}

// maxRecords is how many records an answer has.
const maxRecords = 2000

var errEnough = errors.New("enough")

func records(c *call) error {
	reveal, err := c.reveal()
	if err != nil {
		return err
	}
	s, err := c.incident()
	if err != nil {
		return err
	}
	after := uint64(0)
	if a := c.r.URL.Query().Get("after"); a != "" {
		if after, err = strconv.ParseUint(a, 10, 64); err != nil {
			return fail(http.StatusBadRequest, "after %q is no number", a)
		}
	}
	if err := c.recordOnce("show", s.ID, ""); err != nil {
		return err
	}
	out := recordList{Records: []evidence.Record{}}
	_, err = evidence.ReadIncident(c.s.opt.Dir, s.ID, func(r *evidence.Record) error {
		if r.Seq <= after {
			return nil
		}
		if len(out.Records) == maxRecords {
			out.Next = out.Records[maxRecords-1].Seq
			return errEnough
		}
		out.Records = append(out.Records, *r)
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return fmt.Errorf("%w; 'rollcage evidence verify' tells more", err)
	}
	return c.reply(out, reveal)
}

func showReport(c *call) error {
	reveal, err := c.reveal()
	if err != nil {
		return err
	}
	s, err := c.incident()
	if err != nil {
		return err
	}
	if err := c.record("report", s.ID, ""); err != nil {
		return err
	}
	r, err := report.Read(c.s.opt.Dir, s.ID, reveal)
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", report.Policy)
	h.Set("Content-Disposition", `inline; filename="incident-`+s.ID+`.html"`)
	return r.Write(c.w)
}

func export(c *call) error {
	s, err := c.incident()
	if err != nil {
		return err
	}
	if err := c.record("export", s.ID, "by the API"); err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/gzip")
	c.w.Header().Set("Content-Disposition", `attachment; filename="incident-`+s.ID+`.tar.gz"`)
	if err := evidence.Export(c.s.opt.Dir, s.ID, c.w); err != nil {
		c.s.opt.Log.Error("an export is not complete", "incident", s.ID, "error", err)
		panic(http.ErrAbortHandler) // the reader must see that it is cut
	}
	return nil
}

type noteBody struct {
	Text string `json:"text"`
}

// maxNote bounds a note, in bytes.
const maxNote = 16 << 10

func addNote(c *call) error {
	var b noteBody
	if err := c.body(&b); err != nil {
		return err
	}
	if b.Text == "" || len(b.Text) > maxNote {
		return fail(http.StatusBadRequest, "a note has 1 to %d bytes", maxNote)
	}
	s, err := c.incident()
	if err != nil {
		return err
	}
	if err := c.s.opt.Guard.Note(c.who.Who(), s.ID, b.Text); err != nil {
		return err
	}
	return c.reply(done{true}, true)
}

type closeBody struct {
	Reason string `json:"reason"`
}

func closeIncident(c *call) error {
	var b closeBody
	if err := c.body(&b); err != nil {
		return err
	}
	if b.Reason == "" || len(b.Reason) > maxNote {
		return fail(http.StatusBadRequest, "say why in reason, in 1 to %d bytes", maxNote)
	}
	s, err := c.incident()
	if err != nil {
		return err
	}
	if !s.Open {
		return fail(http.StatusConflict, "incident %s is closed already", s.ID)
	}
	if err := c.s.opt.Guard.Evidence().Finish(s.ID, c.who.Who(), b.Reason); err != nil {
		return err
	}
	return c.reply(done{true}, true)
}

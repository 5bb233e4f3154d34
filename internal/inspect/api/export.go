package api

import (
	"encoding/csv"
	"encoding/json"
	"path/filepath"
	"strings"

	"rollcage/internal/inspect/recording"
	"rollcage/internal/inspect/view"
	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// export answers with a file: the events of the window that the filter fits as
// a capture, or the rows of a view as CSV or JSON.
func (s *Server) export(q *request) error {
	switch kind := q.text("as"); kind {
	case "scap":
		return s.exportCapture(q)
	case "csv", "json":
		return s.exportRows(q, kind)
	default:
		return badRequest("as=%s: a capture is exported as scap, the rows of a view as csv or json", kind)
	}
}

// attach names the file that an answer is.
func (q *request) attach(kind, base, suffix string) {
	name := strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune(`"\/`, r) || r > '~' {
			return '_'
		}
		return r
	}, base)
	name = strings.TrimSuffix(strings.TrimSuffix(name, ".gz"), ".scap")
	q.w.Header().Set("Content-Type", kind)
	q.w.Header().Set("Content-Disposition", `attachment; filename="`+name+suffix+`"`)
	q.begun = true
}

// exportCapture streams a capture that begins with the state at the start of
// the window. Events that change what is known of processes and descriptors
// stay in it hidden, so that those that the filter fits tell the same.
func (s *Server) exportCapture(q *request) error {
	x, err := s.question(q)
	if err != nil {
		return err
	}
	fits := x.cond
	x.cond = &condition{}
	var w *capture.Writer
	write := func(he *host.Event) error {
		if w == nil {
			return nil
		}
		return w.Write(he.Event)
	}
	hide := func(he *host.Event) error {
		if he.Info().Flags&event.ModifiesState == 0 && he.Info().Origin != event.OriginMeta {
			return nil
		}
		he.Hidden = true
		return write(he)
	}
	err = s.scan(q.r.Context(), &x, recording.Visitor{
		Begin: func(state *host.State) error {
			if w != nil {
				return w.Section(state.Snapshot())
			}
			q.attach("application/octet-stream", x.rec.Info().Name, ".part.scap.gz")
			var err error
			w, err = capture.NewWriter(q.w, state.Snapshot(), capture.WriterOptions{Gzip: true})
			return err
		},
		Hidden: hide,
		Event: func(he *host.Event) error {
			if fits.fits(he) {
				return write(he)
			}
			return hide(he)
		},
	}, nil)
	if err != nil {
		return err
	}
	if w == nil {
		return notFound("there is no event in the window")
	}
	return w.Close()
}

// exportRows answers with all rows of a view.
func (s *Server) exportRows(q *request, kind string) error {
	q.r.SetPathValue("view", q.text("view"))
	a, err := q.view()
	if err != nil {
		return err
	}
	a.limit = view.DefaultMaxRows
	x := question{cond: &condition{}}
	if x.rec, err = s.capture(q); err != nil {
		return err
	}
	if x.window, err = q.window(); err != nil {
		return err
	}
	t, err := s.run(q, &x, a, func(float64, *view.Table) error { return nil })
	if err != nil {
		return err
	}
	out := a.rows(t.Result(seconds(&x)))
	base := filepath.Base(x.rec.Info().Name) + "." + out.View
	if kind == "json" {
		q.attach("application/json", base, ".json")
		return json.NewEncoder(q.w).Encode(objects(out))
	}
	q.attach("text/csv; charset=utf-8", base, ".csv")
	return writeCSV(q, out)
}

// objects returns the rows as objects, the columns as keys.
func objects(out *rows) []map[string]json.RawMessage {
	list := make([]map[string]json.RawMessage, len(out.Rows))
	for i := range out.Rows {
		list[i] = map[string]json.RawMessage{}
		for j := range out.Columns {
			list[i][out.Columns[j].Name] = out.Rows[i].Values[j]
		}
	}
	return list
}

func writeCSV(q *request, out *rows) error {
	w := csv.NewWriter(q.w)
	head := make([]string, len(out.Columns))
	for i := range out.Columns {
		head[i] = out.Columns[i].Name
	}
	if err := w.Write(head); err != nil {
		return err
	}
	for i := range out.Rows {
		line := make([]string, len(head))
		for j, v := range out.Rows[i].Values {
			line[j] = plain(v)
		}
		if err := w.Write(line); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

// plain returns a JSON value as a cell of a table. A text that a spreadsheet
// would take for a formula gets an apostrophe in front.
func plain(v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) != nil {
		return string(v)
	}
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

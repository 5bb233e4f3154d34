package api

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"rollcage/internal/detect/field"
	"rollcage/internal/detect/filter"
	"rollcage/internal/inspect/recording"
	"rollcage/internal/observe/host"
)

// eventFormat holds what a line of the event list shows.
const eventFormat = "*%evt.num %evt.rawtime %evt.cpu %container.name %proc.name %proc.pid %thread.tid %evt.type %evt.failed %evt.args %fd.name %evt.latency"

// maxEvents is how many lines of the event list are given at once.
const maxEvents = 500

// eventLine is a line of the event list.
type eventLine struct {
	Num       uint64 `json:"num"`
	Time      uint64 `json:"time"`
	CPU       uint16 `json:"cpu"`
	Container string `json:"container,omitempty"`
	Process   string `json:"process"`
	PID       int64  `json:"pid"`
	TID       int64  `json:"tid"`
	Type      string `json:"type"`
	Failed    bool   `json:"failed,omitempty"`
	Args      string `json:"args"`
	FD        string `json:"fd,omitempty"`
	Latency   uint64 `json:"latency,omitempty"` // ns, 0 if not known
}

// eventPage is a part of the event list.
type eventPage struct {
	Total  uint64      `json:"total"` // rows of the list, as far as it is counted
	Done   bool        `json:"done"`  // it is counted to its end
	Offset uint64      `json:"offset"`
	Events []eventLine `json:"events"`
}

// liner makes lines of events.
type liner struct {
	format *filter.Format
	fields []*filter.FormatField
	buf    []byte
}

func newLiner() (*liner, error) {
	f, err := filter.ParseFormat(eventFormat)
	if err != nil {
		return nil, err
	}
	f.SetStyle(&field.Style{Limit: 160})
	return &liner{format: f, fields: f.Fields()}, nil
}

func (l *liner) text(i int, he *host.Event) string {
	b, ok := l.fields[i].AppendText(l.buf[:0], he)
	l.buf = b[:0]
	if !ok {
		return ""
	}
	return string(b)
}

func (l *liner) line(he *host.Event) eventLine {
	out := eventLine{
		Num: he.Num, Time: he.Time(), CPU: he.CPU, Container: l.text(3, he), Process: l.text(4, he), TID: he.TID(),
		Type: l.text(7, he), Failed: l.text(8, he) == "true", Args: l.text(9, he), FD: l.text(10, he), Latency: he.Latency,
	}
	out.PID, _ = strconv.ParseInt(l.text(5, he), 10, 64)
	return out
}

// events answers with a page of the event list: limit lines from row offset on,
// or those around the event with the number near.
func (s *Server) events(q *request) error {
	x, err := s.question(q)
	if err != nil {
		return err
	}
	limit, err := q.number("limit", 100, maxEvents)
	if err != nil {
		return err
	}
	offset, err := q.number("offset", 0, ^uint64(0))
	if err != nil {
		return err
	}
	near, err := q.number("near", 0, ^uint64(0))
	if err != nil {
		return err
	}
	st := q.stream()
	first := []eventLine{}
	if offset == 0 && near == 0 && limit > 0 && s.lists.get(x.listing()) == nil {
		if first, err = s.firstPage(q, &x, int(limit)); err != nil {
			return err
		}
		if len(first) > 0 {
			if err := st.write(part{0, eventPage{Total: uint64(len(first)), Events: first}}); err != nil {
				return err
			}
		}
	}
	l, err := s.listing(q, &x, func(progress float64, l *listing) error {
		return st.tick(progress, func() any { return eventPage{Total: l.total, Offset: offset, Events: first} })
	})
	if err != nil {
		return err
	}
	if near > 0 {
		if offset, err = s.rowOf(q, &x, l, near); err != nil {
			return err
		}
		offset -= min(offset, limit/2)
	}
	page := eventPage{Total: l.total, Done: l.done, Offset: offset}
	if page.Events, err = s.page(q, &x, l, offset, int(limit)); err != nil {
		return err
	}
	_, err = st.end(page)
	return err
}

// firstPageIn is how long the first page is looked for before all is counted.
const firstPageIn = 150 * time.Millisecond

// firstPage returns the first lines of a question as far as they are found
// quickly: there is something to read while the others are counted.
func (s *Server) firstPage(q *request, x *question, limit int) ([]eventLine, error) {
	out := []eventLine{}
	lines, err := newLiner()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(q.r.Context(), firstPageIn)
	defer cancel()
	places, err := s.places(ctx, 1)
	if errors.Is(err, context.DeadlineExceeded) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	defer s.leave(places)
	for _, part := range needed(x, x.cond, false) {
		err = x.rec.ScanFrom(ctx, part.first, x.window, recording.Visitor{Event: func(he *host.Event) error {
			switch {
			case he.Num >= part.end:
				return recording.ErrStop
			case !x.cond.fits(he):
				return nil
			}
			if out = append(out, lines.line(he)); len(out) == limit {
				return recording.ErrStop
			}
			return nil
		}})
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return out, nil
		case err != nil || len(out) == limit:
			return out, err
		}
	}
	return out, nil
}

// listing is what the listing of the question goes by.
func (x *question) listing() listingKey { return listingKey{x.rec, x.window, x.cond.text} }

// listing counts the events of a question by stretch, unless that is known.
func (s *Server) listing(q *request, x *question, tick func(float64, *listing) error) (*listing, error) {
	k := x.listing()
	if l := s.lists.get(k); l != nil {
		return l, nil
	}
	final := x.rec.Info().Done
	l := &listing{stretches: x.rec.Stretches(), done: final}
	l.counts = make([]uint64, len(l.stretches))
	err := s.count(q.r.Context(), x, l, func(n int) error { return tick(0.999*float64(n)/float64(len(l.stretches)), l) })
	if err == nil && final {
		s.keep(x.rec, func() { s.lists.put(k, l) })
	}
	return l, err
}

// page returns the lines of a listing from row offset on.
func (s *Server) page(q *request, x *question, l *listing, offset uint64, limit int) ([]eventLine, error) {
	out := []eventLine{}
	at, skip, ok := l.at(offset)
	if !ok || limit == 0 {
		return out, nil
	}
	lines, err := newLiner()
	if err != nil {
		return nil, err
	}
	err = s.from(q, x, l.stretches[at].First, func(he *host.Event) error {
		if skip > 0 {
			skip--
			return nil
		}
		if out = append(out, lines.line(he)); len(out) == limit {
			return recording.ErrStop
		}
		return nil
	})
	return out, err
}

// from visits the events of the question from one with a number on.
func (s *Server) from(q *request, x *question, num uint64, visit func(*host.Event) error) error {
	places, err := s.places(q.r.Context(), 1)
	if err != nil {
		return err
	}
	defer s.leave(places)
	return x.rec.ScanFrom(q.r.Context(), num, x.window, recording.Visitor{Event: func(he *host.Event) error {
		if !x.cond.fits(he) {
			return nil
		}
		return visit(he)
	}})
}

// rowOf returns the row of the first event with at least that number.
func (s *Server) rowOf(q *request, x *question, l *listing, num uint64) (uint64, error) {
	at, before := 0, uint64(0)
	for at+1 < len(l.stretches) && num >= l.stretches[at+1].First {
		before += l.counts[at]
		at++
	}
	n := before
	err := s.from(q, x, l.stretches[at].First, func(he *host.Event) error {
		if he.Num >= num {
			return recording.ErrStop
		}
		n++
		return nil
	})
	return n, err
}

// eventDetail is everything about an event.
type eventDetail struct {
	eventLine
	Params []param      `json:"params"`
	Fields []fieldValue `json:"fields"`
	Prev   uint64       `json:"prev,omitempty"` // number of the event before it, of all
	Next   uint64       `json:"next,omitempty"`
}

// param is a parameter of an event.
type param struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Value string `json:"value"`
}

type fieldValue struct {
	Name  string          `json:"name"`
	Class string          `json:"class"`
	Doc   string          `json:"doc"`
	Text  string          `json:"text"`
	Value json.RawMessage `json:"value"`
}

// event answers with everything about one event.
func (s *Server) event(q *request) error {
	rec, err := s.capture(q)
	if err != nil {
		return err
	}
	num, err := strconv.ParseUint(q.r.PathValue("event"), 10, 64)
	if err != nil {
		return badRequest("%s is no number of an event", q.r.PathValue("event"))
	}
	lines, err := newLiner()
	if err != nil {
		return err
	}
	places, err := s.places(q.r.Context(), 1)
	if err != nil {
		return err
	}
	defer s.leave(places)
	var out *eventDetail
	var before uint64
	err = rec.ScanFrom(q.r.Context(), num-min(num, 50), recording.All, recording.Visitor{Event: func(he *host.Event) error {
		switch {
		case he.Num < num:
			before = he.Num
		case he.Num == num:
			out = &eventDetail{eventLine: lines.line(he), Params: params(he), Fields: fieldsOf(he), Prev: before}
		default:
			if out != nil {
				out.Next = he.Num
			}
			return recording.ErrStop
		}
		return nil
	}})
	if err != nil {
		return err
	}
	if out == nil {
		return notFound("there is no event %d that is shown", num)
	}
	return q.reply(out)
}

func params(he *host.Event) []param {
	info := he.Info()
	var out []param
	style := &field.Style{Limit: 4096}
	for i := range he.NumParams() {
		p := &info.Params[i]
		text := string(field.AppendRaw(nil, he, i, style))
		if resolved := field.AppendResolved(nil, he, i, style); len(resolved) > 0 {
			text += " (" + string(resolved) + ")"
		}
		out = append(out, param{p.Name, p.Type.String(), text})
	}
	return out
}

// fieldsOf returns the fields that have a value for an event.
func fieldsOf(he *host.Event) []fieldValue {
	var out []fieldValue
	for _, d := range field.All() {
		if d.Flags&(field.Hidden|field.FilterOnly) != 0 || d.Args&field.ArgRequired != 0 {
			continue
		}
		f, err := field.Parse(d.Name, "", false)
		if err != nil {
			continue
		}
		f.Style = &field.Style{Limit: 4096}
		var v field.Value
		if !f.Read(he, &v) {
			continue
		}
		out = append(out, fieldValue{d.Name, d.Class, d.Doc, string(field.AppendText(nil, f, &v)), field.AppendJSON(nil, f, &v)})
	}
	return out
}

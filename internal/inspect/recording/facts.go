package recording

import (
	"encoding/json"
	"fmt"

	"rollcage/internal/detect/field"
	"rollcage/internal/detect/filter"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// Facts say of what kinds the events between two checkpoints are, and how many
// there are of each kind. A condition that only asks what a kind is made of is
// counted without reading the capture, and what cannot hold for any kind of a
// stretch need not be looked for there.
//
// A kind is a type of event with the values of processFacts, and whether the
// call failed.

// processFacts are the fields of a kind; they depend on the process alone.
var processFacts = []string{
	"proc.name", "proc.exepath", "proc.pname", "user.name", "container.id", "container.name", "container.image", "container.image.repository",
}

// factFailed is the fact that is no text.
const factFailed = "evt.failed"

const (
	// maxKinds bounds the kinds of a stretch; one with more has no facts.
	maxKinds = 8192
	// maxCasts bounds what processes are told apart by in a capture; those beyond are one, of which nothing is known.
	maxCasts = 1 << 15
)

// cast is what processes that look the same have in common: the values of
// processFacts, nil for one that is missing.
type cast []*string

// kind is what events have in common.
type kind struct {
	Type event.Type
	// Result is 0 if there is none, 1 if the call succeeded, 2 if it failed.
	Result uint8
	Cast   int32 // -1 if nothing is known
}

// kindCount is how many events of a kind a stretch has.
type kindCount struct {
	kind
	N uint64
}

// MarshalJSON writes [type, result, cast, n].
func (k kindCount) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "[%d,%d,%d,%d]", k.Type, k.Result, k.Cast, k.N), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (k *kindCount) UnmarshalJSON(data []byte) error {
	var v [4]int64
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	if v[0] < 0 || int(v[0]) >= event.Count() || v[1] < 0 || v[1] > 2 || v[2] < -1 || v[2] >= maxCasts || v[3] < 0 {
		return fmt.Errorf("no kind of event: %s", data)
	}
	k.Type, k.Result, k.Cast, k.N = event.Type(v[0]), uint8(v[1]), int32(v[2]), uint64(v[3])
	return nil
}

// facts collects the kinds of events.
type facts struct {
	casts  []cast
	byText map[string]int32
	images map[uint64]int32 // casts by image of the process

	fields []*field.Field
	failed *field.Field
	v      field.Value
	key    []byte

	counts map[kind]*uint64
	last   kind
	count  *uint64 // of the last kind
	image  uint64  // of the last event, and its cast
	cast   int32

	carry   []kindCount // of a checkpoint that was dropped
	carries bool
}

func newFacts() (*facts, error) {
	f := &facts{byText: map[string]int32{}, images: map[uint64]int32{}, counts: map[kind]*uint64{}}
	for _, name := range processFacts {
		fd, err := field.Parse(name, "", false)
		if err != nil {
			return nil, fmt.Errorf("facts: %w", err)
		}
		if fd.Def.Scope != field.ScopeProcess {
			return nil, fmt.Errorf("facts: %s depends on more than the process", name)
		}
		f.fields = append(f.fields, fd)
	}
	var err error
	f.failed, err = field.Parse(factFailed, "", false)
	return f, err
}

// add counts an event that is shown.
func (f *facts) add(e *host.Event) {
	k := kind{Type: e.Type(), Cast: f.castOf(e)}
	if f.failed.Read(e, &f.v) {
		k.Result = 1 + uint8(f.v.Num)
	}
	if f.count == nil || k != f.last {
		f.last, f.count = k, f.counts[k]
		if f.count == nil {
			f.count = new(uint64)
			if len(f.counts) < maxKinds {
				f.counts[k] = f.count
			}
		}
	}
	*f.count++
}

// castOf returns the cast of the event's process, whose fields are read once for each image.
func (f *facts) castOf(e *host.Event) int32 {
	t := e.Thread
	if t == nil || t.Image == 0 {
		return f.readCast(e)
	}
	if t.Image == f.image {
		return f.cast
	}
	id, ok := f.images[t.Image]
	if !ok {
		id = f.readCast(e)
		if len(f.images) >= maxCasts {
			clear(f.images) // images are never used again after a while
		}
		f.images[t.Image] = id
	}
	f.image, f.cast = t.Image, id
	return id
}

func (f *facts) readCast(e *host.Event) int32 {
	c := make(cast, len(f.fields))
	f.key = f.key[:0]
	for i, fd := range f.fields {
		if fd.Read(e, &f.v) {
			text := string(append([]byte(nil), f.v.Str...))
			c[i] = &text
			f.key = append(append(f.key, 1), text...)
		}
		f.key = append(f.key, 0, 0)
	}
	if id, ok := f.byText[string(f.key)]; ok {
		return id
	}
	if len(f.casts) >= maxCasts {
		return -1
	}
	id := int32(len(f.casts))
	f.casts, f.byText[string(f.key)] = append(f.casts, c), id
	return id
}

// take returns the kinds of the events since the last time, nil if there were too many.
func (f *facts) take() []kindCount {
	var out []kindCount
	if len(f.counts) < maxKinds {
		out = make([]kindCount, 0, len(f.counts))
		for k, n := range f.counts {
			out = append(out, kindCount{k, *n})
		}
	}
	clear(f.counts)
	f.count = nil
	if f.carries {
		out, f.carry, f.carries = merge(f.carry, out), nil, false
	}
	return out
}

// giveBack takes the kinds of a stretch that goes on.
func (f *facts) giveBack(kinds []kindCount) {
	f.carry, f.carries = kinds, true
}

// merge joins the kinds of two stretches that become one.
func merge(a, b []kindCount) []kindCount {
	if a == nil || b == nil {
		return nil
	}
	sum := make(map[kind]uint64, len(a)+len(b))
	for _, list := range [][]kindCount{a, b} {
		for _, k := range list {
			sum[k.kind] += k.N
		}
	}
	if len(sum) > maxKinds {
		return nil
	}
	out := make([]kindCount, 0, len(sum))
	for k, n := range sum {
		out = append(out, kindCount{k, n})
	}
	return out
}

// factOf tells what a kind says about a field.
func factOf(k kind, c cast) filter.Fact {
	return func(f *field.Field, v *field.Value) (exists, known bool) {
		if f.Def.Name == factFailed && f.Arg == "" {
			v.Num = uint64(k.Result) - 1
			return k.Result > 0, true
		}
		if f.Arg != "" || c == nil {
			return false, false
		}
		for i, name := range processFacts {
			if f.Def.Name == name {
				if c[i] != nil {
					v.Str = *c[i]
				}
				return c[i] != nil, true
			}
		}
		return false, false
	}
}

// Foresight is what the facts of a stretch tell about a condition.
type Foresight struct {
	// Known is set when N is how many events of the stretch the condition fits;
	// else N is the most that there can be.
	Known bool
	N     uint64
}

// Foresee tells for each of Stretches how many of its events a condition fits,
// as far as that can be told without reading them.
func (r *Recording) Foresee(p *filter.Program, id filter.CondID) []Foresight {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]Foresight, len(r.points)+1)
	memo := map[kind]filter.Verdict{}
	for i := range out {
		var kinds []kindCount
		switch {
		case i < len(r.points):
			kinds = r.points[i].Kinds
		case r.info.Done:
			kinds = r.rest
		}
		out[i] = r.foresee(kinds, p, id, memo)
	}
	return out
}

func (r *Recording) foresee(kinds []kindCount, p *filter.Program, id filter.CondID, memo map[kind]filter.Verdict) Foresight {
	if kinds == nil {
		return Foresight{N: ^uint64(0)}
	}
	out := Foresight{Known: true}
	for _, k := range kinds {
		v, ok := memo[k.kind]
		if !ok {
			var c cast
			if k.Cast >= 0 && int(k.Cast) < len(r.casts) {
				c = r.casts[k.Cast]
			}
			v = p.Foresee(id, k.Type, factOf(k.kind, c))
			memo[k.kind] = v
		}
		switch v {
		case filter.Always:
			out.N += k.N
		case filter.Open:
			out.N += k.N
			out.Known = false
		}
	}
	return out
}

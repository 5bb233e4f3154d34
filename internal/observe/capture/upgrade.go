package capture

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"unsafe"

	"rollcage/internal/observe/event"
)

//go:embed upgrade.txt
var upgradeTable string

// step is a line of the table: what to do with an event of a type that has
// that many parameters.
type step struct {
	params int
	action action
	to     event.Type // of retype
	values []value
}

type action uint8

const (
	actStore action = iota
	actPass
	actBoth // store and pass
	actAdd
	actRetype
)

var actionNames = map[string]action{"store": actStore, "pass": actPass, "both": actBoth, "add": actAdd, "retype": actRetype}

// value says where a parameter comes from.
type value struct {
	from  source
	index int  // parameter of the old event or of the stored enter event
	empty bool // empty rather than the default when nothing is stored
}

type source uint8

const (
	fromNothing source = iota
	fromDefault
	fromEvent
	fromEnter
	fromContainer // JSON made of the parameters of a CONTAINER_E
)

// verdict says what becomes of the events of a type before their parameters are looked at.
type verdict uint8

const (
	always  verdict = iota // today's type: hand out as it is
	drop                   // no meaning, or an enter event whose exit event says all
	upgrade                // look up the step
	partial                // look up the step if parameters are missing
	refuse                 // old, and no step leads to today
)

// upgrades holds the steps by type, verdicts what to do with each type.
var (
	upgrades = mustParse(upgradeTable)
	verdicts = judgeTypes()
)

func judgeTypes() []verdict {
	v := make([]verdict, event.Count())
	for t, info := range event.All() {
		old, managed := info.Flags&event.OldVersion != 0, info.Flags&event.ConverterManaged != 0
		enter := info.Type.IsEnter()
		switch {
		case info.Flags&event.Unused != 0, !managed && old && enter:
			v[t] = drop
		case !managed && old:
			v[t] = refuse
		case !managed:
			v[t] = always
		case enter || old:
			v[t] = upgrade
		default:
			v[t] = partial
		}
	}
	return v
}

// mustParse reads the embedded table; a test reads it too, so that it cannot
// be wrong in a built program.
func mustParse(table string) [][]step {
	steps := make([][]step, event.Count())
	n := 0
	for line := range strings.Lines(table) {
		n++
		if strings.HasPrefix(line, "#") {
			continue
		}
		t, s, err := parseStep(strings.Fields(line))
		if err != nil {
			panic(fmt.Sprintf("capture: upgrade.txt:%d: %v", n, err))
		}
		steps[t] = append(steps[t], s)
	}
	return steps
}

func parseStep(w []string) (event.Type, step, error) {
	if len(w) < 3 || event.ByEnum(w[0]) == nil {
		return 0, step{}, fmt.Errorf("unknown event in %q", w)
	}
	params, err := strconv.Atoi(w[1])
	action, known := actionNames[w[2]]
	if err != nil || !known {
		return 0, step{}, fmt.Errorf("cannot understand %q", w[1:3])
	}
	s, rest := step{params: params, action: action}, w[3:]
	if action == actRetype {
		if len(rest) == 0 || event.ByEnum(rest[0]) == nil {
			return 0, step{}, fmt.Errorf("no new type in %q", w)
		}
		s.to, rest = event.ByEnum(rest[0]).Type, rest[1:]
	}
	for _, word := range rest {
		v, err := parseValue(word)
		if err != nil {
			return 0, step{}, err
		}
		s.values = append(s.values, v)
	}
	return event.ByEnum(w[0]).Type, s, nil
}

func parseValue(word string) (value, error) {
	switch word {
	case "e":
		return value{from: fromNothing}, nil
	case "d":
		return value{from: fromDefault}, nil
	case "json":
		return value{from: fromContainer}, nil
	}
	number, empty := strings.CutSuffix(word[1:], "?")
	n, err := strconv.Atoi(number)
	switch {
	case err != nil:
	case word[0] == 'o':
		return value{from: fromEvent, index: n, empty: empty}, nil
	case word[0] == 'n':
		return value{from: fromEnter, index: n, empty: empty}, nil
	}
	return value{}, fmt.Errorf("unknown value %q", word)
}

const (
	maxSteps  = 50       // of one event
	maxStored = 64 << 20 // bytes of enter events that wait for their exit event
)

// upgrader turns events of older captures into today's. It reuses its
// buffers: what it makes is valid until the next call.
type upgrader struct {
	enters  map[int64]*enter // the last enter event by thread
	waiting int              // bytes kept in enters
	now     *event.Event     // the event being upgraded
	old     *enter           // its enter event, nil if it is not stored
	used    bool             // a value was taken from it
	buf     [2][]byte        // results of the last two steps
}

// enter is a stored enter event, empty once it was used.
type enter struct {
	event.Event
	buf []byte
}

func newUpgrader() *upgrader { return &upgrader{enters: map[int64]*enter{}} }

// upgrade brings ev to today's type. It reports false when there is nothing to
// hand out: the event has no meaning any more or waits for its exit event.
func (u *upgrader) upgrade(ev *event.Event) (bool, error) {
	for range maxSteps {
		t := ev.Type()
		switch verdicts[t] {
		case always:
			return true, nil
		case drop:
			return false, nil
		case refuse:
			return false, malformed("no way leads from %s to today's events", t)
		case partial:
			if ev.NumParams() == len(ev.Info().Params) {
				return true, nil
			}
		}
		s := findStep(t, ev.NumParams())
		if s == nil {
			return false, malformed("%s with %d parameters", t, ev.NumParams())
		}
		switch s.action {
		case actPass:
			return true, nil
		case actStore, actBoth:
			u.store(ev)
			return s.action == actBoth, nil
		}
		if err := u.apply(ev, s); err != nil {
			return false, err
		}
	}
	return false, malformed("%s does not become an event of today in %d steps", ev.Type(), maxSteps)
}

func findStep(t event.Type, params int) *step {
	steps := upgrades[t]
	for i := range steps {
		if steps[i].params == params {
			return &steps[i]
		}
	}
	return nil
}

// store keeps a copy of an enter event; a newer one of the thread replaces it.
func (u *upgrader) store(ev *event.Event) {
	e := u.enters[ev.TID()]
	if e == nil {
		if u.waiting > maxStored { // hostile: a real host has fewer threads
			clear(u.enters)
			u.waiting = 0
		}
		e = new(enter)
		u.enters[ev.TID()] = e
		u.waiting += int(unsafe.Sizeof(*e))
	}
	u.waiting -= cap(e.buf)
	e.buf = append(e.buf[:0], ev.Bytes()...)
	u.waiting += cap(e.buf)
	if e.Reset(e.buf) != nil {
		e.buf = e.buf[:0]
	}
}

// apply makes the event of a step and points ev at it.
func (u *upgrader) apply(ev *event.Event, s *step) error {
	u.now, u.used = ev, false
	u.old = u.enters[ev.TID()]
	// An enter event of another call means that the exit event between was
	// lost; it is as good as nothing stored.
	if u.old != nil && (len(u.old.buf) == 0 || u.old.Type() != ev.Type()-1) {
		u.old = nil
	}
	b := u.buf[1][:0]
	var err error
	if s.action == actAdd {
		b, err = u.build(b, ev.Info(), ev.NumParams(), s.values)
	} else {
		b, err = u.build(b, s.to.Info(), 0, s.values)
	}
	u.buf[0], u.buf[1] = b, u.buf[0]
	if err != nil {
		return err
	}
	if u.used {
		u.old.buf = u.old.buf[:0]
	}
	return ev.Reset(b)
}

// build appends an event of type to that has the first keep parameters of the
// old event and then the values.
func (u *upgrader) build(b []byte, to *event.Info, keep int, values []value) ([]byte, error) {
	n := keep + len(values)
	if n > len(to.Params) {
		return b, malformed("%s does not have %d parameters", to.Enum, n)
	}
	le, width := binary.LittleEndian, lengthWidth(to)
	b = append(b, u.now.Bytes()[:event.HeaderSize]...)
	le.PutUint16(b[20:], uint16(to.Type))
	le.PutUint32(b[22:], uint32(n))
	var zero [4 * event.MaxParams]byte
	b = append(b, zero[:n*width]...)
	for i := range n {
		v := value{from: fromEvent, index: i}
		if i >= keep {
			v = values[i-keep]
		}
		start := len(b)
		var err error
		if b, err = u.appendValue(b, v, &to.Params[i]); err != nil {
			return b, err
		}
		if width == 4 {
			le.PutUint32(b[event.HeaderSize+4*i:], uint32(len(b)-start))
		} else {
			b = b[:min(len(b), start+event.MaxParamSize)]
			le.PutUint16(b[event.HeaderSize+2*i:], uint16(len(b)-start))
		}
	}
	le.PutUint32(b[16:], uint32(len(b)))
	return b, nil
}

// lengthWidth is the width in bytes of the parameter lengths of a type.
func lengthWidth(info *event.Info) int {
	if info.LargePayload() {
		return 4
	}
	return 2
}

// appendValue appends a parameter, cut to what its type can hold.
func (u *upgrader) appendValue(b []byte, v value, p *event.ParamInfo) ([]byte, error) {
	var from *event.Event
	switch v.from {
	case fromNothing:
		return b, nil
	case fromDefault:
		return appendDefault(b, p.Type), nil
	case fromContainer:
		return u.appendContainer(b), nil
	case fromEvent:
		from = u.now
	case fromEnter:
		if u.old == nil && v.empty {
			return b, nil
		}
		if u.old == nil {
			return appendDefault(b, p.Type), nil
		}
		from, u.used = &u.old.Event, true
	}
	if v.index >= from.NumParams() {
		return b, malformed("%s has %d parameters, number %d is needed", from.Type(), from.NumParams(), v.index+1)
	}
	data := from.Param(v.index)
	if size := p.Type.Size(); size > 0 && len(data) > size {
		data = data[:size]
	}
	return append(b, data...), nil
}

// appendDefault appends the value of a parameter that nothing is known about.
func appendDefault(b []byte, t event.ParamType) []byte {
	var fill [16]byte
	if t == event.TypeUID || t == event.TypeGID {
		fill = [16]byte{0xff, 0xff, 0xff, 0xff}
	}
	return append(b, fill[:t.Size()]...)
}

// appendContainer appends the JSON that today's container events carry, made
// of the four parameters of a CONTAINER_E; nothing if id or type are not there.
func (u *upgrader) appendContainer(b []byte) []byte {
	id, hasID := u.now.Str(0)
	typ, hasType := u.now.Uint(1)
	if !hasID || !hasType {
		return b
	}
	name, _ := u.now.Str(2)
	image, _ := u.now.Str(3)
	b = append(append(b, `{"id":"`...), id...)
	b = strconv.AppendUint(append(b, `","type":`...), typ, 10)
	b = append(append(b, `,"name":"`...), name...)
	b = append(append(b, `","image":"`...), image...)
	return append(b, "\"}\x00"...)
}

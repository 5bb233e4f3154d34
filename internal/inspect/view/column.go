package view

import (
	"net/netip"
	"strings"

	"rollcage/internal/detect/field"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// class says which member of a Cell holds a value.
type class uint8

const (
	classUnsigned class = iota
	classSigned
	classFloat
	classText
	classAddr
)

func classOf(t event.ParamType) class {
	switch t {
	case event.TypeCharbuf, event.TypeFSPath, event.TypeFSRelPath, event.TypeBytebuf, event.TypeSockaddr,
		event.TypeSocktuple, event.TypeFDList, event.TypeDyn, event.TypeSigSet, event.TypeNone:
		return classText
	case event.TypeIPv4Addr, event.TypeIPv6Addr, event.TypeIPAddr:
		return classAddr
	case event.TypeDouble:
		return classFloat
	}
	if t.Signed() {
		return classSigned
	}
	return classUnsigned
}

// hasDefault reports whether an event without the value counts as 0 or an
// empty text. An address or port has no such value.
func hasDefault(t event.ParamType) bool {
	switch t {
	case event.TypePort, event.TypeSockaddr, event.TypeSocktuple, event.TypeSockFamily, event.TypeFDList:
		return false
	}
	return classOf(t) != classAddr
}

// Cell is what the events of a row add up to in one column.
type Cell struct {
	Num   uint64 // of numbers and times; signed ones sign-extended
	Float float64
	Text  string
	Addr  netip.Addr
	Count uint64 // events that had a value
}

// column is a column of a running table.
type column struct {
	*Column
	field *field.Field
	class class
	read  int // which of the table's reads gives its value
}

// read is a field that is read once per event for all columns that show it.
type read struct {
	field    *field.Field
	class    class
	fallback bool // a missing value is 0 or empty
	sampled  sampled
	sparse   bool // events that count 0 are no part of an average
	v        field.Value
	has      bool
}

// take reads the value for an event. It reports false if the event is to be
// left out for lack of it.
func (r *read) take(e *host.Event) bool {
	if r.has = r.field.Read(e, &r.v); !r.has {
		return r.miss()
	}
	r.has = !r.sparse || r.v.Num != 0
	return true
}

// takeThread is take for a thread that has no event. What it uses is known
// from a sample, if there is one.
func (r *read) takeThread(e *host.Event, s *Sample) bool {
	switch {
	case r.sampled != nil && s != nil:
		r.sampled(s, &r.v)
		r.has = true
		return true
	case r.class == classFloat && r.sampled != nil:
		r.has = false // a share of a processor is told by real events only
		return r.miss()
	}
	return r.take(e)
}

// miss puts 0 or an empty text in the place of a missing value.
func (r *read) miss() bool {
	if !r.fallback {
		return false
	}
	r.v.Str, r.v.Num, r.v.Float = "", 0, 0
	return true
}

// set makes the value the cell's.
func (c *Cell) set(r *read) {
	c.Num, c.Float, c.Addr = r.v.Num, r.v.Float, r.v.Addr
	if r.class == classText {
		c.Text = strings.Clone(r.v.Str)
	}
	c.Count = 0
	if r.has {
		c.Count = 1
	}
}

// add adds the value of one more event.
func (c *Cell) add(agg Aggregation, r *read) {
	switch agg {
	case First:
		return
	case Sum, Average, TimeAverage:
		c.Num += r.v.Num
		c.Float += r.v.Float
	case Max:
		c.takeMax(r.class, r.v.Num, r.v.Float)
		if r.class == classText && c.Text != r.v.Str {
			c.Text = strings.Clone(r.v.Str)
		}
	case Min:
		c.takeMin(r.class, r.v.Num, r.v.Float)
	}
	if r.has {
		c.Count++
	}
}

// follow adds what later events of the same row came to.
func (c *Cell) follow(agg Aggregation, k class, o *Cell) {
	if agg == First {
		return
	}
	count := c.Count + o.Count
	c.merge(agg, k, o)
	c.Count = count
}

// merge adds another cell when rows are grouped.
func (c *Cell) merge(agg Aggregation, k class, o *Cell) {
	switch agg {
	case First:
		if c.Text == "<NA>" { // a later thread may know more
			c.Text = o.Text
		}
		return
	case Sum, Average, TimeAverage:
		c.Num += o.Num
		c.Float += o.Float
	case Max:
		c.takeMax(k, o.Num, o.Float)
		if k == classText {
			c.Text = o.Text
		}
	case Min:
		c.takeMin(k, o.Num, o.Float)
	}
	if agg == Average {
		c.Count += o.Count
	}
}

func (c *Cell) takeMax(k class, n uint64, f float64) {
	switch k {
	case classSigned:
		c.Num = uint64(max(int64(c.Num), int64(n)))
	case classFloat:
		c.Float = max(c.Float, f)
	default:
		c.Num = max(c.Num, n)
	}
}

func (c *Cell) takeMin(k class, n uint64, f float64) {
	switch k {
	case classSigned:
		c.Num = uint64(min(int64(c.Num), int64(n)))
	case classFloat:
		c.Float = min(c.Float, f)
	default:
		c.Num = min(c.Num, n)
	}
}

// settle divides an average by its count, as rows are before they are grouped.
func (c *Cell) settle(agg Aggregation, k class) {
	if agg != Average || c.Count < 2 {
		return
	}
	switch k {
	case classFloat:
		c.Float /= float64(c.Count)
	case classSigned:
		c.Num = uint64(int64(c.Num) / int64(c.Count))
	default:
		c.Num /= c.Count
	}
	c.Count = 1
}

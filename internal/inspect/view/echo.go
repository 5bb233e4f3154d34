package view

import (
	"strconv"
	"strings"

	"rollcage/internal/detect/field"
	"rollcage/internal/detect/filter"
	"rollcage/internal/observe/host"
)

// The pseudo views: what was read and written, and the events themselves.
const (
	EchoView = "echo"
	DigView  = "dig"
)

// DigFormat is the form of an event in the dig view.
const DigFormat = "*%evt.num %evt.time %evt.cpu %proc.name (%thread.tid) %evt.type %evt.args"

// DigContainerFormat is the same with the container.
const DigContainerFormat = "*%evt.num %evt.time %evt.cpu %container.name (%container.id) %proc.name (%thread.tid:%thread.vtid) %evt.type %evt.args"

// Echo prints what was read and written. It is used by one goroutine.
type Echo struct {
	format *filter.Format
	fields []*filter.FormatField
	start  uint64
}

// echoFields are read for each event; the order is that of the constants.
const echoFields = "*%evt.rawarg.res %evt.is_io_read %evt.buffer %fd.num %fd.typechar %fd.name %proc.name %container.name %evt.failed %evt.is_io"

// NewEcho returns an Echo that shows data as the style says.
func NewEcho(style *field.Style) (*Echo, error) {
	f, err := filter.ParseFormat(echoFields)
	if err != nil {
		return nil, err
	}
	f.SetStyle(style)
	return &Echo{format: f, fields: f.Fields()}, nil
}

// Line is one read or write.
type Line struct {
	Time, Since uint64 // ns since the epoch, and since the first event
	Read        bool   // else written
	Data        string // as text, without a line end at either side
	Length      int64  // of what was transferred, in bytes
	FD          string
	Type        string // letter of the descriptor's type
	Name        string // of the descriptor
	Process     string
	Container   string
}

// Line returns what an event read or wrote; false if it did not.
func (c *Echo) Line(e *host.Event) (Line, bool) {
	if c.start == 0 {
		c.start = e.Time()
	}
	text := func(i int) string {
		b, _ := c.fields[i].AppendText(nil, e)
		return string(b)
	}
	if text(9) != "true" || text(8) == "true" {
		return Line{}, false
	}
	length, err := strconv.ParseInt(text(0), 10, 64)
	if err != nil || length <= 0 {
		return Line{}, false
	}
	data := text(2)
	data = strings.TrimSuffix(strings.TrimPrefix(data, "\n"), "\n")
	return Line{
		Time: e.Time(), Since: e.Time() - c.start, Read: text(1) == "true", Data: data, Length: length,
		FD: text(3), Type: text(4), Name: text(5), Process: text(6), Container: text(7),
	}, true
}

// AppendJSON appends a line as csysdig prints it.
func (l *Line) AppendJSON(b []byte) []byte {
	dir := ">"
	if l.Read {
		dir = "<"
	}
	if l.Container != "" {
		b = field.AppendJSONString(append(b, `{"c":`...), l.Container)
		b = append(b, `,"d":`...)
	} else {
		b = append(b, `{"d":`...)
	}
	b = field.AppendJSONString(b, dir)
	for _, m := range [...]struct{ key, value string }{
		{"f", l.FD + "(<" + l.Type + ">" + l.Name + ")"}, {"fd", l.FD}, {"fn", l.Name}, {"ft", l.Type},
		{"l", strconv.FormatInt(l.Length, 10)}, {"p", l.Process},
		{"ta", strconv.FormatUint(l.Time, 10)}, {"td", strconv.FormatUint(l.Since, 10)}, {"v", l.Data},
	} {
		b = append(append(append(b, `,"`...), m.key...), `":`...)
		b = field.AppendJSONString(b, m.value)
	}
	return append(b, '}')
}

package alert

import (
	"slices"
	"time"

	"rollcage/internal/detect/field"
)

// Shape says how an alert is written. The zero Shape is text; [JSON] returns
// the usual one for machines.
type Shape struct {
	JSON bool
	// ISO8601 writes the time of the text as date and time in UTC, instead of local time alone.
	ISO8601 bool
	// The parts of the JSON object that can be left out. Output is the whole
	// line of text, Message the same without time and priority.
	Output, Message, Fields, Tags bool
}

// JSON returns the shape in which Falco writes JSON unless told otherwise.
func JSON() Shape { return Shape{JSON: true, Output: true, Fields: true, Tags: true} }

const (
	timeLocal = "15:04:05.000000000"
	timeUTC   = "2006-01-02T15:04:05.000000000-0700"
	timeJSON  = "2006-01-02T15:04:05.000000000Z"
)

// Append appends the alert without a line end.
func (s Shape) Append(b []byte, a *Alert) []byte {
	if s.JSON {
		return s.appendJSON(b, a)
	}
	b = s.appendText(b, a)
	if a.Source != SourceInternal || len(a.Fields) == 0 {
		return b
	}
	b = append(b, " ("...)
	for i, f := range sorted(a.Fields) {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(append(b, f.Key...), '=')
		b = append(b, f.JSON...)
	}
	return append(b, ')')
}

// appendText appends time, priority and message.
func (s Shape) appendText(b []byte, a *Alert) []byte {
	if s.ISO8601 {
		b = a.Time.UTC().AppendFormat(b, timeUTC)
	} else {
		b = a.Time.In(zone()).AppendFormat(b, timeLocal)
	}
	b = append(append(b, ": "...), a.Priority.String()...)
	b = append(append(b, ' '), a.Message...)
	return b
}

// zone is the local time zone with the offset that is in force now. Events of
// a capture from another season keep the clock of today, as in Falco.
func zone() *time.Location {
	name, offset := time.Now().Zone()
	return time.FixedZone(name, offset)
}

// appendJSON appends an object with its keys in alphabetical order.
func (s Shape) appendJSON(b []byte, a *Alert) []byte {
	internal := a.Source == SourceInternal
	b = append(b, `{"hostname":`...)
	b = field.AppendJSONString(b, a.Hostname)
	if s.Message && !internal {
		b = field.AppendJSONString(append(b, `,"message":`...), a.Message)
	}
	if internal {
		b = field.AppendJSONString(append(b, `,"output":`...), a.Message)
	} else if s.Output {
		b = field.AppendJSONString(append(b, `,"output":`...), string(s.appendText(nil, a)))
	}
	if s.Fields || internal {
		b = appendFields(append(b, `,"output_fields":`...), a.Fields)
	}
	b = field.AppendJSONString(append(b, `,"priority":`...), a.Priority.String())
	b = field.AppendJSONString(append(b, `,"rule":`...), a.Rule)
	b = field.AppendJSONString(append(b, `,"source":`...), a.Source)
	if s.Tags && !internal {
		b = append(b, `,"tags":[`...)
		for i, t := range a.Tags {
			if i > 0 {
				b = append(b, ',')
			}
			b = field.AppendJSONString(b, t)
		}
		b = append(b, ']')
	}
	b = append(b, `,"time":"`...)
	b = append(a.Time.UTC().AppendFormat(b, timeJSON), '"')
	if a.ID != "" {
		b = field.AppendJSONString(append(b, `,"uuid":`...), a.ID) // falcosidekick's name for it
	}
	return append(b, '}')
}

// sorted returns the fields sorted by key.
func sorted(fields []Field) []Field {
	if slices.IsSortedFunc(fields, byKey) {
		return fields
	}
	return slices.SortedFunc(slices.Values(fields), byKey)
}

// appendFields appends an object of the fields, sorted by key.
func appendFields(b []byte, fields []Field) []byte {
	b = append(b, '{')
	for i, f := range sorted(fields) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(field.AppendJSONString(b, f.Key), ':')
		b = append(b, f.JSON...)
	}
	return append(b, '}')
}

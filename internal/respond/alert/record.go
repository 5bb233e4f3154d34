package alert

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"rollcage/internal/detect/field"
	"rollcage/internal/detect/rule"
)

// recordVersion is that of the form in which alerts are kept. Keys may be
// added without a new version.
const recordVersion = 1

// AppendRecord appends the alert in the form in which it is kept on disk: a
// JSON object with everything there is to an alert, its fields in their order
// (docs/formats/outbox.md).
func AppendRecord(b []byte, a *Alert) []byte {
	b = append(b, `{"v":`...)
	b = strconv.AppendInt(b, recordVersion, 10)
	b = field.AppendJSONString(append(b, `,"id":`...), a.ID)
	b = strconv.AppendInt(append(b, `,"time":`...), a.Time.UnixNano(), 10)
	b = field.AppendJSONString(append(b, `,"rule":`...), a.Rule)
	b = field.AppendJSONString(append(b, `,"priority":`...), a.Priority.String())
	b = field.AppendJSONString(append(b, `,"source":`...), a.Source)
	b = append(b, `,"tags":[`...)
	for i, t := range a.Tags {
		if i > 0 {
			b = append(b, ',')
		}
		b = field.AppendJSONString(b, t)
	}
	b = field.AppendJSONString(append(b, `],"hostname":`...), a.Hostname)
	b = field.AppendJSONString(append(b, `,"message":`...), a.Message)
	b = append(b, `,"fields":[`...)
	for i, f := range a.Fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(field.AppendJSONString(append(b, '['), f.Key), ',')
		b = append(append(b, f.JSON...), ']')
	}
	return append(b, "]}"...)
}

// ParseRecord reads what AppendRecord wrote. The alert keeps nothing of b.
func ParseRecord(b []byte) (*Alert, error) {
	var r struct {
		V                                    int
		ID, Rule, Priority, Source, Hostname string
		Message                              string
		Time                                 int64
		Tags                                 []string
		Fields                               [][]json.RawMessage
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("alert record: %w", err)
	}
	if r.V != recordVersion {
		return nil, fmt.Errorf("alert record: version %d is not known, only %d", r.V, recordVersion)
	}
	p, ok := rule.ParsePriority(r.Priority)
	if !ok {
		return nil, fmt.Errorf("alert record: priority %q is not known", r.Priority)
	}
	a := &Alert{
		ID: r.ID, Time: time.Unix(0, r.Time), Rule: r.Rule, Priority: p, Source: r.Source, Tags: r.Tags, Hostname: r.Hostname,
		Message: r.Message,
	}
	for _, pair := range r.Fields {
		if len(pair) != 2 {
			return nil, errors.New("alert record: a field is not a pair of key and value")
		}
		var key string
		if err := json.Unmarshal(pair[0], &key); err != nil {
			return nil, fmt.Errorf("alert record: key of a field: %w", err)
		}
		a.Fields = append(a.Fields, Field{key, pair[1]})
	}
	return a, nil
}

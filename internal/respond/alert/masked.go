package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"

	"rollcage/internal/detect/field"
	"rollcage/internal/respond/mask"
)

// Masked returns the alert with passwords, tokens and keys hidden in its
// message and fields: a itself if there are none, else a copy.
func Masked(a *Alert) *Alert {
	out := a
	change := func() {
		if out == a {
			c := *a
			c.Fields = slices.Clone(a.Fields)
			out = &c
		}
	}
	if m := mask.String(a.Message); m != a.Message {
		change()
		out.Message = m
	}
	for i, f := range a.Fields {
		masked := maskJSON(f.JSON)
		if mask.Secret(f.Key) {
			masked = []byte(`"` + mask.Hidden + `"`)
		}
		if masked != nil {
			change()
			out.Fields[i].JSON = masked
		}
	}
	return out
}

// maskJSON returns a JSON string with secrets hidden, nil if there are none.
// Other values are numbers and lists of them, or of texts that are masked one by one.
func maskJSON(b []byte) []byte {
	if len(b) == 0 || b[0] != '"' && b[0] != '[' {
		return nil
	}
	if bytes.IndexByte(b, '\\') < 0 && !mask.Found(b) {
		return nil
	}
	if b[0] == '[' {
		return maskList(b)
	}
	var s string
	if json.Unmarshal(b, &s) != nil {
		return nil
	}
	m := mask.String(s)
	if m == s {
		return nil
	}
	return field.AppendJSONString(nil, m)
}

func maskList(b []byte) []byte {
	var list []json.RawMessage
	if json.Unmarshal(b, &list) != nil {
		return nil
	}
	changed, out := false, []byte{'['}
	for i, item := range list {
		if i > 0 {
			out = append(out, ',')
		}
		if m := maskJSON(item); m != nil {
			item, changed = m, true
		}
		out = append(out, item...)
	}
	if !changed {
		return nil
	}
	return append(out, ']')
}

// MaskOutput returns an output that hides secrets in alerts before it hands them to out.
func MaskOutput(out Output) Output {
	if b, ok := out.(Batcher); ok {
		return maskedBatcher{b}
	}
	return masked{out}
}

type masked struct{ Output }

// Send sends the masked alert.
func (m masked) Send(ctx context.Context, a *Alert) error { return m.Output.Send(ctx, Masked(a)) }

type maskedBatcher struct{ Batcher }

// Send sends the masked alert.
func (m maskedBatcher) Send(ctx context.Context, a *Alert) error {
	return m.Batcher.Send(ctx, Masked(a))
}

// SendBatch sends the masked alerts.
func (m maskedBatcher) SendBatch(ctx context.Context, alerts []*Alert) error {
	hidden := make([]*Alert, len(alerts))
	for i, a := range alerts {
		hidden[i] = Masked(a)
	}
	return m.Batcher.SendBatch(ctx, hidden)
}

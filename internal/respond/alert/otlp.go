package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"rollcage/internal/detect/rule"
)

// OTLP sends alerts as log records of OpenTelemetry: OTLP over HTTP, in JSON
// (opentelemetry.io/docs/specs/otlp, version 1.x).
type OTLP struct{ *HTTP }

// NewOTLP returns an output that posts to opts.URL, the whole URL of a
// collector's logs, for instance http://127.0.0.1:4318/v1/logs. The Shape is not used.
func NewOTLP(opts HTTPOptions) (*OTLP, error) {
	h, err := NewHTTP(opts)
	if err != nil {
		return nil, err
	}
	h.body = func(a *Alert) []byte { return otlpBody([]*Alert{a}) }
	h.check = otlpCheck
	return &OTLP{h}, nil
}

// Name returns "otlp" and the URL without password and query.
func (o *OTLP) Name() string { return "otlp" + o.HTTP.Name()[len("http"):] }

// Batch returns how many records go into a request.
func (o *OTLP) Batch() (int, time.Duration) { return 256, 200 * time.Millisecond }

// SendBatch sends the alerts in one request.
func (o *OTLP) SendBatch(ctx context.Context, alerts []*Alert) error {
	if o.closed {
		return ErrClosed
	}
	return o.deliver(ctx, o.pack(otlpBody(alerts)))
}

// otlpCheck reads what the collector says of records that it did not take.
func otlpCheck(answer []byte) error {
	var r struct {
		PartialSuccess struct {
			RejectedLogRecords json.Number
			ErrorMessage       string
		}
	}
	if len(bytes.TrimSpace(answer)) == 0 || json.Unmarshal(answer, &r) != nil {
		return nil // a collector need not say anything
	}
	if n, _ := r.PartialSuccess.RejectedLogRecords.Int64(); n > 0 {
		return fmt.Errorf("%w: %d records: %s", ErrRefused, n, r.PartialSuccess.ErrorMessage)
	}
	return nil
}

// otlpSeverity has the severity numbers for those of syslog, as the data model of logs maps them.
var otlpSeverity = [...]int{
	rule.Emergency: 21, rule.Alert: 19, rule.Critical: 18, rule.Error: 17, rule.Warning: 13, rule.Notice: 10, rule.Informational: 9, rule.Debug: 5,
}

type otlpKeyValue struct {
	Key   string         `json:"key"`
	Value map[string]any `json:"value"`
}

func otlpString(key, value string) otlpKeyValue {
	return otlpKeyValue{key, map[string]any{"stringValue": value}}
}

type otlpRecord struct {
	Time       string         `json:"timeUnixNano"`
	Observed   string         `json:"observedTimeUnixNano"`
	Severity   int            `json:"severityNumber"`
	Text       string         `json:"severityText"`
	Body       map[string]any `json:"body"`
	Attributes []otlpKeyValue `json:"attributes"`
	EventName  string         `json:"eventName"`
}

// otlpBody returns a request. Alerts of one host are one resource.
func otlpBody(alerts []*Alert) []byte {
	var resources []map[string]any
	var records []otlpRecord
	flush := func(hostname string) {
		if len(records) == 0 {
			return
		}
		resources = append(resources, map[string]any{
			"resource": map[string]any{"attributes": []otlpKeyValue{otlpString("service.name", "rollcage"), otlpString("host.name", hostname)}},
			"scopeLogs": []map[string]any{{
				"scope": map[string]any{"name": "rollcage"}, "logRecords": records,
			}},
		})
		records = nil
	}
	for i, a := range alerts {
		if i > 0 && a.Hostname != alerts[i-1].Hostname {
			flush(alerts[i-1].Hostname)
		}
		records = append(records, otlpRecordOf(a))
	}
	if n := len(alerts); n > 0 {
		flush(alerts[n-1].Hostname)
	}
	body, err := json.Marshal(map[string]any{"resourceLogs": resources})
	if err != nil {
		return nil // made of texts, numbers and lists alone: cannot be
	}
	return body
}

func otlpRecordOf(a *Alert) otlpRecord {
	r := otlpRecord{
		Time: strconv.FormatInt(a.Time.UnixNano(), 10), Observed: strconv.FormatInt(time.Now().UnixNano(), 10),
		Severity: otlpSeverity[min(int(a.Priority), len(otlpSeverity)-1)], Text: a.Priority.String(), EventName: "rollcage.alert",
		Body:       map[string]any{"stringValue": string(Shape{ISO8601: true}.Append(nil, a))},
		Attributes: []otlpKeyValue{otlpString("rollcage.rule", a.Rule), otlpString("rollcage.source", a.Source)},
	}
	if a.ID != "" {
		r.Attributes = append(r.Attributes, otlpString("log.record.uid", a.ID))
	}
	if len(a.Tags) > 0 {
		var tags []any
		for _, t := range a.Tags {
			tags = append(tags, map[string]any{"stringValue": t})
		}
		r.Attributes = append(r.Attributes, otlpKeyValue{"rollcage.tags", map[string]any{"arrayValue": map[string]any{"values": tags}}})
	}
	for _, f := range a.Fields {
		dec := json.NewDecoder(bytes.NewReader(f.JSON))
		dec.UseNumber()
		var v any
		if dec.Decode(&v) == nil && v != nil {
			r.Attributes = append(r.Attributes, otlpKeyValue{f.Key, otlpValue(v)})
		}
	}
	return r
}

// otlpValue returns a value of JSON in OTLP's form, in which whole numbers are texts.
func otlpValue(v any) map[string]any {
	switch v := v.(type) {
	case bool:
		return map[string]any{"boolValue": v}
	case json.Number:
		if _, err := v.Int64(); err == nil {
			return map[string]any{"intValue": v.String()}
		}
		f, _ := v.Float64()
		return map[string]any{"doubleValue": f}
	case []any:
		values := make([]any, 0, len(v))
		for _, x := range v {
			values = append(values, otlpValue(x))
		}
		return map[string]any{"arrayValue": map[string]any{"values": values}}
	case string:
		return map[string]any{"stringValue": v}
	}
	return map[string]any{"stringValue": fmt.Sprint(v)}
}

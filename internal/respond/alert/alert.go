// Package alert turns matches of rules into alerts and delivers them.
//
// A [Formatter] makes an [Alert] out of a match while its event is at hand;
// from then on the alert stands for itself. A [Shape] writes it as a line of
// text or JSON, in the forms that Falco gives its alerts, so that what reads
// those reads these. A [Delivery] hands alerts to [Output]s, each behind a
// bounded queue of its own: an output that is slow or dead loses its own alerts,
// which is counted and said, and holds up nobody.
package alert

import (
	"os"
	"slices"
	"strings"
	"time"

	"rollcage/internal/detect/field"
	"rollcage/internal/detect/rule"
)

// Alert tells that a rule matched, or something about Rollcage itself. It
// owns all its memory and must not be changed once it is sent.
type Alert struct {
	// ID is a UUID by which a receiver knows an alert again that reaches it
	// twice. An outbox gives it; it is empty where alerts are kept nowhere.
	ID string
	// Time is when the event happened.
	Time     time.Time
	Rule     string
	Priority rule.Priority
	Source   string
	Tags     []string // sorted
	Hostname string
	// Message is what the rule's output says, in one line unless the rule itself breaks it.
	Message string
	// Fields are the values in the message, in its order, and others that
	// belong to it. No key is there twice.
	Fields []Field
}

// Field is a named value of an alert.
type Field struct {
	Key string
	// JSON is the value as JSON: a string, number, boolean, null, or array of these.
	JSON []byte
}

// SourceInternal is the source of alerts about Rollcage itself.
const SourceInternal = "internal"

// Internal returns an alert about Rollcage itself. The values of the fields
// are strings; they are sorted by key.
func Internal(at time.Time, ruleName string, p rule.Priority, message string, fields map[string]string) *Alert {
	a := &Alert{Time: at, Rule: ruleName, Priority: p, Source: SourceInternal, Hostname: Hostname(), Message: message}
	for k, v := range fields {
		a.Fields = append(a.Fields, Field{k, field.AppendJSONString(nil, v)})
	}
	slices.SortFunc(a.Fields, byKey)
	return a
}

func byKey(a, b Field) int { return strings.Compare(a.Key, b.Key) }

// Value returns the JSON value of a field, nil if the alert does not have it.
func (a *Alert) Value(key string) []byte {
	for i := range a.Fields {
		if a.Fields[i].Key == key {
			return a.Fields[i].JSON
		}
	}
	return nil
}

// Hostname returns the name that alerts carry: FALCO_HOSTNAME from the
// environment if it is set, else the system's.
func Hostname() string {
	if name := os.Getenv("FALCO_HOSTNAME"); name != "" {
		return name
	}
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}

// Package view turns a stream of events into tables: processes, files,
// connections, system calls and more, each described as data in views.json.
//
// A [View] says which events count, what a row stands for and what its columns
// add up. A [Table] runs a view over events; its memory is bounded and an event
// of a known row allocates nothing. A [Path] is where one is after drilling
// down: the views on the way and the rows that were chosen. [Summary] makes the
// overview of a whole stream, in one pass. What the views are called, show and
// how they compute it follows csysdig, so that scripts and habits stay.
package view

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"rollcage/internal/detect/field"
	"rollcage/internal/observe/event"
)

//go:embed views.json
var viewsJSON []byte

// Kind says what a row of a view is.
type Kind string

// The kinds of views.
const (
	KindTable       Kind = "table"       // a row for each key
	KindList        Kind = "list"        // a row for each event
	KindSpectrogram Kind = "spectrogram" // a row for each step of latency
)

// Aggregation says how the values of the events of a row become one.
type Aggregation string

// The aggregations.
const (
	First       Aggregation = ""         // the first value stays
	Sum         Aggregation = "SUM"      //
	Average     Aggregation = "AVG"      // over the events that have a value
	Max         Aggregation = "MAX"      // of texts: the last
	Min         Aggregation = "MIN"      //
	TimeAverage Aggregation = "TIME_AVG" // the sum by the seconds of the sample
)

// Column is a column of a view. Those without a name are keys that are not shown.
type Column struct {
	Name     string      `json:"name"`
	Field    string      `json:"field"`
	Agg      Aggregation `json:"agg"`
	Group    Aggregation `json:"group"` // when rows are grouped
	Key      bool        `json:"key"`
	GroupKey bool        `json:"groupkey"`
	Sort     bool        `json:"sort"` // sorted by it at first
	Width    int         `json:"width"`
	// Only limits the column to one of two forms of the view: containers for
	// the one that tells containers apart, default for the one that does not.
	Only string `json:"only"`
}

// View describes a view. It is shared and must not be changed.
type View struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Kind        Kind     `json:"kind"`
	Tags        []string `json:"tags"`
	Filter      string   `json:"filter"`
	// Root marks the views that make sense as the first one.
	Root bool `json:"root"`
	// Drill is the view that Enter leads to, "" if it leads nowhere.
	Drill string `json:"drill"`
	// AppliesTo are the key fields from whose rows the view can be opened; ""
	// is the start.
	AppliesTo []string `json:"applies_to"`
	// NoDefaults drops events that lack the value of a column; others have 0
	// or an empty text then.
	NoDefaults bool `json:"nodefaults"`
	// NoFilter keeps the view's own filter from the views that are opened from it.
	NoFilter bool     `json:"nofilter"`
	Columns  []Column `json:"columns"`
}

// catalog holds the views by name.
var catalog = mustLoad(viewsJSON)

func mustLoad(data []byte) []*View {
	var views []*View
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&views); err != nil {
		panic(fmt.Sprintf("view: views.json: %v", err)) // a test reads it too
	}
	slices.SortFunc(views, func(a, b *View) int { return strings.Compare(a.Name, b.Name) })
	return views
}

// All returns all views, by name. The slice is shared.
func All() []*View { return catalog }

// Lookup returns the view with that id, nil if there is none.
func Lookup(id string) *View {
	for _, v := range catalog {
		if v.ID == id {
			return v
		}
	}
	return nil
}

// UnknownError says that there is no view of that id.
type UnknownError struct{ ID, Nearest string }

func (e *UnknownError) Error() string {
	if e.Nearest == "" {
		return fmt.Sprintf("unknown view %q", e.ID)
	}
	return fmt.Sprintf("unknown view %q, did you mean %s?", e.ID, e.Nearest)
}

// Find returns the view with that id. The error is an *UnknownError.
func Find(id string) (*View, error) {
	if v := Lookup(id); v != nil {
		return v, nil
	}
	var ids []string
	for _, v := range catalog {
		ids = append(ids, v.ID)
	}
	return nil, &UnknownError{id, event.Nearest(id, ids)}
}

// AppliesFrom reports whether the view can be opened from a row whose key is
// that field, "" for the start.
func (v *View) AppliesFrom(key string) bool { return slices.Contains(v.AppliesTo, key) }

// KeyField returns the field that tells the rows apart: the one they are
// grouped by if there is one. It is "" for lists.
func (v *View) KeyField(containers bool) string {
	key := ""
	for i := range v.Columns {
		switch c := &v.Columns[i]; {
		case !c.shown(containers):
		case c.GroupKey:
			return c.Field
		case c.Key:
			key = c.Field
		}
	}
	return key
}

// shown reports whether the column belongs to that form of the view.
func (c *Column) shown(containers bool) bool {
	switch c.Only {
	case "containers":
		return containers
	case "default":
		return !containers
	}
	return true
}

// parseField returns the field of a column: NAME, NAME.ARG or NAME[ARG]. In a
// column %depth+1 stands for the level of the drill-down less one, as in csysdig.
func parseField(text string, depth int) (*field.Field, error) {
	text = expandDepth(text, depth, -1)
	name, arg, hasArg := strings.Cut(text, "[")
	f, err := field.Parse(name, strings.TrimSuffix(arg, "]"), hasArg)
	if err != nil {
		return nil, fmt.Errorf("column %s: %w", text, err)
	}
	return f, nil
}

// expandDepth replaces %depth, %depth+1 and %depth-1. next is what +1 adds.
func expandDepth(text string, depth, next int) string {
	if !strings.Contains(text, "%depth") {
		return text
	}
	return strings.NewReplacer(
		"%depth+1", fmt.Sprint(depth+next), "%depth-1", fmt.Sprint(depth-1), "%depth", fmt.Sprint(depth),
	).Replace(text)
}

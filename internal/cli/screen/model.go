// Package screen shows views on a terminal: rows that are sorted, filtered,
// opened and left again by keys, while they change.
//
// A model holds what is seen and knows no terminal; a [Feed] runs the view
// at hand over events; [Run] is the loop between them and the terminal.
package screen

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"rollcage/internal/detect/filter"
	"rollcage/internal/inspect/view"
	"rollcage/internal/observe/event"
)

// mode is what the keys are for.
type mode uint8

const (
	modeRows mode = iota
	modeFilter
	modeViews
	modeHelp
)

// model is what is seen.
type model struct {
	feed       Feed
	source     string // what is watched
	containers bool
	mode       mode

	path    view.Path
	text    string // echo or dig over the path, "" for the view itself
	result  *view.Result
	lines   []string       // of echo or dig
	samples []*view.Result // of a spectrogram
	state   State

	sort       int
	descending bool
	sorted     bool   // the user chose the column
	selected   string // key of the row
	cursor     int
	top        int // first row that is seen
	height     int // rows that are seen
	paused     bool

	input   string // of the filter
	problem string // with it, or what else to tell
	views   []*view.View
	choice  int // of the menu
	quit    bool
}

func newModel(feed Feed, path view.Path, text, source string, containers bool) *model {
	m := &model{feed: feed, source: source, containers: containers, height: 1}
	m.open(path, text)
	return m
}

// open shows a path, or what was read and written there, or its events. What
// cannot be shown leaves everything as it is.
func (m *model) open(path view.Path, text string) bool {
	if err := m.feed.Show(path, text, m.containers); err != nil {
		m.problem = firstLine(path.Filter, err)
		return false
	}
	m.path, m.text, m.result, m.lines, m.samples, m.problem = path, text, nil, nil, nil, ""
	m.sorted, m.selected, m.cursor, m.top, m.paused = false, "", 0, 0, false
	return true
}

// firstLine is the error in one line.
func firstLine(condition string, err error) string {
	var fe *filter.Error
	if errors.As(err, &fe) {
		return fe.Msg
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// update takes what the feed has found.
func (m *model) update(u Update) {
	m.state = u.State
	if m.paused {
		return
	}
	if u.Result != nil && m.text == "" {
		m.result = u.Result
		if !m.sorted {
			m.sort = u.Result.DefaultSort()
			m.descending = u.Result.Descending(m.sort)
		}
		m.order()
	}
	if m.text != "" && len(u.Lines) > 0 {
		atEnd := m.cursor >= len(m.lines)-1
		m.lines = append(m.lines, u.Lines...)
		if extra := len(m.lines) - maxLines; extra > 0 {
			m.lines = slices.Delete(m.lines, 0, extra)
			m.cursor = max(0, m.cursor-extra)
		}
		if atEnd && m.state.Live {
			m.cursor = len(m.lines) - 1
		}
	}
	if len(u.Samples) > 0 && m.spectrogram() {
		atEnd := m.cursor >= len(m.samples)-1
		m.samples = append(m.samples, u.Samples...)
		if extra := len(m.samples) - maxLines; extra > 0 {
			m.samples = slices.Delete(m.samples, 0, extra)
		}
		if atEnd && m.state.Live {
			m.cursor = len(m.samples) - 1
		}
	}
	m.move(0)
}

// spectrogram reports whether what is shown is one.
func (m *model) spectrogram() bool {
	return m.text == "" && m.path.View().Kind == view.KindSpectrogram
}

// maxLines is how many lines of echo and dig are kept.
const maxLines = 20_000

// order sorts the rows and keeps the selected one selected.
func (m *model) order() {
	if m.result == nil {
		return
	}
	if m.result.View.Kind != view.KindList || m.sorted {
		m.result.Sort(m.sort, m.descending)
	}
	if m.selected == "" {
		return
	}
	for i := range m.result.Rows {
		if m.result.Rows[i].Key == m.selected {
			m.cursor = i
			return
		}
	}
}

func (m *model) count() int {
	switch {
	case m.text != "":
		return len(m.lines)
	case m.spectrogram():
		return len(m.samples)
	case m.result != nil:
		return len(m.result.Rows)
	}
	return 0
}

// move moves the cursor by n rows and keeps it in sight.
func (m *model) move(n int) {
	m.cursor = max(0, min(m.cursor+n, m.count()-1))
	if m.cursor < m.top {
		m.top = m.cursor
	}
	m.top = max(0, min(max(m.top, m.cursor-m.height+1), max(0, m.count()-m.height)))
	if n != 0 && m.text == "" && !m.spectrogram() && m.cursor < m.count() {
		m.selected = m.result.Rows[m.cursor].Key
	}
}

// sortBy sorts by another column, or the other way.
func (m *model) sortBy(column int, descending bool) {
	if m.result == nil || len(m.result.Columns) == 0 || m.text != "" {
		return
	}
	n := len(m.result.Columns)
	m.sort, m.descending, m.sorted = (column+n)%n, descending, true
	m.order()
	m.move(0)
}

// enter opens the selected row.
func (m *model) enter() {
	if m.text != "" || m.cursor >= m.count() {
		return
	}
	v := m.path.View()
	to := view.Lookup(v.Drill)
	if to == nil || v.Kind != view.KindTable {
		m.problem = "there is nothing below this view"
		return
	}
	m.open(m.path.Down(to, m.containers, m.result.Rows[m.cursor].Key), "")
}

// peek shows what the selected row reads and writes, or its events.
func (m *model) peek(text string) {
	if m.text != "" {
		m.open(m.path, text)
		return
	}
	path := m.path
	if v := path.View(); v.Kind == view.KindTable && m.cursor < m.count() {
		path = path.Down(v, m.containers, m.result.Rows[m.cursor].Key)
	}
	m.open(path, text)
}

// back goes one step back.
func (m *model) back() {
	switch {
	case m.text != "" || len(m.path.Steps) > 1:
		m.open(m.path.Up(), "")
	default:
		m.problem = "this is where you started; q quits"
	}
}

// title says where one is.
func (m *model) title() string {
	var parts []string
	for _, s := range m.path.Steps {
		name := s.View.Name
		if s.Value != "" {
			name += " " + string(event.AppendPrintable(nil, s.Value))
		}
		parts = append(parts, name)
	}
	switch m.text {
	case view.EchoView:
		parts[len(parts)-1] = "Data"
	case view.DigView:
		parts[len(parts)-1] = "Events"
	}
	return strings.Join(parts, " > ")
}

// status says how far the feed is.
func (m *model) status() string {
	s := fmt.Sprintf("%d rows", m.count())
	if m.spectrogram() {
		s = fmt.Sprintf("%d samples", m.count())
	}
	if m.text != "" {
		s = fmt.Sprintf("%d lines", m.count())
	}
	switch {
	case m.state.Err != nil:
		s = "the source ended: " + m.state.Err.Error()
	case m.paused:
		s += ", paused"
	case m.state.Live && m.state.Dropped > 0:
		s += fmt.Sprintf(", %d events lost", m.state.Dropped)
	case !m.state.Live && !m.state.Done:
		s += fmt.Sprintf(", reading: %d events", m.state.Events)
	}
	if m.result != nil && m.result.Left > 0 {
		s += fmt.Sprintf(", %d events beyond them", m.result.Left)
	}
	return s
}

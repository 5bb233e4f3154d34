package screen

import (
	"unicode/utf8"

	"github.com/gdamore/tcell/v2"

	"rollcage/internal/inspect/view"
)

// binding is a key and what it does while rows are shown.
type binding struct {
	keys   []tcell.Key
	runes  string
	label  string // in the help
	doc    string
	bar    string // in the bottom line, "" for not there
	action func(*model)
}

// bindings is the table of keys; the help shows it.
var bindings = []binding{
	{[]tcell.Key{tcell.KeyUp}, "k", "up, k", "the row before", "", func(m *model) { m.move(-1) }},
	{[]tcell.Key{tcell.KeyDown}, "j", "down, j", "the next row", "", func(m *model) { m.move(1) }},
	{[]tcell.Key{tcell.KeyPgUp}, "", "page up", "a page back", "", func(m *model) { m.move(-m.height) }},
	{[]tcell.Key{tcell.KeyPgDn}, " ", "page down, space", "a page on", "", func(m *model) { m.move(m.height) }},
	{[]tcell.Key{tcell.KeyHome}, "g", "home, g", "the first row", "", func(m *model) { m.move(-m.count()) }},
	{[]tcell.Key{tcell.KeyEnd}, "G", "end, G", "the last row", "", func(m *model) { m.move(m.count()) }},
	{[]tcell.Key{tcell.KeyEnter}, "", "Enter", "open the row: what is below it", "Enter Open", (*model).enter},
	{[]tcell.Key{tcell.KeyBackspace, tcell.KeyBackspace2, tcell.KeyEscape}, "", "Backspace, Esc", "back to where you came from", "Bksp Back", (*model).back},
	{[]tcell.Key{tcell.KeyF2}, "v", "v, F2", "choose another view", "v Views", (*model).menu},
	{[]tcell.Key{tcell.KeyF4}, "/f", "/, f, F4", "change the filter, a condition like those of rules", "/ Filter", func(m *model) { m.mode, m.input = modeFilter, m.path.Filter }},
	{[]tcell.Key{tcell.KeyLeft}, "<", "left, <", "sort by the column before", "<> Sort", func(m *model) { m.sortColumn(-1) }},
	{[]tcell.Key{tcell.KeyRight}, ">", "right, >", "sort by the next column", "", func(m *model) { m.sortColumn(1) }},
	{nil, "r", "r", "sort the other way", "r Reverse", func(m *model) { m.sortBy(m.sort, !m.descending) }},
	{[]tcell.Key{tcell.KeyF5}, "e", "e, F5", "what the row reads and writes", "e Data", func(m *model) { m.peek(view.EchoView) }},
	{[]tcell.Key{tcell.KeyF6}, "d", "d, F6", "the events of the row", "d Events", func(m *model) { m.peek(view.DigView) }},
	{nil, "p", "p", "pause, and go on", "p Pause", func(m *model) { m.paused = !m.paused }},
	{nil, "c", "c", "tell containers apart, or not", "", func(m *model) { m.containers = !m.containers; m.open(m.path, m.text) }},
	{[]tcell.Key{tcell.KeyF1}, "?h", "?, h, F1", "this help", "? Help", func(m *model) { m.mode = modeHelp }},
	{[]tcell.Key{tcell.KeyF10, tcell.KeyCtrlC}, "q", "q, F10", "quit", "q Quit", func(m *model) { m.quit = true }},
}

func (m *model) sortColumn(step int) {
	if m.result == nil || m.text != "" || len(m.result.Columns) == 0 {
		return
	}
	n := len(m.result.Columns)
	column := (m.sort + step + n) % n
	m.sortBy(column, m.result.Descending(column))
}

// menu shows the views that fit here.
func (m *model) menu() {
	m.views, m.choice = m.path.Views(), 0
	for i, v := range m.views {
		if v == m.path.View() {
			m.choice = i
		}
	}
	if len(m.views) > 0 {
		m.mode = modeViews
	}
}

// key acts on a key.
func (m *model) key(k tcell.Key, r rune) {
	m.problem = ""
	if k == tcell.KeyCtrlC {
		m.quit = true
		return
	}
	switch m.mode {
	case modeHelp:
		m.mode = modeRows
	case modeFilter:
		m.keyInFilter(k, r)
	case modeViews:
		m.keyInMenu(k, r)
	default:
		for i := range bindings {
			if bindings[i].is(k, r) {
				bindings[i].action(m)
				return
			}
		}
	}
}

func (b *binding) is(k tcell.Key, r rune) bool {
	if k == tcell.KeyRune {
		for _, x := range b.runes {
			if x == r {
				return true
			}
		}
		return false
	}
	for _, x := range b.keys {
		if x == k {
			return true
		}
	}
	return false
}

func (m *model) keyInFilter(k tcell.Key, r rune) {
	switch k {
	case tcell.KeyRune:
		m.input += string(r)
	case tcell.KeyBackspace, tcell.KeyBackspace2:
		_, n := utf8.DecodeLastRuneInString(m.input)
		m.input = m.input[:len(m.input)-n]
	case tcell.KeyCtrlU:
		m.input = ""
	case tcell.KeyEscape:
		m.mode = modeRows
	case tcell.KeyEnter:
		path := m.path
		path.Filter = m.input
		if m.open(path, m.text) {
			m.mode = modeRows
		}
	}
}

func (m *model) keyInMenu(k tcell.Key, r rune) {
	n := len(m.views)
	switch {
	case k == tcell.KeyUp || k == tcell.KeyRune && r == 'k':
		m.choice = (m.choice + n - 1) % n
	case k == tcell.KeyDown || k == tcell.KeyRune && r == 'j':
		m.choice = (m.choice + 1) % n
	case k == tcell.KeyEnter:
		m.mode = modeRows
		m.open(m.path.Switch(m.views[m.choice]), "")
	case k == tcell.KeyEscape, k == tcell.KeyBackspace, k == tcell.KeyBackspace2, k == tcell.KeyRune && r == 'q':
		m.mode = modeRows
	}
}

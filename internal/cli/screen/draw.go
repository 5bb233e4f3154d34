package screen

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gdamore/tcell/v2"

	"rollcage/internal/inspect/view"
)

// The looks of the parts; the terminal's own colours serve dark and light.
var (
	plain  = tcell.StyleDefault
	bold   = plain.Bold(true)
	bar    = plain.Reverse(true)
	dim    = plain.Dim(true)
	alarm  = plain.Foreground(tcell.ColorRed).Bold(true)
	header = plain.Foreground(tcell.ColorTeal).Bold(true)
)

// draw shows the model.
func (m *model) draw(s tcell.Screen) {
	s.Clear()
	w, h := s.Size()
	if w < 20 || h < 6 {
		s.PutStr(0, 0, "too small")
		s.Show()
		return
	}
	line(s, 0, w, bar.Bold(true), " "+m.title(), m.source+" ")
	filter := "no filter"
	if m.path.Filter != "" {
		filter = "filter: " + m.path.Filter
	}
	line(s, 1, w, dim, " "+filter, m.status()+" ")
	m.height = h - 4
	m.move(0)
	switch {
	case m.text != "":
		m.drawLines(s, w)
	case m.spectrogram():
		m.drawSpectrogram(s, w)
	default:
		m.drawTable(s, w)
	}
	m.drawBottom(s, w, h)
	switch m.mode {
	case modeHelp:
		m.drawHelp(s, w, h)
	case modeViews:
		m.drawMenu(s, w, h)
	}
	s.Show()
}

// line shows a text at the left and one at the right of a line.
func line(s tcell.Screen, y, w int, style tcell.Style, left, right string) {
	put(s, 0, y, w, style, left, false)
	if n := utf8.RuneCountInString(right); n < w {
		if utf8.RuneCountInString(left)+n < w {
			put(s, w-n, y, n, style, right, false)
		}
	}
}

// put shows a text in a field of w cells, cut if it is longer.
func put(s tcell.Screen, x, y, w int, style tcell.Style, text string, right bool) {
	if n := utf8.RuneCountInString(text); n > w {
		text = string([]rune(text)[:w])
	} else if right {
		text = strings.Repeat(" ", w-n) + text
	} else {
		text += strings.Repeat(" ", w-n)
	}
	s.PutStrStyled(x, y, text, style)
}

func (m *model) drawBottom(s tcell.Screen, w, h int) {
	switch {
	case m.mode == modeFilter:
		put(s, 0, h-1, w, bold, "Filter: "+m.input+"_", false)
		if m.problem != "" {
			put(s, 0, h-2, w, alarm, " "+m.problem, false)
		}
		return
	case m.problem != "":
		put(s, 0, h-1, w, alarm, " "+m.problem, false)
		return
	}
	var keys []string
	for i := range bindings {
		if b := bindings[i].bar; b != "" {
			keys = append(keys, b)
		}
	}
	put(s, 0, h-1, w, bar, " "+strings.Join(keys, "  "), false)
}

func (m *model) drawLines(s tcell.Screen, w int) {
	put(s, 0, 2, w, header, "", false)
	for y := 0; y < m.height && m.top+y < len(m.lines); y++ {
		style := plain
		if m.top+y == m.cursor {
			style = bar
		}
		put(s, 0, 3+y, w, style, m.lines[m.top+y], false)
	}
}

// widths gives each column what its contents in sight need, at least what the
// view says; the last one takes the rest.
func (m *model) widths(rows [][]string, w int) []int {
	out := make([]int, len(m.result.Columns))
	used := 0
	for i, c := range m.result.Columns {
		n := utf8.RuneCountInString(c.Name) + 2
		for _, cells := range rows {
			n = max(n, utf8.RuneCountInString(cells[i])+1)
		}
		if !m.result.Numeric(i) && c.Width > 0 {
			n = min(n, max(c.Width, 10)+2)
		}
		out[i] = n
		used += n
	}
	if last := len(out) - 1; last >= 0 {
		out[last] = max(out[last]+w-used, min(10, w))
	}
	return out
}

func (m *model) drawTable(s tcell.Screen, w int) {
	if m.result == nil {
		if m.state.Err == nil {
			put(s, 1, 4, w-1, dim, "collecting …", false)
		}
		return
	}
	rows := m.visible()
	widths := m.widths(rows, w)
	x := 0
	for i, c := range m.result.Columns {
		name, style := c.Name, header
		if i == m.sort && (m.sorted || m.result.View.Kind != view.KindList) {
			style = header.Reverse(true)
			name += map[bool]string{true: "v", false: "^"}[m.descending]
		}
		put(s, x, 2, min(widths[i], w-x), style, pad(name, m.result.Numeric(i), widths[i]), false)
		if x += widths[i]; x >= w {
			break
		}
	}
	for y, cells := range rows {
		style := plain
		if m.top+y == m.cursor {
			style = bar
		}
		put(s, 0, 3+y, w, style, "", false)
		x := 0
		for i, text := range cells {
			put(s, x, 3+y, min(widths[i], w-x), style, pad(text, m.result.Numeric(i), widths[i]), false)
			if x += widths[i]; x >= w {
				break
			}
		}
	}
	if len(m.result.Rows) == 0 {
		put(s, 1, 4, w-1, dim, "nothing yet", false)
	}
}

// pad sets a text in a column, with a blank between it and the next.
func pad(text string, right bool, w int) string {
	if n := utf8.RuneCountInString(text); right && n < w {
		return strings.Repeat(" ", w-1-n) + text + " "
	} else if n >= w {
		return string([]rune(text)[:max(w-1, 0)]) + " "
	}
	return text
}

// visible returns the texts of the rows in sight.
func (m *model) visible() [][]string {
	var out [][]string
	var buf []byte
	for i := m.top; i < min(m.top+m.height, len(m.result.Rows)); i++ {
		cells := make([]string, len(m.result.Columns))
		for j := range cells {
			buf = m.result.AppendCell(buf[:0], j, &m.result.Rows[i].Cells[j])
			cells[j] = string(buf)
		}
		out = append(out, cells)
	}
	return out
}

// box clears a box in the middle and returns where its contents begin.
func box(s tcell.Screen, w, h, width, height int, title string) (x, y int) {
	width, height = min(width, w-2), min(height, h-2)
	x, y = (w-width)/2, (h-height)/2
	for i := range height {
		put(s, x, y+i, width, bar, "", false)
	}
	put(s, x+1, y, width-2, bar.Bold(true), title, false)
	return x + 1, y + 1
}

func (m *model) drawHelp(s tcell.Screen, w, h int) {
	x, y := box(s, w, h, 74, len(bindings)+5, "Keys")
	for i := range bindings {
		put(s, x, y+i, 72, bar, fmt.Sprintf(" %-18s %s", bindings[i].label, bindings[i].doc), false)
	}
	put(s, x, y+len(bindings)+1, 72, bar, " "+m.path.View().Description, false)
	put(s, x, y+len(bindings)+2, 72, bar, " any key goes on", false)
}

func (m *model) drawMenu(s tcell.Screen, w, h int) {
	height := min(len(m.views), h-6)
	x, y := box(s, w, h, 100, height+2, "Views")
	top := max(0, m.choice-height+1)
	for i := range height {
		v := m.views[top+i]
		style := bar
		if top+i == m.choice {
			style = bold
		}
		put(s, x, y+i, min(98, w-4), style, fmt.Sprintf(" %-22s %s", v.Name, v.Description), false)
	}
}

package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// table is text in columns: the first to the left, the others to the right.
type table struct {
	title string
	notes []string
	rows  [][]string // the first are the headings
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

// failed adds a row for something that could not be measured.
func (t *table) failed(name string, err error) {
	line, _, _ := strings.Cut(err.Error(), "\n")
	t.notes = append(t.notes, fmt.Sprintf("%s: not measured: %s", name, line))
}

func (t *table) write(w io.Writer) error {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\n", t.title)
	for _, row := range t.rows {
		line := "  "
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				line += cell + pad
			} else {
				line += "  " + pad + cell
			}
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	for _, n := range t.notes {
		fmt.Fprintf(&b, "  %s\n", n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

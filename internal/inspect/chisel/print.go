package chisel

import (
	"fmt"
	"strings"

	"rollcage/internal/observe/event"
)

// The colours of lines.
const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	blue   = "\x1b[34m"
	cyan   = "\x1b[36m"
	reset  = "\x1b[0m"
)

// line prints a line in a colour, "" for none.
func (e *Env) line(color, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if color != "" {
		text = color + text + reset
	}
	_, err := fmt.Fprintln(e.Out, text)
	return err
}

// hostColor is the colour of what happens on the host or in a container.
func hostColor(container string) string {
	if container != "" && container != "host" {
		return blue
	}
	return green
}

// data prints bytes of an event: as they are, or on a terminal with nothing in
// them that the terminal would obey.
func (e *Env) data(b string) error {
	if e.Terminal {
		var safe []byte
		for i, part := range strings.Split(strings.ReplaceAll(b, "\r\n", "\n"), "\n") {
			if i > 0 {
				safe = append(safe, '\n')
			}
			for j, piece := range strings.Split(part, "\t") {
				if j > 0 {
					safe = append(safe, '\t')
				}
				safe = event.AppendPrintable(safe, piece)
			}
		}
		b = string(safe)
	}
	_, err := fmt.Fprintln(e.Out, b)
	return err
}

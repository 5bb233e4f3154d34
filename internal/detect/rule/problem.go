package rule

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is an error or a warning about a rules file.
type Problem struct {
	Code    Code
	Message string
	// Item names the rule, macro or list it is about, for instance `rule "Shell in container"`; may be empty.
	Item string
	// Position is the exact place and Line the text of that line.
	Position Position
	Line     string
	// Field is the field that it is about, if that is what the code speaks of.
	Field string
	// Topic is the short name of an Advice, for instance not-equal-missing.
	Topic string
	// Suggestion is what was probably meant, or "".
	Suggestion string

	where *where
}

// newProblem makes a problem at w.
func newProblem(w *where, code Code, format string, args ...any) *Problem {
	p := &Problem{Code: code, Message: fmt.Sprintf(format, args...), where: w}
	file, offset := w.exact()
	p.Position = file.position(offset)
	p.Line = file.line(p.Position.Line)
	for ; w != nil; w = w.parent {
		if w.kind == kindRule || w.kind == kindMacro || w.kind == kindList {
			p.Item = fmt.Sprintf("%s %q", w.kind, w.name)
		}
	}
	return p
}

// Error returns position and message in one line.
func (p *Problem) Error() string {
	at := p.Position.File
	if p.Position.Line > 0 {
		at = fmt.Sprintf("%s:%d", at, p.Position.Line)
	}
	if p.Position.Column > 0 {
		at = fmt.Sprintf("%s:%d", at, p.Position.Column)
	}
	return at + ": " + p.Message
}

// Format returns what a person needs to fix the problem: position, kind,
// message, the line with a caret below the place, and the suggestion.
func (p *Problem) Format() string {
	var b strings.Builder
	kind, name := "error", p.Code.String()
	switch {
	case p.Code == Advice:
		kind, name = "advice", p.Topic
	case !p.Code.IsError():
		kind = "warning"
	}
	head := p.Error()
	at := head[:len(head)-len(p.Message)]
	fmt.Fprintf(&b, "%s%s: %s [%s]\n", at, kind, p.Message, name)
	if strings.TrimSpace(p.Line) != "" {
		text, caret := cutLine(p.Line, p.Position.Column-1)
		fmt.Fprintf(&b, "    %s\n", text)
		if caret >= 0 {
			fmt.Fprintf(&b, "    %s^\n", caretPad(text, caret))
		}
	}
	if p.Suggestion != "" {
		fmt.Fprintf(&b, "    %s\n", p.Suggestion)
	}
	return b.String()
}

// cutLine keeps at most 100 bytes of a line on each side of column.
func cutLine(line string, column int) (string, int) {
	const side = 100
	column = min(column, len(line))
	if end := max(column, 0) + side; end < len(line) {
		line = strings.ToValidUTF8(line[:end], "") + "…"
	}
	if start := column - side; start > 0 {
		kept := strings.ToValidUTF8(line[start:column], "")
		line = "…" + kept + line[column:]
		column = len("…") + len(kept)
	}
	return line, column
}

// caretPad returns blanks as wide as the first n bytes of line; tabs stay.
func caretPad(line string, n int) string {
	var b strings.Builder
	for _, r := range line[:n] {
		if r != '\t' {
			r = ' '
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Result is what loading one file gave.
type Result struct {
	File     string
	Errors   []*Problem
	Warnings []*Problem
	// Advice is what LoadOptions.Advise found.
	Advice []*Problem
	// Schema is what a check against a JSON schema found, if the caller did one.
	// It is shown and does not make the file invalid.
	Schema []string
}

// OK reports whether the file has no errors.
func (r *Result) OK() bool { return len(r.Errors) == 0 }

// Problems returns errors, warnings and advice in order of their place in the file.
func (r *Result) Problems() []*Problem {
	all := slices.Concat(r.Errors, r.Warnings, r.Advice)
	slices.SortStableFunc(all, byPlace)
	return all
}

func byPlace(a, b *Problem) int {
	return cmp.Or(cmp.Compare(a.Position.Line, b.Position.Line), cmp.Compare(a.Position.Column, b.Position.Column))
}

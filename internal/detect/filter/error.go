package filter

import (
	"errors"
	"fmt"
)

// ErrUnknown is wrapped by errors about a field or event type that nobody knows.
var ErrUnknown = errors.New("unknown field or event type")

// Pos is a place in a text.
type Pos struct {
	Index  int // byte, from 0
	Line   int // from 1; CR and LF each end a line
	Column int // byte in the line, from 1
}

// Error says what is wrong with a condition or format and where.
type Error struct {
	Msg string
	// Hint says what to write instead, "" if nothing suggests itself.
	Hint string
	// Macro is the macro whose text the position is in, "" for the text itself.
	Macro string
	Pos

	err error
}

// Error returns message and position without the hint.
func (e *Error) Error() string {
	in := ""
	if e.Macro != "" {
		in = " in macro " + e.Macro
	}
	return fmt.Sprintf("filter error at index %d, line %d, column %d%s: %s", e.Index, e.Line, e.Column, in, e.Msg)
}

// Unwrap returns ErrUnknown, the error of package field, or nil.
func (e *Error) Unwrap() error { return e.err }

func errorAt(at Pos, format string, args ...any) *Error {
	return &Error{Msg: fmt.Sprintf(format, args...), Pos: at}
}

// didYouMean phrases a suggestion, "" for none.
func didYouMean(word string) string {
	if word == "" {
		return ""
	}
	return "did you mean " + word + "?"
}

// nearest returns the word that differs least from s, "" if none is near.
func nearest(s string, words []string) string {
	best, bestCost := "", len(s)/3+2
	for _, w := range words {
		if c := distance(s, w); c < bestCost {
			best, bestCost = w, c
		}
	}
	return best
}

// distance counts the bytes to insert, delete or replace to make a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

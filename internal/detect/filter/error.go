package filter

import (
	"errors"
	"fmt"
	"strings"

	"rollcage/internal/observe/event"
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
	// Field is the field that nobody knows, with its argument, if that is what is wrong.
	Field string
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

// Suggest phrases a question for the one of words that differs least from
// word, "" if none is near.
func Suggest(word string, words []string) string { return didYouMean(event.Nearest(word, words)) }

// Explain describes an error of Parse, Add or ParseFormat for a person: what
// is wrong, with the place in text marked and a hint if there is one.
func Explain(text string, err error) string {
	var e *Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	msg := fmt.Sprintf("%s\n  %s\n  %s^", e.Msg, strings.ReplaceAll(text, "\n", " "), strings.Repeat(" ", min(e.Index, len(text))))
	if e.Hint != "" {
		msg += " " + e.Hint
	}
	return msg
}

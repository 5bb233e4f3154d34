// Package usage marks errors in how a command was called, which end the
// program with an exit code of their own.
package usage

import "fmt"

// Error is an error in how a command was called.
type Error struct{ Err error }

// Error returns the text of the error it wraps.
func (e Error) Error() string { return e.Err.Error() }

// Unwrap returns the error it wraps.
func (e Error) Unwrap() error { return e.Err }

// Errorf returns an Error with a text as fmt.Errorf makes it.
func Errorf(format string, args ...any) error { return Error{fmt.Errorf(format, args...)} }

package ruletest

import (
	"fmt"
	"io"
)

// Report is what running tests gave.
type Report struct {
	// Errors are mistakes in the files. Tests with mistakes are not run.
	Errors  []*Error
	Results []*Result
}

// Result is what one test gave.
type Result struct {
	File     string
	Line     int
	Name     string
	Failures []*Failure // none if it passed
}

// Failure is something that is not as a test says.
type Failure struct {
	Error
	// Why says what kept a rule from firing.
	Why []string
	// Instead are the alerts of other rules that came.
	Instead []string
}

func (r *Result) fail(file string, line int, message string) *Failure {
	f := &Failure{Error: Error{File: file, Line: line, Message: message}}
	r.Failures = append(r.Failures, f)
	return f
}

// OK reports whether there are no mistakes and all tests passed.
func (r *Report) OK() bool { return len(r.Errors) == 0 && r.Failed() == 0 }

// Failed returns the number of tests that failed.
func (r *Report) Failed() int {
	n := 0
	for _, t := range r.Results {
		if len(t.Failures) > 0 {
			n++
		}
	}
	return n
}

// WriteTo writes the mistakes, the failures and a line with the numbers.
func (r *Report) WriteTo(w io.Writer) (int64, error) { return r.write(w, false) }

// WriteAll is WriteTo with a line for each test that passed.
func (r *Report) WriteAll(w io.Writer) (int64, error) { return r.write(w, true) }

func (r *Report) write(w io.Writer, all bool) (int64, error) {
	var b []byte
	for _, e := range r.Errors {
		b = fmt.Appendf(b, "%v\n", e)
	}
	for _, t := range r.Results {
		if len(t.Failures) > 0 {
			b = t.append(b)
		} else if all {
			b = fmt.Appendf(b, "ok    %s:%d: %s\n", t.File, t.Line, t.Name)
		}
	}
	b = fmt.Appendf(b, "%d tests, %d failed", len(r.Results), r.Failed())
	if len(r.Errors) > 0 {
		b = fmt.Appendf(b, ", %d mistakes in the files", len(r.Errors))
	}
	n, err := w.Write(append(b, '\n'))
	return int64(n), err
}

func (t *Result) append(b []byte) []byte {
	b = fmt.Appendf(b, "FAIL  %s:%d: %s\n", t.File, t.Line, t.Name)
	for _, f := range t.Failures {
		b = fmt.Appendf(b, "    %v\n", &f.Error)
		for _, why := range f.Why {
			b = fmt.Appendf(b, "        why: %s\n", why)
		}
		for _, other := range f.Instead {
			b = fmt.Appendf(b, "        instead: %s\n", other)
		}
	}
	return b
}

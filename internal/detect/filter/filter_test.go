package filter

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The files testdata/*.test are cases in a small language, one a line:
//
//	given NAME=VALUE …       the values of fields from here on; VALUE may be quoted as in Go;
//	                         evt.type makes an event with that name
//	true CONDITION           the condition is true
//	false CONDITION          the condition is false
//	accept CONDITION         the condition compiles
//	reject CONDITION => TEXT the condition is an error that contains TEXT
//	rejects CONDITION => TEXT  the standard schema gives exactly this error; \n in the condition is a line break
//	warn CONDITION => TEXT   the condition compiles with a warning that contains TEXT
//	advise CONDITION => NAMES  the standard schema gives this advice about the condition, or "nothing"
//	print CONDITION => TEXT  the condition in its compiled form is TEXT
//	select CONDITION => NAMES  the condition selects these events; "all" and "none" are possible
//	format FORMAT => TEXT    the format gives TEXT; "nothing" if it gives nothing
//	badformat FORMAT => TEXT the format is an error that contains TEXT
//
// All conditions of a file that are evaluated are one program.
func TestFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.test")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(name), ".test"), func(t *testing.T) {
			newScript(t, name).run(string(data))
		})
	}
}

type script struct {
	*testing.T
	name   string
	line   int
	host   *fakeHost
	shared *Program
	event  string
	num    uint64
}

func newScript(t *testing.T, name string) *script {
	h := &fakeHost{values: map[string]string{}}
	return &script{T: t, name: name, host: h, shared: h.schema().NewProgram(), event: "openat"}
}

func (s *script) run(text string) {
	for line := range strings.Lines(text) {
		s.line++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		rest, want, _ := strings.Cut(" "+rest, " => ")
		if err := s.step(word, strings.TrimSpace(rest), strings.TrimSpace(want)); err != nil {
			s.Errorf("%s:%d: %s: %v", s.name, s.line, line, err)
		}
	}
}

func (s *script) step(word, text, want string) error {
	switch word {
	case "given":
		return s.given(text)
	case "true", "false":
		return s.evaluate(text, word == "true")
	case "accept":
		_, err := s.compile(s.host.schema().NewProgram(), text)
		return err
	case "reject":
		_, err := s.compile(s.host.schema().NewProgram(), text)
		return mention(err, want)
	case "rejects":
		n, err := Parse(strings.ReplaceAll(text, `\n`, "\n"))
		if err == nil {
			_, _, err = NewProgram().Add(n)
		}
		if err == nil {
			return errors.New("accepted")
		}
		return equal(nil, want, err.Error)
	case "warn":
		return s.warn(text, want)
	case "advise":
		return advises(text, want)
	case "print":
		n, err := Parse(text)
		return equal(err, want, func() string { return Print(n) })
	case "select":
		return s.selects(text, want)
	case "format":
		return s.format(text, want)
	case "badformat":
		_, err := s.host.schema().ParseFormat(text)
		return mention(err, want)
	}
	return fmt.Errorf("no such command: %s", word)
}

// mention checks that err is an *Error with that text.
func mention(err error, want string) error {
	var fe *Error
	switch {
	case err == nil:
		return errors.New("accepted")
	case !errors.As(err, &fe):
		return fmt.Errorf("error of type %T", err)
	case want == "" || !strings.Contains(err.Error(), want):
		return fmt.Errorf("error %q does not contain %q", err, want)
	}
	return nil
}

func equal(err error, want string, got func() string) error {
	if err != nil {
		return err
	}
	if g := got(); g != want {
		return fmt.Errorf("got %q, want %q", g, want)
	}
	return nil
}

func (s *script) given(text string) error {
	s.host.values = map[string]string{}
	s.num++
	s.event = "openat"
	for text != "" {
		name, rest, ok := strings.Cut(text, "=")
		if !ok {
			return fmt.Errorf("NAME=VALUE expected at %q", text)
		}
		value, after, _ := strings.Cut(rest, " ")
		if quoted, err := strconv.QuotedPrefix(rest); err == nil {
			value, _ = strconv.Unquote(quoted)
			after = rest[len(quoted):]
		}
		if name == evtType {
			s.event = value
		}
		s.host.values[name] = value
		text = strings.TrimSpace(after)
	}
	return nil
}

func (s *script) compile(p *Program, text string) (CondID, error) {
	n, err := Parse(text)
	if err != nil {
		return 0, err
	}
	again, err := Parse(Print(n))
	if err != nil {
		return 0, fmt.Errorf("printed as %s: %w", Print(n), err)
	}
	if Print(again) != Print(n) {
		return 0, fmt.Errorf("printed as %s, then as %s", Print(n), Print(again))
	}
	id, _, err := p.Add(n)
	return id, err
}

// evaluate checks the condition in the shared program, twice, and in one of its own.
func (s *script) evaluate(text string, want bool) error {
	id, err := s.compile(s.shared, text)
	if err != nil {
		return err
	}
	own := s.host.schema().NewProgram()
	ownID, err := s.compile(own, text)
	if err != nil {
		return err
	}
	e := fakeEvent(s.event, s.num+1)
	for _, got := range []bool{s.shared.Eval(id, e), s.shared.Eval(id, e), own.Eval(ownID, e)} {
		if got != want {
			return fmt.Errorf("is %v", got)
		}
	}
	n, _ := Parse(text)
	if types := Types(n); want && !types.Has(e.Type()) {
		return fmt.Errorf("is true for %s, which it does not select", e.Type())
	}
	return nil
}

func (s *script) warn(text, want string) error {
	n, err := Parse(text)
	if err != nil {
		return err
	}
	_, warnings, err := s.host.schema().NewProgram().Add(n)
	if err != nil {
		return err
	}
	found := slices.ContainsFunc(warnings, func(w Warning) bool { return strings.Contains(w.Msg, want) })
	if want == "nothing" && len(warnings) == 0 || found {
		return nil
	}
	return fmt.Errorf("warnings are %v", warnings)
}

func advises(text, want string) error {
	n, err := Parse(text)
	if err == nil {
		_, _, err = NewProgram().Add(n)
	}
	return equal(err, want, func() string {
		var names []string
		for _, a := range Standard.Advise(n) {
			if a.Msg == "" || a.Hint == "" {
				return a.Name + " does not say what and what instead"
			}
			names = append(names, a.Name)
		}
		if names == nil {
			return "nothing"
		}
		return strings.Join(names, " ")
	})
}

func (s *script) selects(text, want string) error {
	n, err := Parse(text)
	if err != nil {
		return err
	}
	got := Select(n)
	names := strings.Join(got.Names(), " ")
	switch {
	case got == everything:
		names = "all"
	case got == Selection{}:
		names = "none"
	}
	return equal(nil, want, func() string { return names })
}

func (s *script) format(text, want string) error {
	f, err := s.host.schema().ParseFormat(text)
	if err != nil {
		return err
	}
	b, ok := f.AppendText([]byte("x"), fakeEvent(s.event, s.num+1))
	if !ok {
		b = append(b, "nothing"...)
	}
	return equal(nil, strconv.Quote(strings.Trim(want, `"`)), func() string { return strconv.Quote(string(b[1:])) })
}

package filter

import (
	"regexp"
	"regexp/syntax"
	"strings"

	"rollcage/internal/detect/field"
)

// textOps are the operators that compare two strings.
var textOps = map[Op]func(s, operand string) bool{
	Eq:          func(s, t string) bool { return s == t },
	Ne:          func(s, t string) bool { return s != t },
	Contains:    strings.Contains,
	BContains:   strings.Contains,
	StartsWith:  strings.HasPrefix,
	BStartsWith: strings.HasPrefix,
	EndsWith:    strings.HasSuffix,
	IContains:   containsFold,
	Glob:        func(s, pattern string) bool { return fnmatch(pattern, s, false) },
	IGlob:       func(s, pattern string) bool { return fnmatch(pattern, s, true) },
}

type textIs string

func (t textIs) holds(v *field.Value) bool { return v.Str == string(t) }

// textTest compares a string with a constant.
type textTest struct {
	op      func(s, operand string) bool
	operand string
}

func (t *textTest) holds(v *field.Value) bool { return t.op(v.Str, t.operand) }

// textSet holds strings, and a bit for each length that one of them has,
// which rules most values out without hashing.
type textSet struct {
	lengths uint64
	members map[string]struct{}
}

func newTextSet(members []string) *textSet {
	t := &textSet{members: make(map[string]struct{}, len(members))}
	for _, m := range members {
		t.members[m] = struct{}{}
		t.lengths |= 1 << min(len(m), 63)
	}
	return t
}

func (t *textSet) holds(v *field.Value) bool {
	if t.lengths>>min(len(v.Str), 63)&1 == 0 {
		return false
	}
	_, ok := t.members[v.Str]
	return ok
}

type regexTest struct{ *regexp.Regexp }

func (t regexTest) holds(v *field.Value) bool { return t.MatchString(v.Str) }

// newTextTest returns the test of an operator with one constant.
func newTextTest(op Op, operand string) (test, error) {
	switch op {
	case Eq:
		return textIs(operand), nil
	case Regex:
		re, err := compileRegex(operand)
		return regexTest{re}, err
	case Glob:
		op, operand = simplifyGlob(operand)
	}
	return &textTest{textOps[op], operand}, nil
}

// compileRegex compiles a pattern that must match the whole value. The syntax
// is that of RE2 in POSIX mode: no Perl classes, groups or assertions, and
// negated classes match line ends. For a full match it makes no difference
// that POSIX prefers the leftmost longest one.
func compileRegex(pattern string) (*regexp.Regexp, error) {
	tree, err := syntax.Parse(pattern, syntax.ClassNL)
	if err != nil {
		return nil, err
	}
	return regexp.Compile(`\A(?:` + tree.String() + `)\z`)
}

// plainRegex reports whether a pattern is only text, with at most anchors and
// any-runs at its ends, so that a simpler operator does the same.
func plainRegex(pattern string) bool {
	p := strings.TrimSuffix(strings.TrimPrefix(pattern, "^"), "$")
	for _, run := range []string{".*", ".+", ".?"} {
		if strings.HasPrefix(p, run) {
			p = p[len(run):]
			break
		}
	}
	for _, run := range []string{".*", ".+", ".?"} {
		if strings.HasSuffix(p, run) {
			p = p[:len(p)-len(run)]
			break
		}
	}
	return !strings.ContainsAny(p, `\.+*?()|[]{}^$`)
}

// containsFold is strings.Contains without regard to the case of ASCII letters.
func containsFold(s, t string) bool {
	for ; len(s) >= len(t); s = s[1:] {
		if equalFold(s[:len(t)], t) {
			return true
		}
		if s == "" {
			break
		}
	}
	return false
}

// equalFold compares strings of the same length.
func equalFold(s, t string) bool {
	for i := range len(s) {
		if lower(s[i]) != lower(t[i]) {
			return false
		}
	}
	return true
}

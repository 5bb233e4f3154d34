package filter

import "strings"

// fnmatch is fnmatch(3) without flags in the C locale, or with FNM_CASEFOLD:
// * and ? match every byte, slashes and leading dots included. At worst each
// element of the pattern is compared with each byte of s.
func fnmatch(pattern, s string, fold bool) bool {
	p, i := 0, 0
	star, mark := -1, 0 // where to go on after a mismatch: behind the last star, one byte later
	for p < len(pattern) || i < len(s) {
		if p < len(pattern) && pattern[p] == '*' {
			star, mark = p, i
			p++
			continue
		}
		if p < len(pattern) && i < len(s) {
			if n := matchByte(pattern[p:], s[i], fold); n > 0 {
				p, i = p+n, i+1
				continue
			}
		}
		if star < 0 || mark >= len(s) {
			return false
		}
		mark++
		p, i = star+1, mark
	}
	return true
}

// matchByte matches c with the first element of the pattern, which is no
// star. It returns the length of the element, 0 if it does not match.
func matchByte(pattern string, c byte, fold bool) int {
	switch pattern[0] {
	case '?':
		return 1
	case '[':
		if n, in := matchBracket(pattern, c, fold); n > 0 {
			if in {
				return n
			}
			return 0
		}
	case '\\':
		if len(pattern) > 1 && same(pattern[1], c, fold) {
			return 2
		}
		return 0
	}
	if same(pattern[0], c, fold) {
		return 1
	}
	return 0
}

func same(a, b byte, fold bool) bool { return a == b || fold && lower(a) == lower(b) }

// matchBracket matches c with a bracket expression. n is its length, 0 if the
// bracket is never closed and so stands for itself.
func matchBracket(pattern string, c byte, fold bool) (n int, in bool) {
	i := 1
	negated := i < len(pattern) && (pattern[i] == '!' || pattern[i] == '^')
	if negated {
		i++
	}
	for first := true; i < len(pattern); first = false {
		if pattern[i] == ']' && !first {
			return i + 1, in != negated
		}
		if name, ok := className(pattern[i:]); ok {
			class := classes[name]
			in = in || class(c) || fold && (class(lower(c)) || class(upper(c)))
			i += len(name) + len("[::]")
			continue
		}
		low, width := bracketByte(pattern[i:])
		i += width
		high := low
		if i+1 < len(pattern) && pattern[i] == '-' && pattern[i+1] != ']' {
			high, width = bracketByte(pattern[i+1:])
			i += 1 + width
		}
		in = in || within(c, low, high) || fold && (within(lower(c), low, high) || within(upper(c), low, high))
	}
	return 0, false
}

// bracketByte returns a member of a bracket expression and how long it is written.
func bracketByte(s string) (c byte, width int) {
	if s[0] == '\\' && len(s) > 1 {
		return s[1], 2
	}
	return s[0], 1
}

func within(c, low, high byte) bool { return c >= low && c <= high }

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

// className returns the name of the class that s begins with, as in [:digit:].
func className(s string) (string, bool) {
	rest, ok := strings.CutPrefix(s, "[:")
	if !ok {
		return "", false
	}
	name, _, ok := strings.Cut(rest, ":]")
	return name, ok && classes[name] != nil
}

// classes are the character classes of the C locale.
var classes = map[string]func(byte) bool{
	"alpha":  isLetter,
	"digit":  isDigit,
	"alnum":  func(c byte) bool { return isLetter(c) || isDigit(c) },
	"upper":  func(c byte) bool { return c >= 'A' && c <= 'Z' },
	"lower":  func(c byte) bool { return c >= 'a' && c <= 'z' },
	"space":  isSpace,
	"blank":  func(c byte) bool { return c == ' ' || c == '\t' },
	"xdigit": isHex,
	"cntrl":  func(c byte) bool { return c < ' ' || c == 0x7f },
	"print":  func(c byte) bool { return c >= ' ' && c < 0x7f },
	"graph":  func(c byte) bool { return c > ' ' && c < 0x7f },
	"punct":  func(c byte) bool { return c > ' ' && c < 0x7f && !isLetter(c) && !isDigit(c) },
}

// simplifyGlob returns an operator that does the same as the pattern: text
// with stars only at its ends needs no matching byte by byte.
func simplifyGlob(pattern string) (Op, string) {
	text := strings.TrimRight(strings.TrimLeft(pattern, "*"), "*")
	if strings.ContainsAny(text, `*?[\`) {
		return Glob, pattern
	}
	front, back := strings.HasPrefix(pattern, "*"), strings.HasSuffix(pattern, "*")
	switch {
	case front && back:
		return Contains, text
	case front:
		return EndsWith, text
	case back:
		return StartsWith, text
	}
	return Eq, text
}

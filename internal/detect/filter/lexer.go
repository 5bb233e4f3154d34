package filter

import "strings"

// lexer is a cursor in the source. The language has no token stream: the
// parser asks at each place for the tokens that may stand there, so that a
// word can be an operator here and a value there.
type lexer struct {
	src  string
	at   Pos
	last string // the token before the cursor, for messages
}

func newLexer(src string) lexer { return lexer{src: src, at: Pos{Line: 1, Column: 1}} }

func (l *lexer) rest() string { return l.src[l.at.Index:] }

// skip moves the cursor by n bytes.
func (l *lexer) skip(n int) {
	for _, c := range []byte(l.src[l.at.Index : l.at.Index+n]) {
		l.at.Index++
		l.at.Column++
		if c == '\n' || c == '\r' {
			l.at.Line++
			l.at.Column = 1
		}
	}
}

// take moves the cursor over a token of n bytes and returns it.
func (l *lexer) take(n int) string {
	l.last = l.rest()[:n]
	l.skip(n)
	return l.last
}

// blank moves over blanks and reports whether there were any.
func (l *lexer) blank() bool {
	n := blankLen(l.rest())
	l.skip(n)
	return n > 0
}

// symbol moves over s if it stands at the cursor.
func (l *lexer) symbol(s string) bool {
	if !strings.HasPrefix(l.rest(), s) {
		return false
	}
	l.take(len(s))
	return true
}

// token moves over the token that the scanner finds at the cursor.
func (l *lexer) token(scan func(string) int) (string, bool) {
	n := scan(l.rest())
	if n == 0 {
		return "", false
	}
	return l.take(n), true
}

// Each scanner below returns the length of its token at the start of s, 0 for none.

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\b' || c == '\r' || c == '\n' }

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isWord(c byte) bool { return isLetter(c) || isDigit(c) || c == '_' }

func isHex(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

func isBare(c byte) bool { return !isSpace(c) && strings.IndexByte(`()"'=,`, c) < 0 }

func isFieldArg(c byte) bool { return !isSpace(c) && strings.IndexByte(`[]"'`, c) < 0 }

// spanLen returns how many bytes s begins with that are in the class.
func spanLen(s string, class func(byte) bool) int {
	for i := range len(s) {
		if !class(s[i]) {
			return i
		}
	}
	return len(s)
}

func blankLen(s string) int { return spanLen(s, isBlank) }

func bareLen(s string) int { return spanLen(s, isBare) }

func fieldArgLen(s string) int { return spanLen(s, isFieldArg) }

func identifierLen(s string) int {
	if s == "" || !isLetter(s[0]) {
		return 0
	}
	return spanLen(s, isWord)
}

// fieldNameLen scans words joined by single dots, at least two.
func fieldNameLen(s string) int {
	end := identifierLen(s)
	first := end
	for end > 0 && end < len(s) && s[end] == '.' {
		n := identifierLen(s[end+1:])
		if n == 0 {
			break
		}
		end += 1 + n
	}
	if end == first {
		return 0
	}
	return end
}

func hexLen(s string) int {
	if len(s) < 3 || s[0] != '0' || s[1]|0x20 != 'x' {
		return 0
	}
	n := spanLen(s[2:], isHex)
	if n == 0 {
		return 0
	}
	return n + 2
}

// numberLen scans [+-]?[0-9]+[.]?[0-9]*([eE][+-][0-9]+)?
func numberLen(s string) int {
	i := 0
	if s != "" && (s[0] == '+' || s[0] == '-') {
		i = 1
	}
	n := spanLen(s[i:], isDigit)
	if n == 0 {
		return 0
	}
	i += n
	if i < len(s) && s[i] == '.' {
		i++
		i += spanLen(s[i:], isDigit)
	}
	if i+2 < len(s) && s[i]|0x20 == 'e' && (s[i+1] == '+' || s[i+1] == '-') {
		if n := spanLen(s[i+2:], isDigit); n > 0 {
			i += 2 + n
		}
	}
	return i
}

func hexOrNumberLen(s string) int {
	if n := hexLen(s); n > 0 {
		return n
	}
	return numberLen(s)
}

// quotedLen scans from a quote to the next one of its kind that does not
// stand right behind a backslash, quotes included.
func quotedLen(s string) int {
	if s == "" || s[0] != '"' && s[0] != '\'' {
		return 0
	}
	for i := 1; i < len(s); i++ {
		if s[i] == s[0] && s[i-1] != '\\' {
			return i + 1
		}
	}
	return 0
}

// escapes holds what the letter behind a backslash stands for.
var escapes = map[byte]byte{
	'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', '\\': '\\', '/': '/', ' ': '\\',
}

// unquote returns the text of a quoted token. It reports the index in the
// token of the escape that has no meaning, -1 if all have one.
func unquote(token string) (text string, bad int) {
	quote, body := token[0], token[1:len(token)-1]
	if strings.IndexByte(body, '\\') < 0 {
		return body, -1
	}
	b := make([]byte, 0, len(body))
	for i := 0; i < len(body); i++ {
		c := body[i]
		if c == '\\' {
			i++
			if i == len(body) {
				return "", i
			}
			var ok bool
			if c, ok = escapes[body[i]]; !ok {
				if c = body[i]; c != quote {
					return "", i
				}
			}
		}
		b = append(b, c)
	}
	return string(b), -1
}

// Package mask hides passwords, tokens and keys in text: command lines,
// environments, requests.
//
// It knows values by their names (--password=x, TOKEN=x, "apiKey": "x"), by
// where they stand (URLs with user and password, Authorization headers, the
// password flags of some programs) and by their form (AWS key ids, JWTs,
// private keys in PEM, the tokens of some services). What it does not know
// stays, so masked text is less dangerous, not harmless.
package mask

import "strings"

// Hidden is what stands in place of a secret.
const Hidden = "***"

// String returns s with the secrets in it replaced by Hidden; s itself, without
// allocating, if there are none.
func String(s string) string {
	start, end := find(s, 0)
	if start < 0 {
		return s
	}
	var b strings.Builder
	at := 0
	for start >= 0 {
		b.WriteString(s[at:start])
		b.WriteString(Hidden)
		at = end
		start, end = find(s, end)
	}
	b.WriteString(s[at:])
	return b.String()
}

// Found reports whether there is a secret in b.
func Found(b []byte) bool {
	start, _ := find(b, 0)
	return start >= 0
}

// text is what is searched.
type text interface{ ~string | ~[]byte }

// find returns where the first secret at or after from is, -1 if there is none.
func find[T text](s T, from int) (start, end int) {
	for i := from; i < len(s); i++ {
		switch c := s[i]; c {
		case '=', ':':
			if start, end, ok := named(s, i); ok && start >= from {
				return start, end
			}
			if c == ':' {
				if start, end, ok := userinfo(s, i); ok {
					return start, end
				}
			}
		case '-':
			if start, end, ok := private(s, i); ok {
				return start, end
			}
			if i == 0 || isBlank(s[i-1]) {
				if start, end, ok := flag(s, i); ok {
					return start, end
				}
			}
		case 'A', 'e', 'g', 'r', 's', 'x':
			if i == 0 || !isWord(s[i-1]) {
				if end, ok := token(s, i); ok {
					return i, end
				}
			}
		case 'B', 'b':
			if start, end, ok := bearer(s, i); ok {
				return start, end
			}
		}
	}
	return -1, -1
}

// secretWords are the parts of names whose values are secret.
var secretWords = []string{
	"password", "passwd", "passphrase", "passcode", "secret", "token", "apikey", "api_key", "api-key", "accesskey", "access_key",
	"access-key", "privatekey", "private_key", "private-key", "credential", "authorization", "sessionid", "set-cookie", "x-auth",
}

// plainEnds are the ends of names that speak of a secret and do not hold it.
var plainEnds = []string{"file", "path", "dir", "name", "tokens", "length", "type", "policy", "url", "uri", "_id", "-id", "expiry", "ttl"}

// isSecret reports whether the value of a name is secret.
func isSecret[T text](name T) bool {
	n := len(name)
	if n > 64 {
		return false
	}
	if foldEqual(name, "pwd") || foldEqual(name, "pass") || foldEnd(name, "_pass") || foldEnd(name, "-pass") || foldEnd(name, "_pwd") {
		return true
	}
	for _, e := range plainEnds {
		if foldEnd(name, e) {
			return false
		}
	}
	for _, w := range secretWords {
		for i := 0; i+len(w) <= n; i++ {
			if foldEqual(name[i:i+len(w)], w) {
				return true
			}
		}
	}
	return false
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// foldEqual compares without regard to case; word is in lower case.
func foldEqual[T text](s T, word string) bool {
	if len(s) != len(word) {
		return false
	}
	for i := 0; i < len(word); i++ {
		if lower(s[i]) != word[i] {
			return false
		}
	}
	return true
}

func foldEnd[T text](s T, word string) bool {
	return len(s) >= len(word) && foldEqual(s[len(s)-len(word):], word)
}

func foldStart[T text](s T, word string) bool {
	return len(s) >= len(word) && foldEqual(s[:len(word)], word)
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}

func isName(c byte) bool { return isWord(c) || c == '-' }

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == 0 }

// named finds the value of a name before the sign at i: name=value,
// name: value, "name":"value".
func named[T text](s T, i int) (start, end int, ok bool) {
	// Only so much is looked at, so that text full of signs takes no longer.
	low := max(0, i-70)
	e := i
	for e > low && (s[e-1] == '"' || s[e-1] == '\'' || s[e-1] == '\\' || s[e-1] == ' ') {
		e--
	}
	b := e
	for b > low && isName(s[b-1]) {
		b--
	}
	if b == e || b > 0 && (s[b-1] == '/' || s[b-1] == '.') {
		return 0, 0, false // nothing, or the name of a file
	}
	name := s[b:e]
	for len(name) > 0 && name[0] == '-' {
		name = name[1:]
	}
	if !isSecret(name) {
		return 0, 0, false
	}
	start = i + 1
	header := foldEnd(name, "authorization") || foldEnd(name, "cookie")
	if s[i] == ':' || s[i-1] == ' ' { // name = value
		for start < len(s) && s[start] == ' ' {
			start++
		}
	}
	start, end = value(s, start)
	if header {
		// The whole header is one value: "Basic dXNlcjpwYXNz".
		for end < len(s) && s[end] != '\n' && s[end] != '\r' && s[end] != '"' && s[end] != '\'' && s[end] != 0 && s[end] != '\\' {
			end++
		}
	}
	if foldEnd(name, "pwd") && start < len(s) && s[start] == '/' {
		return 0, 0, false // the working directory
	}
	return start, end, end > start && !hidden(s, start, end)
}

// value returns where a value that begins at start is: to the closing quote, or
// to where a word of a command line, URL or list ends.
func value[T text](s T, start int) (int, int) {
	for start < len(s) && s[start] == '\\' {
		start++
	}
	if start < len(s) && (s[start] == '"' || s[start] == '\'') {
		quote := s[start]
		start++
		for end := start; end < len(s); end++ {
			if s[end] == quote || s[end] == '\\' && end+1 < len(s) && s[end+1] == quote {
				return start, end
			}
		}
		return start, len(s)
	}
	end := start
	for end < len(s) && !isBlank(s[end]) {
		switch s[end] {
		case '&', ',', ';', '"', '\'', '}', ')', '\\':
			return start, end
		}
		end++
	}
	return start, end
}

// hidden reports whether a value is hidden already, or no value but a reference to one.
func hidden[T text](s T, start, end int) bool {
	return end-start == len(Hidden) && s[start] == '*' && s[start+1] == '*' && s[start+2] == '*' || s[start] == '$' || s[start] == '<'
}

// userinfo finds the password in a URL whose scheme ends at i.
func userinfo[T text](s T, i int) (start, end int, ok bool) {
	if i+3 > len(s) || s[i+1] != '/' || s[i+2] != '/' || i == 0 || !isWord(s[i-1]) {
		return 0, 0, false
	}
	start = i + 3
	for end = start; end < len(s) && end-start < 512; end++ {
		switch c := s[end]; {
		case c == ':' && start == i+3:
			start = end + 1
		case c == '@':
			return start, end, end > start && !hidden(s, start, end)
		case c == '/' || c == '?' || c == '#' || c == '"' || c == '\'' || isBlank(c):
			return 0, 0, false
		}
	}
	return 0, 0, false
}

// flag finds the value of a flag that is the word after it, and of the short
// flags of programs that are known to take a password.
func flag[T text](s T, i int) (start, end int, ok bool) {
	e := i
	for e < len(s) && isName(s[e]) {
		e++
	}
	name := s[i:e]
	for len(name) > 0 && name[0] == '-' {
		name = name[1:]
	}
	next := e
	for next < len(s) && isBlank(s[next]) {
		next++
	}
	separate := next > e && next < len(s)
	switch {
	case separate && s[next] != '-' && len(name) > 1 && isSecret(name):
		start, end = value(s, next)
	case separate && (foldEqual(name, "u") || foldEqual(name, "user")) && runs(s, i, "curl"):
		start, end = value(s, next)
		for start < end && s[start] != ':' {
			start++
		}
		start = min(start+1, end)
	case separate && foldEqual(name, "p") && runs(s, i, "sshpass"):
		start, end = value(s, next)
	case len(s) > i+2 && s[i+1] == 'p' && !isBlank(s[i+2]) && (runs(s, i, "mysql") || runs(s, i, "mariadb") || runs(s, i, "sshpass")):
		start, end = value(s, i+2)
		if foldStart(s[i:], "-port") || foldStart(s[i:], "-protocol") {
			return 0, 0, false
		}
	default:
		return 0, 0, false
	}
	return start, end, end > start && !hidden(s, start, end)
}

// runs reports whether a program is named shortly before i.
func runs[T text](s T, i int, program string) bool {
	for b := max(0, i-256); b+len(program) <= i; b++ {
		if foldEqual(s[b:b+len(program)], program) {
			return true
		}
	}
	return false
}

const pemBegin, pemKind, pemEnd = "-----begin ", "private key-----", "-----end "

// private finds the body of a private key in PEM.
func private[T text](s T, i int) (start, end int, ok bool) {
	if !foldStart(s[i:], pemBegin) {
		return 0, 0, false
	}
	start = i + len(pemBegin)
	for limit := min(len(s), start+64); !foldStart(s[start:], pemKind); start++ {
		if start >= limit {
			return 0, 0, false
		}
	}
	start += len(pemKind)
	for end = start; end < len(s) && !foldStart(s[end:], pemEnd); end++ {
	}
	return start, end, end > start && !hidden(s, start, end)
}

// prefixes begin tokens whose form tells what they are; so many more characters follow at least.
var prefixes = []struct {
	text string
	more int
}{
	{"AKIA", 16}, {"ASIA", 16}, {"AIza", 30}, {"ghp_", 20}, {"gho_", 20}, {"ghs_", 20}, {"ghu_", 20}, {"github_pat_", 20}, {"glpat-", 16},
	{"rollcage_", 32}, {"xoxb-", 16}, {"xoxp-", 16}, {"xoxa-", 16}, {"sk_live_", 16}, {"sk-", 32},
}

// token finds the end of a token that begins at i.
func token[T text](s T, i int) (end int, ok bool) {
	if end, ok := jwt(s, i); ok {
		return end, true
	}
	for _, p := range prefixes {
		if i+len(p.text) > len(s) || string(s[i:i+len(p.text)]) != p.text {
			continue
		}
		end = i + len(p.text)
		for end < len(s) && isName(s[end]) {
			end++
		}
		return end, end-i-len(p.text) >= p.more
	}
	return 0, false
}

// jwt finds a JSON web token: three parts in base64, of which the first begins like a JSON object.
func jwt[T text](s T, i int) (end int, ok bool) {
	if i+3 > len(s) || s[i] != 'e' || s[i+1] != 'y' || s[i+2] != 'J' {
		return 0, false
	}
	dots, part := 0, 0
	for end = i; end < len(s); end++ {
		switch c := s[end]; {
		case isName(c):
			part++
			continue
		case c == '.' && dots < 2 && part >= 4:
			dots, part = dots+1, 0
			continue
		}
		break
	}
	return end, dots == 2 && part >= 4
}

// bearer finds the token after "Bearer " or "Basic ".
func bearer[T text](s T, i int) (start, end int, ok bool) {
	const least = 8
	for _, word := range []string{"bearer ", "basic "} {
		if (i == 0 || !isWord(s[i-1])) && foldStart(s[i:], word) {
			start = i + len(word)
			for end = start; end < len(s) && (isName(s[end]) || s[end] == '.' || s[end] == '+' || s[end] == '/' || s[end] == '=' || s[end] == '~'); end++ {
			}
			// Words of a sentence are not taken for a token.
			return start, end, end-start >= least && hasDigitOrCase(s[start:end])
		}
	}
	return 0, 0, false
}

func hasDigitOrCase[T text](s T) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= '0' && s[i] <= '9' || i > 0 && s[i] >= 'A' && s[i] <= 'Z' {
			return true
		}
	}
	return false
}

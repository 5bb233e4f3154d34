package field

import (
	"regexp"
	"strings"
)

// compileGlob compiles a pattern of the shell in which * and ? match slashes too.
func compileGlob(pattern string) (*regexp.Regexp, error) {
	var re strings.Builder
	re.WriteString(`(?s)\A`)
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '*':
			re.WriteString(`.*`)
		case c == '?':
			re.WriteByte('.')
		case c == '[' && strings.IndexByte(pattern[i+1:], ']') > 0:
			end := i + 1 + strings.IndexByte(pattern[i+1:], ']')
			set := pattern[i+1 : end]
			re.WriteByte('[')
			if set[0] == '!' {
				re.WriteByte('^')
				set = set[1:]
			}
			re.WriteString(strings.ReplaceAll(set, `\`, `\\`))
			re.WriteByte(']')
			i = end
		case c == '\\' && i+1 < len(pattern):
			i++
			re.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		default:
			re.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		}
	}
	re.WriteString(`\z`)
	return regexp.Compile(re.String())
}

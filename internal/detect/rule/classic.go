package rule

import (
	"fmt"
	"strings"

	"rollcage/internal/detect/filter"
)

// This file holds messages in the words of Falco, which scripts compare.

// The messages about items that are appended to or overridden without being there.
const (
	noSuchMacro        = "Macro uses 'append' or 'override.condition: append' but no macro by that name already exists"
	noSuchList         = "List uses 'append' or 'override.items: append' but no list by that name already exists"
	noSuchRuleAppend   = "Rule uses 'append' or 'override.<key>: append' but no rule by that name already exists"
	noSuchRuleOverride = "An 'override.<key>: replace' to a rule was requested but no rule by that name already exists"
)

// message returns what an error in a condition or output is reported as. In
// compatible mode that of an output is the one of Falco's last try to find a
// field in it, whatever the mistake.
func (l *loader) message(code Code, e *filter.Error) string {
	switch {
	case !l.opts.Compatible:
		return e.Msg
	case code == ErrCompileOutput:
		return "unknown filter: unexpected token after '"
	case e.Field != "":
		return "filter_check called with nonexistent field " + e.Field
	}
	return e.Msg
}

// yamlWords are the messages of the parser that Falco uses for those of ours.
var yamlWords = []struct{ ours, theirs string }{
	{"mapping values are not allowed", "illegal map value"},
	{"did not find expected ',' or ']'", "end of sequence flow not found"},
	{"did not find expected ',' or '}'", "end of map flow not found"},
	{"did not find expected node content", "end of sequence flow not found"},
	{"did not find expected '-' indicator", "end of sequence not found"},
	{"did not find expected key", "end of map not found"},
	{"cannot start any token", "unknown token"},
	{"unexpected end of stream", "illegal EOF in scalar"},
	{"tab character", "illegal tab when looking for indentation"},
}

// classicYAMLError words an error of the YAML parser on a line, from 1, as
// Falco's parser does, with the place where that one notices it.
func (c *content) classicYAMLError(line int, message string) string {
	column := 1
	for _, w := range yamlWords {
		if !strings.Contains(message, w.ours) {
			continue
		}
		message = w.theirs
		switch {
		case strings.HasPrefix(w.theirs, "illegal map"):
			column = secondColon(c.line(line))
		case strings.Contains(w.theirs, "flow"): // the brackets are open at the end
			line = len(c.starts)
			column = len(c.data) - c.starts[line-1] + 1
		}
		break
	}
	return fmt.Sprintf("yaml-cpp: error at line %d, column %d: %s", line, column, message)
}

// secondColon returns the column, from 1, of the second colon of a line that
// separates a key from a value.
func secondColon(line string) int {
	seen := false
	for i := range len(line) {
		if line[i] != ':' || i+1 < len(line) && line[i+1] != ' ' {
			continue
		}
		if seen {
			return i + 1
		}
		seen = true
	}
	return 1
}

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

// containerInfoMessage is what is said of %container.info in an output.
func (c *compiler) containerInfoMessage() string {
	if c.opts.Compatible {
		return containerInfo + " is deprecated and no more useful, and will be dropped by Falco 1.0.0. " +
			"The container plugin will automatically add required fields to the output message."
	}
	return containerInfo + " in an output is deprecated: container fields are appended by the configuration"
}

// deprecatedMessage is what is said of a field that rules should not use any more.
func (c *compiler) deprecatedMessage(field string, output bool) string {
	if output && c.opts.Compatible {
		return "usage of deprecated field '" + field + "' has been detected in the rule output"
	}
	return "Field '" + field + "' is deprecated: it has the same value for all events"
}

// The places that follow are exact, but in compatible mode those of Falco.

// whole returns the place of a warning about a condition or output, for which
// Falco names the rule only.
func (c *compiler) whole(part *where, d *ruleDef) *where {
	if c.opts.Compatible {
		return d.at
	}
	return part
}

// macroUse returns the place where a condition names a macro. Falco leaves the
// level of the condition out.
func (c *compiler) macroUse(x *expr, id *filter.Ident) *where {
	at := x.at
	if c.opts.Compatible && at.parent != nil {
		at = at.parent
	}
	return at.in(kindExpression, x.src, id.At.Index)
}

// inside returns the place at byte index of a condition or output. Falco does
// not say where in an output.
func (c *compiler) inside(x *expr, code Code, index int) *where {
	if c.opts.Compatible && code == ErrCompileOutput {
		return x.at
	}
	return x.at.in(exprKind(code), x.src, index)
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

package policy

import (
	"bytes"
	_ "embed" // the default policies
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/event"
)

//go:embed default.yaml
var defaultFile []byte

// Default returns the file with the policies that come with Rollcage.
func Default() rule.File { return rule.File{Name: "builtin/policies.yaml", Data: defaultFile} }

// Load reads files of policies. The set holds what is right; it must be used
// only if no problem is an error. Problems are in order of their place.
func Load(files []rule.File) (*Set, []*Problem) {
	s := &Set{}
	var problems []*Problem
	for _, f := range files {
		r := &reader{file: f.Name, set: s, lines: strings.Split(string(f.Data), "\n")}
		if f.Err != nil {
			r.problems = append(r.problems, &Problem{Position: rule.Position{File: f.Name}, Message: f.Err.Error()})
		} else {
			r.documents(f.Data)
		}
		slices.SortStableFunc(r.problems, func(a, b *Problem) int { return a.Position.Line - b.Position.Line })
		problems = append(problems, r.problems...)
	}
	return s, problems
}

// Failed reports whether a problem is an error.
func Failed(problems []*Problem) bool {
	return slices.ContainsFunc(problems, func(p *Problem) bool { return !p.Warning })
}

// reader reads one file.
type reader struct {
	file     string
	lines    []string
	set      *Set
	problems []*Problem
}

// fail records an error at a node.
func (r *reader) fail(n *yaml.Node, format string, args ...any) *Problem {
	return r.failAt(r.position(n), format, args...)
}

func (r *reader) failAt(at rule.Position, format string, args ...any) *Problem {
	p := &Problem{Position: at, Message: fmt.Sprintf(format, args...), Line: r.line(at.Line)}
	r.problems = append(r.problems, p)
	return p
}

// line returns a line of the file, "" if there is none.
func (r *reader) line(number int) string {
	if i := number - 1; i >= 0 && i < len(r.lines) {
		return strings.TrimRight(r.lines[i], "\r")
	}
	return ""
}

func (r *reader) position(n *yaml.Node) rule.Position {
	return rule.Position{File: r.file, Line: n.Line, Column: n.Column}
}

// unknown records that a word is none of those that are known.
func (r *reader) unknown(n *yaml.Node, what string, known []string) {
	p := r.fail(n, "unknown %s %q", what, n.Value)
	if best := event.Nearest(n.Value, known); best != "" {
		p.Suggestion = fmt.Sprintf("did you mean %q?", best)
	} else {
		p.Suggestion = "known: " + strings.Join(known, ", ")
	}
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

func (r *reader) documents(data []byte) {
	for dec := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			message, line := err.Error(), 1
			if m := yamlLine.FindStringSubmatch(message); m != nil {
				message = message[len(m[0]):]
				line, _ = strconv.Atoi(m[1])
			}
			r.fail(&yaml.Node{Line: max(line, 1), Column: 1}, "not YAML: %s", message)
			return
		}
		if len(doc.Content) > 0 {
			r.items(doc.Content[0])
		}
	}
}

// items reads the list that a file is.
func (r *reader) items(list *yaml.Node) {
	if isNull(list) {
		return
	}
	if list.Kind != yaml.SequenceNode {
		r.fail(list, "a file of policies is a list: each entry begins with \"- policy: NAME\", \"- protect:\" or \"- blackbox:\"")
		return
	}
	for _, n := range list.Content {
		n = resolve(n)
		switch {
		case n.Kind != yaml.MappingNode || len(n.Content) < 2:
			r.fail(n, "an entry begins with \"- policy: NAME\", \"- protect:\" or \"- blackbox:\"")
		case has(n, "policy"):
			r.policy(n)
		case has(n, "protect"):
			r.protect(n)
		case has(n, "blackbox"):
			r.blackBox(n)
		default:
			r.unknown(n.Content[0], "kind of entry", []string{"policy", "protect", "blackbox"})
		}
	}
}

func has(n *yaml.Node, key string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return true
		}
	}
	return false
}

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// keys says what is done with the value of each key of a mapping.
type keys map[string]func(v *yaml.Node)

// mapping reads a mapping by its keys.
func (r *reader) mapping(n *yaml.Node, what string, table keys) {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		r.fail(n, "%s is a mapping with the keys %s", what, strings.Join(sortedKeys(table), ", "))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], resolve(n.Content[i+1])
		read := table[k.Value]
		switch {
		case read == nil:
			r.unknown(k, "key of "+what, sortedKeys(table))
		case seen[k.Value]:
			r.fail(k, "the key %q is there twice", k.Value)
		default:
			read(v)
		}
		seen[k.Value] = true
	}
}

// text reads a scalar.
func (r *reader) text(v *yaml.Node, what string) (string, bool) {
	if v.Kind != yaml.ScalarNode || isNull(v) || v.Value == "" {
		r.fail(v, "%s is a text", what)
		return "", false
	}
	return v.Value, true
}

func (r *reader) textInto(to *string, what string) func(*yaml.Node) {
	return func(v *yaml.Node) { *to, _ = r.text(v, what) }
}

// list reads a list of texts, or one text.
func (r *reader) listInto(to *[]string, what string) func(*yaml.Node) {
	return func(v *yaml.Node) {
		switch {
		case v.Kind == yaml.ScalarNode && !isNull(v) && v.Value != "":
			*to = []string{v.Value}
			return
		case v.Kind != yaml.SequenceNode:
			r.fail(v, "%s is a list of texts, or one text", what)
			return
		}
		if len(v.Content) == 0 {
			r.fail(v, "%s is empty, so nothing would fit; leave the key out if everything is meant", what)
		}
		for _, c := range v.Content {
			if s, ok := r.text(resolve(c), "an entry of "+what); ok {
				*to = append(*to, s)
			}
		}
	}
}

func (r *reader) boolInto(to *bool, what string) func(*yaml.Node) {
	return func(v *yaml.Node) {
		if v.Kind != yaml.ScalarNode || v.ShortTag() != "!!bool" || v.Decode(to) != nil {
			r.fail(v, "%s is true or false", what)
		}
	}
}

// word reads one of some words and returns its index, -1 if it is none.
func (r *reader) word(v *yaml.Node, what string, words []string) int {
	if _, ok := r.text(v, what); !ok {
		return -1
	}
	i := slices.Index(words, v.Value)
	if i < 0 {
		r.unknown(v, what, words)
	}
	return i
}

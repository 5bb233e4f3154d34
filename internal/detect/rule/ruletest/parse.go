package ruletest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"rollcage/internal/detect/filter"
)

// Error is a mistake in a test file, or a failure of a test, at a place in the
// file. Line and Column count from 1; 0 means not known.
type Error struct {
	File         string
	Line, Column int
	Message      string
}

func (e *Error) Error() string {
	at := e.File
	if e.Line > 0 {
		at += ":" + strconv.Itoa(e.Line)
	}
	if e.Column > 0 {
		at += ":" + strconv.Itoa(e.Column)
	}
	return at + ": " + e.Message
}

// parser reads YAML nodes and collects all that is wrong with them.
type parser struct {
	file string
	errs []*Error
}

func (p *parser) fail(n *yaml.Node, format string, args ...any) {
	p.errs = append(p.errs, p.at(n, format, args...))
}

// at makes an error at a node.
func (p *parser) at(n *yaml.Node, format string, args ...any) *Error {
	return &Error{p.file, n.Line, n.Column, fmt.Sprintf(format, args...)}
}

// document returns the only document of a file, nil if it is empty or wrong.
func (p *parser) document(data []byte) *yaml.Node {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		p.errs = append(p.errs, p.syntax(err))
		return nil
	}
	if err := dec.Decode(&more); err == nil {
		p.fail(&more, "a test file is one YAML document")
	} else if !errors.Is(err, io.EOF) {
		p.errs = append(p.errs, p.syntax(err))
	}
	return doc.Content[0]
}

var yamlPrefix = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// syntax takes the line out of an error of the YAML parser.
func (p *parser) syntax(err error) *Error {
	e := &Error{File: p.file, Message: err.Error()}
	if m := yamlPrefix.FindStringSubmatch(e.Message); m != nil {
		e.Line, _ = strconv.Atoi(m[1])
		e.Message = e.Message[len(m[0]):]
	}
	return e
}

// keys says what to do with the value under each key of a mapping.
type keys map[string]func(v *yaml.Node)

// each calls do for the keys and values of a mapping, in order.
func (p *parser) each(n *yaml.Node, what string, do func(key, value *yaml.Node)) {
	if n = follow(n); n.Kind != yaml.MappingNode {
		p.fail(n, "%s must be a mapping of keys to values", what)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if k := n.Content[i]; seen[k.Value] {
			p.fail(k, "%s has the key %s twice", what, k.Value)
		} else {
			seen[k.Value] = true
			do(k, follow(n.Content[i+1]))
		}
	}
}

// mapping reads a mapping with known keys.
func (p *parser) mapping(n *yaml.Node, what string, known keys) {
	p.each(n, what, func(k, v *yaml.Node) {
		if read := known[k.Value]; read != nil {
			read(v)
			return
		}
		p.fail(k, "%s has no key %q%s", what, k.Value, hint(k.Value, known))
	})
}

// hint suggests the key that was probably meant.
func hint[V any](word string, known map[string]V) string {
	var names []string
	for k := range known {
		names = append(names, k)
	}
	slices.Sort(names)
	if s := filter.Suggest(word, names); s != "" {
		return ", " + s
	}
	return ""
}

// items calls do for the elements of a sequence.
func (p *parser) items(n *yaml.Node, what string, do func(v *yaml.Node)) {
	if n = follow(n); isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		p.fail(n, "%s must be a list", what)
		return
	}
	for _, c := range n.Content {
		do(follow(c))
	}
}

// follow replaces an alias by what it stands for.
func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// scalar returns the text of a scalar; a null is "".
func (p *parser) scalar(n *yaml.Node) (string, bool) {
	switch {
	case n.Kind != yaml.ScalarNode:
		p.fail(n, "a single value is expected here")
		return "", false
	case isNull(n):
		return "", true
	}
	return n.Value, true
}

// The functions below return readers for keys.

func (p *parser) text(to *string) func(*yaml.Node) {
	return func(n *yaml.Node) { *to, _ = p.scalar(n) }
}

// texts reads a list of strings; a single one may stand without list.
func (p *parser) texts(to *[]string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		*to = []string{}
		if n.Kind == yaml.ScalarNode && !isNull(n) {
			*to = []string{n.Value}
			return
		}
		p.items(n, "the value", func(v *yaml.Node) {
			if s, ok := p.scalar(v); ok {
				*to = append(*to, s)
			}
		})
	}
}

// pairs reads a mapping of strings to strings.
func (p *parser) pairs(to *map[string]string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		*to = map[string]string{}
		p.each(n, "the value", func(k, v *yaml.Node) {
			if s, ok := p.scalar(v); ok {
				(*to)[k.Value] = s
			}
		})
	}
}

func number[T int | int32 | int64 | uint32 | uint64](p *parser, to *T) func(*yaml.Node) {
	return func(n *yaml.Node) {
		s, _ := p.scalar(n)
		v, err := strconv.ParseInt(s, 0, 64)
		if err != nil {
			p.fail(n, "%q is not a number", s)
		}
		if *to = T(v); int64(*to) != v {
			p.fail(n, "%s is out of range", s)
		}
	}
}

func (p *parser) boolean(to *bool) func(*yaml.Node) {
	return func(n *yaml.Node) {
		switch s, _ := p.scalar(n); strings.ToLower(s) {
		case "true", "yes", "on":
			*to = true
		case "false", "no", "off":
			*to = false
		default:
			p.fail(n, "%q is neither true nor false", s)
		}
	}
}

func (p *parser) duration(to *time.Duration) func(*yaml.Node) {
	return func(n *yaml.Node) {
		s, _ := p.scalar(n)
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 {
			p.fail(n, "%q is not a time span such as 5s or 100ms", s)
		}
		*to = d
	}
}

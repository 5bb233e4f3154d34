package rule

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// documents parses all YAML documents of a file. What came before an error is returned with it.
func documents(data []byte) ([]*yaml.Node, error) {
	var docs []*yaml.Node
	for dec := yaml.NewDecoder(bytes.NewReader(data)); ; {
		doc := new(yaml.Node)
		if err := dec.Decode(doc); errors.Is(err, io.EOF) {
			return docs, nil
		} else if err != nil {
			return docs, err
		}
		docs = append(docs, doc)
	}
}

var (
	yamlLine    = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)
	yamlGrammar = regexp.MustCompile(`did not find expected (node|key|'-'|',' or|<)`)
)

// yamlError splits an error of the YAML parser into line, from 1, and message.
func yamlError(err error) (line int, message string) {
	message = err.Error()
	m := yamlLine.FindStringSubmatch(message)
	if m == nil {
		return 1, message
	}
	line, _ = strconv.Atoi(m[1])
	message = message[len(m[0]):]
	// The parser counts lines from 0 where the scanner below it counts from 1,
	// and neither names the first.
	if line == 0 || yamlGrammar.MatchString(message) {
		line++
	}
	return line, message
}

// resolve follows an alias to what it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// isScalar reports whether the node is a scalar with a value.
func isScalar(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && !isNull(n) }

// entry is a mapping of a rules file that is being read. The first mistake in
// it marks it failed; reading goes on to find the others.
type entry struct {
	r      *reader
	node   *yaml.Node
	at     *where
	failed bool
}

// fail records an error in the structure of the entry.
func (e *entry) fail(w *where, format string, args ...any) {
	e.invalid(w, ErrYAMLValidate, format, args...)
}

// invalid records an error.
func (e *entry) invalid(w *where, code Code, format string, args ...any) *Problem {
	e.failed = true
	return e.r.report(w, code, format, args...)
}

// value returns the value of a key, nil if the key is not there.
func (e *entry) value(name string) *yaml.Node {
	for i := 0; i+1 < len(e.node.Content); i += 2 {
		if e.node.Content[i].Value == name {
			return resolve(e.node.Content[i+1])
		}
	}
	return nil
}

func (e *entry) has(name string) bool { return e.value(name) != nil }

// below returns the level of a node inside the entry.
func (e *entry) below(kind, name string, n *yaml.Node) *where {
	return e.at.at(kind, name, e.r.scalar(n))
}

// optional returns the scalar under a key, nil if the key is not there or its
// value is wrong, which is recorded.
func (e *entry) optional(name string) *scalar {
	n := e.value(name)
	if n == nil {
		return nil
	}
	w := e.below(kindValue, name, n)
	switch {
	case isNull(n):
		e.fail(w, "Mapping for key '%s' is empty", name)
	case n.Kind != yaml.ScalarNode:
		e.fail(w, "Value is not a scalar value")
	case n.Value == "":
		e.fail(w, "Value must be non-empty")
	default:
		return e.r.scalar(n)
	}
	return nil
}

// required is optional for a key that must be there.
func (e *entry) required(name string) *scalar {
	if !e.has(name) {
		e.fail(e.at, "Item has no mapping for key '%s'", name)
	}
	return e.optional(name)
}

// boolean returns the boolean under a key as YAML 1.1 writes it, def without.
func (e *entry) boolean(name string, def bool) bool {
	s := e.optional(name)
	if s == nil {
		return def
	}
	word := s.node.Value
	if lower := strings.ToLower(word); word == lower || word == strings.ToUpper(word) || word == lower[:1] ||
		word == strings.ToUpper(lower[:1])+lower[1:] {
		switch lower {
		case "y", "yes", "true", "on":
			return true
		case "n", "no", "false", "off":
			return false
		}
	}
	e.fail(e.below(kindValue, name, s.node), "Can't decode YAML scalar value")
	return def
}

// number returns the number under a key, 0 without.
func (e *entry) number(name string) uint32 {
	s := e.optional(name)
	if s == nil {
		return 0
	}
	n, err := strconv.ParseUint(s.node.Value, 0, 32)
	if err != nil {
		e.fail(e.below(kindValue, name, s.node), "Can't decode YAML scalar value")
	}
	return uint32(n)
}

// sequence returns the scalars of the sequence under a key; kind names the
// level of each.
func (e *entry) sequence(name, kind string) []*scalar {
	n := e.value(name)
	if n == nil {
		return nil
	}
	w := e.below(kindValue, name, n)
	switch {
	case isNull(n):
		e.fail(w, "Mapping for key '%s' is empty", name)
		return nil
	case n.Kind != yaml.SequenceNode:
		e.fail(w, "Value is not a sequence")
		return nil
	}
	out := make([]*scalar, 0, len(n.Content))
	for _, c := range n.Content {
		if c = resolve(c); !isScalar(c) {
			e.fail(e.below(kind, "", c), "Value is not a scalar value")
			continue
		}
		out = append(out, e.r.scalar(c))
	}
	return out
}

// unknownKeys warns about keys that the entry does not know or has twice.
func (e *entry) unknownKeys(known ...string) {
	seen := map[string]bool{}
	for i := 0; i+1 < len(e.node.Content); i += 2 {
		k := e.node.Content[i]
		switch {
		case !slices.Contains(known, k.Value):
			p := e.r.report(e.below(kindValue, k.Value, k), UnknownKey, "Unknown key '%s'. The key will be ignored.", k.Value)
			p.suggest(k.Value, known)
		case seen[k.Value] && !e.r.l.opts.Compatible:
			e.r.report(e.below(kindValue, k.Value, k), UnknownKey, "Key '%s' is given twice. Only the first counts.", k.Value)
		}
		seen[k.Value] = true
	}
}

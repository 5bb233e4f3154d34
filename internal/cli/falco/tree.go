package falco

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// tree is a configuration as it is written: a YAML mapping whose scalars are
// read by their text, whatever their quotes.
type tree struct{ root *yaml.Node }

func newTree() *tree { return &tree{root: &yaml.Node{Kind: yaml.MappingNode}} }

// parseTree parses a configuration file and puts the environment's values into
// its scalars. An empty file is an empty mapping.
func parseTree(data []byte) (*tree, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	t := newTree()
	if len(doc.Content) > 0 {
		t.root = doc.Content[0]
	}
	if t.root.Kind == yaml.ScalarNode && t.root.ShortTag() == "!!null" {
		t.root = newTree().root
	}
	if t.root.Kind != yaml.MappingNode {
		return nil, errors.New("the configuration is not a list of keys and values")
	}
	expandNode(t.root, map[*yaml.Node]bool{})
	return t, nil
}

// expandNode puts the environment's values into all scalars below n.
func expandNode(n *yaml.Node, seen map[*yaml.Node]bool) {
	if seen[n] {
		return
	}
	seen[n] = true
	if n.Kind == yaml.ScalarNode {
		if text := expand(n.Value, os.LookupEnv); text != n.Value {
			n.Value, n.Tag = text, ""
		}
	}
	for _, c := range n.Content {
		expandNode(c, seen)
	}
}

// maxExpansions limits how often variables that hold variables are followed.
const maxExpansions = 1000

// expand replaces ${NAME} by the variable's value, which is looked through
// too, and $${NAME} by ${NAME}. From a ${ that is not closed on nothing is replaced.
func expand(s string, env func(string) (string, bool)) string {
	at := 0
	for range maxExpansions {
		i := strings.Index(s[at:], "${")
		if i < 0 {
			return s
		}
		i += at
		end := strings.IndexByte(s[i:], '}')
		if end < 0 {
			return s
		}
		end += i
		if i > at && s[i-1] == '$' {
			s = s[:i-1] + s[i:]
			at = end
			continue
		}
		value, _ := env(s[i+2 : end])
		s = s[:i] + value + s[end+1:]
		at = i
	}
	return s
}

// child returns the value under a name of a mapping, nil if there is none.
func child(n *yaml.Node, name string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			v := n.Content[i+1]
			if v.Kind == yaml.AliasNode {
				return v.Alias
			}
			return v
		}
	}
	return nil
}

func setChild(n *yaml.Node, name string, v *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			n.Content[i+1] = v
			return
		}
	}
	n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, v)
}

// keys returns the top-level keys in their order.
func (t *tree) keys() []string {
	var out []string
	for i := 0; i+1 < len(t.root.Content); i += 2 {
		out = append(out, t.root.Content[i].Value)
	}
	return out
}

// step is one part of a key: a name, an index or, with append, a new element.
type step struct {
	name   string
	index  int // of an element, if name is ""
	append bool
}

// parseKey splits a key such as rules[0].disable.tag or append_output[].
// A backslash takes the meaning from the character after it.
func parseKey(key string) ([]step, error) {
	var steps []step
	var name []byte
	named := false // a name has begun
	afterIndex := false
	for i := 0; i < len(key); i++ {
		switch c := key[i]; {
		case c == '\\' && i+1 < len(key):
			i++
			name, named = append(name, key[i]), true
		case c == '.' || c == '[':
			if !named && !(c == '[' && afterIndex) && !(c == '.' && afterIndex) {
				return nil, worded("Parsing error: unexpected character at pos %d", i)
			}
			if named {
				steps = append(steps, step{name: string(name)})
			}
			name, named, afterIndex = nil, false, false
			if c == '.' {
				if i == len(key)-1 {
					return nil, worded("Parsing error: unexpected character at pos %d", i)
				}
				continue
			}
			end := strings.IndexByte(key[i:], ']')
			if end < 0 {
				return nil, worded("Parsing error: unexpected character at pos %d", i)
			}
			s, err := parseIndex(key[i+1 : i+end])
			if err != nil {
				return nil, err
			}
			steps = append(steps, s)
			i += end
			afterIndex = true
		default:
			if afterIndex {
				return nil, worded("Parsing error: expected '.' character at pos %d", i-1)
			}
			name, named = append(name, c), true
		}
	}
	if named {
		steps = append(steps, step{name: string(name)})
	}
	if len(steps) == 0 {
		return nil, worded("Parsing error: unexpected character at pos 0")
	}
	return steps, nil
}

func parseIndex(s string) (step, error) {
	if s == "" {
		return step{append: true}, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return step{}, worded("Parsing error: expected a numeric index, found '%s'", s)
	}
	return step{index: n}, nil
}

// keyError says which key is wrong.
func keyError(key string, err error) error { return worded("Config error at key %q: %w", key, err) }

// get returns the value under a key, nil if it is not there.
func (t *tree) get(key string) *yaml.Node {
	steps, err := parseKey(key)
	if err != nil {
		return nil
	}
	n := t.root
	for _, s := range steps {
		switch {
		case n == nil || s.append:
			return nil
		case s.name != "":
			n = child(n, s.name)
		case n.Kind != yaml.SequenceNode || s.index >= len(n.Content):
			return nil
		default:
			n = n.Content[s.index]
		}
	}
	return n
}

// set puts a value under a key, and what is missing on the way there. A value
// in braces is a mapping, all else a scalar.
func (t *tree) set(key, value string) error {
	steps, err := parseKey(key)
	if err != nil {
		return keyError(key, err)
	}
	v := &yaml.Node{Kind: yaml.ScalarNode, Value: value}
	if strings.HasPrefix(value, "{") && strings.HasSuffix(value, "}") {
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(value), &doc); err != nil {
			return keyError(key, err)
		}
		v = doc.Content[0]
	}
	n := t.root
	for _, s := range steps {
		if err := s.need(n); err != nil {
			return keyError(key, err)
		}
		if s.name == "" {
			n = element(n, s)
			continue
		}
		next := child(n, s.name)
		if next == nil {
			next = &yaml.Node{}
			setChild(n, s.name, next)
		}
		n = next
	}
	*n = *v
	return nil
}

// need makes n what the step goes into, if it is nothing yet.
func (s step) need(n *yaml.Node) error {
	want := yaml.SequenceNode
	if s.name != "" {
		want = yaml.MappingNode
	}
	if n.Kind == 0 || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		*n = yaml.Node{Kind: want}
	}
	switch {
	case n.Kind != want && s.name != "":
		return fmt.Errorf("%q is below a value that is not a list of keys", s.name)
	case n.Kind != want && s.append:
		return worded("Parsing error: expected a numeric index, found ''")
	case n.Kind != want:
		return fmt.Errorf("the index %d is for a value that is not a list", s.index)
	case s.name == "" && !s.append && s.index > len(n.Content):
		return fmt.Errorf("the index %d is beyond the end of the list, which has %d elements", s.index, len(n.Content))
	}
	return nil
}

// element returns the element that the step names, a new one if it is the next.
func element(n *yaml.Node, s step) *yaml.Node {
	if s.append || s.index == len(n.Content) {
		n.Content = append(n.Content, &yaml.Node{})
		return n.Content[len(n.Content)-1]
	}
	return n.Content[s.index]
}

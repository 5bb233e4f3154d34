package falco

import (
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// This file reads values. As in Falco, a value of another type than the key's
// counts as not there.

func (t *tree) text(key, def string) string { return scalarText(t.get(key), def) }

func scalarText(n *yaml.Node, def string) string {
	if n == nil || n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		return def
	}
	return n.Value
}

func (t *tree) boolean(key string, def bool) bool {
	if v, ok := parseBool(scalarText(t.get(key), "")); ok {
		return v
	}
	return def
}

// parseBool reads a boolean as YAML 1.1 writes it.
func parseBool(word string) (value, ok bool) {
	lower := strings.ToLower(word)
	if word == "" || word != lower && word != strings.ToUpper(word) && word != strings.ToUpper(lower[:1])+lower[1:] {
		return false, false
	}
	switch lower {
	case "y", "yes", "true", "on":
		return true, true
	case "n", "no", "false", "off":
		return false, true
	}
	return false, false
}

func (t *tree) number(key string, def int) int {
	if n, err := strconv.ParseInt(t.text(key, ""), 0, 64); err == nil {
		return int(n)
	}
	return def
}

func (t *tree) float(key string, def float64) float64 {
	if f, err := strconv.ParseFloat(t.text(key, ""), 64); err == nil {
		return f
	}
	return def
}

func (t *tree) milliseconds(key string, def time.Duration) time.Duration {
	return time.Duration(t.number(key, int(def/time.Millisecond))) * time.Millisecond
}

// texts returns the scalars of a list; a single scalar is a list of one.
func (t *tree) texts(key string) []string { return scalarTexts(t.get(key)) }

func scalarTexts(n *yaml.Node) []string {
	switch {
	case n == nil:
		return nil
	case n.Kind == yaml.ScalarNode && n.ShortTag() != "!!null" && n.Value != "":
		return []string{n.Value}
	case n.Kind != yaml.SequenceNode:
		return nil
	}
	var out []string
	for _, c := range n.Content {
		if c.Kind == yaml.AliasNode {
			c = c.Alias
		}
		if c.Kind == yaml.ScalarNode {
			out = append(out, c.Value)
		}
	}
	return out
}

// elements returns the elements of a list.
func (t *tree) elements(key string) []*yaml.Node {
	n := t.get(key)
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	out := make([]*yaml.Node, len(n.Content))
	for i, c := range n.Content {
		if c.Kind == yaml.AliasNode {
			c = c.Alias
		}
		out[i] = c
	}
	return out
}

func (t *tree) has(key string) bool { return t.get(key) != nil }

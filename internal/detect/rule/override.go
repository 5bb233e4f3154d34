package rule

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"rollcage/internal/detect/filter"
)

// overrides is what the key override of an item says: the mode of each key.
type overrides struct {
	given  bool
	append []string
	repl   []string
}

// appended reads append and override of a list or macro, of which one key can
// be overridden, and reports whether the value under it is to be appended.
func (e *entry) appended(key string) bool {
	o := e.overrides([]string{key}, []string{key})
	return e.appends(o) || len(o.append) > 0
}

// appends reads the key append.
func (e *entry) appends(o overrides) bool {
	if !e.boolean("append", false) {
		return false
	}
	if o.given {
		e.fail(e.at, "Keys 'override' and 'append: true' cannot be used together. Add an 'append' entry (e.g. 'condition: append') under 'override' instead.")
		return false
	}
	at := e.at
	if !e.r.l.opts.Compatible {
		at = e.below(kindValue, "append", e.value("append"))
	}
	e.r.report(at, DeprecatedItem,
		"'append' key is deprecated. Add an 'append' entry (e.g. 'condition: append') under 'override' instead.")
	return true
}

// overrides reads the key override. The arguments are the keys that can be
// appended to and replaced.
func (e *entry) overrides(appendable, replaceable []string) (o overrides) {
	n := e.value("override")
	if n == nil {
		return o
	}
	o.given = true
	w := e.below(kindOverrides, "", n)
	if n.Kind != yaml.MappingNode {
		e.fail(w, "Expecting a map of override keys")
		return o
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, op := n.Content[i], resolve(n.Content[i+1])
		at := w.at(kindValue, key.Value, e.r.scalar(key))
		switch op.Value {
		case "append":
			if !slices.Contains(appendable, key.Value) {
				if slices.Contains(replaceable, key.Value) {
					e.fail(at, "Key '%s' cannot be appended to, use 'replace' instead", key.Value)
				} else {
					e.fail(at, "Key '%s' cannot be appended to", key.Value)
				}
				continue
			}
			o.append = append(o.append, key.Value)
		case "replace":
			if !slices.Contains(replaceable, key.Value) {
				e.fail(at, "Key '%s' cannot be replaced", key.Value)
				continue
			}
			o.repl = append(o.repl, key.Value)
		default:
			e.fail(at, "Invalid override operation for key '%s': '%s'. Allowed values are: append replace ", key.Value, op.Value)
			continue
		}
		if !e.has(key.Value) {
			e.fail(at, "An %s override for '%s' was specified but '%s' is not defined", op.Value, key.Value, key.Value)
		}
	}
	if !e.failed && len(o.append)+len(o.repl) > 0 {
		e.unexpected(o, slices.Concat(appendable, replaceable))
	}
	return o
}

// unexpected reports the keys that could be overridden and are given without
// being named under override.
func (e *entry) unexpected(o overrides, overridable []string) {
	for i := 0; i+1 < len(e.node.Content); i += 2 {
		k := e.node.Content[i]
		if slices.Contains(overridable, k.Value) && !slices.Contains(o.append, k.Value) && !slices.Contains(o.repl, k.Value) {
			e.fail(e.below(kindValue, k.Value, k), "Unexpected key '%s': no corresponding entry under 'override' is defined.", k.Value)
		}
	}
}

// suggest notes the word among known that is most like the given one.
func (p *Problem) suggest(word string, known []string) { p.Suggestion = filter.Suggest(word, known) }

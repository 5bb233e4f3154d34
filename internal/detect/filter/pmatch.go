package filter

import (
	"strings"

	"rollcage/internal/detect/field"
)

// pathTree holds the patterns of pmatch by their components. A value matches
// if the components of a pattern match its first ones.
type pathTree struct {
	end      bool // a pattern ends here: whatever follows matches
	literals map[string]*pathTree
	globs    []pathGlob
}

type pathGlob struct {
	pattern string
	next    *pathTree
}

func newPathTree(patterns []string) *pathTree {
	t := &pathTree{}
	for _, p := range patterns {
		t.add(p)
	}
	return t
}

// add puts a pattern in. Of two patterns of which one begins with the other,
// only the shorter one stays.
func (t *pathTree) add(pattern string) {
	for !t.end {
		part, rest := cutComponent(pattern)
		if part == "" {
			*t = pathTree{end: true}
			return
		}
		t, pattern = t.child(part), rest
	}
}

func (t *pathTree) child(part string) *pathTree {
	if !strings.ContainsAny(part, "?*[") {
		if t.literals == nil {
			t.literals = map[string]*pathTree{}
		}
		if t.literals[part] == nil {
			t.literals[part] = &pathTree{}
		}
		return t.literals[part]
	}
	for _, g := range t.globs {
		if g.pattern == part {
			return g.next
		}
	}
	t.globs = append(t.globs, pathGlob{part, &pathTree{}})
	return t.globs[len(t.globs)-1].next
}

// match looks at each node of the tree at most once.
func (t *pathTree) match(path string) bool {
	if t.end {
		return true
	}
	part, rest := cutComponent(path)
	if part == "" {
		return false
	}
	if next := t.literals[part]; next != nil && next.match(rest) {
		return true
	}
	for _, g := range t.globs {
		if fnmatch(g.pattern, part, false) && g.next.match(rest) {
			return true
		}
	}
	return false
}

func (t *pathTree) holds(v *field.Value) bool { return t.match(v.Str) }

// cutComponent returns the first component of a path, "" if there is none, and what follows.
func cutComponent(path string) (part, rest string) {
	path = strings.TrimLeft(path, "/")
	if i := strings.IndexByte(path, '/'); i >= 0 {
		return path[:i], path[i:]
	}
	return path, ""
}

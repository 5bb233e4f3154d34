package filter

import "strings"

// Lists remembers long lists of constants by their text, so that many
// conditions that name the same one share it: it is read once, and a program
// compiles a check of it once. It is used by one goroutine.
//
// The constants of a shared list have the positions that they had in the
// condition that was parsed first. Who needs the positions of mistakes parses
// the condition again with [Parse].
type Lists struct {
	byText map[string][]*Value // by all of the list behind "("
	found  bool
}

// longList is from which number of bytes on a list is remembered. A shorter one is read as fast.
const longList = 256

// Parse is the function Parse with a memory for lists. shared reports whether
// the condition has a list from an earlier one.
func (l *Lists) Parse(src string) (n Node, shared bool, err error) {
	l.found = false
	n, err = parse(&parser{lexer: newLexer(src), lists: l})
	return n, l.found, err
}

// listText returns the text at the cursor up to the next ")", if that is long.
func listText(rest string) (string, bool) {
	end := strings.IndexByte(rest, ')')
	return rest[:end+1], end >= longList
}

// take returns the values of the list whose text that is, nil if it is new.
func (l *Lists) take(text string) []*Value {
	values := l.byText[text]
	l.found = l.found || values != nil
	return values
}

// keep remembers a list that was read.
func (l *Lists) keep(text string, values []*Value) {
	if l.byText == nil {
		l.byText = map[string][]*Value{}
	}
	l.byText[strings.Clone(text)] = values
}

// listCheck tells checks of long lists apart: those with the same constants in
// memory and the same left side and operator check the same.
type listCheck struct {
	left     string
	op       Op
	modifier Modifier
	first    **Value
	n        int
}

// checkedList is what compiling a check of a long list gave.
type checkedList struct {
	id       nodeID
	warnings []Warning
}

// manyValues is from which number of constants on it pays to look whether a
// list was compiled before.
const manyValues = 32

// listCheckOf returns what a check of a long list is known by.
func listCheckOf(n *Check) (listCheck, bool) {
	l, ok := n.Right.(*List)
	if !ok || len(l.Values) < manyValues {
		return listCheck{}, false
	}
	return listCheck{Print(n.Left), n.Op, n.Modifier, &l.Values[0], len(l.Values)}, true
}

// check makes the node of a check. A check of a list that was compiled before
// is that one, with the warnings that it gave.
func (c *compiler) check(n *Check) (nodeID, error) {
	key, long := listCheckOf(n)
	if !long {
		return c.newCheck(n)
	}
	if done, ok := c.lists[key]; ok {
		for _, w := range done.warnings {
			w.Macro = c.macro
			c.warnings = append(c.warnings, w)
		}
		return done.id, nil
	}
	before := len(c.warnings)
	id, err := c.newCheck(n)
	if err == nil {
		c.lists[key] = checkedList{id, append([]Warning(nil), c.warnings[before:]...)}
	}
	return id, err
}

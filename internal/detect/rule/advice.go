package rule

import (
	"fmt"
	"strings"

	"rollcage/internal/detect/filter"
)

// This file looks for what is valid and hardly means what it says in rules.
// What concerns the condition alone is found by filter.Schema.Advise.

// advise gives advice about a rule that compiles.
func (c *compiler) advise(d *ruleDef, x *expr, selected filter.Selection) {
	c.quotedLists(d)
	for _, e := range d.exceptions {
		c.exceptionAdvice(e)
	}
	if selected.Len() == 0 {
		c.advice(c.problem(d.conditionAt, Advice, "this rule never fires: no event has all the types that the condition wants at once"),
			"never-true", "write or between types that exclude each other, or put them into one list: evt.type in (…)")
		return
	}
	for _, a := range c.schema.Advise(x.node) {
		c.advice(c.within(x, a.Macro, a.Index, Advice, a.Msg), a.Name, a.Hint)
	}
}

// advice completes a problem that is advice; nil if the same was said before.
func (c *compiler) advice(p *Problem, topic, hint string) {
	if p != nil {
		p.Topic, p.Suggestion = topic, hint
	}
}

// quotedLists looks for names of lists inside of quotes, where they are
// replaced too.
func (c *compiler) quotedLists(d *ruleDef) {
	for _, l := range c.lists.order {
		i := quotedWord(d.condition.s, l.name)
		if i < 0 {
			continue
		}
		w := d.conditionAt.in(kindExpression, d.condition, i)
		c.advice(c.problem(w, Advice, "the name of the list '%s' is replaced by its items inside of quotes too", l.name),
			"list-in-quotes", "rename the list, so that its name is no word of the text")
	}
}

// quotedWord returns where in s a word stands alone inside of quotes, -1 if nowhere.
func quotedWord(s, word string) int {
	var quote byte
	for i := 0; i < len(s); i++ {
		switch ch := s[i]; {
		case quote == 0 && (ch == '"' || ch == '\''):
			quote = ch
		case quote != 0 && ch == quote && s[i-1] != '\\':
			quote = 0
		case quote != 0 && strings.HasPrefix(s[i:], word) && bounded(s, i, i+len(word)):
			return i
		}
	}
	return -1
}

// exceptionAdvice looks for values of an exception that mean something else
// in a condition, into which they are put as they are.
func (c *compiler) exceptionAdvice(x *exceptionDef) {
	for _, row := range x.rows {
		for i, cell := range row.cells {
			comp := x.comps[min(i, len(x.comps)-1)].node.Value
			op, _ := filter.ParseOp(strings.Fields(comp)[0])
			list := x.single || cell.list || op.TakesList() || strings.Contains(comp, " ")
			for _, v := range cell.values {
				msg, hint := c.exceptionValue(v.node.Value, list)
				if msg == "" {
					continue
				}
				w := row.at.at(kindExValue, "", v)
				c.advice(c.problem(w, Advice, "%s", msg), "exception-value", hint)
			}
		}
	}
}

// exceptionValue says what is surprising about a value of an exception.
func (c *compiler) exceptionValue(s string, list bool) (msg, hint string) {
	quoted := len(s) > 1 && (s[0] == '"' || s[0] == '\'')
	quote := fmt.Sprintf(`write '"%s"', with quotes inside of the quotes`, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s))
	switch {
	case c.lists.byName[s] != nil:
		return fmt.Sprintf("'%s' is the name of a list and is replaced by its items", s), "rename the list if the text is meant"
	case quoted:
		return "", ""
	case list && s != "" && s[0] != '(' && strings.Contains(s, ",") && !strings.Contains(s, " "):
		return "the comma makes several values of this one", quote
	case strings.Contains(s, " ") && strings.Contains(s, `\`):
		return "a value with a blank is put into quotes, and a backslash in quotes begins an escape sequence", quote
	}
	return "", ""
}

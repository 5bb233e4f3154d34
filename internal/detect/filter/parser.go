package filter

import "strings"

// MaxDepth is how deeply the parts of a condition may be nested; a pair of
// parentheses takes up four levels.
const MaxDepth = 1000

// Parse parses a condition. The error is an *Error.
func Parse(src string) (Node, error) { return parse(&parser{lexer: newLexer(src)}) }

func parse(p *parser) (Node, error) {
	n, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.rest() != "" {
		return nil, p.trailing()
	}
	return n, nil
}

type parser struct {
	lexer
	depth int
	lists *Lists // nil if lists are not shared
}

func (p *parser) expected(what string) *Error { return errorAt(p.at, "expected %s", what) }

// enter counts one level of nesting; the caller defers leave.
func (p *parser) enter() error {
	if p.depth++; p.depth > MaxDepth {
		return errorAt(p.at, "exceeded max depth limit of %d", MaxDepth)
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

// trailing is the error of text behind a complete condition.
func (p *parser) trailing() error {
	err := errorAt(p.at, "unexpected token after '%s', expecting 'or', 'and'", p.last)
	word := p.rest()
	switch word = word[:spanLen(word, isWord)]; {
	case strings.HasPrefix(p.rest(), "(") && identifierLen(p.last) == len(p.last):
		err.Hint = Suggest(p.last, transformerWords)
	case word == "AND" || word == "OR" || word == "NOT":
		err.Hint = "write '" + strings.ToLower(word) + "' in lower case"
	case strings.HasPrefix(p.rest(), "&&"):
		err.Hint = "write 'and'"
	case strings.HasPrefix(p.rest(), "||"):
		err.Hint = "write 'or'"
	}
	return err
}

func (p *parser) or() (Node, error) {
	at, kids, err := p.sequence("or", p.and)
	if len(kids) == 1 || err != nil {
		return first(kids), err
	}
	return &Or{at, kids}, nil
}

func (p *parser) and() (Node, error) {
	at, kids, err := p.sequence("and", p.not)
	if len(kids) == 1 || err != nil {
		return first(kids), err
	}
	return &And{at, kids}, nil
}

func first(kids []Node) Node {
	if len(kids) == 0 {
		return nil
	}
	return kids[0]
}

// sequence parses operands joined by word.
func (p *parser) sequence(word string, operand func() (Node, error)) (at Pos, kids []Node, err error) {
	defer p.leave()
	if err := p.enter(); err != nil {
		return at, nil, err
	}
	p.blank()
	at = p.at
	kid, err := operand()
	for err == nil {
		kids = append(kids, kid)
		p.blank()
		if !p.symbol(word) {
			return at, kids, nil
		}
		switch {
		case p.blank():
			kid, err = operand()
		case p.symbol("("):
			kid, err = p.group()
		default:
			err = p.expected("a blank or '(' after '" + word + "'")
		}
	}
	return at, nil, err
}

func (p *parser) not() (Node, error) {
	defer p.leave()
	if err := p.enter(); err != nil {
		return nil, err
	}
	p.blank()
	at, negated := p.at, false
	wrap := func(n Node, err error) (Node, error) {
		if err != nil || !negated {
			return n, err
		}
		return &Not{at, n}, nil
	}
	for strings.HasPrefix(p.rest(), "not") {
		behind := p.rest()[len("not"):]
		if strings.HasPrefix(behind, "(") {
			p.take(len("not("))
			negated = !negated
			return wrap(p.group())
		}
		if blankLen(behind) == 0 {
			break // a word that begins with not
		}
		p.take(len("not"))
		p.blank()
		negated = !negated
	}
	return wrap(p.check())
}

// group parses what follows an opening parenthesis.
func (p *parser) group() (Node, error) {
	n, err := p.or()
	if err != nil {
		return nil, err
	}
	p.blank()
	if !p.symbol(")") {
		return nil, p.expected("a ')' token")
	}
	return n, nil
}

func (p *parser) check() (Node, error) {
	defer p.leave()
	if err := p.enter(); err != nil {
		return nil, err
	}
	at := p.at
	if p.symbol("(") {
		return p.group()
	}
	if fieldNameLen(p.rest()) > 0 {
		left, err := p.field()
		if err != nil {
			return nil, err
		}
		return p.condition(at, left)
	}
	if p.callAhead() {
		left, err := p.call()
		if err != nil {
			return nil, err
		}
		return p.condition(at, left)
	}
	if name, ok := p.token(identifierLen); ok {
		return &Ident{At: at, Name: name}, nil
	}
	return nil, p.expected("a '(' token, a field check, or an identifier")
}

// field parses a field; the caller has seen its name.
func (p *parser) field() (Node, error) {
	f := &FieldRef{At: p.at}
	f.Name, _ = p.token(fieldNameLen)
	if !p.symbol("[") {
		return f, nil
	}
	f.HasArg = true
	if arg, ok := p.token(fieldArgLen); ok {
		f.Arg = arg
	} else {
		v, err := p.quoted("a valid field argument: a quoted string or a bare string")
		if err != nil {
			return nil, err
		}
		f.Arg = v.Text
	}
	if !p.symbol("]") {
		return nil, p.expected("a ']' token")
	}
	return f, nil
}

func (p *parser) condition(at Pos, left Node) (Node, error) {
	p.blank()
	for _, o := range operators {
		behind, found := strings.CutPrefix(p.rest(), o.word)
		if !found || o.blank && blankLen(behind) == 0 {
			continue
		}
		p.take(len(o.word))
		c := &Check{At: at, Left: left, Op: o.op}
		var err error
		switch o.operand {
		case numberOperand:
			c.Right, err = p.number()
		case stringOperand:
			err = p.stringOperand(c)
		case listOperand:
			c.Right, err = p.list()
		}
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	err := p.expected("a valid check operator: one of " + quoteAll(allOpWords))
	word := p.rest()
	err.Hint = Suggest(word[:spanLen(word, func(c byte) bool { return !isSpace(c) && c != '(' })], allOpWords)
	return nil, err
}

func quoteAll(words []string) string { return "'" + strings.Join(words, "', '") + "'" }

func (p *parser) number() (Node, error) {
	p.blank()
	at := p.at
	if s, ok := p.token(hexOrNumberLen); ok {
		return &Value{At: at, Text: s}, nil
	}
	if p.rhsAhead() {
		return p.rhs()
	}
	return nil, p.expected("a number value or a field with val()")
}

// stringOperand parses what stands behind =, contains and the like.
func (p *parser) stringOperand(c *Check) (err error) {
	p.blank()
	if c.Modifier = p.modifier(); c.Modifier != NoModifier {
		c.Right, err = p.listOrName("a list or an identifier after '" + c.Modifier.String() + "'")
		return err
	}
	if p.rhsAhead() {
		c.Right, err = p.rhs()
		return err
	}
	c.Right, err = p.str()
	return err
}

// modifier moves over a modifier. The word is one only if a list or the name
// of a list follows; else it is the operand itself.
func (p *parser) modifier() Modifier {
	for m := OneOf; m <= AllOf; m++ {
		behind, found := strings.CutPrefix(p.rest(), m.String())
		n := blankLen(behind)
		if !found || n == 0 {
			continue
		}
		behind = behind[n:]
		name := behind[:identifierLen(behind)]
		if strings.HasPrefix(behind, "(") || name != "" && name != "and" && name != "or" && name != "not" {
			p.take(len(m.String()))
			p.blank()
			return m
		}
	}
	return NoModifier
}

func (p *parser) str() (*Value, error) {
	at := p.at
	if s, ok := p.token(bareLen); ok {
		return &Value{At: at, Text: s}, nil
	}
	return p.quoted("a string value")
}

// quoted parses a string in quotes.
func (p *parser) quoted(what string) (*Value, error) {
	at := p.at
	token, ok := p.token(quotedLen)
	if !ok {
		err := p.expected(what)
		if r := p.rest(); r != "" && (r[0] == '"' || r[0] == '\'') {
			err.Hint = "the string has no closing " + r[:1]
		}
		return nil, err
	}
	text, bad := unquote(token)
	if bad >= 0 {
		return nil, errorAt(at, "invalid \\%.1s escape in '%s'", token[1+bad:], token)
	}
	return &Value{At: at, Text: text, Quoted: true}, nil
}

func (p *parser) list() (Node, error) {
	p.blank()
	if p.rhsAhead() {
		return p.rhs()
	}
	return p.listOrName("a list or an identifier")
}

func (p *parser) listOrName(what string) (Node, error) {
	at := p.at
	if name, ok := p.token(identifierLen); ok {
		return &Ident{At: at, Name: name}, nil
	}
	if !p.symbol("(") {
		return nil, p.expected(what)
	}
	l := &List{At: at}
	text, long := "", false
	if p.lists != nil {
		if text, long = listText(p.rest()); long {
			if l.Values = p.lists.take(text); l.Values != nil {
				p.take(len(text))
				return l, nil
			}
		}
	}
	start := p.at.Index
	p.blank()
	for !p.symbol(")") {
		if len(l.Values) > 0 {
			if !p.symbol(",") {
				return nil, p.expected("a ')' token")
			}
			p.blank()
		}
		v, err := p.str()
		if err != nil {
			return nil, err
		}
		l.Values = append(l.Values, v)
		p.blank()
	}
	if long && p.at.Index-start == len(text) {
		p.lists.keep(text, l.Values)
	}
	return l, nil
}

// rhsAhead reports whether val( or a transformer stands at the cursor.
func (p *parser) rhsAhead() bool { return strings.HasPrefix(p.rest(), "val(") || p.callAhead() }

func (p *parser) rhs() (Node, error) {
	if p.callAhead() {
		return p.call()
	}
	p.take(len("val("))
	p.blank()
	if fieldNameLen(p.rest()) == 0 {
		return nil, p.expected("a field name in val()")
	}
	f, err := p.field()
	if err != nil {
		return nil, err
	}
	p.blank()
	if !p.symbol(")") {
		return nil, p.expected("a ')' token closing val()")
	}
	return f, nil
}

// callAhead reports whether a transformer stands at the cursor.
func (p *parser) callAhead() bool {
	n := identifierLen(p.rest())
	return n > 0 && strings.HasPrefix(p.rest()[n:], "(") && transformers[p.rest()[:n]] != nil
}

// call parses a transformer; the caller has seen it.
func (p *parser) call() (Node, error) {
	defer p.leave()
	if err := p.enter(); err != nil {
		return nil, err
	}
	c := &Call{At: p.at}
	c.Name, _ = p.token(identifierLen)
	p.symbol("(")
	args, err := p.args(true)
	if err != nil {
		return nil, err
	}
	c.Args = args
	if p.symbol("[") {
		c.HasArg = true
		if c.Arg, c.HasArg = p.token(fieldArgLen); !c.HasArg {
			return nil, p.expected("an argument in '[' and ']'")
		}
		if !p.symbol("]") {
			return nil, p.expected("a ']' token")
		}
	}
	return c, nil
}

// args parses arguments up to the closing parenthesis.
func (p *parser) args(tuples bool) (args []Node, err error) {
	p.blank()
	if !tuples && p.symbol(")") {
		return nil, nil
	}
	for {
		arg, err := p.arg(tuples)
		if err != nil {
			return nil, err
		}
		args = append(args, arg)
		p.blank()
		if p.symbol(")") {
			return args, nil
		}
		if !p.symbol(",") {
			return nil, p.expected("a ')' or ',' token")
		}
		p.blank()
	}
}

func (p *parser) arg(tuples bool) (Node, error) {
	at := p.at
	if s, ok := p.token(hexOrNumberLen); ok {
		return &Value{At: at, Text: s, Number: true}, nil
	}
	if tuples && p.symbol("(") {
		items, err := p.args(false)
		return &Tuple{at, items}, err
	}
	if p.callAhead() {
		return p.call()
	}
	if fieldNameLen(p.rest()) > 0 {
		return p.field()
	}
	return p.quoted("a transformer argument: a field, a transformer, a quoted string or a number")
}

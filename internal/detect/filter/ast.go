package filter

// Node is a part of a condition: *And, *Or, *Not, *Check, *Ident, and inside
// of checks *FieldRef, *Call, *Tuple, *Value, *List and *Ident. A tree may
// share parts with others and must not be changed.
type Node interface {
	// Pos returns where the node begins in the text it was parsed from.
	Pos() Pos
}

// And is true if all its children are.
type And struct {
	At       Pos
	Children []Node // at least two
}

// Or is true if one of its children is.
type Or struct {
	At       Pos
	Children []Node // at least two
}

// Not is true if its child is not.
type Not struct {
	At    Pos
	Child Node
}

// Ident is the name of a macro, or of a list where a list is expected.
type Ident struct {
	At   Pos
	Name string
	// Expr is the macro's expression, nil as long as [Expand] has not put it in.
	Expr Node
}

// Check compares a value of the event.
type Check struct {
	At       Pos
	Left     Node // *FieldRef or *Call
	Op       Op
	Modifier Modifier
	// Right is nil for exists; *Value, *FieldRef (written val(…)) or *Call;
	// for list operators and with a modifier *List or *Ident.
	Right Node
}

// FieldRef is a field with its argument in brackets.
type FieldRef struct {
	At     Pos
	Name   string
	Arg    string
	HasArg bool
}

// Call is a transformer with its arguments and, for getopt, an option letter in brackets.
type Call struct {
	At     Pos
	Name   string
	Args   []Node // *FieldRef, *Call, *Value, *Tuple
	Arg    string
	HasArg bool
}

// Tuple is a list of values in the arguments of a transformer.
type Tuple struct {
	At    Pos
	Items []Node // *FieldRef, *Call, *Value
}

// Value is a constant.
type Value struct {
	At     Pos
	Text   string
	Quoted bool // written in quotes
	Number bool // written as a number where a string would need quotes
}

// List is a list of constants.
type List struct {
	At     Pos
	Values []*Value
}

// Pos returns where the first child begins.
func (n *And) Pos() Pos { return n.At }

// Pos returns where the first child begins.
func (n *Or) Pos() Pos { return n.At }

// Pos returns where the word not stands.
func (n *Not) Pos() Pos { return n.At }

// Pos returns where the name stands.
func (n *Ident) Pos() Pos { return n.At }

// Pos returns where the left side begins.
func (n *Check) Pos() Pos { return n.At }

// Pos returns where the field's name stands.
func (n *FieldRef) Pos() Pos { return n.At }

// Pos returns where the transformer's name stands.
func (n *Call) Pos() Pos { return n.At }

// Pos returns where the parenthesis stands.
func (n *Tuple) Pos() Pos { return n.At }

// Pos returns where the constant begins, its quote included.
func (n *Value) Pos() Pos { return n.At }

// Pos returns where the parenthesis stands.
func (n *List) Pos() Pos { return n.At }

// Op is an operator of a check.
type Op uint8

// The operators. == reads as Eq.
const (
	Exists Op = iota
	Le
	Lt
	Ge
	Gt
	Eq
	Ne
	Glob
	IGlob
	Contains
	IContains
	BContains
	StartsWith
	BStartsWith
	EndsWith
	Regex
	Intersects
	In
	PMatch
)

// Modifier says how many of the constants of a list must fit.
type Modifier uint8

// The modifiers.
const (
	NoModifier Modifier = iota
	OneOf
	AnyOf
	AllOf
)

var modifierWords = [...]string{OneOf: "oneof", AnyOf: "anyof", AllOf: "allof"}

// String returns the modifier as it is written.
func (m Modifier) String() string { return modifierWords[m] }

// operand says what stands behind an operator.
type operand uint8

const (
	noOperand operand = iota
	numberOperand
	stringOperand
	listOperand
)

// operators are the operators in the order in which they are tried.
var operators = []struct {
	word    string
	op      Op
	operand operand
	blank   bool // a blank must follow
}{
	{"exists", Exists, noOperand, false},
	{"<=", Le, numberOperand, false},
	{"<", Lt, numberOperand, false},
	{">=", Ge, numberOperand, false},
	{">", Gt, numberOperand, false},
	{"==", Eq, stringOperand, false},
	{"=", Eq, stringOperand, false},
	{"!=", Ne, stringOperand, false},
	{"glob", Glob, stringOperand, true},
	{"iglob", IGlob, stringOperand, true},
	{"contains", Contains, stringOperand, true},
	{"icontains", IContains, stringOperand, true},
	{"bcontains", BContains, stringOperand, true},
	{"startswith", StartsWith, stringOperand, true},
	{"bstartswith", BStartsWith, stringOperand, true},
	{"endswith", EndsWith, stringOperand, true},
	{"regex", Regex, stringOperand, true},
	{"intersects", Intersects, listOperand, false},
	{"in", In, listOperand, false},
	{"pmatch", PMatch, listOperand, false},
}

var opWords, allOpWords = func() (words map[Op]string, all []string) {
	words = map[Op]string{}
	for _, o := range operators {
		words[o.op] = o.word // of == and = the shorter one stays
		all = append(all, o.word)
	}
	return words, all
}()

// String returns the operator as it is written.
func (o Op) String() string { return opWords[o] }

// ParseOp returns the operator written as word, for instance "startswith".
func ParseOp(word string) (Op, bool) {
	for _, o := range operators {
		if o.word == word {
			return o.op, true
		}
	}
	return 0, false
}

// TakesList reports whether a list stands behind the operator when it has no modifier.
func (o Op) TakesList() bool { return o == In || o == Intersects || o == PMatch }

// TakesModifier reports whether oneof, anyof and allof may follow the operator.
func (o Op) TakesModifier() bool { return o >= Eq && o <= Regex }

// ParseModifier returns the modifier written as word.
func ParseModifier(word string) (Modifier, bool) {
	for m, w := range modifierWords {
		if w == word && w != "" {
			return Modifier(m), true
		}
	}
	return NoModifier, false
}

// Walk calls visit for n and, as long as visit returns true, for everything
// below it, macros that were put in included.
func Walk(n Node, visit func(Node) bool) {
	if n == nil || !visit(n) {
		return
	}
	for _, child := range children(n) {
		Walk(child, visit)
	}
}

// children returns the nodes right below n.
func children(n Node) []Node {
	switch n := n.(type) {
	case *And:
		return n.Children
	case *Or:
		return n.Children
	case *Not:
		return []Node{n.Child}
	case *Ident:
		if n.Expr != nil {
			return []Node{n.Expr}
		}
	case *Check:
		if n.Right != nil {
			return []Node{n.Left, n.Right}
		}
		return []Node{n.Left}
	case *Call:
		return n.Args
	case *Tuple:
		return n.Items
	case *List:
		out := make([]Node, len(n.Values))
		for i, v := range n.Values {
			out[i] = v
		}
		return out
	}
	return nil
}

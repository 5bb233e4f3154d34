package filter

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"rollcage/internal/detect/field"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// fieldError turns an error of package field into one with a position.
func fieldError(n *FieldRef, err error) error {
	out := &Error{Msg: err.Error(), Pos: n.At, err: err}
	var unknown *field.UnknownError
	if errors.As(err, &unknown) {
		out.Field = Print(n)
		out.Msg = fmt.Sprintf("filter check called with nonexistent field '%s'", out.Field)
		out.Hint = didYouMean(unknown.Nearest)
		out.err = ErrUnknown
	}
	return out
}

// rawArg is the field with the native value of a parameter.
const rawArg = "evt.rawarg"

// checkOperator is the error of an operator that the left side does not have.
func checkOperator(n *Check, src *source) error {
	if src.field != nil && src.field.Def.Flags&field.PrintOnly != 0 {
		return errorAt(n.At, "field '%s' can be printed but not compared", Print(n.Left))
	}
	if atMost(src) && n.Op != Eq {
		return errorAt(n.At, "'%s' supports only the operator =", Print(n.Left))
	}
	if src.field != nil && src.field.Def.Name == rawArg && src.typ == event.TypeBytebuf {
		return errorAt(n.At, "'%s' is a byte buffer parameter, which cannot be compared; use evt.buffer or evt.arg", Print(n.Left))
	}
	kind, allowed := "of type "+src.typ.String(), supported[groupOf(src.typ)]
	if src.list {
		kind, allowed = "a list", allowed&supportedByLists
	}
	if !allowed.has(n.Op) {
		return errorAt(n.At, "operator '%s' not supported for '%s', which is %s", n.Op, Print(n.Left), kind)
	}
	if n.Modifier == NoModifier {
		return nil
	}
	if g := groupOf(src.typ); (g == groupAddr || g == groupNet) && n.Op != Eq && n.Op != Ne {
		return errorAt(n.At, "operator '%s %s' not supported for '%s', which is %s", n.Op, n.Modifier, Print(n.Left), kind)
	}
	return nil
}

// atMost reports whether = compares with a limit, as that of evt.around does.
func atMost(src *source) bool {
	return src.field != nil && src.field.Def.Flags&field.AtMost != 0
}

// leaf makes a check ready to be evaluated.
func (c *compiler) leaf(n *Check, src *source) (l leaf, scope field.Scope, cost int, err error) {
	scope, cost = src.scope, src.cost+checkCost(n)
	switch right := n.Right.(type) {
	case nil:
		return existence(src), scope, cost, nil
	case *FieldRef, *Call:
		other, err := c.sources.get(right)
		if err != nil {
			return nil, 0, 0, err
		}
		l, err := c.pair(n, src, other)
		return l, min(scope, other.scope), cost + other.cost, err
	case *Ident:
		return nil, 0, 0, errorAt(right.At, "unexpected identifier '%s'", right.Name)
	}
	if addr, ok := hostNameField(n.Left); ok {
		l, err = c.hostLeaf(n, addr)
		return l, field.ScopeEvent, costPerHost, err
	}
	if src.field != nil && src.field.EachValue != nil {
		l, err = c.ends(n, src)
		return l, scope, cost, err
	}
	if atMost(src) {
		limit := *n
		limit.Op = Le
		n = &limit
	}
	t, err := c.test(n, src)
	if err != nil {
		return nil, 0, 0, err
	}
	switch f := src.field; {
	case f != nil && f.EachAncestor != nil:
		l = newEachLeaf(f.EachAncestor, t, false)
	case f != nil && (f.Def.Name == evtType || f.Def.Name == syscallType):
		l, cost = newTypeLeaf(src, t), costType
	default:
		l = &valueLeaf{src, t}
	}
	return l, scope, cost, nil
}

// existence is the leaf of exists.
func existence(src *source) leaf {
	var each func(*host.Event, *field.Value, func() bool)
	if f := src.field; f != nil && f.EachAncestor != nil {
		each = f.EachAncestor
	} else if f != nil {
		each = f.EachValue
	}
	if each == nil {
		return existsLeaf{src}
	}
	return newEachLeaf(each, testFunc(func(*field.Value) bool { return true }), false)
}

// checkCost is what a comparison costs on top of reading the value.
func checkCost(n *Check) int {
	per := map[Op]int{
		Contains: 8, IContains: 16, BContains: 8, Glob: 12, IGlob: 12, Regex: 60, PMatch: 20, In: 3, Intersects: 6,
	}[n.Op]
	if l, ok := n.Right.(*List); ok && n.Modifier != NoModifier {
		return (per + 1) * len(l.Values)
	}
	return per + 1
}

// ends makes the leaf of a field that stands for both ends of a connection.
// One end is enough, but for != both must differ. With a modifier each
// constant is a check of its own.
func (c *compiler) ends(n *Check, src *source) (leaf, error) {
	l, ok := n.Right.(*List)
	if !ok || n.Modifier == NoModifier {
		t, err := c.test(n, src)
		if err != nil {
			return nil, err
		}
		return newEachLeaf(src.field.EachValue, t, n.Op == Ne), nil
	}
	out := &countLeaf{modifier: n.Modifier}
	for _, v := range l.Values {
		one := *n
		one.Modifier, one.Right = NoModifier, v
		kid, err := c.ends(&one, src)
		if err != nil {
			return nil, err
		}
		out.leaves = append(out.leaves, kid)
	}
	return out, nil
}

// constants converts the constants on the right side.
func (c *compiler) constants(n *Check, src *source) ([]field.Value, []netip.Prefix, error) {
	texts := []*Value{}
	switch r := n.Right.(type) {
	case *Value:
		texts = append(texts, r)
	case *List:
		texts = r.Values
	}
	values, nets := make([]field.Value, len(texts)), make([]netip.Prefix, len(texts))
	for i, t := range texts {
		var err error
		if values[i], err = c.sources.schema.constant(src.typ, n.Op, t.Text); err == nil && groupOf(src.typ) == groupNet {
			nets[i], err = netConstant(t.Text)
		}
		if err != nil {
			return nil, nil, errorAt(t.At, "%s", err)
		}
		if src.field != nil && src.field.Def.Name == evtType && !knownEvent(t.Text) {
			err := errorAt(t.At, "unknown event type %s", t.Text)
			err.Hint, err.err = Suggest(t.Text, eventNames()), ErrUnknown
			return nil, nil, err
		}
	}
	return values, nets, nil
}

// test makes the test of a comparison with constants.
func (c *compiler) test(n *Check, src *source) (test, error) {
	values, nets, err := c.constants(n, src)
	if err != nil {
		return nil, err
	}
	switch {
	case n.Op == PMatch:
		return newPathTree(texts(values)), nil
	case n.Op == In && src.list:
		return everyTest{setTest(src.typ, values, nets)}, nil
	case n.Op == Intersects && src.list:
		return someTest{setTest(src.typ, values, nets)}, nil
	case n.Op == In:
		return setTest(src.typ, values, nets), nil
	case n.Op == Ne && n.Modifier == AllOf:
		return notTest{setTest(src.typ, values, nets)}, nil
	}
	tests := make([]test, len(values))
	for i := range values {
		if tests[i], err = singleTest(src.typ, n.Op, &values[i], nets[i]); err != nil {
			return nil, regexError(n, i, err)
		}
	}
	if n.Modifier == NoModifier {
		return tests[0], nil
	}
	return &countTest{n.Modifier, tests}, nil
}

// regexError says which pattern cannot be compiled.
func regexError(n *Check, i int, err error) error {
	at := n.Right.Pos()
	if l, ok := n.Right.(*List); ok {
		at = l.Values[i].At
	}
	return errorAt(at, "invalid pattern: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
}

func texts(values []field.Value) []string {
	out := make([]string, len(values))
	for i := range values {
		out[i] = values[i].Str
	}
	return out
}

// setTest tests whether a value is one of some constants.
func setTest(t event.ParamType, values []field.Value, nets []netip.Prefix) test {
	switch groupOf(t) {
	case groupText, groupBytes:
		return newTextSet(texts(values))
	case groupNet:
		return netTest(nets)
	case groupAddr:
		set := addrSet{}
		for i := range values {
			set[values[i].Addr] = struct{}{}
		}
		return set
	case groupFloat:
		tests := make([]test, len(values))
		for i := range values {
			tests[i] = &orderTest{compareFloat, values[i], acceptOrder[Eq]}
		}
		return &countTest{AnyOf, tests}
	}
	set := numberSet{}
	for i := range values {
		set[values[i].Num] = struct{}{}
	}
	return set
}

// singleTest tests a value against one constant.
func singleTest(t event.ParamType, op Op, v *field.Value, network netip.Prefix) (test, error) {
	g := groupOf(t)
	switch {
	case ordering.has(op), g == groupFloat:
		return &orderTest{comparison(t), *v, acceptOrder[op]}, nil
	case op == Ne:
		eq, err := singleTest(t, Eq, v, network)
		return notTest{eq}, err
	case g == groupText, g == groupBytes:
		return newTextTest(op, v.Str)
	case g == groupAddr:
		return addrIs(v.Addr), nil
	case g == groupNet:
		return netTest{network}, nil
	}
	return numberIs(v.Num), nil
}

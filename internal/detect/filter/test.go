package filter

import (
	"net/netip"

	"rollcage/internal/detect/field"
	"rollcage/internal/observe/event"
)

// test judges a value that is there.
type test interface {
	holds(v *field.Value) bool
}

// testFunc is a test without state of its own.
type testFunc func(v *field.Value) bool

func (f testFunc) holds(v *field.Value) bool { return f(v) }

// notTest inverts a test.
type notTest struct{ test }

func (t notTest) holds(v *field.Value) bool { return !t.test.holds(v) }

// countTest holds if exactly one, at least one or all of its tests do.
type countTest struct {
	modifier Modifier
	tests    []test
}

func (t *countTest) holds(v *field.Value) bool {
	n := 0
	for _, kid := range t.tests {
		if kid.holds(v) {
			n++
			if t.modifier == AnyOf {
				return true
			}
		} else if t.modifier == AllOf {
			return false
		}
	}
	return t.modifier == AllOf || t.modifier == OneOf && n == 1
}

// everyTest holds if its test holds for each element of a list.
type everyTest struct{ test }

func (t everyTest) holds(v *field.Value) bool {
	for i := range v.List {
		if !t.test.holds(&v.List[i]) {
			return false
		}
	}
	return len(v.List) > 0
}

// someTest holds if its test holds for an element of a list.
type someTest struct{ test }

func (t someTest) holds(v *field.Value) bool {
	for i := range v.List {
		if t.test.holds(&v.List[i]) {
			return true
		}
	}
	return false
}

// Tests of numbers.

type numberIs uint64

func (t numberIs) holds(v *field.Value) bool { return v.Num == uint64(t) }

type numberSet map[uint64]struct{}

func (t numberSet) holds(v *field.Value) bool {
	_, ok := t[v.Num]
	return ok
}

// orderTest holds if a value stands in one of the wanted orders to a constant.
type orderTest struct {
	compare func(a, b *field.Value) int
	value   field.Value
	accept  func(order int) bool
}

func (t *orderTest) holds(v *field.Value) bool { return t.accept(t.compare(v, &t.value)) }

var acceptOrder = map[Op]func(int) bool{
	Lt: func(o int) bool { return o == -1 },
	Le: func(o int) bool { return o == -1 || o == 0 },
	Gt: func(o int) bool { return o > 0 },
	Ge: func(o int) bool { return o >= 0 },
	Eq: func(o int) bool { return o == 0 },
	Ne: func(o int) bool { return o != 0 },
}

// Tests of addresses. IPv4 addresses in IPv6 form are IPv4 addresses.

type addrIs netip.Addr

func (t addrIs) holds(v *field.Value) bool { return v.Addr.Unmap() == netip.Addr(t) }

type addrSet map[netip.Addr]struct{}

func (t addrSet) holds(v *field.Value) bool {
	_, ok := t[v.Addr.Unmap()]
	return ok
}

type netTest []netip.Prefix

func (t netTest) holds(v *field.Value) bool {
	a := v.Addr.Unmap()
	for _, p := range t {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// group is a kind of types that have the same operators.
type group uint8

const (
	groupNone group = iota
	groupNumber
	groupFloat
	groupBool
	groupText
	groupBytes
	groupAddr
	groupNet
)

func groupOf(t event.ParamType) group {
	switch t {
	case event.TypeInt8, event.TypeInt16, event.TypeInt32, event.TypeInt64,
		event.TypeUint8, event.TypeUint16, event.TypeUint32, event.TypeUint64,
		event.TypeErrno, event.TypeFD, event.TypeFD32, event.TypePID, event.TypePID32,
		event.TypeSyscallID, event.TypeSigType, event.TypeL4Proto, event.TypeSockFamily, event.TypePort,
		event.TypeRelTime, event.TypeAbsTime, event.TypeMode,
		event.TypeFlags8, event.TypeFlags16, event.TypeFlags32,
		event.TypeEnumFlags8, event.TypeEnumFlags16, event.TypeEnumFlags32:
		return groupNumber
	case event.TypeDouble:
		return groupFloat
	case event.TypeBool:
		return groupBool
	case event.TypeCharbuf, event.TypeFSPath, event.TypeFSRelPath:
		return groupText
	case event.TypeBytebuf:
		return groupBytes
	case event.TypeIPAddr, event.TypeIPv4Addr, event.TypeIPv6Addr:
		return groupAddr
	case event.TypeIPNet, event.TypeIPv4Net, event.TypeIPv6Net:
		return groupNet
	}
	return groupNone
}

// opSet is a set of operators.
type opSet uint32

func ops(list ...Op) opSet {
	var s opSet
	for _, o := range list {
		s |= 1 << o
	}
	return s
}

func (s opSet) has(o Op) bool { return s>>o&1 != 0 }

var (
	equality = ops(Exists, Eq, Ne, In, Intersects)
	ordering = ops(Lt, Le, Gt, Ge)

	// supported holds the operators of each group of types.
	supported = map[group]opSet{
		groupNumber: equality | ordering,
		groupFloat:  equality | ordering,
		groupBool:   equality,
		groupText:   equality | ordering | ops(Contains, IContains, StartsWith, EndsWith, Glob, IGlob, Regex, PMatch),
		groupBytes:  equality | ops(Contains, StartsWith, EndsWith, BContains, BStartsWith),
		groupAddr:   equality,
		groupNet:    equality,
	}
	supportedByLists = ops(Exists, In, Intersects)
)

// unordered is the order of numbers that do not compare (NaN).
const unordered = -2

func compareText(a, b *field.Value) int {
	switch {
	case a.Str < b.Str:
		return -1
	case a.Str > b.Str:
		return 1
	}
	return 0
}

func compareUnsigned(a, b *field.Value) int {
	switch {
	case a.Num < b.Num:
		return -1
	case a.Num > b.Num:
		return 1
	}
	return 0
}

func compareSigned(a, b *field.Value) int {
	switch x, y := int64(a.Num), int64(b.Num); {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

func compareFloat(a, b *field.Value) int {
	switch {
	case a.Float < b.Float:
		return -1
	case a.Float > b.Float:
		return 1
	case a.Float == b.Float:
		return 0
	}
	return unordered
}

// compareAddr tells only equal from different.
func compareAddr(a, b *field.Value) int {
	if a.Addr.Unmap() == b.Addr.Unmap() {
		return 0
	}
	return 1
}

// comparison returns how values of the type compare.
func comparison(t event.ParamType) func(a, b *field.Value) int {
	switch groupOf(t) {
	case groupText, groupBytes:
		return compareText
	case groupFloat:
		return compareFloat
	case groupAddr, groupNet:
		return compareAddr
	}
	if t.Signed() {
		return compareSigned
	}
	return compareUnsigned
}

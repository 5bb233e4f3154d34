package filter

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"rollcage/internal/detect/field"
	"rollcage/internal/observe/event"
)

// maxConstant is the length up to which a constant is accepted, in bytes.
const maxConstant = 255

// constant converts the text of a constant to a value of the type. The error
// has no position.
func (s *Schema) constant(t event.ParamType, op Op, text string) (v field.Value, err error) {
	if len(text) > maxConstant {
		return v, fmt.Errorf("filter parameter too long: %d bytes, at most %d are possible", len(text), maxConstant)
	}
	switch groupOf(t) {
	case groupText:
		v.Str, _, _ = strings.Cut(text, "\x00") // strings end at a NUL
	case groupBytes:
		v.Str, err = bytesConstant(op, text)
	case groupBool:
		v.Num, err = boolConstant(text)
	case groupFloat:
		var n uint64
		n, err = intConstant(event.TypeInt64, text)
		v.Float = float64(int64(n))
	case groupAddr:
		v.Addr, err = addrConstant(text)
	case groupNumber:
		if t == event.TypePort {
			v.Num, err = s.portConstant(text)
		} else {
			v.Num, err = intConstant(t, text)
		}
	}
	return v, err
}

func bytesConstant(op Op, text string) (string, error) {
	if op != BContains && op != BStartsWith {
		return text, nil
	}
	b, err := hex.DecodeString(text)
	if err != nil {
		return "", fmt.Errorf("'%s' is not an even number of hexadecimal digits", text)
	}
	return string(b), nil
}

func boolConstant(text string) (uint64, error) {
	switch text {
	case "true":
		return 1, nil
	case "false":
		return 0, nil
	}
	return 0, fmt.Errorf("unrecognized boolean value '%s', expected true or false", text)
}

// intConstant reads a decimal number as scanf does: blanks and a sign may
// stand before it. Numbers of 8 and 16 bits wrap; a negative number of an
// unsigned type counts from the top.
func intConstant(t event.ParamType, text string) (uint64, error) {
	digits := text[spanLen(text, isSpace):]
	negative := strings.HasPrefix(digits, "-")
	if negative || strings.HasPrefix(digits, "+") {
		digits = digits[1:]
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || digits[0] == '+' {
		return 0, fmt.Errorf("%s is not a valid number", text)
	}
	bits := 8 * t.Size()
	top := uint64(1) << (bits - 1) // magnitude of the least signed number
	if t.Signed() && !negative && bits > 16 && n > top-1 ||
		negative && bits > 16 && n > top ||
		!t.Signed() && bits == 32 && n > 1<<32-1 {
		return 0, fmt.Errorf("%s is not a valid number of type %s: out of range", text, t)
	}
	if negative {
		n = -n
	}
	shift := 64 - bits
	if t.Signed() {
		return uint64(int64(n<<shift) >> shift), nil
	}
	return n << shift >> shift, nil
}

func (s *Schema) portConstant(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	if spanLen(text, isDigit) == len(text) {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%s is not a valid port number: out of range", text)
		}
		return n, nil
	}
	port, ok := s.Service(text)
	if !ok {
		return 0, fmt.Errorf("unrecognized port or service name '%s'", text)
	}
	return uint64(port), nil
}

func addrConstant(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	switch {
	case err == nil && a.Zone() == "":
		return a.Unmap(), nil
	case strings.Contains(text, "/"):
		return a, fmt.Errorf("unrecognized IP address '%s': this field takes no network", text)
	case strings.Contains(text, "."):
		return a, fmt.Errorf("unrecognized IPv4 address '%s'", text)
	}
	return a, fmt.Errorf("unrecognized IPv6 address '%s'", text)
}

func netConstant(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		return netip.Prefix{}, fmt.Errorf("unrecognized IP network '%s': a prefix length like /24 is missing", text)
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is6() && p.Bits() == 0 {
		return p, fmt.Errorf("unrecognized IP network '%s'", text)
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// asyncNames are the names of asynchronous events.
var asyncNames = []string{"container", "container_removed"}

// knownEvent reports whether evt.type can have the value.
func knownEvent(name string) bool {
	return event.Lookup(name) != nil || event.SyscallByName(name) != nil || slices.Contains(asyncNames, name)
}

// eventNames returns the names that evt.type can have.
func eventNames() []string {
	names := slices.Clone(asyncNames)
	for _, i := range event.All() {
		names = append(names, i.Name)
	}
	for _, s := range event.Syscalls() {
		names = append(names, s.Name)
	}
	return names
}

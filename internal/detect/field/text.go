package field

import (
	"strconv"
	"unicode/utf8"

	"rollcage/internal/observe/event"
)

// AppendText appends the value v of the field f as outputs show it. Strings
// are made printable, data buffers follow the field's Style, a list becomes
// (a,b).
func AppendText(b []byte, f *Field, v *Value) []byte {
	if f.Def.Flags&List == 0 {
		return f.appendOne(b, v)
	}
	b = append(b, '(')
	for i := range v.List {
		if i > 0 {
			b = append(b, ',')
		}
		b = f.appendOne(b, &v.List[i])
	}
	return append(b, ')')
}

func (f *Field) appendOne(b []byte, v *Value) []byte {
	typ, format := f.shape(v)
	switch kindOf(typ) {
	case kindString:
		if f.Def.Flags&Styled != 0 && f.style().multiline() {
			return append(b, v.Str...)
		}
		return event.AppendPrintable(b, v.Str)
	case kindBytes:
		return f.style().appendBuffer(b, v.Str)
	case kindBool:
		return strconv.AppendBool(b, v.Num != 0)
	case kindFloat:
		return strconv.AppendFloat(b, v.Float, 'f', 1, 64)
	case kindAddr:
		return v.Addr.AppendTo(b)
	}
	return appendNumber(b, v.Num, typ, format)
}

// shape returns the type of a value and how it prints: the field's, or for
// evt.rawarg the parameter's that the value is from.
func (f *Field) shape(v *Value) (event.ParamType, event.Format) {
	if f.Def.Flags&Raw != 0 {
		return v.typ, v.format
	}
	return f.Type, f.Format
}

// AppendJSON appends the value v of the field f as a JSON value: numbers and
// booleans as such, times of the event as ns since the epoch, numbers that
// print in octal or hexadecimal and all else as strings, lists as arrays.
func AppendJSON(b []byte, f *Field, v *Value) []byte {
	if f.Def.Flags&List == 0 {
		return f.appendOneJSON(b, v)
	}
	b = append(b, '[')
	for i := range v.List {
		if i > 0 {
			b = append(b, ',')
		}
		b = f.appendOneJSON(b, &v.List[i])
	}
	return append(b, ']')
}

func (f *Field) appendOneJSON(b []byte, v *Value) []byte {
	typ, format := f.shape(v)
	switch kindOf(typ) {
	case kindNumber:
		if format == event.FormatHex || format == event.FormatOct {
			break
		}
		return appendNumber(b, v.Num, typ, event.FormatDec)
	case kindBool:
		return strconv.AppendBool(b, v.Num != 0)
	case kindFloat:
		return appendJSONFloat(b, v.Float)
	case kindString:
		if f.Def.Flags&Timestamp != 0 {
			return strconv.AppendUint(b, v.Num, 10)
		}
		if f.Def.Flags&Raw != 0 {
			return AppendJSONString(b, v.Str)
		}
	}
	start := len(b)
	return quoteTail(f.appendOne(b, v), start)
}

func appendJSONFloat(b []byte, x float64) []byte {
	if x != x || x-x != 0 { // NaN and infinities have no JSON form
		return append(b, "null"...)
	}
	return strconv.AppendFloat(b, x, 'g', -1, 64)
}

// quoteTail turns the text b[start:] into a JSON string.
func quoteTail(b []byte, start int) []byte {
	extra := 2 // the quotes
	for _, c := range b[start:] {
		if esc := jsonEscape(c); esc != "" {
			extra += len(esc) - 1
		}
	}
	end := len(b)
	b = append(b, make([]byte, extra)...)
	to := len(b) - 1
	b[to] = '"'
	for from := end - 1; from >= start; from-- {
		if esc := jsonEscape(b[from]); esc != "" {
			to -= len(esc)
			copy(b[to:], esc)
		} else {
			to--
			b[to] = b[from]
		}
	}
	b[start] = '"'
	return b
}

// AppendJSONString appends s as a JSON string. What is not UTF-8 becomes
// U+FFFD; characters outside ASCII stay.
func AppendJSONString(b []byte, s string) []byte {
	start := len(b)
	if utf8.ValidString(s) {
		return quoteTail(append(b, s...), start)
	}
	for _, r := range s {
		b = utf8.AppendRune(b, r)
	}
	return quoteTail(b, start)
}

// jsonEscapes holds the escapes of the bytes that cannot stand in a JSON string.
var jsonEscapes = func() (t [utf8.RuneSelf]string) {
	for c := range 0x20 {
		t[c] = `\u00` + string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15])
	}
	t['\b'], t['\f'], t['\n'], t['\r'], t['\t'] = `\b`, `\f`, `\n`, `\r`, `\t`
	t['"'], t['\\'] = `\"`, `\\`
	return t
}()

func jsonEscape(c byte) string {
	if c < utf8.RuneSelf {
		return jsonEscapes[c]
	}
	return ""
}

// appendNumber appends a number of the given type. Signed ones are sign-extended in n.
func appendNumber(b []byte, n uint64, t event.ParamType, format event.Format) []byte {
	switch format {
	case event.FormatHex:
		return appendHexUpper(b, truncate(n, t.Size()))
	case event.FormatOct:
		if n = truncate(n, t.Size()); n != 0 {
			b = append(b, '0')
		}
		return strconv.AppendUint(b, n, 8)
	case event.FormatPaddedDec:
		return appendPadded(b, n)
	}
	if t.Signed() {
		return strconv.AppendInt(b, int64(n), 10)
	}
	return strconv.AppendUint(b, n, 10)
}

// truncate keeps the bits of a number that its type has, so that negative
// ones print in their own width.
func truncate(n uint64, size int) uint64 {
	if size == 0 || size >= 8 {
		return n
	}
	return n & (1<<(8*size) - 1)
}

func appendHexUpper(b []byte, n uint64) []byte {
	start := len(b)
	b = strconv.AppendUint(b, n, 16)
	for i := start; i < len(b); i++ {
		if b[i] >= 'a' {
			b[i] -= 'a' - 'A'
		}
	}
	return b
}

// appendPadded appends n with leading zeros to at least nine digits.
func appendPadded(b []byte, n uint64) []byte {
	for limit := uint64(100_000_000); limit > n && limit > 1; limit /= 10 {
		b = append(b, '0')
	}
	return strconv.AppendUint(b, n, 10)
}

// kind groups the types by how their values are held and printed.
type kind uint8

const (
	kindNumber kind = iota
	kindString
	kindBytes
	kindBool
	kindFloat
	kindAddr
)

func kindOf(t event.ParamType) kind {
	switch t {
	case event.TypeCharbuf, event.TypeFSPath, event.TypeFSRelPath, event.TypeCharbufArray,
		event.TypeCharbufPairArray, event.TypeSockaddr, event.TypeSocktuple, event.TypeFDList,
		event.TypeDyn, event.TypeSigSet, event.TypeNone:
		return kindString
	case event.TypeBytebuf:
		return kindBytes
	case event.TypeBool:
		return kindBool
	case event.TypeDouble:
		return kindFloat
	case event.TypeIPv4Addr, event.TypeIPv6Addr, event.TypeIPAddr, event.TypeIPNet, event.TypeIPv4Net, event.TypeIPv6Net:
		return kindAddr
	}
	return kindNumber
}

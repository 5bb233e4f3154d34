package field

import (
	"encoding/json"
	"net/netip"
	"testing"

	"rollcage/internal/observe/event"
)

func TestTextAndJSONOfValues(t *testing.T) {
	addr := func(s string) Value { return Value{Addr: netip.MustParseAddr(s)} }
	minus := func(n int64) Value { return Value{Num: uint64(n)} }
	for _, c := range []struct {
		name       string
		field      string
		v          Value
		text, json string
	}{
		{"a string", "proc.name", Value{Str: "bash"}, "bash", `"bash"`},
		{"a string with line ends", "proc.name", Value{Str: "a\nb\x7f"}, "a\uFFFDb\uFFFD", `"a` + "\uFFFDb\uFFFD" + `"`},
		{"a string with quotes", "proc.name", Value{Str: `a"\é`}, `a"\é`, `"a\"\\é"`},
		{"a string that is not UTF-8", "proc.name", Value{Str: "\xe2\x82\xff"}, "\uFFFD\uFFFD", "\"\uFFFD\uFFFD\""},
		{"an empty string", "proc.name", Value{}, "", `""`},
		{"a number", "proc.pid", Value{Num: 42}, "42", "42"},
		{"a negative number", "user.loginuid", minus(-1), "-1", "-1"},
		{"a large number", "evt.num", Value{Num: 1<<64 - 1}, "18446744073709551615", "18446744073709551615"},
		{"a hexadecimal number", "fd.dev", Value{Num: 0x801}, "801", `"801"`},
		{"a negative hexadecimal number", "fd.dev", minus(-1), "FFFFFFFF", `"FFFFFFFF"`},
		{"padded nanoseconds", "evt.rawtime.ns", Value{Num: 1234}, "000001234", "1234"},
		{"a second in padded nanoseconds", "evt.reltime", Value{Num: 12_345_678_901}, "12345678901", "12345678901"},
		{"a time of the event", "evt.time", Value{Str: "12:00:00.000000000", Num: 1_700_000_000_000_000_000}, "12:00:00.000000000", "1700000000000000000"},
		{"true", "evt.failed", Value{Num: 1}, "true", "true"},
		{"false", "evt.failed", Value{}, "false", "false"},
		{"a fraction", "proc.fdusage", Value{Float: 12.34}, "12.3", "12.34"},
		{"not a number", "proc.fdusage", Value{Float: nan()}, "NaN", "null"},
		{"a port", "fd.sport", Value{Num: 443}, "443", "443"},
		{"an IPv4 address", "fd.sip", addr("10.0.0.1"), "10.0.0.1", `"10.0.0.1"`},
		{"an IPv6 address", "fd.sip", addr("2001:db8::1"), "2001:db8::1", `"2001:db8::1"`},
		{"a list", "fd.types", Value{List: []Value{{Str: "file"}, {Str: "ipv4"}}}, "(file,ipv4)", `["file","ipv4"]`},
		{"an empty list", "fd.types", Value{}, "()", "[]"},
		{"a data buffer", "evt.buffer", Value{Str: "a\x00\"\n"}, `a.".`, `"a.\"."`},
	} {
		f := mustParse(t, c.field)
		if got := string(AppendText([]byte("> "), f, &c.v)); got != "> "+c.text {
			t.Errorf("%s: %q, want %q", c.name, got, c.text)
		}
		got := string(AppendJSON([]byte("> "), f, &c.v))
		if got != "> "+c.json {
			t.Errorf("%s: JSON %s, want %s", c.name, got, c.json)
		}
		if !json.Valid([]byte(got[2:])) {
			t.Errorf("%s: %s is not JSON", c.name, got)
		}
	}
}

func nan() float64 {
	zero := 0.0
	return zero / zero
}

func TestDataBuffersInJSONFollowTheStyle(t *testing.T) {
	f := mustParse(t, "evt.buffer")
	f.Style = &Style{Buffer: BufferLinesInline}
	v := Value{Str: "a\r\n\"b\""}
	if got := string(AppendJSON(nil, f, &v)); got != `"a\n\"b\""` {
		t.Error(got)
	}
}

func TestJSONStringsAgreeWithTheStandardLibrary(t *testing.T) {
	for _, s := range []string{"", "plain", "tab\tquote\"back\\", "\x00\x1f\x7f", "é\u2028", "\xff\xfe ok", "\b\f\n\r"} {
		got := AppendJSONString([]byte("x"), s)[1:]
		var back string
		if err := json.Unmarshal(got, &back); err != nil {
			t.Errorf("%q: %s: %v", s, got, err)
			continue
		}
		want, _ := json.Marshal(s)
		var same string
		if err := json.Unmarshal(want, &same); err != nil {
			t.Fatal(err)
		}
		if back != same {
			t.Errorf("%q becomes %q, want %q", s, back, same)
		}
	}
}

func TestNumbersOfEachFormat(t *testing.T) {
	for _, c := range []struct {
		n      uint64
		typ    event.ParamType
		format event.Format
		want   string
	}{
		{0, event.TypeUint32, event.FormatOct, "0"},
		{8, event.TypeUint32, event.FormatOct, "010"},
		{255, event.TypeUint8, event.FormatHex, "FF"},
		{^uint64(0), event.TypeInt8, event.FormatHex, "FF"},
		{^uint64(0), event.TypeInt16, event.FormatOct, "0177777"},
		{^uint64(0), event.TypeInt64, event.FormatDec, "-1"},
		{^uint64(0), event.TypeUint64, event.FormatDec, "18446744073709551615"},
		{0, event.TypeUint64, event.FormatPaddedDec, "000000000"},
		{999_999_999, event.TypeUint64, event.FormatPaddedDec, "999999999"},
		{1_000_000_000, event.TypeUint64, event.FormatPaddedDec, "1000000000"},
		{7, event.TypeUint64, event.FormatNone, "7"},
	} {
		if got := string(appendNumber(nil, c.n, c.typ, c.format)); got != c.want {
			t.Errorf("%d as %s, format %d: %q, want %q", c.n, c.typ, c.format, got, c.want)
		}
	}
}

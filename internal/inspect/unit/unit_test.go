package unit

import (
	"testing"
	"time"
)

func TestBytesAreInTheUnitThatFits(t *testing.T) {
	for n, want := range map[float64]string{
		0: "0B", 1024: "1024B", 1025: "1.00KB", 30781: "30.06KB", 1 << 20: "1024.00KB", 3.25 * (1 << 20): "3.25M",
		2 * (1 << 30): "2.00G", 2 * (1 << 40): "2.00T", 2 * (1 << 50): "2.00P",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("%v: got %s, want %s", n, got, want)
		}
	}
}

func TestTimesAreCutNotRounded(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0ns", 999: "999ns", 1000: "1.00us", 9999: "9.99us", 17_999: "17us", 1_179_999: "1.17ms", 12_999_999: "12ms",
		999_999_999: "999ms", 1_999_999_999: "1.99s", 75 * time.Second: "75.00s",
	} {
		if got := Time(d); got != want {
			t.Errorf("%d: got %s, want %s", d, got, want)
		}
	}
}

func TestACellIsAsWideAsItsColumn(t *testing.T) {
	for text, want := range map[string]string{"ab": "ab   ", "abcd": "abcd ", "abcde": "abcd ", "abcdefgh": "abcd ", "": "     ", "abcé": "abc  "} {
		if got := Cell(text, 5); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

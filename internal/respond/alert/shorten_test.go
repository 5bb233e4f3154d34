package alert

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"rollcage/internal/detect/field"
)

func TestShortenCutsTheLongestUntilItFits(t *testing.T) {
	text := func(s string) []byte { return field.AppendJSONString(nil, s) }
	many := []Field{}
	for n := range 300 {
		many = append(many, Field{fmt.Sprint(n), text(strings.Repeat("é", 1000))})
	}
	long := strings.Repeat("a", 100<<10)
	tests := map[string]struct {
		alert Alert
		most  int
		cut   bool
	}{
		"what fits stays":           {Alert{Message: "m", Fields: []Field{{"k", text("v")}}}, 100, false},
		"a long message":            {Alert{Message: strings.Repeat("x", 1<<20)}, 100 << 10, true},
		"a long value":              {Alert{Message: "m", Fields: []Field{{"k", text(long)}}}, 100 << 10, true},
		"one that is all escapes":   {Alert{Fields: []Field{{"k", text(strings.Repeat("\x1b", 100<<10))}}}, 100 << 10, true},
		"a list":                    {Alert{Fields: []Field{{"k", []byte(`["` + strings.Repeat("x", 200<<10) + `"]`)}}}, 100 << 10, true},
		"many values":               {Alert{Fields: many}, 100 << 10, true},
		"a value that fits is kept": {Alert{Message: long, Fields: []Field{{"k", text("short")}}}, 100 << 9, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := test.alert
			if cut := a.Shorten(test.most); cut != test.cut {
				t.Errorf("cut is %v", cut)
			}
			if n := a.length(); n > test.most {
				t.Errorf("it has %d bytes, more than %d", n, test.most)
			}
			for _, f := range a.Fields {
				var s string
				if err := json.Unmarshal(f.JSON, &s); err != nil || test.cut && len(s) > 100 && !strings.HasSuffix(s, ellipsis) {
					t.Errorf("%s is %.80s: %v", f.Key, f.JSON, err)
				}
			}
			if test.cut && len(a.Message) > 100 && !strings.HasSuffix(a.Message, ellipsis) {
				t.Errorf("the message ends in %q", a.Message[len(a.Message)-10:])
			}
		})
	}
}

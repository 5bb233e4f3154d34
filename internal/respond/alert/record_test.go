package alert

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRecordsKeepEverything(t *testing.T) {
	a := sample()
	a.ID = "00000000-0000-8000-8000-000000000001"
	plain := sample()
	plain.Tags, plain.Fields = nil, nil
	for _, want := range []*Alert{a, plain} {
		b := AppendRecord(nil, want)
		if !json.Valid(b) {
			t.Fatalf("not JSON: %s", b)
		}
		got, err := ParseRecord(b)
		if err != nil {
			t.Fatal(err)
		}
		if len(want.Tags) == 0 {
			got.Tags = nil
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		clear(b)
		if len(got.Fields) > 0 && string(got.Fields[0].JSON) != `"bash"` {
			t.Errorf("the alert shares memory with its record: %q", got.Fields[0].JSON)
		}
	}
}

func TestRecordsThatAreNoneAreErrors(t *testing.T) {
	good := string(AppendRecord(nil, sample()))
	tests := []struct{ name, record, want string }{
		{"nothing", "", "unexpected end"},
		{"another version", strings.Replace(good, `"v":1`, `"v":2`, 1), "version 2"},
		{"an unknown priority", strings.Replace(good, "Warning", "Loud", 1), `"Loud"`},
		{"a field without value", strings.Replace(good, `["fd.num",3]`, `["fd.num"]`, 1), "pair"},
		{"a field without name", strings.Replace(good, `"fd.num",3`, `7,3`, 1), "key of a field"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := ParseRecord([]byte(tt.record)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want …%s…", err, tt.want)
			}
		})
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add(AppendRecord(nil, sample()))
	f.Add([]byte(`{"v":1,"priority":"info","fields":[["a",[1,"x"]]]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseRecord(b)
		if err != nil {
			return
		}
		again, err := ParseRecord(AppendRecord(nil, a))
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if !bytes.Equal(AppendRecord(nil, a), AppendRecord(nil, again)) {
			t.Error("an alert changes by being kept")
		}
	})
}

func TestJSONHasTheIDOfAnAlertThatHasOne(t *testing.T) {
	a := sample()
	a.ID = "x"
	if got := string(JSON().Append(nil, a)); !strings.HasSuffix(got, `,"uuid":"x"}`) {
		t.Errorf("got %s", got)
	}
}

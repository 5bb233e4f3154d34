package alert

import (
	"bytes"
	"strings"
	"testing"
)

func TestMaskedHidesSecretsInMessageAndFields(t *testing.T) {
	a := sample()
	a.Message = "ran app --password=hunter2"
	a.Fields = append(a.Fields, Field{"proc.cmdline", []byte(`"app --password=\"hunter2\""`)}, Field{"list", []byte(`["a","TOKEN=hunter2"]`)})
	m := Masked(a)
	text := string(JSON().Append(nil, m))
	if strings.Contains(text, "hunter2") || strings.Count(text, "***") != 3 {
		t.Errorf("got %s", text)
	}
	if !strings.Contains(string(JSON().Append(nil, a)), "hunter2") {
		t.Error("the alert itself was changed")
	}
	if plain := sample(); Masked(plain) != plain {
		t.Error("an alert without secrets is copied")
	}
	var buf bytes.Buffer
	if err := MaskOutput(NewWriter("x", &buf, Shape{})).Send(t.Context(), a); err != nil || strings.Contains(buf.String(), "hunter2") {
		t.Errorf("%v %s", err, buf.String())
	}
}

func TestMaskedAllocatesNothingWithoutSecrets(t *testing.T) {
	a := sample()
	if n := testing.AllocsPerRun(10, func() { Masked(a) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

package filter

import (
	"os"
	"strings"
	"testing"
)

// The cases of grammar.test mean the same for the real fields as for those of tests.
func TestStandardFieldsAcceptAndRejectTheSame(t *testing.T) {
	data, err := os.ReadFile("testdata/grammar.test")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		word, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		text, _, _ = strings.Cut(" "+text, " => ")
		if word != "accept" && word != "reject" || strings.Contains(text, "test.") {
			continue
		}
		n++
		node, err := Parse(text)
		if err == nil {
			_, _, err = NewProgram().Add(node)
		}
		if accepted := err == nil; accepted != (word == "accept") {
			t.Errorf("%s %s: %v", word, text, err)
		}
	}
	if n < 200 {
		t.Errorf("only %d cases", n)
	}
}

func TestMachineServices(t *testing.T) {
	for name, want := range map[string]uint16{"ssh": 22, "https": 443, "postgresql": 5432} {
		if port, ok := Standard.Service(name); !ok || port != want {
			t.Errorf("%s: %d, %v", name, port, ok)
		}
	}
	if port, ok := Standard.Service("no-such-service"); ok {
		t.Errorf("a service that does not exist has port %d", port)
	}
}

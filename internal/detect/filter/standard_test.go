package filter

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
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

func TestEventsAroundATime(t *testing.T) {
	b, err := event.Append(nil, 1_700_000_000_000_000_000, 1, event.SYSCALL_CLOSE_X, 0, 3)
	if err != nil {
		t.Fatal(err)
	}
	var ev event.Event
	if err := ev.Reset(b); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text string
		want bool
	}{
		{"evt.around[1700000000000000000] = 0", true},
		{"evt.around[1700000001000000000] = 1000", true},
		{"evt.around[1700000001000000000] = 999", false},
		{"evt.around[1699999999000000000] = 1000", true},
		{"evt.around[1699999998999999999] = 1000", false},
	} {
		p := Standard.NewProgram()
		if got := p.Eval(mustAdd(t, p, c.text), &host.Event{Event: &ev}); got != c.want {
			t.Errorf("%s: %v, want %v", c.text, got, c.want)
		}
	}
	for _, text := range []string{"evt.around[1] < 3", "evt.around[1] != 3", "evt.around[1] in (3)"} {
		n, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := Standard.NewProgram().Add(n); err == nil {
			t.Errorf("%s is accepted", text)
		}
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

func TestTheClassicSchemaAnswersAsFalcoDoes(t *testing.T) {
	b, err := event.Append(nil, 1, 1, event.SYSCALL_READ_X, 1, []byte("x"), 3, 1)
	if err != nil {
		t.Fatal(err)
	}
	var ev event.Event
	if err := ev.Reset(b); err != nil {
		t.Fatal(err)
	}
	connection := &host.FD{FDInfo: event.FDInfo{
		Type: event.FDIPv4, Source: netip.MustParseAddrPort("10.0.0.1:1234"), Dest: netip.MustParseAddrPort("10.0.0.2:80"),
	}}
	file := &host.FD{FDInfo: event.FDInfo{Type: event.FDFile, Name: "/etc/hosts"}}
	classic := *Standard
	classic.Classic = true
	for _, c := range []struct {
		text          string
		fd            *host.FD
		usual, falcos bool
	}{
		{"fd.ip in (10.0.0.2, 10.0.0.3)", connection, true, false},
		{"not fd.ip in (10.0.0.2)", connection, false, true},
		{"fd.ip = 10.0.0.2", connection, true, true},
		{"fd.net in (192.168.0.0/16, 10.0.0.0/8)", connection, true, false},
		{"fd.net in (10.0.0.0/8, 192.168.0.0/16)", connection, true, true},
		{"fd.ip exists", connection, true, true},
		{"fd.ip exists", file, false, true},
		{"fd.net exists or fd.port exists", file, false, true},
		{"fd.port in (80, 81)", connection, true, true},
	} {
		he := &host.Event{Event: &ev, Thread: new(host.Thread), FD: c.fd, FDNum: 3}
		for _, s := range []struct {
			schema *Schema
			want   bool
		}{{Standard, c.usual}, {&classic, c.falcos}} {
			p := s.schema.NewProgram()
			if got := p.Eval(mustAdd(t, p, c.text), he); got != s.want {
				t.Errorf("%s (classic %v): %v, want %v", c.text, s.schema.Classic, got, s.want)
			}
		}
	}
}

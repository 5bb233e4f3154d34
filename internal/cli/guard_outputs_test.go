package cli

import (
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// subscriber is a real NATS server with somebody who takes down the IDs of the alerts.
type subscriber struct {
	url string
	receiver
}

func newSubscriber(t *testing.T) *subscriber {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server does not start")
	}
	conn, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	sub := &subscriber{url: s.ClientURL(), receiver: receiver{name: "nats", ids: map[string]int{}}}
	if _, err := conn.Subscribe("alerts", func(m *nats.Msg) {
		if id := uuidOf.FindSubmatch(m.Data); id != nil {
			sub.mu.Lock()
			sub.ids[string(id[1])]++
			sub.order = append(sub.order, string(id[1]))
			sub.mu.Unlock()
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	return sub
}

// TestOutputsOfAConfinedGuardChangeUnderAlerts moves, breaks and removes outputs in the configuration while alerts come. Guard
// is confined, as it is by default, and the receivers over TLS have an authority that only --out-ca names.
func TestOutputsOfAConfinedGuardChangeUnderAlerts(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	first, second := newTLSReceiver(t, "http", uuidOf), newTLSReceiver(t, "http elsewhere", uuidOf)
	slack, otlp, queue := newTLSReceiver(t, "slack", footOf), newReceiver(t, "otlp", uidOf), newSubscriber(t)
	ca, file, config := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "alerts.json"), filepath.Join(dir, "rollcage.yaml")
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: first.Certificate().Raw})
	if err := os.WriteFile(ca, authority, 0o600); err != nil {
		t.Fatal(err)
	}
	configure := func(lines ...string) {
		t.Helper()
		text := fmt.Sprintf("out-ca: %s\nout-file: %s\nout-otlp: %s\nout-nats: %s/alerts\non-notify: [none]\nquiet: true\n", ca, file, otlp.URL, queue.url)
		if err := os.WriteFile(config, []byte(text+strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	configure("out-http: "+first.URL, "out-slack: "+slack.URL)
	g := newGuarded(t, "--runtime", "off", "--black-box", "0", "--config", config, "--watch-files=false")
	g.program = shipped(t)
	g.start(t)
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid)); err != nil || !strings.Contains(string(b), "Seccomp:\t2") {
		t.Errorf("guard is not confined: %v", err)
	}
	raise := func() {
		t.Helper()
		before := g.status(t).Kept
		for range 5 {
			_ = exec.Command("cat", "/etc/shadow").Run()
		}
		g.until(t, "alerts", func() bool { return g.status(t).Kept >= before+5 })
	}
	reload := func(right bool) {
		t.Helper()
		if err := g.client().Reload(t.Context()); (err == nil) != right {
			t.Errorf("reload: %v", err)
		}
	}
	outputs := func() (names []string) {
		for _, o := range g.status(t).Outputs {
			names = append(names, o.Name)
		}
		return names
	}
	raise()
	second.down.Store(true)
	configure("out-http: "+second.URL, "out-slack: "+slack.URL) // to where nobody takes them yet
	reload(true)
	raise()
	second.down.Store(false)
	before := outputs()
	configure("out-http: no-url", "out-slack: "+slack.URL)
	reload(false)
	if now := outputs(); !slices.Equal(now, before) {
		t.Errorf("after a mistake in the configuration the outputs are %q, they were %q", now, before)
	}
	raise()
	configure("out-http: " + second.URL) // without Slack
	reload(true)
	raise()
	if n, _ := slack.count(); n == 0 || strings.Contains(fmt.Sprint(outputs()), "slack") {
		t.Errorf("Slack got %d alerts, and the outputs are %q", n, outputs())
	}
	if err := os.Rename(file, file+".1"); err != nil { // as logrotate does
		t.Fatal(err)
	}
	_ = g.cmd.Process.Signal(syscall.SIGUSR1)
	g.until(t, "a new file, opened for the next alert", func() bool {
		raise()
		_, err := os.Stat(file)
		return err == nil
	})
	raise()
	g.until(t, "delivery of all", func() bool {
		for _, o := range g.status(t).Outputs {
			if o.Waiting > 0 {
				return false
			}
		}
		return true
	})
	g.end(t, syscall.SIGTERM)

	var want []string
	for _, a := range append(readFile(t, file+".1"), readFile(t, file)...) {
		want = append(want, a.id)
	}
	if len(want) < 25 || len(slices.Compact(slices.Sorted(slices.Values(want)))) != len(want) {
		t.Errorf("the files have %d alerts, want at least 25 that are all different", len(want))
	}
	for _, got := range []struct {
		name  string
		order []string
	}{{"http", append(first.order, second.order...)}, {"otlp", otlp.order}, {"nats", queue.order}} {
		if once := deduplicated(got.order); !slices.Equal(once, want) {
			t.Errorf("%s has %d alerts, not the %d of the files in their order:\n%q\n%q", got.name, len(once), len(want), once, want)
		}
	}
	for _, o := range []*receiver{first, second} {
		if n, _ := o.count(); n == 0 {
			t.Errorf("%s got nothing", o.name)
		}
	}
}

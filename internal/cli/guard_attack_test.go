package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/guard"
)

const attackPolicies = `
- policy: Record
  mode: enforce
  scope: {on: containers}
  actions: [{capture: {before: 5s, after: 2s}}]
  limit: {count: 1, per: 10m, by: container}
- policy: End the intruder
  mode: enforce
  scope: {on: containers, containers: ["victim-*"]}
  rules: {names: [Log cleared]}
  actions: [{kill: tree}, {pause: {for: 10m}}]
`

// intruder is the attacker's end of a reverse shell.
type intruder struct {
	conn net.Conn
	out  *bufio.Reader
}

// order types a command and returns what it prints.
func (i *intruder) order(t *testing.T, command string) string {
	t.Helper()
	if _, err := fmt.Fprintf(i.conn, "%s; echo END-$?\n", command); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	var got strings.Builder
	_ = i.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	for {
		line, err := i.out.ReadString('\n')
		if strings.HasPrefix(line, "END-") {
			return got.String()
		}
		got.WriteString(line)
		if err != nil {
			t.Fatalf("%s: %v after %q", command, err, got.String())
		}
	}
}

// TestAnAttackIsOneIncidentThatShowsItAndEnds attacks a real container beside another one, with policies that act.
func TestAnAttackIsOneIncidentThatShowsItAndEnds(t *testing.T) {
	if os.Getenv("ROLLCAGE_TEST_DOCKER_HOST") == "" {
		t.Skip("needs a Docker Engine in ROLLCAGE_TEST_DOCKER_HOST (make test starts one)")
	}
	image := attackImage(t)
	policies := filepath.Join(t.TempDir(), "policies.yaml")
	if err := os.WriteFile(policies, []byte(attackPolicies), 0o600); err != nil {
		t.Fatal(err)
	}
	victim, other := fmt.Sprintf("victim-%d", os.Getpid()), fmt.Sprintf("bystander-%d", os.Getpid())
	t.Cleanup(func() { docker(t, "rm", "-f", victim, other) })
	g := newGuarded(t, "--docker", os.Getenv("ROLLCAGE_TEST_DOCKER_HOST"), "--policies", policies)
	t.Setenv("DOCKER_HOST", os.Getenv("ROLLCAGE_TEST_DOCKER_HOST"))
	g.start(t)
	docker(t, "run", "-d", "--name", victim, image, "service", "serve")
	docker(t, "run", "-d", "--name", other, image, "service", "serve")
	before := docker(t, "top", other, "-o", "pid,args")

	l, err := net.Listen("tcp", net.JoinHostPort(os.Getenv("ROLLCAGE_TEST_HOST_IP"), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	shell := exec.Command("docker", "-H", os.Getenv("ROLLCAGE_TEST_DOCKER_HOST"), "exec", victim, "service", "shell", l.Addr().String())
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = shell.Process.Kill(); _ = shell.Wait() }()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := &intruder{conn, bufio.NewReader(conn)}
	in.order(t, "id; uname -a; ps; netstat -an")
	in.order(t, "cp /bin/busybox /usr/bin/helperd && /usr/bin/helperd true")
	if secret := in.order(t, "grep : /etc/shadow"); !strings.Contains(secret, "root:") {
		t.Errorf("the attacker read %q", secret)
	}
	in.order(t, "rm -f /root/.ash_history")
	fmt.Fprintln(conn, ": >/var/log/messages; sleep 100")

	g.until(t, "pause of the victim", func() bool {
		return docker(t, "inspect", "-f", "{{.State.Paused}}", victim) == "true"
	})
	g.until(t, "capture", func() bool { return g.status(t).Captures > 0 })
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadAll(in.out); err != nil && os.IsTimeout(err) {
		t.Error("the shell is still there")
	}
	if state := docker(t, "inspect", "-f", "{{.State.Running}} {{.State.Paused}}", other); state != "true false" {
		t.Errorf("the other container: running and paused are %s", state)
	}
	if after := docker(t, "top", other, "-o", "pid,args"); after != before {
		t.Errorf("the other container's processes were\n%s\nand are\n%s", before, after)
	}
	g.end(t, syscall.SIGTERM)
	g.verify(t)
	checkAttackIncident(t, g, victim)

	// What is to be undone is known to the next guard.
	g.start(t)
	if in := g.status(t).InForce; len(in) != 1 || in[0].Container.Name != victim {
		t.Errorf("in force is %+v", in)
	} else if _, err := g.client().Undo(context.Background(), in[0].ID); err != nil {
		t.Error(err)
	}
	if state := docker(t, "inspect", "-f", "{{.State.Paused}}", victim); state != "false" {
		t.Errorf("paused is %s after the undo", state)
	}
}

// checkAttackIncident looks at the one incident of the victim.
func checkAttackIncident(t *testing.T, g *guarded, victim string) {
	t.Helper()
	dir := guard.EvidenceDir(g.state)
	list, done, err := evidence.Index(dir, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = done() }()
	found, err := list(evidence.Filter{Container: victim})
	if err != nil || len(found) != 1 {
		t.Fatalf("%d incidents of the victim, want one: %v", len(found), err)
	}
	s := found[0]
	t.Logf("%s: %d alerts of %q, %d captures, %d actions, %d failed", s.ID, s.Alerts, s.Rules, s.Captures, s.Actions, s.Failed)
	for _, rule := range []string{"Reverse shell", "Sensitive file read", "Log cleared", "Program not from the image run in a container"} {
		if !slices.Contains(s.Rules, rule) {
			t.Errorf("no alert of %q", rule)
		}
	}
	var c evidence.Capture
	if _, err := evidence.ReadIncident(dir, s.ID, func(r *evidence.Record) error {
		switch r.Kind {
		case evidence.KindCapture:
			return json.Unmarshal(r.Data, &c)
		case evidence.KindOutcome:
			t.Logf("%s", r.Data)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !c.From.Before(s.First) {
		t.Errorf("the capture begins at %v, the first alert was at %v", c.From, s.First)
	}
	t.Logf("capture: %d bytes, from %v before the first alert: %s", c.Bytes, s.First.Sub(c.From), c.Note)
	checkAttackCapture(t, filepath.Join(dir, "incidents", s.ID, c.Name), s.First)
}

// checkAttackCapture looks for what the attacker typed and saw, with our reader and with sysdig.
func checkAttackCapture(t *testing.T, path string, first time.Time) {
	t.Helper()
	src, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var before, typed, seen bool
	for {
		var ev event.Event
		err := src.Next(&ev)
		if err != nil {
			break
		}
		before = before || !ev.Hidden && ev.Time() < uint64(first.UnixNano())
		typed = typed || bytes.Contains(ev.Bytes(), []byte("grep : /etc/shadow; echo END"))
		seen = seen || bytes.Contains(ev.Bytes(), []byte("root:")) && ev.Type() == event.SYSCALL_WRITE_X
	}
	if !before || !typed || !seen {
		t.Errorf("in the capture there is something before the alert: %v, the attacker's input: %v, and output: %v", before, typed, seen)
	}
	program := cmp.Or(os.Getenv("ROLLCAGE_TEST_SYSDIG"), "../../.cache/sysdig-sid/sysdig")
	if _, err := os.Stat(program); err != nil {
		t.Log("without sysdig")
		return
	}
	plain := filepath.Join(t.TempDir(), "attack.scap")
	unzip(t, path, plain)
	out, err := exec.Command(program, "-r", plain, "-p", "%proc.name %evt.type %evt.buffer", `evt.is_io=true and (evt.buffer contains "grep : /etc/shadow" or evt.buffer contains "root:")`).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("grep : /etc/shadow; echo END")) || !bytes.Contains(out, []byte("root:")) {
		t.Errorf("sysdig: %v\n%s", err, out)
	}
}

func unzip(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	z, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(out, z); err != nil {
		t.Fatal(err)
	}
}

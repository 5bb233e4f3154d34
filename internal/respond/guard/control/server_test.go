package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
	"rollcage/internal/respond/agent"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/guard"
	"rollcage/internal/respond/policy"
)

const someRules = `
- rule: Any open
  desc: d
  condition: evt.type = openat
  output: o
  priority: WARNING
`

const somePolicies = `
- policy: Stop it
  mode: monitor
  rules: {priority: warning}
  actions: [pause]
`

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// served is a server in front of a real guard whose events have not begun, with an incident.
type served struct {
	dir, path, incident string
	guard               *guard.Guard
	reloads             int
	reloadErr           error
}

func serve(t *testing.T, group string) *served {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o711)) // for other users, to the socket
	s := &served{dir: dir, path: filepath.Join(dir, "run", SocketName)}
	source := filepath.Join(dir, "source.scap")
	w, err := capture.Create(source, &event.Snapshot{Machine: event.Machine{CPUs: 1}}, capture.WriterOptions{})
	must(t, err)
	b, err := event.Append(nil, 1, 1, event.SYSCALL_OPENAT_2_X, 3, -100, "/x", 1, 0, 0, 0)
	must(t, err)
	var ev event.Event
	must(t, ev.Reset(b))
	must(t, w.Write(&ev))
	must(t, w.Close())
	src, err := capture.Open(source)
	must(t, err)
	t.Cleanup(func() { _ = src.Close() })
	set, _ := rule.Load([]rule.File{{Name: "r.yaml", Data: []byte(someRules)}}, rule.LoadOptions{})
	e, err := rule.NewEngine(set, rule.EngineOptions{Threshold: rule.Debug})
	must(t, err)
	rules, err := agent.NewRules(e, alert.FormatterOptions{})
	must(t, err)
	policies, problems := policy.Load([]rule.File{{Name: "p.yaml", Data: []byte(somePolicies)}})
	if policy.Failed(problems) {
		t.Fatal(problems)
	}
	s.guard, err = guard.New(guard.Options{State: filepath.Join(dir, "state"), Source: src, Rules: rules, Policies: policies, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() { _ = s.guard.Close(context.Background()) })
	s.incident, err = s.guard.Evidence().Add(&alert.Alert{ID: "a", Time: time.Now(), Rule: "r", Priority: rule.Warning, Source: "syscall", Hostname: "box", Message: "m"}, nil)
	must(t, err)
	must(t, os.Mkdir(filepath.Dir(s.path), 0o700))
	c, err := Start(Options{Guard: s.guard, Path: s.path, Group: group, Reload: func(context.Context) error { s.reloads++; return s.reloadErr }})
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return s
}

// changes returns who did what, from the audit log.
func (s *served) changes(t *testing.T) (lines []string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(guard.EvidenceDir(filepath.Join(s.dir, "state")), "audit.jsonl"))
	must(t, err)
	for line := range strings.Lines(string(b)) {
		var r struct{ Data evidence.Entry }
		must(t, json.Unmarshal([]byte(line), &r))
		if r.Data.Who != nil && r.Data.Who.Via == "control socket" {
			lines = append(lines, fmt.Sprintf("%d %s %s", r.Data.Who.UID, r.Data.Act, r.Data.Detail))
		}
	}
	return lines
}

func TestEveryVerbDoesWhatItSaysAndRefusesWhatMakesNoSense(t *testing.T) {
	s := serve(t, "")
	c, ctx := NewClient(s.path), t.Context()
	for _, v := range []struct {
		name string
		do   func() error
		want string // in the error, "" for none
	}{
		{"status", func() error { st, err := c.Status(ctx); return errors.Join(err, match(st.PID, os.Getpid())) }, ""},
		{"a dry run", func() error {
			_, err := c.Act(ctx, s.incident, Act{Kind: "notify", DryRun: true})
			return err
		}, ""},
		{"an action that cannot be done", func() error { _, err := c.Act(ctx, s.incident, Act{Kind: "pause"}); return err }, "not in a container"},
		{"no action", func() error { _, err := c.Act(ctx, s.incident, Act{Kind: "explode"}); return err }, "no action"},
		{"a kill of nothing", func() error { _, err := c.Act(ctx, s.incident, Act{Kind: "kill"}); return err }, "process, tree or container"},
		{"an action about no incident", func() error { _, err := c.Act(ctx, "none", Act{Kind: "pause"}); return err }, "unknown"},
		{"undo of nothing", func() error { _, err := c.Undo(ctx, "none"); return err }, "no such action is in force"},
		{"a note", func() error { return c.Note(ctx, s.incident, "seen") }, ""},
		{"an empty note", func() error { return c.Note(ctx, s.incident, "") }, "empty"},
		{"a note to no incident", func() error { return c.Note(ctx, "none", "seen") }, "no incident"},
		{"a mode", func() error { return c.SetMode(ctx, "Stop it", "enforce") }, ""},
		{"a mode of no policy", func() error { return c.SetMode(ctx, "Stop in", "enforce") }, `did you mean "Stop it"`},
		{"no mode", func() error { return c.SetMode(ctx, "Stop it", "angry") }, "enforce or monitor"},
		{"reload", func() error { return c.Reload(ctx) }, ""},
		{"a reload that fails", func() error { s.reloadErr = errors.New("line 7 is wrong"); return c.Reload(ctx) }, "line 7 is wrong"},
		{"the list", func() error {
			var list []*evidence.Summary
			return errors.Join(c.call(ctx, "GET", "/incidents", nil, &list), match(len(list), 1))
		}, ""},
		{"what is in force", func() error {
			var list []any
			return errors.Join(c.call(ctx, "GET", "/actions", nil, &list), match(len(list), 0))
		}, ""},
		{"a key that is not known", func() error {
			return c.call(ctx, "PUT", "/policies/Stop%20it/mode", map[string]string{"mood": "enforce"}, &Done{})
		}, "unknown field"},
		{"a body that is too long", func() error { return c.Note(ctx, s.incident, strings.Repeat("x", maxRequest)) }, "too large"},
		{"no verb", func() error { return c.call(ctx, "DELETE", "/status", nil, &Done{}) }, "405"},
	} {
		err := v.do()
		if v.want == "" && err != nil || v.want != "" && (err == nil || !strings.Contains(err.Error(), v.want)) {
			t.Errorf("%s: %v, want %q", v.name, err, v.want)
		}
	}
	if m := s.guard.Policies().Find("Stop it").Mode(); m != policy.Enforce || s.reloads != 2 {
		t.Errorf("mode %v, %d reloads", m, s.reloads)
	}
	got := strings.Join(s.changes(t), "\n")
	for _, want := range []string{"policy mode Stop it: monitor to enforce", "reload"} {
		if !strings.Contains(got, want) {
			t.Errorf("the audit log lacks %q:\n%s", want, got)
		}
	}
	if err := NewClient(filepath.Join(s.dir, "none")).Reload(ctx); !errors.Is(err, ErrNotRunning) {
		t.Errorf("no guard: %v", err)
	}
}

func match[T comparable](got, want T) error {
	if got != want {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	return nil
}

// as returns a client whose connections are made by a thread of another user.
func (s *served) as(uid, gid int) *Client {
	c := NewClient(s.path)
	c.http.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
		type dialed struct {
			conn net.Conn
			err  error
		}
		done := make(chan dialed)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with this function
			for _, call := range [][4]uintptr{
				{unix.SYS_SETGROUPS, 0, 0, 0}, {unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)}, {unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)},
			} {
				if _, _, errno := unix.RawSyscall(call[0], call[1], call[2], call[3]); errno != 0 {
					done <- dialed{nil, errno}
					return
				}
			}
			conn, err := net.Dial("unix", s.path)
			done <- dialed{conn, err}
		}()
		d := <-done
		return d.conn, d.err
	}
	return c
}

func TestMembersOfTheGroupMayUseTheSocketOthersMayNotAndTheAuditLogNamesWho(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to be other users")
	}
	g, err := user.LookupGroup("games")
	if err != nil {
		t.Skip(err)
	}
	gid, err := strconv.Atoi(g.Gid)
	must(t, err)
	const uid = 54321
	s := serve(t, "games")
	must(t, s.as(uid, gid).SetMode(t.Context(), "Stop it", "enforce"))
	if got := s.changes(t); len(got) != 1 || got[0] != fmt.Sprintf("%d policy mode Stop it: monitor to enforce", uid) {
		t.Errorf("the audit log says %q", got)
	}
	if err := s.as(uid, uid).Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "you may not") {
		t.Errorf("somebody else: %v", err)
	}
	alone := serve(t, "")
	if err := alone.as(uid, gid).Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "you may not") {
		t.Errorf("without --socket-group: %v", err)
	}
	if s.reloads+alone.reloads != 0 {
		t.Error("somebody who may not reloaded")
	}
	if _, err := Start(Options{Guard: s.guard, Path: filepath.Join(s.dir, "other.sock"), Group: "no-such-group"}); err == nil {
		t.Error("a group that is not there is no error")
	}
}

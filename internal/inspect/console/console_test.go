package console

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"rollcage/internal/detect/rule"
	"rollcage/internal/inspect/access"
	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
	"rollcage/internal/respond/agent"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/guard"
	"rollcage/internal/respond/policy"
	"rollcage/internal/respond/scene"
	"rollcage/rules"
)

var update = flag.Bool("update", false, "write golden files")

const (
	secret  = "hunter2hunter2"
	hostile = "\x1b[31m<script>alert(1)</script>\"'\xff\u202e"
)

// bench is a console in front of a real guard that judges nothing, since its
// events have not begun; incidents are put into its store.
type bench struct {
	testing.TB
	dir      string
	guard    *guard.Guard
	server   *Server
	url      string
	http     *httptest.Server
	gate     *access.Gate
	tokens   map[string]string // by role
	incident string
	victim   *exec.Cmd
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func loadEngine() (*rule.Engine, error) {
	var files []rule.File
	for _, f := range rules.Files() {
		files = append(files, rule.File{Name: f.Name, Data: f.Data})
	}
	set, _ := rule.Load(files, rule.LoadOptions{})
	return rule.NewEngine(set, rule.EngineOptions{Threshold: rule.Debug})
}

// writeCapture makes a capture of a shell that reads /etc/shadow.
func writeCapture(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.scap")
	shell := event.NewThreadInfo()
	shell.TID, shell.PID, shell.VPID, shell.Comm, shell.Exe, shell.ExePath, shell.Cwd = 100, 100, 100, "cat", "cat", "/usr/bin/cat", "/root"
	shell.Args = []string{hostile}
	snap := &event.Snapshot{Machine: event.Machine{Hostname: "web-1", CPUs: 1}, Users: []event.User{{UID: 0, Name: "root"}}, Threads: []*event.ThreadInfo{shell}}
	w, err := capture.Create(path, snap, capture.WriterOptions{})
	must(t, err)
	var ev event.Event
	now := uint64(1.7e18)
	for range 20 {
		now += 1e6
		b, err := event.Append(nil, now, 100, event.SYSCALL_OPENAT_2_X, 3, -100, "/etc/shadow", 1, 0, 0, 0)
		must(t, err)
		must(t, ev.Reset(b))
		must(t, w.Write(&ev))
	}
	must(t, w.Close())
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

const policies = `
- policy: Stop it
  desc: for tests
  mode: monitor
  rules:
    priority: warning
  actions:
    - pause
`

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{TB: t, dir: t.TempDir(), tokens: map[string]string{}}
	recorded := writeCapture(t)
	path := filepath.Join(b.dir, "source.scap")
	must(t, os.WriteFile(path, recorded, 0o600))
	src, err := capture.Open(path)
	must(t, err)
	t.Cleanup(func() { _ = src.Close() })
	e, err := loadEngine()
	must(t, err)
	r, err := agent.NewRules(e, alert.FormatterOptions{})
	must(t, err)
	set, problems := policy.Load([]rule.File{{Name: "p.yaml", Data: []byte(policies)}})
	if policy.Failed(problems) {
		t.Fatal(problems[0])
	}
	quiet := slog.New(slog.DiscardHandler)
	b.guard, err = guard.New(guard.Options{State: filepath.Join(b.dir, "state"), Source: src, Rules: r, Policies: set, Log: quiet, Evidence: evidence.Options{Window: time.Hour}})
	must(t, err)
	t.Cleanup(func() { _ = b.guard.Close(context.Background()) })
	b.fill(recorded)
	b.gate = &access.Gate{Tokens: access.NewTokens(filepath.Join(b.dir, "tokens.json")), Link: access.NewSecret()}
	for _, role := range []access.Role{access.Viewer, access.Responder, access.Admin} {
		b.tokens[role.String()], _, err = b.gate.Tokens.Create("the "+role.String(), role, time.Time{}, "test")
		must(t, err)
	}
	b.server, err = New(Options{
		Guard: b.guard, Status: func() any { return b.guard.Status() }, Dir: guard.EvidenceDir(filepath.Join(b.dir, "state")), Gate: b.gate,
		Engine: loadEngine, Log: quiet, Files: fstest.MapFS{"index.html": {Data: []byte("<p>pages")}},
	})
	must(t, err)
	t.Cleanup(func() { _ = b.server.Close() })
	b.http = httptest.NewUnstartedServer(b.server.Handler())
	b.http.Config.ConnContext = access.ConnContext
	b.http.Start()
	t.Cleanup(b.http.Close)
	b.url = b.http.URL
	return b
}

// fill puts an incident with hostile and secret texts into the store, about a process that can be killed.
func (b *bench) fill(recorded []byte) {
	b.Helper()
	b.victim = exec.Command("sleep", "600")
	must(b, b.victim.Start())
	b.Cleanup(func() { _ = b.victim.Process.Kill(); _ = b.victim.Wait() })
	start := uint64(time.Now().Add(-time.Second).UnixNano())
	sc := &scene.Scene{Time: time.Now(), Host: "box", Root: 1, Processes: []scene.Process{
		{PID: int64(b.victim.Process.Pid), Start: start, PPID: 7, UID: 1000, Name: "sleep", Exe: "/usr/bin/sleep", Args: []string{"mysql", "--password", secret, hostile}},
		{PID: 7, Start: start - 1e9, PPID: 1, Name: "sh", Exe: "/bin/sh", Args: []string{"sh", "-c", "TOKEN=" + secret + " run"}},
	}}
	id, err := b.guard.Evidence().Add(&alert.Alert{
		ID: "a-1", Time: time.Now(), Rule: "Read " + hostile, Priority: rule.Critical, Source: "syscall", Hostname: "box",
		Message: "somebody ran mysql --password " + secret + " " + hostile, Fields: []alert.Field{{Key: "proc.env[DB_PASSWORD]", JSON: []byte(`"` + secret + `"`)}},
	}, sc)
	must(b, err)
	must(b, b.guard.Evidence().AddCapture(id, evidence.Capture{Name: "one.scap", From: time.Now(), To: time.Now()}, func(w io.Writer) error {
		_, err := w.Write(recorded)
		return err
	}))
	b.incident = id
}

// ask sends a request and returns status and body.
func (b *bench) ask(role, method, path, body string, change ...func(*http.Request)) (int, string) {
	b.Helper()
	r, err := http.NewRequest(method, b.url+path, strings.NewReader(body))
	must(b, err)
	if role != "" {
		r.Header.Set("Authorization", "Bearer "+b.tokens[role])
	}
	for _, c := range change {
		c(r)
	}
	client := http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(r)
	must(b, err)
	defer res.Body.Close()
	if res.Header.Get("Content-Type") == "text/event-stream" {
		return res.StatusCode, ""
	}
	got, err := io.ReadAll(res.Body)
	must(b, err)
	return res.StatusCode, string(got)
}

// audited returns the audit records with that act, as lines.
func (b *bench) audited(act string) (lines []string) {
	b.Helper()
	data, err := os.ReadFile(filepath.Join(b.server.opt.Dir, "audit.jsonl"))
	must(b, err)
	for line := range strings.Lines(string(data)) {
		var r struct{ Data evidence.Entry }
		must(b, json.Unmarshal([]byte(line), &r))
		if r.Data.Act == act {
			lines = append(lines, fmt.Sprintf("%s %s: %s", r.Data.Who.User, r.Data.Who.Via, r.Data.Detail))
		}
	}
	return lines
}

// requests is one good request for each route.
func (b *bench) requests() map[string]struct{ path, body string } {
	one := "/api/v1/incidents/" + b.incident
	return map[string]struct{ path, body string }{
		"openapi": {"/api/openapi.json", ""}, "session": {"/api/v1/session", ""}, "login": {"/api/v1/session", `{"token":"` + b.tokens["viewer"] + `"}`},
		"logout": {"/api/v1/session", ""}, "status": {"/api/v1/status", ""}, "listIncidents": {"/api/v1/incidents?priority=warning&since=1h&limit=5", ""},
		"showIncident": {one, ""}, "incidentRecords": {one + "/records", ""}, "incidentReport": {one + "/report", ""},
		"addNote": {one + "/notes", `{"text":"seen"}`}, "closeIncident": {one + "/close", `{"reason":"done"}`},
		"act": {one + "/actions", `{"kind":"kill","target":"process"}`}, "openCapture": {one + "/captures/one.scap/open", ""},
		"downloadCapture": {one + "/captures/one.scap", ""}, "exportIncident": {one + "/export", ""}, "streamAlerts": {"/api/v1/alerts/stream", ""},
		"actionsInForce": {"/api/v1/actions", ""}, "undo": {"/api/v1/actions/none/undo", ""}, "listPolicies": {"/api/v1/policies", ""},
		"setMode": {"/api/v1/policies/Stop%20it/mode", `{"mode":"enforce"}`}, "listTokens": {"/api/v1/tokens", ""},
		"createToken": {"/api/v1/tokens", `{"name":"new","role":"viewer","expires":"1h"}`}, "revokeToken": {"/api/v1/tokens/new", ""},
		"host": {"/api/v1/host", ""}, "listCaptures": {"/api/captures", ""}, "exploreCapture": {"/api/captures/0", ""},
		"explore": {"/api/captures/0/alerts", ""}, "fields": {"/api/fields", ""}, "views": {"/api/views", ""}, "check": {"/api/check?filter=evt.type%3Dopen", ""},
	}
}

// wanted says which role may do what, and is kept apart from the table of routes on purpose.
var wanted = map[string]string{
	"openapi": "", "session": "", "login": "", "logout": "",
	"status": "viewer", "listIncidents": "viewer", "showIncident": "viewer", "incidentRecords": "viewer", "incidentReport": "viewer",
	"streamAlerts": "viewer", "actionsInForce": "viewer", "listPolicies": "viewer", "host": "viewer", "fields": "viewer", "views": "viewer", "check": "viewer",
	"addNote": "responder", "closeIncident": "responder", "act": "responder", "undo": "responder", "openCapture": "responder",
	"downloadCapture": "responder", "listCaptures": "responder", "exploreCapture": "responder", "explore": "responder",
	"exportIncident": "admin", "setMode": "admin", "listTokens": "admin", "createToken": "admin", "revokeToken": "admin",
}

func TestEachRoleMayDoWhatItMayAndNothingElse(t *testing.T) {
	b := newBench(t)
	ranks := map[string]int{"": 0, "viewer": 1, "responder": 2, "admin": 3}
	reqs := b.requests()
	for i := range routes {
		rt := &routes[i]
		need, known := wanted[rt.id]
		q, ok := reqs[rt.id]
		if !known || !ok {
			t.Errorf("%s %s (%s) is tested for no role", rt.method, rt.path, rt.id)
			continue
		}
		for _, role := range []string{"", "viewer", "responder", "admin"} {
			before := len(b.audited("refused"))
			status, body := b.ask(role, rt.method, q.path, q.body, func(r *http.Request) { r.Header.Set(header, "1") })
			if ranks[role] >= ranks[need] {
				if status == 401 || status == 403 || status >= 500 || status == 404 && rt.id != "undo" {
					t.Errorf("%s as %q: %d %s", rt.id, role, status, body)
				}
				continue
			}
			if role == "" {
				if status != http.StatusUnauthorized {
					t.Errorf("%s as nobody: %d %s", rt.id, status, body)
				}
				continue
			}
			refused := b.audited("refused")
			if status != http.StatusForbidden || len(refused) != before+1 {
				t.Errorf("%s as %s: %d %s, %d refusals noted", rt.id, role, status, body, len(refused)-before)
				continue
			}
			last := refused[len(refused)-1]
			if !strings.HasPrefix(last, "the "+role+" API, token, "+role+": "+rt.method) {
				t.Errorf("%s as %s is noted as %q", rt.id, role, last)
			}
		}
	}
	for id := range wanted {
		if _, ok := reqs[id]; !ok {
			t.Errorf("%s is no route", id)
		}
	}
	r, err := evidence.Verify(b.server.opt.Dir, "")
	if err != nil || !r.OK() {
		t.Errorf("the evidence is not sound: %v %+v", err, r)
	}
}

func TestAViewerSeesNoSecretAndAResponderOnlyOnRequestWhichIsNoted(t *testing.T) {
	b := newBench(t)
	one := "/api/v1/incidents/" + b.incident
	for _, path := range []string{one + "/records", one + "/report", "/api/v1/host"} {
		for _, role := range []string{"viewer", "responder", "admin"} {
			if status, body := b.ask(role, "GET", path, ""); status != 200 || strings.Contains(body, secret) {
				t.Errorf("%s as %s: %d, secret shown: %v", path, role, status, strings.Contains(body, secret))
			}
		}
		if status, _ := b.ask("viewer", "GET", path+"?reveal=true", ""); status != 403 {
			t.Errorf("%s revealed to a viewer: %d", path, status)
		}
	}
	if got := b.audited("reveal"); len(got) != 0 {
		t.Errorf("noted as revealed: %v", got)
	}
	status, body := b.ask("responder", "GET", one+"/records?reveal=true", "")
	if status != 200 || !strings.Contains(body, secret) {
		t.Errorf("revealed to a responder: %d %s", status, body)
	}
	if got := b.audited("reveal"); len(got) != 1 || !strings.Contains(got[0], "the responder") {
		t.Errorf("noted as revealed: %v", got)
	}
}

func TestEveryOpeningOfACaptureIsNotedForWhoeverLooks(t *testing.T) {
	b := newBench(t)
	one := "/api/v1/incidents/" + b.incident + "/captures/"
	status, body := b.ask("responder", "POST", one+"one.scap/open", "")
	if status != 200 || strings.TrimSpace(body) != `{"capture":0}` {
		t.Fatalf("%d %s", status, body)
	}
	// Another one looks at what is open already.
	for range 2 {
		if status, body := b.ask("admin", "GET", "/api/captures/0/overview", ""); status != 200 {
			t.Errorf("%d %s", status, body)
		}
	}
	if got := b.audited("open capture"); len(got) != 1 || !strings.HasPrefix(got[0], "the responder") {
		t.Errorf("opened: %v", got)
	}
	if got := b.audited("explore capture"); len(got) != 2 || !strings.HasPrefix(got[1], "the admin") {
		t.Errorf("explored: %v", got)
	}
	for _, name := range []string{"records.jsonl", "..%2F..%2Faudit.jsonl", "none.scap", "%2e%2e"} {
		if status, _ := b.ask("admin", "GET", one+name, ""); status != 404 {
			t.Errorf("%s: %d", name, status)
		}
	}
	status, body = b.ask("admin", "GET", one+"one.scap", "")
	if status != 200 || !bytes.Equal([]byte(body), writeCapture(t)) {
		t.Errorf("download: %d, %d bytes", status, len(body))
	}
}

func TestNothingIsShownOrDoneThatCannotBeWrittenDown(t *testing.T) {
	b := newBench(t)
	one := "/api/v1/incidents/" + b.incident
	must(t, b.server.audit.Close())
	for _, q := range []struct{ method, path, body string }{
		{"POST", one + "/captures/one.scap/open", ""}, {"GET", one + "/captures/one.scap", ""}, {"GET", one + "/records?reveal=true", ""},
		{"GET", one + "/export", ""}, {"POST", "/api/v1/tokens", `{"name":"x","role":"admin"}`}, {"GET", one, ""},
	} {
		if status, body := b.ask("admin", q.method, q.path, q.body); status != 503 {
			t.Errorf("%s: %d %s", q.path, status, body)
		}
	}
	if status, body := b.ask("admin", "PUT", "/api/v1/policies/Stop%20it/mode", `{"mode":"enforce"}`); status < 500 || b.guard.Policies().Find("Stop it").Mode() != policy.Monitor {
		t.Errorf("%d %s", status, body)
	}
}

func TestAnActionIsDoneOnlyAfterItsOwnDryRun(t *testing.T) {
	b := newBench(t)
	path := "/api/v1/incidents/" + b.incident + "/actions"
	ask := func(role, body string) (int, actDone) {
		status, text := b.ask(role, "POST", path, body)
		var d actDone
		_ = json.Unmarshal([]byte(text), &d)
		if d.Text == "" {
			d.Text = text
		}
		return status, d
	}
	status, dry := ask("responder", `{"kind":"kill","target":"process"}`)
	if status != 200 || !dry.OK || !dry.DryRun || dry.Confirm == "" || !strings.HasPrefix(dry.Text, "would kill process") {
		t.Fatalf("dry run: %d %+v", status, dry)
	}
	for name, c := range map[string]struct{ role, body string }{
		"without a dry run":         {"responder", `{"kind":"kill","target":"process","confirm":"0123"}`},
		"with that of another act":  {"responder", `{"kind":"kill","target":"tree","confirm":"` + dry.Confirm + `"}`},
		"with that of another role": {"admin", `{"kind":"kill","target":"process","confirm":"` + dry.Confirm + `"}`},
	} {
		if status, d := ask(c.role, c.body); status != http.StatusConflict {
			t.Errorf("%s: %d %+v", name, status, d)
		}
	}
	if b.victim.Process.Signal(syscall.Signal(0)) != nil {
		t.Fatal("it was killed before it was confirmed")
	}
	status, real := ask("responder", `{"kind":"kill","target":"process","confirm":"`+dry.Confirm+`"}`)
	if status != 200 || !real.OK || real.DryRun {
		t.Fatalf("confirmed: %d %+v", status, real)
	}
	_ = b.victim.Wait()
	if status, _ := ask("responder", `{"kind":"kill","target":"process","confirm":"`+dry.Confirm+`"}`); status != http.StatusConflict {
		t.Errorf("confirmed twice: %d", status)
	}
	if got := b.audited("kill"); len(got) != 2 || !strings.HasPrefix(got[1], "the responder API, token, responder:") {
		t.Errorf("noted: %v", got)
	}
	for _, bad := range []string{`{"kind":"kill"}`, `{"kind":"run"}`, `{"kind":"pause","target":"tree"}`, `{"kind":"pause","for":"x"}`, `{"kind":"pause","more":1}`, `{`, ``} {
		if status, d := ask("responder", bad); status != 400 {
			t.Errorf("%s: %d %+v", bad, status, d)
		}
	}
	// There is no container: the reason is told, and nothing can be confirmed.
	if status, d := ask("responder", `{"kind":"pause"}`); status != 200 || d.OK || d.Confirm != "" || !strings.Contains(d.Text, "not in a container") {
		t.Errorf("%d %+v", status, d)
	}
}

func TestAChangeInASessionMustComeFromOurPages(t *testing.T) {
	b := newBench(t)
	var value string
	status, _ := b.ask("", "GET", "/?token="+b.gate.Link+"&x=1", "", func(r *http.Request) {})
	if status != http.StatusSeeOther {
		t.Fatalf("the link: %d", status)
	}
	value, _ = b.gate.Begin(&access.Principal{Name: "root", Role: access.Admin, Via: "link"})
	session := func(r *http.Request) {
		r.AddCookie(&http.Cookie{Name: access.CookieName(access.Cookie, r), Value: value})
	}
	set := func(k, v string) func(*http.Request) { return func(r *http.Request) { r.Header.Set(k, v) } }
	path, body := "/api/v1/policies/Stop%20it/mode", `{"mode":"enforce"}`
	for _, c := range []struct {
		name   string
		change []func(*http.Request)
		want   int
	}{
		{"a form of another site", []func(*http.Request){session, set("Sec-Fetch-Site", "cross-site")}, 403},
		{"a script of another site", []func(*http.Request){session, set("Origin", "https://evil.example"), set(header, "1")}, 403},
		{"another port of this host", []func(*http.Request){session, set("Sec-Fetch-Site", "same-site"), set(header, "1")}, 403},
		{"without the header", []func(*http.Request){session, set("Sec-Fetch-Site", "same-origin")}, 403},
		{"these pages", []func(*http.Request){session, set("Sec-Fetch-Site", "same-origin"), set(header, "1")}, 200},
	} {
		if status, text := b.ask("", "PUT", path, body, c.change...); status != c.want {
			t.Errorf("%s: %d %s", c.name, status, text)
		}
	}
	if n := len(b.audited("refused")); n != 4 {
		t.Errorf("%d refusals noted", n)
	}
	if status, _ := b.ask("", "POST", "/api/v1/session", `{"token":"x"}`, set("Origin", "https://evil.example"), set(header, "1")); status != 403 {
		t.Errorf("a login from another site: %d", status)
	}
	if status, _ := b.ask("admin", "GET", "/api/v1/status", "", func(r *http.Request) { r.Host = "evil.example" }); status != http.StatusMisdirectedRequest {
		t.Errorf("a foreign name: %d", status)
	}
}

func TestTheLinkBeginsASessionAndTheTokenLeavesTheAddress(t *testing.T) {
	b := newBench(t)
	res, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Get(b.url + "//evil.example/%2f..?token=" + b.gate.Link)
	must(t, err)
	defer res.Body.Close()
	to := res.Header.Get("Location")
	if strings.Contains(to, b.gate.Link) || strings.HasPrefix(to, "//") || strings.Contains(to, `\`) {
		t.Errorf("leads to %q", to)
	}
	res, err = (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Get(b.url + "/incidents?token=" + b.gate.Link)
	must(t, err)
	defer res.Body.Close()
	if to := res.Header.Get("Location"); to != "/incidents" || len(res.Cookies()) != 1 {
		t.Fatalf("leads to %q with %v", to, res.Cookies())
	}
	k := res.Cookies()[0]
	if !k.HttpOnly || k.SameSite != http.SameSiteStrictMode || k.Value == b.gate.Link {
		t.Errorf("cookie %+v", k)
	}
	if status, body := b.ask("", "GET", "/api/v1/session", "", func(r *http.Request) { r.AddCookie(k) }); status != 200 || !strings.Contains(body, `"role":"admin"`) {
		t.Errorf("%d %s", status, body)
	}
}

func TestFailedLoginsAreLimitedAndNoted(t *testing.T) {
	b := newBench(t)
	last := 0
	for range 11 {
		last, _ = b.ask("", "GET", "/api/v1/status", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer wrong") })
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("after 11: %d", last)
	}
	if n := len(b.audited("login failed")); n != 10 {
		t.Errorf("%d noted", n)
	}
	if status, _ := b.ask("viewer", "GET", "/api/v1/status", ""); status != 200 {
		t.Errorf("the right token: %d", status)
	}
}

func TestTheStreamTellsWhatIsAddedMasked(t *testing.T) {
	b := newBench(t)
	r, err := http.NewRequest("GET", b.url+"/api/v1/alerts/stream?priority=error", nil)
	must(t, err)
	r.Header.Set("Authorization", "Bearer "+b.tokens["viewer"])
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	res, err := http.DefaultClient.Do(r.WithContext(ctx))
	must(t, err)
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Scan() // the sign that it has begun
	for i, p := range []rule.Priority{rule.Warning, rule.Error} {
		_, err := b.guard.Evidence().Add(&alert.Alert{ID: fmt.Sprint("s-", i), Time: time.Now(), Rule: "r", Priority: p, Hostname: "box", Message: fmt.Sprint(i, " password=", secret)}, nil)
		must(t, err)
	}
	must(t, b.guard.Note(&evidence.Who{User: "ann"}, b.incident, "TOKEN="+secret))
	var got []string
	for len(got) < 4 && lines.Scan() {
		if lines.Text() != "" {
			got = append(got, lines.Text())
		}
	}
	text := strings.Join(got, "\n")
	if !strings.HasPrefix(text, "event: alert\n") || !strings.Contains(text, "1 password=***") || !strings.Contains(text, "event: note\n") || strings.Contains(text, secret) || strings.Contains(text, "0 password") {
		t.Errorf("got %s", text)
	}
}

func TestTheReportStandsForItself(t *testing.T) {
	b := newBench(t)
	must(t, b.guard.Note(&evidence.Who{User: "ann <b>"}, b.incident, "seen\n<img src=x onerror=alert(1)>"))
	status, body := b.ask("viewer", "GET", "/api/v1/incidents/"+b.incident+"/report", "")
	if status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	for _, bad := range []string{"<script", "<img", "src=", "href=", "\x1b", "\u202e", "\xff", secret} {
		if strings.Contains(strings.ReplaceAll(body, "&lt;img src=", ""), bad) {
			t.Errorf("the report has %q", bad)
		}
	}
	for _, good := range []string{"Content-Security-Policy", "&lt;script&gt;", "mysql --password ***", "one.scap", "ann &lt;b&gt;", "@media print"} {
		if !strings.Contains(body, good) {
			t.Errorf("the report lacks %q", good)
		}
	}
}

func TestTheSocketNamesWhoAsks(t *testing.T) {
	b := newBench(t)
	path := filepath.Join(b.dir, "api.sock")
	l, err := net.Listen("unix", path)
	must(t, err)
	srv := &http.Server{Handler: b.server.Handler(), ConnContext: access.ConnContext}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	c := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }}}
	res, err := c.Get("http://localhost/api/v1/session")
	must(t, err)
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if !strings.Contains(string(body), `"role":"admin","via":"socket"`) {
		t.Errorf("got %s", body)
	}
}

func TestTheRulesAreRunOverACapture(t *testing.T) {
	b := newBench(t)
	if status, body := b.ask("responder", "POST", "/api/v1/incidents/"+b.incident+"/captures/one.scap/open", ""); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	status, body := b.ask("responder", "GET", "/api/captures/0/alerts", "")
	lines := strings.Split(strings.TrimSpace(body), "\n")
	var p struct {
		Progress float64
		Result   struct {
			Ran    int
			Rules  []struct{ Count int }
			Alerts []struct {
				PID  int64
				Rule string
			}
		}
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &p); err != nil || status != 200 || p.Progress != 1 {
		t.Fatalf("%d %v %s", status, err, body)
	}
	if len(p.Result.Rules) == 0 || len(p.Result.Alerts) == 0 || p.Result.Alerts[0].PID != 100 || p.Result.Ran < 10 {
		t.Errorf("got %+v", p.Result)
	}
}

func TestTheOpenAPIDocumentIsTheOneInTheDocumentation(t *testing.T) {
	const golden = "../../../docs/openapi.json"
	if *update {
		must(t, os.WriteFile(golden, OpenAPI(), 0o644))
	}
	want, err := os.ReadFile(golden)
	must(t, err)
	if !bytes.Equal(want, OpenAPI()) {
		t.Error("the routes changed; run go test ./internal/inspect/console -update, and describe it in docs/api.md")
	}
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string
			Role        string `json:"x-rollcage-role"`
		}
	}
	must(t, json.Unmarshal(OpenAPI(), &doc))
	n := 0
	for _, ops := range doc.Paths {
		for _, op := range ops {
			if need := wanted[op.OperationID]; op.Role != need && !(need == "" && op.Role == "nobody") {
				t.Errorf("%s is documented for %s", op.OperationID, op.Role)
			}
			n++
		}
	}
	if n != len(routes) {
		t.Errorf("%d of %d routes are documented", n, len(routes))
	}
}

func TestALinkDoesNotMakeItsReaderSomebodyElse(t *testing.T) {
	b := newBench(t)
	open := func(change ...func(*http.Request)) []*http.Cookie {
		r, err := http.NewRequest("GET", b.url+"/incidents?token="+b.tokens["viewer"], nil)
		must(t, err)
		for _, c := range change {
			c(r)
		}
		res, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(r)
		must(t, err)
		defer res.Body.Close()
		if to := res.Header.Get("Location"); to != "/incidents" {
			t.Errorf("leads to %q", to)
		}
		return res.Cookies()
	}
	from := func(site string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", site) }
	}
	value, _ := b.gate.Begin(&access.Principal{Name: "root", Role: access.Admin, Via: "link"})
	session := func(r *http.Request) {
		r.AddCookie(&http.Cookie{Name: access.CookieName(access.Cookie, r), Value: value})
	}
	for _, c := range []struct {
		name   string
		change []func(*http.Request)
		begins bool
	}{
		{"from the terminal", []func(*http.Request){from("none")}, true},
		{"by a browser that does not tell", nil, true},
		{"on another site", []func(*http.Request){from("cross-site")}, false},
		{"at another port of this host", []func(*http.Request){from("same-site")}, false},
		{"while a session holds", []func(*http.Request){from("none"), session}, false},
		{"while a session holds, and the browser does not tell", []func(*http.Request){session}, false},
	} {
		if got := open(c.change...); (len(got) == 1) != c.begins {
			t.Errorf("%s: cookies %v", c.name, got)
		}
	}
	if n := len(b.audited("login refused")); n != 4 {
		t.Errorf("%d refusals noted", n)
	}
	b.gate.End(value)
	if got := open(session, from("none")); len(got) != 1 {
		t.Errorf("after the session ended: cookies %v", got)
	}
}

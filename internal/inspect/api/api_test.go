package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"rollcage/internal/inspect/recording"
	"rollcage/internal/inspect/view"
	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
)

// hostile is a name that would act if somebody did not take it for text.
const hostile = "\x1b[31m<script>alert(1)</script>\"'\xff\u202e"

// write makes a capture of a shell that reads a file of a hostile name and speaks HTTP, n times.
func write(t testing.TB, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shop.scap")
	shell := event.NewThreadInfo()
	shell.TID, shell.PID, shell.VPID, shell.Comm, shell.Exe, shell.ExePath, shell.Cwd = 100, 100, 100, "bash", "bash", "/usr/bin/bash", "/root"
	shell.FDs = []event.FDInfo{{Num: 3, Type: event.FDFileV2, Name: "/tmp/" + hostile}, {Num: 0, Type: event.FDFileV2, Name: "/dev/pts/0"}}
	snap := &event.Snapshot{Machine: event.Machine{Hostname: "web-1", CPUs: 2}, Users: []event.User{{UID: 0, Name: "root"}}, Threads: []*event.ThreadInfo{shell}}
	w, err := capture.Create(path, snap, capture.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var ev event.Event
	now := uint64(1.7e18)
	add := func(typ event.Type, latency uint64, values ...any) {
		now += 1000
		b, err := event.Append(nil, now, 100, typ, values...)
		if err != nil {
			t.Fatal(err)
		}
		if err := ev.Reset(b); err != nil {
			t.Fatal(err)
		}
		ev.Latency = latency
		if err := w.Write(&ev); err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		add(event.SYSCALL_READ_X, 5000, 17, []byte(hostile), 3, 4096)
		add(event.SYSCALL_WRITE_X, 900, 14, []byte("root@web-1:~# "), 0, 14)
		add(event.SYSCALL_OPENAT_2_X, 0, -2, -100, "/none", 1, 0, 0, 0)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// visitor asks a server as somebody with its token.
type visitor struct {
	testing.TB
	s *Server
}

func newVisitor(t testing.TB, paths ...string) *visitor {
	t.Helper()
	var recs []*recording.Recording
	for _, p := range paths {
		r, err := recording.Open(p, recording.Options{NoIndex: true, Spacing: 200})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Close() })
		<-r.Done()
		recs = append(recs, r)
	}
	files := fstest.MapFS{"index.html": {Data: []byte("<p>pages")}, "assets/a.js": {Data: []byte("1")}}
	return &visitor{t, New(recs, Options{Token: "secret", Files: files})}
}

func (v *visitor) get(path string, change ...func(*http.Request)) *http.Response {
	v.Helper()
	r := httptest.NewRequest("GET", "http://127.0.0.1:4747"+path, nil)
	r.Header.Set("Authorization", "Bearer secret")
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	v.s.Handler().ServeHTTP(w, r)
	return w.Result()
}

// ask decodes the last line of an answer's result into out.
func (v *visitor) ask(path string, query url.Values, out any) {
	v.Helper()
	res := v.get("/api/captures/0" + path + "?" + query.Encode())
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		v.Fatalf("%s: %d %s %v", path, res.StatusCode, body, err)
	}
	lines := bytes.Split(bytes.TrimSpace(body), []byte("\n"))
	last := lines[len(lines)-1]
	var p struct {
		Progress *float64        `json:"progress"`
		Result   json.RawMessage `json:"result"`
	}
	if json.Unmarshal(last, &p) == nil && p.Result != nil {
		if *p.Progress != 1 {
			v.Errorf("%s ends with progress %v", path, *p.Progress)
		}
		last = p.Result
	}
	if err := json.Unmarshal(last, out); err != nil {
		v.Fatalf("%s: %v in %s", path, err, last)
	}
}

func TestOnlyVisitorsWithTheTokenAreAnswered(t *testing.T) {
	v := newVisitor(t, write(t, 1))
	none := func(r *http.Request) { r.Header.Del("Authorization") }
	for what, c := range map[string]struct {
		path   string
		change func(*http.Request)
		want   int
	}{
		"with the token":               {"/api/captures", func(*http.Request) {}, 200},
		"without":                      {"/api/captures", none, 401},
		"the page, which has no data":  {"/", none, 200},
		"a state of it without":        {"/events?event=7", none, 200},
		"with another":                 {"/api/captures", func(r *http.Request) { r.Header.Set("Authorization", "Bearer other") }, 401},
		"the link that was printed":    {"/?token=secret", none, 303},
		"a link with another token":    {"/?token=other", none, 303}, // to the page, which asks for it
		"a link to another host":       {"//evil.example/x?token=secret", none, 303},
		"a token in the query of data": {"/api/captures?token=secret", none, 401},
		"with the token as a cookie":   {"/api/captures", func(r *http.Request) { none(r); r.AddCookie(&http.Cookie{Name: cookie + "_4747", Value: "secret"}) }, 401},
		"under a foreign name":         {"/api/captures", func(r *http.Request) { r.Host = "evil.example" }, 421},
		"a path that is not there":     {"/api/nothing", func(*http.Request) {}, 404},
		"a capture that is not there":  {"/api/captures/7", func(*http.Request) {}, 404},
		"another method":               {"/api/captures", func(r *http.Request) { r.Method = "POST" }, 405},
		"a state of the page":          {"/views?view=files", func(*http.Request) {}, 200},
		"a path out of the files":      {"/../../etc/passwd", func(*http.Request) {}, 307}, // to a clean one
	} {
		res := v.get(c.path, c.change)
		if res.StatusCode != c.want {
			t.Errorf("%s: %d, want %d", what, res.StatusCode, c.want)
		}
		if p := res.Header.Get("Content-Security-Policy"); !strings.Contains(p, "default-src 'none'") || strings.Contains(p, "unsafe") {
			t.Errorf("%s: policy %q", what, p)
		}
	}
	if c := v.get("/?token=secret", none).Cookies(); len(c) != 1 || !c[0].HttpOnly || c[0].SameSite != http.SameSiteStrictMode || c[0].Value == "secret" {
		t.Errorf("cookies %+v", c)
	}
	if c := v.get("/?token=other", none).Cookies(); len(c) != 0 {
		t.Errorf("a wrong token gives %+v", c)
	}
	if to := v.get("//evil.example/x?token=secret&event=7", none).Header.Get("Location"); to != "/evil.example/x?event=7" {
		t.Errorf("the link leads to %q", to)
	}
}

func TestServersBesideEachOtherDoNotLogEachOtherOut(t *testing.T) {
	path := write(t, 1)
	one, two := newVisitor(t, path), newVisitor(t, path)
	at := func(port string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Del("Authorization"); r.Host = "127.0.0.1:" + port }
	}
	jar := map[string]*http.Cookie{} // of a browser: by host and name, whatever the port
	for _, c := range append(one.get("/?token=secret", at("4747")).Cookies(), two.get("/?token=secret", at("4748")).Cookies()...) {
		jar[c.Name] = c
	}
	all := func(r *http.Request) {
		for _, c := range jar {
			r.AddCookie(c)
		}
	}
	for port, v := range map[string]*visitor{"4747": one, "4748": two} {
		if res := v.get("/api/captures", at(port), all); res.StatusCode != 200 {
			t.Errorf("the server at port %s: %d", port, res.StatusCode)
		}
	}
	for _, c := range jar {
		if res := one.get("/api/captures", at("4750"), func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+c.Value) }); res.StatusCode != 401 {
			t.Errorf("what the cookie holds is good as a token: %d", res.StatusCode)
		}
	}
}

func TestThePageAsksForTheTokenAndTakesTheWholeLinkToo(t *testing.T) {
	v := newVisitor(t, write(t, 1))
	ask := func(method, body string, cookies ...*http.Cookie) (*http.Response, session) {
		res := v.get("/api/v1/session", func(r *http.Request) {
			r.Header.Del("Authorization")
			r.Method, r.Body = method, io.NopCloser(strings.NewReader(body))
			for _, c := range cookies {
				r.AddCookie(c)
			}
		})
		var out session
		_ = json.NewDecoder(res.Body).Decode(&out)
		return res, out
	}
	if res, got := ask("GET", ""); res.StatusCode != 200 || got.Admitted || got.Guard {
		t.Errorf("a stranger: %d %+v", res.StatusCode, got)
	}
	for body, want := range map[string]int{
		`{"token":"wrong"}`: 401, `{`: 400, `{"token":" secret\n"}`: 200, `{"token":"http://127.0.0.1:4747/views?token=secret&view=files"}`: 200,
		`{"token":"` + strings.Repeat("x", maxLogin) + `"}`: 400,
	} {
		res, got := ask("POST", body)
		if res.StatusCode != want || got.Admitted != (want == 200) || (len(res.Cookies()) == 1) != (want == 200) {
			t.Errorf("%.60s: %d %+v %v", body, res.StatusCode, got, res.Cookies())
		}
		if want == 200 {
			if _, got := ask("GET", "", res.Cookies()...); !got.Admitted {
				t.Errorf("%s: not admitted afterwards", body)
			}
		}
	}
}

func TestAnswersAboutACapture(t *testing.T) {
	const n = 400
	v := newVisitor(t, write(t, n))

	var o overview
	v.ask("/overview", nil, &o)
	found := map[string]float64{}
	for _, tile := range o.Tiles {
		found[tile.Name] = tile.Total
	}
	if found["System Calls"] != 3*n || found["File Bytes In"] != 17*n || found["File Open Errors"] != n {
		t.Errorf("tiles %v", found)
	}
	var part overview
	v.ask("/overview", url.Values{"filter": {"evt.type = read"}, "samples": {"10"}}, &part)
	if len(part.Tiles) == 0 || len(part.Tiles[0].Series) != 10 {
		t.Errorf("tiles of a filter: %+v", part.Tiles)
	}

	var r rows
	v.ask("/views/files", url.Values{"containers": {"0"}}, &r)
	if len(r.Rows) == 0 || r.KeyField != "fd.name" || len(r.Rows[0].Text) != len(r.Columns) {
		t.Errorf("files: %+v", r)
	}
	var below rows
	path, _ := json.Marshal([]step{{"files", r.Rows[0].Key}})
	v.ask("/views/procs", url.Values{"path": {string(path)}, "containers": {"0"}}, &below)
	if len(below.Rows) != 1 || below.Rows[0].Key != "100" {
		t.Errorf("processes below %q: %+v", r.Rows[0].Key, below.Rows)
	}

	var list eventPage
	v.ask("/events", url.Values{"filter": {"evt.type = write"}, "offset": {"390"}, "limit": {"20"}}, &list)
	if list.Total != n || len(list.Events) != 10 || list.Events[0].Type != "write" || !list.Done {
		t.Errorf("events: total %d, %d given", list.Total, len(list.Events))
	}
	num := list.Events[0].Num
	var near eventPage
	v.ask("/events", url.Values{"near": {uitoa(num)}, "limit": {"10"}}, &near)
	if near.Total != 3*n || !hasEvent(near.Events, num) {
		t.Errorf("events near %d: %+v", num, near)
	}
	var one eventDetail
	v.ask("/events/"+uitoa(num), nil, &one)
	if one.Prev != num-1 || one.Next != num+1 || len(one.Fields) < 30 || one.Latency != 900 {
		t.Errorf("event %d: %+v", num, one.eventLine)
	}

	var p processList
	v.ask("/processes", nil, &p)
	if len(p.Processes) != 1 || p.Processes[0].Events != 3*n || p.Processes[0].Errors != n {
		t.Errorf("processes: %+v", p)
	}
	var said talk
	v.ask("/conversation", url.Values{"search": {"<SCRIPT>"}, "limit": {"5"}}, &said)
	if len(said.Pieces) != 5 || said.More == 0 || string(said.Pieces[0].Data) != hostile {
		t.Errorf("said: %+v", said)
	}
	var sessions []struct{ Key string }
	v.ask("/terminals", nil, &sessions)
	if len(sessions) != 1 {
		t.Fatalf("terminals: %+v", sessions)
	}
	var film replay
	v.ask("/terminal", url.Values{"key": {sessions[0].Key}}, &film)
	if len(film.Frames) != n || string(film.Frames[0].Data) != "root@web-1:~# " {
		t.Errorf("%d frames", len(film.Frames))
	}
	var l latencies
	v.ask("/latency", url.Values{"columns": {"8"}}, &l)
	if l.Known != 2*n || l.Unknown != n || len(l.Cells) != 8 || len(l.Calls) != 2 || l.Calls[0].Name != "read" || l.Calls[0].Total != 5000*n {
		t.Errorf("latency: known %d, unknown %d, %+v", l.Known, l.Unknown, l.Calls)
	}
	var c comparison
	half := uitoa(o.From + (o.To-o.From)/2)
	v.ask("/compare/files", url.Values{"to": {half}, "from2": {half}, "containers": {"0"}}, &c)
	if len(c.Rows) == 0 || c.Rows[0].Kind == "new" || c.Rows[0].Kind == "gone" {
		t.Errorf("compare: %+v", c)
	}
	var byName comparison
	v.ask("/compare/procs", url.Values{"to": {half}, "from2": {half}, "by": {"name"}}, &byName)
	if !byName.Joined || len(byName.Rows) != 1 || byName.Rows[0].CountA != 1 || byName.Rows[0].CountB != 1 || byName.Rows[0].Kind == "new" {
		t.Errorf("compare by name: %+v", byName)
	}
	var offered offeredValues
	v.ask("/values", url.Values{"field": {"evt.type"}}, &offered)
	if strings.Join(offered.Values, " ") != "openat read write" {
		t.Errorf("values: %+v", offered)
	}
}

func TestValuesAreOfferedForFieldsWithArgumentsAndRefusedForOthers(t *testing.T) {
	v := newVisitor(t, write(t, 3))
	var offered offeredValues
	v.ask("/values", url.Values{"field": {"evt.arg[0]"}}, &offered)
	if len(offered.Values) == 0 {
		t.Error("no value of evt.arg[0]")
	}
	for _, field := range []string{"", "proc.nme", "proc.name%fd.name", "proc"} {
		if res := v.get("/api/captures/0/values?field=" + url.QueryEscape(field)); res.StatusCode != http.StatusBadRequest {
			t.Errorf("%q: %s", field, res.Status)
		}
	}
}

func uitoa(n uint64) string { b, _ := json.Marshal(n); return string(b) }

func hasEvent(list []eventLine, num uint64) bool {
	for _, e := range list {
		if e.Num == num {
			return true
		}
	}
	return false
}

func TestAWrongQuestionIsAnsweredWithWhatIsWrong(t *testing.T) {
	v := newVisitor(t, write(t, 1))
	for path, want := range map[string]string{
		"/api/check?filter=proc.nme=1":                              "did you mean proc.name",
		"/api/captures/0/events?filter=proc.name":                   "expected",
		"/api/captures/0/events?offset=x":                           "no number",
		"/api/captures/0/events/999999":                             "no event 999999",
		"/api/captures/0/views/nothing":                             "nothing",
		"/api/captures/0/views/procs?path=[":                        "path",
		"/api/captures/0/views/procs?filter=(":                      "",
		"/api/captures/0/overview?from=9&to=3":                      "ends before",
		"/api/captures/0/overview?filter=evt.type%3Dnothing_at_all": "unknown event type",
		"/api/captures/0/terminal":                                  "which session",
		"/api/captures/0/export?as=exe":                             "exported as",
	} {
		res := v.get(path)
		body, _ := io.ReadAll(res.Body)
		var e struct{ Error problem }
		if err := json.Unmarshal(body, &e); err != nil || res.StatusCode < 400 || !strings.Contains(e.Error.Message+e.Error.Hint, want) || e.Error.Message == "" {
			t.Errorf("%s: %d %s", path, res.StatusCode, body)
		}
	}
}

func TestExports(t *testing.T) {
	v := newVisitor(t, write(t, 100))
	res := v.get("/api/captures/0/export?as=scap&filter=evt.type%3Dread")
	path := filepath.Join(t.TempDir(), "out.scap.gz")
	data, _ := io.ReadAll(res.Body)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	again := newVisitor(t, path)
	var list eventPage
	again.ask("/events", nil, &list)
	if list.Total != 100 || list.Events[0].Type != "read" || list.Events[0].Process != "bash" || list.Events[0].FD == "" {
		t.Errorf("the exported capture has %d events, the first is %+v", list.Total, list.Events)
	}
	csv, _ := io.ReadAll(v.get("/api/captures/0/export?as=csv&view=files&containers=0").Body)
	if lines := strings.Count(string(csv), "\n"); lines < 2 || strings.Contains(string(csv), "\n=") {
		t.Errorf("csv: %q", csv)
	}
	var objects []map[string]any
	if err := json.NewDecoder(v.get("/api/captures/0/export?as=json&view=procs").Body).Decode(&objects); err != nil || len(objects) != 1 {
		t.Errorf("json: %v %v", objects, err)
	}
}

func TestManyVisitorsAtOnceGetTheSameAnswers(t *testing.T) {
	v := newVisitor(t, write(t, 2000))
	paths := []string{"/overview?filter=evt.type%3Dread", "/views/files", "/views/syscalls", "/events?filter=evt.failed%3Dtrue", "/processes", "/conversation", "/latency"}
	want := map[string]string{}
	last := func(path string) string {
		b, _ := io.ReadAll(v.get("/api/captures/0" + path).Body)
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		return lines[len(lines)-1]
	}
	for _, p := range paths {
		want[p] = last(p)
	}
	v.s.answers = newAnswerCache(maxAnswers) // nobody asked yet
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			for j := range paths {
				p := paths[(i+j)%len(paths)]
				if got := last(p); got != want[p] {
					t.Errorf("%s: %.200s\nwant %.200s", p, got, want[p])
				}
			}
		})
	}
	wg.Wait()
}

func TestPartsAtTheSameTimeGiveWhatOneScanGives(t *testing.T) {
	v := newVisitor(t, write(t, 1000))
	defer func(n uint64) { worthParts = n }(worthParts)
	ask := func(parts uint64, name string, q url.Values) (out rows) {
		worthParts = parts
		v.s.answers = newAnswerCache(maxAnswers)
		v.ask("/views/"+name, q, &out)
		return out
	}
	if n := len(v.s.captures[0].Stretches()); n < 4 {
		t.Fatalf("only %d stretches", n)
	}
	from, to := uitoa(17e17+300_000), uitoa(17e17+2_500_000)
	for _, name := range []string{"procs", "files", "syscalls", "errors", "threads", "directories"} {
		for _, q := range []url.Values{{}, {"filter": {"evt.type = read"}}, {"from": {from}, "to": {to}}} {
			one, two := ask(1<<40, name, q), ask(10, name, q)
			if a, b := fmt.Sprintf("%+v", one), fmt.Sprintf("%+v", two); a != b || len(one.Rows) == 0 && name != "errors" {
				t.Errorf("%s %v:\n%s\n%s", name, q, a, b)
			}
		}
	}
}

func TestAnswersMadeInAdvanceAreThoseThatAreAskedFor(t *testing.T) {
	v := newVisitor(t, write(t, 300))
	if err := v.s.warm(t.Context(), 0, v.s.captures[0].Recording); err != nil {
		t.Fatal(err)
	}
	warm := v.s.answers
	var paths []string
	for _, w := range view.All() {
		if w.Kind == view.KindTable {
			paths = append(paths, "/api/captures/0/views/"+w.ID+"?limit=1000")
		}
	}
	for _, name := range warmViews { // by the first column, numbers from the largest on, as a click sorts
		up, down := "/api/captures/0/views/"+name+"?desc=0&limit=1000&sort=0", "/api/captures/0/views/"+name+"?desc=1&limit=1000&sort=0"
		if _, ok := warm.get(down); ok {
			up = down
		}
		paths = append(paths, up)
	}
	if len(paths) < 30 {
		t.Errorf("only %d are made", len(paths))
	}
	for _, path := range paths {
		got, ok := warm.get(path)
		if !ok {
			t.Errorf("%s was not made", path)
			continue
		}
		v.s.answers = newAnswerCache(maxAnswers)
		asked, _ := io.ReadAll(v.get(path).Body)
		if !bytes.HasSuffix(asked, got) {
			t.Errorf("%s: made %s, asked %s", path, got, asked)
		}
	}
}

func TestTheCacheForgetsWhatWasUsedLongestAgo(t *testing.T) {
	c := newAnswerCache(400)
	for _, k := range []string{"a", "b", "c", "d"} {
		c.put(k, bytes.Repeat([]byte(k), 90))
	}
	c.get("a")
	c.put("e", bytes.Repeat([]byte("e"), 90))
	if _, ok := c.get("a"); !ok {
		t.Error("what was just used is gone")
	}
	if _, ok := c.get("b"); ok || c.used > c.room {
		t.Errorf("%d bytes are kept, at most %d", c.used, c.room)
	}
	c.put("big", make([]byte, 300))
	if _, ok := c.get("big"); ok {
		t.Error("one answer took most of the room")
	}
}

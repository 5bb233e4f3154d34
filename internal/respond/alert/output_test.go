package alert

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcage/internal/detect/rule"
)

// receiver is the far end of an output under test.
type receiver struct {
	out Output
	// lines returns what arrived, once at least n lines did.
	lines func(t *testing.T, n int) []string
	// fail makes the receiver fail, heal makes it work again; nil if it cannot fail.
	fail, heal func()
	// stall makes the receiver hang, so that nothing is taken; nil if it cannot.
	stall func()
}

// outputs are the implementations that keep the promises of Output.
var outputs = []struct {
	name string
	make func(t *testing.T) *receiver
}{
	{"writer", writerReceiver},
	{"file", func(t *testing.T) *receiver { return fileReceiver(t, false) }},
	{"file kept open", func(t *testing.T) *receiver { return fileReceiver(t, true) }},
	{"http", httpReceiver},
	{"program", func(t *testing.T) *receiver { return programReceiver(t, false) }},
	{"program kept running", func(t *testing.T) *receiver { return programReceiver(t, true) }},
	{"syslog", syslogReceiver},
	{"smtp", smtpReceiver},
	{"slack", slackReceiver},
	{"otlp", otlpReceiver},
	{"nats", func(t *testing.T) *receiver { return natsReceiver(t, false) }},
	{"nats with JetStream", func(t *testing.T) *receiver { return natsReceiver(t, true) }},
}

// numbered returns an alert that can be told from others.
func numbered(n int) *Alert {
	a := sample()
	a.Message = fmt.Sprintf("alert %d %s", n, strings.Repeat("x", 200))
	return a
}

// numbers returns the numbers of the alerts in lines, in order.
func numbers(t *testing.T, lines []string) []int {
	t.Helper()
	var out []int
	for _, l := range lines {
		_, rest, ok := strings.Cut(l, "Warning alert ")
		var n int
		var pad string
		if _, err := fmt.Sscanf(rest, "%d %s", &n, &pad); !ok || err != nil || len(pad) != 200 {
			t.Errorf("not a whole alert: %q", l)
		}
		out = append(out, n)
	}
	return out
}

func mustSend(t *testing.T, o Output, n int) {
	t.Helper()
	if err := o.Send(t.Context(), numbered(n)); err != nil {
		t.Fatalf("alert %d: %v", n, err)
	}
}

func TestOutputs(t *testing.T) {
	for _, o := range outputs {
		t.Run(o.name, func(t *testing.T) {
			t.Run("delivers alerts whole and in order", func(t *testing.T) {
				r := o.make(t)
				want := []int{}
				for n := range 20 {
					mustSend(t, r.out, n)
					want = append(want, n)
				}
				if diff := cmp.Diff(want, numbers(t, r.lines(t, 20))); diff != "" {
					t.Error(diff)
				}
			})
			t.Run("goes on after Reopen", func(t *testing.T) {
				r := o.make(t)
				mustSend(t, r.out, 1)
				if err := r.out.Reopen(); err != nil {
					t.Fatal(err)
				}
				mustSend(t, r.out, 2)
				if diff := cmp.Diff([]int{1, 2}, numbers(t, r.lines(t, 2))); diff != "" {
					t.Error(diff)
				}
			})
			t.Run("delivers nothing once its context has ended", func(t *testing.T) {
				r := o.make(t)
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				if err := r.out.Send(ctx, numbered(1)); !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
				mustSend(t, r.out, 2)
				if diff := cmp.Diff([]int{2}, numbers(t, r.lines(t, 1))); diff != "" {
					t.Error(diff)
				}
			})
			t.Run("refuses alerts after Close", func(t *testing.T) {
				r := o.make(t)
				mustSend(t, r.out, 1)
				for range 2 {
					if err := r.out.Close(); err != nil {
						t.Fatal(err)
					}
				}
				if err := r.out.Send(t.Context(), numbered(2)); !errors.Is(err, ErrClosed) {
					t.Errorf("got %v, want ErrClosed", err)
				}
				if diff := cmp.Diff([]int{1}, numbers(t, r.lines(t, 1))); diff != "" {
					t.Error(diff)
				}
			})
			t.Run("recovers from a failure", func(t *testing.T) { testRecovers(t, o.make(t)) })
			t.Run("returns when its context ends though the receiver hangs", func(t *testing.T) { testStalled(t, o.make(t)) })
			t.Run("has a name", func(t *testing.T) {
				if o.make(t).out.Name() == "" {
					t.Error("the name is empty")
				}
			})
		})
	}
}

func testRecovers(t *testing.T, r *receiver) {
	if r.fail == nil {
		t.Skip("the receiver cannot fail")
	}
	mustSend(t, r.out, 1)
	r.lines(t, 1) // what has not arrived yet may be lost with the receiver
	r.fail()
	if err := r.out.Send(t.Context(), numbered(2)); err == nil {
		t.Error("no error although the receiver fails")
	}
	r.heal()
	mustSend(t, r.out, 3)
	if diff := cmp.Diff([]int{1, 3}, numbers(t, r.lines(t, 2))); diff != "" {
		t.Error(diff)
	}
}

func testStalled(t *testing.T, r *receiver) {
	if r.stall == nil {
		t.Skip("the receiver cannot hang")
	}
	r.stall()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var err error
	// A receiver with a buffer takes some before it hangs.
	for n := 0; err == nil; n++ {
		err = r.out.Send(ctx, numbered(n))
	}
	if ctx.Err() == nil {
		t.Errorf("the output gave up before its context ended: %v", err)
	}
	if err := r.out.Close(); err != nil && ctx.Err() == nil {
		t.Error(err)
	}
}

// eventually waits until lines returns n.
func eventually(t *testing.T, n int, lines func() []string) []string {
	t.Helper()
	for t.Context().Err() == nil {
		if got := lines(); len(got) >= n {
			return got
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

func splitLines(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == '\n' })
}

func writerReceiver(t *testing.T) *receiver {
	var buf bytes.Buffer
	w := &switchWriter{w: &buf}
	return &receiver{
		out: NewWriter("stdout", w, Shape{}), lines: func(*testing.T, int) []string { return splitLines(buf.String()) },
		fail: func() { w.err = io.ErrShortWrite }, heal: func() { w.err = nil },
		stall: func() {
			r, pipe, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { r.Close(); pipe.Close() })
			w.w = pipe
		},
	}
}

// switchWriter is a writer that can fail or be exchanged.
type switchWriter struct {
	w   io.Writer
	err error
}

func (w *switchWriter) Write(b []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	return w.w.Write(b)
}

func (w *switchWriter) SetWriteDeadline(at time.Time) error {
	if f, ok := w.w.(*os.File); ok {
		return f.SetWriteDeadline(at)
	}
	return os.ErrNoDeadline
}

func fileReceiver(t *testing.T, keepOpen bool) *receiver {
	dir := filepath.Join(t.TempDir(), "log")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "alerts")
	out := NewFile(path, keepOpen, Shape{})
	return &receiver{
		out: out,
		lines: func(t *testing.T, n int) []string {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			return splitLines(string(data))
		},
		fail: func() { os.Rename(dir, dir+"2"); out.Reopen() },
		heal: func() { os.Rename(dir+"2", dir) },
	}
}

func httpReceiver(t *testing.T) *receiver {
	var mu sync.Mutex
	var got []string
	status := http.StatusOK
	hang := make(chan struct{})
	var stalled bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if stalled {
			mu.Unlock()
			select {
			case <-hang:
			case <-r.Context().Done():
			}
			mu.Lock()
			return
		}
		if status == http.StatusOK {
			got = append(got, string(body))
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(hang) })
	out, err := NewHTTP(HTTPOptions{URL: server.URL, Retries: 1, Backoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	set := func(s int) func() {
		return func() {
			mu.Lock()
			defer mu.Unlock()
			status = s
		}
	}
	return &receiver{
		out: out, fail: set(http.StatusServiceUnavailable), heal: set(http.StatusOK),
		lines: func(*testing.T, int) []string {
			mu.Lock()
			defer mu.Unlock()
			return got
		},
		stall: func() {
			mu.Lock()
			defer mu.Unlock()
			stalled = true
		},
	}
}

func programReceiver(t *testing.T, keep bool) *receiver {
	path := filepath.Join(t.TempDir(), "got")
	out := NewProgram("cat >> "+path, keep, Shape{})
	t.Cleanup(func() { out.Close() })
	return &receiver{
		out: out,
		lines: func(t *testing.T, n int) []string {
			return eventually(t, n, func() []string {
				data, _ := os.ReadFile(path)
				return splitLines(string(data))
			})
		},
		fail: func() { out.Reopen(); out.command = "exit 3"; out.keep = false },
		heal: func() { out.command = "cat >> " + path; out.keep = keep },
		stall: func() {
			out.Reopen()
			out.command = "sleep 1000"
		},
	}
}

func syslogReceiver(t *testing.T) *receiver {
	path := filepath.Join(t.TempDir(), "log")
	var mu sync.Mutex
	var got []string
	listen := func() *net.UnixConn {
		conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	read := func(conn *net.UnixConn) {
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			mu.Lock()
			got = append(got, string(buf[:n]))
			mu.Unlock()
		}
	}
	conn := listen()
	go read(conn)
	out := NewSyslog(path, Shape{})
	t.Cleanup(func() { conn.Close(); out.Close() })
	return &receiver{
		out: out,
		lines: func(t *testing.T, n int) []string {
			return eventually(t, n, func() []string {
				mu.Lock()
				defer mu.Unlock()
				return got
			})
		},
		fail: func() { conn.Close(); os.Remove(path) },
		heal: func() { conn = listen(); go read(conn) },
		stall: func() {
			conn.Close()
			os.Remove(path)
			conn = listen() // and nobody reads
		},
	}
}

func TestFileIsForItsOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alerts")
	mustSend(t, NewFile(path, false, Shape{}), 1)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestFileThatIsRotatedIsWrittenAnewAfterReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alerts")
	o := NewFile(path, true, Shape{})
	mustSend(t, o, 1)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	mustSend(t, o, 2)
	if err := o.Reopen(); err != nil {
		t.Fatal(err)
	}
	mustSend(t, o, 3)
	for name, want := range map[string][]int{path + ".1": {1, 2}, path: {3}} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, numbers(t, splitLines(string(data)))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestFileOnAFullDiskBeginsTheNextAlertOnALineOfItsOwn(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full:", err)
	}
	path := filepath.Join(t.TempDir(), "alerts")
	o := NewFile(path, true, Shape{})
	o.file = full
	if err := o.Send(t.Context(), numbered(1)); err == nil {
		t.Fatal("no error on a full disk")
	}
	if err := os.WriteFile(path, []byte(`{"half`), 0o600); err != nil {
		t.Fatal(err)
	}
	mustSend(t, o, 2)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if lines := splitLines(string(data)); len(lines) != 2 || lines[0] != `{"half` {
		t.Errorf("got %q", lines)
	}
}

func TestSyslogMessagesHaveTheSeverityOfThePriority(t *testing.T) {
	r := syslogReceiver(t)
	for p := rule.Emergency; p <= rule.Debug; p++ {
		a := numbered(int(p))
		a.Priority = p
		if err := r.out.Send(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	for i, l := range r.lines(t, 8) {
		head := fmt.Sprintf("<%d>", 8+i)
		if !strings.HasPrefix(l, head) || !strings.Contains(l, fmt.Sprintf(" rollcage[%d]: ", os.Getpid())) {
			t.Errorf("message %d is %q, want it to begin with %s", i, l, head)
		}
	}
}

func TestSyslogOnAStreamEndsEachMessage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o := NewSyslog(path, Shape{})
	defer o.Close()
	mustSend(t, o, 1)
	mustSend(t, o, 2)
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for n := 1; n <= 2; n++ {
		message, err := r.ReadString(0)
		if err != nil || !strings.Contains(message, fmt.Sprintf("alert %d ", n)) {
			t.Errorf("message %d is %q, %v", n, message, err)
		}
	}
}

// A system log that hangs must not hold up the end of a run that waits for its outputs.
func TestSyslogThatNobodyReadsIsGivenUp(t *testing.T) {
	sockets := map[string]func(t *testing.T, path string) io.Closer{
		"datagrams": func(t *testing.T, path string) io.Closer {
			conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			return conn
		},
		"stream": func(t *testing.T, path string) io.Closer {
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			return l
		},
	}
	for name, listen := range sockets {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			defer listen(t, path).Close()
			var log bytes.Buffer
			const alerts = 10_000 // more than the socket holds
			d := NewDelivery([]Output{NewSyslog(path, Shape{})}, DeliveryOptions{
				Capacity: alerts, Wait: true, Timeout: 5 * time.Millisecond, Patience: 20 * time.Millisecond, Log: slog.New(slog.NewTextHandler(&log, nil)),
			})
			for n := range alerts {
				d.Send(numbered(n))
			}
			err := d.Close(t.Context())
			s := d.Stats()[0]
			if err == nil || !strings.Contains(err.Error(), "alerts are lost") || s.Sent+s.Failed+s.Dropped != alerts {
				t.Errorf("%+v, %v", s, err)
			}
			if s.Failed > 100 || s.Dropped == 0 {
				t.Errorf("it was waited for %d times, and %d alerts were left", s.Failed, s.Dropped)
			}
			if !strings.Contains(log.String(), "is given up") {
				t.Errorf("nothing says so:\n%s", log.String())
			}
		})
	}
}

func TestProgramThatFailsIsAnError(t *testing.T) {
	err := NewProgram("cat > /dev/null; exit 3", false, Shape{}).Send(t.Context(), numbered(1))
	if err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v", err)
	}
	if err := NewProgram("exit 0", false, Shape{}).Send(t.Context(), numbered(1)); err != nil {
		t.Errorf("a program that reads nothing and succeeds: %v", err)
	}
}

package alert

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// inbox collects what arrives at a receiver that can fail.
type inbox struct {
	mu   sync.Mutex
	got  []string
	fail bool
}

func (b *inbox) add(lines ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, lines...)
}

func (b *inbox) lines(t *testing.T, n int) []string {
	return eventually(t, n, func() []string {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.got
	})
}

func (b *inbox) set(fail bool) func() {
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.fail = fail
	}
}

func (b *inbox) failing() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fail
}

// mute accepts connections and says nothing.
func mute(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			if _, err := l.Accept(); err != nil { // and kept open
				return
			}
		}
	}()
	return l.Addr().String()
}

// mailServer is a fake of a mail server: it speaks as much SMTP as a client
// needs, with STARTTLS and a login.
type mailServer struct {
	inbox
	t      *testing.T
	tls    *tls.Config
	login  string // what it wants, user NUL password; "" for none
	mails  []*mail.Message
	bodies []string
	answer string // to the mail's end, "250 ok" if empty
}

func serveMail(t *testing.T, s *mailServer) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.t = t
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.session(conn)
		}
	}()
	return l.Addr().String()
}

func (s *mailServer) session(conn net.Conn) {
	defer func() { conn.Close() }()
	in := bufio.NewReader(conn)
	say := func(format string, args ...any) { fmt.Fprintf(conn, format+"\r\n", args...) }
	if s.failing() {
		say("421 not now")
		return
	}
	say("220 fake")
	loggedIn, encrypted := s.login == "", false
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			say("250-fake")
			if s.tls != nil && !encrypted {
				say("250-STARTTLS")
			}
			if s.login != "" {
				say("250-AUTH PLAIN")
			}
			say("250 8BITMIME")
		case "STARTTLS":
			say("220 go on")
			conn = tls.Server(conn, s.tls)
			in, encrypted = bufio.NewReader(conn), true
		case "AUTH":
			b, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "PLAIN "))
			if loggedIn = string(b) == "\x00"+s.login; !loggedIn {
				say("535 no")
				continue
			}
			say("235 yes")
		case "MAIL", "RCPT":
			if !loggedIn || s.tls != nil && !encrypted {
				say("530 not so")
				continue
			}
			say("250 ok")
		case "DATA":
			say("354 go on")
			s.data(in)
			if s.answer != "" {
				say("%s", s.answer)
				continue
			}
			say("250 ok")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("500 what?")
		}
	}
}

func (s *mailServer) data(in *bufio.Reader) {
	var text strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if line == ".\r\n" {
			break
		}
		text.WriteString(strings.TrimPrefix(line, "."))
	}
	m, err := mail.ReadMessage(strings.NewReader(text.String()))
	if err != nil {
		s.t.Error(err)
		return
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails, s.bodies = append(s.mails, m), append(s.bodies, string(body))
	for line := range strings.Lines(string(body)) {
		if line = strings.TrimRight(line, "\r\n"); line != "" && line[0] != ' ' {
			s.got = append(s.got, line)
		}
	}
}

func smtpReceiver(t *testing.T) *receiver {
	s := &mailServer{}
	addr := serveMail(t, s)
	out, err := NewSMTP(SMTPOptions{Address: addr, Encryption: SMTPPlain, From: "rollcage@example.org", To: []string{"a@example.org"}})
	if err != nil {
		t.Fatal(err)
	}
	return &receiver{
		out: out, lines: s.lines, fail: s.set(true), heal: s.set(false),
		stall: func() { out.opts.Address = mute(t) },
	}
}

// webhook is a fake of a receiver over HTTP; text takes the line out of a body.
func webhook(t *testing.T, b *inbox, text func([]byte) []string) (url string, stall func()) {
	t.Helper()
	hang, stalled := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		select {
		case <-stalled:
			select {
			case <-hang:
			case <-r.Context().Done():
			}
			return
		default:
		}
		if b.failing() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		b.add(text(body)...)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(hang) })
	return server.URL, func() { close(stalled) }
}

func slackReceiver(t *testing.T) *receiver {
	b := &inbox{}
	url, stall := webhook(t, b, func(body []byte) []string {
		var m struct{ Attachments []struct{ Text string } }
		if err := json.Unmarshal(body, &m); err != nil || len(m.Attachments) != 1 {
			t.Errorf("%v: %s", err, body)
			return nil
		}
		return []string{m.Attachments[0].Text}
	})
	out, err := NewSlack(HTTPOptions{URL: url, Retries: 1, Backoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return &receiver{out: out, lines: b.lines, fail: b.set(true), heal: b.set(false), stall: stall}
}

func otlpReceiver(t *testing.T) *receiver {
	b := &inbox{}
	url, stall := webhook(t, b, func(body []byte) []string { return otlpLines(t, body) })
	out, err := NewOTLP(HTTPOptions{URL: url + "/v1/logs", Retries: 1, Backoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return &receiver{out: out, lines: b.lines, fail: b.set(true), heal: b.set(false), stall: stall}
}

func otlpLines(t *testing.T, body []byte) (lines []string) {
	var m struct {
		ResourceLogs []struct {
			ScopeLogs []struct {
				LogRecords []struct{ Body struct{ StringValue string } }
			}
		}
	}
	if err := json.Unmarshal(body, &m); err != nil {
		t.Error(err)
	}
	for _, r := range m.ResourceLogs {
		for _, s := range r.ScopeLogs {
			for _, l := range s.LogRecords {
				lines = append(lines, l.Body.StringValue)
			}
		}
	}
	return lines
}

// natsServer starts a real server with JetStream, again at the same port and with the same data if asked.
func natsServer(t *testing.T, dir string, port int) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server does not start")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

func natsReceiver(t *testing.T, js bool) *receiver {
	dir := filepath.Join(t.TempDir(), "js")
	s := natsServer(t, dir, -1)
	port := s.Addr().(*net.TCPAddr).Port
	b := &inbox{}
	back := make(chan struct{}, 1)
	conn, err := nats.Connect(s.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(5*time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.ReconnectHandler(func(c *nats.Conn) { c.Flush(); back <- struct{}{} }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if js {
		stream, err := jetstream.New(conn)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.CreateStream(t.Context(), jetstream.StreamConfig{Name: "alerts", Subjects: []string{"alerts"}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Subscribe("alerts", func(m *nats.Msg) { b.add(string(m.Data)) }); err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	out, err := NewNATS(NATSOptions{URL: s.ClientURL(), Subject: "alerts", JetStream: js})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	return &receiver{
		out: out, lines: b.lines,
		fail: func() { s.Shutdown(); s.WaitForShutdown() },
		heal: func() { s = natsServer(t, dir, port); <-back },
		stall: func() {
			out.Reopen()
			out.opts.URL = "nats://" + mute(t)
		},
	}
}

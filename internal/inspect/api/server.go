// Package api serves the exploration of captures over HTTP: what the browser
// interface asks for, and scripts may as well. docs/inspect-api.md describes it.
//
// Everything is read-only. Answers that take a scan are streamed as lines of
// JSON, each more complete than the one before and with its progress, so that a
// reader shows something at once; the last has progress 1. What is asked again is
// answered from memory. At most a few scans run at a time, and one that nobody
// waits for any more ends. The rules are run over a capture once, to the end.
//
// The pages themselves are served to everybody, since a link to a state has no
// token: they hold nothing of the captures, and ask who has none for it.
package api

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"

	"rollcage/internal/detect/rule"
	"rollcage/internal/inspect/recording"
)

// Options say how a server behaves.
type Options struct {
	// Token is what a visitor must know; empty for a fresh one.
	Token string
	// Hosts are names under which the server may be asked, beside addresses of
	// the loopback interface and localhost. A page of somebody else's that gets the
	// browser to ask under another name gets nothing.
	Hosts []string
	// Files are the pages of the interface; nil for none.
	Files fs.FS
	// Engine makes the rules that are run over captures, nil for none.
	Engine func() (*rule.Engine, error)
	Log    *slog.Logger // slog.Default() if nil
}

// Server answers questions about captures. It may be used by many goroutines.
type Server struct {
	opt      Options
	mu       sync.RWMutex
	captures []*served
	scans    chan struct{} // a place for each scan that may run
	answers  *answerCache
	lists    *listings
	session  string       // what the cookie of an admitted browser holds
	open     http.Handler // lets everybody in
	handler  http.Handler
}

// New returns a server of captures, which stay the caller's.
func New(captures []*recording.Recording, opt Options) *Server {
	if opt.Token == "" {
		opt.Token = freshToken()
	}
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	s := &Server{
		opt: opt, scans: make(chan struct{}, max(2, runtime.NumCPU())), session: freshToken(),
		answers: newAnswerCache(maxAnswers), lists: newListings(),
	}
	for _, c := range captures {
		s.Add(c)
	}
	s.open = s.routes()
	s.handler = s.guarded(s.open)
	return s
}

func freshToken() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Token returns what a visitor must know: in the query of the first page as
// token, or as a bearer token.
func (s *Server) Token() string { return s.opt.Token }

// Unguarded returns a handler that lets everybody in, for a server that finds
// out itself who asks.
func (s *Server) Unguarded() http.Handler { return s.open }

// Handler returns the server's handler.
func (s *Server) Handler() http.Handler { return s.handler }

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, h func(*request) error) { mux.HandleFunc("GET "+pattern, s.wrap(h)) }
	handle("/api/captures", s.listCaptures)
	handle("/api/v1/session", s.showSession)
	mux.HandleFunc("POST /api/v1/session", s.wrap(s.login))
	handle("/api/fields", listFields)
	handle("/api/views", listViews)
	handle("/api/check", checkFilter)
	const one = "/api/captures/{capture}"
	handle(one, s.showCapture)
	handle(one+"/overview", s.overview)
	handle(one+"/views/{view}", s.view)
	handle(one+"/events", s.events)
	handle(one+"/events/{event}", s.event)
	handle(one+"/processes", s.processes)
	handle(one+"/alerts", s.alerts)
	handle(one+"/conversation", s.conversation)
	handle(one+"/terminals", s.terminals)
	handle(one+"/terminal", s.terminal)
	handle(one+"/latency", s.latency)
	handle(one+"/values", s.values)
	handle(one+"/compare/{view}", s.compare)
	handle(one+"/export", s.export)
	mux.HandleFunc("GET /api/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, http.StatusNotFound, &problem{Message: "there is no " + r.Method + " " + r.URL.Path})
	})
	if s.opt.Files != nil {
		mux.Handle("GET /", pages(s.opt.Files))
	}
	return mux
}

// SetHeaders sets the headers that keep the pages to themselves.
func SetHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}

func (s *Server) knownHost(hostport string) bool {
	name, _, err := net.SplitHostPort(hostport)
	if err != nil {
		name = hostport
	}
	name = strings.Trim(name, "[]")
	if name == "localhost" {
		return true
	}
	if ip := net.ParseIP(name); ip != nil && ip.IsLoopback() {
		return true
	}
	for _, h := range s.opt.Hosts {
		if strings.EqualFold(h, name) {
			return true
		}
	}
	return false
}

// problem is an error as the interface shows it.
type problem struct {
	Message string `json:"message"`
	// Index, Line and Column say where in the condition it is, if it is about one.
	Index  *int   `json:"index,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Hint   string `json:"hint,omitempty"`
	status int
}

func (p *problem) Error() string { return p.Message }

func badRequest(format string, args ...any) error {
	return &problem{Message: fmt.Sprintf(format, args...), status: http.StatusBadRequest}
}

func notFound(format string, args ...any) error {
	return &problem{Message: fmt.Sprintf(format, args...), status: http.StatusNotFound}
}

func writeError(w http.ResponseWriter, status int, p *problem) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]*problem{"error": p})
}

// request is a question on its way to its answer.
type request struct {
	w     http.ResponseWriter
	r     *http.Request
	begun bool // something was written
}

// wrap turns an error into an answer. One that comes when part of the answer
// is out is the last line of it.
func (s *Server) wrap(h func(*request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q := &request{w: w, r: r}
		defer func() {
			if v := recover(); v != nil {
				// One strange capture must not end the server for the others.
				s.opt.Log.Error("a question could not be answered", "url", r.URL.Path, "panic", v)
				q.fail(errors.New("this could not be answered; the log tells why"))
			}
		}()
		if err := h(q); err != nil && r.Context().Err() == nil {
			q.fail(err)
		}
	}
}

func (q *request) fail(err error) {
	var p *problem
	if !errors.As(err, &p) {
		p = &problem{Message: err.Error(), status: http.StatusInternalServerError}
	}
	if !q.begun {
		writeError(q.w, p.status, p)
		return
	}
	_ = json.NewEncoder(q.w).Encode(map[string]*problem{"error": p})
}

// reply answers with one JSON value.
func (q *request) reply(v any) error {
	q.w.Header().Set("Content-Type", "application/json")
	q.w.Header().Set("Cache-Control", "no-store")
	q.begun = true
	return json.NewEncoder(q.w).Encode(v)
}

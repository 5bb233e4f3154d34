// Package console serves guard over HTTP: its incidents, what can be done about
// them, the live host, policies and tokens, for the pages in the browser and for
// scripts. docs/api.md describes it, /api/openapi.json in detail.
//
// Who asks is found out by an access.Gate; what each role may do is in the table
// of routes. A forbidden act is refused and is in the audit log. So is every
// opening of a capture and every look at unmasked secrets, and both happen only
// when that was written down. What a role may not see is masked.
package console

import (
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"context"

	"rollcage/internal/detect/rule"
	"rollcage/internal/inspect/access"
	"rollcage/internal/inspect/api"
	"rollcage/internal/observe/host"
	"rollcage/internal/respond/action"
	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/policy"
)

// Guard is what does things. The daemon is one.
type Guard interface {
	// Act does an action about an incident, or says in its outcome what it would
	// do, and returns the action's ID.
	Act(ctx context.Context, who *evidence.Who, incident string, act policy.Action, dryRun bool) (id string, err error)
	// Undo takes back an action that is in force.
	Undo(ctx context.Context, who *evidence.Who, id string) (string, error)
	// InForce returns the actions that can be undone.
	InForce() []action.Undo
	// Note adds a text to an incident.
	Note(who *evidence.Who, incident, text string) error
	// SetMode switches a policy.
	SetMode(who *evidence.Who, name string, m policy.Mode) error
	// Policies returns those in force.
	Policies() *policy.Set
	// Evidence returns the store of incidents.
	Evidence() *evidence.Store
}

// Options say what is served to whom. Guard, Dir and Gate are required.
type Options struct {
	Guard Guard
	// Status returns how guard is, as JSON takes it; nil for nothing.
	Status func() any
	// Dir is the folder of the evidence.
	Dir  string
	Gate *access.Gate
	// Hosts are names under which the server may be asked, beside addresses,
	// localhost and the host's own name. A page of somebody else's that gets the
	// browser to ask under another name gets nothing.
	Hosts []string
	// Containers returns the facts of a container, nil if they are not known.
	Containers func(id string, t host.ContainerType) *host.Container
	// Files are the pages, nil for none.
	Files fs.FS
	// Engine makes the rules that are run over captures, nil for none.
	Engine func() (*rule.Engine, error)
	Log    *slog.Logger // slog.Default() if nil
}

// Server is the console. It may be used by many goroutines.
type Server struct {
	opt      Options
	audit    *evidence.Audit
	captures *captures
	live     *live
	plans    plans
	noted    noted
	streams  chan struct{} // a place for each that may be open
	origin   *http.CrossOriginProtection
	handler  http.Handler
}

// maxStreams is how many streams of alerts may be open at a time.
const maxStreams = 100

// New returns a console.
func New(opt Options) (*Server, error) {
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	if name, err := os.Hostname(); err == nil {
		opt.Hosts = append(slices.Clone(opt.Hosts), name)
	}
	s := &Server{
		opt: opt, audit: opt.Guard.Evidence().Audit(), streams: make(chan struct{}, maxStreams), origin: http.NewCrossOriginProtection(),
	}
	s.captures = newCaptures(opt.Dir, api.New(nil, api.Options{Files: opt.Files, Engine: opt.Engine, Log: opt.Log}))
	var err error
	if s.live, err = newLive(opt.Containers); err != nil {
		return nil, err
	}
	s.handler = s.framed(s.routes())
	return s, nil
}

// Handler returns the server's handler. Its http.Server is to have
// access.ConnContext when it listens at a unix socket.
func (s *Server) Handler() http.Handler { return s.handler }

// Close closes the captures that are open.
func (s *Server) Close() error { return errors.Join(s.captures.close(), s.live.close()) }

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for i := range routes {
		rt := &routes[i]
		mux.HandleFunc(rt.method+" "+rt.path, func(w http.ResponseWriter, r *http.Request) { s.serve(rt, w, r) })
	}
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, http.StatusNotFound, "there is no "+r.Method+" "+r.URL.Path)
	})
	if s.opt.Files != nil {
		// The pages hold nothing that is secret: they ask who asks them.
		mux.Handle("/", s.captures.api.Unguarded())
	}
	return mux
}

// maxBody bounds the body of a request, in bytes.
const maxBody = 64 << 10

// framed sets the headers that keep the pages to themselves, and refuses
// requests under a foreign name.
func (s *Server) framed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		api.SetHeaders(w.Header())
		if r.TLS != nil {
			w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		}
		if !s.knownHost(r.Host) {
			writeProblem(w, http.StatusMisdirectedRequest, "not served under the name "+r.Host+"; see --serve-host")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if t := r.URL.Query().Get("token"); t != "" && r.Method == http.MethodGet && !strings.HasPrefix(r.URL.Path, "/api/") {
			s.fromLink(w, r, t)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// fromLink begins the session of who opened a link with a token, and takes the
// token out of the address. Somebody else's link must not make its reader act as
// somebody else without knowing: a session that holds stays, and another site's
// page cannot begin one.
func (s *Server) fromLink(w http.ResponseWriter, r *http.Request, token string) {
	if now, byCookie, err := s.opt.Gate.Identify(r); err == nil && byCookie {
		s.note("login refused", now, r.RemoteAddr+": a link, while a session holds")
	} else if access.Foreign(r) {
		s.note("login refused", nil, r.RemoteAddr+": a link on another site's page")
	} else if p, err := s.opt.Gate.Verify(r.Context(), token, r.RemoteAddr); err == nil {
		s.begin(w, r, p)
	} else {
		s.note("login failed", p, r.RemoteAddr)
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, access.WithoutToken(r.URL), http.StatusSeeOther)
}

// begin starts a session and gives its cookie.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, p *access.Principal) {
	value, ends := s.opt.Gate.Begin(p)
	s.note("login", p, r.RemoteAddr)
	http.SetCookie(w, &http.Cookie{
		Name: access.CookieName(access.Cookie, r), Value: value, Path: "/", Expires: ends, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	})
}

// note writes something into the audit log that goes on also if that fails.
func (s *Server) note(act string, p *access.Principal, detail string) {
	if err := s.audit.Access(p.Who(), act, "", detail); err != nil {
		s.opt.Log.Error("this is not in the audit log", "act", act, "error", err)
	}
}

// knownHost reports whether the server may be asked under a name. Addresses
// may: a foreign page cannot give itself one.
func (s *Server) knownHost(hostport string) bool {
	name, _, err := net.SplitHostPort(hostport)
	if err != nil {
		name = hostport
	}
	name = strings.Trim(name, "[]")
	if name == "localhost" || net.ParseIP(name) != nil {
		return true
	}
	return slices.ContainsFunc(s.opt.Hosts, func(h string) bool { return strings.EqualFold(h, name) })
}

// Timeouts of the HTTP server that serves a console. Answers have none, since
// some are streams; a stream sets its own.
const (
	HeaderTimeout = 10 * time.Second
	IdleTimeout   = 2 * time.Minute
)

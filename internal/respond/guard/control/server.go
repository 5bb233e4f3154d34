// Package control is how commands on the same host speak with guard: HTTP over
// a local socket, whose callers the kernel names.
//
// A [Server] answers whoever may open the socket: root alone, or a group too.
// Who it is goes into the audit log with what is done. A [Client] is the other side.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/guard"
	"rollcage/internal/respond/policy"
)

// SocketName is the name of the socket in the folder for what runs.
const SocketName = "rollcage.sock"

// maxRequest bounds the body of a request, in bytes.
const maxRequest = 64 << 10

// Options say what is served where.
type Options struct {
	Guard *guard.Guard
	// Path is that of the socket. One that is left over is replaced: who serves holds guard's lock.
	Path string
	// Group may use the socket too, none if empty.
	Group string
	// Reload reads rules, policies and outputs again.
	Reload func(ctx context.Context) error
}

// Server answers until it is closed.
type Server struct {
	opts Options
	http *http.Server
	done chan struct{}
}

// Start begins to listen.
func Start(o Options) (*Server, error) {
	if err := os.Remove(o.Path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	// Nobody can connect before it belongs to whom it should: the folder is root's, and the mask leaves nothing to others.
	old := unix.Umask(0o177)
	l, err := net.Listen("unix", o.Path)
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := o.admit(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	s := &Server{opts: o, done: make(chan struct{})}
	s.http = &http.Server{
		Handler: s.routes(), ReadTimeout: 10 * time.Second, WriteTimeout: 5 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, caller{}, peer(c))
		},
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			slog.Error("the control socket is not served any more", "error", err)
		}
	}()
	return s, nil
}

// admit lets the group in.
func (o *Options) admit() error {
	if o.Group == "" {
		return nil
	}
	g, err := user.LookupGroup(o.Group)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return fmt.Errorf("control socket: group %s: %w", o.Group, err)
	}
	// The folder must let the group through, which cannot list it.
	for _, step := range []func() error{
		func() error { return os.Chown(filepath.Dir(o.Path), -1, gid) },
		func() error { return os.Chmod(filepath.Dir(o.Path), 0o710) },
		func() error { return os.Chown(o.Path, -1, gid) },
		func() error { return os.Chmod(o.Path, 0o660) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("control socket: %w", err)
		}
	}
	return nil
}

// Close stops listening and lets requests at hand end, for a second at most.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	<-s.done
	return err
}

type caller struct{}

// peer returns who is at the other end, nil if the kernel does not tell.
func peer(c net.Conn) *evidence.Who {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return nil
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return nil
	}
	var cred *unix.Ucred
	if cerr := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); cerr != nil || err != nil {
		return nil
	}
	w := &evidence.Who{UID: cred.Uid, LoginUID: loginUID(cred.Pid), PID: int(cred.Pid), Via: "control socket"}
	if u, err := user.LookupId(strconv.Itoa(int(cred.Uid))); err == nil {
		w.User = u.Username
	}
	return w
}

// loginUID returns who logged in, by the kernel's audit; it is 4294967295 if nobody did.
func loginUID(pid int32) uint32 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/loginuid", pid))
	if err != nil {
		return 1<<32 - 1
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32)
	if err != nil {
		return 1<<32 - 1
	}
	return uint32(n)
}

// request is what is asked for, with who asks.
type request struct {
	*http.Request
	who *evidence.Who
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]func(*request) (any, error){
		"GET /v1/status":                  s.status,
		"GET /v1/incidents":               s.list,
		"POST /v1/incidents/{id}/actions": s.act,
		"POST /v1/incidents/{id}/notes":   s.note,
		"GET /v1/actions":                 s.inForce,
		"POST /v1/actions/{id}/undo":      s.undo,
		"PUT /v1/policies/{name}/mode":    s.mode,
		"POST /v1/reload":                 s.reload,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
			who, _ := r.Context().Value(caller{}).(*evidence.Who)
			if who == nil {
				answer(w, nil, errors.New("the kernel does not say who asks"))
				return
			}
			v, err := h(&request{r, who})
			answer(w, v, err)
		})
	}
	return mux
}

// problem is the answer to a request that failed.
type problem struct {
	Error string `json:"error"`
}

func answer(w http.ResponseWriter, v any, err error) {
	status := http.StatusOK
	switch {
	case errors.Is(err, guard.ErrUnknown):
		status = http.StatusNotFound
	case errors.Is(err, guard.ErrInvalid):
		status = http.StatusBadRequest
	case err != nil:
		status = http.StatusConflict
	}
	if err != nil {
		v = problem{err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// decode reads the body strictly.
func (r *request) decode(v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: request: %w", guard.ErrInvalid, err)
	}
	return nil
}

func (s *Server) status(*request) (any, error) { return s.opts.Guard.Status(), nil }

func (s *Server) list(r *request) (any, error) {
	if err := s.opts.Guard.Evidence().Audit().Access(r.who, "list", "", ""); err != nil {
		return nil, err
	}
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	list, err := s.opts.Guard.Evidence().List(evidence.Filter{Limit: limit})
	if list == nil {
		list = []*evidence.Summary{}
	}
	return list, err
}

// Act is a request for an action.
type Act struct {
	Kind    string        `json:"kind"`
	Target  string        `json:"target,omitempty"`  // of kill: process, tree, container
	For     time.Duration `json:"for,omitempty"`     // ns; pause and isolate are undone after it
	Before  time.Duration `json:"before,omitempty"`  // ns, of capture
	After   time.Duration `json:"after,omitempty"`   // ns, of capture
	Timeout time.Duration `json:"timeout,omitempty"` // ns
	DryRun  bool          `json:"dry_run,omitempty"`
}

// Done is the answer: the ID of what was done.
type Done struct {
	ID string `json:"id"`
}

func (s *Server) act(r *request) (any, error) {
	var a Act
	if err := r.decode(&a); err != nil {
		return nil, err
	}
	id, err := s.opts.Guard.Act(r.Context(), r.who, r.PathValue("id"), policy.Action{
		Kind: policy.Kind(a.Kind), Target: a.Target, For: a.For, Before: a.Before, After: a.After, Timeout: a.Timeout,
	}, a.DryRun)
	return Done{id}, err
}

func (s *Server) note(r *request) (any, error) {
	var n struct{ Text string }
	if err := r.decode(&n); err != nil {
		return nil, err
	}
	return Done{}, s.opts.Guard.Note(r.who, r.PathValue("id"), n.Text)
}

func (s *Server) inForce(*request) (any, error) { return s.opts.Guard.InForce(), nil }

func (s *Server) undo(r *request) (any, error) {
	id, err := s.opts.Guard.Undo(r.Context(), r.who, r.PathValue("id"))
	return Done{id}, err
}

func (s *Server) mode(r *request) (any, error) {
	var m struct{ Mode string }
	if err := r.decode(&m); err != nil {
		return nil, err
	}
	mode, ok := policy.ParseMode(m.Mode)
	if !ok {
		return nil, fmt.Errorf("%w: %q is no mode: enforce or monitor", guard.ErrInvalid, m.Mode)
	}
	return Done{}, s.opts.Guard.SetMode(r.who, r.PathValue("name"), mode)
}

func (s *Server) reload(r *request) (any, error) {
	if s.opts.Reload == nil {
		return nil, fmt.Errorf("%w: nothing can be reloaded", guard.ErrInvalid)
	}
	if err := s.opts.Guard.Evidence().Audit().Change(r.who, "reload", ""); err != nil {
		return nil, err
	}
	return Done{}, s.opts.Reload(r.Context())
}

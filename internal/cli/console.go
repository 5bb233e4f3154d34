package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"rollcage/internal/cli/usage"
	"rollcage/internal/detect/rule"
	"rollcage/internal/inspect/access"
	"rollcage/internal/inspect/console"
	"rollcage/internal/inspect/web"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
	"rollcage/internal/respond/disk"
	"rollcage/internal/respond/guard"
	"rollcage/internal/understand/runtime"
)

// consoleOptions say where guard's API and pages are, and who may use them.
type consoleOptions struct {
	address string
	cert    string
	key     string
	hosts   []string
	roles   map[string]string // by group, of who comes over the socket
	oidc    access.OIDC
	claims  map[string]string // roles by value of the claim
}

// The names of what is in the folder for what runs.
const (
	consoleSocket = "api.sock"
	linkName      = "token" // of the printed link
)

func (o *consoleOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.address, "serve", "127.0.0.1:4748", "`HOST:PORT` of the pages and the API; when the port is taken, the next free one; TLS beyond this host; off for none")
	f.StringVar(&o.cert, "serve-cert", "", "speak TLS there with the certificate in the PEM `FILE`, instead of one that is made and whose fingerprint is printed")
	f.StringVar(&o.key, "serve-key", "", "its private key, if the `FILE` is another one")
	f.StringSliceVar(&o.hosts, "serve-host", nil, "`NAME` under which the pages may be asked for, beside the host's own; repeatable")
	f.StringToStringVar(&o.roles, "serve-group", nil, "role of the members of a group at the API's socket, as ops=responder; `GROUP=ROLE`, repeatable")
	f.StringVar(&o.oidc.Issuer, "oidc-issuer", "", "take the tokens of the OpenID Connect issuer at the `URL`")
	f.StringVar(&o.oidc.Audience, "oidc-audience", "", "that were made for this `AUDIENCE`")
	f.StringVar(&o.oidc.RoleClaim, "oidc-claim", "groups", "`CLAIM` of them that says the role, a text or a list; dots lead into objects, as realm_access.roles")
	f.StringToStringVar(&o.claims, "oidc-role", nil, "which value of the claim is which role, as sec-team=responder; `VALUE=ROLE`, repeatable")
}

// gate returns who is let in.
func (o *consoleOptions) gate(state string) (*access.Gate, error) {
	g := &access.Gate{Tokens: access.NewTokens(filepath.Join(state, tokensName)), Link: access.NewSecret()}
	var err error
	if g.Groups, err = rolesOf("--serve-group", o.roles); err != nil {
		return nil, err
	}
	for name := range g.Groups {
		if _, err := user.LookupGroup(name); err != nil {
			if _, err := strconv.ParseUint(name, 10, 32); err != nil {
				return nil, usage.Errorf("--serve-group: there is no group %q", name)
			}
		}
	}
	if o.oidc.Issuer == "" {
		return g, nil
	}
	if o.oidc.Roles, err = rolesOf("--oidc-role", o.claims); err != nil {
		return nil, err
	}
	if err := o.oidc.Check(); err != nil {
		return nil, usage.Errorf("%v", err)
	}
	g.OIDC = &o.oidc
	return g, nil
}

func rolesOf(flag string, names map[string]string) (map[string]access.Role, error) {
	out := map[string]access.Role{}
	for k, v := range names {
		r, err := access.ParseRole(v)
		if err != nil {
			return nil, usage.Errorf("%s %s=%s: %v", flag, k, v, err)
		}
		out[k] = r
	}
	return out, nil
}

// consoleGuard is what a console needs of a guard that runs.
type consoleGuard struct {
	*guard.Guard
	state, run string
	containers func(id string, t host.ContainerType) *host.Container
	engine     func() (*rule.Engine, error)
}

// serve answers at the address and at the API's socket until stop is called.
// A person gets the link for the browser, a log only the place of its token.
func (o *consoleOptions) serve(w io.Writer, g *consoleGuard) (stop func(), err error) {
	if o.address == "off" || o.address == "" {
		return func() {}, nil
	}
	gate, err := o.gate(g.state)
	if err != nil {
		return nil, err
	}
	l, link, err := o.listen(w, g.state)
	if err != nil {
		return nil, fmt.Errorf("--serve: %w", err)
	}
	local, err := o.listenLocally(filepath.Join(g.run, consoleSocket))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the API's socket: %w", err), l.Close())
	}
	s, err := console.New(console.Options{
		Guard: g.Guard, Status: func() any { return g.Status() }, Dir: guard.EvidenceDir(g.state), Gate: gate, Hosts: o.hosts,
		Containers: g.containers, Files: web.Files(), Engine: g.engine,
	})
	if err == nil {
		err = disk.Replace(filepath.Join(g.run, linkName), []byte(gate.Link+"\n"))
	}
	if err != nil {
		return nil, errors.Join(err, l.Close(), local.Close())
	}
	srv := &http.Server{
		Handler: s.Handler(), ConnContext: access.ConnContext, ReadHeaderTimeout: console.HeaderTimeout, IdleTimeout: console.IdleTimeout,
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
	}
	for _, one := range []net.Listener{l, local} {
		go func() {
			if err := srv.Serve(one); !errors.Is(err, http.ErrServerClosed) {
				slog.Error("the API is not served any more", "address", one.Addr(), "error", err)
			}
		}()
	}
	if isTerminal(w) {
		fmt.Fprintf(w, "Open %s?token=%s\n", link, gate.Link)
	} else { // a log that others may read
		fmt.Fprintf(w, "Pages and API at %s; log in with the token in %s\n", link, filepath.Join(g.run, linkName))
	}
	return func() {
		_ = os.Remove(filepath.Join(g.run, linkName))
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if srv.Shutdown(ctx) != nil {
			_ = srv.Close() // streams go on for as long as they are let
		}
		_ = s.Close()
	}, nil
}

// listen listens at the address, with TLS if it is asked for or others than this host can connect.
func (o *consoleOptions) listen(w io.Writer, state string) (l net.Listener, link string, err error) {
	name, _, err := net.SplitHostPort(o.address)
	if err != nil {
		return nil, "", usage.Errorf("--serve: %v", err)
	}
	ip := net.ParseIP(name)
	local := name == "localhost" || ip != nil && ip.IsLoopback()
	var config *tls.Config
	if o.cert != "" || !local {
		if config, err = o.tls(w, state, name); err != nil {
			return nil, "", err
		}
	}
	if l, err = listenNear(o.address); err != nil {
		return nil, "", err
	}
	scheme, shown := "http", l.Addr().String()
	if name == "" || ip != nil && ip.IsUnspecified() {
		hostname, _ := os.Hostname()
		_, port, _ := net.SplitHostPort(shown)
		shown = net.JoinHostPort(hostname, port)
	}
	if config != nil {
		l, scheme = tls.NewListener(l, config), "https"
	}
	return l, scheme + "://" + shown + "/", nil
}

// tls returns the certificate that was asked for, or one of our own.
func (o *consoleOptions) tls(w io.Writer, state, name string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if o.cert != "" {
		c, err := access.OpenCertificate(o.cert, o.key)
		if err != nil {
			return nil, err
		}
		config.GetCertificate = c.Get
		return config, nil
	}
	names := append([]string{"localhost", "127.0.0.1", "::1"}, o.hosts...)
	if hostname, err := os.Hostname(); err == nil {
		names = append(names, hostname)
	}
	if ip := net.ParseIP(name); name != "" && (ip == nil || !ip.IsUnspecified()) {
		names = append(names, name)
	}
	c, made, err := access.OwnCertificate(filepath.Join(state, "tls"), names)
	if err != nil {
		return nil, err
	}
	state = "Own certificate"
	if made {
		state = "A certificate was made"
	}
	fmt.Fprintf(w, "%s; its SHA-256 fingerprint is %s\n", state, access.Fingerprint(c))
	config.Certificates = []tls.Certificate{c}
	return config, nil
}

// listenLocally listens at a unix socket. Who may connect is named by the
// kernel, and has a role or not; so with groups that have one, all may connect.
func (o *consoleOptions) listenLocally(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	old := unix.Umask(0o177)
	l, err := net.Listen("unix", path)
	unix.Umask(old)
	if err != nil || len(o.roles) == 0 {
		return l, err
	}
	// The folder lets nobody list it, only reach the socket.
	if err := errors.Join(os.Chmod(path, 0o666), os.Chmod(filepath.Dir(path), 0o711)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// containersOf returns what tells about the containers of a source, nil if nothing does.
func containersOf(src event.Source) func(id string, t host.ContainerType) *host.Container {
	if s, ok := src.(*runtime.Source); ok {
		return s.Container
	}
	return nil
}

// enginesOf returns what tells about the container runtimes of a source, nil if it asks none.
func enginesOf(src event.Source) func() []runtime.EngineState {
	if s, ok := src.(*runtime.Source); ok {
		return s.Engines
	}
	return nil
}

// engineAnew loads the rules again, for a capture: an engine is used by one goroutine.
func (o *rulesOptions) engineAnew() (*rule.Engine, error) {
	set, err := o.load(io.Discard)
	if err != nil {
		return nil, err
	}
	return o.engine(set)
}

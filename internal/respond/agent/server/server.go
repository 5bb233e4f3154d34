// Package server answers over HTTP how an agent is: whether it detects what
// happens, which versions run, and its metrics, at paths and in forms that the
// probes and scrapers of a cluster know.
//
// A [Server] listens until it is closed. It answers anybody who reaches it, so
// it says nothing about what was detected beyond numbers and the names of rules.
package server

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"rollcage/internal/respond/agent"
)

// Options say what is answered where. A handler that is nil is not there.
type Options struct {
	// Address is host:port, or a bare :port for all addresses.
	Address string
	// Certificate and Key are PEM files; with them the server speaks TLS
	// only. One file may hold both. They are read again for each connection, so that they can be renewed.
	Certificate, Key string
	// HealthPath is where Health is answered, /healthz if empty.
	HealthPath string
	Health     func() agent.Health
	// Versions is what /versions answers, as JSON.
	Versions any
	// Metrics answers /metrics.
	Metrics http.Handler
}

// Server is a server that runs.
type Server struct {
	http     *http.Server
	listener net.Listener
	done     chan struct{}
}

// Start begins to listen. Errors after that are logged.
func Start(o Options) (*Server, error) {
	s := &Server{done: make(chan struct{}), http: &http.Server{
		Handler: o.handler(), ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
	}}
	if o.Certificate != "" {
		load := o.loadCertificate
		if _, err := load(nil); err != nil {
			return nil, err
		}
		s.http.TLSConfig = &tls.Config{GetCertificate: load, MinVersion: tls.VersionTLS12}
	}
	var err error
	if s.listener, err = net.Listen("tcp", o.Address); err != nil {
		return nil, fmt.Errorf("serve health and metrics: %w", err)
	}
	go s.serve(o.Certificate != "")
	return s, nil
}

func (o *Options) loadCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	key := o.Key
	if key == "" {
		key = o.Certificate
	}
	c, err := tls.LoadX509KeyPair(o.Certificate, key)
	if err != nil {
		return nil, fmt.Errorf("serve health and metrics over TLS: %w", err)
	}
	return &c, nil
}

func (s *Server) serve(secure bool) {
	defer close(s.done)
	var err error
	if secure {
		err = s.http.ServeTLS(s.listener, "", "")
	} else {
		err = s.http.Serve(s.listener)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		slog.Error("health and metrics are not served any more", "error", err)
	}
}

// Addr returns the address that the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

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

func (o *Options) handler() http.Handler {
	mux := http.NewServeMux()
	path := o.HealthPath
	if path == "" {
		path = "/healthz"
	}
	if o.Health != nil {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { answerHealth(w, o.Health()) })
	}
	if o.Versions != nil {
		mux.HandleFunc("GET /versions", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, o.Versions) })
	}
	if o.Metrics != nil {
		mux.Handle("GET /metrics", o.Metrics)
	}
	return mux
}

// unhealthy is the answer of an agent that does not detect.
type unhealthy struct {
	Status string `json:"status"`
	Since  string `json:"since"`
	Reason string `json:"reason"`
	Last   string `json:"last_detected,omitempty"`
}

func answerHealth(w http.ResponseWriter, h agent.Health) {
	if h.OK { // to the letter what others answer, as some compare it
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"status": "ok"}`))
		return
	}
	u := unhealthy{Status: "unhealthy", Since: h.Since.UTC().Format(time.RFC3339Nano), Reason: h.Why}
	if !h.Detected.IsZero() {
		u.Last = h.Detected.UTC().Format(time.RFC3339Nano)
	}
	answer(w, http.StatusServiceUnavailable, u)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone: nobody to tell
}

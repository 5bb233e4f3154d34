package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"rollcage/internal/cli/usage"
	"rollcage/internal/inspect/api"
	"rollcage/internal/inspect/recording"
	"rollcage/internal/inspect/web"
)

type inspectOptions struct {
	listen  string
	hosts   []string
	noIndex bool
	memory  int64 // MB
	rules   rulesOptions
}

func newInspectCommand() *cobra.Command {
	var opts inspectOptions
	cmd := &cobra.Command{
		Use:   "inspect FILE...",
		Short: "Explore captures in the browser",
		Long: `Explore what capture files hold in the browser: an overview over time, processes, files, connections, what was
said over them, terminal sessions, single events.

Everything stays on this machine: the pages come from this program and ask nobody else. The link that is printed
carries a token; who does not have it is refused. What is found out about a large capture is kept in an index file beside
it (CAPTURE.rcindex), so that it opens at once the next time.`,
		Example: `  rollcage inspect trace.scap.gz
  rollcage inspect before.scap after.scap         (two captures can be compared)
  rollcage inspect --listen 127.0.0.1:8080 trace.scap`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage.Errorf("name a capture file")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runInspect(cmd.Context(), cmd.OutOrStdout(), &opts, args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.listen, "inspect-listen", "127.0.0.1:4747", "`ADDRESS` to serve the pages at; when the port is taken, the next free one")
	f.StringSliceVar(&opts.hosts, "inspect-host", nil, "`NAME` under which the pages may be asked for, beside localhost; repeatable")
	opts.rules.addPathFlags(f)
	opts.rules.addSelectionFlags(f)
	f.Int64Var(&opts.memory, "inspect-memory", 512, "`MB` of memory to stay below by collecting garbage harder; 0 for any")
	f.BoolVar(&opts.noIndex, "no-index", false, "neither read nor write index files")
	return cmd
}

func runInspect(ctx context.Context, stdout io.Writer, opts *inspectOptions, files []string) error {
	if opts.memory > 0 {
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(opts.memory << 20))
	}
	var captures []*recording.Recording
	defer func() {
		for _, r := range captures {
			_ = r.Close()
		}
	}()
	for _, f := range files {
		r, err := recording.Open(f, recording.Options{
			NoIndex: opts.noIndex,
			Log:     func(format string, args ...any) { slog.Info(f + ": " + fmt.Sprintf(format, args...)) },
		})
		if err != nil {
			return err
		}
		captures = append(captures, r)
	}
	l, err := listenNear(opts.listen)
	if err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(opts.listen)
	if err == nil && host != "" {
		opts.hosts = append(opts.hosts, host)
	}
	s := api.New(captures, api.Options{Hosts: opts.hosts, Files: web.Files(), Engine: opts.rules.engineAnew})
	go s.Warm(ctx)
	srv := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second}
	fmt.Fprintf(stdout, "http://%s/?token=%s\n", l.Addr(), s.Token())
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// nearPorts is how many ports are tried when the one asked for is taken.
const nearPorts = 20

// listenNear listens at an address, or at the next port that is free.
func listenNear(address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, usage.Errorf("--inspect-listen: %v", err)
	}
	n, err := net.LookupPort("tcp", port)
	if err != nil {
		return nil, usage.Errorf("--inspect-listen: %v", err)
	}
	var l net.Listener
	for i := range nearPorts {
		if l, err = net.Listen("tcp", net.JoinHostPort(host, fmt.Sprint(n+i))); err == nil || n == 0 {
			return l, err
		}
	}
	return nil, err
}

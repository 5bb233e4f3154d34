package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	goruntime "runtime"
	"strings"

	"github.com/spf13/pflag"

	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/probe"
	"rollcage/internal/observe/procfs"
	"rollcage/internal/understand/runtime"
)

// sourceOptions say where events come from.
type sourceOptions struct {
	read    string
	snaplen int
	docker  string
}

func (o *sourceOptions) addFlags(f *pflag.FlagSet) {
	f.StringVarP(&o.read, "read", "r", "", "read events from the capture `FILE` (.scap, also gzip; - is standard input) instead of the kernel")
	f.IntVar(&o.snaplen, "snaplen", 80, "`BYTES` of I/O data kept per event, up to 32768; live only")
	f.StringVar(&o.docker, "docker", "auto", "`ADDRESS` of the Docker Engine to ask for container names, for instance unix:///run/user/1000/docker.sock; auto (the host's own) or off; live only")
}

func (o *sourceOptions) live() bool { return o.read == "" }

// open opens the source. A live one delivers at least what interest asks for.
func (o *sourceOptions) open(interest event.Interest) (event.Source, error) {
	if !o.live() {
		return capture.Open(o.read)
	}
	if o.snaplen < 0 || o.snaplen > probe.MaxSnaplen {
		return nil, usagef("--snaplen %d: want 0 to %d", o.snaplen, probe.MaxSnaplen)
	}
	engines, err := o.engines()
	if err != nil {
		return nil, err
	}
	catalog := runtime.NewCatalog(engines, slog.Default())
	po := probe.Options{Interest: interest, Snaplen: o.probeSnaplen()}
	if len(engines) > 0 {
		po.OnCgroup = catalog.Expect
	}
	p, err := probe.Open(po)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("watching the live host: %w", err), catalog.Close())
	}
	if missing := procfs.MissingCapabilities(); len(missing) > 0 {
		slog.Warn("processes that run already can be read in part only: their programs and descriptors may stay unknown",
			"missing", strings.Join(missing, " "))
	}
	return runtime.NewSource(p, catalog), nil
}

// probeSnaplen returns the length as the probe takes it: negative for none.
func (o *sourceOptions) probeSnaplen() int {
	if o.snaplen == 0 {
		return -1
	}
	return o.snaplen
}

// engines returns the container runtimes to ask.
func (o *sourceOptions) engines() ([]runtime.Engine, error) {
	addrs := []string{o.docker}
	switch o.docker {
	case "off", "":
		return nil, nil
	case "auto":
		addrs = dockerAddresses()
	}
	var out []runtime.Engine
	for _, a := range addrs {
		d, err := runtime.NewDocker(a)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// dockerAddresses returns where the Docker Engine is: what DOCKER_HOST says,
// else the socket of the host's, which need not be there yet. The socket of a
// rootless one is asked only when it is named: it is a user's, who could say
// anything about the containers of others through it.
func dockerAddresses() []string {
	if h := os.Getenv("DOCKER_HOST"); h != "" {
		return []string{h}
	}
	return []string{"unix:///run/docker.sock"}
}

// describe says in a few words what is watched.
func (o *sourceOptions) describe() string {
	if !o.live() {
		return "capture " + o.read
	}
	host, err := os.Hostname()
	if err != nil {
		host = "this host"
	}
	kernel := ""
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel = ", kernel " + strings.TrimSpace(string(b))
	}
	return fmt.Sprintf("%s and every container on it (%s%s)", host, goruntime.GOARCH, kernel)
}

// sourceEnd turns the end of a stream into what the command returns: nil for a clean one.
func sourceEnd(err error, o *sourceOptions) error {
	if err == nil || o.live() {
		return err
	}
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return err
	}
	return fmt.Errorf("%s: %w", o.read, err)
}

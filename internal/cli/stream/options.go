package stream

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	goruntime "runtime"
	"strings"

	"github.com/spf13/pflag"

	"rollcage/internal/cli/usage"
	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/probe"
	"rollcage/internal/observe/procfs"
	"rollcage/internal/understand/runtime"
)

// Options say where events come from.
type Options struct {
	Read    string // capture file, - for standard input; "" for the live host
	Snaplen int    // bytes of I/O data kept per event
	Docker  string // address of the Docker Engine, auto or off
}

// AddFlags adds the flags of the options.
func (o *Options) AddFlags(f *pflag.FlagSet) {
	f.StringVarP(&o.Read, "read", "r", "", "read events from the capture `FILE` (.scap, also gzip; - is standard input) instead of the kernel")
	f.IntVar(&o.Snaplen, "snaplen", 80, "`BYTES` of I/O data kept per event, up to 32768; live only")
	f.StringVar(&o.Docker, "docker", "auto", "`ADDRESS` of the Docker Engine to ask for container names, for instance unix:///run/user/1000/docker.sock; auto (the host's own) or off; live only")
}

// Live reports whether the live host is watched.
func (o *Options) Live() bool { return o.Read == "" }

// Open opens the source. A live one delivers at least what interest asks for.
func (o *Options) Open(interest event.Interest) (event.Source, error) {
	if !o.Live() {
		return capture.Open(o.Read)
	}
	if o.Snaplen < 0 || o.Snaplen > probe.MaxSnaplen {
		return nil, usage.Errorf("--snaplen %d: want 0 to %d", o.Snaplen, probe.MaxSnaplen)
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
func (o *Options) probeSnaplen() int {
	if o.Snaplen == 0 {
		return -1
	}
	return o.Snaplen
}

// engines returns the container runtimes to ask.
func (o *Options) engines() ([]runtime.Engine, error) {
	addrs := []string{o.Docker}
	switch o.Docker {
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

// Describe says in a few words what is watched.
func (o *Options) Describe() string {
	if !o.Live() {
		return "capture " + o.Read
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

// End turns the end of a stream into what the command returns: nil for a clean one.
func End(err error, o *Options) error {
	if err == nil || o.Live() {
		return err
	}
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return err
	}
	return fmt.Errorf("%s: %w", o.Read, err)
}

package stream

import (
	"errors"
	"fmt"
	"io/fs"
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
	// Runtimes are the addresses of the container runtimes to ask, in the form
	// of runtime.Open; Auto stands for the host's own, and Off for none.
	Runtimes []string
	// EntryArguments also reads names and addresses when a call that opens, connects or executes begins. What
	// it is before AddFlags is the default.
	EntryArguments bool
	// Box is what the black box of a live host keeps, nil for none.
	Box *probe.BoxOptions
	// OnKill is told of events for which the kernel sent a signal, see [probe.Options].
	OnKill func(ev *event.Event, id int)
	// OnCgroup is told of new cgroups, see [probe.Options].
	OnCgroup func(path string)
}

// AddFlags adds the flags of the options.
func (o *Options) AddFlags(f *pflag.FlagSet) {
	f.StringVarP(&o.Read, "read", "r", "", "read events from the capture `FILE` (.scap, also gzip; - is standard input) instead of the kernel")
	f.IntVar(&o.Snaplen, "snaplen", 80, "`BYTES` of I/O data kept per event, up to 32768; live only")
	f.StringArrayVar(&o.Runtimes, "runtime", []string{Auto}, "`ADDRESS` of a container runtime to ask for names, repeatable: docker:, containerd:, cri: or podman: and its socket; auto (the host's own) or off; live only")
	f.Var(&dockerAlias{options: o}, "docker", "`ADDRESS` of the Docker Engine: the same as --runtime docker:ADDRESS")
	f.Lookup("docker").Hidden = true
	f.BoolVar(&o.EntryArguments, "entry-arguments", o.EntryArguments, "also read names and addresses when a call that opens, connects or executes begins, so that none that fails can hide what it tried; live only")
}

// Live reports whether the live host is watched.
func (o *Options) Live() bool { return o.Read == "" }

// Open opens the source. A live one delivers at least what interest asks for.
func (o *Options) Open(interest event.Interest) (event.Source, error) {
	if !o.Live() {
		return capture.Open(o.Read)
	}
	src, _, err := o.OpenHost(interest)
	return src, err
}

// OpenHost opens the live host as a source that delivers at least what interest
// asks for. The probe is a part of it, which closing the source closes.
func (o *Options) OpenHost(interest event.Interest) (event.Source, *probe.Probe, error) {
	if o.Snaplen < 0 || o.Snaplen > probe.MaxSnaplen {
		return nil, nil, usage.Errorf("--snaplen %d: want 0 to %d", o.Snaplen, probe.MaxSnaplen)
	}
	engines, err := o.engines()
	if err != nil {
		return nil, nil, err
	}
	catalog := runtime.NewCatalog(engines, slog.Default())
	po := probe.Options{Interest: interest, Snaplen: o.probeSnaplen(), SampleArguments: o.EntryArguments, Box: o.Box, OnKill: o.OnKill}
	po.OnCgroup = o.OnCgroup
	switch {
	case len(engines) > 0 && o.OnCgroup != nil:
		// A runtime has a cgroup made in one hierarchy after the other: who wants to know of all at once does not wait for its answer.
		expect := catalog.Expecting()
		po.OnCgroup = func(path string) { o.OnCgroup(path); expect(path) }
	case len(engines) > 0:
		po.OnCgroup = catalog.Expect
	}
	p, err := probe.Open(po)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("watching the live host: %w", err), catalog.Close())
	}
	if missing := procfs.MissingCapabilities(); len(missing) > 0 {
		slog.Warn("processes that run already can be read in part only: their programs and descriptors may stay unknown",
			"missing", strings.Join(missing, " "))
	}
	return runtime.NewSource(p, catalog), p, nil
}

// probeSnaplen returns the length as the probe takes it: negative for none.
func (o *Options) probeSnaplen() int {
	if o.Snaplen == 0 {
		return -1
	}
	return o.Snaplen
}

// Words in place of addresses of container runtimes.
const (
	Auto = "auto" // the host's own
	Off  = "off"  // none
)

// dockerAlias is the flag --docker, from when Docker was the only runtime.
type dockerAlias struct {
	options *Options
	set     string // what it was set to, by which a command that reads its flags anew copies it
}

func (a *dockerAlias) String() string { return a.set }
func (a *dockerAlias) Type() string   { return "string" }
func (a *dockerAlias) Set(v string) error {
	if v == "" {
		v = Off // as it was when Docker was the only runtime
	}
	a.set = v
	if v != Auto && v != Off {
		v = dockerKind + v
	}
	a.options.Runtimes = []string{v}
	return nil
}

// dockerKind begins the address of a Docker Engine among Runtimes.
const dockerKind = "docker:"

// Docker returns the address of the first Docker Engine that the flags name, ""
// for what the environment says, or the usual one.
func (o *Options) Docker() string {
	for _, a := range o.Runtimes {
		if at, ok := strings.CutPrefix(a, dockerKind); ok {
			return at
		}
	}
	return ""
}

// warnOfMissing says so when a runtime that was asked for by its socket is not there. It may come later.
func warnOfMissing(addr string) {
	_, at, _ := strings.Cut(addr, ":")
	path := strings.TrimPrefix(at, "unix://")
	if _, err := os.Stat(path); strings.HasPrefix(path, "/") && errors.Is(err, fs.ErrNotExist) {
		slog.Warn("no such container runtime yet; its containers show their id until it is there", "runtime", addr)
	}
}

// engines returns the container runtimes to ask.
func (o *Options) engines() ([]runtime.Engine, error) {
	var addrs []string
	for _, a := range o.Runtimes {
		switch {
		case a == Auto:
			addrs = append(addrs, runtime.Usual()...)
		case a != Off && a != "":
			addrs = append(addrs, a)
			warnOfMissing(a)
		case len(o.Runtimes) > 1:
			return nil, usage.Errorf("--runtime off and other addresses: want one of them")
		}
	}
	var out []runtime.Engine
	for _, a := range addrs {
		e, err := runtime.Open(a)
		if err != nil {
			for _, e := range out {
				_ = e.Close()
			}
			return nil, usage.Errorf("--runtime: %v", err)
		}
		out = append(out, e)
	}
	return out, nil
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
	if errors.As(err, &pathErr) || strings.HasPrefix(err.Error(), o.Read+": ") {
		return err // it says which file
	}
	return fmt.Errorf("%s: %w", o.Read, err)
}

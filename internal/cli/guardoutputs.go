package cli

import (
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"rollcage/internal/cli/usage"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/guard"
)

// The names by which policies call outputs.
const (
	outStdout = "stdout"
	outFile   = "file"
	outSyslog = "syslog"
	outHTTP   = "http"
	outSMTP   = "smtp"
	outSlack  = "slack"
	outNATS   = "nats"
	outOTLP   = "otlp"
)

var outNames = []string{outStdout, outFile, outSyslog, outHTTP, outSMTP, outSlack, outNATS, outOTLP}

// outputOptions say where guard sends alerts.
type outputOptions struct {
	output   string // shape of standard output
	quiet    bool
	iso8601  bool
	file     string
	syslog   bool
	http     string
	far      farOutputs
	onNotify []string
}

func (o *outputOptions) addFlags(f *pflag.FlagSet) {
	f.BoolVarP(&o.quiet, "quiet", "q", false, "no alerts on standard output")
	f.BoolVar(&o.iso8601, "time-iso-8601", false, "write times as date and time in UTC")
	f.StringVar(&o.file, "out-file", "", "append alerts to the `FILE` too; it is opened again on SIGUSR1")
	f.BoolVar(&o.syslog, "out-syslog", false, "write alerts to the system's log too")
	f.StringVar(&o.http, "out-http", "", "post alerts as JSON to the `URL` too, as falcosidekick takes them")
	o.far.addReceiverFlags(f)
	f.StringSliceVar(&o.onNotify, "on-notify", []string{outSlack, outSMTP}, "`OUTPUT` that gets only alerts that a policy sends there by \"notify\", repeatable; none for none: "+strings.Join(outNames, ", "))
}

// open makes the outputs.
func (o *outputOptions) open(stdout io.Writer) (out guard.Outputs, err error) {
	for _, n := range o.onNotify {
		if !slices.Contains(outNames, n) && n != "none" {
			return out, usage.Errorf("--on-notify %s: no such output%s", n, suggestion(n, outNames))
		}
	}
	near, err := o.near(stdout)
	if err != nil {
		return out, err
	}
	// An output over HTTP tries once: the outbox repeats.
	far, err := o.far.open(-1)
	if err != nil {
		return out, err
	}
	out.Notified = map[string]alert.Output{}
	for _, n := range append(near, far...) {
		if o.far.mask {
			n.Output = alert.MaskOutput(n.Output)
		}
		if slices.Contains(o.onNotify, n.name) {
			out.Notified[n.name] = n.Output
			continue
		}
		out.All, out.Names = append(out.All, n.Output), append(out.Names, n.name)
	}
	return out, nil
}

// near makes the outputs on this host, and the receiver over HTTP.
func (o *outputOptions) near(stdout io.Writer) (out []namedOutput, err error) {
	shape, json := alert.Shape{ISO8601: o.iso8601}, alert.JSON()
	json.ISO8601 = o.iso8601
	if o.output == outputJSON {
		shape = json
	}
	if !o.quiet {
		out = append(out, namedOutput{outStdout, alert.NewWriter("standard output", stdout, shape)})
	}
	if o.file != "" {
		f := alert.NewFile(o.file, true, shape)
		if err := f.Reopen(); err != nil {
			return nil, usage.Errorf("--out-file: %v", err)
		}
		out = append(out, namedOutput{outFile, f})
	}
	if o.syslog {
		out = append(out, namedOutput{outSyslog, alert.NewSyslog("", alert.Shape{})})
	}
	if o.http != "" {
		h, err := alert.NewHTTP(alert.HTTPOptions{URL: o.http, Shape: json, UserAgent: "rollcage/" + version, Retries: -1, TLS: o.far.trust()})
		if err != nil {
			return nil, usage.Errorf("--out-http: %v", err)
		}
		out = append(out, namedOutput{outHTTP, h})
	}
	return out, nil
}

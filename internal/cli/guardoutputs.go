package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
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
	slack    string
	otlp     string
	smtp     alert.SMTPOptions
	nats     alert.NATSOptions
	password string // file with that of SMTP
	natsPass string // and of NATS
	tls      alert.TLSOptions
	onNotify []string
	reveal   bool
}

func (o *outputOptions) addFlags(f *pflag.FlagSet) {
	f.BoolVarP(&o.quiet, "quiet", "q", false, "no alerts on standard output")
	f.BoolVar(&o.iso8601, "time-iso-8601", false, "write times as date and time in UTC")
	f.StringVar(&o.file, "out-file", "", "append alerts as JSON to the `FILE` too; it is opened again on SIGUSR1")
	f.BoolVar(&o.syslog, "out-syslog", false, "write alerts to the system's log too")
	f.StringVar(&o.http, "out-http", "", "post alerts as JSON to the `URL` too, as falcosidekick takes them")
	f.StringVar(&o.slack, "out-slack", "", "post to the incoming webhook of Slack or the like at the `URL`")
	f.StringVar(&o.otlp, "out-otlp", "", "send alerts as OpenTelemetry logs to the collector at the `URL` (OTLP over HTTP)")
	f.StringVar(&o.smtp.Address, "out-smtp", "", "send mail through the server at `HOST:PORT`")
	f.StringVar(&o.smtp.From, "out-smtp-from", "", "`ADDRESS` that mail is from")
	f.StringSliceVar(&o.smtp.To, "out-smtp-to", nil, "`ADDRESS` that mail is for, repeatable")
	f.StringVar(&o.smtp.Encryption, "out-smtp-encryption", "starttls", "starttls (required of the server), tls (from the first byte) or none")
	f.StringVar(&o.smtp.Username, "out-smtp-user", "", "`NAME` to log in with")
	f.StringVar(&o.password, "out-smtp-password-file", "", "`FILE` with the password")
	f.StringVar(&o.nats.URL, "out-nats", "", "publish alerts as JSON at the NATS server at the `URL`, nats://HOST:4222")
	f.StringVar(&o.nats.Subject, "out-nats-subject", "rollcage.alerts", "`SUBJECT` to publish on")
	f.BoolVar(&o.nats.JetStream, "out-nats-jetstream", false, "wait until a stream has each alert")
	f.StringVar(&o.nats.Credentials, "out-nats-credentials", "", "`FILE` with a user's JWT and key")
	f.StringVar(&o.nats.Username, "out-nats-user", "", "`NAME` to log in with")
	f.StringVar(&o.natsPass, "out-nats-password-file", "", "`FILE` with the password")
	f.StringVar(&o.tls.CACert, "out-ca", "", "PEM `FILE` with certificates of authorities that all outputs trust besides the system's")
	f.StringVar(&o.tls.ClientCert, "out-cert", "", "PEM `FILE` with a certificate that is presented to receivers")
	f.StringVar(&o.tls.ClientKey, "out-key", "", "PEM `FILE` with its key")
	f.StringSliceVar(&o.onNotify, "on-notify", []string{outSlack, outSMTP}, "`OUTPUT` that gets only alerts that a policy sends there by \"notify\", repeatable: "+strings.Join(outNames, ", "))
	f.BoolVar(&o.reveal, "reveal-secrets", false, "do not mask passwords, tokens and keys in what goes to the outputs")
}

// open makes the outputs.
func (o *outputOptions) open(stdout io.Writer) (out guard.Outputs, err error) {
	for _, n := range o.onNotify {
		if !slices.Contains(outNames, n) {
			return out, usage.Errorf("--on-notify %s: no such output%s", n, suggestion(n, outNames))
		}
	}
	out.Notified = map[string]alert.Output{}
	var errs []error
	add := func(name string, wanted bool, make func() (alert.Output, error)) {
		if !wanted {
			return
		}
		made, err := make()
		if err != nil {
			errs = append(errs, usage.Errorf("--out-%s: %v", name, err))
			return
		}
		if !o.reveal {
			made = alert.MaskOutput(made)
		}
		if slices.Contains(o.onNotify, name) {
			out.Notified[name] = made
			return
		}
		out.All, out.Names = append(out.All, made), append(out.Names, name)
	}
	json := alert.JSON()
	json.ISO8601 = o.iso8601
	add(outStdout, !o.quiet, func() (alert.Output, error) {
		shape := alert.Shape{ISO8601: o.iso8601}
		if o.output == outputJSON {
			shape = json
		}
		return alert.NewWriter("standard output", stdout, shape), nil
	})
	add(outFile, o.file != "", func() (alert.Output, error) {
		f := alert.NewFile(o.file, true, json)
		return f, f.Reopen()
	})
	add(outSyslog, o.syslog, func() (alert.Output, error) { return alert.NewSyslog("", alert.Shape{Output: true}), nil })
	add(outHTTP, o.http != "", func() (alert.Output, error) { return alert.NewHTTP(o.receiver(o.http, json)) })
	add(outSlack, o.slack != "", func() (alert.Output, error) { return alert.NewSlack(o.receiver(o.slack, json)) })
	add(outOTLP, o.otlp != "", func() (alert.Output, error) { return alert.NewOTLP(o.receiver(o.otlp, json)) })
	add(outSMTP, o.smtp.Address != "", o.mail)
	add(outNATS, o.nats.URL != "", func() (alert.Output, error) { return o.publish(json) })
	return out, errors.Join(errs...)
}

// receiver returns the options of an output over HTTP, which tries once: the outbox repeats.
func (o *outputOptions) receiver(url string, shape alert.Shape) alert.HTTPOptions {
	return alert.HTTPOptions{URL: url, Shape: shape, UserAgent: "rollcage/" + version, Retries: -1, TLS: o.tls}
}

func (o *outputOptions) mail() (_ alert.Output, err error) {
	m := o.smtp
	m.TLS = o.tls
	if m.Password, err = secret(o.password); err != nil {
		return nil, err
	}
	return alert.NewSMTP(m)
}

func (o *outputOptions) publish(shape alert.Shape) (_ alert.Output, err error) {
	n := o.nats
	n.Shape, n.TLS = shape, o.tls
	if n.Password, err = secret(o.natsPass); err != nil {
		return nil, err
	}
	return alert.NewNATS(n)
}

// secret reads a password from a file, without the line's end; "" for no file.
func secret(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("password: %w", err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

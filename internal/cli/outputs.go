package cli

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/pflag"

	"rollcage/internal/cli/usage"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/outbox"
)

// farOutputs are the receivers of alerts on other hosts, and the outbox in front of them.
type farOutputs struct {
	slack  string
	otlp   string
	nats   string
	smtp   alert.SMTPOptions
	outbox string
	mask   bool
	tls    alert.TLSOptions // of all that speak TLS
}

func (o *farOutputs) addFlags(f *pflag.FlagSet) {
	o.addReceiverFlags(f)
	f.StringVar(&o.outbox, "outbox", "", "keep alerts in the `FOLDER` until all outputs but standard output have them, also over restarts")
}

// addReceiverFlags adds the flags without that of the outbox.
func (o *farOutputs) addReceiverFlags(f *pflag.FlagSet) {
	f.StringVar(&o.slack, "out-slack", "", "post alerts to the incoming webhook at the `URL`, of Slack or what takes the same form")
	f.StringVar(&o.otlp, "out-otlp", "", "send alerts as OpenTelemetry logs to the `URL`, as http://127.0.0.1:4318/v1/logs")
	f.StringVar(&o.nats, "out-nats", "", "publish alerts as JSON to the NATS server and subject in the `URL`, as nats://127.0.0.1:4222/alerts; with ?jetstream wait until a stream has them")
	f.StringVar(&o.smtp.Address, "out-smtp", "", "send alerts as mail through the server at `HOST:PORT`")
	f.StringVar(&o.smtp.Encryption, "smtp-encryption", alert.SMTPStartTLS, "starttls, tls or none")
	f.StringVar(&o.smtp.From, "smtp-from", "", "`ADDRESS` of the sender")
	f.StringSliceVar(&o.smtp.To, "smtp-to", nil, "`ADDRESS` of a recipient, repeatable")
	f.StringVar(&o.smtp.Username, "smtp-user", "", "`NAME` to log in with")
	f.StringVar(&o.smtp.Password, "smtp-password", "", "and password; better in ROLLCAGE_SMTP_PASSWORD or the configuration, as all users see command lines")
	f.StringVar(&o.tls.CACert, "out-ca", "", "trust the certificate authorities in the PEM `FILE` too, beside the system's, for receivers over HTTP, NATS and SMTP")
	f.StringVar(&o.tls.ClientCert, "out-cert", "", "prove to them who this is by the certificate in the PEM `FILE`")
	f.StringVar(&o.tls.ClientKey, "out-key", "", "its private key, if the `FILE` is another one")
	f.BoolVar(&o.mask, "mask", true, "hide passwords, tokens and keys in alerts")
}

// add appends the outputs that were asked for.
func (o *farOutputs) add(out []alert.Output, retries int) ([]alert.Output, error) {
	far, err := o.open(retries)
	for _, f := range far {
		out = append(out, f.Output)
	}
	return out, err
}

// namedOutput is an output with the name by which policies call it.
type namedOutput struct {
	name string
	alert.Output
}

// open makes the outputs that were asked for.
func (o *farOutputs) open(retries int) (out []namedOutput, err error) {
	http := func(url string) alert.HTTPOptions {
		return alert.HTTPOptions{URL: url, UserAgent: "rollcage/" + version, Retries: retries, TLS: o.trust()}
	}
	mail := o.smtp
	mail.TLS = o.trust()
	for _, f := range []struct {
		name   string
		wanted bool
		make   func() (alert.Output, error)
	}{
		{outSlack, o.slack != "", func() (alert.Output, error) { return alert.NewSlack(http(o.slack)) }},
		{outOTLP, o.otlp != "", func() (alert.Output, error) { return alert.NewOTLP(http(o.otlp)) }},
		{outNATS, o.nats != "", func() (alert.Output, error) { return natsOutput(o.nats, o.trust()) }},
		{outSMTP, o.smtp.Address != "", func() (alert.Output, error) { return alert.NewSMTP(mail) }},
	} {
		if !f.wanted {
			continue
		}
		made, err := f.make()
		if err != nil {
			return nil, usage.Errorf("--out-%s: %v", f.name, err)
		}
		out = append(out, namedOutput{f.name, made})
	}
	return out, nil
}

// trust returns whom receivers must be certified by, and how we prove who we are.
func (o *farOutputs) trust() alert.TLSOptions {
	t := o.tls
	if t.ClientKey == "" {
		t.ClientKey = t.ClientCert
	}
	return t
}

// natsOutput makes an output of a URL whose path is the subject.
func natsOutput(text string, trust alert.TLSOptions) (*alert.NATS, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	subject := strings.Trim(u.Path, "/")
	if subject == "" {
		return nil, fmt.Errorf("%q has no subject; want nats://host:4222/subject", text)
	}
	opts := alert.NATSOptions{Subject: subject, Shape: alert.JSON(), JetStream: u.Query().Has("jetstream"), TLS: trust}
	if u.User != nil {
		opts.Username = u.User.Username()
		opts.Password, _ = u.User.Password()
	}
	u.User, u.Path, u.RawQuery = nil, "", ""
	opts.URL = u.String()
	return alert.NewNATS(opts)
}

// wrap hides secrets and puts the outbox in front of all outputs but the first direct ones.
func (o *farOutputs) wrap(out []alert.Output, direct int) ([]alert.Output, error) {
	if o.mask {
		for i := range out {
			out[i] = alert.MaskOutput(out[i])
		}
	}
	if o.outbox == "" || len(out) == direct {
		return out, nil
	}
	box, err := outbox.Open(o.outbox, outbox.Options{})
	if err != nil {
		return nil, fmt.Errorf("--outbox: %w", err)
	}
	d, err := outbox.NewDelivery(box, out[direct:], outbox.DeliveryOptions{})
	if err != nil {
		box.Close()
		return nil, fmt.Errorf("--outbox: %w", err)
	}
	return append(out[:direct:direct], outbox.NewInlet(box, d, flushTime/2)), nil
}

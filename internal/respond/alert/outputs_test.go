package alert

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcage/internal/detect/rule"
)

func TestMailIsEncryptedAndLoggedInAsTheOptionsSay(t *testing.T) {
	_, certFile, keyFile := clientPair(t)
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	tests := []struct {
		name   string
		server *mailServer
		opts   SMTPOptions
		want   string // an error, "" for none
	}{
		{"encrypted and logged in", &mailServer{tls: config, login: "me\x00secret"}, SMTPOptions{Username: "me", Password: "secret"}, ""},
		{"a wrong password", &mailServer{tls: config, login: "me\x00secret"}, SMTPOptions{Username: "me", Password: "x"}, "535"},
		{"a server without STARTTLS", &mailServer{}, SMTPOptions{}, "does not offer STARTTLS"},
		{"a login that is missing", &mailServer{tls: config, login: "me\x00secret"}, SMTPOptions{}, "530"},
		{"a mail that is refused", &mailServer{tls: config, answer: "554 spam"}, SMTPOptions{}, "refuses the alert"},
		{"a mail that is put off", &mailServer{tls: config, answer: "451 later"}, SMTPOptions{}, "451"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.opts.Address, tt.opts.From, tt.opts.To = serveMail(t, tt.server), "Rollcage <r@example.org>", []string{"a@example.org", "b@example.org"}
			tt.opts.TLS.Insecure = true
			o, err := NewSMTP(tt.opts)
			if err != nil {
				t.Fatal(err)
			}
			err = o.Send(t.Context(), sample())
			if (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want …%s…", err, tt.want)
			}
			if refused := errors.Is(err, ErrRefused); refused != strings.Contains(tt.want, "refuses") {
				t.Errorf("refused: %v", refused)
			}
		})
	}
	// A certificate that nobody vouches for is not trusted.
	o, err := NewSMTP(SMTPOptions{Address: serveMail(t, &mailServer{tls: config}), From: "r@x", To: []string{"a@x"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Send(t.Context(), sample()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
}

func TestMailHoldsSeveralAlertsAndNoHeaderOfAnAttacker(t *testing.T) {
	s := &mailServer{}
	o, err := NewSMTP(SMTPOptions{Address: serveMail(t, s), Encryption: SMTPPlain, From: "r@example.org", To: []string{"a@example.org"}})
	if err != nil {
		t.Fatal(err)
	}
	a, b := sample(), sample()
	a.ID, b.ID = "id-1", "id-2"
	b.Priority, b.Rule, b.Message = rule.Critical, "Evil\r\nBcc: x@example.org", ".\r\nend\r\n.\r\n"
	if err := o.SendBatch(t.Context(), []*Alert{a, b}); err != nil {
		t.Fatal(err)
	}
	m := s.mails[0]
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || m.Header.Get("Bcc") != "" || !strings.Contains(subject, "Critical: Evil") || !strings.HasSuffix(subject, "and 1 more") {
		t.Errorf("%+v", m.Header)
	}
	if m.Header.Get("Message-ID") != "<id-1.id-2@rollcage>" {
		t.Errorf("message id %s", m.Header.Get("Message-ID"))
	}
	if len(s.mails) != 1 || !strings.Contains(s.bodies[0], "id id-1") || !strings.Contains(s.bodies[0], "end") {
		t.Errorf("%q", s.bodies)
	}
}

func TestOutputsRefuseOptionsThatCannotWork(t *testing.T) {
	mail := func(o SMTPOptions) error { _, err := NewSMTP(o); return err }
	natsErr := func(o NATSOptions) error { _, err := NewNATS(o); return err }
	_, slackErr := NewSlack(HTTPOptions{URL: "ftp://x"})
	_, otlpErr := NewOTLP(HTTPOptions{})
	for name, err := range map[string]error{
		"no port": mail(SMTPOptions{Address: "x"}), "no sender": mail(SMTPOptions{Address: "x:25"}),
		"no recipient":       mail(SMTPOptions{Address: "x:25", From: "a@b"}),
		"a bad recipient":    mail(SMTPOptions{Address: "x:25", From: "a@b", To: []string{"a\r\nb"}}),
		"another encryption": mail(SMTPOptions{Address: "x:25", From: "a@b", To: []string{"a@b"}, Encryption: "rot13"}),
		"no subject":         natsErr(NATSOptions{URL: "nats://x"}), "slack": slackErr, "otlp": otlpErr,
		"a missing certificate": natsErr(NATSOptions{URL: "nats://x", Subject: "s", TLS: TLSOptions{CACert: "/nowhere"}}),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSlackEscapesWhatWouldBeALinkOrAMention(t *testing.T) {
	a := sample()
	a.Message, a.Rule = "<!channel> & <http://x|y>", "r<b>"
	body := string(slackBody(a))
	var m map[string]any
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatal(err)
	}
	text := m["attachments"].([]any)[0].(map[string]any)["text"].(string)
	if !strings.HasSuffix(text, "&lt;!channel&gt; &amp; &lt;http://x|y&gt;") || m["text"] != "Warning: r&lt;b&gt;" {
		t.Errorf("%s", body)
	}
	o, err := NewSlack(HTTPOptions{URL: "https://hooks.slack.com/services/T0/B0/secret"})
	if err != nil {
		t.Fatal(err)
	}
	if n := o.Name(); strings.Contains(n, "secret") || !strings.HasPrefix(n, "slack hooks.slack.com ") {
		t.Errorf("name %q", n)
	}
}

func TestOTLPRecordsHaveWhatTheDataModelAsksFor(t *testing.T) {
	a, b := sample(), sample()
	a.ID, b.Hostname, b.Priority = "id-1", "other", rule.Emergency
	a.Fields = append(a.Fields, Field{"list", []byte(`["x",1]`)}, Field{"float", []byte("1.5")}, Field{"yes", []byte("true")})
	body := string(otlpBody([]*Alert{a, b}))
	for _, want := range []string{
		`"timeUnixNano":"1700000000123456789"`, `"severityNumber":13,"severityText":"Warning"`, `"severityNumber":21`,
		`{"key":"service.name","value":{"stringValue":"rollcage"}}`, `{"key":"host.name","value":{"stringValue":"other"}}`,
		`{"key":"log.record.uid","value":{"stringValue":"id-1"}}`, `{"key":"fd.num","value":{"intValue":"3"}}`,
		`{"key":"float","value":{"doubleValue":1.5}}`, `{"key":"yes","value":{"boolValue":true}}`,
		`{"key":"list","value":{"arrayValue":{"values":[{"stringValue":"x"},{"intValue":"1"}]}}}`, `{"key":"proc.name","value":{"stringValue":"bash"}}`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is missing in %s", want, body)
		}
	}
	if strings.Contains(body, `"fd.name"`) {
		t.Error("a value that is missing is sent")
	}
}

func TestOTLPRecordsThatTheCollectorRejectsAreRefused(t *testing.T) {
	for answer, refused := range map[string]bool{
		`{}`: false, ``: false, `{"partialSuccess":{}}`: false, `{"partialSuccess":{"errorMessage":"mind you"}}`: false,
		`{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"no"}}`: true, `{"partialSuccess":{"rejectedLogRecords":2}}`: true,
	} {
		if err := otlpCheck([]byte(answer)); errors.Is(err, ErrRefused) != refused {
			t.Errorf("%s: %v", answer, err)
		}
	}
}

func TestOTLPSendsABatchAsOneRequest(t *testing.T) {
	url, requests := serve(t, always(http.StatusOK))
	o, err := NewOTLP(HTTPOptions{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if err := o.SendBatch(t.Context(), []*Alert{sample(), sample()}); err != nil {
		t.Fatal(err)
	}
	if len(*requests) != 1 || len(otlpLines(t, (*requests)[0].body)) != 2 || (*requests)[0].header.Get("Content-Type") != "application/json" {
		t.Errorf("%d requests", len(*requests))
	}
}

func TestJetStreamDropsDoubles(t *testing.T) {
	s := natsServer(t, filepath.Join(t.TempDir(), "js"), -1)
	conn, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "alerts", Subjects: []string{"alerts"}})
	if err != nil {
		t.Fatal(err)
	}
	o, err := NewNATS(NATSOptions{URL: s.ClientURL(), Subject: "alerts", JetStream: true, Shape: JSON()})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	for n := range 6 {
		a := sample()
		a.ID = fmt.Sprint("id-", n/2)
		if err := o.Send(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	info, err := stream.Info(t.Context())
	if err != nil || info.State.Msgs != 3 {
		t.Errorf("%d messages, %v", info.State.Msgs, err)
	}
	// Without a stream for the subject nobody keeps the alert, which is an error.
	lost, err := NewNATS(NATSOptions{URL: s.ClientURL(), Subject: "nobody", JetStream: true})
	if err != nil {
		t.Fatal(err)
	}
	defer lost.Close()
	if err := lost.Send(t.Context(), sample()); err == nil {
		t.Error("no error")
	}
}

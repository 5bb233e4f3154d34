package alert

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"

	"rollcage/internal/detect/rule"
)

// Slack posts alerts to an incoming webhook of Slack, or of what takes the
// same form, as Mattermost and Rocket.Chat do.
type Slack struct {
	*HTTP
	name string
}

// NewSlack returns an output that posts to opts.URL. The Shape is not used.
func NewSlack(opts HTTPOptions) (*Slack, error) {
	h, err := NewHTTP(opts)
	if err != nil {
		return nil, err
	}
	h.body = slackBody
	u, err := url.Parse(opts.URL)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(opts.URL))
	return &Slack{h, "slack " + u.Host + " " + hex.EncodeToString(sum[:4])}, nil
}

// Name returns "slack", the host, and a hash by which webhooks are told apart:
// the path of the URL is a secret.
func (o *Slack) Name() string { return o.name }

// slackColors are those of the bar beside a message, by priority.
var slackColors = [...]string{
	rule.Emergency: "#7b1fa2", rule.Alert: "#7b1fa2", rule.Critical: "#c62828", rule.Error: "#e53935",
	rule.Warning: "#fb8c00", rule.Notice: "#1e88e5", rule.Informational: "#1e88e5", rule.Debug: "#9e9e9e",
}

// slackEscape makes text of the characters by which Slack marks links and mentions.
var slackEscape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// maxSlackText is how much of a text Slack takes, with room for the escapes.
const maxSlackText = 3000

func slackText(s string) string {
	if len(s) > maxSlackText {
		s = strings.ToValidUTF8(s[:maxSlackText], "") + "…"
	}
	return slackEscape.Replace(s)
}

func slackBody(a *Alert) []byte {
	type field struct {
		Title string `json:"title"`
		Value string `json:"value"`
		Short bool   `json:"short"`
	}
	type attachment struct {
		Color    string  `json:"color"`
		Fallback string  `json:"fallback"`
		Text     string  `json:"text"`
		Fields   []field `json:"fields,omitempty"`
		Footer   string  `json:"footer,omitempty"`
		TS       int64   `json:"ts"`
	}
	text := slackText(string(Shape{ISO8601: true}.Append(nil, a)))
	att := attachment{Fallback: text, Text: text, TS: a.Time.Unix(), Footer: slackText(a.ID), Color: slackColors[min(int(a.Priority), len(slackColors)-1)]}
	for _, f := range []field{
		{"Rule", a.Rule, true}, {"Priority", a.Priority.String(), true}, {"Host", a.Hostname, true}, {"Tags", strings.Join(a.Tags, ", "), true},
	} {
		if f.Value != "" {
			f.Value = slackText(f.Value)
			att.Fields = append(att.Fields, f)
		}
	}
	body, err := json.Marshal(map[string]any{
		"text": slackText(a.Priority.String() + ": " + a.Rule), "username": "Rollcage", "attachments": []attachment{att},
	})
	if err != nil {
		return nil // texts and numbers alone: cannot be
	}
	return body
}

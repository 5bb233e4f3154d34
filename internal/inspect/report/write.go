package report

import (
	"crypto/sha256"
	_ "embed" // the page and its style
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"
	"unicode"
)

//go:embed report.html
var page string

//go:embed report.css
var style string

// Policy is the content-security policy of a report: its own style, and nothing
// else. The file has it too.
var Policy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
}()

var parsed = template.Must(template.New("report").Funcs(template.FuncMap{
	"style":  func() template.HTML { return template.HTML("<style>" + style + "</style>") }, // #nosec: a constant of the program
	"policy": func() string { return Policy },
	"at":     stamp, "day": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"seen": visible, "bytes": size, "started": started, "lower": strings.ToLower,
}).Parse(page))

// Write writes the report. Times are in UTC.
func (r *Report) Write(w io.Writer) error {
	if err := parsed.Execute(w, r); err != nil {
		return fmt.Errorf("report of incident %s: %w", r.Summary.ID, err)
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000") }

func started(ns uint64) string {
	if ns == 0 {
		return ""
	}
	return stamp(time.Unix(0, int64(ns)))
}

func size(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}

// visible shows what would act instead of being read: control characters, and
// marks that turn text around. Line ends stay.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r < ' ':
			return 0x2400 + r
		case r == 0x7f:
			return 0x2421
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

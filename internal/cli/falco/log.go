package falco

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"log/syslog"
	"strings"
	"sync"
	"time"
)

// severity is the importance of a log line, in the numbers of syslog.
type severity int

const (
	logEmergency severity = iota
	logAlert
	logCritical
	logError
	logWarning
	logNotice
	logInfo
	logDebug
)

var severityNames = []string{"emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"}

func parseSeverity(s string) (severity, bool) {
	for i, name := range severityNames {
		if strings.EqualFold(s, name) || i == int(logInfo) && strings.EqualFold(s, "informational") {
			return severity(i), true
		}
	}
	return 0, false
}

// logger writes about the run: to standard error and to the system's log. It may be used by many goroutines.
type logger struct {
	mu     sync.Mutex
	stderr io.Writer // nil for none
	syslog *syslog.Writer
	level  severity
	iso    bool
	now    func() time.Time
}

const (
	logTime    = time.ANSIC
	logTimeISO = "2006-01-02T15:04:05-0700"
)

// newLogger returns a logger as the configuration wants it. That the system's
// log cannot be reached is no error: there may be none.
func newLogger(c *config, stderr io.Writer) *logger {
	l := &logger{level: c.logLevel, iso: c.iso8601, now: time.Now}
	if c.logStderr {
		l.stderr = stderr
	}
	if c.logSyslog {
		if w, err := syslog.New(syslog.LOG_USER|syslog.LOG_INFO, "falco"); err == nil {
			l.syslog = w
		}
	}
	return l
}

func (l *logger) logf(s severity, format string, args ...any) {
	if s > l.level {
		return
	}
	text := strings.TrimRight(fmt.Sprintf(format, args...), "\n")
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stderr != nil {
		at := l.now().Format(logTime)
		if l.iso {
			at = l.now().UTC().Format(logTimeISO)
		}
		fmt.Fprintf(l.stderr, "%s: %s\n", at, text)
	}
	if l.syslog != nil {
		_ = l.toSyslog(s, text)
	}
}

func (l *logger) toSyslog(s severity, text string) error {
	write := []func(string) error{
		l.syslog.Emerg, l.syslog.Alert, l.syslog.Crit, l.syslog.Err, l.syslog.Warning, l.syslog.Notice, l.syslog.Info, l.syslog.Debug,
	}
	return write[s](text)
}

func (l *logger) close() {
	if l.syslog != nil {
		_ = l.syslog.Close()
	}
}

// slog returns a logger for the rest of Rollcage.
func (l *logger) slog() *slog.Logger { return slog.New(slogHandler{to: l}) }

// slogHandler passes records of log/slog on to a logger.
type slogHandler struct {
	to    *logger
	attrs []slog.Attr
	group string
}

func (h slogHandler) Enabled(_ context.Context, level slog.Level) bool {
	return slogSeverity(level) <= h.to.level
}

func (h slogHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Message)
	add := func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %s%s=%v", h.group, a.Key, a.Value)
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	h.to.logf(slogSeverity(r.Level), "%s", b.String())
	return nil
}

func (h slogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.attrs = append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)
	return h
}

func (h slogHandler) WithGroup(name string) slog.Handler {
	h.group += name + "."
	return h
}

func slogSeverity(l slog.Level) severity {
	switch {
	case l >= slog.LevelError:
		return logError
	case l >= slog.LevelWarn:
		return logWarning
	case l >= slog.LevelInfo:
		return logInfo
	}
	return logDebug
}

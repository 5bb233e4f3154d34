package cli

import (
	"log/slog"
	"os"
	"rollcage/internal/cli/usage"
)

// setUpLog makes the default logger write text to standard error.
func setUpLog(level string) error {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return usage.Errorf("--log-level %s: want debug, info, warn or error", level)
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l})))
	return nil
}

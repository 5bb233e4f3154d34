package cli

import (
	"context"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"rollcage/internal/respond/guard"
)

// notifySystemd tells a service manager when detection works for the first
// time, and again and again while it does; when it does not for long, the manager starts guard anew.
func notifySystemd(ctx context.Context, g *guard.Guard) {
	if err := g.AwaitHealthy(ctx); err != nil {
		return
	}
	notify(daemon.SdNotifyReady + "\nSTATUS=detection works")
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		slog.Warn("the watchdog of the service manager", "error", err)
	}
	if every <= 0 {
		every = time.Minute
	}
	tick := time.NewTicker(every / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			notify(daemon.SdNotifyStopping)
			return
		case <-tick.C:
		}
		if h := g.Agent().Health(); h.OK {
			notify(daemon.SdNotifyWatchdog + "\nSTATUS=detection works")
		} else {
			notify("STATUS=nothing is detected: " + h.Why)
		}
	}
}

func notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		slog.Warn("the service manager cannot be told", "error", err)
	}
}

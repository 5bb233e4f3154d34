package agent

import (
	"context"
	"errors"
	"strconv"
	"time"

	"rollcage/internal/detect/rule"
	"rollcage/internal/respond/alert"
)

// ReloadRule is the name of the alert that new rules could not be put in place.
const ReloadRule = "Rollcage internal: rules not reloaded"

// Reload loads rules by calling load and swaps them in, see [Agent.Swap]. When
// that fails the rules at work go on, which is logged and raised as an alert;
// why says what the reload was for. The calls of load do not overlap.
func (a *Agent) Reload(ctx context.Context, why string, load func() (*Rules, error)) error {
	a.reloadMu.Lock()
	defer a.reloadMu.Unlock()
	begun := time.Now()
	r, err := load()
	if err == nil {
		r.awaitHosts(ctx)
		err = a.Swap(ctx, r)
	}
	switch {
	case err == nil:
		a.reloads.Add(1)
		a.reloaded.Store(time.Now().UnixNano())
		a.opts.Log.Info("rules reloaded", "why", why, "rules", r.Len(), "took", time.Since(begun).Round(time.Millisecond))
	case errors.Is(err, ErrEnded), ctx.Err() != nil: // nobody is left to be told
	default:
		a.reloadsFailed.Add(1)
		n := a.working.Load().Len()
		a.opts.Log.Error("the rules could not be reloaded, those from before stay in force", "why", why, "rules", n, "error", err)
		a.Send(alert.Internal(time.Now(), ReloadRule, rule.Error,
			"The rules could not be reloaded; those from before stay in force: "+err.Error(),
			map[string]string{"why": why, "error": err.Error(), "rules": strconv.Itoa(n)}))
	}
	return err
}

// hostsPatience is how long new rules are held back until the names of hosts in them are looked up.
const hostsPatience = 5 * time.Second

// awaitHosts waits for the addresses of the names in the conditions: rules
// that lack them would miss what the ones before them saw.
func (r *Rules) awaitHosts(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, hostsPatience)
	defer cancel()
	r.engine.AwaitHosts(ctx)
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"reflect"
	"sync"
	"syscall"
	"time"

	"rollcage/internal/detect/rule"
	"rollcage/internal/respond/agent"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/guard"
)

// guardReloader puts other rules, policies and outputs in the place of those of a guard that runs.
type guardReloader struct {
	guard          *guard.Guard
	opts           *guardOptions // those at work
	read           func() (*guardOptions, error)
	stdout, stderr io.Writer
	stop           context.CancelFunc
	mu             sync.Mutex // one reload at a time
}

// run reloads on SIGHUP, and when files change if that is asked for, until ctx ends.
func (r *guardReloader) run(ctx context.Context) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	changed := make(chan struct{}, 1)
	paths := append(r.opts.detect.watched(), r.opts.policies.policies...)
	if r.opts.watch && len(paths) > 0 {
		err := agent.Watch(ctx, paths, func() {
			select {
			case changed <- struct{}{}:
			default: // one waits already, and will read what is there then
			}
		})
		if err != nil {
			slog.Warn("files are read again on SIGHUP only", "error", err)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-hup:
			if terminalGone() {
				r.stop()
				return
			}
		}
		_ = r.reload(ctx) // what went wrong is logged and raised as an alert
	}
}

// reload reads everything again. What is not right leaves what is at work there.
func (r *guardReloader) reload(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	opts, err := r.read()
	if err != nil {
		return r.refuse("configuration", err)
	}
	var errs []error
	if err := r.guard.Agent().Reload(ctx, "files changed", func() (*agent.Rules, error) { return opts.detect.rules(r.stderr) }); err != nil {
		errs = append(errs, fmt.Errorf("rules: %w", err)) // told already
	}
	r.guard.RulesChanged()
	set, err := opts.policySet(r.stderr)
	if err == nil {
		err = fastProblems(r.stderr, set, r.guard.Agent().Running())
	}
	if err == nil {
		err = r.guard.SetPolicies(set)
	}
	if err != nil {
		errs = append(errs, r.refuse("policies", err))
	}
	if !reflect.DeepEqual(opts.outputs, r.opts.outputs) {
		if err := r.outputs(ctx, opts); err != nil {
			errs = append(errs, r.refuse("outputs", err))
		} else {
			r.opts.outputs = opts.outputs
		}
	}
	if len(errs) == 0 {
		slog.Info("rules, policies and outputs were read again")
	}
	return errors.Join(errs...)
}

// outputs replaces the outputs. Alerts wait in the outbox meanwhile.
func (r *guardReloader) outputs(ctx context.Context, opts *guardOptions) error {
	outputs, err := opts.outputs.open(r.stdout)
	if err != nil {
		return err
	}
	if err := r.setOutputs(ctx, outputs); err != nil {
		// Those before are closed. They are made anew, so that alerts go somewhere.
		before, berr := r.opts.outputs.open(r.stdout)
		if berr == nil {
			berr = r.setOutputs(ctx, before)
		}
		return errors.Join(err, berr)
	}
	return nil
}

func (r *guardReloader) setOutputs(ctx context.Context, o guard.Outputs) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return r.guard.SetOutputs(ctx, o)
}

// refuse tells that something was not taken up.
func (r *guardReloader) refuse(what string, err error) error {
	slog.Error("not reloaded; what was at work goes on", "what", what, "error", err)
	r.guard.Agent().Send(alert.Internal(time.Now(), agent.ReloadRule, rule.Error,
		fmt.Sprintf("The %s could not be taken up, those before go on: %v", what, err), map[string]string{"what": what, "error": err.Error()}))
	return fmt.Errorf("%s: %w", what, err)
}

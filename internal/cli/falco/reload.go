package falco

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"rollcage/internal/detect/rule"
	"rollcage/internal/respond/agent"
	"rollcage/internal/respond/alert"
)

// restartRule is the name of the alert that a changed configuration was not taken over.
const restartRule = "Falco internal: hot restart failure"

// watchFiles sends on changed when the configuration or the rules change.
func (r *run) watchFiles(ctx context.Context, changed chan<- struct{}) {
	if !r.config.watchFiles || r.engine == engineReplay {
		return
	}
	var paths []string
	for _, f := range r.files {
		paths = append(paths, f.path)
	}
	paths = append(paths, r.rulesPaths()...)
	err := agent.Watch(ctx, paths, func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	if err != nil {
		r.log.logf(logError, "%v", err)
	}
}

// restart reads configuration and rules again and puts them in the place of
// those at work. The source stays open and every event is judged by either,
// so nothing is missed meanwhile. When something is wrong all stays as it is.
func (r *run) restart(ctx context.Context) {
	r.log.logf(logInfo, "SIGHUP received, restarting...")
	if err := r.takeOver(ctx); err != nil && ctx.Err() == nil {
		r.log.logf(logError, "Falco has not been restarted, the state from before goes on: %v", err)
		r.send(alert.Internal(time.Now(), restartRule, rule.Critical, restartRule, map[string]string{"reason": err.Error()}))
	}
}

func (r *run) takeOver(ctx context.Context) error {
	next := &command{opts: r.opts, args: r.args, own: r.own, stdout: r.stdout, stderr: r.stderr}
	if _, err := next.loadConfig(); err != nil {
		return err
	}
	next.announce()
	loaded, err := next.loadRules()
	if err != nil {
		return err
	}
	rules, err := next.ready(loaded)
	if err != nil {
		return err
	}
	next.traced(rules)
	if next.engine != r.engine || next.captureFile != r.captureFile || next.snaplen != r.snaplen {
		next.log.logf(logWarning, "a change of engine or falco_libs counts from the next start on")
	}
	outputs, err := next.openOutputs(r.live())
	if err != nil {
		return err
	}
	r.serving.stop()
	serving, err := r.serve(next, outputs)
	if err == nil {
		err = r.agent.Reload(ctx, "configuration", func() (*agent.Rules, error) { return rules, nil })
	}
	if err != nil {
		serving.stop()
		var again error
		if r.serving, again = r.serve(r.current, r.outputs.get()); again != nil {
			r.log.logf(logError, "%v", again)
		}
		return errors.Join(err, outputs.close(ctx))
	}
	r.serving = serving
	old := r.outputs.swap(outputs)
	flush, cancel := r.flushContext(ctx)
	defer cancel()
	if err := old.close(flush); err != nil {
		next.log.logf(logError, "%v", err)
	}
	r.current = next
	slog.SetDefault(next.log.slog())
	return nil
}

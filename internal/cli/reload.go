package cli

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"rollcage/internal/respond/agent"
)

// reloader puts other rules in place of those of a detect that runs.
type reloader struct {
	opts   *detectOptions
	agent  *agent.Agent
	stderr io.Writer
	stop   context.CancelFunc // ends detect
}

// run reloads on SIGHUP, and when the files of rules or configuration change
// if that is asked for, until ctx ends.
func (r *reloader) run(ctx context.Context) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	changed := make(chan struct{}, 1)
	if paths := r.opts.watched(); r.opts.watchRules && len(paths) > 0 {
		err := agent.Watch(ctx, paths, func() {
			select {
			case changed <- struct{}{}:
			default: // one waits already, and will read what is there then
			}
		})
		if err != nil {
			slog.Warn("rules are reloaded on SIGHUP only", "error", err)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
			r.reload(ctx, "files changed")
		case <-hup:
			if terminalGone() {
				r.stop()
				return
			}
			r.reload(ctx, "SIGHUP")
		}
	}
}

func (r *reloader) reload(ctx context.Context, why string) {
	// What went wrong is logged and raised as an alert.
	_ = r.agent.Reload(ctx, why, func() (*agent.Rules, error) {
		opts, err := r.opts.again()
		if err != nil {
			return nil, err
		}
		return opts.rules(r.stderr)
	})
}

// terminalGone reports whether standard output was a terminal that is closed
// by now. Then SIGHUP means an end, as it does for other commands.
func terminalGone() bool {
	_, err := unix.IoctlGetTermios(int(os.Stdout.Fd()), unix.TCGETS)
	return errors.Is(err, unix.EIO)
}

// watched returns the files that say which rules run.
func (o *detectOptions) watched() []string {
	if o.config == "" {
		return o.paths
	}
	return append([]string{o.config}, o.paths...)
}

// rereadDetectOptions returns the options as they would be if the command was
// started now: those of the command line stay, configuration is read again.
// Only those that say which rules run are for use: the source stays open.
func rereadDetectOptions(cmd *cobra.Command) (*detectOptions, error) {
	var opts detectOptions
	now := &cobra.Command{}
	opts.addFlags(now)
	return &opts, rereadFlags(cmd, now.Flags(), &opts.config)
}

// rereadFlags sets the flags of a command that is like cmd as they would be if it was
// started now, and config to the configuration's file.
func rereadFlags(cmd *cobra.Command, now *pflag.FlagSet, config *string) error {
	var errs []error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if to := now.Lookup(f.Name); to != nil && f.Annotations[fromConfig] == nil {
			errs = append(errs, copyFlag(to, f))
		}
	})
	if f := cmd.Flags().Lookup("config"); f != nil {
		*config = f.Value.String()
		errs = append(errs, applyConfig(now, *config, f.Changed, os.LookupEnv))
	}
	return errors.Join(errs...)
}

func copyFlag(to, from *pflag.Flag) error {
	to.Changed = true
	if list, ok := from.Value.(pflag.SliceValue); ok {
		return to.Value.(pflag.SliceValue).Replace(list.GetSlice())
	}
	return to.Value.Set(from.Value.String())
}

// Package cli is the command line: one file for each command, which holds its
// options, its cobra command and what it runs.
//
// Results go to standard output, logs and errors to standard error. The exit
// code is 0 when the work is done, 1 when it failed, 2 for wrong usage and 3
// when the answer is "no": rules are invalid, a test failed.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"rollcage/internal/cli/usage"
)

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	exitNo     = 3
)

// errNo is returned by a command whose answer is "no"; what the user needs to
// know of it is printed already.
var errNo = errors.New("the answer is no")

// oneSignal is the time in which signals count as one: timeout(1) signals its
// child and then the whole process group, sudo relays what a terminal has sent
// already, so one wish to end often arrives twice.
const oneSignal = time.Second

// Main runs the command line and returns the exit code.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A later signal ends a program that the first one could not, for instance
	// while the reader of its output has stopped.
	context.AfterFunc(ctx, func() { time.AfterFunc(oneSignal, stop) })
	root := newRootCommand()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	var bad usage.Error
	var code exitCode
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &code):
		return int(code)
	case errors.Is(err, errNo):
		return exitNo
	case errors.As(err, &bad):
		fmt.Fprintf(os.Stderr, "%s: %v\nSee '%s --help'.\n", cmd.CommandPath(), err, cmd.CommandPath())
		return exitUsage
	default:
		fmt.Fprintf(os.Stderr, "%s: %v\n", cmd.CommandPath(), err)
		return exitFailed
	}
}

// globalOptions are those of every command.
type globalOptions struct {
	config   string
	logLevel string
}

func newRootCommand() *cobra.Command {
	var opts globalOptions
	root := &cobra.Command{
		Use:   "rollcage",
		Short: "Run-time safety for containers on Linux",
		Long: `Rollcage watches what containers and the host really do, judges it by rules, and raises an alert within a second.

Start with:  rollcage guard       guard this host: detect, record, act, keep the evidence
             rollcage detect      watch this host and print alerts
             rollcage observe     see events as they happen`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			var names []string
			for _, c := range cmd.Commands() {
				names = append(names, c.Name())
			}
			return usage.Errorf("unknown command %q%s", args[0], suggestion(args[0], names))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := applyConfig(cmd.Flags(), opts.config, cmd.Flags().Changed("config"), os.LookupEnv); err != nil {
				return err
			}
			return setUpLog(opts.logLevel)
		},
	}
	root.PersistentFlags().StringVar(&opts.config, "config", "/etc/rollcage/rollcage.yaml", "configuration `FILE`; need not exist")
	root.PersistentFlags().StringVar(&opts.logLevel, "log-level", "info", "least `LEVEL` that is logged: debug, info, warn, error")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage.Error{Err: err} })
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		newInspectCommand(),
		newObserveCommand(),
		newDetectCommand(),
		newGuardCommand(),
		newStatusCommand(),
		newIncidentsCommand(),
		newRulesCommand(),
		newFieldsCommand(),
		newEventsCommand(),
		newVersionCommand(),
		newTopCommand(),
		newCsysdigCommand(),
		newEvidenceCommand(),
		newTokenCommand(),
		newPolicyCommand(),
	)
	for _, d := range dropIns {
		root.AddCommand(d.command())
	}
	return root
}

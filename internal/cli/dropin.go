package cli

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"rollcage/internal/cli/falco"
	"rollcage/internal/cli/sysdig"
)

// dropIn is a command of others in whose place Rollcage can be put. It has
// its own command line, configuration and exit codes.
type dropIn struct {
	name, short, long, example string
	main                       func(ctx context.Context, args []string) int
}

var dropIns = []dropIn{
	{
		name: "falco", short: "Take the place of Falco: its command line, configuration and rules",
		long: `Take the place of Falco: accept the command line, configuration and rules of Falco 0.44 and print what it
prints. An executable or link named falco does the same. See docs/falco.md.`,
		example: "  rollcage falco -c /etc/falco/falco.yaml\n  rollcage falco -V my_rules.yaml",
		main: func(ctx context.Context, args []string) int {
			return falco.Main(ctx, args, os.Stdout, os.Stderr, version)
		},
	},
	{
		name: sysdig.Name, short: "See events with the command line and the chisels of sysdig",
		long: `See events, or record them, with the flags, formats and chisels of sysdig. An executable or link named
sysdig does the same. See docs/sysdig.md.`,
		example: "  rollcage sysdig -r trace.scap -p '%evt.time %proc.name %fd.name' evt.type=openat\n  rollcage sysdig -c topprocs_net",
		main: func(ctx context.Context, args []string) int {
			return sysdig.Main(ctx, args, os.Stdout, os.Stderr, version)
		},
	},
}

// exitCode is the error of a command that has told all and sets the code itself.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

func (d dropIn) command() *cobra.Command {
	return &cobra.Command{
		Use: d.name + " [OPTION ...]", Short: d.short, Long: d.long, Example: d.example,
		DisableFlagParsing: true,
		PersistentPreRunE:  func(*cobra.Command, []string) error { return nil }, // our own configuration is not for it
		RunE: func(cmd *cobra.Command, args []string) error {
			if code := d.main(cmd.Context(), args); code != 0 {
				return exitCode(code)
			}
			return nil
		},
	}
}

package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rollcage/internal/cli/usage"
	"rollcage/internal/respond/guard"
	"rollcage/internal/respond/guard/control"
)

func newIncidentsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "incidents",
		Short: "List and show incidents, and act on them",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usage.Errorf("unknown command %q%s", args[0], suggestion(args[0], []string{"list", "show", "act", "undo", "note"}))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	list, show := newEvidenceListCommand(), newEvidenceShowCommand()
	for _, c := range []*cobra.Command{list, show} {
		c.Example = strings.ReplaceAll(c.Example, "rollcage evidence", "rollcage incidents")
		ofTheGuard(c)
	}
	cmd.AddCommand(list, show, newIncidentsActCommand(), newIncidentsUndoCommand(), newIncidentsNoteCommand())
	return cmd
}

// ofTheGuard has a command about evidence take that of the guard that runs, wherever its state is.
func ofTheGuard(c *cobra.Command) {
	var run string
	addPlaceFlags(c.Flags(), nil, &run)
	c.Flags().Lookup("evidence").Usage = "`FOLDER` of the evidence; that of the guard at --run if it runs"
	c.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.Flags().Changed("evidence") {
			return nil
		}
		s, err := client(run).Status(cmd.Context())
		switch {
		case err == nil && s.State != "":
			return cmd.Flags().Set("evidence", guard.EvidenceDir(s.State))
		case cmd.Flags().Changed("run"):
			return err
		}
		return nil // no guard runs: what it left
	}
}

func newIncidentsActCommand() *cobra.Command {
	var run string
	var act control.Act
	cmd := &cobra.Command{
		Use:   "act INCIDENT ACTION [TARGET]",
		Short: "Do something about an incident",
		Long: `Do something about the container of an incident, or the process of its last alert: pause, unpause, stop, isolate,
release, capture, or kill process, tree or container. What may not be acted on is refused. It is in the incident and the audit log before
it is done. The action's ID is printed, by which 'incidents undo' takes pause and isolate back.`,
		Example: `  rollcage incidents act 20261124T135501Z-7f3a9c01 pause --undo-after 10m
  rollcage incidents act 20261124T135501Z-7f3a9c01 kill tree --dry-run
  rollcage incidents act 20261124T135501Z-7f3a9c01 capture --before 30s --after 10s`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 || len(args) > 3 {
				return usage.Errorf("want an incident and an action: pause, unpause, stop, kill, isolate, release, capture")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			act.Kind = args[1]
			if len(args) == 3 {
				act.Target = args[2]
			}
			id, err := client(run).Act(cmd.Context(), args[0], act)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), id)
			return nil
		},
	}
	f := cmd.Flags()
	addPlaceFlags(f, nil, &run)
	f.DurationVar(&act.For, "undo-after", 0, "take pause or isolate back after that `TIME`, 0 for never")
	f.DurationVar(&act.Before, "before", 30*time.Second, "how long before the last alert a capture begins")
	f.DurationVar(&act.After, "after", 0, "how long it goes on from now")
	f.DurationVar(&act.Timeout, "timeout", 0, "how long the action may take, 30 s if 0")
	f.BoolVar(&act.DryRun, "dry-run", false, "only record what would be done")
	return cmd
}

func newIncidentsUndoCommand() *cobra.Command {
	var run string
	cmd := &cobra.Command{
		Use:     "undo ACTION",
		Short:   "Take an action back that pauses or isolates a container",
		Example: "  rollcage incidents undo 8b13ae1c70d5f2e4",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage.Errorf("which action? 'rollcage status' lists those in force")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := client(run).Undo(cmd.Context(), args[0])
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), id)
			}
			return err
		},
	}
	addPlaceFlags(cmd.Flags(), nil, &run)
	return cmd
}

func newIncidentsNoteCommand() *cobra.Command {
	var run string
	cmd := &cobra.Command{
		Use:     "note INCIDENT TEXT",
		Short:   "Add a note to an incident",
		Example: "  rollcage incidents note 20261124T135501Z-7f3a9c01 'This was the test of Tuesday.'",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usage.Errorf("want an incident and a text")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return client(run).Note(cmd.Context(), args[0], args[1])
		},
	}
	addPlaceFlags(cmd.Flags(), nil, &run)
	return cmd
}

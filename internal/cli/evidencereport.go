package cli

import (
	"errors"
	"os"

	"github.com/spf13/cobra"

	"rollcage/internal/cli/usage"
	"rollcage/internal/inspect/report"
)

func newEvidenceReportCommand() *cobra.Command {
	var opts evidenceShowOptions
	var file string
	cmd := &cobra.Command{
		Use:   "report INCIDENT",
		Short: "Write a report of an incident as one HTML file that prints well",
		Long: `Write what is known of an incident as one HTML file: no script, no request to anywhere, fit to be printed and to be
sent to somebody without Rollcage. Passwords, tokens and keys are masked unless --reveal is given. That it was made is noted in the
audit log.`,
		Example: "  rollcage evidence report 20261124T135501Z-7f3a9c01 -w incident.html",
		Args:    oneIncident,
		RunE: func(_ *cobra.Command, args []string) error {
			if file == "" {
				return usage.Errorf("name the file with --write")
			}
			return runEvidenceReport(&opts, args[0], file)
		},
	}
	opts.addFlags(cmd, false)
	cmd.Flags().StringVarP(&file, "write", "w", "", "write the report to the `FILE`, which must not exist")
	cmd.Flags().BoolVar(&opts.reveal, "reveal", false, "show secrets too")
	return cmd
}

func runEvidenceReport(opts *evidenceShowOptions, id, file string) (err error) {
	act := "report"
	if opts.reveal {
		act = "reveal"
	}
	if err := opts.note(act, id, file); err != nil {
		return err
	}
	r, err := report.Read(opts.dir, id, opts.reveal)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err = errors.Join(r.Write(f), f.Close()); err != nil {
		_ = os.Remove(file)
	}
	return err
}

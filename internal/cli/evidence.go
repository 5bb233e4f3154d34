package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"rollcage/internal/cli/usage"
	"rollcage/internal/detect/rule"
	"rollcage/internal/respond/evidence"
)

// evidenceDir is where evidence is unless it is said otherwise.
const evidenceDir = "/var/lib/rollcage/evidence"

// evidenceOptions are those of all commands about evidence.
type evidenceOptions struct {
	dir    string
	output string
}

func newEvidenceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "evidence",
		Short: "List, show, verify, export and report incidents",
		Example: `  rollcage evidence list
  rollcage evidence show INCIDENT
  rollcage evidence verify`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usage.Errorf("unknown command %q%s", args[0], suggestion(args[0], []string{"list", "show", "verify", "rebuild", "export", "report"}))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newEvidenceListCommand(), newEvidenceShowCommand(), newEvidenceVerifyCommand(),
		newEvidenceRebuildCommand(), newEvidenceExportCommand(), newEvidenceReportCommand())
	return cmd
}

func (o *evidenceOptions) addFlags(cmd *cobra.Command, output bool) {
	cmd.Flags().StringVar(&o.dir, "evidence", evidenceDir, "`FOLDER` of the evidence")
	if output {
		addOutputFlag(cmd, &o.output)
	}
}

// note writes into the audit log that somebody looks. Evidence is not shown to who cannot be noted.
func (o *evidenceOptions) note(act, incident, detail string) error {
	if _, err := os.Stat(filepath.Join(o.dir, "incidents")); err != nil {
		return fmt.Errorf("no evidence in %s: %w", o.dir, err)
	}
	a, err := evidence.OpenAudit(o.dir)
	if err != nil {
		return err
	}
	if err := a.Access(evidence.Caller("command line"), act, incident, detail); err != nil {
		a.Close()
		return err
	}
	return a.Close()
}

type evidenceListOptions struct {
	evidenceOptions
	filter   evidence.Filter
	since    time.Duration
	priority string
}

func newEvidenceListCommand() *cobra.Command {
	var opts evidenceListOptions
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List incidents, the newest first",
		Example: `  rollcage evidence list
  rollcage evidence list --since 24h --priority critical
  rollcage evidence list --container web -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runEvidenceList(cmd.OutOrStdout(), &opts) },
	}
	opts.addFlags(cmd, true)
	f := cmd.Flags()
	f.DurationVar(&opts.since, "since", 0, "those with an alert in the last `TIME`")
	f.StringVar(&opts.filter.Container, "container", "", "those of the container with that `NAME` or id")
	f.StringVar(&opts.filter.Image, "image", "", "those of images that have that `TEXT` in their name")
	f.StringVar(&opts.filter.Rule, "rule", "", "those with an alert of that `RULE`")
	f.StringVar(&opts.priority, "priority", "", "those with an alert at least as severe as that `PRIORITY`")
	f.BoolVar(&opts.filter.Open, "open", false, "those that go on")
	f.IntVar(&opts.filter.Limit, "limit", 0, "at most `N`, 0 for all")
	return cmd
}

func runEvidenceList(w io.Writer, opts *evidenceListOptions) error {
	if opts.priority != "" {
		p, ok := rule.ParsePriority(opts.priority)
		if !ok {
			return usage.Errorf("--priority %s: unknown priority", opts.priority)
		}
		opts.filter.Priority = &p
	}
	if opts.since > 0 {
		opts.filter.Since = time.Now().Add(-opts.since)
	}
	if err := opts.note("list", "", ""); err != nil {
		return err
	}
	list, done, err := evidence.Index(opts.dir, false, slog.Default())
	if err != nil {
		return err
	}
	defer func() { _ = done() }()
	found, err := list(opts.filter)
	if err != nil {
		return err
	}
	if opts.output == outputJSON {
		return json.NewEncoder(w).Encode(found)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range found {
		where := "host " + s.Host
		if s.Container != "" {
			where = strings.TrimSpace(s.Name + " " + s.Container)
		}
		state := ""
		if s.Open {
			state = "open"
		}
		if s.Part > 1 {
			state = strings.TrimSpace(fmt.Sprintf("%s part %d of %s:", state, s.Part, s.Origin))
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.ID, s.Worst, printable(where), plural(s.Alerts, "alert"),
			plural(s.Captures, "capture"), plural(s.Actions, "action"), strings.TrimSpace(state+" "+printable(strings.Join(s.Rules, ", "))))
	}
	return tw.Flush()
}

func newEvidenceVerifyCommand() *cobra.Command {
	var opts evidenceOptions
	var head string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check that evidence is as it was written",
		Long: `Check every record, capture and audit record: what was changed, removed, reordered, cut off or added is told, and
the exit code is 3. It prints the head of the audit log. Keep one elsewhere, and --head finds also that everything was made anew.`,
		Example: `  rollcage evidence verify
  rollcage evidence verify --head 3f0c… -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runEvidenceVerify(cmd.OutOrStdout(), &opts, head) },
	}
	opts.addFlags(cmd, true)
	cmd.Flags().StringVar(&head, "head", "", "a `HASH` that the audit log had as its head before")
	return cmd
}

func runEvidenceVerify(w io.Writer, opts *evidenceOptions, head string) error {
	// Noted afterwards: the log is checked as it was found.
	r, err := evidence.Verify(opts.dir, head)
	if err != nil {
		return err
	}
	if err := opts.note("verify", "", plural(len(r.Findings), "finding")); err != nil {
		return err
	}
	if opts.output == outputJSON {
		if err := json.NewEncoder(w).Encode(r); err != nil {
			return err
		}
	} else {
		for _, f := range r.Findings {
			fmt.Fprintf(w, "%s: %s\n", printable(f.Where), printable(f.What))
		}
		fmt.Fprintf(w, "%s with %s and %s, %d audit records, head %s: %s.\n", plural(r.Incidents, "incident"), plural(int(r.Records), "record"),
			plural(r.Captures, "capture"), r.Audit, r.Head, plural(len(r.Findings), "finding"))
	}
	if !r.OK() {
		return errNo
	}
	return nil
}

func newEvidenceRebuildCommand() *cobra.Command {
	var opts evidenceOptions
	cmd := &cobra.Command{
		Use:     "rebuild",
		Short:   "Make the index of incidents again from their files",
		Example: "  rollcage evidence rebuild",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := opts.note("rebuild", "", ""); err != nil {
				return err
			}
			list, done, err := evidence.Index(opts.dir, true, slog.Default())
			if err != nil {
				return err
			}
			defer func() { _ = done() }()
			all, err := list(evidence.Filter{})
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%s in the index.\n", plural(len(all), "incident"))
			}
			return err
		},
	}
	opts.addFlags(cmd, false)
	return cmd
}

func newEvidenceExportCommand() *cobra.Command {
	var opts evidenceOptions
	var file string
	cmd := &cobra.Command{
		Use:   "export INCIDENT",
		Short: "Write an incident with its captures and the audit log to an archive",
		Long: `Write an incident with its captures and the audit log to a gzipped tar archive, as they are: it holds secrets
that the incident holds. The file is for its owner alone, and that it was made is noted in the audit log.`,
		Example: "  rollcage evidence export 20261124T135501Z-7f3a9c01 -w incident.tar.gz",
		Args:    oneIncident,
		RunE: func(_ *cobra.Command, args []string) error {
			if file == "" {
				return usage.Errorf("name the file with --write")
			}
			return runEvidenceExport(&opts, args[0], file)
		},
	}
	opts.addFlags(cmd, false)
	cmd.Flags().StringVarP(&file, "write", "w", "", "write the archive to the `FILE`, which must not exist")
	return cmd
}

func oneIncident(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usage.Errorf("which incident? 'rollcage evidence list' lists them")
	}
	return nil
}

func runEvidenceExport(opts *evidenceOptions, id, file string) error {
	if err := opts.note("export", id, file); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = evidence.Export(opts.dir, id, f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(file)
	}
	return err
}

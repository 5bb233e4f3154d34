package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rollcage/internal/observe/event"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/evidence"
	"rollcage/internal/respond/mask"
	"rollcage/internal/respond/scene"
)

type evidenceShowOptions struct {
	evidenceOptions
	reveal bool
}

func newEvidenceShowCommand() *cobra.Command {
	var opts evidenceShowOptions
	cmd := &cobra.Command{
		Use:   "show INCIDENT",
		Short: "Show all that is known of an incident",
		Long: `Show the container, the processes, alerts, captures and actions of an incident in the order in which they came.
Passwords, tokens and keys are masked unless --reveal is given. That it was shown is noted in the audit log.`,
		Example: `  rollcage evidence show 20261124T135501Z-7f3a9c01
  rollcage evidence show 20261124T135501Z-7f3a9c01 -o json --reveal`,
		Args: oneIncident,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runEvidenceShow(cmd.OutOrStdout(), &opts, args[0])
		},
	}
	opts.addFlags(cmd, true)
	cmd.Flags().BoolVar(&opts.reveal, "reveal", false, "show secrets too")
	return cmd
}

func runEvidenceShow(w io.Writer, opts *evidenceShowOptions, id string) error {
	act := "show"
	if opts.reveal {
		act = "reveal"
	}
	if err := opts.note(act, id, ""); err != nil {
		return err
	}
	p := &incidentPrinter{w: w, reveal: opts.reveal}
	each := p.record
	if opts.output == outputJSON {
		each = p.recordJSON
	}
	s, err := evidence.ReadIncident(opts.dir, id, each)
	if err != nil {
		return fmt.Errorf("%w; 'rollcage evidence verify' tells more", err)
	}
	if opts.output != outputJSON {
		state := "closed"
		if s.Open {
			state = "open"
		}
		fmt.Fprintf(w, "%s: %s, %s, %s, %s\n", s.ID, state, plural(s.Alerts, "alert"), plural(s.Captures, "capture"), plural(s.Actions, "action"))
	}
	return nil
}

// incidentPrinter prints records.
type incidentPrinter struct {
	w      io.Writer
	reveal bool
}

// text makes a text fit for a terminal, and for the eyes of who may not see secrets.
func (p *incidentPrinter) text(s string) string {
	if !p.reveal {
		s = mask.String(s)
	}
	return printable(s)
}

// printable replaces what a terminal would obey.
func printable(s string) string { return string(event.AppendPrintable(nil, s)) }

// recordJSON prints a record as a line of JSON, without the hash that holds for the unmasked one.
func (p *incidentPrinter) recordJSON(r *evidence.Record) error {
	if !p.reveal {
		masked, err := mask.JSON(r.Data)
		if err != nil {
			return err
		}
		r.Data = masked
	}
	return json.NewEncoder(p.w).Encode(r)
}

func (p *incidentPrinter) record(r *evidence.Record) error {
	at := r.Time.Local().Format("2006-01-02 15:04:05.000")
	line := func(format string, args ...any) {
		fmt.Fprintf(p.w, "%s  %-8s %s\n", at, r.Kind, p.text(fmt.Sprintf(format, args...)))
	}
	switch r.Kind {
	case evidence.KindOpened:
		return decodeInto(r, func(o *evidence.Opened) {
			line("on %s%s%s", o.Host, describeContainer(o.Container), describePart(o.Continues, o.Origin, o.Part))
		})
	case evidence.KindProcess:
		return decodeInto(r, func(q *scene.Process) {
			line("%d (parent %d, user %d) %s: %s", q.PID, q.PPID, q.UID, q.Exe, strings.Join(q.Args, " "))
		})
	case evidence.KindAlert:
		return decodeInto(r, func(a *evidence.AlertRecord) {
			if al, err := alert.ParseRecord(a.Alert); err == nil {
				line("%s %s: %s", al.Priority, al.Rule, al.Message)
			}
		})
	case evidence.KindCapture:
		return decodeInto(r, func(c *evidence.Capture) { line("%s, %d bytes %s", c.Name, c.Bytes, c.Note) })
	case evidence.KindAction:
		return decodeInto(r, func(a *evidence.Action) {
			by := ""
			switch {
			case a.Policy != "":
				by = ", by policy " + a.Policy
			case a.Who != nil:
				by = ", asked for by " + a.Who.User
			}
			if a.DryRun {
				by += ", dry run"
			}
			line("%s %s%s", a.ID, a.Target, by)
		})
	case evidence.KindOutcome:
		return decodeInto(r, func(o *evidence.Outcome) {
			if o.OK {
				line("%s done in %v: %s", o.ID, o.Took.Round(time.Millisecond), o.Done)
			} else {
				line("%s failed: %s", o.ID, o.Error)
			}
		})
	case evidence.KindNote:
		return decodeInto(r, func(n *evidence.Note) { line("%s", n.Text) })
	case evidence.KindClosed:
		return decodeInto(r, func(c *evidence.Closed) { line("%s", c.Reason) })
	}
	return nil
}

// describePart says of which incident one is a part, if it is of another one.
func describePart(continues, origin string, part int) string {
	if continues == "" {
		return ""
	}
	return fmt.Sprintf(", continues %s, part %d of %s", continues, part, origin)
}

func describeContainer(c *scene.Container) string {
	if c == nil {
		return ""
	}
	s := " in container " + c.ID
	if c.Name != "" {
		s = " in container " + c.Name + " (" + c.ID + ")"
	}
	if c.Image != "" {
		s += " of " + c.Image
	}
	if c.Privileged {
		s += ", privileged"
	}
	return s
}

// decodeInto hands the data of a record to f.
func decodeInto[T any](r *evidence.Record, f func(*T)) error {
	var v T
	if err := json.Unmarshal(r.Data, &v); err != nil {
		return fmt.Errorf("record %d: %w", r.Seq, err)
	}
	f(&v)
	return nil
}

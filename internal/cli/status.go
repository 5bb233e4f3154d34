package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"rollcage/internal/cli/usage"
	"rollcage/internal/observe/probe"
	"rollcage/internal/respond/guard"
	"rollcage/internal/respond/guard/control"
	"rollcage/internal/understand/runtime"
)

// client speaks with the guard whose run folder is given.
func client(run string) *control.Client {
	return control.NewClient(filepath.Join(run, control.SocketName))
}

type statusOptions struct {
	run    string
	output string
}

func newStatusCommand() *cobra.Command {
	var opts statusOptions
	cmd := &cobra.Command{
		Use:   "status",
		Short: "How the guard of this host is",
		Long: `Tell what guard watches, what it sees, loses and costs, how outputs and policies are, and the last incidents.
The exit code is 0 while detection works, 3 if guard runs and does not detect what happens, 1 if it does not run or may not be asked.`,
		Example: "  rollcage status\n  rollcage status -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := client(opts.run).Status(cmd.Context())
			if err != nil {
				return err
			}
			if opts.output == outputJSON {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(s)
			} else {
				err = printStatus(cmd.OutOrStdout(), &s)
			}
			if err == nil && !s.Healthy {
				return errNo
			}
			return err
		},
	}
	addPlaceFlags(cmd.Flags(), nil, &opts.run)
	addOutputFlag(cmd, &opts.output)
	return cmd
}

// printStatus prints a status for a person.
func printStatus(w io.Writer, s *guard.Status) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(tw, "%s\t%s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	health := "detection works"
	if !s.Healthy {
		health = "NOTHING IS DETECTED: " + s.Unhealthy
	}
	row("guard", "%s, pid %d, up %v", health, s.PID, s.Uptime.Round(time.Second))
	row("watching", "%s by %s; %s and %s are known", s.Watching, plural(s.Rules, "rule"), plural(s.Containers, "container"), plural(s.Threads, "thread"))
	for _, r := range s.Runtimes {
		if text := runtimeRow(&r); text != "" {
			row("runtime", "%s", text)
		}
	}
	if !s.Canary.IsZero() {
		row("canary", "%v ago, lag %v", time.Since(s.Canary).Round(time.Second), s.CanaryLag.Round(10*time.Microsecond))
	}
	row("events", "%d, %.0f a second on average, %d lost%s", s.Events, float64(s.Events)/max(1, s.Uptime.Seconds()), s.Dropped, dropsText(s.Drops))
	row("alerts", "%d raised, %d kept, %d lost; waiting: %d alerts, %d decisions", s.Alerts, s.Kept, s.Lost, s.Waiting, s.Deciding)
	if s.Late > 0 || s.Unkept > 0 {
		row("disk", "takes no records: %d alerts wait to be in an incident, %d will not be", s.Late, s.Unkept)
	}
	box := "on"
	if !s.BlackBox {
		box = "off"
	}
	row("black box", "%s, %d captures taken, %d failed", box, s.Captures, s.Failed)
	if s.BlackBox {
		row("", "%s", boxText(&s.Box))
	}
	if s.Box.Restart != "" {
		row("", "after a restart: %s", s.Box.Restart)
	}
	if s.Box.Error != "" {
		row("", "ERROR: %s", s.Box.Error)
	}
	row("cost", "%d MB of memory%s, %.2f CPUs%s", s.Usage.Memory>>20, limitText(float64(s.Budget.Memory>>20), "%.0f MB"), s.Usage.CPUs, limitText(s.Budget.CPUs, "%.2f"))
	if s.Shed != "" {
		row("SHEDDING", "%s, since %s", s.Shed, s.ShedFrom.Local().Format(time.TimeOnly))
	}
	row("audit log", "%s, head %s", plural(int(s.Audit.Records), "record"), s.Audit.Head)
	for _, o := range s.Outputs {
		row("output", "%s", outputRow(&o))
	}
	for _, p := range s.Policies {
		mode := p.Mode
		if !p.Enabled {
			mode = "disabled"
		}
		row("policy", "%s: %s (%s)", p.Name, mode, strings.Join(p.Actions, ", "))
	}
	for _, u := range s.InForce {
		until := ""
		if !u.Until.IsZero() {
			until = " until " + u.Until.Local().Format(time.DateTime)
		}
		row("in force", "%s of %s%s; take it back with: rollcage incidents undo %s", u.Kind, u.Container.Name, until, u.ID)
	}
	for _, i := range s.Last {
		row("incident", "%s %s %s: %s", i.ID, i.Worst, place(i.Name, i.Container, i.Host), strings.Join(i.Rules, ", "))
	}
	return tw.Flush()
}

// runtimeRow tells of a container runtime, "" of one that is not installed.
func runtimeRow(r *runtime.EngineState) string {
	switch {
	case r.Connected:
		return r.Name + ": connected since " + r.Since.Local().Format(time.DateTime)
	case r.Missing && !r.Seen:
		return ""
	}
	return fmt.Sprintf("%s: CANNOT BE ASKED since %s: %s", r.Name, r.Since.Local().Format(time.DateTime), r.Error)
}

// boxText says what the black box keeps.
func boxText(b *guard.BoxStatus) string {
	text := fmt.Sprintf("%d MB, at most %v before an alert, of %s", b.Size>>20, b.Reach, b.Scope)
	if b.Cgroups > 0 {
		text += fmt.Sprintf(" (%s)", plural(b.Cgroups, "cgroup"))
	}
	if b.Most < probe.MaxSnaplen {
		text += fmt.Sprintf("; at most %d bytes of data", b.Most)
	}
	return text
}

func place(name, container, host string) string {
	if container == "" {
		return "host " + host
	}
	return strings.TrimSpace(name + " " + container)
}

func limitText(limit float64, format string) string {
	if limit <= 0 {
		return ""
	}
	return " of " + fmt.Sprintf(format, limit)
}

func outputRow(o *guard.OutputStatus) string {
	text := fmt.Sprintf("%s: %d sent, %d waiting", o.Name, o.Sent, o.Waiting)
	if o.Notify {
		text += ", gets what policies notify"
	}
	if o.Refused+o.Dropped > 0 {
		text += fmt.Sprintf(", %d refused for good, %d dropped", o.Refused, o.Dropped)
	}
	if o.Retrying != "" {
		text += "; RETRYING: " + o.Retrying
	}
	return text
}

func dropsText(drops map[string]uint64) string {
	if len(drops) == 0 {
		return ""
	}
	names := make([]string, 0, len(drops))
	for n := range drops {
		names = append(names, n)
	}
	sort.Slice(names, func(i, j int) bool { return drops[names[i]] > drops[names[j]] })
	var list []string
	for _, n := range names {
		list = append(list, fmt.Sprintf("%s %d", n, drops[n]))
	}
	return " (" + strings.Join(list, ", ") + ")"
}

func newPolicyModeCommand() *cobra.Command {
	var run string
	cmd := &cobra.Command{
		Use:   "mode POLICY enforce|monitor",
		Short: "Switch a policy of the guard that runs",
		Long: `Switch a policy of the guard that runs, from the next alert on and over restarts. In monitor mode what touches
something is not done but recorded. Who switched it is in the audit log.`,
		Example: "  rollcage policy mode 'Stop a takeover of a container' enforce",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usage.Errorf("want the name of a policy and enforce or monitor")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return client(run).SetMode(cmd.Context(), args[0], args[1])
		},
	}
	addPlaceFlags(cmd.Flags(), nil, &run)
	return cmd
}

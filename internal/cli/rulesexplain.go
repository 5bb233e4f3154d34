package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"rollcage/internal/cli/usage"
	"rollcage/internal/detect/filter"
	"rollcage/internal/detect/rule"
	"rollcage/internal/detect/rule/ruletest"
	"rollcage/internal/observe/host"
)

type rulesExplainOptions struct {
	rulesFileOptions
	read  string
	test  string
	event uint64
}

func newRulesExplainCommand() *cobra.Command {
	var opts rulesExplainOptions
	cmd := &cobra.Command{
		Use:   "explain RULE",
		Short: "Why did a rule fire, or not",
		Long: `Why did a rule fire on an event of a capture or of a rule test, or not: its condition part by part, with macros and
exceptions, the value of each field and each part's answer. Without --event it is the first event that the rule
fires on, else the one that came nearest.`,
		Example: `  rollcage rules explain 'Shell run in a container' -r trace.scap.gz
  rollcage rules explain 'Shell run in a container' -r trace.scap.gz --event 4711
  rollcage rules explain --rules my_rules.yaml 'My rule' --test my_rules.test.yaml -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) != 1:
				return usage.Errorf("which rule? One is explained at a time")
			case (opts.read == "") == (opts.test == ""):
				return usage.Errorf("name either a capture with --read or a file of rule tests with --test")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRulesExplain(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), &opts, args[0])
		},
	}
	opts.addPathFlags(cmd.Flags())
	addOutputFlag(cmd, &opts.output)
	cmd.Flags().StringVarP(&opts.read, "read", "r", "", "read events from the capture `FILE`")
	cmd.Flags().StringVar(&opts.test, "test", "", "make happen what the tests in the `FILE` say, each on its own")
	cmd.Flags().Uint64Var(&opts.event, "event", 0, "explain the event with the `NUMBER`, as evt.num tells it; of a test, the number of its event")
	return cmd
}

func runRulesExplain(ctx context.Context, w, stderr io.Writer, opts *rulesExplainOptions, name string) error {
	set, err := opts.load(stderr)
	if err != nil {
		return err
	}
	found, err := findRules(set, []string{name})
	if err != nil {
		return err
	}
	if exact := set.Lookup(name); exact != nil {
		found = []*rule.Rule{exact}
	}
	if len(found) > 1 {
		return usage.Errorf("%q fits %s, of which %q is the first; name one", name, plural(len(found), "rule"), found[0].Name)
	}
	paint := painter(w)
	if opts.test != "" {
		return explainTests(w, set, found[0], opts, paint)
	}
	// A capture is a test without a name.
	t := &ruletest.Test{Capture: opts.read}
	x, err := explainOne(ctx, set, found[0], opts.event, func(visit ruletest.Visit) error {
		return t.Replay(&ruletest.File{}, visit)
	})
	if err != nil {
		return err
	}
	return x.write(w, opts.output, paint)
}

func explainTests(w io.Writer, set *rule.Ruleset, r *rule.Rule, opts *rulesExplainOptions, paint paint) error {
	for _, f := range rule.ReadFiles(opts.test) {
		if f.Err != nil {
			return f.Err
		}
		file, errs := ruletest.Parse(f.Name, f.Data)
		if len(errs) > 0 {
			return errs[0]
		}
		for _, t := range file.Tests {
			x, err := explainOne(context.Background(), set, r, opts.event, func(visit ruletest.Visit) error { return t.Replay(file, visit) })
			if err != nil {
				return fmt.Errorf("%s:%d: %w", f.Name, t.Line, err)
			}
			x.Test = t.Name
			if err := x.write(w, opts.output, paint); err != nil {
				return err
			}
		}
	}
	return nil
}

// explanation is why a rule fired on an event or not.
type explanation struct {
	Rule     string     `json:"rule"`
	Test     string     `json:"test,omitempty"`
	Enabled  bool       `json:"enabled"`
	Events   uint64     `json:"events"`          // that happened
	Asked    uint64     `json:"asked"`           // events of the types that the rule is about
	Fired    uint64     `json:"fired"`           // events that it fires on
	First    []uint64   `json:"first,omitempty"` // their numbers, the first few
	Types    []string   `json:"types"`           // that the rule is about
	Event    uint64     `json:"event,omitempty"` // that is explained
	Time     string     `json:"time,omitempty"`
	What     string     `json:"what,omitempty"`
	Skipped  bool       `json:"not_asked,omitempty"` // the event is of another type
	Nearest  bool       `json:"nearest,omitempty"`   // it is the one that came nearest
	Decision *rule.Step `json:"decision,omitempty"`
}

// mostFired is how many events that a rule fires on are named.
const mostFired = 10

// explainOne explains a rule for one of the events that play shows it.
func explainOne(ctx context.Context, set *rule.Ruleset, r *rule.Rule, event uint64, play func(ruletest.Visit) error) (*explanation, error) {
	explainer := rule.NewExplainer(set, r)
	what, err := set.ParseFormat("*%evt.time %evt.type by %proc.name (pid %proc.pid, container %container.id) %evt.args")
	if err != nil {
		return nil, err
	}
	x := &explanation{Rule: r.Name, Enabled: r.Enabled, Types: explainer.Events()}
	err = play(func(_ string, he *host.Event) {
		if ctx.Err() != nil {
			return
		}
		x.Events++
		asked := explainer.Asked(he)
		if asked {
			x.Asked++
		}
		if event != 0 && he.Num != event || event == 0 && !asked {
			return
		}
		x.consider(explainer.Explain(he), he, what, !asked)
	})
	if err == nil {
		err = ctx.Err()
	}
	if err == nil && event != 0 && x.Decision == nil {
		err = fmt.Errorf("there is no event %d: there are %d", event, x.Events)
	}
	x.Nearest = event == 0 && x.Decision != nil && !x.Decision.Holds
	return x, err
}

// consider notes an event, and explains it if it is the first that the rule
// fires on or nearer than those before.
func (x *explanation) consider(s *rule.Step, he *host.Event, what *filter.Format, skipped bool) {
	if s.Holds && !skipped {
		x.Fired++
		if len(x.First) < mostFired {
			x.First = append(x.First, he.Num)
		}
	}
	if x.Decision != nil && (x.Decision.Holds || s.Nearness() <= x.Decision.Nearness()) {
		return
	}
	text, _ := what.AppendText(nil, he)
	x.Event, x.What, x.Decision, x.Skipped = he.Num, string(text), s, skipped
	x.Time, x.What, _ = strings.Cut(x.What, " ")
}

func (x *explanation) write(w io.Writer, output string, paint paint) error {
	if output == outputJSON {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(x)
	}
	var b strings.Builder
	if x.Test != "" {
		fmt.Fprintf(&b, "%s\n", paint.bold(x.Test))
	}
	x.writeSummary(&b, paint)
	if x.Decision != nil {
		writeStep(&b, x.Decision, "  ", paint)
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	if err != nil {
		return errors.Join(errors.New("writing the explanation"), err)
	}
	return nil
}

// writeSummary says in a few lines what happened.
func (x *explanation) writeSummary(b *strings.Builder, paint paint) {
	if !x.Enabled {
		fmt.Fprintf(b, "The rule is disabled; this is as if it were enabled.\n")
	}
	types := x.Types
	if len(types) > 8 {
		types = append(types[:8:8], "…")
	}
	fmt.Fprintf(b, "%s: %s of %s, on %d of which it looks (%s).\n", paint.bold(x.Rule), fires(x.Fired), plural(int(x.Events), "event"),
		x.Asked, strings.Join(types, ", "))
	if x.Fired > 1 {
		fmt.Fprintf(b, "It fires on the events %s", strings.Trim(fmt.Sprint(x.First), "[]"))
		if x.Fired > mostFired {
			b.WriteString(" …")
		}
		b.WriteString("\n")
	}
	switch {
	case x.Decision == nil:
		return
	case x.Skipped:
		fmt.Fprintf(b, "Event %d is of a type that the rule does not look at:\n", x.Event)
	case x.Nearest:
		fmt.Fprintf(b, "Event %d came nearest:\n", x.Event)
	default:
		fmt.Fprintf(b, "Event %d:\n", x.Event)
	}
	what := []rune(x.What)
	if len(what) > 300 {
		what = append(what[:300], '…')
	}
	fmt.Fprintf(b, "  %s %s\n", x.Time, string(what))
}

func fires(n uint64) string {
	switch n {
	case 0:
		return "does not fire on any"
	case 1:
		return "fires on one"
	}
	return fmt.Sprintf("fires on %d", n)
}

// writeStep writes a part of the condition and what is below it.
func writeStep(b *strings.Builder, s *rule.Step, indent string, paint paint) {
	mark, color := paint.green("✓"), paint.plain
	switch {
	case s.Skipped:
		mark, color = "·", paint.dim
	case !s.Holds:
		mark = paint.red("✗")
	}
	head := s.Kind
	switch s.Kind {
	case rule.StepCheck:
		head = clip(s.Text, 120)
	case rule.StepMacro:
		head = fmt.Sprintf("%s  (macro, %s:%d)", s.Name, s.Position.File, s.Position.Line)
	case rule.StepException:
		head = fmt.Sprintf("exception %q %s", s.Name, map[bool]string{true: "does not apply", false: "applies"}[s.Holds])
	}
	fmt.Fprintf(b, "%s%s %s", indent, mark, color(head))
	for _, v := range s.Values {
		if v.Missing {
			fmt.Fprintf(b, "  %s", paint.dim("["+v.Field+" has no value]"))
		} else {
			fmt.Fprintf(b, "  %s", paint.dim(fmt.Sprintf("[%s = %s]", v.Field, clip(v.Text, 160))))
		}
	}
	if s.Skipped {
		b.WriteString(paint.dim("  not needed") + "\n")
		return
	}
	b.WriteByte('\n')
	if s.Kind == rule.StepException && s.Holds {
		return
	}
	for _, k := range s.Steps {
		writeStep(b, k, indent+"  ", paint)
	}
}

// clip cuts a text to about n bytes.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// paint colours text for a terminal, or not.
type paint bool

// painter returns the paint for what is written to w.
func painter(w io.Writer) paint {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return paint(err == nil && info.Mode()&os.ModeCharDevice != 0)
}

func (p paint) with(code, s string) string {
	if !p {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p paint) plain(s string) string { return s }
func (p paint) bold(s string) string  { return p.with("1", s) }
func (p paint) dim(s string) string   { return p.with("2", s) }
func (p paint) red(s string) string   { return p.with("31", s) }
func (p paint) green(s string) string { return p.with("32", s) }

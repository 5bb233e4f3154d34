package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rollcage/internal/cli/usage"
	"rollcage/internal/detect/rule"
	"rollcage/internal/respond/alert"
	"rollcage/internal/respond/policy"
	"rollcage/internal/respond/scene"
)

// policyOptions are those of all commands about policies.
type policyOptions struct {
	rulesOptions
	policies []string
	output   string
}

func newPolicyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Check, explain, test and switch policies",
		Example: `  rollcage policy check my_policies.yaml
  rollcage policy test my_policies.test.yaml --policies my_policies.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usage.Errorf("unknown command %q%s", args[0], suggestion(args[0], []string{"check", "explain", "test", "mode"}))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPolicyCheckCommand(), newPolicyExplainCommand(), newPolicyTestCommand(), newPolicyModeCommand())
	return cmd
}

func (o *policyOptions) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&o.policies, "policies", nil, "policies `FILE` or folder, repeatable, instead of the policies that come with Rollcage")
	addOutputFlag(cmd, &o.output)
}

// load reads the policies. Problems are returned with those that are right.
func (o *policyOptions) load() (*policy.Set, []*policy.Problem) {
	if len(o.policies) == 0 {
		return policy.Load([]rule.File{policy.Default()})
	}
	return policy.Load(rule.ReadFiles(o.policies...))
}

// valid reads policies that must have no mistakes.
func (o *policyOptions) valid(stderr io.Writer) (*policy.Set, error) {
	set, problems := o.load()
	for _, p := range problems {
		fmt.Fprint(stderr, p.Format())
	}
	if policy.Failed(problems) {
		return nil, fmt.Errorf("the policies are not valid; 'rollcage policy check' tells more")
	}
	return set, nil
}

// fastProblems refuses policies whose fast kills the kernel cannot do just as the rules say.
func fastProblems(stderr io.Writer, set *policy.Set, rules []*rule.Rule) error {
	problems := set.FastProblems(rules)
	for _, p := range problems {
		fmt.Fprint(stderr, p.Format())
	}
	if len(problems) > 0 {
		return fmt.Errorf("the policies are not valid; 'rollcage policy check' tells more")
	}
	return nil
}

func newPolicyCheckCommand() *cobra.Command {
	var opts policyOptions
	cmd := &cobra.Command{
		Use:   "check [FILE ...]",
		Short: "Check files of policies",
		Long: `Check files of policies: all mistakes with their place and what was probably meant, and warnings about names of
rules and tags that no rule has. The exit code is 3 if there is a mistake.`,
		Example: `  rollcage policy check my_policies.yaml
  rollcage policy check my_policies.yaml --rules my_rules.yaml --builtin-rules`,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.policies = append(opts.policies, args...)
			return runPolicyCheck(cmd.OutOrStdout(), &opts)
		},
	}
	opts.addFlags(cmd)
	opts.addPathFlags(cmd.Flags())
	return cmd
}

func runPolicyCheck(w io.Writer, opts *policyOptions) error {
	set, problems := opts.load()
	rules, _ := rule.Load(opts.files(), rule.LoadOptions{})
	problems = append(append(problems, set.Unused(rules.Rules)...), set.FastProblems(enabled(rules.Rules))...)
	errors := 0
	for _, p := range problems {
		if !p.Warning {
			errors++
		}
	}
	if opts.output == outputJSON {
		if err := printProblems(w, problems); err != nil {
			return err
		}
	} else {
		for _, p := range problems {
			fmt.Fprint(w, p.Format())
		}
		fmt.Fprintf(w, "%s: %s, %s.\n", strings.Replace(plural(len(set.Policies), "policy"), "policys", "policies", 1),
			plural(errors, "error"), plural(len(problems)-errors, "warning"))
	}
	if errors > 0 {
		return errNo
	}
	return nil
}

func enabled(rules []*rule.Rule) (some []*rule.Rule) {
	for _, r := range rules {
		if r.Enabled {
			some = append(some, r)
		}
	}
	return some
}

func printProblems(w io.Writer, problems []*policy.Problem) error {
	type problem struct {
		Severity   string        `json:"severity"`
		Message    string        `json:"message"`
		Suggestion string        `json:"suggestion,omitempty"`
		Position   rule.Position `json:"position"`
	}
	out := []problem{}
	for _, p := range problems {
		severity := "error"
		if p.Warning {
			severity = "warning"
		}
		out = append(out, problem{severity, p.Message, p.Suggestion, p.Position})
	}
	return json.NewEncoder(w).Encode(out)
}

type policyExplainOptions struct {
	policyOptions
	rule      string
	priority  string
	tags      []string
	container string
	image     string
	labels    map[string]string
	host      string
	at        string
}

func newPolicyExplainCommand() *cobra.Command {
	var opts policyExplainOptions
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Which policies hold for an alert, and why not",
		Long: `Say of each policy whether it holds for an alert of the given rule in the given place, why not, and what is done.
Tags and priority are those of the rule, unless they are given. Without container and image the place is the host itself.`,
		Example: `  rollcage policy explain --rule 'Reverse shell' --container web --image nginx:1.27
  rollcage policy explain --policies my_policies.yaml --rule 'Sensitive file read' --label com.docker.compose.project=shop --at 2026-05-02T03:00:00+02:00`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runPolicyExplain(cmd.OutOrStdout(), cmd.ErrOrStderr(), &opts)
		},
	}
	opts.addFlags(cmd)
	opts.addPathFlags(cmd.Flags())
	f := cmd.Flags()
	f.StringVar(&opts.rule, "rule", "", "the alert's `RULE`")
	f.StringVar(&opts.priority, "alert-priority", "", "the alert's `PRIORITY`")
	f.StringSliceVar(&opts.tags, "tag", nil, "a `TAG` of the alert, repeatable")
	f.StringVar(&opts.container, "container", "", "the container's `NAME`")
	f.StringVar(&opts.image, "image", "", "the container's `IMAGE`")
	f.StringToStringVar(&opts.labels, "label", nil, "a label of the container, as `NAME=VALUE`, repeatable")
	f.StringVar(&opts.host, "host", "localhost", "the `HOST`")
	f.StringVar(&opts.at, "at", "", "the `TIME`, as 2026-05-02T03:00:00+02:00, for quiet times; now if it is not given")
	return cmd
}

// situation returns the alert, where it is, and when.
func (o *policyExplainOptions) situation() (*alert.Alert, *scene.Scene, time.Time, error) {
	now := time.Now()
	if o.rule == "" {
		return nil, nil, now, usage.Errorf("name the alert's rule with --rule")
	}
	a := &alert.Alert{Rule: o.rule, Priority: rule.Warning, Source: "syscall", Hostname: o.host}
	set, _ := rule.Load(o.files(), rule.LoadOptions{})
	if found := set.Find(o.rule); len(found) == 1 {
		a.Priority, a.Tags = found[0].Priority, found[0].Tags
	}
	if o.priority != "" {
		p, ok := rule.ParsePriority(o.priority)
		if !ok {
			return nil, nil, now, usage.Errorf("--alert-priority %s: unknown priority", o.priority)
		}
		a.Priority = p
	}
	if len(o.tags) > 0 {
		a.Tags = o.tags
	}
	sc := &scene.Scene{Host: o.host}
	if o.container != "" || o.image != "" || len(o.labels) > 0 {
		sc.Container = &scene.Container{ID: "000000000000", Name: o.container, Image: o.image, Labels: o.labels}
	}
	if o.at != "" {
		var err error
		if now, err = time.Parse(time.RFC3339, o.at); err != nil {
			return nil, nil, now, usage.Errorf("--at: %v", err)
		}
	}
	return a, sc, now, nil
}

func runPolicyExplain(w, stderr io.Writer, opts *policyExplainOptions) error {
	a, sc, now, err := opts.situation()
	if err != nil {
		return err
	}
	set, err := opts.valid(stderr)
	if err != nil {
		return err
	}
	type answer struct {
		Policy  string   `json:"policy"`
		Holds   bool     `json:"holds"`
		Why     string   `json:"why,omitempty"`
		Actions []string `json:"actions,omitempty"`
	}
	answers := []answer{}
	for _, e := range set.Explain(a, sc, now) {
		ans := answer{Policy: e.Policy.Name, Holds: e.Holds, Why: e.Why}
		for _, act := range e.Policy.Actions {
			if e.Holds {
				ans.Actions = append(ans.Actions, act.String())
			}
		}
		answers = append(answers, ans)
	}
	if opts.output == outputJSON {
		return json.NewEncoder(w).Encode(answers)
	}
	for _, ans := range answers {
		switch {
		case !ans.Holds:
			fmt.Fprintf(w, "%s: does not hold: %s\n", ans.Policy, ans.Why)
		case ans.Why != "":
			fmt.Fprintf(w, "%s: holds, %s: %s\n", ans.Policy, ans.Why, strings.Join(ans.Actions, ", "))
		default:
			fmt.Fprintf(w, "%s: holds: %s\n", ans.Policy, strings.Join(ans.Actions, ", "))
		}
	}
	if sc.Container != nil {
		if why := set.ContainerProtected(sc.Container, sc.Host); why != "" {
			fmt.Fprintf(w, "The container is protected: %s. Nothing is done to it.\n", why)
		}
	}
	box := set.Box()
	if why := box.Records(sc.Container, sc.Host); box.Size == 0 {
		fmt.Fprintln(w, "There is no black box: its size is 0.")
	} else if why != "" {
		fmt.Fprintf(w, "The black box does not record it: %s.\n", why)
	} else {
		fmt.Fprintf(w, "The black box records it: %d MB, at most %v before an alert.\n", box.Size>>20, box.Reach)
	}
	return nil
}

func newPolicyTestCommand() *cobra.Command {
	var opts policyOptions
	cmd := &cobra.Command{
		Use:   "test FILE ...",
		Short: "Test policies",
		Long: `Test what policies decide: alerts in, decisions out (docs/policies.md). Nothing is done. The exit code is 3 if a
test fails.`,
		Example: "  rollcage policy test my_policies.test.yaml --policies my_policies.yaml",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage.Errorf("which tests? Name at least one file")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runPolicyTest(cmd.OutOrStdout(), cmd.ErrOrStderr(), &opts, args)
		},
	}
	opts.addFlags(cmd)
	return cmd
}

func runPolicyTest(w, stderr io.Writer, opts *policyOptions, files []string) error {
	failed, n := 0, 0
	for _, f := range rule.ReadFiles(files...) {
		tests, problems := policy.LoadTests(f)
		for _, p := range problems {
			fmt.Fprint(stderr, p.Format())
		}
		if len(problems) > 0 {
			return fmt.Errorf("the tests are not valid")
		}
		for _, t := range tests {
			// Each test has policies of its own, so that no rate limit is used up by another.
			set, err := opts.valid(stderr)
			if err != nil {
				return err
			}
			n++
			if got := t.Run(set); got != "" {
				failed++
				fmt.Fprintf(w, "%s:%d: %s: FAILED\n%s\n", t.Position.File, t.Position.Line, t.Name, got)
			}
		}
	}
	fmt.Fprintf(w, "%s, %d failed.\n", plural(n, "test"), failed)
	if failed > 0 {
		return errNo
	}
	return nil
}

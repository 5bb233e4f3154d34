package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"rollcage/internal/cli/usage"
	"rollcage/internal/detect/rule"
)

func newRulesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "Check, list, test, explain, tune and update rules",
		Example: `  rollcage rules check my_rules.yaml
  rollcage rules test my_rules.test.yaml
  rollcage rules explain 'Shell run in a container' -r trace.scap.gz`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usage.Errorf("unknown command %q%s", args[0], suggestion(args[0], []string{"check", "list", "test", "explain", "tune", "update", "push"}))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRulesCheckCommand(), newRulesListCommand(), newRulesTestCommand(), newRulesExplainCommand(), newRulesTuneCommand(), newRulesUpdateCommand(), newRulesPushCommand())
	return cmd
}

// rulesFileOptions are those of the commands that read rules files.
type rulesFileOptions struct {
	rulesOptions
	output string
}

func newRulesCheckCommand() *cobra.Command {
	var opts rulesCheckOptions
	cmd := &cobra.Command{
		Use:   "check [FILE ...]",
		Short: "Check rules files",
		Long: `Check rules files, in the order in which they build on each other: all errors and warnings with their place,
what was probably meant, and what stands there; and advice, where a rule is valid and hardly means what it says, or
means something else in Falco (docs/rule-warnings.md). The exit code is 3 if there is an error.`,
		Example: `  rollcage rules check my_rules.yaml
  rollcage rules check --strict --ignore falco-exists my_rules.yaml
  rollcage rules check --builtin-rules my_rules.yaml -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.paths = append(opts.paths, args...)
			return runRulesCheck(cmd.OutOrStdout(), &opts)
		},
	}
	opts.addPathFlags(cmd.Flags())
	addOutputFlag(cmd, &opts.output)
	cmd.Flags().BoolVar(&opts.strict, "strict", false, "warnings and advice are errors")
	cmd.Flags().StringSliceVar(&opts.ignore, "ignore", nil, "leave out advice with the `NAME`, repeatable; all for none of it")
	return cmd
}

// rulesCheckOptions are those of rules check.
type rulesCheckOptions struct {
	rulesFileOptions
	strict bool
	ignore []string
}

// wanted returns the advice that is not left out.
func (o *rulesCheckOptions) wanted(advice []*rule.Problem) []*rule.Problem {
	return slices.DeleteFunc(advice, func(p *rule.Problem) bool {
		return slices.Contains(o.ignore, p.Topic) || slices.Contains(o.ignore, "all")
	})
}

func runRulesCheck(w io.Writer, opts *rulesCheckOptions) error {
	set, results := rule.Load(opts.files(), rule.LoadOptions{Advise: true})
	errors, warnings, advice := 0, 0, 0
	for _, r := range results {
		r.Advice = opts.wanted(r.Advice)
		errors += len(r.Errors)
		warnings += len(r.Warnings)
		advice += len(r.Advice)
	}
	if opts.output == outputJSON {
		if err := json.NewEncoder(w).Encode(map[string]any{"falco_load_results": results}); err != nil {
			return err
		}
	} else {
		for _, r := range results {
			for _, p := range r.Problems() {
				fmt.Fprint(w, p.Format())
			}
		}
		fmt.Fprintf(w, "%s in %s: %s, %s%s.\n", plural(len(set.Rules), "rule"), plural(len(results), "file"),
			plural(errors, "error"), plural(warnings, "warning"), adviceCount(advice))
	}
	if errors > 0 || opts.strict && warnings+advice > 0 {
		return errNo
	}
	return nil
}

// adviceCount phrases how much advice there was.
func adviceCount(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", advice on %s", plural(n, "place"))
}

// rulesListOptions are those of rules list.
type rulesListOptions struct {
	rulesFileOptions
	effective bool
}

func newRulesListCommand() *cobra.Command {
	var opts rulesListOptions
	cmd := &cobra.Command{
		Use:   "list [RULE ...]",
		Short: "List rules",
		Long: "List the rules with priority and tags, or all that is known of the rules with the given names, in which * stands for any characters.\n" +
			"With --effective each is shown after all redefinitions, appends, overrides, exceptions, macros and lists, with the file and line that each part comes from.",
		Example: `  rollcage rules list
  rollcage rules list 'Shell*' --rules my_rules.yaml --builtin-rules
  rollcage rules list --effective 'Reverse shell' --rules my_rules.yaml --builtin-rules
  rollcage rules list -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRulesList(cmd.OutOrStdout(), cmd.ErrOrStderr(), &opts, args)
		},
	}
	opts.addPathFlags(cmd.Flags())
	addOutputFlag(cmd, &opts.output)
	cmd.Flags().BoolVar(&opts.effective, "effective", false, "show the rules as they are judged, and where each part comes from")
	return cmd
}

func runRulesList(w, stderr io.Writer, opts *rulesListOptions, names []string) error {
	set, err := opts.load(stderr)
	if err != nil {
		return err
	}
	found := set.Rules
	if len(names) > 0 {
		if found, err = findRules(set, names); err != nil {
			return err
		}
	}
	switch {
	case opts.effective:
		return printEffective(w, set, found, opts.output)
	case opts.output == outputJSON:
		return printRulesJSON(w, found)
	case len(names) > 0:
		return printRulesLong(w, found)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range found {
		name := r.Name
		if !r.Enabled {
			name += " (disabled)"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\n", r.Priority, name, strings.Join(r.Tags, " "))
	}
	return tw.Flush()
}

// findRules returns the rules that fit the names; each name must fit one.
func findRules(set *rule.Ruleset, names []string) ([]*rule.Rule, error) {
	var found []*rule.Rule
	for _, n := range names {
		rules := set.Find(n)
		if len(rules) == 0 {
			var all []string
			for _, r := range set.Rules {
				all = append(all, r.Name)
			}
			return nil, fmt.Errorf("no rule %q%s", n, suggestion(n, all))
		}
		found = append(found, rules...)
	}
	return found, nil
}

// ruleDoc is a rule in JSON, one object a line.
type ruleDoc struct {
	Name      string   `json:"rule"`
	Desc      string   `json:"desc"`
	Condition string   `json:"condition"`
	Output    string   `json:"output"`
	Priority  string   `json:"priority"`
	Source    string   `json:"source"`
	Tags      []string `json:"tags"`
	Enabled   bool     `json:"enabled"`
	Events    []string `json:"events"`
	File      string   `json:"file"`
	Line      int      `json:"line"`
}

func printRulesJSON(w io.Writer, rules []*rule.Rule) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, r := range rules {
		if err := enc.Encode(documentRule(r)); err != nil {
			return err
		}
	}
	return nil
}

func documentRule(r *rule.Rule) ruleDoc {
	return ruleDoc{
		Name: r.Name, Desc: strings.TrimSpace(r.Description), Condition: r.Condition, Output: r.Output,
		Priority: r.Priority.String(), Source: r.Source, Tags: append([]string{}, r.Tags...), Enabled: r.Enabled,
		Events: r.Events(), File: r.Position.File, Line: r.Position.Line,
	}
}

func printRulesLong(w io.Writer, rules []*rule.Rule) error {
	for i, r := range rules {
		if i > 0 {
			fmt.Fprintln(w)
		}
		events := r.Events()
		if len(events) > 40 {
			events = []string{plural(len(events), "event type")}
		}
		_, err := fmt.Fprintf(w, "%s (%s%s)\n  %s\n  condition: %s\n  output: %s\n  events: %s\n  tags: %s\n  defined at %s:%d\n",
			r.Name, r.Priority, map[bool]string{false: ", disabled"}[r.Enabled], strings.TrimSpace(r.Description),
			strings.Join(strings.Fields(r.Condition), " "), r.Output, strings.Join(events, " "), strings.Join(r.Tags, " "),
			r.Position.File, r.Position.Line)
		if err != nil {
			return err
		}
	}
	return nil
}

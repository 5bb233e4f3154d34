package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"rollcage/internal/cli/usage"
	"rollcage/internal/detect/noise"
	"rollcage/internal/detect/rule"
	"rollcage/internal/detect/rule/ruletest"
	"rollcage/internal/observe/host"
)

type rulesTuneOptions struct {
	rulesFileOptions
	noise  noise.Options
	only   []string
	verify []string
}

func newRulesTuneCommand() *cobra.Command {
	var opts rulesTuneOptions
	cmd := &cobra.Command{
		Use:   "tune ALERTS ...",
		Short: "Propose exceptions from recorded alerts",
		Long: `Propose exceptions for rules that raise the same alerts again and again, from files of alerts in JSON as detect -o json
and Falco write them (- is standard input). What is proposed names the place (image or host) and the program by its path, and
is narrowed by all that stays the same; a name that a program can give itself is never enough. It is a rules file: read it,
keep what is normal here, and load it after the others.`,
		Example: `  rollcage detect -o json --out-file alerts.jsonl
  rollcage rules tune alerts.jsonl >tuned.yaml
  rollcage rules tune alerts.jsonl --rules my_rules.yaml --builtin-rules --verify trace.scap.gz
  rollcage detect --builtin-rules --rules tuned.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage.Errorf("which files of alerts?")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRulesTune(cmd.OutOrStdout(), cmd.ErrOrStderr(), &opts, args)
		},
	}
	opts.addPathFlags(cmd.Flags())
	addOutputFlag(cmd, &opts.output)
	f := cmd.Flags()
	f.IntVar(&opts.noise.Least, "least", 5, "least `NUMBER` of alerts of one program in one place that are noise")
	f.IntVar(&opts.noise.Most, "most", 20, "greatest `NUMBER` of combinations of values proposed for a rule")
	f.StringArrayVar(&opts.only, "rule", nil, "only for the `RULE`, a name in which * stands for any characters; repeatable")
	f.StringArrayVar(&opts.verify, "verify", nil, "judge the capture `FILE` with and without what is proposed, and say what is left; repeatable")
	return cmd
}

func runRulesTune(w, stderr io.Writer, opts *rulesTuneOptions, paths []string) error {
	set, err := opts.load(stderr)
	if err != nil {
		return err
	}
	alerts, err := readAlerts(stderr, paths)
	if err != nil {
		return err
	}
	if alerts, err = opts.wanted(alerts, set); err != nil {
		return err
	}
	proposals := noise.Propose(alerts, set, opts.noise)
	var doc []byte
	for _, p := range proposals {
		doc = p.AppendYAML(doc, set)
	}
	tuned, err := opts.with(doc)
	if err != nil {
		return err
	}
	var checks []verification
	for _, path := range opts.verify {
		v, err := verify(path, set, tuned)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		checks = append(checks, v)
	}
	if opts.output == outputJSON {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(map[string]any{"alerts": len(alerts), "proposals": proposals, "rules_file": string(doc), "verified": checks})
	}
	for _, v := range checks {
		doc = v.append(doc)
	}
	_, err = w.Write(doc)
	return err
}

// readAlerts reads the alerts of files.
func readAlerts(stderr io.Writer, paths []string) ([]noise.Alert, error) {
	var all []noise.Alert
	for _, path := range paths {
		in := io.Reader(os.Stdin)
		if path != "-" {
			f, err := os.Open(path)
			if err != nil {
				return nil, err
			}
			defer f.Close()
			in = f
		}
		alerts, skipped, err := noise.Read(in)
		if err != nil {
			return nil, fmt.Errorf("reading alerts from %s: %w", path, err)
		}
		if skipped > 0 {
			fmt.Fprintf(stderr, "%s: %s left out that are no alerts in JSON\n", path, plural(skipped, "line"))
		}
		all = append(all, alerts...)
	}
	if len(all) == 0 {
		return nil, errors.New("there are no alerts; record them with 'rollcage detect -o json'")
	}
	return all, nil
}

// wanted returns the alerts of the rules that are asked for.
func (o *rulesTuneOptions) wanted(alerts []noise.Alert, set *rule.Ruleset) ([]noise.Alert, error) {
	if len(o.only) == 0 {
		return alerts, nil
	}
	rules, err := findRules(set, o.only)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, r := range rules {
		names[r.Name] = true
	}
	var out []noise.Alert
	for _, a := range alerts {
		if names[a.Rule] {
			out = append(out, a)
		}
	}
	return out, nil
}

// with loads the rules with what is proposed after them.
func (o *rulesTuneOptions) with(doc []byte) (*rule.Ruleset, error) {
	set, results := rule.Load(append(o.files(), rule.File{Name: "tuned.yaml", Data: doc}), rule.LoadOptions{})
	if last := results[len(results)-1]; !last.OK() {
		return nil, fmt.Errorf("what would be proposed is not valid, please report it: %w", last.Errors[0])
	}
	return set, nil
}

// verification is how often rules fire on a capture with and without exceptions.
type verification struct {
	Capture string      `json:"capture"`
	Rules   []ruleCount `json:"rules"`
}

type ruleCount struct {
	Rule   string `json:"rule"`
	Before int    `json:"before"`
	After  int    `json:"after"`
}

// verify judges a capture by two sets of the same rules.
func verify(path string, before, after *rule.Ruleset) (verification, error) {
	v := verification{Capture: path}
	opts := rule.EngineOptions{Threshold: rule.Debug, Matching: rule.MatchAll}
	counts := map[string]*ruleCount{}
	for i, set := range []*rule.Ruleset{before, after} {
		engine, err := rule.NewEngine(set, opts)
		if err != nil {
			return v, err
		}
		t := &ruletest.Test{Capture: path}
		if err := t.Replay(&ruletest.File{}, func(_ string, he *host.Event) {
			for _, m := range engine.Process(he) {
				c := counts[m.Name]
				if c == nil {
					c = &ruleCount{Rule: m.Name}
					counts[m.Name] = c
				}
				if i == 0 {
					c.Before++
				} else {
					c.After++
				}
			}
		}); err != nil {
			return v, err
		}
	}
	for _, r := range before.Rules {
		if c := counts[r.Name]; c != nil {
			v.Rules = append(v.Rules, *c)
		}
	}
	return v, nil
}

// append writes the result as comments of a rules file.
func (v *verification) append(b []byte) []byte {
	b = fmt.Appendf(b, "# Alerts on %s, without and with this:\n", v.Capture)
	if len(v.Rules) == 0 {
		return append(b, "#   none\n"...)
	}
	for _, c := range v.Rules {
		b = fmt.Appendf(b, "#   %s: %d, %d\n", strings.ReplaceAll(c.Rule, "\n", " "), c.Before, c.After)
	}
	return b
}

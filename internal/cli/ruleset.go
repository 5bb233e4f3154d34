package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"rollcage/internal/cli/usage"
	"rollcage/internal/detect/rule"
	"rollcage/rules"
)

// rulesOptions say which rules run.
type rulesOptions struct {
	paths    []string
	builtin  bool
	priority string
	enable   []string
	disable  []string
	matching rule.Matching
}

func (o *rulesOptions) addPathFlags(f *pflag.FlagSet) {
	f.StringSliceVar(&o.paths, "rules", nil, "rules `FILE` or folder, repeatable, instead of the rules that come with Rollcage")
	f.BoolVar(&o.builtin, "builtin-rules", false, "load the rules that come with Rollcage before those of --rules, which may then change them")
}

func (o *rulesOptions) addSelectionFlags(f *pflag.FlagSet) {
	f.StringVar(&o.priority, "priority", "debug", "least severe `PRIORITY` of rules that run: emergency, alert, critical, error, warning, notice, informational, debug")
	f.StringArrayVar(&o.disable, "disable", nil, "do not run the `RULE`, a name in which * stands for any characters, or tag=TAG; repeatable")
	f.StringArrayVar(&o.enable, "enable", nil, "run the `RULE`, or tag=TAG, also if the rules file disables it; repeatable, applied after --disable")
}

// files returns the rules files to load.
func (o *rulesOptions) files() []rule.File {
	var files []rule.File
	if o.builtin || len(o.paths) == 0 {
		for _, f := range rules.Files() {
			files = append(files, rule.File{Name: "builtin/" + f.Name, Data: f.Data})
		}
	}
	return append(files, rule.ReadFiles(o.paths...)...)
}

// load loads the rules. Problems are printed to w; errors in a file leave out
// what is wrong and keep the rest.
func (o *rulesOptions) load(w io.Writer) (*rule.Ruleset, error) { return loadRules(o.files(), w) }

// fewWarnings is how many warnings are shown where rules are used. Files of
// others may have hundreds, which would hide all else.
const fewWarnings = 5

func loadRules(files []rule.File, w io.Writer) (*rule.Ruleset, error) {
	set, results := rule.Load(files, rule.LoadOptions{})
	bad, warnings := 0, 0
	for _, r := range results {
		bad += len(r.Errors)
		warnings += len(r.Warnings)
	}
	for _, r := range results {
		for _, p := range r.Problems() {
			if p.Code.IsError() || warnings <= fewWarnings {
				fmt.Fprint(w, p.Format())
			}
		}
	}
	if warnings > fewWarnings {
		fmt.Fprintf(w, "%s in the rules; 'rollcage rules check' shows them.\n", plural(warnings, "warning"))
	}
	if bad > 0 {
		return set, fmt.Errorf("%w: %s; 'rollcage rules check' tells more", errRules, plural(bad, "error"))
	}
	return set, nil
}

var errRules = errors.New("the rules are not valid")

// engine compiles the selected rules.
func (o *rulesOptions) engine(set *rule.Ruleset) (*rule.Engine, error) {
	threshold, ok := rule.ParsePriority(o.priority)
	if !ok {
		return nil, usage.Errorf("--priority %s: unknown priority", o.priority)
	}
	opts := rule.EngineOptions{Threshold: threshold, Matching: o.matching}
	for _, list := range []struct {
		enable bool
		names  []string
	}{{false, o.disable}, {true, o.enable}} {
		for _, n := range list.names {
			opts.Selections = append(opts.Selections, selection(list.enable, n))
		}
	}
	e, err := rule.NewEngine(set, opts)
	if err != nil {
		return nil, err
	}
	if len(e.Rules()) == 0 {
		return nil, errors.New("no rule is left to run: see --rules, --priority and --disable")
	}
	return e, nil
}

func selection(enable bool, name string) rule.Selection {
	if tag, ok := cutTag(name); ok {
		return rule.Selection{Enable: enable, Tag: tag}
	}
	return rule.Selection{Enable: enable, Rule: name}
}

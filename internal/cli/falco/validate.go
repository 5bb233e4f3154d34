package falco

import (
	"errors"
	"strings"

	"rollcage/internal/detect/rule"
)

// loadedRules are rules that were loaded without an error.
type loadedRules struct {
	files []rule.File
	set   *rule.Ruleset
}

// rulesPaths returns the files and folders that hold the rules.
func (c *command) rulesPaths() []string {
	if len(c.opts.rules) > 0 {
		return c.opts.rules
	}
	return c.rulesFiles
}

func (c *command) loadOptions() rule.LoadOptions {
	o := rule.LoadOptions{Compatible: true, AppendOutput: c.appendAll, StaticFields: c.staticField}
	switch c.opts.print {
	case "", "c", "container", "k", "kubernetes":
	default:
		o.AppendOutput = append(o.AppendOutput, rule.AppendOutput{Output: c.opts.print})
	}
	return o
}

// load loads rules files and checks them against the schema.
func (c *command) load(files []rule.File) (*rule.Ruleset, []*rule.Result) {
	set, results := rule.Load(files, c.loadOptions())
	for i, f := range files {
		results[i].Schema, _ = checkRules(f.Data)
	}
	return set, results
}

func schemaWord(r *rule.Result) string {
	if len(r.Schema) == 0 {
		return schemaOK
	}
	return schemaFailed
}

// loadRules loads the rules that are to run. An error in one is that of all.
func (c *command) loadRules() (*loadedRules, error) {
	l := &loadedRules{files: rule.ReadFiles(c.rulesPaths()...)}
	var results []*rule.Result
	l.set, results = c.load(l.files)
	c.log.logf(logInfo, "Loading rules from:")
	var bad []string
	for _, r := range results {
		c.log.logf(logInfo, "   %s | schema validation: %s", r.File, schemaWord(r))
		switch {
		case !r.OK():
			bad = append(bad, r.Summary(true))
		case len(r.Warnings) > 0:
			c.log.logf(logWarning, "%s", r.Summary(true))
		}
	}
	if len(bad) > 0 {
		return nil, errors.New(strings.TrimRight(strings.Join(bad, "\n"), "\n"))
	}
	return l, nil
}

// validateRules checks the files of -V.
func (c *command) validateRules() error {
	c.log.logf(logInfo, "Validating rules file(s):")
	for _, f := range c.opts.validate {
		c.log.logf(logInfo, "   %s", f)
	}
	set, results := c.load(rule.ReadFiles(c.opts.validate...))
	var summaries []string
	valid := true
	for _, r := range results {
		valid = valid && r.OK()
		summaries = append(summaries, r.Summary(false))
		if r.OK() && len(r.Warnings) > 0 {
			c.log.logf(logInfo, "%s", r.Summary(true))
		}
	}
	text := strings.TrimRight(strings.Join(summaries, "\n"), "\n")
	if err := c.printValidation(set, results, text, valid); err != nil {
		return err
	}
	if !valid {
		return errors.New(text)
	}
	return nil
}

func (c *command) printValidation(set *rule.Ruleset, results []*rule.Result, text string, valid bool) error {
	if !c.jsonOutput {
		if err := c.say(text + "\n"); err != nil || !valid || !c.opts.describe && c.opts.describeRule == "" {
			return err
		}
		return c.describe(set)
	}
	out := struct {
		Load     []*rule.Result    `json:"falco_load_results"`
		Describe *rule.Description `json:"falco_describe_results,omitempty"`
	}{Load: results}
	if valid {
		var err error
		if out.Describe, err = c.description(set); err != nil {
			return err
		}
	}
	return writeJSON(c.stdout, out)
}

// description returns what -L or -l RULE ask for, nil if they are not given.
func (c *command) description(set *rule.Ruleset) (*rule.Description, error) {
	switch {
	case c.opts.describeRule != "":
		d, ok := set.DescribeRule(c.opts.describeRule)
		if !ok {
			return nil, worded("Rule \"%s\" is not loaded", c.opts.describeRule)
		}
		return d, nil
	case c.opts.describe:
		return set.Describe(), nil
	}
	return nil, nil
}

// describe prints the description of the rules.
func (c *command) describe(set *rule.Ruleset) error {
	d, err := c.description(set)
	switch {
	case err != nil:
		return err
	case c.jsonOutput:
		return writeJSON(c.stdout, d)
	}
	return c.say(d.Table())
}

// printSupport prints what the report of a problem needs.
func (c *command) printSupport(l *loadedRules) error {
	info := supportInfo{
		Cmdline: strings.Join(append([]string{"falco"}, c.args...), " "), EngineInfo: currentVersions(c.own),
		RulesFiles: []supportFile{}, System: thisMachine(), Version: falcoVersion,
	}
	if len(c.files) > 0 {
		info.Config = string(c.files[0].data)
	}
	for _, f := range l.files {
		info.RulesFiles = append(info.RulesFiles, supportFile{f.Name, []supportVariant{{string(f.Data)}}})
	}
	return writeJSON(c.stdout, info)
}

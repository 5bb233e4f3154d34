package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"rollcage/internal/cli/usage"
	"rollcage/internal/detect/rule"
	"rollcage/internal/detect/rule/ruletest"
)

type rulesTestOptions struct {
	rulesFileOptions
	verbose bool
}

func newRulesTestCommand() *cobra.Command {
	var opts rulesTestOptions
	cmd := &cobra.Command{
		Use:   "test FILE ...",
		Short: "Test rules by what happens and which alerts come of it",
		Long: `Test rules without a kernel: the test files, or those in the folders, say what happens, or name a capture file, and
which alerts must come of it. docs/rule-tests.md describes them. The exit code is 3 if a test fails.`,
		Example: `  rollcage rules test --rules my_rules.yaml my_rules.test.yaml
  rollcage rules test --builtin-rules --rules my_rules.yaml tests/ -v`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage.Errorf("which test files?")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRulesTest(cmd.OutOrStdout(), cmd.ErrOrStderr(), &opts, args)
		},
	}
	opts.addPathFlags(cmd.Flags())
	addOutputFlag(cmd, &opts.output)
	cmd.Flags().BoolVarP(&opts.verbose, "verbose", "v", false, "name the tests that pass too")
	return cmd
}

func runRulesTest(w, stderr io.Writer, opts *rulesTestOptions, files []string) error {
	set, err := opts.load(stderr)
	if err != nil {
		return err
	}
	report := ruletest.Run(rule.ReadFiles(files...), set)
	switch {
	case opts.output == outputJSON:
		err = printReportJSON(w, report)
	case opts.verbose:
		_, err = report.WriteAll(w)
	default:
		_, err = report.WriteTo(w)
	}
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if !report.OK() {
		return errNo
	}
	return nil
}

// testDoc is the result of a test in JSON, one object a line.
type testDoc struct {
	File     string       `json:"file"`
	Line     int          `json:"line,omitempty"`
	Name     string       `json:"name,omitempty"`
	Passed   bool         `json:"passed"`
	Error    string       `json:"error,omitempty"` // of a file that cannot be read
	Failures []failureDoc `json:"failures,omitempty"`
}

type failureDoc struct {
	Line    int      `json:"line"`
	Message string   `json:"message"`
	Why     []string `json:"why,omitempty"`
	Instead []string `json:"instead,omitempty"`
}

func printReportJSON(w io.Writer, r *ruletest.Report) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, e := range r.Errors {
		if err := enc.Encode(testDoc{File: e.File, Line: e.Line, Error: e.Error()}); err != nil {
			return err
		}
	}
	for _, t := range r.Results {
		doc := testDoc{File: t.File, Line: t.Line, Name: t.Name, Passed: len(t.Failures) == 0}
		for _, f := range t.Failures {
			doc.Failures = append(doc.Failures, failureDoc{f.Line, f.Message, f.Why, f.Instead})
		}
		if err := enc.Encode(doc); err != nil {
			return err
		}
	}
	return nil
}

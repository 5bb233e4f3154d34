package cli

import (
	"rollcage/internal/cli/usage"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The forms of output.
const (
	outputText = "text"
	outputJSON = "json"
)

// outputForm is the value of --output.
type outputForm struct{ v *string }

var _ pflag.Value = outputForm{}

func (o outputForm) String() string {
	if o.v == nil {
		return outputText
	}
	return *o.v
}

func (o outputForm) Type() string { return "FORM" }

func (o outputForm) Set(s string) error {
	if s != outputText && s != outputJSON {
		return usage.Errorf("want %s or %s", outputText, outputJSON)
	}
	*o.v = s
	return nil
}

// addOutputFlag adds --output, text by default.
func addOutputFlag(cmd *cobra.Command, v *string) {
	*v = outputText
	cmd.Flags().VarP(outputForm{v}, "output", "o", "form of the output: text or json")
}

// noArgs refuses arguments.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage.Errorf("takes no argument, but got %q", args[0])
	}
	return nil
}

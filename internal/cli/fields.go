package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"rollcage/internal/detect/field"
)

type fieldsOptions struct {
	output string
	all    bool
}

func newFieldsCommand() *cobra.Command {
	var opts fieldsOptions
	cmd := &cobra.Command{
		Use:   "fields [TEXT ...]",
		Short: "List the fields of conditions and outputs",
		Long:  "List the fields that conditions and outputs can use: all, or those whose name or description holds one of the texts, then with an example.",
		Example: `  rollcage fields proc.name container
  rollcage fields -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runFields(cmd.OutOrStdout(), opts, args)
		},
	}
	addOutputFlag(cmd, &opts.output)
	cmd.Flags().BoolVar(&opts.all, "all", false, "also fields that exist for old rules only")
	return cmd
}

// fieldDoc is a field in JSON.
type fieldDoc struct {
	Name     string   `json:"name"`
	Class    string   `json:"class"`
	Type     string   `json:"type"`
	List     bool     `json:"list,omitempty"`
	Argument string   `json:"argument,omitempty"` // required or optional
	Flags    []string `json:"flags,omitempty"`
	Doc      string   `json:"description"`
	Example  string   `json:"example,omitempty"`
}

// fieldFlags are the properties that a user should know of.
var fieldFlags = []struct {
	flag field.Flags
	word string
}{
	{field.FilterOnly, "conditions only"},
	{field.PrintOnly, "outputs only"},
	{field.Deprecated, "deprecated"},
}

func runFields(w io.Writer, opts fieldsOptions, texts []string) error {
	var found []*field.Def
	for _, d := range field.All() {
		if d.Flags&(field.Hidden|field.Deprecated) != 0 && !opts.all {
			continue
		}
		if len(texts) == 0 || mentions(d, texts) {
			found = append(found, d)
		}
	}
	if len(found) == 0 {
		return fmt.Errorf("no field mentions %q", texts)
	}
	if opts.output == outputJSON {
		enc := json.NewEncoder(w)
		for _, d := range found {
			if err := enc.Encode(documentField(d)); err != nil {
				return err
			}
		}
		return nil
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	class := ""
	for _, d := range found {
		if d.Class != class {
			if class != "" {
				fmt.Fprintln(tw)
			}
			class = d.Class
		}
		doc := documentField(d)
		note := doc.Doc
		if len(doc.Flags) > 0 {
			note += " (" + strings.Join(doc.Flags, ", ") + ")"
		}
		if len(texts) > 0 {
			note += " For instance: " + doc.Example
		}
		kind := doc.Type
		if doc.List {
			kind += " list"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\n", usageOf(d), kind, note)
	}
	return tw.Flush()
}

func mentions(d *field.Def, texts []string) bool {
	for _, t := range texts {
		if strings.Contains(d.Name, t) || strings.Contains(strings.ToLower(d.Doc), strings.ToLower(t)) {
			return true
		}
	}
	return false
}

// usageOf returns the name with the argument that it takes.
func usageOf(d *field.Def) string {
	arg := ""
	switch {
	case d.Args&field.ArgIndex != 0:
		arg = "[N]"
	case d.Args&field.ArgKey != 0:
		arg = "[KEY]"
	case d.Args&field.ArgName != 0:
		arg = ".NAME"
	default:
		return d.Name
	}
	if d.Args&field.ArgRequired == 0 {
		arg = " (" + arg + ")"
	}
	return d.Name + arg
}

func documentField(d *field.Def) fieldDoc {
	doc := fieldDoc{
		Name: d.Name, Class: d.Class, Type: d.Type.String(), List: d.Flags&field.List != 0,
		Doc: d.Doc, Example: d.Example,
	}
	switch {
	case d.Args == 0:
	case d.Args&field.ArgRequired != 0:
		doc.Argument = "required"
	default:
		doc.Argument = "optional"
	}
	for _, f := range fieldFlags {
		if d.Flags&f.flag != 0 {
			doc.Flags = append(doc.Flags, f.word)
		}
	}
	return doc
}

package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sort"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"rollcage/internal/cli/usage"
	"rollcage/internal/observe/event"
)

// notConfigurable are flags that make sense on the command line only.
var notConfigurable = map[string]bool{"help": true, "config": true, "version": true}

// applyConfig sets the flags that were not given on the command line: from the
// environment (ROLLCAGE_ and the flag's name in capitals with underscores),
// else from the configuration file. Keys of the file are the names of the
// flags of all commands; an unknown key is an error. The file may be missing
// unless it was asked for.
func applyConfig(flags *pflag.FlagSet, path string, asked bool, env func(string) (string, bool)) error {
	values, err := readConfig(path, asked)
	if err != nil {
		return err
	}
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed || notConfigurable[f.Name] {
			return
		}
		name := "ROLLCAGE_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if v, ok := env(name); ok && v != "" {
			if err := f.Value.Set(v); err != nil {
				errs = append(errs, usage.Errorf("environment variable %s: %v", name, err))
			}
			markConfigured(f)
			return
		}
		if v, ok := values[f.Name]; ok {
			markConfigured(f)
			if err := setFlag(f, v); err != nil {
				errs = append(errs, usage.Errorf("%s:%d: %s: %w", path, v.Line, f.Name, err))
			}
		}
	})
	return errors.Join(errs...)
}

// fromConfig is the annotation of flags that were not given on the command line.
const fromConfig = "rollcage/configured"

func markConfigured(f *pflag.Flag) {
	f.Changed = true
	if f.Annotations == nil {
		f.Annotations = map[string][]string{}
	}
	f.Annotations[fromConfig] = []string{"yes"}
}

func setFlag(f *pflag.Flag, v *yaml.Node) error {
	switch v.Kind {
	case yaml.ScalarNode:
		return f.Value.Set(v.Value)
	case yaml.SequenceNode:
		list, ok := f.Value.(pflag.SliceValue)
		if !ok {
			return errors.New("takes one value, not a list")
		}
		items := make([]string, len(v.Content))
		for i, c := range v.Content {
			if c.Kind != yaml.ScalarNode {
				return errors.New("takes a list of plain values")
			}
			items[i] = c.Value
		}
		return list.Replace(items)
	}
	return errors.New("takes a value or a list of values")
}

// readConfig reads the file's top-level keys.
func readConfig(path string, asked bool) (map[string]*yaml.Node, error) {
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !asked:
		return nil, nil
	case errors.Is(err, fs.ErrPermission) && !asked:
		// The default file is root's; commands that need no root run without it.
		slog.Debug("configuration left out", "error", err)
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("configuration: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, usage.Errorf("configuration %s: %w", path, err)
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	top := doc.Content[0]
	if top.Kind != yaml.MappingNode {
		return nil, usage.Errorf("%s:%d:%d: the configuration is a list of keys and values", path, top.Line, top.Column)
	}
	known := configKeys()
	values := map[string]*yaml.Node{}
	for i := 0; i+1 < len(top.Content); i += 2 {
		k, v := top.Content[i], top.Content[i+1]
		if !known[k.Value] {
			return nil, usage.Errorf("%s:%d:%d: unknown key %q%s", path, k.Line, k.Column, k.Value, suggestion(k.Value, sortedKeys(known)))
		}
		if values[k.Value] != nil {
			return nil, usage.Errorf("%s:%d:%d: key %q is there twice", path, k.Line, k.Column, k.Value)
		}
		values[k.Value] = v
	}
	return values, nil
}

// configKeys returns the names of all flags of all commands.
func configKeys() map[string]bool {
	keys := map[string]bool{}
	root := newRootCommand()
	add := func(f *pflag.Flag) {
		if !notConfigurable[f.Name] {
			keys[f.Name] = true
		}
	}
	root.PersistentFlags().VisitAll(add)
	var below func(*cobra.Command)
	below = func(c *cobra.Command) {
		c.Flags().VisitAll(add)
		for _, sub := range c.Commands() {
			below(sub)
		}
	}
	below(root)
	return keys
}

func sortedKeys(m map[string]bool) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// suggestion returns `; did you mean "x"?` if a known word is near, else "".
func suggestion(word string, known []string) string {
	best := event.Nearest(word, known)
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

package falco

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// configFile is a file that the configuration was read from.
type configFile struct {
	path   string
	data   []byte
	schema string // what the check against the schema found: ok, none, or failed and why
}

// strategies are the ways in which an included file is merged.
const (
	mergeAppend   = "append"
	mergeOverride = "override"
	mergeAddOnly  = "add-only"
)

// errNoConfig is returned when the default configuration file is not there.
var errNoConfig = errors.New("there is no configuration file")

// readConfig reads the configuration: the main file, the files that it
// includes, then the settings of the command line. Without a main file, if it
// was not asked for, the settings alone count and the error is errNoConfig.
func readConfig(opts *options) (*tree, []configFile, error) {
	path := opts.config
	if path == "" {
		path = defaultConfig
	}
	t, main, err := readConfigFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && opts.config == "":
		t = newTree()
		return t, nil, errors.Join(applySettings(t, opts.settings), errNoConfig)
	case err != nil:
		return nil, nil, err
	}
	files := []configFile{main}
	for _, s := range opts.settings {
		if strings.HasPrefix(s, includeKey) {
			if err := applySettings(t, []string{s}); err != nil {
				return nil, nil, err
			}
		}
	}
	included, err := t.include(path)
	if err != nil {
		return nil, nil, err
	}
	files = append(files, included...)
	return t, files, applySettings(t, opts.settings)
}

func readConfigFile(path string) (*tree, configFile, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		var cause *fs.PathError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		return nil, configFile{}, worded("Could not find configuration file at %s: %w", path, err)
	}
	t, err := parseTree(data)
	if err != nil {
		return nil, configFile{}, worded("Error reading config file (%s): %w", path, err)
	}
	return t, configFile{path: path, data: data, schema: configSchema.check(t.root)}, nil
}

// applySettings sets the KEY=VAL of the command line.
func applySettings(t *tree, settings []string) error {
	for _, s := range settings {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return worded("Error parsing config option %q. Must be of the form key=val or key.subkey=val", s)
		}
		if err := t.set(key, value); err != nil {
			return err
		}
	}
	return nil
}

const includeKey = "config_files"

// include merges the files that config_files names into t.
func (t *tree) include(main string) ([]configFile, error) {
	var files []configFile
	entries := t.elements(includeKey)
	if n := t.get(includeKey); n != nil && n.Kind == yaml.ScalarNode && n.Value != "" {
		entries = []*yaml.Node{n}
	}
	for _, e := range entries {
		path, strategy, err := includeEntry(e)
		if err != nil {
			return nil, err
		}
		for _, p := range includedFiles(path) {
			if sameFile(p, main) {
				return nil, worded("Config error: '%s' must not name the main configuration file: %s", includeKey, p)
			}
			add, file, err := readConfigFile(p)
			if err != nil {
				return nil, err
			}
			if add.has(includeKey) {
				return nil, worded("Config error: '%s' is not allowed in an included file: %s", includeKey, p)
			}
			t.merge(add, strategy)
			files = append(files, file)
		}
	}
	return files, nil
}

// includeEntry reads an entry: a path, or {path, strategy}.
func includeEntry(n *yaml.Node) (path, strategy string, err error) {
	if n.Kind == yaml.ScalarNode {
		return n.Value, mergeAppend, nil
	}
	path, strategy = scalarText(child(n, "path"), ""), scalarText(child(n, "strategy"), mergeAppend)
	switch strategy {
	case mergeAppend, mergeOverride, mergeAddOnly:
	default:
		return "", "", worded("Config error: unknown strategy %q for %q in '%s': it must be %s, %s or %s",
			strategy, path, includeKey, mergeAppend, mergeOverride, mergeAddOnly)
	}
	return path, strategy, nil
}

// includedFiles returns the file, or the regular files in the folder by name.
// What is not there is left out.
func includedFiles(path string) []string {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	if !info.IsDir() {
		return []string{path}
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		p := filepath.Join(path, e.Name())
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() {
			out = append(out, p)
		}
	}
	return out
}

func sameFile(a, b string) bool {
	ai, errA := os.Stat(a)
	bi, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(ai, bi)
}

// merge puts the top-level keys of add into t.
func (t *tree) merge(add *tree, strategy string) {
	for _, key := range add.keys() {
		old, value := child(t.root, key), child(add.root, key)
		switch {
		case old == nil:
			setChild(t.root, key, value)
		case strategy == mergeAddOnly:
		case strategy == mergeAppend && old.Kind == yaml.SequenceNode && value.Kind == yaml.SequenceNode:
			old.Content = append(old.Content, value.Content...)
		default:
			setChild(t.root, key, value)
		}
	}
}

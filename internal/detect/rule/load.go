package rule

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"rollcage/internal/detect/filter"
)

// File is a rules file to load.
type File struct {
	Name string
	Data []byte
	// Err is why Data could not be read; it becomes an error of the file.
	Err error
}

// ReadFiles reads rules files. A folder stands for the files in it that end in
// .yml or .yaml, by name, without those in folders below. What cannot be read
// is returned with its Err set.
func ReadFiles(paths ...string) []File {
	var files []File
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			files = append(files, File{Name: path, Err: err})
		case info.IsDir():
			files = append(files, readFolder(path)...)
		default:
			files = append(files, readFile(path))
		}
	}
	return files
}

func readFolder(path string) []File {
	entries, err := os.ReadDir(path)
	if err != nil {
		return []File{{Name: path, Err: err}}
	}
	var files []File
	for _, e := range entries {
		name := filepath.Join(path, e.Name())
		if ext := filepath.Ext(name); ext != ".yml" && ext != ".yaml" {
			continue
		}
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			continue
		}
		files = append(files, readFile(name))
	}
	return files
}

// maxFile is how large a rules file may be, in bytes.
const maxFile = 64 << 20

func readFile(name string) File {
	info, err := os.Stat(name)
	if err == nil && info.Size() > maxFile {
		err = &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("%d bytes are too many for a rules file", info.Size())}
	}
	if err != nil {
		return File{Name: name, Err: err}
	}
	data, err := os.ReadFile(name)
	return File{Name: name, Data: data, Err: err}
}

// LoadOptions change how rules files are read. The zero value is good for
// most uses.
type LoadOptions struct {
	// Compatible makes conditions answer as in Falco (filter.Schema.Classic) and
	// Load report what Falco would: only the first error of a
	// file, and what is wrong in one file again for each file after it.
	// Otherwise every error is reported, once, and what is right is loaded.
	Compatible bool
	// Advise also looks for conditions and exceptions that are valid and hardly
	// mean what they say. It has no effect with Compatible.
	Advise bool
	// Sources are the event sources that are there; syscall if empty. Rules of
	// others are left out with a warning.
	Sources []string
	// Plugins are the plugins that are there, for required_plugin_versions. The
	// container plugin always is.
	Plugins map[string]Version
	// AppendOutput adds to the outputs of rules.
	AppendOutput []AppendOutput
	// StaticFields defines the fields static.KEY.
	StaticFields map[string]string
	// Schema says which fields there are; filter.Standard if nil.
	Schema *filter.Schema
}

func (o *LoadOptions) sources() []string {
	if len(o.Sources) == 0 {
		return []string{defaultSource}
	}
	return o.Sources
}

func (o *LoadOptions) schema() *filter.Schema {
	s := cmp.Or(o.Schema, filter.Standard)
	if o.Compatible {
		classic := *s
		classic.Classic = true
		s = &classic
	}
	return withStaticFields(s, o.StaticFields)
}

// Load reads rules files in order, each on top of those before it, and
// compiles them. It returns what could be loaded and one result per file.
func Load(files []File, opts LoadOptions) (*Ruleset, []*Result) {
	l := &loader{opts: opts, schema: opts.schema(), results: map[*content]*Result{}}
	all := make([]*Result, len(files))
	set := &Ruleset{schema: l.schema}
	for i, f := range files {
		all[i] = &Result{File: f.Name}
		l.res = all[i]
		l.read(f)
		if last := i == len(files)-1; last || opts.Compatible {
			if l.res.OK() || !opts.Compatible {
				set = l.compile()
			}
		}
	}
	l.checkPlugins()
	if !opts.Compatible { // Falco's are in the order in which it finds them
		for _, r := range all {
			r.sort()
		}
	}
	return set, all
}

type loader struct {
	opts    LoadOptions
	schema  *filter.Schema
	res     *Result // of the file that is being read
	results map[*content]*Result

	seq     int
	engine  *Version // highest that was asked for
	plugins []pluginNeed
	lists   collection[*listDef]
	macros  collection[*macroDef]
	rules   collection[*ruleDef]
}

// problem records a problem at w in the result of the file that it is in, and
// in compatible mode in that of the file being read.
func (l *loader) problem(w *where, code Code, format string, args ...any) *Problem {
	p := newProblem(w, code, format, args...)
	l.record(l.resultFor(w), p)
	return p
}

func (l *loader) resultFor(w *where) *Result {
	if l.opts.Compatible {
		return l.res
	}
	file, _ := w.exact()
	return cmp.Or(l.results[file], l.res)
}

// record puts a problem into a result. In compatible mode nothing counts
// after the first error.
func (l *loader) record(res *Result, p *Problem) {
	switch {
	case l.opts.Compatible && !res.OK():
	case p.Code.IsError():
		res.Errors = append(res.Errors, p)
	case p.Code == Advice:
		res.Advice = append(res.Advice, p)
	default:
		res.Warnings = append(res.Warnings, p)
	}
}

// sort puts the problems in the order of the places in the file.
func (r *Result) sort() {
	slices.SortStableFunc(r.Errors, byPlace)
	slices.SortStableFunc(r.Warnings, byPlace)
	slices.SortStableFunc(r.Advice, byPlace)
}

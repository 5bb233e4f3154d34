// Package rules holds the rules that Rollcage ships, with their tests.
//
// The files are read in the order of Files: words that the rules share come first.
package rules

import "embed"

//go:embed *.yaml
var files embed.FS

// names are the rules files, in the order in which they build on each other.
var names = []string{"base.yaml", "execution.yaml", "network.yaml", "kernel.yaml", "files.yaml"}

// File is a rules file of ours.
type File struct {
	Name string
	Data []byte
}

// Files returns the rules files in the order in which they are to be loaded.
// The data is the caller's.
func Files() []File {
	out := make([]File, len(names))
	for i, n := range names {
		data, err := files.ReadFile(n)
		if err != nil {
			panic(err) // embedded: cannot happen in a built program
		}
		out[i] = File{Name: n, Data: data}
	}
	return out
}

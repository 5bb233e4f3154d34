package cli

import (
	"path/filepath"
	"slices"

	"rollcage/internal/cli/sysdig"
)

// calledAs are the names of other programs under which rollcage is that
// command: a symbolic link csysdig does what rollcage csysdig does.
var calledAs = []string{"csysdig", "falco", sysdig.Name}

// Arguments returns what the command line argv, with the name of the program,
// asks of rollcage.
func Arguments(argv []string) []string {
	if len(argv) == 0 {
		return nil
	}
	if name := filepath.Base(argv[0]); slices.Contains(calledAs, name) {
		return append([]string{name}, argv[1:]...)
	}
	return argv[1:]
}

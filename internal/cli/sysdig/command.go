// Package sysdig is the command line of sysdig over Rollcage: the flags, line
// formats, listings and chisels that people and scripts know, on capture files
// and on the live host.
//
// What it does not take it refuses with a word why; what has no meaning here,
// such as the choice of a kernel driver, it ignores with a warning. Errors end
// the program with 1.
package sysdig

import (
	"context"
	"fmt"
	"io"
)

// Name is the name of the command, and of the executable that is taken for it.
const Name = "sysdig"

// Main runs the command line and returns the exit code: 0, or 1 for any error.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer, version string) int {
	if err := run(ctx, stdout, stderr, version, args); err != nil {
		fmt.Fprintf(stderr, "sysdig: %v\n", err)
		return 1
	}
	return 0
}

// run does what the command line asks for.
func run(ctx context.Context, stdout, stderr io.Writer, version string, args []string) error {
	opts, err := parse(args)
	if err != nil {
		return err
	}
	for _, w := range opts.warnings {
		fmt.Fprintf(stderr, "sysdig: warning: %s\n", w)
	}
	switch opts.listing {
	case "":
		return watch(ctx, stdout, stderr, opts)
	case "version":
		_, err = fmt.Fprintf(stdout, "sysdig version %s (rollcage)\n", version)
	case "help":
		err = printHelp(stdout)
	case "format":
		_, err = fmt.Fprintln(stdout, opts.lineFormat())
	default:
		err = list(stdout, opts)
	}
	return err
}

// Command rollcage is run-time safety for containers on Linux.
package main

import (
	"os"

	"rollcage/internal/cli"
)

func main() { os.Exit(cli.Main(cli.Arguments(os.Args))) }

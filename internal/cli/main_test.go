package cli

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// beRollcage makes the test binary act as the rollcage command, for tests that
// need a process of its own.
const beRollcage = "ROLLCAGE_TEST_BE_ROLLCAGE"

func TestMain(m *testing.M) {
	if os.Getenv(beRollcage) != "" {
		os.Exit(Main(os.Args[1:]))
	}
	testscript.Main(m, map[string]func(){
		"rollcage": func() { os.Exit(Main(os.Args[1:])) },
	})
}

// TestScripts runs the terminal sessions in testdata.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata"})
}

package falco

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// captures is where recorded captures of others are, if they are at hand.
const captures = "../../../../shared/captures"

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"falco": func() { os.Exit(Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr, "test")) },
	})
}

// TestScripts runs the terminal sessions in testdata. [captures] is true
// where recorded captures are at hand, in the folder $CAPTURES.
func TestScripts(t *testing.T) {
	dir := os.Getenv("ROLLCAGE_CAPTURES")
	if dir == "" {
		dir, _ = filepath.Abs(captures)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("CAPTURES", dir)
			return nil
		},
		Condition: func(cond string) (bool, error) {
			_, err := os.Stat(filepath.Join(dir, "cat_write.scap"))
			return cond == "captures" && err == nil, nil
		},
	})
}

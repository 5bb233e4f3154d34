package cli

import (
	"cmp"
	"os"
	"path/filepath"
	"testing"
)

// TestOurRulesAreSilentOnOrdinaryWork replays captures that others recorded:
// curl on a host and in containers, a small web service, ping, ls in a
// container. Nothing in them is an act that an alert is for.
func TestOurRulesAreSilentOnOrdinaryWork(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(cmp.Or(os.Getenv("ROLLCAGE_CAPTURES"), "../../../shared/captures"), "*.scap"))
	if err != nil || len(files) == 0 {
		t.Skip("no captures; ROLLCAGE_CAPTURES says where they are")
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			alerts, messages, err := runCommand(t, "detect", "-r", path, "-o", "json")
			if err != nil {
				t.Fatalf("%v\n%s", err, messages)
			}
			if alerts != "" {
				t.Errorf("alerts:\n%s", alerts)
			}
		})
	}
}

package procfs

import (
	"testing"
	"time"
)

func TestSocketTablesAreReadAgainOnlySoOften(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		table socketTable
		scan  bool
		want  bool
	}{
		"a scan may at first":                       {socketTable{took: time.Second, read: now}, true, true},
		"a scan may not for ever":                   {socketTable{retries: maxRetries}, true, false},
		"a look-up may at first":                    {socketTable{took: time.Second, read: now}, false, true},
		"a look-up may again when it costs little":  {socketTable{retries: 99, took: time.Millisecond, read: now.Add(-time.Second)}, false, true},
		"a look-up may not when it costs much time": {socketTable{retries: 99, took: time.Second, read: now.Add(-time.Second)}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.table.again(c.scan, now); got != c.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

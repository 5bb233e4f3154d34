package procfs

import (
	"os"
	"testing"
)

func TestUsageIsReadFromStat(t *testing.T) {
	const line = "7 (a) b) S 1 7 7 0 -1 4194560 10 11 12 13 250 30 16 17 20 0 1 0 500 8192 3 184467440 1\n"
	got, err := parseUsage([]byte(line))
	want := Usage{User: 2_500_000_000, System: 300_000_000, Minor: 10, Major: 12, Virtual: 8192, Resident: 3 * pageSize}
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", "7 (a", "7 (a) S 1 2 3"} {
		if _, err := parseUsage([]byte(bad)); err == nil {
			t.Errorf("%q gives no error", bad)
		}
	}
}

func TestOurOwnUsageIsThere(t *testing.T) {
	r, err := Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	pid := int64(os.Getpid())
	u, err := r.Usage(pid, pid)
	if err != nil || u.Virtual == 0 || u.Resident == 0 || u.Minor == 0 {
		t.Errorf("%+v, %v", u, err)
	}
}

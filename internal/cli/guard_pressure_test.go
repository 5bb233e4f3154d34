package cli

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// A budget that cannot be kept forces pressure: data in the black box goes first, then reads and writes, then the black
// box, and what a process opens is told all the same.
func TestUnderPressureReadsAndWritesGoFirstAndFilesThatAreOpenedStay(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	g := newGuarded(t, "--docker", "off", "--black-box", "4", "--cpu-limit", "0.00001")
	g.start(t)
	g.until(t, "shedding", func() bool { return g.status(t).Shed != "" })
	first := g.status(t)
	if !strings.Contains(first.Shed, "the black box has 80 bytes at most") || !first.BlackBox || first.Box.Most != 80 {
		t.Errorf("first there is %q, and a black box %v with %d bytes", first.Shed, first.BlackBox, first.Box.Most)
	}
	g.until(t, "more shedding", func() bool { return !g.status(t).BlackBox })
	if out, err := exec.Command("cat", "/etc/shadow").CombinedOutput(); err != nil {
		t.Skipf("cannot read a file with secrets: %v %s", err, out)
	}
	g.until(t, "alert", func() bool { return strings.Contains(g.out.String(), "Sensitive file read") })
	if n := strings.Count(g.out.String(), "load is shed"); n < 4 {
		t.Errorf("%d alerts say that load is shed:\n%s", n, g.out.String())
	}
	s := g.status(t)
	for _, name := range []string{"clone", "clone3", "execve", "procexit"} {
		if n := s.Drops[name]; n > 0 {
			t.Errorf("%d of %s were lost", n, name)
		}
	}
	g.end(t, syscall.SIGTERM)
}

package host

import "testing"

func TestPlainPathsAreAsTheyAre(t *testing.T) {
	for _, path := range []string{"/etc/passwd", "/a", "/usr/lib/x86_64-linux-gnu/libc.so.6", "/tmp/a b", "/var/log/x..y"} {
		if !plain(path) {
			t.Errorf("%s is not taken for plain", path)
		}
	}
	r := newRun(t, Options{})
	thread := r.need(100)
	// All short paths of the letters that matter.
	letters := []string{"/", ".", "a", "\x01", "\x7f", "é", "\xff"}
	var walk func(path string, depth int)
	walk = func(path string, depth int) {
		if plain(path) {
			if got := r.pathAt(thread, AtCWD, path); got != path {
				t.Errorf("%q is taken for plain, but is %q", path, got)
			}
		}
		if depth == 0 {
			return
		}
		for _, l := range letters {
			walk(path+l, depth-1)
		}
	}
	walk("", 6)
}

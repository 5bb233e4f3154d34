package event

import "testing"

func TestNearest(t *testing.T) {
	words := []string{"open", "openat", "proc.name", "proc.pname", "startswith"}
	for _, tt := range []struct{ name, word, want string }{
		{"the word itself", "openat", "openat"},
		{"letters swapped", "proc.nmae", "proc.name"},
		{"a letter left out", "startwith", "startswith"},
		{"nothing alike", "container.image", ""},
		{"a short word is near to few others", "xyz", ""},
		{"nothing", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Nearest(tt.word, words); got != tt.want {
				t.Errorf("Nearest(%q) = %q, want %q", tt.word, got, tt.want)
			}
		})
	}
}

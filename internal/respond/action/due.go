package action

import (
	"os"
	"strings"
	"sync"
	"time"
)

// due is when an action is taken back, by a clock that nobody sets.
type due struct {
	Boot string        `json:"boot,omitempty"`       // which start of the machine
	At   time.Duration `json:"boot_until,omitempty"` // after that
	For  time.Duration `json:"for,omitempty"`        // how long it is in force at most
}

// lasting is an action in force as it is in the file.
type lasting struct {
	Undo
	due
}

// expire says that an action is taken back after a time.
func (u *Undo) expire(after time.Duration) {
	u.Until = time.Now().Add(after)
	u.due = due{Boot: bootID(), At: bootTime() + after, For: after}
}

// left returns how long an action is in force yet. After a reboot only the wall
// clock tells, which may be wrong: by one that is behind it is not in force for longer than was said.
func (u *Undo) left() time.Duration {
	if u.due.Boot != "" && u.due.Boot == bootID() {
		return max(0, u.due.At-bootTime())
	}
	left := max(0, time.Until(u.Until))
	if u.due.For > 0 {
		left = min(left, u.due.For)
	}
	return left
}

// bootID names this start of the machine, "" if it is not known.
var bootID = sync.OnceValue(func() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
})

package policy

import (
	"sync"
	"time"

	"rollcage/internal/respond/scene"
)

// Quiet is a time of the week in which a policy only monitors.
type Quiet struct {
	Days     [7]bool // by time.Weekday, of the beginning; none is every day
	From, To int     // minutes of the day; To is the next day's if it is not later. Equal is the whole day.
	Zone     *time.Location
}

func (q *Quiet) holds(now time.Time) bool {
	now = now.In(q.Zone)
	minute, day := now.Hour()*60+now.Minute(), now.Weekday()
	yesterday := (day + 6) % 7
	if q.From < q.To {
		return q.on(day) && minute >= q.From && minute < q.To
	}
	return q.on(day) && minute >= q.From || q.on(yesterday) && minute < q.To
}

func (q *Quiet) on(day time.Weekday) bool { return q.Days == [7]bool{} || q.Days[day] }

// Limit bounds how often a policy acts.
type Limit struct {
	Count int
	Per   time.Duration
	// Each counts for each container of its own, and for the host; otherwise for all together.
	Each bool
}

// defaultLimit holds for a policy that says nothing.
var defaultLimit = Limit{Count: 10, Per: time.Minute, Each: true}

// limiter remembers when a policy acted.
type limiter struct {
	mu    sync.Mutex
	times map[string][]time.Time // by container, oldest first, at most Count of them
}

// maxLimited bounds the containers that a limiter remembers.
const maxLimited = 4096

// take reports whether the policy may act now, and counts it then.
func (l *limiter) take(limit *Limit, sc *scene.Scene, now time.Time) bool {
	key := ""
	if limit.Each && sc != nil {
		key = sc.ContainerID()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.times == nil || len(l.times) >= maxLimited {
		l.times = map[string][]time.Time{}
	}
	times := l.times[key]
	for len(times) > 0 && now.Sub(times[0]) >= limit.Per {
		times = times[1:]
	}
	if len(times) >= limit.Count {
		l.times[key] = times
		return false
	}
	l.times[key] = append(times, now)
	return true
}

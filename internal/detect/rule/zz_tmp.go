package rule
import "rollcage/internal/observe/event"
func (e *Engine) CountFor(t event.Type) int { return len(e.byType[t]) }
